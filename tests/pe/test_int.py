"""Integer multipliers on aligned floating-point activations: reference and golden layers against fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.pe._aligned import FLOATS
from hwgen.pe.int import Int
from hwgen.reference import run_steps
from hwgen.schedule import Layer, Schedule, Steps
from sim.epilogue import epilogue
from sim.golden import golden_layer
from tests.golden.operands import acts, codes, weights
from tests.pe import lut_oracle as oracle

SMALL: dict[str, Any] = {"m": 2, "n": 3, "k": 4, "group": 16, "depth": 16}
SCHEMES = ("symmetric", "asymmetric", "minimum", "bipolar")


def tile(**values: Any) -> Int:
    return family("int").from_values(SMALL | values)  # type: ignore[return-value]


def weight_of(scheme: str, code: int, bits: int) -> int:
    """Value of a weight's code."""
    if scheme == "bipolar":
        return 2 * code + 1 - (1 << bits)
    return code - (1 << bits) * (code >> (bits - 1)) if scheme == "symmetric" else code


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["fp16", "fp8_e4m3", "fp8_e5m2"])
def test_steps_are_sums_of_aligned_integers(name: str, scheme: str) -> None:
    bits = 2 + len(scheme) % 4
    spec = tile(acts=name, bits=bits, scheme=scheme, align_scope="step", guard_bits=bits % 4)
    rng = np.random.default_rng(bits)
    a = rng.integers(0, 1 << spec.act_format.code_bits, (12, spec.m, spec.k)).astype(np.uint32)
    w = rng.integers(0, 1 << bits, (12, spec.n, spec.k), dtype=np.uint32)
    w[0], w[1], w[2] = 0, (1 << bits) - 1, 1 << (bits - 1)
    ones = np.ones(12, bool)
    beats = run_steps(spec, Steps(a, w, {}, {}, ones, ones, ones))
    lowest = Fraction(2) ** spec.lsb_exp
    for step, row in np.ndindex(12, spec.m):
        given = a[step, row].tolist()
        ints, unit = oracle.aligned(spec.act_format, given, given, spec.guard_bits, "rne")
        scale = unit / lowest
        if spec.has_row_sums:
            assert int(beats.rows[step, row]) == scale * sum(ints)
        for column in range(spec.n):
            pairs = zip(ints, w[step, column].tolist(), strict=True)
            total = sum(x * weight_of(scheme, code, bits) for x, code in pairs)
            assert int(beats.sums[step, row, column, 0]) == scale * total


def outputs(spec: Int, seed: int, k: int = 36) -> tuple[list[Any], list[Any]]:
    """FP32 codes [T, N] of a small layer, of the tile's reference with what follows it and of the golden layer."""
    given = acts(seed + 1, 3, k)
    w, x = spec.quantize_weights(weights(seed, 5, k).numpy()), spec.quantize_acts(given.numpy())
    schedule = Schedule(spec, Layer("layer", x.shape[0], *w.shape))
    beats = run_steps(spec, schedule.lower(x, w))
    if beats.y is not None:
        y = schedule.collect(beats.y)
    else:
        y = epilogue(spec, schedule.collect(beats.sums)[..., 0], schedule.collect_rows(beats.rows), x, w)
    assert np.unique(y).size > 3
    return y.tolist(), codes(golden_layer(w, spec.quantization())(given)).tolist()


LAYERS: tuple[dict[str, Any], ...] = (
    *({"scheme": scheme, "acts": "fp16", "align_scope": "step", "bits": 3} for scheme in SCHEMES),
    *({"scheme": scheme, "acts": "bf16", "align_scope": "row", "bits": 4} for scheme in SCHEMES),
    {"acts": "fp16", "bits": 1, "k": 8},
    {"acts": "fp8_e5m2", "bits": 1, "align_scope": "step", "align_rounding": "truncate", "guard_bits": 0},
    {"acts": "fp8_e4m3", "bits": "1.58", "align_scope": "step"},
    {"acts": "fp16", "bits": 4, "scheme": "asymmetric", "n": 4, "post_lanes": 2},
    {"acts": "fp16", "bits": 4, "align_scope": "step", "n": 4, "post_lanes": 2, "guard_bits": 8},
    {"acts": "fp16", "bits": 4, "depth": 4, "overflow": "saturate"},
    {"acts": "fp16", "bits": 4, "depth": 4, "overflow": "wrap", "align_scope": "step"},
    {"acts": "fp16", "bits": 4, "group": 0, "depth": 64, "align_scope": "row"},
)


@pytest.mark.parametrize("values", LAYERS, ids=lambda values: "-".join(map(str, values.values())))
def test_layers(values: dict[str, Any]) -> None:
    tiled, golden = outputs(tile(**values), 5)
    assert tiled == golden


def test_another_scope_is_seen() -> None:
    values = {"acts": "fp8_e4m3", "bits": 4, "guard_bits": 0}
    found = [outputs(tile(**values, align_scope=scope), 5)[0] for scope in ("step", "group", "row")]
    assert found[0] != found[1] != found[2] != found[0]


def test_activations_keep_what_they_were_as_integers() -> None:
    """What is said of an alignment changes nothing where there is none."""
    plain, said = tile(acts="int8"), tile(acts="int8", align_scope="step", guard_bits=0)
    assert plain.quantization() == said.quantization()
    assert plain.pre() is said.pre() is None
    assert plain.product_range(plain.p) == said.product_range(said.p) == (-127 * 128, 128 * 128)


@pytest.mark.parametrize("name", FLOATS)
def test_the_block_before_the_buffer(name: str) -> None:
    spec = tile(acts=name, bits=4)
    assert spec.pre() is not None
    assert spec.pre_counts(spec.p) is not None
    assert spec.act_format.code_bits == int(spec.act_port(spec.p)[1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"acts": "bf16", "align_scope": "step"},
            "int: align_scope must be group or row with acts bf16, not step; "
            "sums in the unit of the smallest number would be 250 bits longer",
        ),
        (
            {"acts": "fp16", "align_scope": "step", "guard_bits": 8, "scheme": "asymmetric", "depth": 1 << 20},
            "int: depth must leave activation sums within 62 bits, not 1048576 with align_scope step and "
            "guard_bits 8; use --align-scope group",
        ),
    ],
)
def test_what_does_not_go_together(values: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError) as error:
        tile(**values)
    assert str(error.value) == message
