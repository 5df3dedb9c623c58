"""Floating-point MAC of any ExMy by EiMj up to FP16 and BF16, exact in fixed point or accumulating in FP32.

Rows and columns decode their codes once; a cell forms K products a step and adds them up.

``accumulator`` = exact: a product is a significand product shifted into fixed point, whose unit is the product of both
formats' last places; a balanced tree and the accumulator add them without any rounding. The accumulator holds
``depth`` of the largest products and has no bit more: with 128 of them 44 bits for E4M3 by E4M3, 88 for FP16 by FP16,
530 for BF16 by BF16. No pair of formats of at most 16 bits needs more than 550, so none is refused. Infinities and NaN
count as the largest finite value with their sign.

``accumulator`` = fp32: a product is the exact one rounded once to FP32, as IEEE 754 multiplication rounds it. It is
exact but where it is below FP32's normal numbers (rounded to a subnormal, nearest even) or beyond its end (infinite),
which only formats with eight exponent bits reach. Infinities, NaN and signed zeros follow IEEE 754; every NaN is
0x7FC00000. The K products are added by a balanced tree of FP32 adders (product 0 + product 1, 2 + 3, …), and the tree's
sum to the FP32 sum of the cell, which starts from +0; see `hwgen.pe._fp32_sum` for ``adder_stages`` and ``interleave``.

``--bits 16 --accumulator fp32`` is the FP16 MAC with FP32 accumulation, ``--bits 8`` the FP8 (E4M3) MAC; ``--weights``
and ``--acts`` take every other pair, by name or as ExMy. Activations and weights of 16 bits are rounded as they are,
with a scale of 1; shorter formats get one scale a row, and one a column and group.

Timing: one step a cycle, latency 1 + stages (exact). With FP32 sums the adders add theirs, and without interleaving a
step takes ``adder_stages`` cycles.
Source: the FP16 and FP8 baselines of LUT Tensor Core (ISCA'25) and BitMoD (HPCA'25); exact widths as in Y. Uguen
and F. de Dinechin, Design-space exploration for the Kulisch accumulator, 2017 (hal-01488916), without spare bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed

from hwgen.arith import (
    FP32_NAN,
    FloatLayout,
    add_with_carry,
    adder_tree_with_carries,
    extend,
    float_layout,
    fp_unpack,
    multiply,
    normalize_left,
    round_nearest_even,
    shift_left_into,
    shift_right_sticky,
    unpack_reference,
    wire,
)
from hwgen.arith.fp32 import FP32_BIAS
from hwgen.arith.minifloat import effective_exponent, split
from hwgen.errors import HwgenError
from hwgen.formats import Format, get
from hwgen.formats.minifloat import MinifloatFormat
from hwgen.pe._fp32_sum import FP32_BITS, Fp32SumSpec, fp32_tree_reference
from hwgen.pe._numbers import Num, bits_for, bits_for_multiple, clog2
from hwgen.pe._param import again, param
from hwgen.pe._scaled import LanesSpec
from hwgen.pe._spec import Addend, Counts, P, Quantization, TileSpec

__all__ = ["Minifloat"]

BITS = {16: "fp16", 8: "fp8_e4m3", 6: "fp6_e2m3", 4: "fp4_e2m1"}
"""Format that ``bits`` stands for."""

_FRACTION = 23
_LARGEST = 254
"""Exponent field of the largest finite FP32 numbers."""
_WIDEST = 16


@dataclass(frozen=True, kw_only=True)
class Minifloat(Fp32SumSpec, LanesSpec):
    """Floating-point MAC tile."""

    m: int = again(TileSpec, "m", sweep=(1, 2))
    n: int = again(TileSpec, "n", sweep=(1, 2))
    k: int = again(TileSpec, "k", sweep=(1, 2, 4))
    weights: str = param(
        "fp8_e4m3",
        "weight format: a signed minifloat of at most 16 bits, by name or as ExMy",
        sweep=("fp4_e2m1", "fp6_e3m2", "fp8_e4m3", "fp8_e5m2", "fp16", "bf16"),
    )
    acts: str = param(
        "fp8_e4m3",
        "activation format, likewise",
        sweep=("fp6_e2m3", "fp8_e4m3", "fp8_e5m2", "fp16", "bf16", "e3m0"),
    )
    accumulator: str = param(
        "exact",
        "sums: exact in fixed point, or FP32",
        legal=("exact", "fp32"),
        sweep=("exact", "fp32"),
    )

    cell_uses_phase: ClassVar[bool] = False
    golden_overflow: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("acts", "weights"):
            value = getattr(self, name)
            form = get(value) if isinstance(value, str) else None
            if not isinstance(form, MinifloatFormat) or not form.signed or form.code_bits > _WIDEST:
                raise HwgenError(
                    f"minifloat: {name} must be a signed floating-point format of at most {_WIDEST} bits, such as "
                    f"fp16, bf16, fp8_e4m3 or e3m4, not {value!r}"
                )
        super().__post_init__()

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """``bits`` names the format by its width: of the weights, and of the activations unless they are given."""
        given = dict(values)
        if "bits" in given:
            bits = given.pop("bits")
            if bits not in BITS:
                widths = [str(width) for width in sorted(BITS)]
                raise HwgenError(f"minifloat: bits must be {', '.join(widths[:-1])} or {widths[-1]}, not {bits!r}")
            given.setdefault("weights", BITS[bits])
            given.setdefault("acts", given["weights"])
        return given

    @property
    def act_format(self) -> Format:
        return get(self.acts)

    @property
    def weight_format(self) -> Format:
        return get(self.weights)

    def quantization(self) -> Quantization:
        fp32 = self.fp32_sums(self.p)
        return Quantization(
            acts=self.act_format.name,
            weights=self.weight_format.name,
            scheme="element",
            group=self.group,
            act_scale=self.act_scale,
            weight_scale=self.weight_scale,
            step=self.k,
            arithmetic="fp32" if fp32 else "exact",
            options=(("interleave", self.adder_stages if self.interleave == "ring" else 1),) if fp32 else (),
            **self.bounded_sums(),
        )

    # ------------------------------------------------------------------ formulas

    @classmethod
    def fp32_sums(cls, p: P) -> bool:
        return bool(p["accumulator"] == "fp32")

    @classmethod
    def fp32_terms(cls, p: P) -> Num:
        return p["k"]

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        a, w = cls._layouts(p)
        bits = a.mantissa_bits + w.mantissa_bits + 2
        yield (
            not cls.fp32_sums(p) or bits <= _FRACTION + 1,
            f"significands of acts and weights must have at most {_FRACTION + 1} bits together with accumulator fp32, "
            f"not {bits} ({{acts}} and {{weights}}); use accumulator exact",
        )

    @staticmethod
    def _layouts(p: P) -> tuple[FloatLayout, FloatLayout]:
        return float_layout(get(p["acts"])), float_layout(get(p["weights"]))

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
            return p["k"] * FP32_BITS
        low, high = cls.product_range(p)
        # In one's complement a product of zero with a sign is −1 until its carry arrives.
        return bits_for_multiple(low - 1, high, p["k"])

    @classmethod
    def carry_bits(cls, p: P) -> Num:
        return 0 if cls.fp32_sums(p) else 1

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
                counts["add"] = counts["add"] + k * (width + 1 + _FRACTION + 2)
                counts["mux2"] = counts["mux2"] + k * (5 * (_FRACTION + 2) + 31)
                counts["and"] = counts["and"] + k * 2 * (_FRACTION + 4)
            if high > _LARGEST:
                counts["add"] = counts["add"] + k * width
            return counts
        _, high = cls.product_range(p)
        product = bits_for(-high, high)
        shift = int(clog2(a.max_finite[0] + w.max_finite[0] - 1))
        # A significand grows by the distances of a shifter's stages, up to the width of a product.
        grown = [min(sum(factors) - int(masked) + (2 << stage) - 1, product - 1) for stage in range(shift)]
        # A level of the tree is one bit wider than the one before.
        counts["add"] = (k - 1) * (product + clog2(k) // 2 + 1) + k * shift
        counts["mux2"] = k * sum(grown)
        counts["xor"] = k * product
        return counts

    def arithmetic(self, mode: int) -> dict[str, Any]:
        if not self.fp32_sums(self.p):
            return self.dot_arithmetic(mode)
        return {
            "kind": "fp32_dot",
            "definition": "products rounded once to FP32 (IEEE 754, subnormals kept), added up by a balanced tree of "
            "FP32 additions (0 + 1, 2 + 3 and so on, an odd one waits), then accumulated",
            "acts": {"encoding": self.act_format.name},
            "weights": {"encoding": self.weight_format.name},
            "accumulate": self.fp32_accumulation(),
        }

    # ------------------------------------------------------------------ reference

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        if self.fp32_sums(self.p):
            left, right = self.act_format.decode(acts), self.weight_format.decode(weights)
            products = self.products(left[..., :, None, :], right[..., None, :, :])
            return fp32_tree_reference(products).astype(np.int64)[None, ..., None]
        a, w = self._fixed(acts, self.act_format), self._fixed(weights, self.weight_format)
        sums: np.ndarray = a @ np.swapaxes(w, -1, -2)
        return sums[None, ..., None]

    @staticmethod
    def products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """FP32 codes of products of values, each rounded once (float64 holds them exactly)."""
        with np.errstate(all="ignore"):
            products = (left * right).astype(np.float32)
        codes: np.ndarray = np.where(np.isnan(products), np.uint32(FP32_NAN), products.view(np.uint32))
        return codes

    def _fixed(self, codes: np.ndarray, form: Format) -> np.ndarray:
        """Integers in units of the format's last place, int64 or Python integers where sums are wide."""
        fields = unpack_reference(codes, form, normalise=False)
        dtype = self.sum_dtype
        magnitude = fields.significand.astype(dtype) << (fields.exponent - 1).astype(dtype)
        values: np.ndarray = np.where(fields.sign == 1, -magnitude, magnitude)
        return values

    # ------------------------------------------------------------------ logic

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
            return [Addend(Cat(*codes))]
        values, carries = [], []
        for index, (left, right) in enumerate(pairs):
            sign = wire(m, left[0] ^ right[0], f"sign{index}")
            magnitude = self._magnitude(m, left, right, index)
            # −x = ~x + 1: the ones go into the adders of the tree as carries.
            flipped = Signal(signed(len(magnitude) + 1), name=f"product{index}")
            m.d.comb += flipped.eq(Cat(magnitude, 0) ^ sign.replicate(len(magnitude) + 1))
            values.append(flipped)
            carries.append(sign)
        total, carry = adder_tree_with_carries(m, values, carries, "dot")
        # The tree is as wide as its operands allow; their values, and so the sum, may need less.
        return [Addend(total[: int(self.addend_bits(self.p))].as_signed(), carry)]

    def _magnitude(self, m: Module, left: Value, right: Value, index: int) -> Value:
        """Significand product in fixed point."""
        cuts = [2 + layout.mantissa_bits for layout in self._layouts(self.p)]
        significand = multiply(m, left[1 : cuts[0]], right[1 : cuts[1]], f"significand{index}")
        shifts = [shift for shift in (left[cuts[0] :], right[cuts[1] :]) if len(shift)]
        amount = sum(shifts[1:], shifts[0]) if shifts else Const(0, 0)
        width = int(self.product_range(self.p)[1]).bit_length()
        return shift_left_into(m, significand, amount, width, f"magnitude{index}")

    @classmethod
    def _exponent_width(cls, p: P) -> int:
        """Bits of a product's exponent field, signed where it may be out of FP32's range."""
        low, high = cls._ranges(p)
        return Shape.cast(range(low, high + 1)).width if low < 1 or high > _LARGEST else 8

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
        fraction = wire(m, Cat(Const(0, _FRACTION - len(fraction)), fraction), f"{name}_fraction")

        magnitude: Value = Cat(fraction, exponent[:8])
        if low < 1:
            magnitude = self._subnormal(m, exponent, fraction, magnitude, name)
        nan = marks[0][0] | marks[1][0] | (marks[0][1] & ~present[1]) | (marks[1][1] & ~present[0])
        nan = wire(m, nan, f"{name}_nan")
        infinite = marks[0][1] | marks[1][1]
        if high > _LARGEST:
            infinite = infinite | (nonzero & ~exponent[-1] & (exponent[:-1] > _LARGEST))
        special = wire(m, infinite | nan, f"{name}_special")
        number = wire(m, nonzero & ~special, f"{name}_number")
        mantissa = magnitude[:_FRACTION] & number.replicate(_FRACTION)
        field = (magnitude[_FRACTION:] & number.replicate(8)) | special.replicate(8)
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
