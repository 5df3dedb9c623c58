"""Every layer of SmolLM2-135M, prefill and decode: the system model beside the exact cycle model and the Verilog."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from hwgen.accelerator import Design, Memory, placed
from hwgen.pe import family
from hwgen.schedule import Layer, Schedule
from hwgen.verify import CompiledAccelerator, Task
from sim.system import OffChip, System, estimate_system
from sim.system.design_engine import DesignEngine
from sim.system.estimate import engine_for, sizes_of
from sim.system.products import Product, parts_of
from sim.system.share import best_shares
from sim.tech import load
from sim.workload import Decode, Prefill, load_workload

MODEL = load_workload("smollm2-135m")
AROUND: dict[str, Any] = {"bus_bits": 256, "weight_ring": 512, "act_ring": 2048, "burst": 32, "address_bits": 36}
DESIGNS = {
    "int": Design(
        tile=family("int").from_values({"m": 4, "n": 8, "k": 8, "bits": 4, "group": 64, "post_lanes": 4}), **AROUND
    ),
    "bitmod": Design(tile=family("bitmod").from_values({"m": 1, "n": 16, "k": 8, "group": 64}), **AROUND),
    "lut": Design(tile=family("lut").from_values({"m": 1, "n": 64, "bits": 2, "group": 64}), **AROUND),
    "mx": Design(tile=family("mx").from_values({"m": 4, "n": 8, "k": 8, "post_lanes": 8}), **AROUND),
}
PHASES = (Prefill(16), Decode(128))


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES, ids=str)
@pytest.mark.parametrize("name", DESIGNS)
def test_closed_form_beside_the_exact_model(name: str, phase: Any) -> None:
    """Equal where it says so; elsewhere near, and the sum of the phase within some per cent."""
    system = System(core=DESIGNS[name], off_chip=OffChip("no limit", math.inf), clk_period_ns=6.0)
    near = estimate_system(system, MODEL, phase)
    walked = estimate_system(dataclasses.replace(system, timing="exact"), MODEL, phase)
    assert walked.certain
    for one, other in zip(near.parts, walked.parts, strict=True):
        if one.certain:
            assert one.cycles == other.cycles, one.role
    assert near.cycles == pytest.approx(walked.cycles, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES, ids=str)
@pytest.mark.parametrize("name", ["int", "bitmod"])
def test_every_layer_on_the_verilog(name: str, phase: Any) -> None:
    """Products of all roles as the emitted Verilog does them: as many cycles as the report's, counted by the bench."""
    design = DESIGNS[name]
    system = System(core=design, off_chip=OffChip("no limit", math.inf), clk_period_ns=6.0, timing="exact")
    engine = engine_for(system, "weights", "", load("sky130hd"), 6.0)
    assert isinstance(engine, DesignEngine)
    products = {
        (product.m, product.n, product.k): product for part in parts_of(MODEL, phase, system) for product in part.times
    }
    rng = np.random.default_rng(1)
    compiled = CompiledAccelerator(design)
    for product in products.values():
        alone = dataclasses.replace(product, copies=1)
        table = best_shares(engine.arrays, engine, sizes_of(engine.arrays, [alone]), 1, "best")
        own = {key.removeprefix("big_"): value for key, value in table.items() if key.startswith("big_")}
        job = placed(design, engine.job(own, 0))[0]
        tile, layer = design.tile, Layer("p", product.m, product.n, product.k)
        acts, weights = (
            rng.standard_normal(shape).astype(np.float32) for shape in ((layer.m, layer.k), (layer.n, layer.k))
        )
        task = Task(Schedule(tile, layer), tile.quantize_acts(acts), tile.quantize_weights(weights), job, Memory(20))
        (run,) = compiled.run([task])
        assert run.cycles == int(table["cycles"][0, 0]), product
        assert run.waits == {what: int(table[f"wait_{what}"][0, 0]) for what in ("weights", "acts", "results")}
        assert sum(run.read_beats.values()) * design.bus_bytes == sum(
            int(table[f"bytes_{stream}"][0, 0])
            for stream in ("weights", "weight_sides", "acts", "act_sides", "channels")
        )
    assert len(products) >= 6


def test_a_small_layer_on_the_verilog() -> None:
    """The same of one product, so that it is always run."""
    design = Design(tile=family("int").from_values({"m": 2, "n": 4, "k": 4, "bits": 4, "group": 16}), weight_ring=16)
    system = System(core=design, off_chip=OffChip("no limit", math.inf), clk_period_ns=6.0, timing="exact")
    engine = engine_for(system, "weights", "", load("sky130hd"), 6.0)
    assert isinstance(engine, DesignEngine)
    product = Product(3, 10, 48, 48, 1, "weights")
    table = best_shares(engine.arrays, engine, sizes_of(engine.arrays, [product]), 1, "best")
    own = {key.removeprefix("big_"): value for key, value in table.items() if key.startswith("big_")}
    job = placed(design, engine.job(own, 0))[0]
    rng = np.random.default_rng(2)
    acts, weights = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 48), (10, 48)))
    tile = design.tile
    schedule = Schedule(tile, Layer("p", 3, 10, 48))
    task = Task(schedule, tile.quantize_acts(acts), tile.quantize_weights(weights), job, Memory(20))
    (run,) = CompiledAccelerator(design).run([task])
    assert run.cycles == int(table["cycles"][0, 0])
