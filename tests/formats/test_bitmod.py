from __future__ import annotations

import bisect
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import BitmodFormat, QTensor, get
from hwgen.formats.bitmod import TWO_TERM_MAGNITUDES

FP3, FP4 = BitmodFormat(code_bits=3), BitmodFormat(code_bits=4)
RAZER = BitmodFormat(code_bits=4, specials=(-2.5, 0, 12, 8.5))
FORMATS = [FP3, FP4, RAZER, BitmodFormat(code_bits=3, specials=(0, 0.5, 4, -10))]
# Written out from the paper's Table IV, in code order; None is the special value.
BASIC: dict[int, list[Fraction | None]] = {
    3: [Fraction(0), Fraction(1), Fraction(2), Fraction(4), None, Fraction(-1), Fraction(-2), Fraction(-4)],
    4: [Fraction(n, 2) for n in (0, 1, 2, 3, 4, 6, 8, 12)] + [None] + [Fraction(-n, 2) for n in (1, 2, 3, 4, 6, 8, 12)],
}


def levels(form: BitmodFormat, side: int) -> list[Fraction]:
    special = Fraction(form.specials[side])
    return [special if value is None else value for value in BASIC[form.code_bits]]


def nearest(form: BitmodFormat, side: int, x: float | Fraction) -> int:
    """Bisection in the ascending list of values: mid[i − 1] < x <= mid[i] belongs to value i."""
    first: dict[Fraction, int] = {}
    for code, value in enumerate(levels(form, side)):
        first.setdefault(value, code)
    values = sorted(first)
    if math.isinf(x):
        return first[values[-1 if x > 0 else 0]]
    middles = [(a + b) / 2 for a, b in itertools.pairwise(values)]
    return first[values[bisect.bisect_left(middles, Fraction(x))]]


def probes(form: BitmodFormat, side: int) -> list[float]:
    values = sorted(set(levels(form, side)))
    centres = [float(v) for v in values] + [float((a + b) / 2) for a, b in itertools.pairwise(values)]
    near = [math.nextafter(c, way) for c in centres for way in (-math.inf, math.inf)]
    return [*centres, *near, 0.0, -0.0, 1e300, -1e300, math.inf, -math.inf, 5e-324, -5e-324]


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_decodes_every_code_of_every_selector(form: BitmodFormat) -> None:
    for side in range(4):
        expected = levels(form, side)
        assert [form.decode_scalar(code, side) for code in range(1 << form.code_bits)] == expected
        decoded = form.decode(form.codes(), side)
        assert decoded.tolist() == [float(v) for v in expected]
        assert not np.signbit(decoded[decoded == 0]).any()
        units = [v / Fraction(2) ** form.lsb_exp for v in expected]
        assert form.fixed(form.codes(), side).tolist() == units
        assert form.largest(side) == max(abs(v) for v in expected)


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_encodes_to_the_nearest_and_ties_to_the_lower_value(form: BitmodFormat) -> None:
    for side in range(4):
        xs = probes(form, side)
        expected = [nearest(form, side, x) for x in xs]
        assert form.encode(xs, side).tolist() == expected
        assert [form.encode_scalar(x, side) for x in xs] == expected


def test_named_ties() -> None:
    # Of two negative values the lower one is the larger in magnitude.
    xs = [4.5, 5.5, -4.5, -5.5, 0.25, -0.25]
    assert FP4.decode(FP4.encode(xs, 1), 1).tolist() == [4.0, 5.0, -4.0, -6.0, 0.0, -0.5]
    assert FP4.decode(FP4.encode(xs, 0), 0).tolist() == [4.0, 6.0, -5.0, -6.0, 0.0, -0.5]


def test_selectors_broadcast() -> None:
    side = np.array([[0], [1], [2], [3]])
    x = np.array([[5.0, -5.0, 8.0, -8.0]])
    assert FP4.decode(FP4.encode(x, side), side).tolist() == [
        [4.0, -5.0, 6.0, -6.0],
        [5.0, -6.0, 6.0, -6.0],
        [4.0, -6.0, 6.0, -8.0],
        [4.0, -6.0, 8.0, -6.0],
    ]


def test_special_values_that_repeat_or_are_not_programmed() -> None:
    form = BitmodFormat(code_bits=4, specials=(0, -0.0, 6, -0.5))
    assert form.name == "bitmod_fp4(0,0,6,-0.5)"
    assert form.decode([8, 8, 8, 8], [0, 1, 2, 3]).tolist() == [0.0, 0.0, 6.0, -0.5]
    assert form.encode([0.0, -0.0, 6.0, -0.5], [0, 1, 2, 3]).tolist() == [0, 0, 7, 9]


def test_every_reachable_special_value_is_taken_and_no_other() -> None:
    reachable = {a + b for a in (0, 0.5, 1, 2, 4, 8) for b in (0, 0.5, 1, 2, 4, 8) if a != b or not a}
    assert set(TWO_TERM_MAGNITUDES) == reachable
    wanted = {0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 4.5, 5, 6, 8, 8.5, 9, 10, 12}
    assert reachable == wanted
    for units in range(-80, 81):
        value = units / 4
        if abs(value) in wanted:
            assert BitmodFormat(code_bits=3, specials=(value,) * 4).specials == (value,) * 4
        else:
            with pytest.raises(HwgenError) as caught:
                BitmodFormat(code_bits=3, specials=(3, value, 0, 0))
            assert str(caught.value) == (
                "bitmod_fp3: specials must be sums of two powers of two with a sign (0, 0.5, 1, 1.5, 2, 2.5, 3, 4, "
                f"4.5, 5, 6, 8, 8.5, 9, 10, 12), not {value:g}"
            )


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("bitmod_fp4(-5,5,-8,8)", "bitmod_fp4"),
        ("bitmod_fp3(-3.0,3,-6,6)", "bitmod_fp3"),
        ("bitmod_fp3(1,2,3,4)", "bitmod_fp3(1,2,3,4)"),
        ("bitmod_fp4(-5,5,-10,0)", "bitmod_fp4(-5,5,-10,0)"),
        ("bitmod_fp4(2.50,12,-0,9)", "bitmod_fp4(2.5,12,0,9)"),
    ],
)
def test_names(given: str, name: str) -> None:
    form = get(given)
    assert isinstance(form, BitmodFormat)
    assert form.name == name
    assert get(name) is form
    assert (form.side_bits, form.elements, form.padding) == (2, 1, 0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bitmod_fp4(1,2,3)", "bitmod_fp4: specials must be 4 values, not 3"),
        ("bitmod_fp4(1,2,3,.)", "format: special values must be numbers separated by commas, not '1,2,3,.'"),
        (
            "bitmod_fp4(1,2,3,7)",
            "bitmod_fp4: specials must be sums of two powers of two with a sign (0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 4.5, 5, "
            "6, 8, 8.5, 9, 10, 12), not 7",
        ),
    ],
)
def test_names_that_cannot_be(name: str, message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        get(name)
    assert str(caught.value) == message


NO_NAN = "bitmod_fp3: values must be numbers, not NaN, which the format cannot express"


def test_wrong_uses() -> None:
    for action, message in (
        (lambda: BitmodFormat(code_bits=5), "bitmod: bits must be 3 to 4, not 5"),
        (lambda: FP4.decode([1]), "bitmod_fp4: side information of 2 bits is required, none was given"),
        (lambda: FP4.decode_scalar(1), "bitmod_fp4: side information of 2 bits is required, none was given"),
        (lambda: FP4.decode([1], 4), "bitmod_fp4: selector must be 0 to 3, not 4"),
        (lambda: FP3.encode([1.0], [-1]), "bitmod_fp3: selector must be 0 to 3, not -1"),
        (lambda: FP3.decode_scalar(8, 0), "bitmod_fp3: code must be 0 to 7, not 8"),
        (lambda: FP3.encode([math.nan], 0), NO_NAN),
        (lambda: FP3.encode_scalar(math.nan, 0), NO_NAN),
    ):
        with pytest.raises(HwgenError) as caught:
            action()
        assert str(caught.value) == message


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_facts_cover_all_selectors(form: BitmodFormat) -> None:
    every = [v for side in range(4) for v in levels(form, side)]
    assert (form.max_value, form.min_value) == (max(every), min(every))
    assert form.smallest == min(v for v in every if v > 0)
    units = [v / Fraction(2) ** form.lsb_exp for v in every]
    assert all(unit.denominator == 1 for unit in units)
    assert any(unit.numerator % 2 for unit in units)
    bits = form.fixed_bits
    assert all(-(1 << (bits - 1)) <= unit < 1 << (bits - 1) for unit in units)
    assert set(form.corners) >= {0, form.special_code, (1 << form.code_bits) - 1, (1 << (form.code_bits - 1)) - 1}


def test_a_stored_tensor_brings_its_table_back() -> None:
    tensor = QTensor.build(
        np.arange(32).reshape(2, 16) % 16,
        RAZER,
        group_size=8,
        scale_codes=np.ones((2, 2), np.uint32),
        scale_format=get("e8m0"),
        selector=np.array([[0, 1], [2, 3]]),
    )
    again = QTensor.from_bytes(tensor.to_bytes())
    assert again == tensor
    assert again.values()[1].tolist() == [float(v) for v in levels(RAZER, 2)[:8] + levels(RAZER, 3)[8:]]
