"""Alignment of floating-point values to a shared exponent: a scope of codes becomes integers.

Definition. For a scope of codes of one format let E be the largest biased exponent (subnormals and zero count as
exponent 1, infinities and NaN as the largest finite magnitude). A value x becomes the integer
x / 2**(E - bias - mantissa_bits - guard), rounded on its magnitude: towards zero ("truncate") or to nearest, ties to
even ("rne").
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Value

from hwgen.arith.bits import extend, named, round_nearest_even, shift_right, shift_right_sticky, wire
from hwgen.arith.carry import add_with_carry
from hwgen.arith.minifloat import FloatLayout, Unpacked, float_layout, unpack_reference
from hwgen.errors import HwgenError
from hwgen.formats.base import Format

__all__ = ["ROUNDINGS", "align_fixed", "align_reference", "aligned_bits", "max_exponent"]

ROUNDINGS = ("truncate", "rne")
"""Rounding rules of alignment."""

_MAGNITUDE_BITS = 61
"""Widest magnitude whose reference arithmetic stays in int64."""


def aligned_bits(fmt: Format | FloatLayout, guard: int) -> int:
    """Two's-complement bits of an aligned integer: sign, hidden bit, mantissa and guard bits."""
    return 2 + float_layout(fmt).mantissa_bits + guard


def _check(mantissa_bits: int, guard: int, rounding: str) -> None:
    if rounding not in ROUNDINGS:
        raise HwgenError(f"align: rounding must be one of {', '.join(ROUNDINGS)}, not {rounding!r}")
    low, high = -mantissa_bits, _MAGNITUDE_BITS - 1 - mantissa_bits
    if not low <= guard <= high:
        raise HwgenError(f"align: guard must be {low} to {high} for {mantissa_bits} mantissa bits, not {guard}")


def max_exponent(m: Module, exponents: Sequence[Value], name: str) -> Value:
    """Largest of ``exponents`` (all signed or all unsigned) by a balanced tree. Raises ValueError without any."""
    if not exponents:
        raise ValueError(f"{name}: the maximum of no exponents is not defined")
    nodes = list(exponents)
    level = 0
    while len(nodes) > 1:
        merged: list[Value] = [
            wire(m, Mux(a > b, a, b), f"{name}_level{level}_{index}")
            for index, (a, b) in enumerate(zip(nodes[::2], nodes[1::2], strict=False))
        ]
        nodes = merged + nodes[len(merged) * 2 :]
        level += 1
    return wire(m, nodes[0], name)


def align_fixed(
    m: Module, value: Unpacked, shared: Value, name: str, *, guard: int, rounding: str = "truncate"
) -> Value:
    """Integer of ``value`` in units of 2**(shared - bias - mantissa_bits - guard), by the rule of this module.

    Parameters
    ----------
    value: from `fp_unpack`; unpacking without normalisation is enough and has the smaller shift range.
    shared: biased exponent, at least that of ``value``.
    guard: bits kept below the mantissa's lowest at exponent ``shared``; negative ones drop mantissa bits, and rounding
       up then saturates at the largest magnitude.

    Returns
    -------
    Signed value of ``2 + mantissa_bits + guard`` bits. One adder rounds and negates.

    Raises
    ------
    HwgenError: an unknown rounding rule, or a guard that drops the hidden bit.
    """
    significand = value.significand
    _check(len(significand) - 1, guard, rounding)
    # The difference of two exponents of one range fits in the wider one's bits, if both are signed or both are not.
    bits = max(len(shared), len(value.exponent)) + (shared.shape().signed != value.exponent.shape().signed)
    exponent, shared = named(m, value.exponent, f"{name}_exponent"), named(m, shared, f"{name}_shared")
    difference = add_with_carry(extend(shared, bits), ~extend(exponent, bits), Const(1, 1), bits)
    distance = wire(m, difference.as_unsigned(), f"{name}_distance")
    sign = named(m, value.sign, f"{name}_sign")
    width = len(significand) + guard
    if rounding == "truncate":
        frame = Cat(Const(0, guard), significand) if guard >= 0 else significand[-guard:]
        kept = shift_right(m, frame, distance, f"{name}_shifted")
        carry = sign
    else:
        # Fraction bits in the frame: with guard bits a single one, the half, which starts as 0.
        fraction = max(-guard, 1)
        frame = Cat(Const(0, guard + 1), significand) if guard >= 0 else significand
        shifted, lost = shift_right_sticky(m, frame, distance, f"{name}_shifted")
        rest = lost | shifted[: fraction - 1].any() if fraction > 1 else lost
        kept = shifted[fraction:]
        increment: Value = round_nearest_even(kept[0], shifted[fraction - 1], rest)
        # With guard >= 0 rounding cannot overflow: an unshifted significand is exact, and one shifted by d >= 1 is
        # below 2**(width - d), hence rounds to at most 2**(width - 1), which has `width` bits. Otherwise it saturates.
        if guard < 0:
            increment = increment & ~kept.all()
        # -(kept + up) = ~kept + 1 - up: the carry is `up` for positive and `not up` for negative values.
        carry = wire(m, sign ^ increment, f"{name}_carry")
    flipped = extend(kept, width + 1) ^ sign.replicate(width + 1)
    return wire(m, (flipped + extend(carry, width + 1))[: width + 1].as_signed(), name)


def align_reference(
    codes: np.ndarray,
    fmt: Format | FloatLayout,
    *,
    axis: int | tuple[int, ...] = -1,
    guard: int,
    rounding: str = "truncate",
    shared: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Integers and shared exponent of code words, by the rule of this module.

    Parameters
    ----------
    axis: axes of the scope over which the exponent is shared.
    shared: biased exponents to use instead (must broadcast, at least the maximum of the scope).

    Returns
    -------
    (integers, int64, shape of ``codes``; shared biased exponent, int64, with the scope's axes kept as 1).

    Raises
    ------
    HwgenError: an unknown rounding rule, or a guard that drops the hidden bit.
    """
    mantissa_bits = float_layout(fmt).mantissa_bits
    _check(mantissa_bits, guard, rounding)
    fields = unpack_reference(codes, fmt, normalise=False)
    top = fields.exponent.max(axis=axis, keepdims=True) if shared is None else np.asarray(shared, dtype=np.int64)
    # One place more than the widest magnitude leaves less than a half of it, as does any larger distance.
    up, down = max(guard, 0), np.minimum(top - fields.exponent + max(-guard, 0), _MAGNITUDE_BITS + 1)
    frame = fields.significand << up
    magnitude = frame >> down
    if rounding == "rne":
        rest = frame - (magnitude << down)
        half = np.where(down > 0, np.int64(1) << np.maximum(down - 1, 0), 0)
        increment = (down > 0) & ((rest > half) | ((rest == half) & (magnitude & 1 == 1)))
        magnitude = np.minimum(magnitude + increment, (1 << (mantissa_bits + 1 + guard)) - 1)
    return np.where(fields.sign == 1, -magnitude, magnitude), top
