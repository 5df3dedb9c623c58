"""Widths, cycles and counts of a minifloat tile."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Shape

from hwgen.arith import (
    FloatLayout,
)
from hwgen.arith.fp32 import FP32_BIAS
from hwgen.formats import get
from hwgen.frame.facts import Counts, P
from hwgen.frame.numbers import Num, bits_for, bits_for_multiple, clog2, where
from hwgen.frame.primitives import merge
from hwgen.pe._fp32_sum import FP32_BITS
from hwgen.pe._products import joins_tree, negates_first, product_counts, tree_counts
from hwgen.pe.minifloat.parameters import FRACTION, MinifloatParameters

__all__ = ["MinifloatFormulas"]


LARGEST = 254
"""Exponent field of the largest finite FP32 numbers."""


@dataclass(frozen=True, kw_only=True)
class MinifloatFormulas(MinifloatParameters):
    """Widths, cycles and counts of a minifloat tile."""

    @classmethod
    def fp32_sums(cls, p: P) -> bool:
        return bool(p["accumulator"] == "fp32")

    @classmethod
    def fp32_terms(cls, p: P) -> Num:
        return p["k"]

    @staticmethod
    def _flags(layout: FloatLayout) -> int:
        """Bits that mark special values on an FP32 bus: NaN, infinity."""
        return {"ieee": 2, "fn": 1, "none": 0}[layout.specials]

    @staticmethod
    def _exponents(layout: FloatLayout) -> range:
        """Biased exponents of nonzero finite codes on an FP32 bus, subnormals normalised."""
        return range(1 - layout.mantissa_bits, layout.max_finite[0] + 1)

    @staticmethod
    def _exponent_shape(layout: FloatLayout, fp32: bool) -> Shape:
        """Shape of the exponent, or of the shift, of a decoded element."""
        if not fp32:
            return Shape(int(clog2(layout.max_finite[0])))
        # Zero and the special values have exponents of their own, which nobody looks at.
        return Shape.cast(range(1 - layout.zero_distance, 1 << layout.exponent_bits))

    @classmethod
    def _bus_bits(cls, layout: FloatLayout, fp32: bool) -> int:
        """Width of a decoded element: sign, significand, shift or exponent, and marks of special values."""
        flags = cls._flags(layout) if fp32 else 0
        return 1 + (layout.mantissa_bits + 1) + int(cls._exponent_shape(layout, fp32).width) + flags

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"], get(p["acts"]).code_bits

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"], get(p["weights"]).code_bits

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls._bus_bits(cls._layouts(p)[0], cls.fp32_sums(p))

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls._bus_bits(cls._layouts(p)[1], cls.fp32_sums(p))

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        high = 1
        for layout in cls._layouts(p):
            exponent, mantissa = layout.max_finite
            hidden = int(exponent > 0) << layout.mantissa_bits
            high *= (hidden + mantissa) << (max(exponent, 1) - 1)
        return -high, high

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        if cls.fp32_sums(p):
            return FP32_BITS + 0 * p["k"]
        low, high = cls.product_range(p)
        # In one's complement a product of zero with a sign is −1 until its carry arrives.
        late = bits_for_multiple(low - 1, high, p["k"])
        return where(cls._negates_first(p), bits_for_multiple(low, high, p["k"]), late)

    @classmethod
    def carry_bits(cls, p: P) -> Num:
        return 0 if cls.fp32_sums(p) else where(cls._negates_first(p), 0, 1)

    @classmethod
    def _largest_shift(cls, p: P) -> int:
        """Largest shift of an exact product of significands."""
        return sum(max(layout.max_finite[0] - 1, 0) for layout in cls._layouts(p))

    @classmethod
    def _significand_bits(cls, p: P) -> int:
        """Bits of a product of significands; a one-bit one is a mask."""
        bits = [layout.mantissa_bits + 1 for layout in cls._layouts(p)]
        return sum(bits) - int(min(bits) == 1)

    @classmethod
    def _negates_first(cls, p: P) -> Num:
        """Whether exact products of significands are negated before they are shifted."""
        return negates_first(p, cls._significand_bits(p), int(cls.product_range(p)[1]).bit_length())

    @classmethod
    def _ranges(cls, p: P) -> tuple[int, int]:
        """Smallest and largest exponent field, in FP32's bias, of a nonzero product of finite codes."""
        a, w = cls._layouts(p)
        bias = FP32_BIAS - a.bias - w.bias
        low, high = (cls._exponents(a)[end] + cls._exponents(w)[end] + bias for end in (0, -1))
        return low, high + int(min(a.mantissa_bits, w.mantissa_bits) > 0)

    @classmethod
    def _decoder(cls, layout: FloatLayout, p: P) -> Counts:
        k, bits = p["k"], layout.mantissa_bits
        if not cls.fp32_sums(p):
            special = {"ieee": bits + 2, "fn": 2, "none": 1}[layout.specials]
            return {"add": k * layout.exponent_bits, "and": k * special}
        # Normalising: a stage of multiplexers a bit of the distance, and the distance off the exponent.
        exponent = cls._exponent_shape(layout, True).width + 1 if bits else 0
        marks = {"ieee": 3, "fn": 1, "none": 1}[layout.specials]
        return {"add": k * exponent, "mux2": k * (bits + 1) * clog2(bits + 1), "and": k * marks}

    @classmethod
    def row_primitives(cls, p: P) -> Counts:
        return cls._decoder(cls._layouts(p)[0], p)

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        return cls._decoder(cls._layouts(p)[1], p)

    @classmethod
    def zero_adds_nothing(cls, p: P) -> bool:
        return not cls.fp32_sums(p)

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        k = p["k"]
        a, w = cls._layouts(p)
        factors = (a.mantissa_bits + 1, w.mantissa_bits + 1)
        masked = min(factors) == 1
        counts: Counts = {"and": k * max(factors)} if masked else {"mul": k * factors[0] * factors[1]}
        if cls.fp32_sums(p):
            width = cls._exponent_width(p)
            low, high = cls._ranges(p)
            # The exponents' sum, and that with the bias and the carry of the significand's normalisation.
            counts["add"] = k * (2 * width + 1)
            counts["mux2"] = 0 if masked else k * (sum(factors) - 1)
            counts["and"] = counts.get("and", 0) + k * (sum(factors) + 11)
            counts["xor"] = k
            if low < 1:
                counts["add"] = counts["add"] + k * (width + 1 + FRACTION + 2)
                counts["mux2"] = counts["mux2"] + k * (5 * (FRACTION + 2) + 31)
                counts["and"] = counts["and"] + k * 2 * (FRACTION + 4)
            if high > LARGEST:
                counts["add"] = counts["add"] + k * width
            return merge(counts, cls.fp32_tree_primitives(p))
        _, high = cls.product_range(p)
        product, first = bits_for(-high, high), cls._negates_first(p)
        largest = cls._largest_shift(p)
        placed = product_counts(first, cls._significand_bits(p), product - 1, largest)
        placed["add"] = placed["add"] + largest.bit_length()
        each = {name: k * count for name, count in placed.items()}
        return merge(counts, each, tree_counts(cls, p, product, first))

    @classmethod
    def sums_in_tree(cls, p: P) -> Num:
        return False if cls.fp32_sums(p) else joins_tree(cls, p, cls._negates_first(p))

    @classmethod
    def _exponent_width(cls, p: P) -> int:
        """Bits of a product's exponent field, signed where it may be out of FP32's range."""
        low, high = cls._ranges(p)
        return Shape.cast(range(low, high + 1)).width if low < 1 or high > LARGEST else 8
