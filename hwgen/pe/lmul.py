"""L-Mul: a floating-point product by one integer addition of exponents and mantissas.

The product of (1 + x_m)·2^x_e and (1 + y_m)·2^y_e is (1 + s)·2^(x_e + y_e) with s = x_m + y_m + 2^−l in place of
x_m + y_m + x_m·y_m, signs by an exclusive or. Fields of exponent and mantissa are one integer, so that a sum s of 1 or
more carries into the exponent: s − 1 is then the mantissa, and s = 2 (mantissas of four bits and more) carries twice.
m is the mantissa bits of the longer operand, the shorter one gets zeros below; l is m for m up to 3, 3 for m = 4 and 4
above. A format without mantissa bits is legal beside one with some: two powers of two have no product to approximate.

``subnormals`` is what becomes of operands whose exponent field is 0, which have no leading one: ``flush`` makes them
zero, ``normalise`` shifts them up first, which costs a shifter a row and column and sums that begin lower. A product is
zero where an operand is. No paper says either. Infinities and NaN count as the largest finite value with their sign
where sums are exact; in FP32 they follow IEEE 754 (with ``flush`` infinity times a subnormal is NaN, as times 0).

A row adds the offset 2^−l and the biases to its fields once, a column passes its fields on, and a cell has one adder a
product. ``accumulator`` exact: the mantissa with its leading one is shifted into fixed point, and sums are exact.
``accumulator`` fp32: a product is an FP32 number as it is, infinite beyond its end and zero below its normal numbers,
and adders and their order are those of `hwgen.pe.minifloat`.

Timing: one step a cycle, latency 1 + stages and cuts; FP32 sums as in `hwgen.pe.minifloat`.
Source: Luo and Sun, Addition is All You Need for Energy-Efficient Language Models (arXiv 2410.00907), L-Mul and its
integer addition. Its formula without the carry into the exponent is another function: reports/errors/lmul.py has both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Const, Module, Shape, Value

from hwgen.arith import FP32_NAN, FloatLayout, extend, float_layout, fp_unpack, unpack_reference, wire
from hwgen.arith.fp32 import FP32_BIAS
from hwgen.arith.minifloat import split
from hwgen.formats import Format
from hwgen.frame.facts import Addend, Counts, P, Quantization
from hwgen.frame.numbers import Num, bits_for, clog2
from hwgen.frame.param import again, param
from hwgen.frame.primitives import merge
from hwgen.pe._fp32_sum import fp32_tree_reference
from hwgen.pe._products import dot_addend, place_product, product_counts, tree_counts
from hwgen.pe.minifloat.formulas import LARGEST
from hwgen.pe.minifloat.logic import Minifloat
from hwgen.pe.minifloat.parameters import FRACTION, MinifloatParameters

__all__ = ["Lmul"]

_INFINITY = (LARGEST + 1) << FRACTION


def offset_shift(mantissa_bits: int) -> int:
    """l(m): the offset of a product is 2**-l."""
    if mantissa_bits == 4:
        return 3
    return min(mantissa_bits, 4)


@dataclass(frozen=True, kw_only=True)
class Lmul(Minifloat):
    """L-Mul tile."""

    title: ClassVar[str] = "L-Mul: products by integer addition"

    weights: str = again(MinifloatParameters, "weights", sweep=("fp4_e2m1", "fp8_e4m3", "bf16"))
    acts: str = again(MinifloatParameters, "acts", sweep=("fp6_e2m3", "fp8_e5m2", "fp16"))
    subnormals: str = param(
        "flush",
        "operands below the normal numbers: count as zero, or are normalised",
        legal=("flush", "normalise"),
        sweep=("flush", "normalise"),
    )

    golden_overflow: ClassVar[bool] = False

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield (
            cls._mantissa(p) > 0,
            "weights and acts must have a mantissa bit in one of them, not {weights} and {acts}; products of powers of "
            "two need none of this, use --pe minifloat",
        )
        yield from super().constraints(p)

    @classmethod
    def _fp32_significand(cls, p: P) -> int:
        return cls._mantissa(p) + 1

    def quantization(self) -> Quantization:
        found = super().quantization()
        options = {"accumulator": self.accumulator, "subnormals": self.subnormals, **dict(found.options)}
        return replace(found, arithmetic="lmul", options=tuple(options.items()))

    # ------------------------------------------------------------------ formulas

    @classmethod
    def _mantissa(cls, p: P) -> int:
        """m, mantissa bits of a product."""
        return max(layout.mantissa_bits for layout in cls._layouts(p))

    @classmethod
    def _offset(cls, p: P) -> int:
        """2**-l in units of a mantissa's last place."""
        bits = cls._mantissa(p)
        return 1 << (bits - offset_shift(bits))

    @classmethod
    def _normalises(cls, layout: FloatLayout, p: P) -> bool:
        return bool(p["subnormals"] == "normalise") and layout.mantissa_bits > 0

    @classmethod
    def _least(cls, layout: FloatLayout, p: P) -> int:
        """Least biased exponent of a nonzero operand."""
        return 1 - layout.mantissa_bits if cls._normalises(layout, p) else 1

    @classmethod
    def _base(cls, p: P) -> int:
        """What is added to both biased exponents: FP32's bias, or what makes the least shift into fixed point 0."""
        a, w = cls._layouts(p)
        if cls.fp32_sums(p):
            return FP32_BIAS - a.bias - w.bias
        return -cls._least(a, p) - cls._least(w, p)

    @classmethod
    def _product_fields(cls, p: P) -> tuple[int, int]:
        """Smallest and largest fields, exponent · 2**m + mantissa, of a nonzero product of finite operands."""
        bits, a, w = cls._mantissa(p), *cls._layouts(p)
        fixed = cls._offset(p) + (cls._base(p) << bits)
        low = fixed + ((cls._least(a, p) + cls._least(w, p)) << bits)
        tops = [(e << bits) + (f << (bits - one.mantissa_bits)) for one in (a, w) for e, f in [one.max_finite]]
        return low, fixed + sum(tops)

    @classmethod
    def _field_bits(cls, p: P) -> int:
        """Bits of a product's fields; signed where FP32 exponents may be below 0."""
        low, high = cls._product_fields(p)
        return int(Shape.cast(range(min(low, 0), high + 1)).width)

    @classmethod
    def _field_shape(cls, layout: FloatLayout, p: P) -> Shape:
        """Shape of an operand's exponent as it is unpacked."""
        return Shape.cast(layout.exponents(cls._normalises(layout, p)))

    @classmethod
    def _element_bits(cls, p: P) -> tuple[int, int]:
        """Bits of a row's and of a column's operand: sign, whether it is not zero, fields, and marks in FP32."""
        a, w = cls._layouts(p)
        marks = [cls._flags(layout) if cls.fp32_sums(p) else 0 for layout in (a, w)]
        return (
            2 + cls._field_bits(p) + marks[0],
            2 + w.mantissa_bits + cls._field_shape(w, p).width + marks[1],
        )

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls._element_bits(p)[0]

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls._element_bits(p)[1]

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        bits, (_, high) = cls._mantissa(p), cls._product_fields({**p, "accumulator": "exact"})
        largest = ((1 << bits) + (high & ((1 << bits) - 1))) << (high >> bits)
        return -largest, largest

    @classmethod
    def _largest_shift(cls, p: P) -> int:
        return cls._product_fields(p)[1] >> cls._mantissa(p)

    @classmethod
    def _significand_bits(cls, p: P) -> int:
        return cls._mantissa(p) + 1

    @classmethod
    def _decoder(cls, layout: FloatLayout, p: P) -> Counts:
        k, bits = p["k"], layout.mantissa_bits
        special = {"ieee": bits + 2, "fn": 2, "none": 1}[layout.specials]
        counts: Counts = {"and": k * special, "add": 0 * k, "mux2": 0 * k}
        if cls._normalises(layout, p):
            counts["add"] = k * cls._field_shape(layout, p).width
            counts["mux2"] = k * (bits + 1) * clog2(bits + 1)
        return counts

    @classmethod
    def row_primitives(cls, p: P) -> Counts:
        return merge(cls._decoder(cls._layouts(p)[0], p), {"add": p["k"] * cls._field_bits(p)})

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        k, bits, width = p["k"], cls._mantissa(p), cls._field_bits(p)
        counts: Counts = {"add": k * width, "xor": 1 * k, "and": k * (bits + 2)}
        if cls.fp32_sums(p):
            return merge(counts, {"and": k * 12}, cls.fp32_tree_primitives(p))
        _, high = cls.product_range(p)
        product, first = bits_for(-high, high), cls._negates_first(p)
        placed = product_counts(first, bits + 1, product - 1, cls._largest_shift(p))
        each = {name: k * count for name, count in placed.items()}
        return merge(counts, each, tree_counts(cls, p, product, first))

    @property
    def lsb_exp(self) -> int:
        if self.fp32_sums(self.p):
            return 0
        biases = sum(layout.bias for layout in self._layouts(self.p))
        return -self._base(self.p) - biases - self._mantissa(self.p)

    # ------------------------------------------------------------------ reference and manifest

    def arithmetic(self, mode: int) -> dict[str, Any]:
        fp32 = self.fp32_sums(self.p)
        found: dict[str, Any] = {
            "kind": "fp32_lmul" if fp32 else "lmul",
            "definition": "exponent and mantissa of a product, as one whole number, are those of both operands, the "
            "shorter mantissa extended by zeros, plus offset, less both biases; its sign is the exclusive or of theirs",
            "acts": {"encoding": self.act_format.name},
            "weights": {"encoding": self.weight_format.name},
            "mantissa_bits": self._mantissa(self.p),
            "offset": self._offset(self.p),
            "subnormals": self.subnormals,
        }
        if not fp32:
            specials = "largest finite value"
            return {**found, "specials": specials, "unit_exp": self.lsb_exp, "accumulator": self.accumulator_rule()}
        return {
            **found,
            "specials": "as IEEE 754 multiplies; beyond FP32's end infinite, below its normal numbers zero",
            "accumulate": self.fp32_accumulation(),
        }

    def _operands(self, codes: np.ndarray, form: Format) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(sign, whether not zero, biased exponent · 2**m + mantissa, value) of codes, int64 and float64."""
        bits, layout = self._mantissa(self.p), float_layout(form)
        parts = unpack_reference(codes, form, normalise=self._normalises(layout, self.p))
        mantissa = parts.significand & ((1 << layout.mantissa_bits) - 1)
        fields = (parts.exponent << bits) + (mantissa << (bits - layout.mantissa_bits))
        return parts.sign, parts.significand >> layout.mantissa_bits, fields, form.decode(codes)

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        bits = self._mantissa(self.p)
        left = [part[..., :, None, :] for part in self._operands(acts, self.act_format)]
        right = [part[..., None, :, :] for part in self._operands(weights, self.weight_format)]
        negative, nonzero = left[0] ^ right[0], (left[1] & right[1]) == 1
        fields = left[2] + right[2] + self._offset(self.p) + (self._base(self.p) << bits)
        exponent, mantissa = fields >> bits, fields & ((1 << bits) - 1)
        if not self.fp32_sums(self.p):
            shift = np.where(nonzero, exponent, 0).astype(self.sum_dtype)
            magnitude = np.where(nonzero, mantissa + (1 << bits), 0).astype(self.sum_dtype) << shift
            sums: np.ndarray = np.where(negative == 1, -magnitude, magnitude).sum(axis=-1)
            return sums[None, ..., None]
        codes = np.where(nonzero & (exponent >= 1), (exponent << FRACTION) + (mantissa << (FRACTION - bits)), 0)
        infinite = np.isinf(left[3]) | np.isinf(right[3])
        codes = np.where((nonzero & (exponent > LARGEST)) | infinite, _INFINITY, codes) + (negative << 31)
        nan = np.isnan(left[3]) | np.isnan(right[3]) | (infinite & ((left[1] == 0) | (right[1] == 0)))
        return fp32_tree_reference(np.where(nan, FP32_NAN, codes)).astype(np.int64)[None, ..., None]

    # ------------------------------------------------------------------ logic

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Unpacks the row's activations once, and adds offset and biases to their fields."""
        bits, width = self._mantissa(self.p), self._field_bits(self.p)
        fixed = Const((self._offset(self.p) + (self._base(self.p) << bits)) & ((1 << width) - 1), width)
        found = []
        for index in range(self.k):
            sign, nonzero, fields, marks = self._unpacked(m, acts[index], self._layouts(self.p)[0], f"act{index}")
            total = wire(m, (extend(fields, width) + fixed)[:width], f"act{index}_fields")
            found.append(Cat(sign, nonzero, total, *marks))
        return Cat(*found)

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Unpacks the column's weights once."""
        layout = self._layouts(self.p)[1]
        lost = self._mantissa(self.p) - layout.mantissa_bits
        found = []
        for index in range(self.k):
            sign, nonzero, fields, marks = self._unpacked(m, weights[index], layout, f"weight{index}")
            found.append(Cat(sign, nonzero, fields[lost:], *marks))
        return Cat(*found)

    def _unpacked(
        self, m: Module, code: Value, layout: FloatLayout, name: str
    ) -> tuple[Value, Value, Value, list[Value]]:
        """Sign, whether an operand is not zero, its fields with m mantissa bits, and its marks of NaN and infinity."""
        parts = fp_unpack(m, code, layout, name, normalise=self._normalises(layout, self.p))
        below = Const(0, self._mantissa(self.p) - layout.mantissa_bits)
        fields = Cat(below, parts.significand[:-1], parts.exponent)
        if parts.exponent.shape().signed:
            fields = fields.as_signed()
        marks: list[Value] = []
        if self.fp32_sums(self.p) and self._flags(layout):
            raw = split(m, code, layout, f"{name}_raw")
            marks = [raw.nan, raw.infinite][: self._flags(layout)]
        return parts.sign, parts.significand[-1], fields, marks

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Adds fields, an adder a product; products go into fixed point and one tree, or through FP32 adders."""
        a_bits, w_bits = self._element_bits(self.p)
        pairs = [
            (row[index * a_bits : (index + 1) * a_bits], col[index * w_bits : (index + 1) * w_bits])
            for index in range(self.k)
        ]
        if self.fp32_sums(self.p):
            codes = [self._product(m, left, right, f"product{index}") for index, (left, right) in enumerate(pairs)]
            return [Addend(self.fp32_tree(m, codes, "dot").as_signed())]
        placed = [self._exact_product(m, left, right, index) for index, (left, right) in enumerate(pairs)]
        return [dot_addend(m, self, placed, int(self.addend_bits(self.p)))]

    def _added(self, m: Module, left: Value, right: Value, name: str) -> tuple[Value, Value, Value]:
        """Sign of a product, whether it is not zero, and its fields."""
        bits, width, layout = self._mantissa(self.p), self._field_bits(self.p), self._layouts(self.p)[1]
        shape = self._field_shape(layout, self.p)
        fields = Cat(Const(0, bits - layout.mantissa_bits), right[2 : 2 + layout.mantissa_bits + shape.width])
        other = extend(fields.as_signed() if shape.signed else fields, width)
        total = wire(m, (left[2 : 2 + width].as_unsigned() + other.as_unsigned())[:width], f"{name}_fields")
        return (
            wire(m, left[0] ^ right[0], f"{name}_sign"),
            wire(m, left[1] & right[1], f"{name}_nonzero"),
            total,
        )

    def _exact_product(self, m: Module, left: Value, right: Value, index: int) -> tuple[Value, Value | None]:
        bits = self._mantissa(self.p)
        sign, nonzero, fields = self._added(m, left, right, f"product{index}")
        significand = wire(m, Cat(fields[:bits] & nonzero.replicate(bits), nonzero), f"significand{index}")
        width = int(self.product_range(self.p)[1]).bit_length()
        first = bool(self._negates_first(self.p))
        return place_product(m, significand, sign, fields[bits:], width, f"product{index}", first=first)

    def _product(self, m: Module, left: Value, right: Value, name: str) -> Value:
        """FP32 code of the product of two operands."""
        bits = self._mantissa(self.p)
        low, high = (end >> bits for end in self._product_fields(self.p))
        sign, nonzero, fields = self._added(m, left, right, name)
        exponent = fields[bits:].as_signed() if low < 0 else fields[bits:]
        marks = []
        for operand, layout, size in zip((left, right), self._layouts(self.p), self._element_bits(self.p), strict=True):
            own = [*operand[size - self._flags(layout) :]] if self._flags(layout) else []
            marks.append([*own, *[Const(0, 1)] * (2 - len(own))])
        nan = marks[0][0] | marks[1][0] | (marks[0][1] & ~right[1]) | (marks[1][1] & ~left[1])
        nan = wire(m, nan, f"{name}_nan")
        infinite = marks[0][1] | marks[1][1]
        if high > LARGEST:
            infinite = infinite | (nonzero & (exponent > LARGEST))
        special = wire(m, infinite | nan, f"{name}_special")
        normal = nonzero & (exponent >= 1) if low < 1 else nonzero
        number = wire(m, normal & ~special, f"{name}_number")
        mantissa = Cat(Const(0, FRACTION - bits), fields[:bits] & number.replicate(bits))
        field = (extend(exponent, 8).as_unsigned() & number.replicate(8)) | special.replicate(8)
        return wire(m, Cat(mantissa[:-1], mantissa[-1] | nan, field, sign & ~nan), name)
