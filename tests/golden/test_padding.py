"""Layers of any K: the last step is filled with zeros, which change no value and are counted as cycles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hwgen.formats import QTensor, get
from hwgen.pe import TileSpec, families, family
from hwgen.reference import run_steps
from hwgen.schedule import Layer, Schedule
from hwgen.verify import covering_specs
from sim.epilogue import apply_outer, epilogue
from sim.estimate import estimate
from sim.golden import golden_layer
from sim.run import run_layer

TOKENS, OUTPUTS = 3, 5
DEPTH = 1024
LENGTHS = (1, 9, 37, 100, 131)


def operands(k: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed + k)
    spread = np.exp2(rng.integers(-9, 9, (TOKENS, k)))
    return rng.standard_normal((OUTPUTS, k)), (rng.standard_normal((TOKENS, k)) * spread).astype(np.float32)


def outputs(spec: TileSpec, schedule: Schedule, w: QTensor, x: QTensor) -> np.ndarray:
    beats = run_steps(spec, schedule.lower(x, w))
    if beats.y is not None:
        codes = spec.result_values(schedule.collect(beats.y).astype(np.uint32))
        return apply_outer(np.ascontiguousarray(codes), x, w)
    return epilogue(spec, schedule.collect(beats.sums)[..., 0], schedule.collect_rows(beats.rows), x, w)


@pytest.mark.few(2)
@pytest.mark.parametrize("name", list(families()))
def test_every_kind_of_tile_against_the_golden_layer(name: str) -> None:
    """Tiles that cover every sweep value, with lengths that divide neither tile K nor the group."""
    specs, _ = covering_specs(family(name), 1, depth=DEPTH)
    assert specs
    for spec in specs:
        for k in LENGTHS:
            if spec.act_format.padding is None:
                # Without a zero no step can be filled.
                k = -(-k // spec.k) * spec.k
            schedule = Schedule(spec, Layer("layer", TOKENS, OUTPUTS, k))
            weights, acts = (schedule.whole_words(values) for values in operands(k))
            w, x = spec.quantize_weights(weights), spec.quantize_acts(acts)
            golden = golden_layer(w, spec.quantization())(torch.from_numpy(acts)).numpy().view(np.uint32)
            assert outputs(spec, schedule, w, x).tolist() == golden.tolist(), (spec, k)
            assert schedule.exact() == schedule.closed(), (spec, k)


@pytest.mark.parametrize("name", list(families()))
def test_padding_codes_are_zero(name: str) -> None:
    """What the schedule fills steps with decodes to 0 in every activation format that a family takes and that has 0."""
    specs, _ = covering_specs(family(name), 1)
    for form in {spec.act_format for spec in specs}:
        if form.padding is None:
            assert np.all(form.decode(np.arange(1 << form.code_bits)) != 0), form
            continue
        side = 0 if form.side_bits else None
        assert not np.any(form.decode(np.array([form.padding]), side)), form


@pytest.mark.parametrize("bits", [2, 4])
def test_order_of_tables_with_fp32_entries(bits: int) -> None:
    """Three activations in a table of four: upper half plus lower half, not the halves of three."""
    spec = family("lut").from_values(
        {
            "m": 1,
            "n": 1,
            "k": 4,
            "group": 0,
            "acts": "fp16",
            "cell": "fp_add",
            "scheme": "bipolar",
            "bits": bits,
            "depth": 4,
        }
    )
    schedule = Schedule(spec, Layer("layer", 1, 1, 3))
    weights = np.array([[1.0, -1.0, 1.0]])
    # Σ of the upper half, 60000 and 0, plus fl(2**-14 - 60000) is 0; (60000 - 60000) + 2**-14 would not be.
    acts = np.array([[2.0**-14, 60000.0, 60000.0]], np.float32)
    w, x = spec.quantize_weights(weights), spec.quantize_acts(acts)
    golden = golden_layer(w, spec.quantization())(torch.from_numpy(acts)).numpy().view(np.uint32)
    assert outputs(spec, schedule, w, x).tolist() == golden.tolist() == [[0]]


def test_lengths_by_hand() -> None:
    """K = 9 in steps of 4: three steps, the last with three zeros, and the sum of nine products."""
    spec = family("int")(m=1, n=1, k=4, group=0, depth=16, bits=8)
    schedule = Schedule(spec, Layer("layer", 1, 1, 9))
    w = QTensor.build(
        np.arange(1, 10)[None], get("int8"), group_size=9, scale_codes=[[0x3C00]], scale_format=get("fp16")
    )
    x = QTensor.build(np.full((1, 9), 3), get("int8"), group_size=9, scale_codes=[[0x3F80]], scale_format=get("bf16"))
    steps = schedule.lower(x, w)
    assert steps.acts[:, 0].tolist() == [[3, 3, 3, 3], [3, 3, 3, 3], [3, 0, 0, 0]]
    assert steps.weights[:, 0].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 0, 0, 0]]
    assert steps.first.tolist() == [True, False, False]
    assert steps.last.tolist() == steps.done.tolist() == [False, False, True]
    assert run_steps(spec, steps).sums.ravel().tolist() == [3 * 45]
    assert schedule.exact() == schedule.closed() == 3 + int(spec.drain(spec.p))


def test_utilisation_counts_useful_products_only() -> None:
    spec = family("int")(m=2, n=4, k=8, group=0, depth=64)
    report = estimate(spec, Layer("layer", 3, 5, 9))
    steps = 2 * 2 * 2
    assert report.cycles == steps + int(spec.drain(spec.p))
    assert report.utilization == pytest.approx(3 * 5 * 9 / (report.cycles * 2 * 4 * 8))


RUNS: dict[str, tuple[str, dict[str, Any], int]] = {
    "int, zero points": ("int", {"n": 4, "scheme": "asymmetric", "group": 32}, 100),
    "int, whole row, systolic": ("int", {"n": 4, "k": 8, "group": -1, "transport": "systolic", "depth": 640}, 577),
    "int, lanes that wait": ("int", {"n": 8, "k": 8, "group": 64, "post_lanes": 2, "scheme": "asymmetric"}, 577),
    "lut, keys": ("lut", {"n": 4, "bits": 3, "k": 4, "scheme": "asymmetric", "post_lanes": 4}, 131),
    "lut, tables from outside": (
        "lut",
        {"n": 4, "acts": "fp16", "align_scope": "group", "precompute": "external"},
        131,
    ),
    "lut, bytes": ("lut", {"n": 4, "entries": "int8", "group": 32}, 101),
    "lut, fp32 entries": ("lut", {"n": 2, "cell": "fp_add", "scheme": "bipolar", "acts": "fp16", "bits": 2}, 131),
    "bitmod, lanes": ("bitmod", {"n": 2, "bits": 3, "group": 64, "post_lanes": 2}, 73),
    "bitmod, lanes that wait": ("bitmod", {"n": 4, "bits": 3, "group": 16, "post_lanes": 1}, 35),
    "bitmod, sums": ("bitmod", {"n": 2, "bits": 6, "group": 32, "post_lanes": 0}, 35),
    "mixpe, before": ("mixpe", {"n": 4, "dequant": "before", "acts": "int8", "group": 32}, 101),
    "mixpe, fp16": ("mixpe", {"n": 4, "acts": "fp16", "align_scope": "row"}, 101),
    "bitserial, two planes": ("bitserial", {"n": 4, "planes": 2, "scheme": "asymmetric", "group": 32}, 101),
    "bitplane, pairs": ("bitplane", {"n": 4, "act_planes": 2, "scheme": "asymmetric", "group": 32}, 101),
    "codebook, selectors": ("codebook", {"n": 4, "weights": "razer_fp4", "group": 32}, 101),
    "codebook, words": ("codebook", {"n": 2, "weights": "sherry", "k": 8, "group": 32}, 101),
    "complex": ("complex", {"n": 2, "group": 32}, 101),
    "codebook, no zero": ("codebook", {"n": 2, "weights": "codebook(-4,-1,2,5)", "acts": "fp16"}, 131),
    "posit, several a lane": ("posit", {"n": 2, "operands": "p4", "group": 0}, 131),
    "posit, along n": ("posit", {"n": 2, "operands": "p8", "simd_along": "n", "group": 32}, 37),
    "mx, ragged block": ("mx", {"n": 4}, 100),
    "mx, fp6": ("mx", {"n": 4, "bits": 6}, 9),
    "mx, words of four": ("mx", {"n": 4, "weights": "hif4"}, 101),
    "minifloat, fp32 sums": ("minifloat", {"n": 2, "k": 4, "accumulator": "fp32", "interleave": "ring"}, 131),
}


# One case of a kind runs every time.
OFTEN = {
    *("int, whole row, systolic", "int, lanes that wait", "lut, keys", "bitmod, lanes that wait", "mixpe, fp16"),
    *("posit, several a lane", "mx, ragged block", "minifloat, fp32 sums"),
}


@pytest.mark.few(1)
@pytest.mark.rtl
@pytest.mark.parametrize(
    "case", [case if case in OFTEN else pytest.param(case, marks=pytest.mark.slow) for case in RUNS]
)
def test_whole_layers_through_the_verilog(case: str) -> None:
    """Values and counted cycles of layers of which nothing divides anything."""
    name, values, k = RUNS[case]
    weights, acts = operands(k)
    spec = family(name).from_values({"m": 2, **values})
    run = run_layer(spec, weights, acts)
    assert run.ok, run.detail
    report = estimate(spec, Layer("layer", TOKENS, OUTPUTS, k))
    assert (run.cycles_counted, run.pre_cycles_counted) == (report.cycles, report.pre_cycles)
