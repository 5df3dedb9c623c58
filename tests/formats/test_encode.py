from __future__ import annotations

import math
from fractions import Fraction

import gfloat
import ml_dtypes
import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import Format, MinifloatFormat, get
from tests.formats import oracle
from tests.formats.test_decode import GFLOAT, ML_DTYPES

NAN = math.nan


@pytest.mark.parametrize("form", oracle.small_formats(), ids=str)
def test_encodes_to_the_nearest_value(form: Format) -> None:
    """All values, all midpoints, their neighbours and everything beyond, against a search through all values."""
    search = oracle.Search(form)
    probes = search.probes()
    expected = [search.encode(x) for x in probes]
    assert form.encode(probes).tolist() == expected
    assert [form.encode_scalar(x) for x in probes] == expected


@pytest.mark.parametrize("form", oracle.small_formats(), ids=str)
def test_finite_codes_encode_to_themselves(form: Format) -> None:
    codes = form.codes()
    values = form.decode(codes)
    finite = np.isfinite(values)
    assert form.encode(values[finite]).tolist() == codes[finite].tolist()


@pytest.mark.parametrize("name", ["fp16", "bf16", "int16", "int32", "uint32", "fp32", "e8m15"])
def test_wide_formats_encode_as_the_scalar_definition(name: str) -> None:
    form = get(name)
    rng = np.random.default_rng(2)
    words = rng.integers(0, 1 << form.code_bits, 3000, dtype=np.uint64)
    low, high = form.decode(words), form.decode(np.minimum(words + 1, (1 << form.code_bits) - 1))
    keep = np.isfinite(low) & np.isfinite(high)
    low, high = low[keep], high[keep]
    middle = low / 2 + high / 2
    probes = np.concatenate([low, middle, np.nextafter(middle, -np.inf), np.nextafter(middle, np.inf), -middle])
    assert form.encode(probes).tolist() == [form.encode_scalar(x) for x in probes.tolist()]
    assert form.encode(low).tolist() == words[keep].tolist()


def test_exact_fractions_are_rounded_once() -> None:
    # 17/16 is the tie between 1 and 9/8; no float64 lies as near to it as the fractions below.
    form = get("fp8_e4m3")
    tie = Fraction(17, 16)
    assert form.encode_scalar(tie) == form.encode_scalar(1.0)
    assert form.encode_scalar(tie + Fraction(1, 10**30)) == form.encode_scalar(1.125)
    assert form.encode_scalar(-tie - Fraction(1, 10**30)) == form.encode_scalar(-1.125)
    assert get("int8").encode_scalar(Fraction(5, 2) + Fraction(1, 10**30)) == 3
    assert get("bipolar2").encode_scalar(Fraction(1, 10**30)) == 2


@pytest.mark.parametrize("name", ["fp16", "bf16", "fp8_e5m2", "fp8_e4m3", "e4m3ieee", "e3m4ieee"])
def test_without_saturation_as_ml_dtypes_from_float32(name: str) -> None:
    form = get(name)
    assert isinstance(form, MinifloatFormat)
    bits = np.random.default_rng(3).integers(0, 1 << 32, 50_000, dtype=np.uint32)
    exponents = np.arange(256, dtype=np.uint32)[:, None] << 23
    edges = (exponents | np.array([0, 1 << 18, 1 << 19, 3 << 18, 1 << 20, 1 << 15, 0x7FFFFF], np.uint32)).ravel()
    x = np.concatenate([bits, edges, edges | np.uint32(1 << 31)]).view(np.float32)
    x = x[~np.isnan(x)]
    kind = np.dtype(ML_DTYPES[name])
    with np.errstate(over="ignore"):
        cast = x.astype(kind)
    given = form.decode(form.encode(x, saturate=False))
    assert np.array_equal(given, cast.astype(np.float64), equal_nan=True)
    assert np.array_equal(np.signbit(given)[~np.isnan(given)], np.signbit(cast.astype(np.float64))[~np.isnan(given)])
    few = x[::97].tolist()
    assert [form.encode_scalar(v, saturate=False) for v in few] == form.encode(few, saturate=False).tolist()


def test_fp32_rounds_float64_as_numpy() -> None:
    x = np.random.default_rng(4).integers(0, 1 << 63, 20_000, dtype=np.uint64).view(np.float64)
    x = x[np.isfinite(x)]
    x = np.concatenate([x, np.ldexp(1 + np.arange(64) * 2.0**-25, -150), np.ldexp(1 + np.arange(64) * 2.0**-26, 127)])
    form = get("fp32")
    assert isinstance(form, MinifloatFormat)
    with np.errstate(over="ignore", under="ignore"):
        expected = x.astype(np.float32).view(np.uint32)
    assert form.encode(x, saturate=False).tolist() == expected.tolist()


@pytest.mark.parametrize("name", ["fp4_e2m1", "fp6_e2m3", "fp6_e3m2", "fp8_e4m3", "fp8_e5m2"])
def test_saturates_as_gfloat(name: str) -> None:
    form = get(name)
    probes = [*oracle.Search(form).probes(), math.inf, -math.inf]
    expected = [gfloat.encode_float(GFLOAT[name], gfloat.round_float(GFLOAT[name], x, sat=True)) for x in probes]
    assert form.encode(probes).tolist() == expected


# ---------------------------------------------------------------------- where other packages differ


def test_e4m3_saturates_where_ml_dtypes_gives_nan() -> None:
    x = np.array([464.0, 464.1, 480.0, np.inf], np.float32)
    form = get("fp8_e4m3")
    assert isinstance(form, MinifloatFormat)
    assert str(x.astype(ml_dtypes.float8_e4m3fn).astype(float).tolist()) == "[448.0, nan, nan, nan]"
    assert form.decode(form.encode(x)).tolist() == [448.0] * 4
    assert str(form.decode(form.encode(x, saturate=False)).tolist()) == "[448.0, nan, nan, nan]"


def test_e5m2_saturates_where_ml_dtypes_gives_inf() -> None:
    x = np.array([61439.0, 61440.0, np.inf, -np.inf], np.float32)
    form = get("fp8_e5m2")
    assert isinstance(form, MinifloatFormat)
    with np.errstate(over="ignore"):
        assert x.astype(ml_dtypes.float8_e5m2).astype(float).tolist() == [57344.0, math.inf, math.inf, -math.inf]
    assert form.decode(form.encode(x)).tolist() == [57344.0, 57344.0, 57344.0, -57344.0]
    assert form.decode(form.encode(x, saturate=False)).tolist() == [57344.0, math.inf, math.inf, -math.inf]


@pytest.mark.parametrize("name", ["fp4_e2m1", "fp6_e2m3", "fp6_e3m2"])
def test_nan_is_refused_where_ml_dtypes_gives_minus_zero(name: str) -> None:
    form = get(name)
    with np.errstate(invalid="ignore"):
        cast = np.array([np.nan], np.float32).astype(ML_DTYPES[name]).astype(float)
    assert cast[0] == 0
    assert np.signbit(cast[0])
    message = f"{name}: values must be numbers, not NaN, which the format cannot express"
    with pytest.raises(HwgenError) as caught:
        form.encode([1.0, NAN])
    assert str(caught.value) == message
    with pytest.raises(HwgenError) as caught:
        form.encode_scalar(NAN)
    assert str(caught.value) == message
    assert form.decode(form.encode([np.inf])).tolist() == [form.max_value]


@pytest.mark.parametrize(
    ("name", "x", "once", "twice"),
    [
        ("fp4_e2m1", 0.25 + 2.0**-40, 0.5, 0.0),
        ("fp4_e2m1", 5 + 2.0**-40, 6.0, 4.0),
        ("fp8_e4m3", 1.0625 + 2.0**-40, 1.125, 1.0),
    ],
)
def test_float64_is_rounded_once_where_ml_dtypes_rounds_twice(name: str, x: float, once: float, twice: float) -> None:
    assert np.array([x]).astype(ML_DTYPES[name]).astype(float).tolist() == [twice]
    assert gfloat.round_float(GFLOAT[name], x) == once
    assert get(name).decode(get(name).encode([x])).tolist() == [once]


def test_e8m0_ties_go_to_the_even_code_and_nothing_is_out_of_domain() -> None:
    form = get("e8m0")
    ties = np.ldexp(1.5, np.arange(-127, 127))
    assert (form.encode(ties) % 2 == 0).all()
    up = ties.astype(np.float32).astype(ml_dtypes.float8_e8m0fnu).astype(float)
    assert int((form.decode(form.encode(ties)) != up).sum()) in (127, 128)
    assert [gfloat.round_float(GFLOAT["e8m0"], x) for x in (0.75, 3.0)] == [0.5, 2.0]
    assert form.decode(form.encode([0.75, 3.0])).tolist() == [0.5, 2.0]
    outside = [0.0, -0.0, -1.0, 1e-45, -math.inf, 3e38, math.inf, NAN]
    assert form.encode(outside).tolist() == [0, 0, 0, 0, 0, 254, 254, 255]
    assert [form.encode_scalar(x) for x in outside] == [0, 0, 0, 0, 0, 254, 254, 255]


# ---------------------------------------------------------------------- special values, one by one


def test_hif4_scales_tie_to_the_even_code_and_nothing_is_out_of_domain() -> None:
    form = get("hif4_scale")
    # 1.125, 1.375, 1.625 and 1.875 are ties; the last one carries into the exponent.
    assert form.encode([1.125, 1.375, 1.625, 1.875]).tolist() == [0xC0, 0xC2, 0xC2, 0xC4]
    outside = [0.0, -1.0, 1e-45, -math.inf, 49153.0, 57344.0, math.inf, NAN]
    assert form.encode(outside).tolist() == [0, 0, 0, 0, 254, 254, 254, 255]
    assert [form.encode_scalar(x) for x in outside] == [0, 0, 0, 0, 254, 254, 254, 255]


@pytest.mark.parametrize(
    ("name", "x", "code"),
    [
        ("fp16", NAN, 0x7E00),
        ("fp16", -NAN, 0x7E00),
        ("bf16", NAN, 0x7FC0),
        ("fp32", NAN, 0x7FC00000),
        ("fp8_e4m3", NAN, 0x7F),
        ("fp8_e5m2", NAN, 0x7E),
        ("fp16", math.inf, 0x7BFF),
        ("fp16", -math.inf, 0xFBFF),
        ("fp16", 1e6, 0x7BFF),
        ("fp16", -0.0, 0x8000),
        ("fp16", -1e-30, 0x8000),
        ("fp16", 2.0**-25, 0x0000),
        ("fp16", 2.0**-25 * 1.001, 0x0001),
        ("fp16", 2.0**-14 - 2.0**-25, 0x0400),
        ("fp4_e2m1", -0.0, 0x8),
        ("fp4_e2m1", 0.25, 0x0),
        ("fp4_e2m1", 0.75, 0x2),
        ("fp4_e2m1", 1.25, 0x2),
        ("fp4_e2m1", 2.5, 0x4),
        ("fp4_e2m1", 5.0, 0x6),
        ("ue4m3fn", -1.0, 0x00),
        ("ue4m3fn", -math.inf, 0x00),
        ("ue4m3fn", 1e9, 0x7E),
        ("int8", 127.5, 0x7F),
        ("int8", -128.5, 0x80),
        ("int8", -0.5, 0x00),
        ("int8", -1.5, 0xFE),
        ("int8", 2.5, 0x02),
        ("int8", math.inf, 0x7F),
        ("int8", -math.inf, 0x80),
        ("int1", 1.0, 0),
        ("int1", -0.6, 1),
        ("uint4", -3.0, 0),
        ("uint4", 15.5, 15),
        ("int32", 2.0**31, 0x7FFFFFFF),
        ("mxint8", 1.99, 0x7F),
        ("mxint8", -2.0, 0x80),
        ("nvint4", -7.5, 0x9),
        ("nvint4", -8.0, 0x9),
        ("ternary", 0.5, 0),
        ("ternary", -0.5, 0),
        ("ternary", -0.51, 3),
        ("ternary", math.inf, 1),
        ("bipolar1", 0.0, 0),
        ("bipolar1", 5e-324, 1),
        ("bipolar2", 0.0, 2),
        ("bipolar2", -2.0, 0),
        ("bipolar2", 2.0, 2),
        ("bipolar2", 99.0, 3),
    ],
)
def test_named_values(name: str, x: float, code: int) -> None:
    assert int(get(name).encode(x)) == code
    assert get(name).encode_scalar(x) == code


@pytest.mark.parametrize("name", ["int8", "uint4", "bipolar3", "ternary", "mxint8", "nvint4"])
def test_integers_refuse_nan(name: str) -> None:
    message = f"{name}: values must be numbers, not NaN, which the format cannot express"
    for attempt in (lambda: get(name).encode([NAN]), lambda: get(name).encode_scalar(NAN)):
        with pytest.raises(HwgenError) as caught:
            attempt()
        assert str(caught.value) == message


def test_overflow_without_special_values_saturates_always() -> None:
    form = get("fp4_e2m1")
    assert isinstance(form, MinifloatFormat)
    assert form.encode([7.0, 1e9, -math.inf], saturate=False).tolist() == [7, 7, 15]
    assert [form.encode_scalar(x, saturate=False) for x in (7.0, 1e9, -math.inf)] == [7, 7, 15]


def test_unsigned_overflow_without_saturation() -> None:
    form = get("ue4m3fn")
    assert isinstance(form, MinifloatFormat)
    assert form.encode([464.0, 465.0, -465.0, -math.inf], saturate=False).tolist() == [0x7E, 0x7F, 0, 0]
    assert [form.encode_scalar(x, saturate=False) for x in (464.0, 465.0, -465.0, -math.inf)] == [0x7E, 0x7F, 0, 0]


def test_encode_keeps_shape_and_type() -> None:
    codes = get("fp8_e4m3").encode(np.zeros((2, 3, 4)))
    assert (codes.shape, codes.dtype) == ((2, 3, 4), np.dtype(np.uint32))
    assert get("int4").encode(np.zeros((0, 3))).shape == (0, 3)


def test_all_of_a_symmetric_integer() -> None:
    form = get("nvint4")
    values = [*range(8), -7, *range(-7, 0)]
    assert [form.decode_scalar(code) for code in range(16)] == values == form.decode(form.codes()).tolist()
    # The code 8 repeats -7 and is never made.
    again = [9 if code == 8 else code for code in range(16)]
    assert [form.encode_scalar(Fraction(value)) for value in values] == again == form.encode(values).tolist()
    ties = np.arange(-20, 21) / 2
    nearest = [max(-7, min(7, round(Fraction(tie)))) % 16 for tie in ties.tolist()]
    assert form.encode(ties).tolist() == nearest == [form.encode_scalar(Fraction(tie)) for tie in ties.tolist()]
    assert (form.min_value, form.max_value, form.fixed_bits, form.corners) == (-7, 7, 4, (0, 1, 6, 7, 8, 9, 15))
