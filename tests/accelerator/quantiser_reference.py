"""What a quantiser does, in Python's integers and fractions: shares no code with the quantisers of the project."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

__all__ = ["SCALES", "Token", "corner_rows", "quantised", "random_rows"]

SCALES = {"fp16": (5, 10), "bf16": (8, 7), "fp32": (8, 23), "fp8_e4m3": (4, 3)}
"""Exponent and mantissa bits of the formats of scales."""


@dataclass(frozen=True)
class Token:
    """A quantised row: the code of its scale, and its integers."""

    scale: int
    codes: list[int]


def _value(word: int) -> Fraction:
    """An FP32 word."""
    field, fraction = word >> 23 & 0xFF, word & 0x7FFFFF
    assert field != 0xFF
    magnitude = Fraction(fraction + (0x800000 if field else 0)) * Fraction(2) ** (max(field, 1) - 150)
    return -magnitude if word >> 31 else magnitude


def _even(value: Fraction) -> int:
    """Nearest integer, ties to even, of a value from 0 on."""
    floor = math.floor(value)
    rest = value - floor
    return floor + int(rest > Fraction(1, 2) or (rest == Fraction(1, 2) and floor % 2 == 1))


def _log2(value: Fraction) -> int:
    """Floor of the logarithm of a positive value."""
    guess = value.numerator.bit_length() - value.denominator.bit_length()
    return guess if Fraction(2) ** guess <= value else guess - 1


def _scale(ideal: Fraction, form: str) -> tuple[int, Fraction]:
    """Code and value of a scale: nearest, ties to even, neither 0 (unless ``ideal`` is) nor beyond the largest."""
    exponent_bits, mantissa_bits = SCALES[form]
    if not ideal:
        return 0, ideal
    bias = (1 << (exponent_bits - 1)) - 1
    # The top exponent holds no numbers, but for E4M3, where only its last mantissa does not.
    most = (1 << (exponent_bits + mantissa_bits)) - (2 if form == "fp8_e4m3" else 1 + (1 << mantissa_bits))
    lowest = 1 - bias - mantissa_bits
    last = max(_log2(ideal) - mantissa_bits, lowest)
    significand = _even(ideal / Fraction(2) ** last)
    code = ((last - lowest) << mantissa_bits) + significand
    code = min(max(code, 1), most)
    field, fraction = code >> mantissa_bits, code % (1 << mantissa_bits)
    hidden = 1 << mantissa_bits if field else 0
    return code, (fraction + hidden) * Fraction(2) ** (lowest + max(field, 1) - 1)


def _single(value: Fraction) -> Fraction:
    """Rounded to 24 bits, as FP32 division of numbers whose quotient is neither huge nor tiny."""
    if not value:
        return value
    last = Fraction(2) ** (_log2(value) - 23)
    return _even(value / last) * last


def quantised(words: list[int], bits: int, form: str, single: bool | None = None) -> Token:
    """A row of FP32 words with one symmetric scale.

    ``single``: quotients are rounded to FP32 before they become integers; None where scales are FP32.
    """
    values = [_value(word) for word in words]
    top = (1 << (bits - 1)) - 1
    code, scale = _scale(max(abs(value) for value in values) / top, form)
    codes = []
    for value in values:
        ratio = abs(value) / scale if scale else Fraction(0)
        magnitude = min(_even(_single(ratio) if (form == "fp32" if single is None else single) else ratio), top)
        codes.append(-magnitude if value < 0 else magnitude)
    return Token(code, codes)


def _words(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32).view(np.uint32)


def random_rows(rng: np.random.Generator, rows: int, elements: int) -> np.ndarray:
    """FP32 words [rows, elements]: normal ones of any size, rows of any words, and values in every distance of ties."""
    found = _words(rng.standard_normal((rows, elements)) * np.exp2(rng.integers(-140, 120, (rows, 1)).astype(float)))
    for row in range(rows):
        match int(rng.integers(4)):
            case 0:
                any_words = rng.integers(0, 1 << 32, elements, dtype=np.uint64).astype(np.uint32)
                found[row] = np.where(any_words >> 23 & 0xFF == 0xFF, any_words & 0xBFFFFFFF, any_words)
            case 1:
                # Half-way values of 4 or 8 bits, and what lies a few last places beside them.
                top, unit = int(rng.choice([7, 127])), np.float32(rng.uniform(0.5, 1))
                found[row] = _words((rng.integers(-top, top, elements) + 0.5) * unit)
                found[row] += rng.integers(-2, 3, elements).astype(np.uint32)
                found[row, 0] = _words(np.array([top * unit]))[0]
            case _:
                pass
    return found


def corner_rows(elements: int) -> np.ndarray:
    """FP32 words [rows, elements]: zeros of both signs, one value, subnormals, the largest, ties, exponents' ends."""

    def row(*values: float) -> np.ndarray:
        return np.resize(np.array(values, np.float64), elements)

    tiny, largest = 2.0**-149, float(np.finfo(np.float32).max)
    one = np.zeros(elements)
    one[-1] = -3.25
    rows = [
        row(0.0),
        row(-0.0, 0.0),
        one,
        row(tiny),
        row(tiny, -2 * tiny, 3 * tiny, 95 * tiny, -190 * tiny, 191 * tiny),
        row(*(tiny * (1 << shift) for shift in range(24))),
        row(largest, -largest, largest / 2, 1.0, -1e-30),
        row(largest, 2.0**127, -(2.0**126)),
        row(127.0, *(index + 0.5 for index in range(16))),
        row(-7.0, 0.5, 1.5, 2.5, 3.5, -4.5, -5.5, 6.5),
        row(127 * 2.0**-24, 2.0**-25, 1.5 * 2.0**-24),
        row(127 * 2.0**-25, 2.0**-26, -(2.0**-27)),
        row(127 * 2.0**-26, 2.0**-26),
        row(127 * 65504.0, 65504 * 1.5, -65504 * 0.5, 65504 * 126.5),
        row(127 * 65520.0, 1e10, -1e3),
        row(2.0**-126, 2.0**-127, -(2.0**-126) * (1 - 2.0**-23)),
        row(127 * 2.0**-126, 126.5 * 2.0**-126, 0.5 * 2.0**-126),
        row(127 * 2.0**-127, 3 * 2.0**-127, -0.5 * 2.0**-127),
        row(float(struct.unpack("<f", struct.pack("<I", 0x3F7FFFFF))[0]), 1.0, 0.5, -(2.0**-8)),
        row(1.9999998807907104, -1.0, 0.0078740157),
    ]
    return _words(np.stack(rows))
