from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.quantize import float_minimum, integer
from tests.quantize import slow

DEFINITIONS = {"symmetric": slow.symmetric, "asymmetric": slow.asymmetric, "bipolar": slow.bipolar}


@pytest.mark.parametrize("scheme", DEFINITIONS)
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize(("group", "scale"), [(32, "fp16"), (0, "bf16"), (16, "fp8_e4m3"), (7, "e8m0")])
def test_integer_is_its_definition(scheme: str, bits: int, group: int, scale: str) -> None:
    x = slow.samples(bits)
    given = integer(x, bits, group, scheme, scale)
    slow.check(given, x, lambda part: DEFINITIONS[scheme](part, bits, scale))
    prefix = {"symmetric": "int", "asymmetric": "uint", "bipolar": "bipolar"}[scheme]
    assert given.format.name == f"{prefix}{bits}"
    assert given.scale_format.name == scale
    assert given.granularity == ("group" if group else "channel")
    assert np.isfinite(given.dequantize()).all()


@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
@pytest.mark.parametrize("bits", [12, 16])
def test_wide_integers(scheme: str, bits: int) -> None:
    x = slow.samples(11)
    slow.check(integer(x, bits, 32, scheme), x, lambda part: DEFINITIONS[scheme](part, bits, "fp16"))


@pytest.mark.parametrize("scheme", DEFINITIONS)
def test_one_scale_for_the_tensor(scheme: str) -> None:
    x = slow.samples(12)
    given = integer(x, 4, scheme=scheme, per_tensor=True)
    assert (given.granularity, given.scale_codes.shape) == ("tensor", (1, 1))
    slow.check(given, x, lambda part: DEFINITIONS[scheme](part, 4, "fp16"))


def test_ragged_groups_of_a_real_width() -> None:
    x = np.random.default_rng(13).normal(size=(2, 576))
    given = integer(x, 4, 128)
    assert given.scale_codes.shape == (2, 5)
    # The last group is its own: quantising it alone gives the same.
    alone = integer(x[:, 512:], 4, 128)
    assert given.codes[:, 512:].tolist() == alone.codes.tolist()
    assert given.scale_codes[:, 4:].tolist() == alone.scale_codes.tolist()


def test_codes_follow_the_rounded_scale() -> None:
    # 100 / 7 = 14.2857… is 14.2890625 in fp16 and 14 in fp8_e4m3; with the latter, 35 is 2.5 (tie to 2) and not 2.45.
    x = [[100.0, 35.0, -100.0]]
    given = integer(x, 4, scale_format="fp8_e4m3")
    assert given.scales.tolist() == [[14.0]]
    assert given.values().tolist() == [[7.0, 2.0, -7.0]]
    assert integer([[100.0, 49.1]], 4, scale_format="fp8_e4m3").values().tolist() == [[7.0, 4.0]]


def test_symmetric_never_uses_the_lowest_code() -> None:
    # The scale 10.4 / 7 is rounded down to 1 here, so that -10.4 / 1 is far below -7.
    given = integer([[-10.4, 10.4]], 4, scale_format="e8m0")
    assert (given.scales.tolist(), given.values().tolist()) == ([[1.0]], [[-7.0, 7.0]])


def test_one_bit() -> None:
    assert integer([[-2.0, -0.9, 5.0, 0.0]], 1).dequantize().tolist() == [[-2.0, 0.0, 0.0, 0.0]]
    assert integer([[1.0, 5.0]], 1).dequantize().tolist() == [[0.0, 0.0]]
    # The mean magnitude, not the largest; 0 is negative; the last group is shorter.
    given = integer([[-2.0, 1.0, 0.0, 3.0, -7.0]], 1, 3, scheme="bipolar")
    assert given.dequantize().tolist() == [[-1.0, 1.0, -1.0, 5.0, -5.0]]


@pytest.mark.parametrize("scheme", DEFINITIONS)
@pytest.mark.parametrize("scale", ["fp16", "bf16", "fp8_e4m3"])
def test_zeros_give_a_zero_scale_and_no_nan(scheme: str, scale: str) -> None:
    given = integer(np.zeros((2, 8)), 4, 4, scheme, scale)
    assert given.scales.tolist() == [[0.0, 0.0]] * 2
    assert given.dequantize().tolist() == [[0.0] * 8] * 2
    if scheme != "bipolar":
        assert not given.codes.any()


def test_zeros_with_a_scale_format_without_zero() -> None:
    given = integer(np.zeros((1, 3)), 4, scale_format="e8m0")
    assert given.scales.tolist() == [[2.0**-127]]
    assert not given.codes.any()


@pytest.mark.parametrize("scheme", DEFINITIONS)
def test_scales_saturate_at_both_ends(scheme: str) -> None:
    tiny = integer([[1e-12, -1e-12]], 4, scheme=scheme)
    huge = integer([[1e30, -1e30]], 4, scheme=scheme)
    assert tiny.scales.tolist() == [[2.0**-24]]
    assert huge.scales.tolist() == [[65504.0]]
    assert np.isfinite(huge.dequantize()).all()
    # The zero point of the asymmetric scheme saturates with the scale, and leaves no code above it.
    assert np.sign(huge.dequantize()).tolist() == [[0 if scheme == "asymmetric" else 1, -1]]
    extreme = integer([[1.7e308, -1.7e308]], 8, scheme=scheme, scale_format="bf16")
    assert np.isfinite(extreme.dequantize()).all()


def test_asymmetric_zero_point_is_exact_and_in_range() -> None:
    x = np.random.default_rng(14).normal(1.0, 1.0, (8, 64))
    given = integer(x, 4, 16, "asymmetric")
    assert given.zero is not None
    assert ((given.zero >= 0) & (given.zero <= 15)).all()
    # All-positive groups keep zero at code 0: it is not moved to min(x).
    positive = integer([[3.0, 4.0, 6.0]], 4, scheme="asymmetric")
    assert positive.zero is not None
    assert positive.zero.tolist() == [[0]]


def test_error_is_bounded_by_half_a_step() -> None:
    x = np.random.default_rng(15).normal(size=(8, 128)).astype(np.float32)
    for scheme, step in (("symmetric", 1.0), ("bipolar", 2.0)):
        given = integer(x, 4, 32, scheme)
        half = given.scales[:, given.group_of_k] * step / 2
        # Rounding the scale to 11 bits moves the ends of the range by at most 2**-11 of amax.
        slack = np.abs(x).max() * 2.0**-11
        assert (np.abs(given.dequantize() - x) <= half + slack).all()


# ---------------------------------------------------------------------- float minimum


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize(("group", "scale"), [(32, "fp16"), (0, "bf16"), (16, "fp8_e5m2")])
def test_float_minimum_is_its_definition(bits: int, group: int, scale: str) -> None:
    x = slow.samples(20 + bits)
    given = float_minimum(x, bits, group, scale)
    slow.check(given, x, lambda part: slow.minimum(part, bits, scale))
    assert (given.format.name, given.zero_kind) == (f"uint{bits}", "minimum")


def test_q4_1_blocks_are_quantised_to_themselves() -> None:
    rng = np.random.default_rng(21)
    blocks = 500
    d = rng.uniform(1e-4, 0.1, (blocks, 1)).astype(np.float16)
    m = (-rng.uniform(0, 16, (blocks, 1)) * d).astype(np.float16)
    codes = rng.integers(0, 16, (blocks, 32))
    codes[:, 3], codes[:, 17] = 0, 15
    x = d.astype(np.float32) * codes.astype(np.float32) + m.astype(np.float32)
    given = float_minimum(x, 4, 32)
    assert given.codes.tolist() == codes.tolist()
    assert given.scale_codes.tolist() == d.view(np.uint16).tolist()
    assert given.zero is not None
    assert given.zero.tolist() == m.astype(float).tolist()
    assert np.array_equal(given.dequantize().astype(np.float32), x)


def test_constant_groups_are_their_minimum() -> None:
    given = float_minimum([[0.5] * 4 + [0.0] * 4], 4, 4)
    assert given.scales.tolist() == [[0.0, 0.0]]
    assert given.dequantize().tolist() == [[0.5] * 4 + [0.0] * 4]
    # A minimum that is rounded up lies above all values: no negative scale comes of it.
    above = float_minimum([[2049.0 + 2.0]], 4)
    assert (above.scales.tolist(), above.dequantize().tolist()) == ([[0.0]], [[2052.0]])


def test_float_minimum_of_extreme_values_is_finite() -> None:
    assert np.isfinite(float_minimum([[-1.7e308, 1.7e308]], 4, scale_format="bf16").dequantize()).all()


# ---------------------------------------------------------------------- wrong input

X = np.ones((2, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: integer(X, 0), "integer: bits must be 1 to 16, not 0"),
        (lambda: integer(X, 17), "integer: bits must be 1 to 16, not 17"),
        (lambda: integer(X, 9, scheme="bipolar"), "integer: bits must be 1 to 8, not 9"),
        (
            lambda: integer(X, 4, scheme="symetric"),
            "integer: scheme must be one of symmetric, asymmetric, bipolar, ternary, not 'symetric'; "
            "did you mean 'symmetric'?",
        ),
        (lambda: integer(X, 4, scheme="ternary"), "integer: bits must be 2 with scheme ternary, not 4"),
        (
            lambda: integer(X, 4, scale_format="int8"),
            "integer: scale_format must be floating point such as fp16 or e8m0, not int8",
        ),
        (lambda: integer(X, 4, -1), "integer: group size must be positive, or 0 for the whole row, not -1"),
        (lambda: integer(X, 4, 2, per_tensor=True), "integer: group size must be 0 with per_tensor, not 2"),
        (lambda: integer(np.ones(4), 4), "integer: x must be a non-empty matrix [N, K], not of shape [4]"),
        (lambda: integer(np.ones((0, 4)), 4), "integer: x must be a non-empty matrix [N, K], not of shape [0, 4]"),
        (lambda: integer([[1.0, math.nan]], 4), "integer: x must be finite, not nan at [0, 1]"),
        (lambda: float_minimum([[1.0], [-math.inf]], 4), "float_minimum: x must be finite, not -inf at [1, 0]"),
        (lambda: float_minimum(X, 0), "float_minimum: bits must be 1 to 16, not 0"),
        (
            lambda: float_minimum(X, 4, scale_format="e8m0"),
            "float_minimum: scale_format must be signed floating point such as fp16, not e8m0",
        ),
    ],
)
def test_wrong_input(call: Any, message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        call()
    assert str(caught.value) == message
