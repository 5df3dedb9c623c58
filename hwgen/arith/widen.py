"""Floating-point codes of up to 16 bits as FP32 codes, and FP32 codes times a small power of two."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Cat, Const, Module, Value

from hwgen.arith.bits import extend, named, wire
from hwgen.arith.carry import add_with_carry
from hwgen.arith.fp32 import FP32_BIAS
from hwgen.arith.minifloat import float_layout, fp_unpack, split
from hwgen.formats import Format

__all__ = ["fp32_times_power", "fp32_times_power_reference", "fp32_widen"]

_FRACTION = 23


def fp32_widen(m: Module, code: Value, fmt: Format, name: str) -> Value:
    """FP32 code of the value of a code of ``fmt``, exactly; infinities stay, NaN becomes some NaN.

    ``fmt`` has at most FP32's exponent and mantissa bits. A format with FP32's own exponents is filled up with zeros;
    subnormal numbers of a smaller one are normalised.
    """
    layout = float_layout(fmt)
    code = named(m, code, f"{name}_code")
    missing = _FRACTION - layout.mantissa_bits
    if layout.exponent_bits == 8 and layout.bias == FP32_BIAS and layout.specials == "ieee":
        return Cat(Const(0, missing), code)
    fields = split(m, code, layout, f"{name}_raw")
    value = fp_unpack(m, code, fmt, name)
    special = wire(m, fields.infinite | fields.nan, f"{name}_special")
    exponent = named(m, value.exponent, f"{name}_biased")
    moved = add_with_carry(extend(exponent, 8), Const(FP32_BIAS - layout.bias, 8), None, 8).as_unsigned()
    field = (wire(m, moved, f"{name}_moved") & ~value.is_zero.replicate(8)) | special.replicate(8)
    # Unpacking gives infinity and NaN the largest mantissa, which is not zero.
    mantissa = value.significand[:-1] & ~fields.infinite.replicate(layout.mantissa_bits)
    return wire(m, Cat(Const(0, missing), mantissa, field, value.sign), f"{name}_fp32")


def fp32_times_power(m: Module, code: Value, power: Value, name: str, *, overflows: bool) -> Value:
    """FP32 code of ``code`` · 2**``power``, for an unsigned ``power``.

    Zero and subnormal numbers become zero, infinities and NaN stay. What is beyond the largest number becomes infinite;
    with ``overflows`` False nothing may be.
    """
    code, power = named(m, code, f"{name}_of"), named(m, power, f"{name}_power")
    exponent = code[_FRACTION:31]
    zero = wire(m, ~exponent.any(), f"{name}_zero")
    special = wire(m, exponent.all(), f"{name}_special")
    raised = wire(m, (exponent + power)[:9], f"{name}_raised")
    infinite = wire(m, raised[8] | raised[:8].all() | special, f"{name}_infinite") if overflows else special
    field = (raised[:8] | infinite.replicate(8)) & ~zero.replicate(8)
    mantissa = code[:_FRACTION]
    if overflows:
        # Infinity has no mantissa, but a NaN keeps its own; a subnormal number loses it.
        lost = wire(m, zero | (infinite & ~special), f"{name}_lost")
        mantissa = mantissa & ~lost.replicate(_FRACTION)
    return wire(m, Cat(mantissa, field, code[31]), name)


def fp32_times_power_reference(codes: np.ndarray, power: int) -> np.ndarray:
    """What `fp32_times_power` yields, for FP32 codes without subnormal numbers unless it ``overflows``."""
    words = np.asarray(codes).astype(np.uint32)
    values = np.ascontiguousarray(words).view(np.float32)
    with np.errstate(all="ignore"):
        scaled = np.ascontiguousarray(values * np.float32(2.0**power)).view(np.uint32)
    exponent = (words >> _FRACTION) & 0xFF
    kept = np.where(exponent == 0xFF, words, scaled)
    return np.where(exponent == 0, words & np.uint32(1 << 31), kept).astype(np.uint32)
