from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import OliveFormat, get

FORM = OliveFormat()
FLINT = [0, 1, 2, 3, 16, 8, 4, 6]
NORMALS = {"int": list(range(8)), "flint": FLINT}
# Type and bias by selector, and OliVe's outliers for bias 2, in units of its int4.
TYPES = [("int", 2), ("flint", 3), ("int", 3), ("flint", 4)]
BIAS_2 = [12, 16, 24, 32, 48, 64, 96]


def element(code: int, other: int, side: int) -> int:
    """Value of a code beside another one."""
    kind, bias = TYPES[side]
    if code == 8:
        return 0
    low, sign = code % 8, -1 if code >= 8 else 1
    if other == 8:
        return sign * BIAS_2[low - 1] * 2 ** (bias - 2) if low else 0
    return code - 16 if kind == "int" and code >= 8 else sign * NORMALS[kind][low]


def values(side: int) -> dict[int, tuple[int, int]]:
    """Values of all bytes that are encoded."""
    found = {}
    for code in range(256):
        first, second = code & 15, code >> 4
        if 8 not in (first, second) or (first & 7) + (second & 7):
            found[code] = element(first, second, side), element(second, first, side)
    return found


def test_outliers_begin_behind_normal_values() -> None:
    assert [FORM.normals(side)[-1] for side in range(4)] == [7, 16, 7, 16]
    assert FORM.outliers(0) == tuple(BIAS_2)
    assert [FORM.outliers(side)[0] for side in range(4)] == [12, 24, 24, 48]
    assert [FORM.outliers(side)[-1] for side in range(4)] == [96, 192, 192, 384]


def test_decodes_every_byte() -> None:
    for side in range(4):
        expected = [[element(c & 15, c >> 4, side), element(c >> 4, c & 15, side)] for c in range(256)]
        assert FORM.decode(FORM.codes(), side).tolist() == expected
        assert [[int(FORM.decode_scalar(c, one, side)) for one in (0, 1)] for c in range(256)] == expected
        decoded = FORM.decode(FORM.codes(), side)
        assert not np.signbit(decoded[decoded == 0]).any()


def test_bytes_come_back() -> None:
    for side in range(4):
        codes = np.array(list(values(side)), np.uint32)
        again = FORM.encode(FORM.decode(codes, side), side)
        # A pair of a normal value and zero need no outlier: of equal ones the normal pair.
        assert FORM.decode(again, side).tolist() == FORM.decode(codes, side).tolist()
        assert 0x88 not in again
        assert np.array_equal(again, codes)


def probes(side: int) -> list[tuple[float, float]]:
    rng = np.random.default_rng(side)
    ends = [0.0, -0.0, 0.5, 6.5, 9.0, 9.5, 14.0, 20.0, -28.0, 80.0, 97.0, 400.0, -1e300, math.inf, 5e-324]
    grid = list(itertools.product(ends, ends))
    random = rng.choice([1, 4, 16, 64, 256], (300, 2)) * rng.uniform(-2, 2, (300, 2))
    # Halves, among which there are ties.
    return [*grid, *map(tuple, random.tolist()), *map(tuple, (np.round(random * 2) / 2).tolist())]


@pytest.mark.parametrize("side", range(4))
def test_encodes_to_the_pair_with_the_least_error(side: int) -> None:
    xs = probes(side)
    codes = FORM.encode(xs, side)
    assert codes.tolist() == [FORM.encode_pair(x, side) for x in xs]
    legal = np.array(list(values(side).values()), np.float64)
    x = np.clip(xs, -384, 384)
    errors = ((x[:, None] - legal) ** 2).sum(axis=-1).min(axis=1)
    assert (((FORM.decode(codes, side) - x) ** 2).sum(axis=-1) == errors).all()


def test_named_ties() -> None:
    # Half-way between magnitudes the smaller one; equal pairs are normal, then the first is the outlier.
    assert FORM.decode(FORM.encode([[2.5, -3.5], [9.5, 0.0], [14.0, 0.0], [100.0, 100.0]], 0), 0).tolist() == [
        [2, -3],
        [7, 0],
        [12, 0],
        [96, 0],
    ]


def test_selectors_broadcast() -> None:
    codes = FORM.encode([[[30.0, 1.0]]], np.arange(4)[:, None])
    assert FORM.decode(codes, np.arange(4)[:, None]).tolist() == [[[32, 0]], [[32, 0]], [[32, 0]], [[16, 1]]]


def test_facts() -> None:
    assert (FORM.name, FORM.code_bits, FORM.elements, FORM.side_bits, FORM.padding) == ("olive4", 8, 2, 2, 0)
    assert (FORM.min_value, FORM.max_value, FORM.smallest, FORM.lsb_exp) == (-384, 384, 1.0, 0)
    assert get("olive4") == FORM
    described = FORM.describe()
    assert described["kind"] == "table"
    assert described["values_by_side"][1] == FORM.decode(FORM.codes(), 1).tolist()


def test_what_cannot_be() -> None:
    for run, message in (
        (lambda: FORM.decode([1], 4), "olive4: selector must be 0 to 3, not 4"),
        (lambda: FORM.decode([256], 0), "olive4: words must be 0 to 255, not 256"),
        (lambda: FORM.encode([1.0, 2.0, 3.0], 0), "olive4: values must have a last axis of 2, not the shape [3]"),
        (lambda: FORM.decode([1]), "olive4: side information of 2 bits is required, none was given"),
    ):
        with pytest.raises(HwgenError) as caught:
            run()
        assert str(caught.value) == message
