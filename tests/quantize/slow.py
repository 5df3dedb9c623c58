"""Quantisers as their definitions say, one group at a time over fractions; formats by searching all values."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from hwgen.formats import QTensor
from tests.formats import oracle, posit_model


class Group(NamedTuple):
    """Codes, code of the scale, and zero point or minimum of one group."""

    codes: list[int]
    scale: int
    zero: Fraction | None = None


def value(name: str, code: int) -> Fraction:
    """Value of a finite code."""
    found = oracle.value(oracle.search(name).form, code)
    assert isinstance(found, Fraction)
    return found


def scale(ideal: Fraction, name: str) -> tuple[int, Fraction]:
    """Code and value of a scale: nearest, but neither infinite nor 0 unless the ideal is 0."""
    search = oracle.search(name)
    code = search.encode(ideal)
    if ideal > 0 and value(name, code) == 0:
        code = search.encode(min(v for v in search.values if v > 0))
    return code, value(name, code)


def ratio(x: Fraction, by: Fraction) -> Fraction:
    """x / by, and 0 where there is nothing to divide by."""
    return x / by if by else Fraction(0)


def clip(low: int, number: int, high: int) -> int:
    """The nearest integer within low..high."""
    return min(max(number, low), high)


def symmetric(x: list[Fraction], bits: int, scale_name: str) -> Group:
    if bits == 1:
        code, s = scale(max(max(-v for v in x), Fraction(0)), scale_name)
        return Group([1 if round(ratio(v, s)) <= -1 else 0 for v in x], code)
    top = 2 ** (bits - 1) - 1
    code, s = scale(max(abs(v) for v in x) / top, scale_name)
    return Group([clip(-top, round(ratio(v, s)), top) % 2**bits for v in x], code)


def asymmetric(x: list[Fraction], bits: int, scale_name: str) -> Group:
    top = 2**bits - 1
    low, high = min(*x, Fraction(0)), max(*x, Fraction(0))
    code, s = scale((high - low) / top, scale_name)
    zero = clip(0, round(ratio(-low, s)), top)
    return Group([clip(0, round(ratio(v, s)) + zero, top) for v in x], code, Fraction(zero))


def bipolar(x: list[Fraction], bits: int, scale_name: str) -> Group:
    if bits == 1:
        code, _ = scale(sum(abs(v) for v in x) / Fraction(len(x)), scale_name)
        return Group([int(v > 0) for v in x], code)
    top = 2**bits - 1
    code, s = scale(max(abs(v) for v in x) / top, scale_name)
    encoder = oracle.search(f"bipolar{bits}")
    return Group([encoder.encode(ratio(v, s)) for v in x], code)


def ternary(x: list[Fraction], bits: int, scale_name: str) -> Group:
    mean = sum(abs(v) for v in x) / Fraction(len(x))
    code, _ = scale(mean, scale_name)
    return Group([clip(-1, round(ratio(v, mean)), 1) % 2**bits for v in x], code)


def minimum(x: list[Fraction], bits: int, scale_name: str) -> Group:
    top = 2**bits - 1
    low = value(scale_name, oracle.search(scale_name).encode(min(x)))
    code, s = scale(max(max(x) - low, Fraction(0)) / top, scale_name)
    return Group([clip(0, round(ratio(v - low, s)), top) for v in x], code, low)


def minifloat(x: list[Fraction], name: str, scale_name: str) -> Group:
    search = oracle.search(name)
    code, s = scale(max(abs(v) for v in x) / search.values[-1], scale_name)
    # The sign of zero follows x; float() keeps it, since only the quotient's sign matters there.
    codes = [search.encode(-0.0 if v < 0 and search.encode(abs(ratio(v, s))) == 0 else ratio(v, s)) for v in x]
    return Group(codes, code)


def posit(x: list[Fraction], bits: int, es: int, scale_name: str, anchor: Fraction) -> Group:
    code, s = scale(max(abs(v) for v in x) / anchor, scale_name)
    return Group([posit_model.encode(ratio(v, s), bits, es) for v in x], code)


def mx(x: list[Fraction], name: str, rule: str) -> Group:
    search = oracle.search(name)
    top = search.values[-1]
    amax = max(abs(v) for v in x)
    exponent = -127
    if amax:
        exponents = range(-1100, 1100)
        if rule == "ceil":
            exponent = next(e for e in exponents if amax <= top * Fraction(2) ** e)
        else:
            largest_power = max(e for e in range(-20, 20) if Fraction(2) ** e <= top)
            exponent = max(e for e in exponents if Fraction(2) ** e <= amax) - largest_power
    exponent = clip(-127, exponent, 127)
    codes = []
    for v in x:
        element = v / Fraction(2) ** exponent
        if name.startswith(("int", "mxint")):
            element = min(max(element, -top), top)
        code = search.encode(element)
        codes.append(search.encode(-0.0) if code == 0 and v < 0 else code)
    return Group(codes, exponent + 127)


def nv(x: list[list[Fraction]], name: str, block: int, rule: str = "division") -> tuple[Fraction, list[list[Group]]]:
    """Second-level scale of a matrix, and its blocks row by row."""
    top = Fraction(7) if name == "int4" else oracle.search(name).values[-1]
    largest = max(single(abs(v)) for row in x for v in row)
    if rule == "transformer_engine":
        encode = single(top * 448 / largest) if largest else Fraction(1)
        outer = single(1 / encode)
    else:
        outer = single(largest / (top * 448))
        if largest and not outer:
            outer = Fraction(2) ** -149
    rows = []
    for row in x:
        groups = []
        for start in range(0, len(row), block or len(row)):
            part = [single(abs(v)) * (-1 if v < 0 else 1) for v in row[start : start + (block or len(row))]]
            amax = max(abs(v) for v in part)
            if rule == "division":
                ideal = single(ratio(single(amax / top), outer))
            elif rule == "modelopt":
                ideal = single(ratio(amax, single(top * outer)))
            else:
                ideal = single(single(amax / top) * encode)
            code, s = scale(max(ideal, Fraction(2) ** -149) if amax else Fraction(0), "fp8_e4m3")
            factor = single(s * outer)
            if rule == "transformer_engine":
                inverse = single(ratio(Fraction(1), factor))
                elements = [signed(v, single(abs(v) * inverse)) for v in part]
            else:
                elements = [signed(v, single(ratio(abs(v), factor))) for v in part]
            if name == "int4":
                codes = [clip(-7, round(v), 7) % 16 for v in elements]
            else:
                search = oracle.search(name)
                codes = [search.encode(v) for v in elements]
                codes = [search.encode(-0.0) if c == 0 and v < 0 else c for c, v in zip(codes, part, strict=True)]
            groups.append(Group(codes, code))
        rows.append(groups)
    return outer, rows


def signed(like: Fraction, magnitude: Fraction) -> Fraction:
    """``magnitude`` with the sign of ``like``."""
    return -magnitude if like < 0 else magnitude


def nearest_float(x: Fraction, digits: int, lowest: int | None = None) -> Fraction:
    """x >= 0 to ``digits`` binary digits and no unit below 2**lowest, ties to even; exponents have no upper limit."""
    if not x:
        return x
    unit = Fraction(2) ** (x.numerator.bit_length() - x.denominator.bit_length() - digits)
    while x / unit >= 2**digits:
        unit *= 2
    if lowest is not None:
        unit = max(unit, Fraction(2) ** lowest)
    return round(x / unit) * unit


LARGEST = Fraction(2**24 - 1) * 2**104


def single(x: Fraction) -> Fraction:
    """x >= 0 in FP32, subnormals included; beyond the largest, that."""
    return min(nearest_float(min(x, LARGEST), 24, -149), LARGEST)


E6M2 = [Fraction(4 + m, 4) * Fraction(2) ** (e - 48) for e in range(64) for m in range(4)][:-1]
"""Scales of HiF4 in code order."""


def hif4(x: list[Fraction]) -> Group:
    """A block, its length a multiple of 4; the codes are words."""
    magnitudes = [single(abs(v)) for v in x]
    ideal = nearest_float(single(max(magnitudes) * Fraction(146, 1024)), 8)
    code = min(range(len(E6M2)), key=lambda c: (abs(E6M2[c] - ideal), c % 2))
    r = nearest_float(single(1 / E6M2[code]), 8)
    words = []
    for start in range(0, len(x), 8):
        level_2 = single(max(magnitudes[start : start + 8]) * r) >= 4
        for first in range(start, min(start + 8, len(x)), 4):
            level_3 = single(max(magnitudes[first : first + 4]) * r) / 2**level_2 >= 2
            word = level_2 << 17 | level_3 << 16
            for place in range(4):
                quarters = single(magnitudes[first + place] * r) / 2**level_2 / 2**level_3 * 4
                whole = math.floor(single(quarters + Fraction(1, 2)))
                word |= (min(whole, 7) | (x[first + place] < 0) << 3) << 4 * place
            words.append(word)
    return Group(words, code)


def check(given: QTensor, x: np.ndarray, definition: Callable[[list[Fraction]], Group]) -> None:
    """Compare a tensor with a definition, group by group."""
    exact = [[Fraction(v) for v in row] for row in np.asarray(x, dtype=np.float64).tolist()]
    if given.granularity == "tensor":
        exact = [[v for row in exact for v in row]]
        codes, slices = given.codes.reshape(1, -1), [slice(None)]
    else:
        codes, slices = given.codes, list(given.group_slices)
    for n, row in enumerate(exact):
        for g, part in enumerate(slices):
            group = definition(row[part])
            assert int(given.scale_codes[n, g]) == group.scale, (n, g)
            assert codes[n, part].tolist() == group.codes, (n, g)
            if group.zero is None:
                assert given.zero is None
            else:
                assert given.zero is not None
                assert Fraction(float(given.zero[n, g])) == group.zero, (n, g)


def samples(seed: int, n: int = 4, k: int = 70) -> np.ndarray:
    """float32 [n, k] of many magnitudes: heavy tails, a row of zeros, ties, tiny and huge groups, one-sided groups."""
    rng = np.random.default_rng(seed)
    x = rng.standard_t(3, (n + 5, k)).astype(np.float32)
    x[0] = 0
    x[1] = rng.integers(-15, 16, k) / 2  # quotients that are ties where the scale is a power of two
    x[1, ::16] = 7
    x[2] *= np.float32(1e-9)
    x[3] *= np.float32(1e9)
    x[4] = np.abs(x[4])
    x[4, 32:] *= -1
    return x
