"""A step of the LUT tile by exact rational arithmetic, from its definition; shares no code with the tile."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from hwgen.formats import Format
from rtl_tests.arith.oracle import fp32_nearest, fp32_value
from tests.golden.oracle import add

__all__ = ["aligned", "byte_table", "code_of", "finite", "fp32_sum", "fp32_update", "levels", "plane_bits", "step_sum"]


def finite(form: Format, code: int) -> Fraction:
    """Value of an activation code; infinities and NaN are the largest finite magnitude with their sign."""
    value = float(form.decode(np.array([code], np.uint32))[0])
    if math.isfinite(value):
        return Fraction(value)
    return Fraction(form.max_value) * (-1 if code >> (form.code_bits - 1) else 1)


def aligned(
    form: Format, codes: Sequence[int], scope: Sequence[int], guard: int, rounding: str
) -> tuple[list[int], Fraction]:
    """Integers of activation codes and their unit, for the exponent that the codes ``scope`` share."""
    if not hasattr(form, "mantissa_bits"):
        return [int(finite(form, code)) for code in codes], Fraction(1)
    least = finite(form, 1 << form.mantissa_bits)
    largest = max([least, *(abs(finite(form, code)) for code in scope)])
    unit = least
    while unit * 2 <= largest:
        unit *= 2
    unit /= 2 ** (form.mantissa_bits + guard)
    ints = []
    for code in codes:
        quotient = abs(finite(form, code)) / unit
        magnitude = round(quotient) if rounding == "rne" else math.floor(quotient)
        ints.append(-magnitude if finite(form, code) < 0 else magnitude)
    return ints, unit


def byte_table(ints: Sequence[int], rule: str) -> dict[tuple[int, ...], int]:
    """Entry, rounded to a byte and scaled back, for every choice of signs."""
    entries = {
        signs: sum(s * a for s, a in zip(signs, ints, strict=True))
        for signs in itertools.product((-1, 1), repeat=len(ints))
    }
    largest = max(abs(entry) for entry in entries.values())
    scale = 1
    if rule == "max127":
        scale = max(1, math.ceil(Fraction(largest, 127)))
    else:
        while round(Fraction(largest, scale)) > 127:
            scale *= 2
    return {signs: round(Fraction(entry, scale)) * scale for signs, entry in entries.items()}


def levels(scheme: str, bits: int, code: int) -> int:
    """Level of a weight code, 0 … 2**bits − 1: signed weights in two's complement, all others as they are."""
    return (code + (1 << (bits - 1))) % (1 << bits) if scheme == "symmetric" else code


def plane_bits(level: int, bits: int) -> list[int]:
    return [level >> plane & 1 for plane in range(bits)]


def step_sum(ints: Sequence[int], weights: Sequence[int], scheme: str, bits: int, rule: str | None) -> int:
    """Σ over planes of 2**b times an entry, of bytes by ``rule`` or exact without."""
    planes = list(zip(*(plane_bits(levels(scheme, bits, code), bits) for code in weights), strict=True))
    table = None if rule is None else byte_table(ints, rule)
    total = 0
    for plane, row in enumerate(planes):
        signs = tuple(2 * bit - 1 for bit in row)
        entry = sum(s * a for s, a in zip(signs, ints, strict=True)) if table is None else table[signs]
        total += entry << plane
    return total


def fp32_sum(codes: Sequence[int]) -> int:
    """FP32 code of the sum: upper half plus lower half, each by the same rule."""
    if len(codes) == 1:
        return codes[0]
    cut = len(codes) // 2
    return add(fp32_sum(codes[cut:]), fp32_sum(codes[:cut]))


def fp32_update(values: Sequence[float], weights: Sequence[int], planes: Sequence[int], bits: int, plain: bool) -> int:
    """FP32 code of what the planes of a step add: entries times 2**plane in a balanced tree, lowest plane first."""
    lanes = []
    for plane in planes:
        chosen = [weight >> plane & 1 for weight in weights]
        signs = chosen if plain else [2 * bit - 1 for bit in chosen]
        terms = [code_of(s * v) if s else 0 for s, v in zip(signs, values, strict=True)]
        code = fp32_sum(terms)
        if code & 0x7F800000 == 0:
            code = 0
        elif code & 0x7F800000 != 0x7F800000:
            code = fp32_nearest(fp32_value(code) * 2**plane)
        lanes.append(code ^ 0x80000000 if plain and plane == bits - 1 and code else code)
    while len(lanes) > 1:
        paired = len(lanes) // 2 * 2
        lanes = [add(lanes[i], lanes[i + 1]) for i in range(0, paired, 2)] + lanes[paired:]
    return lanes[0]


def code_of(value: float) -> int:
    """FP32 code of a number that FP32 has."""
    code: int = struct.unpack("<I", struct.pack("<f", value))[0]
    return code
