"""The best job of each layer on many designs at once, beside each design by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from itertools import islice
from typing import Any

import numpy as np
import pytest

from hwgen.accelerator import Design, Job, Memory, exact, layer_jobs, placed
from hwgen.accelerator.best import DesignArrays
from hwgen.accelerator.closed import closed
from hwgen.accelerator.geometry import Geometry
from hwgen.errors import HwgenError
from hwgen.pe import TileSpec, family
from hwgen.schedule import Layer, Schedule
from reports.accelerator_points import designs

LAYERS = [Layer("decode", 1, 96, 576), Layer("prefill", 24, 64, 200, 3), Layer("ragged", 7, 33, 130)]
TILES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("int", {"bits": 4, "post_lanes": 2}, {}),
    ("mx", {}, {}),
    ("bitmod", {}, {}),
    ("lut", {"bits": 2, "group": 0}, {}),
    ("mixpe", {"post_lanes": 2}, {"result": "fp16", "outer": True, "bias": True}),
    ("int", {"bits": 4, "group": 0}, {"result": "int8", "result_lanes": 2}),
]
DRAWN = {
    "bus_bits": (64, 128, 256),
    "weight_ring": (2, 32, 128, 2000),
    "act_ring": (2, 32, 128, 2000),
    "burst": (1, 4, 16),
    "outstanding": (1, 4, 8),
}


def arrays(name: str, values: Mapping[str, Any], around: Mapping[str, Any], count: int) -> DesignArrays:
    rng = np.random.default_rng(len(name))
    tile = family(name).from_values({"depth": 1024, **values})
    p = {**tile.p, "m": rng.choice((1, 2, 4), count), "n": rng.choice((4, 8, 16), count)}
    d = {**Design(tile=tile, **around).p, **{key: rng.choice(choices, count) for key, choices in DRAWN.items()}}
    return DesignArrays(type(tile), p, d, rng.choice((5, 20, 60), count), 1, 2)


def alone(made: DesignArrays, index: int) -> tuple[Design, Memory]:
    p, d = (
        {name: value[index].item() if np.ndim(value) else value for name, value in values.items()}
        for values in (made.p, made.d)
    )
    latency = made.latency if np.ndim(made.latency) == 0 else made.latency[index]
    return Design.from_values(made.spec.from_values(p), d), Memory(int(latency), (made.share, made.cycles))


def test_geometry_over_arrays_is_that_of_each_design() -> None:
    for design in islice(designs(np.random.default_rng(7), False), 60):
        one, many = Geometry.of(design), Geometry.over(type(design.tile), design.tile.p, design.p)
        for field in fields(Geometry):
            if field.name != "streams":
                assert getattr(many, field.name) == getattr(one, field.name), field.name
        for name, stream in one.streams.items():
            assert many.streams[name] == stream if stream.there else not many.streams[name].there


@pytest.mark.parametrize("around", [{"pre": "mx", "pre_source": "fp32"}, {"pre": "mx"}, {"pre_source": "bf16"}, {}])
@pytest.mark.parametrize("values", [{}, {"acts": "mxint8"}, {"weights": "nvfp4"}, {"mode_set": "mx"}])
def test_what_blocks_before_the_ring_need_over_arrays_is_that_of_each_design(
    values: Mapping[str, Any], around: Mapping[str, Any]
) -> None:
    tile = family("mx").from_values({**values, "post_lanes": 1})
    rng = np.random.default_rng(1)
    choices = {"m": (1, 2, 3), "k": (4, 8, 12)}
    if not values.get("weights"):
        choices["group"] = (24, 32, 48)
    p = {**tile.p, **{name: rng.choice(of, 60) for name, of in choices.items()}}
    d = {**Design(tile=tile).p, "bus_bits": rng.choice((64, 128, 512), 60), "act_ring": rng.choice((6, 10, 128), 60)}
    made = DesignArrays(type(tile), p, {**d, **around}, 20)
    holds = np.logical_and.reduce([np.broadcast_to(ok, 60) for ok, _ in Design.constraints(type(tile), p, made.d)])
    seen = []
    for index, holding in enumerate(holds):
        values_of = {name: value[index].item() if np.ndim(value) else value for name, value in p.items()}
        try:
            tile_of = type(tile).from_values(values_of)
        except HwgenError:
            # The tile itself is refused.
            continue
        d_of = {name: value[index].item() if np.ndim(value) else value for name, value in made.d.items()}
        seen.append(bool(holding))
        if holding:
            Design.from_values(tile_of, d_of)
        else:
            with pytest.raises(HwgenError, match=r"^accelerator: (pre|pre_source|k|bus_bits|act_ring) "):
                Design.from_values(tile_of, d_of)
    both = "pre" in around and not values.keys() & {"weights", "mode_set"}
    assert set(seen) == ({True, False} if both else {around == {}})


def test_the_widest_bus_that_keeps_blocks_apart_is_named() -> None:
    tile = family("mx").from_values({"m": 1, "n": 8, "k": 4, "group": 24, "post_lanes": 1})
    with pytest.raises(HwgenError, match=r"bus_bits must be at most 128 with pre mx, .* two blocks of 24, not 512"):
        Design(tile=tile, pre="mx", bus_bits=512)
    design = Design(tile=tile, pre="mx", bus_bits=128)
    plan, ring = design.block_plan, design.ring_streams["acts"]
    assert plan is not None
    assert design.streams["acts"].words_per_entry == ring.words_per_entry == plan.words_per_beat == 2
    # Nothing fills what the block makes of a beat up.
    assert (ring.entry_bits, ring.padded_bits) == (plan.entry_bits, plan.word_bits)
    assert plan.word_bits & (plan.word_bits - 1)


@pytest.mark.parametrize(("name", "values", "around"), TILES, ids=[f"{one[0]} {one[2]}" for one in TILES])
def test_best_jobs_are_those_of_each_design(name: str, values: Mapping[str, Any], around: Mapping[str, Any]) -> None:
    made = arrays(name, values, around, 12)
    found = made.best(LAYERS)
    chosen = set()
    for index in range(12):
        design, memory = alone(made, index)
        for place, layer in enumerate(LAYERS):
            jobs = [placed(design, job)[0] for job in layer_jobs(design, Schedule(design.tile, layer))]
            forms = [closed(design, job, memory) for job in jobs]
            reads = [sum(job.read_beats(design.streams).values()) for job in jobs]
            best = min(range(len(jobs)), key=lambda one: (forms[one].cycles.item(), reads[one]))
            assert {key: int(value[place, index]) for key, value in found.job.items()} == {
                key: getattr(jobs[best], key) for key in found.job
            }
            wanted = forms[best]
            assert found.cycles[place, index] == wanted.cycles.item()
            assert found.exact[place, index] == wanted.exact.item()
            assert found.regime[place, index] == wanted.regime.item()
            chosen.add((jobs[best].order, jobs[best].hold_weights, jobs[best].hold_acts))
    assert len(chosen) > 2


def test_an_order_that_is_asked_for() -> None:
    made = arrays(*TILES[0], 12)
    both = made.best(LAYERS).cycles
    each = [made.best(LAYERS, [order]) for order in (0, 1)]
    assert [set(one.job["order"].ravel()) for one in each] == [{0}, {1}]
    assert np.array_equal(both, np.minimum(each[0].cycles, each[1].cycles))
    assert (each[0].cycles != each[1].cycles).any()


def test_beats_that_are_read_are_those_of_the_cycle_model() -> None:
    design, memory = alone(arrays(*TILES[1], 12), 3)
    for job in layer_jobs(design, Schedule(design.tile, LAYERS[2])):
        assert job.read_beats(design.streams) == exact(design, job, memory).read_beats


def test_one_design_of_scalars() -> None:
    tile = family("int").from_values({"bits": 4, "m": 2, "n": 4, "k": 4})
    design = Design(tile=tile)
    found = DesignArrays(type(tile), tile.p, design.p, 20).best(LAYERS[:1])
    assert found.cycles.shape == (1, 1)
    job = Job(**{name: int(value[0, 0]) for name, value in found.job.items()})
    assert closed(design, job, Memory(20)).cycles.item() == found.cycles[0, 0]


def broken(spec: TileSpec, d: Mapping[str, Any], layer: Layer) -> list[str]:
    return [why for ok, why in DesignArrays(type(spec), spec.p, d, 20).limits(layer) if not ok]


def test_limits_are_those_of_one_design() -> None:
    """What `layer_jobs` and `placed` refuse, and what the closed form cannot count."""
    tile = family("int").from_values({"bits": 4, "m": 1, "n": 4, "k": 4, "group": 64})
    small = Design(tile=tile, count_bits=8)
    assert broken(tile, small.p, Layer("l", 255, 4, 1020)) == []
    for layer in (Layer("l", 256, 4, 4), Layer("l", 1, 1024, 4), Layer("l", 1, 4, 1024)):
        assert broken(tile, small.p, layer) == ["blocks, steps and groups must be less than 2^count_bits (l)"]
        with pytest.raises(HwgenError, match="count_bits"):
            list(layer_jobs(small, Schedule(tile, layer)))
    usual = Design(tile=tile)
    for outputs, fits in ((1 << 20, True), (1 << 23, False)):
        layer = Layer("l", 1, outputs, 1 << 10)
        job = next(layer_jobs(usual, Schedule(tile, layer)))
        if fits:
            placed(usual, job)
        else:
            with pytest.raises(HwgenError, match="use --address-bits 33"):
                placed(usual, job)
        assert (broken(tile, usual.p, layer) == []) == fits
    wide = Design(tile=tile, count_bits=32, address_bits=64)
    assert broken(tile, wide.p, Layer("l", 1 << 20, 1 << 20, 1 << 20)) == ["cycles must fit 52 bits (l)"]
