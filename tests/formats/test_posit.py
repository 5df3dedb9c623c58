from __future__ import annotations

import math
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import PositFormat, get
from tests.formats import posit_model as model

with warnings.catch_warnings():
    # Its wrapper was generated before Python warned of types without a module.
    warnings.simplefilter("ignore", DeprecationWarning)
    import softposit

ALL = [(bits, es) for bits in range(2, 17) for es in range(4)]


def form(bits: int, es: int) -> PositFormat:
    found = get(f"posit{bits}_{es}")
    assert isinstance(found, PositFormat)
    return found


def form_of(name: str) -> tuple[int, int]:
    found = get(name)
    assert isinstance(found, PositFormat)
    return found.code_bits, found.es


def some_codes(bits: int) -> list[int]:
    """All codes of short formats, a stride and the ends of long ones."""
    every = range(1 << bits)
    return [*every] if bits <= 9 else [*every[:40], *every[::61], *every[-40:]]


def probes(bits: int, es: int) -> list[float]:
    """Values, tie points, and the float64 neighbours of both, of either sign; the ends and beyond."""
    codes = [code for code in some_codes(bits) if 0 < code < (1 << (bits - 1)) - 1]
    centres = [float(model.ladder(bits, es)[code - 1]) for code in codes]
    centres += [float(model.tie(code, bits, es)) for code in codes]
    top = form(bits, es).max_value
    centres += [top, top * 1.5, top * 1e9, 1 / top, 0.75 / top, 0.5 / top, 1e-9 / top, 5e-324, 1e308]
    near = [x for c in centres for x in (c, math.nextafter(c, 0), math.nextafter(c, math.inf))]
    return [*near, *[-x for x in near], 0.0, -0.0, math.inf, -math.inf, math.nan]


@pytest.mark.parametrize(("bits", "es"), ALL)
def test_decodes_as_the_model(bits: int, es: int) -> None:
    codes = some_codes(bits)
    expected = [model.value(code, bits, es) for code in codes]
    values = form(bits, es).decode(np.array(codes))
    for code, want, got in zip(codes, expected, values.tolist(), strict=True):
        scalar = form(bits, es).decode_scalar(code)
        if want is None:
            assert math.isnan(got)
            assert math.isnan(scalar)
        else:
            assert Fraction(got) == scalar == want, code
            assert math.copysign(1, got) == (-1 if want < 0 else 1)


@pytest.mark.few(15)
@pytest.mark.parametrize(("bits", "es"), ALL)
def test_encodes_as_the_model(bits: int, es: int) -> None:
    """Arrays and the scalar definition against a search among the codes, at every kind of boundary."""
    xs = probes(bits, es)
    expected = [model.encode(x, bits, es) for x in xs]
    assert form(bits, es).encode(xs).tolist() == expected
    few = slice(None, None, 1 if bits <= 9 else 17)
    assert [form(bits, es).encode_scalar(x) for x in xs[few]] == expected[few]


@pytest.mark.parametrize(("bits", "es"), [(4, 1), (8, 0), (8, 2), (16, 1), (16, 3)])
def test_random_numbers_encode_as_the_model(bits: int, es: int) -> None:
    rng = np.random.default_rng(bits + es)
    x = rng.normal(size=3000) * 2.0 ** rng.integers(-130, 130, 3000)
    assert form(bits, es).encode(x).tolist() == [model.encode(v, bits, es) for v in x.tolist()]


@pytest.mark.parametrize(("bits", "es"), ALL)
def test_every_code_encodes_to_itself(bits: int, es: int) -> None:
    codes = form(bits, es).codes()
    assert np.array_equal(form(bits, es).encode(form(bits, es).decode(codes)), codes)


# ---------------------------------------------------------------------- softposit


def softposit_decode(name: str, code: int) -> float:
    if name == "posit8_0":
        return float(softposit.posit8(bits=code))
    return float(softposit.posit16(bits=code))


@pytest.mark.parametrize(("name", "short"), [("posit8_0", None), ("posit16_1", None), ("posit4_1", 4), ("posit8_1", 8)])
def test_decodes_as_softposit(name: str, short: int | None) -> None:
    """All codes; a shorter posit of es = 1 has the values of the longer one whose lower bits are 0."""
    codes = get(name).codes()
    shift = 0 if short is None else 16 - short
    expected = np.array([softposit_decode(name, int(code) << shift) for code in codes])
    assert math.isinf(expected[len(codes) // 2])  # NaR
    expected[len(codes) // 2] = math.nan
    assert np.array_equal(get(name).decode(codes), expected, equal_nan=True)


@pytest.mark.parametrize(("name", "convert"), [
    ("posit8_0", softposit.convertDoubleToP8), ("posit16_1", softposit.convertDoubleToP16),
])  # fmt: skip
def test_encodes_as_softposit(name: str, convert: Any) -> None:
    bits, es = form_of(name)
    rng = np.random.default_rng(3)
    xs = [*probes(bits, es), *(rng.normal(size=20_000) * 2.0 ** rng.integers(-40, 40, 20_000)).tolist()]
    assert form(bits, es).encode(xs).tolist() == [convert(x).v for x in xs]


@pytest.mark.parametrize("bits", [4, 6, 8, 12, 16])
def test_es_2_as_softposit(bits: int) -> None:
    """Posits of the 2022 standard lie left-aligned in 32 bits there."""
    codes = get(f"posit{bits}_2").codes()
    values = get(f"posit{bits}_2").decode(codes)
    numbers = np.flatnonzero(np.isfinite(values))[:: max(1, len(codes) >> 12)]
    for code in numbers.tolist():
        assert softposit.convertDoubleToPX2(values[code], bits).v == code << (32 - bits)
        assert softposit.convertPX2ToDouble(softposit.convertDoubleToPX2(values[code], bits)) == values[code]
    xs = [x for x in probes(bits, 2) if math.isfinite(x) and abs(x) < 1e300 and (x == 0 or abs(x) > 1e-300)]
    expected = [softposit.convertDoubleToPX2(x, bits).v >> (32 - bits) for x in xs]
    assert get(f"posit{bits}_2").encode(xs).tolist() == expected


# ---------------------------------------------------------------------- named cases


def test_values_of_posit4_1() -> None:
    assert get("posit4_1").decode(range(9)).tolist()[:8] == [0, 1 / 16, 1 / 4, 1 / 2, 1, 2, 4, 16]
    assert get("posit4_0").decode(range(8)).tolist() == [0, 1 / 4, 1 / 2, 3 / 4, 1, 1.5, 2, 4]


@pytest.mark.parametrize(
    ("name", "x", "below", "above", "even"),
    [
        pytest.param("posit4_1", 8.0, 4.0, 16.0, 4.0, id="between 4 and 16, not 10"),
        pytest.param("posit4_1", 0.125, 1 / 16, 1 / 4, 1 / 4, id="between 1/16 and 1/4, not 5/32"),
        pytest.param("posit4_1", 3.0, 2.0, 4.0, 4.0, id="the middle where only the fraction is cut"),
        pytest.param("posit8_1", 2.0**11, 2.0**10, 2.0**12, 2.0**10, id="below maxpos of posit8_1"),
        pytest.param("posit16_1", 2.0**27, 2.0**26, 2.0**28, 2.0**26, id="below maxpos of posit16_1"),
        pytest.param("posit16_1", 2.0**-27, 2.0**-28, 2.0**-26, 2.0**-26, id="above minpos of posit16_1"),
        pytest.param("posit8_2", 2.0**22, 2.0**20, 2.0**24, 2.0**20, id="the exponent is 2 bits short"),
        pytest.param("posit8_2", 2.0**17, 2.0**16, 2.0**18, 2.0**16, id="the exponent is 1 bit short"),
        pytest.param("posit8_0", 48.0, 32.0, 64.0, 32.0, id="es = 0 has midpoints, also below maxpos"),
    ],
)
def test_geometric_ties(name: str, x: float, below: float, above: float, even: float) -> None:
    """The tie lies where the bit string is cut, and goes to the even code."""
    found = get(name)

    def rounded(value: float) -> float:
        return float(found.decode(found.encode(value)))

    assert rounded(math.nextafter(x, 0)) == below
    assert rounded(x) == even
    assert rounded(math.nextafter(x, math.inf)) == above
    assert rounded(-x) == -even


def test_nothing_becomes_zero_or_overflows() -> None:
    for bits, es in ALL:
        found = form(bits, es)
        assert found.decode(found.encode([5e-324, -1e-300])).tolist() == [found.smallest, -found.smallest]
        assert found.decode(found.encode([1e308, -1e308])).tolist() == [found.max_value, found.min_value]
        assert found.smallest * found.max_value == 1


def test_nar() -> None:
    found = get("posit8_0")
    assert found.nan_code == 0x80
    assert found.encode([math.nan, math.inf, -math.inf]).tolist() == [0x80] * 3
    assert math.isnan(found.decode(0x80))
    with pytest.raises(HwgenError) as caught:
        found.fixed([0x80])
    assert str(caught.value) == "posit8_0: words must have finite values to become integers"


@pytest.mark.parametrize(("name", "bits"), [
    ("posit4_0", 6), ("posit4_1", 10), ("posit8_0", 14), ("posit8_1", 26), ("posit8_2", 50), ("posit16_1", 58),
    ("posit16_2", 114),
])  # fmt: skip
def test_widths_as_fixed_point(name: str, bits: int) -> None:
    assert get(name).fixed_bits == bits


def test_corners() -> None:
    assert get("posit4_1").corners == (0, 1, 4, 5, 7, 8, 9, 11, 12, 15)
    assert get("posit8_0").corners == (0, 1, 64, 65, 127, 128, 129, 191, 192, 255)
    assert get("posit2_0").corners == (0, 1, 2, 3)
