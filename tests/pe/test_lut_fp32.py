"""LUT tiles that add FP32 table entries: reference against exact rational arithmetic, and the golden layer."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.pe import family
from hwgen.pe._aligned import FLOATS
from hwgen.pe.lut import Lut
from hwgen.reference import run_steps
from hwgen.schedule import Layer, Schedule, Steps
from sim.epilogue import epilogue
from sim.golden import golden_layer
from tests.golden.operands import acts, codes, weights
from tests.golden.oracle import add
from tests.pe import lut_oracle as oracle

NAN = 0x7FC00000
SMALL: dict[str, Any] = {"cell": "fp_add", "scheme": "bipolar", "m": 1, "n": 4, "k": 2, "bits": 2, "group": 16}
PLAIN = {"scheme": "symmetric", "planes": "twos_complement", "symmetry": "none"}


def tile(**values: Any) -> Lut:
    return family("lut").from_values(SMALL | values)  # type: ignore[return-value]


def sums_of(spec: Lut, a: np.ndarray, w: np.ndarray, length: int = 1) -> list[list[list[int]]]:
    """FP32 codes [S, M, N] of groups of ``length`` steps, for codes [S · length, M, K] and [S · length, N, K]."""
    place = np.arange(len(a)) % length
    ends = place == length - 1
    return run_steps(spec, Steps(a, w, {}, {}, place == 0, ends, ends)).sums[..., 0].tolist()  # type: ignore[no-any-return]


def expected(spec: Lut, a: list[int], w: list[int], total: int = 0) -> int:
    """FP32 code of a sum after one step more."""
    values = get(spec.acts).decode(np.array(a, np.uint32)).tolist()
    plain = spec.planes == "twos_complement"
    for first in range(0, spec.bits, spec.planes_per_cycle):
        planes = range(first, first + spec.planes_per_cycle)
        total = add(total, oracle.fp32_update(values, w, planes, spec.bits, plain))
    return total


def same(got: int, wanted: int) -> bool:
    """Equal codes, but for the NaN's."""
    nan = (wanted & 0x7FFFFFFF) > 0x7F800000
    return got == NAN if nan else got == wanted


@pytest.mark.parametrize("planes", [{}, {"symmetry": "none"}, PLAIN], ids=["half", "full", "plain"])
@pytest.mark.parametrize("name", FLOATS)
def test_all_keys_by_activation_corners(name: str, planes: dict[str, Any]) -> None:
    spec = tile(acts=name, **planes)
    w = np.array(list(itertools.product(range(4), repeat=2)), np.uint32).reshape(4, 4, 2)
    corners = list(itertools.product(get(name).corners, repeat=2))
    some = np.random.default_rng(1).choice(len(corners), size=24, replace=False)
    for given in [corners[index] for index in some]:
        a = np.broadcast_to(np.array(given, np.uint32), (4, 1, 2))
        for got, columns in zip(sums_of(spec, a, w), w.tolist(), strict=True):
            for code, column in zip(got[0], columns, strict=True):
                assert same(code, expected(spec, list(given), column)), (given, column)


@pytest.mark.parametrize("planes_per_cycle", [1, 2, 3, 6])
@pytest.mark.parametrize("k", range(2, 9))
def test_the_order_of_additions(k: int, planes_per_cycle: int) -> None:
    """Of numbers far apart, so that another order gives other codes."""
    spec = tile(acts="bf16", k=k, bits=6, planes_per_cycle=planes_per_cycle, group=4 * k, n=2)
    rng = np.random.default_rng(k)
    a = get("bf16").encode(rng.standard_normal((8, 1, k)) * 2.0 ** rng.integers(-14, 14, (8, 1, k)))
    w = rng.integers(0, 64, size=(8, 2, k), dtype=np.uint32)
    got = sums_of(spec, a, w, length=4)
    for group, column in itertools.product(range(2), range(2)):
        total = 0
        for step in range(4 * group, 4 * group + 4):
            total = expected(spec, a[step, 0].tolist(), w[step, column].tolist(), total)
        assert got[group][0][column] == total


def test_a_zero_entry_stays_zero() -> None:
    """The published RTL adds the plane's number to its exponent."""
    spec = tile(acts="fp16", bits=8, n=2)
    one = 0x3C00
    w = np.array([[[255, 0], [0, 255]]], np.uint32)
    assert sums_of(spec, np.array([[[one, one]]], np.uint32), w) == [[[0, 0]]]
    assert sums_of(spec, np.zeros((1, 1, 2), np.uint32), w) == [[[0, 0]]]


def test_the_top_plane_may_overflow() -> None:
    """2^127 · 1.99 fits, times 2 it does not: infinite, of either sign, and never a NaN code."""
    spec = tile(acts="bf16", bits=2, n=2)
    largest = 0x7F7F
    w = np.array([[[3, 3], [0, 0]]], np.uint32)
    # Already the entry, the sum of two of them, is infinite.
    assert sums_of(spec, np.full((1, 1, 2), largest, np.uint32), w) == [[[0x7F800000, 0xFF800000]]]
    a = np.array([[[largest, 0]]], np.uint32)
    assert sums_of(spec, a, w) == [[[0x7F800000, 0xFF800000]]]
    # Of plane 0 alone it is finite.
    single = tile(acts="bf16", bits=1, n=2)
    w = np.array([[[1, 1], [0, 0]]], np.uint32)
    assert sums_of(single, a, w) == [[[0x7F7F0000, 0xFF7F0000]]]


def test_infinities_and_nan_follow_ieee_754() -> None:
    spec = tile(acts="fp16", bits=1, n=4)
    infinite, nan = 0x7C00, 0x7E00
    w = np.array([[[0, 0], [0, 1], [1, 0], [1, 1]]], np.uint32)
    got = sums_of(spec, np.array([[[infinite, infinite]]], np.uint32), w)
    assert got == [[[0xFF800000, NAN, NAN, 0x7F800000]]]
    assert sums_of(spec, np.array([[[nan, 0]]], np.uint32), w) == [[[NAN] * 4]]


def test_subnormal_entries_count_as_zero() -> None:
    """Only bf16 reaches them: 2^-126 less its neighbour below 2^-125."""
    spec = tile(acts="bf16", bits=1, n=2)
    w = np.array([[[0, 1], [1, 1]]], np.uint32)
    total = int(np.float32(2.0**-126 + 2.0**-126 * (1 + 2.0**-7)).view(np.uint32))
    assert sums_of(spec, np.array([[[0x0080, 0x0081]]], np.uint32), w) == [[[0, total]]]


def test_one_bit_weights_and_one_step() -> None:
    spec = tile(acts="fp16", bits=1)
    assert spec.step_cycles_max == 1
    assert tile(acts="fp16", bits=1, adder_stages=3).step_cycles_max == 3
    assert tile(acts="fp16", bits=4, adder_stages=3).step_cycles_max == 12
    assert tile(acts="fp16", bits=4, adder_stages=3, interleave="ring").step_cycles_max == 4


def test_ports_say_what_they_carry() -> None:
    spec = tile(acts="fp16", precompute="external")
    assert spec.act_port_meaning == "table entries of 2 fp16 activations, FP32 codes"
    assert spec.sum_meaning == "group sums, FP32 codes"
    byte = family("lut").from_values({"entries": "int8", "acts": "int16", "precompute": "external"})
    assert byte.act_port_meaning == (
        "table entries of 4 int16 activations, two's complement; "
        "then from bit 0 of the next element up shift (4 bit), sum (18 bit)"
    )


# ---------------------------------------------------------------------- golden layer

LAYER = {"m": 2, "n": 2, "k": 4}


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize(
    "values",
    [
        {"bits": 1},
        {"bits": 3, "precompute": "external"},
        {"bits": 4, "planes_per_cycle": 2, "symmetry": "none"},
        {"bits": 2, "adder_stages": 3, "interleave": "ring"},
        {**PLAIN, "bits": 3},
        {**PLAIN, "bits": 4, "planes_per_cycle": 4, "adder_stages": 2, "interleave": "ring"},
    ],
)
def test_golden_layer(values: dict[str, Any], name: str) -> None:
    spec = tile(**LAYER, acts=name, **values)
    w, x = weights(3, 5), acts(4)
    q_weights, q_acts = spec.quantize_weights(w.numpy()), spec.quantize_acts(x.numpy())
    layer = golden_layer(q_weights, spec.quantization())
    schedule = Schedule(spec, Layer("layer", x.shape[0], *w.shape))
    beats = run_steps(spec, schedule.lower(q_acts, q_weights))
    sums = schedule.collect(beats.sums)[..., 0]
    words = layer.group_words(x)
    assert words is not None
    assert words.tolist() == sums.tolist()
    y = epilogue(spec, sums, schedule.collect_rows(beats.rows), q_acts, q_weights)
    assert codes(layer(x)).tolist() == y.tolist()
    assert np.unique(y).size > 3


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"acts": "int8"}, "lut: acts must be fp8_e4m3, fp8_e5m2, fp16 or bf16 with cell fp_add, not int8"),
        (
            {"acts": "fp16", "entries": "int8"},
            "lut: entries must be native with cell fp_add, which looks up FP32 numbers, not int8",
        ),
        (
            {"acts": "fp16", "scheme": "symmetric"},
            "lut: scheme must be bipolar, or symmetric or ternary with planes twos_complement, with cell fp_add, "
            "not symmetric; to subtract an activation sum that was rounded apart would lose the digits that both share",
        ),
        (
            {"acts": "fp16", "cell": "aligned", "adder_stages": 2},
            "lut: adder_stages must be 1 where sums are integers, not 2; --cell-cuts are before them",
        ),
    ],
)
def test_refusals(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HwgenError) as caught:
        tile(**values)
    assert str(caught.value) == sentence
