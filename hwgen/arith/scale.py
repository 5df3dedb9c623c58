"""Scaling of an integer sum into FP32: sum * row scale * column scale * 2**lsb_exp with one rounding.

`scale_multiply` forms the exact product and `round_to_fp32` rounds it, so that a register fits between them.
Scales are codes of minifloat formats. Their sign counts where the format has one; a scale format without mantissa
(E8M0) brings no multiplier.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import data

from hwgen.arith.bits import (
    absolute,
    extend,
    multiply,
    normalize_left,
    round_nearest_even,
    shift_right_sticky,
    wire,
)
from hwgen.arith.carry import add_with_carry
from hwgen.arith.fp32 import FP32_BIAS, FP32_NAN
from hwgen.arith.minifloat import Fields, FloatLayout, effective_exponent, float_layout, split
from hwgen.formats.base import Format

__all__ = ["ScaledLayout", "round_to_fp32", "scale_multiply", "scale_round_reference", "scale_round_scalar"]

Scale = Format | FloatLayout
"""Format of a scale; None in its place means that there is no such scale."""

_FRACTION = 23
_SIGNIFICAND = _FRACTION + 1
_LARGEST = 0x7F7FFFFF


class ScaledLayout(data.StructLayout):
    """Exact product of a signed sum of ``sum_bits`` bits and up to two scales.

    Fields: sign, significand (unsigned), exponent (unsigned), infinite, nan. Its value is (-1)**sign * significand *
    2**(exponent + offset); ``nan`` wins over ``infinite``, and that over the number. The constant ``offset`` costs no
    adder here: `round_to_fp32` has one for constants.
    """

    def __init__(self, sum_bits: int, row_format: Scale | None, col_format: Scale | None) -> None:
        layouts = [float_layout(fmt) for fmt in (row_format, col_format) if fmt is not None]
        # The largest magnitude of the sum is 2**(sum_bits - 1).
        largest = 1 << (sum_bits - 1)
        self.offset = 0
        low = high = 0
        for layout in layouts:
            largest *= (1 << (layout.mantissa_bits + 1)) - 1
            self.offset -= layout.bias + layout.mantissa_bits
            exponents = layout.exponents()
            low, high = low + exponents.start, high + exponents.stop - 1
        self.exponents = range(low, high + 1)
        """Exponent fields of finite products."""
        # Infinite and NaN scales may exceed the range: their exponents are not looked at.
        super().__init__(
            {
                "sign": 1,
                "significand": largest.bit_length(),
                "exponent": max(Shape.cast(range(high + 1)).width, 1),
                "infinite": 1,
                "nan": 1,
            }
        )


class _Factor(NamedTuple):
    """A scale in hardware; ``significand`` is None for a power of two that has no zero."""

    fields: Fields
    layout: FloatLayout
    significand: Value | None


def _factor(m: Module, code: Value | None, fmt: Scale | None, name: str) -> _Factor | None:
    if fmt is None or code is None:
        return None
    layout = float_layout(fmt)
    fields = split(m, code, layout, name)
    power = not layout.subnormals and not layout.mantissa_bits
    significand = None if power else Cat(fields.mantissa, fields.nonzero_exponent)
    return _Factor(fields, layout, significand)


def scale_multiply(
    m: Module,
    total: Value,
    row_code: Value | None,
    row_format: Scale | None,
    col_code: Value | None,
    col_format: Scale | None,
    name: str = "scaled",
) -> data.View[ScaledLayout]:
    """Exact product of the signed ``total`` and two scale codes; a format of None means that there is no such scale.

    NaN: a NaN scale, or an infinite scale times zero. Infinite: any other infinite scale. Returns a view of
    `ScaledLayout`; a register between here and `round_to_fp32` is ``Signal(view.shape())``.
    """
    layout = ScaledLayout(len(total), row_format, col_format)
    row = _factor(m, row_code, row_format, f"{name}_row")
    col = _factor(m, col_code, col_format, f"{name}_col")
    factors = [factor for factor in (row, col) if factor is not None]
    total_sign, magnitude = absolute(m, total, f"{name}_sum")

    # The scales' product does not wait for the magnitude of the sum.
    significands = [factor.significand for factor in factors if factor.significand is not None]
    product = magnitude
    if significands:
        scale = (
            significands[0]
            if len(significands) == 1
            else multiply(m, significands[0], significands[1], f"{name}_scale_product")
        )
        product = multiply(m, magnitude, scale, f"{name}_product")
    sign: Value = total_sign
    exponent: Value | None = None
    nan: Value = Const(0, 1)
    infinite: Value = Const(0, 1)
    nonzero: Value = magnitude.any()
    for fields, fmt, significand in factors:
        raised = effective_exponent(fields, fmt)
        exponent = raised if exponent is None else exponent + raised
        if fmt.signed:
            sign = sign ^ fields.sign
        if fmt.specials != "none":
            nan = nan | fields.nan
        if fmt.specials == "ieee":
            infinite = infinite | fields.infinite
        if significand is not None and fmt.subnormals:
            nonzero = nonzero & significand.any()
    if any(factor.layout.specials == "ieee" for factor in factors):
        # An infinite code has a nonzero exponent field, so that `nonzero` speaks of the other factors.
        infinite = wire(m, infinite, f"{name}_infinite_scale")
        nan = nan | (infinite & ~nonzero)
    view = Signal(layout, name=name)
    m.d.comb += [
        view.sign.eq(sign),
        view.significand.eq(extend(product, len(view.significand))),
        view.exponent.eq(extend(Const(0, 1) if exponent is None else exponent, len(view.exponent))),
        view.infinite.eq(infinite),
        view.nan.eq(nan),
    ]
    return view


def round_to_fp32(
    m: Module, product: data.View[ScaledLayout], lsb_exp: int, name: str = "round", *, odd: bool = False
) -> Value:
    """FP32 code of ``product`` * 2**lsb_exp, rounded once: to nearest even, or with ``odd`` to odd.

    Rounding to odd cuts off and sets the last bit of what was not exact, so that a second rounding to at most 22 bits
    gives what one rounding would; it never gives infinity or, from another number, zero.

    Overflow gives infinity, subnormal results are kept, exact zero gives +0 (a negative result that rounds to zero
    gives -0), NaN gives 0x7FC00000. Logic for subnormals, for overflow and for rounding exists only where the product's
    range can reach them.
    """
    layout = product.shape()
    significand = product.significand
    width = len(significand)
    lowest = layout.exponents.start + layout.offset + lsb_exp
    highest = layout.exponents.stop - 1 + layout.offset + lsb_exp + width
    subnormals = lowest < 1 - FP32_BIAS
    overflows = highest > FP32_BIAS

    shifted, distance = normalize_left(m, significand, f"{name}_normalised")
    zero = wire(m, ~shifted[-1], f"{name}_zero")
    # The exponent field less one: the hidden bit adds the one when it is packed.
    constant = layout.offset + lsb_exp + width - 2 + FP32_BIAS
    bits = 8
    if subnormals or overflows:
        top_distance = (1 << (width - 1).bit_length()) - 1
        span = range(layout.exponents.start + constant - top_distance, (1 << len(product.exponent)) + constant)
        bits = max(Shape.cast(span).width + (not Shape.cast(span).signed), 10)
    biased = wire(m, (extend(product.exponent, bits) + Const(constant % (1 << bits), bits))[:bits], f"{name}_biased")
    field = wire(m, add_with_carry(biased, ~extend(distance, bits), Const(1, 1), bits), f"{name}_field")

    # One bit below the significand is the half; the rest is sticky.
    frame = Cat(Const(0, max(_SIGNIFICAND + 1 - width, 0)), shifted[max(width - _SIGNIFICAND - 1, 0) :])
    rest: Value = shifted[: width - _SIGNIFICAND - 1].any() if width > _SIGNIFICAND + 1 else Const(0, 1)
    exponent = field[:8].as_unsigned()
    if subnormals:
        negative = wire(m, field[-1], f"{name}_subnormal")
        # -field = ~field + 1: one place by the sign, the others by the complement, and no adder.
        once = Mux(negative, Cat(frame[1:], Const(0, 1)), frame)
        rest = wire(m, rest | (negative & frame[0]), f"{name}_rest")
        places = wire(m, ~field[: bits - 1] & negative.replicate(bits - 1), f"{name}_places")
        frame, rest = shift_right_sticky(m, wire(m, once, f"{name}_frame"), places, f"{name}_denormalised", rest)
        exponent = exponent & ~negative.replicate(8)
    magnitude = Cat(frame[1:_SIGNIFICAND], exponent)
    hidden = Cat(Const(0, _FRACTION), frame[_SIGNIFICAND], Const(0, 7))
    inexact = subnormals or width > _SIGNIFICAND
    up = round_nearest_even(frame[1], frame[0], rest) if inexact and not odd else None
    # The carry of rounding runs into the exponent, and from the largest number into infinity.
    packed = wire(m, add_with_carry(magnitude, hidden, up, 31).as_unsigned(), f"{name}_packed")
    if odd and inexact:
        packed = Cat(packed[0] | frame[0] | rest, packed[1:])

    infinite: Value = product.infinite
    if overflows:
        # A field of 254 or more is an exponent of 255 or more.
        beyond = wire(m, ~field[-1] & (field[8 : bits - 1].any() | field[1:8].all()) & ~zero, f"{name}_beyond")
        if odd:
            packed = Mux(beyond, Const(_LARGEST, 31), packed)
        else:
            infinite = infinite | beyond
    infinite = wire(m, infinite, f"{name}_infinite")
    nan = product.nan
    special = wire(m, infinite | nan, f"{name}_special")
    number = wire(m, ~(zero | special), f"{name}_number")
    kept = wire(m, packed & number.replicate(31), f"{name}_kept")
    top = kept[23:] | special.replicate(8)
    return wire(m, Cat(kept[:22], kept[22] | nan, top, product.sign & ~zero & ~nan), name)


# ---------------------------------------------------------------------- reference


def _decode_scale(code: int, fmt: Scale | None) -> tuple[int, int, int, str]:
    """(sign, significand, exponent, kind) of a scale code; value = significand * 2**exponent."""
    if fmt is None:
        return 0, 1, 0, "finite"
    layout = float_layout(fmt)
    ones, top = (1 << layout.mantissa_bits) - 1, (1 << layout.exponent_bits) - 1
    mantissa, exponent = code & ones, (code >> layout.mantissa_bits) & top
    sign = (code >> (layout.mantissa_bits + layout.exponent_bits)) & int(layout.signed)
    kind = "finite"
    if exponent == top:
        if layout.specials == "ieee":
            kind = "nan" if mantissa else "infinite"
        elif layout.specials == "fn" and mantissa == ones:
            kind = "nan"
    hidden = int(exponent > 0 or not layout.subnormals)
    effective = max(exponent, 1) if layout.subnormals else exponent
    return sign, mantissa + (hidden << layout.mantissa_bits), effective - layout.bias - layout.mantissa_bits, kind


def _round_scalar(sign: int, significand: int, exponent: int, odd: bool) -> int:
    """FP32 code of (-1)**sign * significand * 2**exponent, significand > 0, in integer arithmetic."""
    # Exponent of the result's last place: 24 bits of significand, but not below that of subnormals.
    place = max(exponent + significand.bit_length() - _SIGNIFICAND, 2 - FP32_BIAS - _SIGNIFICAND)
    drop = place - exponent
    if drop <= 0:
        rounded = significand << -drop
    else:
        rounded, rest = divmod(significand, 1 << drop)
        half = 1 << (drop - 1)
        if odd:
            rounded |= rest > 0
        else:
            rounded += rest > half or (rest == half and rounded % 2 == 1)
    # The hidden bit is in `rounded` and adds 1 to the exponent field.
    magnitude = rounded + ((place + FP32_BIAS + _FRACTION - 1) << _FRACTION)
    return (sign << 31) | min(magnitude, _LARGEST if odd else 0x7F800000)


def scale_round_scalar(
    total: int,
    row_code: int,
    row_format: Scale | None,
    col_code: int,
    col_format: Scale | None,
    lsb_exp: int,
    *,
    odd: bool = False,
) -> int:
    """The definition: FP32 code of total * row scale * column scale * 2**lsb_exp, in integer arithmetic."""
    row_sign, row, row_exponent, row_kind = _decode_scale(row_code, row_format)
    col_sign, col, col_exponent, col_kind = _decode_scale(col_code, col_format)
    significand = abs(total) * row * col
    kinds = (row_kind, col_kind)
    if "nan" in kinds or ("infinite" in kinds and not significand):
        return FP32_NAN
    sign = int(total < 0) ^ row_sign ^ col_sign
    if "infinite" in kinds:
        return (sign << 31) | 0x7F800000
    if not significand:
        return 0
    return _round_scalar(sign, significand, row_exponent + col_exponent + lsb_exp, odd)


def _decode_scales(codes: np.ndarray, fmt: Scale | None) -> tuple[np.ndarray, np.ndarray]:
    """(signed significand, infinity and NaN included, float64; exponent, int64) of scale codes."""
    words = np.asarray(codes).astype(np.int64)
    if fmt is None:
        return np.ones(words.shape), np.zeros(words.shape, np.int64)
    layout = float_layout(fmt)
    ones, top = (1 << layout.mantissa_bits) - 1, (1 << layout.exponent_bits) - 1
    mantissa, exponent = words & ones, (words >> layout.mantissa_bits) & top
    hidden = (exponent > 0) | (not layout.subnormals)
    effective = np.maximum(exponent, 1) if layout.subnormals else exponent
    value = (mantissa + (hidden.astype(np.int64) << layout.mantissa_bits)).astype(np.float64)
    if layout.specials == "ieee":
        value = np.where(exponent == top, np.where(mantissa == 0, np.inf, np.nan), value)
    elif layout.specials == "fn":
        value = np.where((exponent == top) & (mantissa == ones), np.nan, value)
    if layout.signed:
        value = np.where((words >> (layout.mantissa_bits + layout.exponent_bits)) & 1 == 1, -value, value)
    return value, effective - layout.bias - layout.mantissa_bits


def scale_round_reference(
    totals: np.ndarray,
    row_codes: np.ndarray | int,
    row_format: Scale | None,
    col_codes: np.ndarray | int,
    col_format: Scale | None,
    lsb_exp: int,
    *,
    odd: bool = False,
) -> np.ndarray:
    """`scale_round_scalar` over arrays that broadcast.

    Parameters
    ----------
    totals: int64, or Python integers of any size as an object array.
    row_codes, col_codes: unsigned code words; ignored where the format is None.

    Returns
    -------
    uint32 FP32 codes. Elements whose exact product fits 53 bits go through float64, whose conversion to float32 is then
    the only rounding; the others are computed one by one.
    """
    values, rows, cols = np.broadcast_arrays(np.asarray(totals), np.asarray(row_codes), np.asarray(col_codes))
    if not values.size:
        return np.zeros(values.shape, np.uint32)
    used = sum(float_layout(fmt).mantissa_bits + 1 for fmt in (row_format, col_format) if fmt is not None)
    limit = 1 << max(53 - used, 0)
    fits = np.asarray((values < limit) & (values > -limit), dtype=bool)
    row, row_exponent = _decode_scales(rows, row_format)
    col, col_exponent = _decode_scales(cols, col_format)
    with np.errstate(all="ignore"):
        product = np.where(fits, values, 0).astype(np.float64) * (row * col)
        # Far below 2**-1022 only after float32 has long underflowed: the extreme exponents are those of FP32 scales.
        exact = np.ldexp(product, row_exponent + col_exponent + lsb_exp)
        # Adding zero turns an exact -0 into +0 and leaves every other value alone.
        exact = np.where(product == 0, 0.0, exact)
        result = exact.astype(np.float32)
        if odd:
            result = _to_odd(exact, result)
    codes = np.where(np.isnan(result), np.uint32(FP32_NAN), result.view(np.uint32))
    for index in zip(*np.nonzero(~fits), strict=True):
        codes[index] = scale_round_scalar(
            int(values[index]), int(rows[index]), row_format, int(cols[index]), col_format, lsb_exp, odd=odd
        )
    return codes


def _to_odd(exact: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """float64 ``exact`` rounded to odd into float32, from the ``nearest`` float32."""
    over = np.isfinite(exact) & (np.abs(nearest.astype(np.float64)) > np.abs(exact))
    cut = np.where(over, np.nextafter(nearest, np.float32(0)), nearest)
    codes = cut.view(np.uint32)
    odd: np.ndarray = np.where(cut.astype(np.float64) != exact, codes | np.uint32(1), codes).view(np.float32)
    return np.where(np.isfinite(exact), odd, nearest)
