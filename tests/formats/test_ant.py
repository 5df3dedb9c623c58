from __future__ import annotations

import bisect
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import AntFormat, get

ANT, FLINT, POT = AntFormat(), AntFormat(kind="flint"), AntFormat(kind="pot")
FORMATS = [ANT, FLINT, POT]
INT = [*range(8), *range(-8, 0)]


def flint(code: int) -> int:
    """ANT's flint, as strings: the mantissa is what is left behind the first one."""
    bits = f"{code & 7:03b}"
    if bits[0] == "0":
        magnitude = int(bits, 2)
    else:
        rest = bits[1:]
        exponent = 2 + rest.index("1") if "1" in rest else 4
        tail = rest[rest.index("1") + 1 :] if "1" in rest else ""
        magnitude = int(2**exponent * (1 + (int(tail, 2) / 2 ** len(tail) if tail else 0)))
    return -magnitude if code & 8 else magnitude


def pot(code: int) -> int:
    magnitude = 2 ** (code & 7) // 2
    return -magnitude if code & 8 else magnitude


def fp4(code: int) -> int:
    return int(2 * float(get("fp4_e2m1").decode_scalar(code)))


TABLES = {
    "int": INT,
    "flint": [flint(code) for code in range(16)],
    "pot": [pot(code) for code in range(16)],
    "float": [fp4(code) for code in range(16)],
}


def table(form: AntFormat, side: int | None) -> list[int]:
    return TABLES[form.kinds[side or 0]]


def sides(form: AntFormat) -> list[int | None]:
    return [0, 1, 2, 3] if form is ANT else [None]


def test_flint_has_the_published_values() -> None:
    assert sorted(set(TABLES["flint"])) == [-16, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 16]
    assert [TABLES["pot"][code] for code in (1, 7, 9, 15)] == [1, 64, -1, -64]


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_decodes_every_code(form: AntFormat) -> None:
    for side in sides(form):
        expected = table(form, side)
        assert [form.decode_scalar(code, side) for code in range(16)] == expected
        decoded = form.decode(form.codes(), side)
        assert decoded.tolist() == expected
        assert not np.signbit(decoded[decoded == 0]).any()
        assert form.fixed(form.codes(), side).tolist() == expected


def nearest(magnitudes: list[int], x: float) -> int:
    """What is on a midpoint belongs to the magnitude below."""
    ends = [(a + b) / 2 for a, b in itertools.pairwise(magnitudes)]
    return magnitudes[bisect.bisect_left(ends, x)]


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_encodes_to_the_nearest_and_ties_to_the_smaller(form: AntFormat) -> None:
    for side in sides(form):
        first: dict[int, int] = {}
        for code, value in enumerate(table(form, side)):
            first.setdefault(value, code)
        values = sorted(first)
        middles = [Fraction(a + b, 2) for a, b in itertools.pairwise(values)]
        centres = [float(v) for v in (*values, *middles)]
        xs = [*centres, *(math.nextafter(c, way) for c in centres for way in (-math.inf, math.inf))]
        xs += [0.0, -0.0, 1e300, -1e300, math.inf, -math.inf]
        magnitudes = sorted(v for v in values if v >= 0), sorted(-v for v in values if v <= 0)
        expected = [first[nearest(magnitudes[x < 0], abs(x)) * (-1 if x < 0 else 1)] for x in xs]
        assert form.encode(xs, side).tolist() == expected
        assert [form.encode_scalar(x, side) for x in xs] == expected


def test_selectors_broadcast() -> None:
    codes = ANT.encode([[5.0, 7.0, 11.0, -70.0]], np.arange(4)[:, None])
    assert ANT.decode(codes, np.arange(4)[:, None]).tolist() == [
        [5, 7, 7, -8],
        [4, 6, 8, -16],
        [4, 8, 8, -64],
        [4, 6, 12, -12],
    ]


def test_facts() -> None:
    assert (ANT.name, ANT.side_bits, FLINT.side_bits, ANT.elements) == ("ant4", 2, 0, 1)
    assert (ANT.min_value, ANT.max_value, FLINT.max_value, POT.max_value) == (-64, 64, 16, 64)
    assert [ANT.largest(side) for side in range(4)] == [7, 16, 64, 12]
    assert (ANT.padding, ANT.smallest, ANT.lsb_exp) == (0, 1.0, 0)
    assert FLINT.describe() == {"kind": "table", "bits": 4, "values": TABLES["flint"]}
    assert ANT.describe()["values_by_side"] == list(TABLES.values())
    assert get("flint4") == FLINT
    # The same numbers as E3M0, in other units.
    assert [value / 4 for value in TABLES["pot"]] == get("e3m0").decode(np.arange(16)).tolist()


def test_what_cannot_be() -> None:
    with pytest.raises(HwgenError) as caught:
        AntFormat(kind="flin")
    assert str(caught.value) == "ant: kind must be flint, pot or empty, not 'flin'; did you mean 'flint'?"
    with pytest.raises(HwgenError) as caught:
        ANT.decode([1], 4)
    assert str(caught.value) == "ant4: selector must be 0 to 3, not 4"
    with pytest.raises(HwgenError) as caught:
        FLINT.encode([math.nan])
    assert str(caught.value) == "flint4: values must be numbers, not NaN, which the format cannot express"
