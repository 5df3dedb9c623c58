"""The golden layer of posit tiles against the tile's reference and the epilogue, and against exact fractions."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from hwgen.formats import QTensor, get
from hwgen.pe import TileSpec, family
from hwgen.reference import run_steps
from hwgen.schedule import Layer, Schedule
from rtl_tests.arith.oracle import fp32_value
from sim.epilogue import epilogue
from sim.golden import golden_layer
from sim.golden.posit import to_odd
from tests.formats import posit_model as model

TOKENS, OUTPUTS, K = 3, 10, 48
SMALL: dict[str, Any] = {"m": 2, "n": 2, "k": 1, "group": 16, "depth": 32}


def tile(**values: Any) -> TileSpec:
    return family("posit").from_values(SMALL | values)


def operands(spec: TileSpec, seed: int = 1) -> tuple[QTensor, QTensor]:
    """Quantised weights and activations with heavy tails."""
    rng = np.random.default_rng(seed)
    w = rng.standard_t(3, (OUTPUTS, K)).astype(np.float32)
    x = rng.standard_t(3, (TOKENS, K)).astype(np.float32)
    return spec.quantize_weights(w), spec.quantize_acts(x)


def run(spec: TileSpec, w: QTensor, x: QTensor) -> tuple[np.ndarray, np.ndarray | None]:
    """FP32 codes of the outputs [T, N], and the raw sums [G, T, N] where the tile puts them out."""
    schedule = Schedule(spec, Layer("layer", TOKENS, OUTPUTS, K))
    beats = run_steps(spec, schedule.lower(x, w))
    if beats.y is not None:
        return spec.result_values(schedule.collect(beats.y)), None
    sums = schedule.collect(beats.sums)[..., 0]
    return epilogue(spec, sums, np.zeros(sums.shape[:2], np.int64), x, w), sums


def compare(spec: TileSpec, w: QTensor, x: QTensor) -> np.ndarray:
    golden = golden_layer(w, spec.quantization())
    y, sums = run(spec, w, x)
    assert golden(x).numpy().view(np.uint32).tolist() == y.tolist()
    if sums is not None:
        words = golden.group_words(x)
        assert words is not None
        assert words.tolist() == sums.tolist()
    return y


CASES: list[dict[str, Any]] = [
    *({"operands": name} for name in ("p16", "p8", "p4", "fp4")),
    *({"operands": name, "simd_along": "n"} for name in ("p16", "p8", "p4", "fp4")),
    *({"operands": name, "post_lanes": 2} for name in ("p16", "p8", "p4", "fp4")),
    *({"operands": name, "post_lanes": 2, "readout": "posit"} for name in ("p16", "p8", "p4")),
    *({"operands": name, "post_lanes": 2, "readout": "fp16"} for name in ("p16", "fp4")),
    {"operands": "p8", "quire": "xr_npe", "depth": 127, "group": 24},
    *({"format": "posit", "posit_bits": n, "es": es} for n, es in ((2, 0), (3, 1), (4, 1), (8, 0), (8, 2), (16, 3))),
    {"format": "posit", "posit_bits": 8, "es": 1, "post_lanes": 1, "readout": "posit"},
    {"format": "posit", "posit_bits": 6, "es": 2, "post_lanes": 1, "readout": "fp16"},
    {"format": "fp4"},
    {"format": "fp4", "post_lanes": 2, "readout": "fp16"},
    {"operands": "p16", "act_scale": "bf16", "weight_scale": "fp16"},
    {"operands": "p8", "act_scale": "bf16", "weight_scale": "fp16", "post_lanes": 2, "readout": "posit"},
]


@pytest.mark.parametrize("values", CASES, ids=lambda values: "-".join(f"{k}={v}" for k, v in values.items()))
def test_tile_and_golden_layer_agree(values: dict[str, Any]) -> None:
    spec = tile(**values)
    w, x = operands(spec)
    assert np.unique(compare(spec, w, x)).size > 3


@pytest.mark.parametrize("values", [{}, {"post_lanes": 2}, {"post_lanes": 2, "readout": "posit"}])
@pytest.mark.parametrize("depth", [16, 40, 64])
def test_without_groups_the_quire_is_read_out_every_depth_products(values: dict[str, Any], depth: int) -> None:
    spec = tile(operands="p8", group=0, depth=depth, **values)
    w, x = operands(spec)
    compare(spec, w, x)
    assert Schedule(spec, Layer("layer", TOKENS, OUTPUTS, K)).sum_lengths == {
        16: (16, 16, 16), 40: (40, 8), 64: (48,)
    }[depth]  # fmt: skip


@pytest.mark.parametrize("values", [{}, {"post_lanes": 2}, {"post_lanes": 2, "readout": "posit"}, {"simd_along": "n"}])
@pytest.mark.parametrize("name", ["p16", "p8", "p4"])
def test_nar_makes_its_results_nan_and_no_others(values: dict[str, Any], name: str) -> None:
    spec = tile(operands=name, **values)
    w, x = operands(spec)
    nar = w.format.nan_code
    assert nar is not None
    codes, acts = w.codes.copy(), x.codes.copy()
    codes[4, 20] = acts[1, 47] = nar
    y = compare(spec, dataclasses.replace(w, codes=codes), dataclasses.replace(x, codes=acts))
    wanted = np.zeros((TOKENS, OUTPUTS), bool)
    wanted[1], wanted[:, 4] = True, True
    assert np.array_equal(np.isnan(y.view(np.float32)), wanted)
    assert set(y[wanted].tolist()) == {0x7FC00000}


@pytest.mark.parametrize(("name", "bits", "es"), [("posit8_0", 8, 0), ("posit4_1", 4, 1)])
def test_a_result_of_one_group_is_the_exact_product_rounded_once(name: str, bits: int, es: int) -> None:
    """Against fractions alone."""
    spec = tile(format="posit", posit_bits=bits, es=es, post_lanes=2, readout="posit", group=0, depth=64)
    w, x = operands(spec, 3)
    y, _ = run(spec, w, x)
    for t, n in np.ndindex(TOKENS, OUTPUTS):
        values = [
            [Fraction(model.value(int(code), bits, es) or 0) for code in codes] for codes in (x.codes[t], w.codes[n])
        ]
        scale = Fraction(float(x.scales[t, 0])) * Fraction(float(w.scales[n, 0]))
        exact = sum((a * b for a, b in zip(*values, strict=True)), Fraction(0)) * scale
        assert fp32_value(int(y[t, n])) == model.value(model.encode(exact, bits, es), bits, es)


def test_infinite_scales() -> None:
    spec = tile(operands="p8", act_scale="bf16", weight_scale="fp16", post_lanes=2, readout="posit")
    w, x = operands(spec)
    scales = np.resize([0x0001, 0x7BFF, 0x7C00, 0x7E00, 0x3C00, 0x8001, 0], w.scale_codes.shape)
    w = dataclasses.replace(w, scale_codes=scales)
    for scale in (0x0001, 0x0080, 0x7F7F, 0x7F80, 0x7FC0, 0xFF00):
        compare(spec, w, dataclasses.replace(x, scale_codes=np.full((TOKENS, 1), scale)))


def test_to_odd() -> None:
    assert to_odd(Fraction(0)) == 0.0
    assert to_odd(Fraction(1)) == 1.0
    assert to_odd(1 + Fraction(1, 2**40)) == 1 + 2.0**-23
    assert to_odd(-1 - Fraction(1, 2**40)) == -1 - 2.0**-23
    assert to_odd(Fraction(1, 2**200)) == 2.0**-149
    assert to_odd(Fraction(2) ** 200) == float(torch.finfo(torch.float32).max)
    assert math.isinf(float(get("fp16").decode_scalar(0x7C00)))
