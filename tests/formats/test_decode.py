from __future__ import annotations

import math
from fractions import Fraction

import gfloat
import gfloat.formats
import ml_dtypes
import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import Format, get
from hwgen.formats.base import Scalar
from tests.formats import oracle

ML_DTYPES = {
    "fp4_e2m1": ml_dtypes.float4_e2m1fn,
    "fp6_e2m3": ml_dtypes.float6_e2m3fn,
    "fp6_e3m2": ml_dtypes.float6_e3m2fn,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
    "e4m3ieee": ml_dtypes.float8_e4m3,
    "e3m4ieee": ml_dtypes.float8_e3m4,
    "e8m0": ml_dtypes.float8_e8m0fnu,
    "fp16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "int8": np.int8,
    "uint8": np.uint8,
    "int16": np.int16,
    "uint16": np.uint16,
}
GFLOAT = {
    "fp4_e2m1": gfloat.formats.format_info_ocp_e2m1,
    "fp6_e2m3": gfloat.formats.format_info_ocp_e2m3,
    "fp6_e3m2": gfloat.formats.format_info_ocp_e3m2,
    "fp8_e4m3": gfloat.formats.format_info_ocp_e4m3,
    "fp8_e5m2": gfloat.formats.format_info_ocp_e5m2,
    "e8m0": gfloat.formats.format_info_ocp_e8m0,
    "mxint8": gfloat.formats.format_info_ocp_int8,
    "fp16": gfloat.formats.format_info_binary16,
    "bf16": gfloat.formats.format_info_bfloat16,
}


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal values, NaN at the same places and the same signs of zeros."""
    numbers = ~np.isnan(a)
    return bool(np.array_equal(a, b, equal_nan=True) and np.array_equal(np.signbit(a[numbers]), np.signbit(b[numbers])))


def as_float(value: Scalar) -> float:
    return float(value)


@pytest.mark.parametrize("name", [*oracle.SMALL, "fp16", "bf16", "int12", "uint16"])
def test_numpy_decodes_as_the_scalar_definition_on_all_codes(name: str) -> None:
    form = get(name)
    expected = np.array([as_float(form.decode_scalar(code)) for code in range(1 << form.code_bits)])
    assert same(form.decode(form.codes()), expected)


@pytest.mark.parametrize("form", oracle.small_formats(), ids=str)
def test_scalar_definition_is_exact_on_all_codes(form: Format) -> None:
    for code in range(1 << form.code_bits):
        decoded, expected = form.decode_scalar(code), oracle.value(form, code)
        if isinstance(expected, str):
            assert str(float(decoded)) == expected, code
        elif isinstance(decoded, float):
            assert (expected, math.copysign(1, decoded)) == (0, -1), code
        else:
            assert decoded == expected, code


@pytest.mark.parametrize("name", ML_DTYPES)
def test_decodes_as_ml_dtypes_on_all_codes(name: str) -> None:
    form = get(name)
    kind = np.dtype(ML_DTYPES[name])
    words = form.codes().astype(np.uint8 if kind.itemsize == 1 else np.uint16)
    with np.errstate(invalid="ignore"):  # signalling NaN
        expected = words.view(kind).astype(np.float64)
    assert same(form.decode(words), expected)


@pytest.mark.parametrize("name", GFLOAT)
def test_decodes_as_gfloat_on_all_codes(name: str) -> None:
    form, info = get(name), GFLOAT[name]
    # All 16-bit codes are compared with ml_dtypes; a stride through them is enough here.
    codes = range(0, 1 << form.code_bits, 1 if form.code_bits <= 8 else 37)
    expected = np.array([gfloat.decode_float(info, code).fval for code in codes])
    assert same(form.decode(np.array(codes)), expected)


def test_decodes_fp32_as_numpy() -> None:
    words = np.random.default_rng(1).integers(0, 1 << 32, 20_000, dtype=np.uint32)
    words[:9] = [0, 1, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0x7F800000, 0x7FC00000, 0x80000000, 0xFF800000]
    with np.errstate(invalid="ignore"):  # converting a signalling NaN
        expected = words.view(np.float32).astype(np.float64)
    assert same(get("fp32").decode(words), expected)


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("fp8_e4m3", 0x7E, "448.0"),
        ("fp8_e4m3", 0x7F, "nan"),
        ("fp8_e4m3", 0xFF, "nan"),
        ("fp8_e4m3", 0x80, "-0.0"),
        ("fp8_e4m3", 0x01, str(2.0**-9)),
        ("fp8_e4m3", 0x08, str(2.0**-6)),
        ("fp8_e5m2", 0x7B, "57344.0"),
        ("fp8_e5m2", 0x7C, "inf"),
        ("fp8_e5m2", 0xFC, "-inf"),
        ("fp8_e5m2", 0x7D, "nan"),
        ("fp8_e5m2", 0x7F, "nan"),
        ("fp8_e5m2", 0x01, str(2.0**-16)),
        ("fp4_e2m1", 0x7, "6.0"),
        ("fp4_e2m1", 0x1, "0.5"),
        ("fp6_e2m3", 0x1F, "7.5"),
        ("fp6_e3m2", 0x1F, "28.0"),
        ("mxint8", 0x7F, "1.984375"),
        ("mxint8", 0x80, "-2.0"),
        ("nvint4", 0x9, "-7.0"),
        ("nvint4", 0x8, "-7.0"),
        ("e8m0", 0x00, str(2.0**-127)),
        ("e8m0", 0xFE, str(2.0**127)),
        ("e8m0", 0xFF, "nan"),
        ("hif4_scale", 0x00, str(2.0**-48)),
        ("hif4_scale", 0x01, str(1.25 * 2.0**-48)),
        ("hif4_scale", 0xC0, "1.0"),
        ("hif4_scale", 0xC3, "1.75"),
        ("hif4_scale", 0xFE, "49152.0"),
        ("hif4_scale", 0xFF, "nan"),
        ("ternary", 2, "nan"),
        ("ternary", 3, "-1.0"),
        ("int1", 1, "-1.0"),
        ("bipolar1", 0, "-1.0"),
        ("bipolar2", 1, "-1.0"),
        ("bipolar4", 15, "15.0"),
        ("e1m2", 7, "1.75"),
        ("fp16", 0x0001, str(2.0**-24)),
        ("bf16", 0x7F7F, str(float.fromhex("0x1.fep127"))),
        ("int32", 0x80000000, str(-(2.0**31))),
    ],
)
def test_named_codes(name: str, code: int, text: str) -> None:
    # OCP Microscaling v1.0, tables 2 to 7, and OCP 8-bit floating point v1.0, table 2.
    assert str(float(get(name).decode(code))) == text
    assert str(float(get(name).decode_scalar(code))) == text


def test_decode_keeps_the_shape() -> None:
    assert get("int4").decode(np.zeros((2, 0, 3), np.uint32)).shape == (2, 0, 3)
    assert get("fp16").decode([[0x3C00]]).tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("int4", [0, 16], "int4: words must be 0 to 15, not 16"),
        ("fp4_e2m1", [-1, 3], "fp4_e2m1: words must be 0 to 15, not -1"),
        ("uint8", [1.0], "uint8: words must be integers, not float64"),
    ],
)
def test_wrong_words(name: str, words: list[float], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        get(name).decode(words)
    assert str(caught.value) == message


def test_wrong_codes_and_side_information() -> None:
    with pytest.raises(HwgenError) as caught:
        get("e3m2").decode_scalar(64)
    assert str(caught.value) == "fp6_e3m2: code must be 0 to 63, not 64"
    with pytest.raises(HwgenError) as caught:
        get("int8").decode([1], side=[0])
    assert str(caught.value) == "int8: side information was given, but the format has none"
    with pytest.raises(HwgenError) as caught:
        get("fp32").codes()
    assert str(caught.value) == "fp32: codes are listed up to 16 bits, not for 32; use corners"


@pytest.mark.parametrize("form", oracle.small_formats(), ids=str)
def test_facts_follow_from_the_values(form: Format) -> None:
    decoded = form.decode(form.codes())
    finite = decoded[np.isfinite(decoded)]
    positive = finite[finite > 0]
    assert (form.max_value, form.min_value) == (finite.max(), finite.min())
    assert form.signed == (finite.min() < 0)
    assert form.smallest == (positive.min() if positive.size else 1.0)
    units = [Fraction(value) / Fraction(2) ** form.lsb_exp for value in finite.tolist()]
    assert all(unit.denominator == 1 for unit in units)
    # The unit is tight (odd multiples exist), and so is the width.
    assert any(unit.numerator % 2 for unit in units)
    bits = form.fixed_bits
    assert all(-(1 << (bits - 1)) <= unit < 1 << (bits - 1) for unit in units)
    assert bits == 1 or any(not -(1 << (bits - 2)) <= unit < 1 << (bits - 2) for unit in units)
    if form.padding is None:
        assert 0 not in finite.tolist()
    else:
        assert decoded[form.padding] == 0
    assert list(form.corners) == sorted(set(form.corners))
    assert {int(np.nanargmin(np.where(np.isinf(decoded), np.nan, decoded)))} <= set(form.corners)
    assert {int(np.nanargmax(np.where(np.isinf(decoded), np.nan, decoded)))} <= set(form.corners)
    for code in range(1 << form.code_bits):
        if math.isinf(decoded[code]) or (decoded[code] == 0):
            assert code in form.corners
    assert form.nan_code is None or (math.isnan(decoded[form.nan_code]) and form.nan_code in form.corners)


def test_corners_of_fp16() -> None:
    expected = [0, 1, 0x3FF, 0x400, 0x3C00, 0x7BFE, 0x7BFF, 0x7C00, 0x7E00, 0x7FFF]
    assert get("fp16").corners == (*expected, *(code + 0x8000 for code in expected))
