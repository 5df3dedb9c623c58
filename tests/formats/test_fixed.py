"""Exact accumulation widths: two's-complement bits of operands, products and sums of products."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import get

TERMS = (16, 32, 64, 128, 256, 512, 1024, 4096)
WIDTHS = {
    # name: (operand bits, product bits, bits of sums of TERMS products, exponent of a product's unit)
    "fp4_e2m1": (5, 9, (13, 14, 15, 16, 17, 18, 19, 21), -2),
    "fp6_e2m3": (7, 13, (17, 18, 19, 20, 21, 22, 23, 25), -6),
    "fp6_e3m2": (10, 19, (23, 24, 25, 26, 27, 28, 29, 31), -8),
    "fp8_e4m3": (19, 37, (41, 42, 43, 44, 45, 46, 47, 49), -18),
    "fp8_e5m2": (33, 65, (69, 70, 71, 72, 73, 74, 75, 77), -32),
    "mxint8": (8, 16, (20, 21, 22, 23, 24, 25, 26, 28), -12),
    "nvint4": (4, 7, (11, 12, 13, 14, 15, 16, 17, 19), 0),
    "int8": (8, 16, (20, 21, 22, 23, 24, 25, 26, 28), 0),
}


def bits_of(low: int, high: int) -> int:
    """Fewest two's-complement bits for low..high."""
    return next(bits for bits in range(1, 200) if -(1 << (bits - 1)) <= low and high < 1 << (bits - 1))


@pytest.mark.parametrize("name", WIDTHS)
def test_widths(name: str) -> None:
    form = get(name)
    operand, product, sums, unit = WIDTHS[name]
    ints = [int(value) for value in form.fixed(finite_codes(name))]
    low, high = min(ints), max(ints)
    products = [low * low, low * high, high * high]
    assert form.fixed_bits == operand == bits_of(low, high)
    assert bits_of(min(products), max(products)) == product
    assert tuple(bits_of(n * min(products), n * max(products)) for n in TERMS) == sums
    assert 2 * form.lsb_exp == unit


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("fp8_e4m3", "fp4_e2m1", (23, 28, 30, 33)),
        ("int8", "fp4_e2m1", (12, 17, 19, 22)),
        ("int8", "int4", (12, 17, 19, 22)),
    ],
)
def test_mixed_products(left: str, right: str, expected: tuple[int, ...]) -> None:
    # Largest operands: int8 and int4 in full, as the hardware takes them.
    a, b = get(left).fixed(finite_codes(left)), get(right).fixed(finite_codes(right))
    ends = [int(x) * int(y) for x in (a.min(), a.max()) for y in (b.min(), b.max())]
    assert tuple(bits_of(n * min(ends), n * max(ends)) for n in (1, 32, 128, 1024)) == expected


def finite_codes(name: str) -> np.ndarray:
    codes = get(name).codes()
    return codes[np.isfinite(get(name).decode(codes))]


@pytest.mark.parametrize(
    "name", ["int7", "uint5", "bipolar4", "mxint8", "nvint4", "fp4_e2m1", "fp8_e5m2", "fp8_e4m3", "fp16", "e1m3"]
)
def test_fixed_is_exact(name: str) -> None:
    form, codes = get(name), finite_codes(name)
    unit = Fraction(2) ** form.lsb_exp
    values = [Fraction(value) for value in form.decode(codes).tolist()]
    assert [int(value) * unit for value in form.fixed(codes)] == values
    assert form.fixed(codes).dtype == np.int64


def test_width_of_fp16_and_of_wide_formats() -> None:
    assert (get("fp16").fixed_bits, get("fp16").lsb_exp) == (41, -24)
    assert (get("uint4").fixed_bits, get("int1").fixed_bits, get("uint1").fixed_bits) == (5, 1, 2)
    # 255 · 2**120 and 2**127 in units of 2**-133 and 2**-127.
    assert (get("bf16").fixed_bits, get("e8m0").fixed_bits) == (262, 256)
    assert get("int32").fixed(np.array([1 << 31, (1 << 31) - 1])).tolist() == [-(2**31), 2**31 - 1]


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("bf16", [0], "bf16: values must fit 64 bits to become integers, not 262 bits; align them first"),
        ("e8m0", [0], "e8m0: values must fit 64 bits to become integers, not 256 bits; align them first"),
        ("fp8_e4m3", [0, 0x7F], "fp8_e4m3: words must have finite values to become integers"),
        ("fp16", [0x7C00], "fp16: words must have finite values to become integers"),
        ("ternary", [2], "ternary: words must have finite values to become integers"),
    ],
)
def test_what_has_no_integers(name: str, words: list[int], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        get(name).fixed(words)
    assert str(caught.value) == message


def test_fp32_accumulation_of_fp4_is_exact_up_to_the_documented_length() -> None:
    largest = int(get("fp4_e2m1").fixed([7])[0]) ** 2
    assert math.floor(2**24 / largest) == 116_508
