"""From floating point to elements with a shared power of two (OCP Microscaling v1.0): `hwgen.quantize.mx` in gates.

A shared exponent comes from the largest magnitude of a block, elements are value / 2**e, rounded to nearest even and
saturated. Values are finite: infinities and NaN are for the caller to find.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from amaranth.hdl import Cat, Module, Mux, Value, signed

from hwgen.arith.bits import normalize_left, round_nearest_even, shift_right_sticky, wire
from hwgen.arith.minifloat import FloatLayout, float_layout
from hwgen.errors import HwgenError
from hwgen.formats import Format, IntFormat, MinifloatFormat

__all__ = ["EXPONENT_SHAPE", "SCALE_BIAS", "SCALE_BITS", "MxElement", "Scaled", "mx_element", "mx_scale", "mx_scaled"]

SCALE_BITS = 8
SCALE_BIAS = 127
"""Of E8M0 codes."""
_MOST_SCALE = 2 * SCALE_BIAS
_EXPONENT = 11
"""Bits of exponents on their way: signed, of FP32 subnormals and of scales."""


@dataclass(frozen=True)
class MxElement:
    """What the encoder needs to know of an element format: bits, mantissa bits, exponent of the smallest normal value
    and of the largest one, the largest magnitude's code and its significand, and whether codes are two's complement.

    An integer is a format without exponents, whose smallest normal value has the exponent of its largest.
    """

    bits: int
    mantissa_bits: int
    least: int
    most: int
    top_code: int
    top_significand: int
    integer: bool

    @classmethod
    def of(cls, form: Format) -> MxElement:
        """That of a format. Raises `HwgenError` for one that is no element of MX."""
        fraction, exponent = math.frexp(form.max_value)
        if isinstance(form, IntFormat) and form.twos_complement:
            mantissa = form.code_bits - 2
            top = (1 << (form.code_bits - 1)) - 1
            return cls(form.code_bits, mantissa, exponent - 1, exponent - 1, top, top, True)
        if not isinstance(form, MinifloatFormat) or not form.sign_bit or not form.mantissa_bits:
            raise HwgenError(f"mx: elements must be integers or floating point with a mantissa, not {form.name}")
        mantissa = form.mantissa_bits
        least = 1 - int(form.bias or 0)
        significand = int(math.ldexp(fraction, mantissa + 1))
        top = form.encode_scalar(form.max_value)
        return cls(form.code_bits, mantissa, least, exponent - 1, top, significand, False)


class Scaled(NamedTuple):
    """A value between the two halves of the encoder: its sign, its significand with the leading one on top (0 for 0),
    and its exponent after the division by the scale, above the smallest normal element's.
    """

    negative: Value
    significand: Value
    above: Value


def _normal(m: Module, magnitude: Value, layout: FloatLayout, name: str) -> tuple[Value, Value]:
    """(significand with its leading one on top, biased exponent) of a magnitude without its sign."""
    fraction, field = magnitude[: layout.mantissa_bits], magnitude[layout.mantissa_bits :]
    significand, distance = normalize_left(m, Cat(fraction, field != 0), f"{name}_normal")
    exponent = Mux(field == 0, 1, field) - distance
    return significand, wire(m, exponent, f"{name}_exponent")


def mx_scale(m: Module, amax: Value, source: Format, element: MxElement, rule: str, name: str) -> Value:
    """E8M0 code of a block whose largest magnitude is ``amax``, a code of ``source`` without its sign.

    ``rule`` is that of `hwgen.quantize.mx`: floor or ceil.
    """
    layout = float_layout(source)
    significand, exponent = _normal(m, amax, layout, f"{name}_amax")
    shared: Value = exponent + (SCALE_BIAS - layout.bias - element.most)
    if rule == "ceil":
        shift = layout.mantissa_bits - element.mantissa_bits
        shared = shared + (significand > element.top_significand << shift)
    shared = wire(m, shared, f"{name}_shared")
    clipped = Mux(shared < 0, 0, Mux(shared > _MOST_SCALE, _MOST_SCALE, shared))
    return wire(m, Mux(significand[-1], clipped, 0)[:SCALE_BITS], name)


def mx_scaled(m: Module, code: Value, scale: Value, source: Format, element: MxElement, name: str) -> Scaled:
    """The first half of the encoder: a code of ``source`` divided by 2**(``scale`` - 127)."""
    layout = float_layout(source)
    significand, exponent = _normal(m, code[:-1], layout, name)
    above = exponent - scale + (SCALE_BIAS - layout.bias - element.least)
    return Scaled(code[-1], significand, wire(m, above, f"{name}_above")[:_EXPONENT].as_signed())


def mx_element(m: Module, scaled: Scaled, source: Format, element: MxElement, name: str) -> Value:
    """The second half: the element's code."""
    dropped = float_layout(source).mantissa_bits - element.mantissa_bits
    above = wire(m, scaled.above, f"{name}_above")
    small = above < 0
    amount = wire(m, Mux(small, -above, 0)[: _EXPONENT - 1], f"{name}_amount")
    shifted, lost = shift_right_sticky(m, scaled.significand, amount, f"{name}_shifted")
    kept = shifted[dropped:]
    half, rest = shifted[dropped - 1], shifted[: dropped - 1].any() | lost
    # A carry out of the mantissa goes on into the exponent, the leading one of a normal value too.
    steps = (element.most - element.least).bit_length()
    field = Mux(small, 0, above[:steps]) if steps else 0
    whole = (field << element.mantissa_bits if steps else 0) + kept + round_nearest_even(kept[0], half, rest)
    rounded = wire(m, whole, f"{name}_rounded")
    magnitude = Mux(rounded > element.top_code, element.top_code, rounded)
    magnitude = wire(m, Mux(scaled.significand[-1], magnitude, 0)[: element.bits - 1], f"{name}_magnitude")
    if element.integer:
        return wire(m, Mux(scaled.negative, -magnitude, magnitude)[: element.bits], name)
    return wire(m, Cat(magnitude, scaled.negative), name)


EXPONENT_SHAPE = signed(_EXPONENT)
"""Shape of `Scaled.above`."""
