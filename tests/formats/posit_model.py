"""Posits by their definition, over fractions: rounding by searching the codes of the next longer posit."""

from __future__ import annotations

import bisect
import functools
import math
from fractions import Fraction


def value(code: int, bits: int, es: int) -> Fraction | None:
    """Value of a code, None for NaR: fields are read off bit by bit from the left."""
    if code == 0:
        return Fraction(0)
    if code == 1 << (bits - 1):
        return None
    negative = code >> (bits - 1)
    if negative:
        code = (1 << bits) - code
    stream = [code >> place & 1 for place in reversed(range(bits - 1))]
    first = stream[0]
    run = 0
    while stream and stream[0] == first:
        stream.pop(0)
        run += 1
    if stream:
        stream.pop(0)
    exponent = 0
    for _ in range(es):
        exponent = 2 * exponent + (stream.pop(0) if stream else 0)
    result, weight = Fraction(1), Fraction(1, 2)
    for bit in stream:
        result, weight = result + bit * weight, weight / 2
    result *= Fraction(2) ** ((run - 1 if first else -run) * 2**es + exponent)
    return -result if negative else result


@functools.cache
def ladder(bits: int, es: int) -> list[Fraction]:
    """Values of the positive codes 1, 2, … in order."""
    found = [value(code, bits, es) for code in range(1, 1 << (bits - 1))]
    return [v for v in found if v is not None]


def tie(code: int, bits: int, es: int) -> Fraction:
    """Point between the positive codes ``code`` and ``code + 1`` from which values round up: a posit one bit longer."""
    found = value(2 * code + 1, bits + 1, es)
    assert found is not None
    return found


def encode(x: Fraction | float, bits: int, es: int) -> int:
    """Code that ``x`` rounds to."""
    if isinstance(x, float) and not math.isfinite(x):
        return 1 << (bits - 1)
    exact = Fraction(x)
    if exact == 0:
        return 0
    values = ladder(bits, es)
    code = bisect.bisect_right(values, abs(exact))
    if code == 0:
        code = 1  # never to zero
    elif code < len(values) and abs(exact) > values[code - 1]:
        middle = tie(code, bits, es)
        code += abs(exact) > middle or (abs(exact) == middle and code % 2 == 1)
    return code if exact > 0 else (1 << bits) - code
