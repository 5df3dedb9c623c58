"""Booth digits and two-term decomposition: every number of every width, as logic, as reference and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Cat, Const

from hwgen.arith.booth import booth_digit, booth_digits, booth_reference
from hwgen.arith.terms import beyond_two_terms, two_terms, two_terms_reference
from rtl_tests.arith.comb import Block, simulate

pytestmark = pytest.mark.rtl

TABLE = {0: 0, 1: 1, 2: 1, 3: 2, 4: -2, 5: -1, 6: -1, 7: 0}
"""The radix-4 table: window to digit."""


def test_every_window_gives_its_digit() -> None:
    block = Block({"w": 3}, lambda m, i: booth_digit(m, i["w"], "d")._asdict())
    got = simulate(block, w=np.arange(8))
    digits = got["man"] * (1 << got["exp"]) * (1 - 2 * got["sign"])
    assert dict(enumerate(digits.tolist())) == TABLE


@pytest.mark.parametrize("bits", range(1, 13))
def test_digits_add_up_to_every_number(bits: int) -> None:
    numbers = np.arange(-(1 << (bits - 1)), 1 << (bits - 1))
    digits = booth_reference(numbers, bits)
    assert digits.values.shape == (booth_digits(bits), len(numbers))
    assert np.array_equal(sum(4**place * digit for place, digit in enumerate(digits.values)), numbers)
    # By windows of the bit string, lowest first, with a zero below and the sign repeated above.
    for index, number in enumerate(numbers.tolist()):
        text = format(number & 0xFFFFFF, "024b")[::-1]
        windows = [int(("0" + text)[2 * place : 2 * place + 3][::-1], 2) for place in range(booth_digits(bits))]
        assert digits.values[:, index].tolist() == [TABLE[window] for window in windows]


def test_logic_equals_reference_on_all_bytes() -> None:
    def build(m: object, i: dict[str, object]) -> dict[str, object]:
        padded = Cat(Const(0, 1), i["w"])
        found = {}
        for place in range(4):
            digit = booth_digit(m, padded[2 * place : 2 * place + 3], f"d{place}")  # type: ignore[arg-type]
            found |= {f"{name}{place}": value for name, value in digit._asdict().items()}
        return found

    got = simulate(Block({"w": 8}, build), w=np.arange(256))  # type: ignore[arg-type]
    want = booth_reference(np.arange(256).astype(np.int8).astype(np.int64), 8)
    for name, values in want._asdict().items():
        for place in range(4):
            assert got[f"{name}{place}"].tolist() == values[place].tolist(), (name, place)


@pytest.mark.parametrize("bits", [2, 3, 5, 6, 8])
def test_two_terms_of_every_magnitude(bits: int) -> None:
    def build(m: object, i: dict[str, object]) -> dict[str, object]:
        first, second = two_terms(m, i["x"], "both")  # type: ignore[arg-type]
        (serial,) = two_terms(m, i["x"], "serial", second=i["second"])  # type: ignore[arg-type]
        return {
            "e1": first.exp, "m1": first.man, "e2": second.exp, "m2": second.man, "e": serial.exp, "m": serial.man,
            "beyond": beyond_two_terms(m, i["x"], "beyond"),  # type: ignore[arg-type]
        }  # fmt: skip

    x = np.tile(np.arange(1 << bits), 2)
    second = np.repeat([0, 1], 1 << bits)
    got = simulate(Block({"x": bits, "second": 1}, build), x=x, second=second)  # type: ignore[arg-type]
    want = two_terms_reference(x, bits)
    assert got["e1"].tolist() == want[0].exp.tolist()
    assert got["m1"].tolist() == want[0].man.tolist()
    assert got["e2"].tolist() == want[1].exp.tolist()
    assert got["m2"].tolist() == want[1].man.tolist()
    assert got["e"].tolist() == np.where(second == 1, want[1].exp, want[0].exp).tolist()
    assert got["m"].tolist() == np.where(second == 1, want[1].man, want[0].man).tolist()
    for index, number in enumerate(x.tolist()):
        ones = [place for place in reversed(range(bits)) if number >> place & 1]
        total = (got["m1"][index] << (got["e1"][index] + 1)) + (got["m2"][index] << got["e2"][index])
        assert total == sum(1 << place for place in ones[:2]), number
        assert got["beyond"][index] == (len(ones) > 2)


def test_overlapping_windows_do_not_count_a_one_twice() -> None:
    # In halves: 1.5, 3, 5 and 6 have both ones in the first window or share its lowest place with the second.
    first, second = two_terms_reference(np.array([3, 6, 10, 12]), 5)
    assert ((first.man << first.exp) * 1.0).tolist() == [1, 2, 4, 4]
    assert ((second.man << second.exp) / 2).tolist() == [0.5, 1, 1, 2]
