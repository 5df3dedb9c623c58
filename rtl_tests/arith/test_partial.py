# amaranth: UnusedElaboratable=no
"""Partial products: rows by bits and by Booth's digits add up to every product."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, Value

from hwgen.arith.compressor import Term, carry_save_sum
from hwgen.arith.partial import bit_rows, bit_shapes, booth_rows, booth_shapes
from rtl_tests.arith.comb import Block, simulate

pytestmark = pytest.mark.rtl

Rows = Callable[[Module, Value, Value, str], list[Term]]


def _wrong(rows: Rows, number: int, factor: int, signs: tuple[bool, bool]) -> int:
    """How many products of all numbers and factors are wrong."""

    def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
        a, b = (i[name].as_signed() if sign else i[name] for name, sign in zip("ab", signs, strict=True))
        return {"product": carry_save_sum(m, rows(m, a, b, "row"), "sum", number + factor + 1)}

    pairs = np.array(list(itertools.product(range(1 << number), range(1 << factor))))
    a, b = pairs.T
    got = simulate(Block({"a": number, "b": factor}, build), a=a, b=b)["product"]
    a, b = (
        x - (1 << bits) * (x >> (bits - 1)) if sign else x
        for x, bits, sign in zip((a, b), (number, factor), signs, strict=True)
    )
    return int(np.count_nonzero(got != a * b))


@pytest.mark.parametrize("factor", range(1, 6))
@pytest.mark.parametrize("number", [2, 4])
def test_every_product(number: int, factor: int) -> None:
    assert _wrong(booth_rows, number, factor, (True, True)) == 0
    for signs in itertools.product((False, True), repeat=2):
        assert _wrong(bit_rows, number, factor, signs) == 0


def test_a_lost_one_of_a_negative_digit_is_seen() -> None:
    assert _wrong(lambda *given: booth_rows(*given)[:-1], 4, 4, (True, True)) > 0


@pytest.mark.parametrize("factor", range(1, 6))
def test_shapes_are_those_of_the_rows(factor: int) -> None:
    m = Module()
    a, b = Signal(4).as_signed(), Signal(factor)
    assert [row.shape for row in booth_rows(m, a, b.as_signed(), "row")] == booth_shapes(4, factor)
    assert [row.shape for row in bit_rows(m, a, b, "row")] == bit_shapes(4, True, factor, False)
