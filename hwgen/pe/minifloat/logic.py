"""The logic of the blocks of a minifloat tile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Value, signed

from hwgen.arith import (
    FloatLayout,
    add_with_carry,
    extend,
    float_layout,
    fp_unpack,
    multiply,
    normalize_left,
    round_nearest_even,
    shift_right_sticky,
    wire,
)
from hwgen.arith.fp32 import FP32_BIAS
from hwgen.arith.minifloat import effective_exponent, split
from hwgen.formats import Format
from hwgen.frame.facts import Addend
from hwgen.pe._products import dot_addend, place_product
from hwgen.pe.minifloat.arithmetic import MinifloatArithmetic
from hwgen.pe.minifloat.formulas import LARGEST
from hwgen.pe.minifloat.parameters import FRACTION

__all__ = ["Minifloat"]


@dataclass(frozen=True, kw_only=True)
class Minifloat(MinifloatArithmetic):
    """Floating-point MAC tile."""

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Decodes the row's activations once: sign, significand, exponent."""
        return self._decode(m, acts, self.act_format, "act")

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Decodes the column's weights once: sign, significand, exponent."""
        return self._decode(m, weights, self.weight_format, "weight")

    def _decode(self, m: Module, codes: Any, form: Format, name: str) -> Value:
        decode = self._decode_fp32 if self.fp32_sums(self.p) else self._decode_exact
        return Cat(*[decode(m, codes[index], float_layout(form), f"{name}{index}") for index in range(self.k)])

    def _decode_exact(self, m: Module, code: Value, layout: FloatLayout, name: str) -> Value:
        """Sign, significand and shift; subnormals keep their leading zeros."""
        fields = fp_unpack(m, code, layout, name, normalise=False)
        shift = wire(m, (fields.exponent - 1)[: self._exponent_shape(layout, False).width], f"{name}_shift")
        return Cat(fields.sign, fields.significand, shift)

    def _decode_fp32(self, m: Module, code: Value, layout: FloatLayout, name: str) -> Value:
        """Sign, significand with its leading one on top (0 for zero), exponent, marks of NaN and infinity."""
        fields = split(m, code, layout, name)
        significand = wire(m, Cat(fields.mantissa, fields.nonzero_exponent), f"{name}_significand")
        raised = wire(m, effective_exponent(fields, layout), f"{name}_exponent_field")
        width = self._exponent_shape(layout, True).width
        exponent = extend(raised, width)
        if layout.mantissa_bits:
            significand, distance = normalize_left(m, significand, f"{name}_significand")
            exponent = add_with_carry(exponent, ~extend(distance, width), Const(1, 1), width).as_unsigned()
        marks = [fields.nan, fields.infinite][: self._flags(layout)]
        return Cat(fields.sign, significand, wire(m, exponent, f"{name}_exponent"), *marks)

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Multiplies significands; products go into fixed point and one tree, or through a tree of FP32 adders."""
        a, w = self._layouts(self.p)
        fp32 = self.fp32_sums(self.p)
        a_bits, w_bits = self._bus_bits(a, fp32), self._bus_bits(w, fp32)
        pairs = [
            (row[index * a_bits : (index + 1) * a_bits], col[index * w_bits : (index + 1) * w_bits])
            for index in range(self.k)
        ]
        if fp32:
            codes = [self._product(m, left, right, f"product{index}") for index, (left, right) in enumerate(pairs)]
            return [Addend(self.fp32_tree(m, codes, "dot").as_signed())]
        placed = [self._exact_product(m, left, right, index) for index, (left, right) in enumerate(pairs)]
        return [dot_addend(m, self, placed, int(self.addend_bits(self.p)))]

    def _exact_product(self, m: Module, left: Value, right: Value, index: int) -> tuple[Value, Value | None]:
        """Product of two decoded elements in fixed point as a value and the carry that it needs."""
        sign = wire(m, left[0] ^ right[0], f"sign{index}")
        cuts = [2 + layout.mantissa_bits for layout in self._layouts(self.p)]
        significand = multiply(m, left[1 : cuts[0]], right[1 : cuts[1]], f"significand{index}")
        shifts = [shift for shift in (left[cuts[0] :], right[cuts[1] :]) if len(shift)]
        amount = (sum(shifts[1:], shifts[0]) if shifts else Const(0, 0))[: self._largest_shift(self.p).bit_length()]
        width = int(self.product_range(self.p)[1]).bit_length()
        first = bool(self._negates_first(self.p))
        return place_product(m, significand, sign, amount, width, f"product{index}", first=first)

    def _product(self, m: Module, left: Value, right: Value, name: str) -> Value:
        """FP32 code of the product of two decoded elements."""
        layouts = self._layouts(self.p)
        low, high = self._ranges(self.p)
        width = self._exponent_width(self.p)
        significands: list[Value] = []
        exponents: list[Value] = []
        marks: list[tuple[Value, Value]] = []
        for operand, layout in zip((left, right), layouts, strict=True):
            top = 2 + layout.mantissa_bits
            shape = self._exponent_shape(layout, True)
            end = top + shape.width
            significands.append(operand[1:top])
            exponents.append(wire(m, extend(_as(operand[top:end], shape), width), f"{name}_exponent{len(exponents)}"))
            # What a format has no mark of, it has not.
            found = [*operand[end:], *[Const(0, 1)] * (2 - self._flags(layout))]
            marks.append((found[0], found[1]))
        sign = wire(m, left[0] ^ right[0], f"{name}_sign")
        # Both leading ones are on top, so that a significand of zero is that of zero.
        present = [significand[-1] for significand in significands]
        nonzero = wire(m, present[0] & present[1], f"{name}_nonzero")

        whole = multiply(m, significands[0], significands[1], f"{name}_significand")
        bias = Const(FP32_BIAS - layouts[0].bias - layouts[1].bias, signed(width + 1))
        unbiased = wire(m, add_with_carry(exponents[0], exponents[1], None, width), f"{name}_unbiased")
        if min(layout.mantissa_bits for layout in layouts):
            # From 1 to 4: one place of normalisation, which is also the carry into the exponent.
            top = whole[-1]
            fraction = Mux(top, whole[:-1], Cat(Const(0, 1), whole[:-2]))
            exponent = add_with_carry(unbiased, bias, top, width)
        else:
            fraction = whole[:-1]
            exponent = add_with_carry(unbiased, bias, None, width)
        exponent = wire(m, exponent, f"{name}_exponent")
        fraction = wire(m, Cat(Const(0, FRACTION - len(fraction)), fraction), f"{name}_fraction")

        magnitude: Value = Cat(fraction, exponent[:8])
        if low < 1:
            magnitude = self._subnormal(m, exponent, fraction, magnitude, name)
        nan = marks[0][0] | marks[1][0] | (marks[0][1] & ~present[1]) | (marks[1][1] & ~present[0])
        nan = wire(m, nan, f"{name}_nan")
        infinite = marks[0][1] | marks[1][1]
        if high > LARGEST:
            infinite = infinite | (nonzero & ~exponent[-1] & (exponent[:-1] > LARGEST))
        special = wire(m, infinite | nan, f"{name}_special")
        number = wire(m, nonzero & ~special, f"{name}_number")
        mantissa = magnitude[:FRACTION] & number.replicate(FRACTION)
        field = (magnitude[FRACTION:] & number.replicate(8)) | special.replicate(8)
        return wire(m, Cat(mantissa[:-1], mantissa[-1] | nan, field, sign & ~nan), name)

    @staticmethod
    def _subnormal(m: Module, exponent: Value, fraction: Value, normal: Value, name: str) -> Value:
        """Magnitude of a product whose exponent field may be below 1: shifted down and rounded to nearest even."""
        width = len(exponent)
        below = wire(m, exponent[-1] | ~exponent[:-1].any(), f"{name}_below")
        # 1 − exponent = ~exponent + 2; it is only looked at where it is positive.
        distance = wire(m, add_with_carry(~exponent, Const(1, signed(2)), Const(1, 1), width), f"{name}_distance")
        kept, lost = shift_right_sticky(m, Cat(Const(0, 1), fraction, Const(1, 1)), distance[:-1], f"{name}_denormal")
        up = round_nearest_even(kept[1], kept[0], lost)
        # A significand that rounds up to 1.0 carries into the exponent field.
        rounded = add_with_carry(extend(kept[1:], 24), Const(0, 24), up, 24).as_unsigned()
        return wire(m, Mux(below, extend(wire(m, rounded, f"{name}_rounded"), 31), normal), f"{name}_magnitude")


def _as(bits: Value, shape: Shape) -> Value:
    return bits.as_signed() if shape.signed else bits
