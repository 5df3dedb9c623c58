"""Blocks with a shared power of two by tables of values: shares no code with the project's formats and quantisers."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["ELEMENTS", "SOURCES", "block_codes", "finite_words", "scale_code", "values_of"]

SOURCES = {"fp16": (5, 10), "bf16": (8, 7), "fp32": (8, 23)}
"""Exponent and mantissa bits of the formats in memory."""

ELEMENTS = {
    "mxint8": None,
    "mxfp8_e4m3": (4, 3, 7, 0x7E),
    "mxfp8_e5m2": (5, 2, 15, 0x7B),
    "mxfp6_e2m3": (2, 3, 1, 0x1F),
    "mxfp6_e3m2": (3, 2, 3, 0x1F),
    "mxfp4": (2, 1, 1, 0x07),
}
"""Exponent bits, mantissa bits, bias and the largest magnitude's code (OCP 8-bit FP v1.0, Microscaling v1.0)."""


def values_of(words: np.ndarray, source: str) -> np.ndarray:
    """float64 values of finite words."""
    exponent_bits, mantissa_bits = SOURCES[source]
    words = words.astype(np.int64)
    field = words >> mantissa_bits & ((1 << exponent_bits) - 1)
    fraction = (words & ((1 << mantissa_bits) - 1)) + np.where(field > 0, 1 << mantissa_bits, 0)
    bias = (1 << (exponent_bits - 1)) - 1
    magnitude = fraction * 2.0 ** (np.maximum(field, 1) - bias - mantissa_bits)
    return np.where(words >> (exponent_bits + mantissa_bits) & 1, -magnitude, magnitude)


def finite_words(words: np.ndarray, source: str) -> np.ndarray:
    """Words whose exponent field is not all ones: where it is, its lowest bit is cleared."""
    exponent_bits, mantissa_bits = SOURCES[source]
    ones = ((1 << exponent_bits) - 1) << mantissa_bits
    return np.where((words & ones) == ones, words & ~np.uint32(1 << mantissa_bits), words)


def _magnitudes(element: str) -> np.ndarray:
    """Values of the magnitude codes, in order."""
    found = ELEMENTS[element]
    if found is None:
        return np.arange(128) / 64
    exponent_bits, mantissa_bits, bias, top = found
    assert top < 1 << (exponent_bits + mantissa_bits)
    values = []
    for code in range(top + 1):
        field, fraction = divmod(code, 1 << mantissa_bits)
        whole = fraction + (1 << mantissa_bits if field else 0)
        values.append(whole * 2.0 ** (max(field, 1) - bias - mantissa_bits))
    return np.array(values)


def scale_code(amax: float, element: str, rule: str) -> int:
    """E8M0 code of a block with this largest magnitude."""
    largest = float(_magnitudes(element)[-1])
    if not amax:
        return 0
    exponent = -400
    if rule == "floor":
        # The largest powers of two that do not exceed the two values.
        of_largest = max(power for power in range(-20, 20) if 2.0**power <= largest)
        while math.ldexp(1.0, exponent + 1) <= amax:
            exponent += 1
        exponent -= of_largest
    else:
        while math.ldexp(largest, exponent) < amax:
            exponent += 1
    return min(max(exponent, -127), 127) + 127


def block_codes(values: np.ndarray, scale: np.ndarray | int, element: str) -> np.ndarray:
    """Codes of the elements nearest to values / 2**(scale - 127), ties to the even code, saturated."""
    table = _magnitudes(element)
    middles = (table[:-1] + table[1:]) / 2
    quotient = np.ldexp(np.abs(values), 127 - np.asarray(scale, np.int64))
    code = np.searchsorted(middles, quotient, side="left")
    tie = (code < len(middles)) & (np.append(middles, np.inf)[code] == quotient) & (code % 2 == 1)
    code = code + tie
    negative = np.signbit(values)
    if ELEMENTS[element] is None:
        return np.where(negative, -code, code) & 0xFF
    exponent_bits, mantissa_bits, _, _ = ELEMENTS[element] or (0, 0, 0, 0)
    return code + (negative.astype(np.int64) << (exponent_bits + mantissa_bits))
