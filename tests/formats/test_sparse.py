"""Sparse ternary words against a search of all of them."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import QTensor, SparseTernaryFormat, get
from hwgen.quantize import sparse_ternary
from sim.accuracy.operand import operand_format

FORM = SparseTernaryFormat()
WORDS = [word for word in itertools.product((-1, 0, 1), repeat=4) if word.count(0) == 1]


def test_codes_are_all_words_with_one_zero() -> None:
    decoded = FORM.decode(FORM.codes())
    assert sorted(map(tuple, decoded.tolist())) == sorted(WORDS)
    scalars = [[FORM.decode_scalar(code, place) for place in range(4)] for code in range(32)]
    assert decoded.tolist() == scalars
    assert FORM.encode(decoded).tolist() == list(range(32))
    # Bits 3 and 4: the second is 0; the first and the fourth are -1.
    assert FORM.decode([0b01_101]).tolist() == [[-1, 0, 1, -1]]


def test_encodes_a_nearest_word() -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(size=(300, 4)), rng.integers(-2, 3, (300, 4)) / 2])
    codes = FORM.encode(x)
    assert [FORM.encode_word(row) for row in x.tolist()] == codes.tolist()
    for row, word in zip(x.tolist(), FORM.decode(codes).tolist(), strict=True):
        errors = [sum((Fraction(v) - w) ** 2 for v, w in zip(row, each, strict=True)) for each in WORDS]
        own = sum((Fraction(v) - Fraction(w)) ** 2 for v, w in zip(row, word, strict=True))
        assert own == min(errors)


def test_zeros_and_ties() -> None:
    assert FORM.decode(FORM.encode([[0, 0, 0, 0], [2, -1, 1, -1]])).tolist() == [[0, 1, 1, 1], [1, 0, 1, -1]]


def test_quantiser_has_the_scale_of_least_error() -> None:
    x = np.random.default_rng(2).normal(size=(3, 24))
    found = sparse_ternary(x, 8, "fp32")
    assert isinstance(found, QTensor)
    values = found.values()
    for row, group in np.ndindex(3, 3):
        part = slice(8 * group, 8 * group + 8)
        v, w = values[row, part], x[row, part]
        assert (v == 0).sum() == 2
        assert found.scales[row, group] == pytest.approx((v @ w) / (v @ v), rel=1e-6)
    assert QTensor.from_bytes(found.to_bytes()) == found


def test_it_takes_a_bit_and_a_quarter() -> None:
    assert operand_format("sherry/row").bits(4096) == 1.25 + 16 / 4096
    assert get("sherry") is get("ternary_3of4") == FORM


@pytest.mark.parametrize(
    ("x", "group", "sentence"),
    [
        (np.ones((2, 6)), 0, "sparse_ternary: K must be a multiple of 4, not 6"),
        (np.ones((2, 8)), 6, "sparse_ternary: group size must be a multiple of 4, not 6"),
    ],
)
def test_refusals(x: np.ndarray, group: int, sentence: str) -> None:
    with pytest.raises(HwgenError) as caught:
        sparse_ternary(x, group)
    assert str(caught.value) == sentence


def test_values_of_another_shape_and_nan() -> None:
    with pytest.raises(HwgenError, match=r"^ternary_3of4: values must have a last axis of 4, not the shape \[3\]$"):
        FORM.encode([1.0, 2.0, 3.0])
    for refused in (lambda: FORM.encode([[1, 2, np.nan, 3]]), lambda: FORM.encode_scalar(float("nan"))):
        with pytest.raises(HwgenError, match="not NaN"):
            refused()
