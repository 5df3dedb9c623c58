"""Rounding by exact rational arithmetic; shares no code with what it checks."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

INFINITY = 0x7F800000


def fp32_value(code: int) -> Fraction:
    """Value of a finite binary32 code."""
    return Fraction(float(np.array(code, np.uint32).view(np.float32)))


def fp32_nearest(value: Fraction) -> int:
    """Binary32 code nearest to ``value``, ties to the even code; 0 for 0."""
    sign, magnitude = (1 << 31 if value < 0 else 0), abs(value)
    if magnitude >= (2 - Fraction(1, 2**24)) * 2**127:
        return sign | INFINITY
    # Bisection over the codes, which are in the order of their values.
    low, high = 0, INFINITY - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fp32_value(middle) <= magnitude else (low, middle - 1)
    if low == INFINITY - 1:
        return sign | low
    below, above = magnitude - fp32_value(low), fp32_value(low + 1) - magnitude
    return sign | (low if below < above or (below == above and low % 2 == 0) else low + 1)
