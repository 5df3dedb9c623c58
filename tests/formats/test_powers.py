"""Sums of powers of two against their definition, read off the bits as text."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import PowersFormat, get

NAMES = [
    *(f"powers{terms}_{shifts}" for terms in (1, 2, 3) for shifts in (0, 2, 6)),
    *("powers1_14", "powers2_14", "apot2_1", "apot2_5", "apot2_13", "apot3_2", "apot3_8", "apot3_20"),
]
EVERY = pytest.mark.parametrize("name", NAMES)


def value(form: PowersFormat, code: int) -> int:
    """Sum of the terms of a code, by its binary digits from the right."""
    digits = f"{code:0{form.code_bits}b}"
    total = 0
    for term in range(form.terms):
        sign = "0"
        if not form.one_sign:
            sign, digits = digits[-1 - form.field_bits], digits[: -1 - form.field_bits] + digits[-form.field_bits :]
        field, digits = int(digits[-form.field_bits :], 2), digits[: -form.field_bits]
        largest = form.shifts - term if form.one_sign else form.shifts
        step = form.terms if form.one_sign else 1
        total += 0 if field == 0 else (-1) ** int(sign) * 2 ** (largest - step * (field - 1))
    return -total if digits == "1" else total


def form_of(name: str) -> PowersFormat:
    form = get(name)
    assert isinstance(form, PowersFormat)
    assert form.name == name
    return form


@EVERY
def test_decodes_all_codes(name: str) -> None:
    form = form_of(name)
    wanted = [value(form, code) for code in range(1 << form.code_bits)]
    assert form.decode(form.codes()).tolist() == wanted
    assert [form.decode_scalar(code) for code in form.codes().tolist()[::5]] == wanted[::5]
    assert form.fixed(form.codes()).tolist() == wanted
    assert (form.max_value, form.min_value, form.lsb_exp) == (max(wanted), min(wanted), 0)
    assert form.smallest == min(number for number in wanted if number > 0)
    assert wanted[form.padding or 0] == 0
    assert set(form.corners) <= set(range(1 << form.code_bits))
    assert {max(wanted), min(wanted), 0, 1, -1} <= {wanted[code] for code in form.corners}


@EVERY
def test_encodes_the_nearest_value(name: str) -> None:
    """Least distance, then the least magnitude, then the smallest code, over all codes."""
    form = form_of(name)
    codes: dict[int, int] = {}
    for code in range(1 << form.code_bits):
        codes.setdefault(value(form, code), code)
    levels = sorted(codes)
    few = levels if len(levels) < 50 else [*levels[:9], *levels[len(levels) // 2 - 9 :][:19], *levels[-9:]]
    middles = [(a + b) / 2 for a, b in itertools.pairwise(levels)][:: max(len(levels) // 20, 1)]
    near = [math.nextafter(middle, way) for middle in middles for way in (-math.inf, math.inf)]
    spread = np.random.default_rng(1).uniform(1.2 * levels[0], 1.2 * levels[-1], 50)
    probes = [*map(float, few), *middles, *near, *spread.tolist(), 0.0, -0.0, 5e-324, 1e300, -1e300]

    def nearest(x: float) -> int:
        return codes[min(levels, key=lambda level: (abs(level - Fraction(x)), abs(level)))]

    wanted = [nearest(x) for x in probes]
    assert form.encode(probes).tolist() == wanted
    assert [form.encode_scalar(x) for x in probes[::7]] == wanted[::7]
    assert form.encode([math.inf, -math.inf]).tolist() == [codes[levels[-1]], codes[levels[0]]]


def test_known_values() -> None:
    # DeepShift's four bits: a sign and 2^0 to 2^-6, or 0.
    assert form_of("powers1_6").decode(range(9)).tolist() == [0, 64, 32, 16, 8, 4, 2, 1, 0]
    # APoT, equation 5, with five bits: {0, 2^0, 2^-2, 2^-4} + {0, 2^-1, 2^-3, 2^-5}, here 32 times as large.
    sums = sorted(a + b for a in (0, 1, 2**-2, 2**-4) for b in (0, 2**-1, 2**-3, 2**-5))
    assert sorted(form_of("apot2_5").decode(range(16)).tolist()) == [32 * number for number in sums]
    assert len(set(form_of("apot3_8").decode(range(64)).tolist())) == 64


def test_code_of_a_value_has_the_fewest_terms() -> None:
    form = form_of("powers3_6")
    codes = form.encode([64.0, 96.0, 60.0, 33.0])
    assert [sum((int(code) >> 4 * term) & 7 > 0 for term in range(3)) for code in codes] == [1, 2, 2, 2]


def test_ties_go_towards_zero() -> None:
    form = form_of("powers1_6")
    assert form.decode(form.encode([0.5, -0.5, 3, -3, 48, -48])).tolist() == [0, 0, 2, -2, 32, -32]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: get("powers4_6"), "powers: terms must be 1 to 3, not 4"),
        (lambda: get("apot1_6"), "apot: terms must be 2 to 3, not 1"),
        (lambda: get("powers2_5"), "powers2: the largest shift must be 0, 2, 6 or 14, not 5"),
        (lambda: get("apot2_6"), "apot2: the largest shift must be 1, 5 or 13, not 6"),
        (lambda: form_of("powers1_6").encode([float("nan")]), "powers1_6: values must be numbers, not NaN, which"),
        (lambda: form_of("powers1_6").decode([16]), "powers1_6: words must be 0 to 15, not 16"),
        (lambda: form_of("apot2_5").decode_scalar(32), "apot2_5: code must be 0 to 31, not 32"),
    ],
)
def test_refusals(call: object, text: str) -> None:
    with pytest.raises(HwgenError) as caught:
        call()  # type: ignore[operator]
    assert str(caught.value).startswith(text)
