"""The two-level quantiser against its definition over fractions, and the range of its int8."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import QTensor
from hwgen.quantize import two_level, two_level_limit
from tests.quantize import slow
from tests.quantize.slow import clip, samples

ASYMMETRIC = {2: 95, 3: 111, 4: 119, 5: 123, 6: 125, 7: 126, 8: 126}
SYMMETRIC = {2: 127, 3: 126, 4: 126, 5: 120, 6: 124, 7: 126, 8: 127}
LIMITS = {"asymmetric": ASYMMETRIC, "symmetric": SYMMETRIC}
FURTHEST = {
    "asymmetric": {2: 126, 3: 124, 4: 121, 5: 126, 6: 126, 7: 126, 8: 126},
    # The codes end at a multiple of their scale, which is the limit.
    "symmetric": SYMMETRIC,
}


def with_scale(w: list[int], bits: int, scheme: str, s1: int) -> tuple[int, int, int, list[int]]:
    """(square of the error, integer scale, zero point, codes) of a group of integers for a given scale."""
    if scheme == "symmetric":
        low, zero, top = 1 - 2 ** (bits - 1), 0, 2 ** (bits - 1) - 1
    else:
        low, top = 0, 2**bits - 1
        zero = clip(0, round(Fraction(-min(*w, 0), s1)), top)
    codes = [clip(low, round(Fraction(v, s1)) + zero, top) for v in w]
    return sum((v - s1 * (code - zero)) ** 2 for v, code in zip(w, codes, strict=True)), s1, zero, codes


def group_of(w: list[int], bits: int, scheme: str) -> tuple[int, int, list[int]]:
    """(integer scale, zero point, codes) of a group of integers."""
    if scheme == "symmetric":
        ideal = Fraction(max(abs(v) for v in w), 2 ** (bits - 1) - 1)
    else:
        ideal = Fraction(max(*w, 0) - min(*w, 0), 2**bits - 1)
    scales = {max(1, math.floor(ideal)), max(1, math.ceil(ideal))}
    _, s1, zero, codes = min(with_scale(w, bits, scheme, s1) for s1 in scales)
    return s1, zero, codes


def check(given: QTensor, x: np.ndarray, bits: int, scheme: str, outer_name: str) -> None:
    assert given.outer is not None
    assert given.outer.shape == (len(x), 1)
    assert given.scale_format.name == "uint8"
    assert given.format.name == ("int" if scheme == "symmetric" else "uint") + str(bits)
    assert (given.zero is None) == (scheme == "symmetric")
    limit = LIMITS[scheme][bits]
    for n, row in enumerate(np.asarray(x, np.float64).tolist()):
        exact = [Fraction(v) for v in row]
        _, outer = slow.scale(max(abs(v) for v in exact) / limit, outer_name)
        assert Fraction(float(given.outer[n, 0])) == outer, n
        w = [clip(-limit, round(slow.ratio(v, outer)), limit) for v in exact]
        for g, part in enumerate(given.group_slices):
            s1, zero, codes = group_of(w[part], bits, scheme)
            assert int(given.scale_codes[n, g]) == s1, (n, g)
            if given.zero is not None:
                assert int(given.zero[n, g]) == zero, (n, g)
            assert given.codes[n, part].tolist() == [code % 2**bits for code in codes], (n, g)


@pytest.mark.parametrize("outer", ["fp16", "bf16"])
@pytest.mark.parametrize("scheme", ["asymmetric", "symmetric"])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("group", [16, 0])
def test_equals_its_definition(bits: int, scheme: str, group: int, outer: str) -> None:
    x = samples(9)
    # The last group is ragged: 70 = 4 · 16 + 6.
    check(two_level(x, bits, group, scheme, outer), x, bits, scheme, outer)


@pytest.mark.parametrize("bits", ASYMMETRIC)
def test_limits(bits: int) -> None:
    assert {scheme: two_level_limit(bits, scheme) for scheme in LIMITS} == {
        scheme: limits[bits] for scheme, limits in LIMITS.items()
    }


def furthest(bits: int, scheme: str, limit: int) -> int:
    """Largest dequantised weight over every lowest and highest integer of a group, with either of its scales; what lies
    between is no further out.
    """
    low, high = (axis.ravel() for axis in np.meshgrid(*[np.arange(-limit, limit + 1)] * 2))
    low, high = low[low <= high], high[low <= high]
    symmetric = scheme == "symmetric"
    top = 2 ** (bits - 1) - 1 if symmetric else 2**bits - 1
    width = np.maximum(-low, high) if symmetric else np.maximum(high, 0) - np.minimum(low, 0)
    found = 0
    for rounding in (np.floor, np.ceil):
        s1 = np.maximum(rounding(width / top), 1)
        assert s1.max() <= 127
        zero = 0 * s1 if symmetric else np.clip(np.rint(-np.minimum(low, 0) / s1), 0, top)
        for end in (low, high):
            codes = np.clip(np.rint(end / s1) + zero, -top if symmetric else 0, top)
            found = max(found, int(np.abs(s1 * (codes - zero)).max()))
    return found


@pytest.mark.parametrize("scheme", LIMITS)
@pytest.mark.parametrize("bits", ASYMMETRIC)
def test_dequantised_weights_are_int8(bits: int, scheme: str) -> None:
    assert furthest(bits, scheme, LIMITS[scheme][bits]) == FURTHEST[scheme][bits]
    assert FURTHEST[scheme][bits] <= 127


@pytest.mark.parametrize("bits", range(2, 8))
def test_a_limit_one_larger_leaves_int8(bits: int) -> None:
    """For 4 bits 120 would become 8 · 16 = 128."""
    assert furthest(bits, "asymmetric", ASYMMETRIC[bits] + 1) == 128
    assert with_scale([-120, 120], 4, "asymmetric", 16)[2:] == (8, [0, 15])


@pytest.mark.parametrize("scheme", ["asymmetric", "symmetric"])
@pytest.mark.parametrize("bits", [2, 4, 6])
def test_results_are_int8(bits: int, scheme: str) -> None:
    limit = LIMITS[scheme][bits]
    x = np.random.default_rng(bits).integers(-limit, limit + 1, (8, 256)).astype(np.float64)
    # A channel whose largest integer is the limit has a scale of 1: its integers are x itself.
    x[:, 0] = limit
    found = two_level(x, bits, 8, scheme)
    assert found.outer is not None
    assert (found.outer == 1).all()
    results = found.dequantize()
    assert 110 <= np.abs(results).max() <= FURTHEST[scheme][bits]
    assert np.array_equal(results, np.rint(results))


def test_small_groups_have_scale_one() -> None:
    x = np.zeros((2, 32))
    x[0, 0], x[0, 16:] = 119, np.arange(16) - 8
    found = two_level(x, 4, 16)
    assert found.scale_codes.tolist() == [[8, 1], [1, 1]]
    assert found.zero is not None
    assert found.zero.tolist() == [[0, 8], [0, 0]]
    assert found.outer is not None
    assert found.outer.tolist() == [[1.0], [0.0]]
    assert found.dequantize()[0, 16:].tolist() == x[0, 16:].tolist()
    assert not found.dequantize()[1].any()


def test_bytes_keep_both_levels() -> None:
    found = two_level(samples(3), 3, 16)
    assert QTensor.from_bytes(found.to_bytes()) == found


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"bits": 1}, "two_level: bits must be 2 to 8, not 1"),
        ({"bits": 9}, "two_level: bits must be 2 to 8, not 9"),
        (
            {"scheme": "minimum"},
            "two_level: scheme must be one of asymmetric, symmetric, not 'minimum'",
        ),
        (
            {"outer_format": "int8"},
            "two_level: scale_format must be floating point such as fp16 or e8m0, not int8",
        ),
        ({"group_size": -1}, "two_level: group size must be positive, or 0 for the whole row, not -1"),
    ],
)
def test_refusals(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(HwgenError) as caught:
        two_level(np.ones((2, 8)), **({"bits": 4} | values))  # type: ignore[arg-type]
    assert str(caught.value) == sentence
