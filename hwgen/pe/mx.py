"""Block dot products with shared scales (MX, NVFP4, HiF4): exact inside a block, one rounding a block into FP32.

Both operands come in blocks along K that share a scale: MXFP8, MXFP6, MXFP4 and MXINT8 (32 elements, E8M0), NVFP4 and
NVINT4 (16 elements, E4M3, and an FP32 scale of the tensor), HiF4 (64 elements, E6M2, and micro-exponents of 8 and of 4
elements). The formats of the two operands are chosen independently where block and scale are of one kind.

Rows and columns decode their elements once. A cell forms K products and adds them exactly in fixed point, whose unit is
the product of the elements' smallest units: products of floating-point elements are a product of significands and a
shift by the sum of the exponents, an integer beside a floating-point element counts as a significand without exponent,
and two integers are multiplied as they are. HiF4's micro-exponents are applied in the front-ends, to integers from -28
to 28 quarters, so that the cell is an integer dot product. The accumulator holds ``depth`` products and no more: 14
bits for a block of MXFP4, 70 for MXFP8 E5M2, 17 for HiF4.

At the end of a block the sum is multiplied by the row's and the column's scale, rounded once to nearest even into FP32
and added to the result; blocks are added in K order. Overflow gives infinity, subnormals are kept, a NaN scale gives
NaN. The FP32 scales of whole tensors multiply the finished result in software (`QTensor.outer`).

Infinities and NaN among the elements (E4M3, E5M2) count as the largest finite magnitude with their sign, as everywhere
in this project: no quantiser emits them, and a flag for them would be a register and a wide OR in every cell. The code
1000 of NVINT4, which is symmetric, counts as -7.

Quantisers work in FP32, each operation rounded, in the order of the formats' authors: a block scale of NVFP4 and NVINT4
is E4M3((amax / max) / outer) with outer = max|x| / (max · 448), one of HiF4 is E6M2(bf16(amax · bf16(1/7))); exponents
of MX are integers. `hwgen.quantize.nv` also has the orders of Model Optimizer and Transformer Engine, which part from
this one next to ties (docs/quantisers.md).

Timing: one cycle per step of K elements, latency 1 + stages to the block sum, 5 more to the first FP32 result.
Source: OCP Microscaling Formats v1.0 (the order and the rounding points, which it leaves open, are those above);
NVFP4 as NVIDIA's cuDNN documents it; NVINT4, arXiv 2510.25602; HiF4, arXiv 2602.11287.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from hwgen.arith import (
    absolute,
    adder_tree_with_carries,
    conditional_negate,
    float_layout,
    fp_unpack,
    shift_left,
    unpack_reference,
    wire,
)
from hwgen.errors import HwgenError
from hwgen.formats import BlockFormat, Format, block_format, block_names
from hwgen.formats.minifloat import MinifloatFormat
from hwgen.pe._numbers import Num, bits_for_multiple, clog2
from hwgen.pe._param import Range, again, param
from hwgen.pe._spec import Addend, Counts, P, Quantization, Side, TileSpec

__all__ = ["Mx"]

FORMATS = block_names()
_HALF = 16
"""Bits of the lower part into which operands are cut where products exceed 62 bits."""


class _Field(NamedTuple):
    """An element on a bus whose products are significand and shift: a sign and these."""

    significand: int
    """Bits."""
    largest_shift: int

    @property
    def shift(self) -> int:
        """Bits of the shift."""
        return self.largest_shift.bit_length()

    @property
    def bits(self) -> int:
        return 1 + self.significand + self.shift


def _field(form: Format) -> _Field:
    """Sign, significand and shift of an element; an integer is a significand that is not shifted."""
    if isinstance(form, MinifloatFormat):
        layout = float_layout(form)
        return _Field(layout.mantissa_bits + 1, layout.max_finite[0] - 1)
    return _Field(max(abs(end) for end in _ends(form)).bit_length(), 0)


def _ends(form: Format) -> tuple[int, int]:
    """Lowest and highest element in units of the format's last place."""
    return int(form.min_value * 2.0**-form.lsb_exp), int(form.max_value * 2.0**-form.lsb_exp)


def _shifter(width: int, significand: int, largest: int) -> int:
    """Multiplexers of a shift to the left: each level is wider than the one before by what it shifts."""
    levels = largest.bit_length()
    return sum(min(width, significand + (2 << level) - 1) for level in range(levels))


@dataclass(frozen=True, kw_only=True)
class Mx(TileSpec):
    """Tile of block formats. ``group`` is the block size and, like ``depth``, the formats' own where `from_values` is
    not told.
    """

    m: int = again(TileSpec, "m", sweep=(1, 2))
    n: int = again(TileSpec, "n", sweep=(2, 4))
    k: int = again(TileSpec, "k", default=8, sweep=(4, 8))
    group: int = again(TileSpec, "group", default=32, sweep=(16, 32, 64))
    depth: int = again(TileSpec, "depth", default=32, sweep=(64, 128))
    transport: str = again(TileSpec, "transport", sweep=("broadcast",))
    weights: str = param("mxfp4", "weight block format", legal=FORMATS, sweep=FORMATS)
    acts: str = param("mxfp4", "activation block format", legal=FORMATS, sweep=FORMATS)
    block_rule: str = param(
        "floor",
        "rounding of the shared exponent when an MX block is quantised",
        legal=("floor", "ceil"),
        sweep=("floor", "ceil"),
    )
    post_lanes: int = param(
        4,
        "lanes that scale block sums and accumulate them in FP32; blocks wait where they are too few",
        legal=Range(1, 1024),
        sweep=(1, 2, 4),
    )

    cell_uses_phase: ClassVar[bool] = False
    golden_overflow: ClassVar[bool] = True
    NOT_IN_BLOCKS: ClassVar[frozenset[str]] = TileSpec.NOT_IN_BLOCKS | {"block_rule"}

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """``bits`` names the MX weight format by its width.

        A format of another kind of block brings the other operand's format, the block size, the depth and, where the
        block is shorter, more lanes with it.
        """
        given = dict(values)
        if "bits" in given:
            bits = given.pop("bits")
            elements = {
                name: block_format(name).element.code_bits for name in FORMATS if block_format(name).scheme == "mx"
            }
            fitting = [name for name, width in elements.items() if width == bits]
            if not fitting:
                *widths, last = sorted(set(elements.values()))
                raise HwgenError(f"mx: bits must be {', '.join(map(str, widths))} or {last}, not {bits!r}")
            given.setdefault("weights", fitting[0])
        named = [given[side] for side in ("weights", "acts") if given.get(side) in FORMATS]
        if named and block_format(named[0]).scheme != "mx":
            for side in ("weights", "acts"):
                given.setdefault(side, named[0])
            block, known = block_format(named[0]).block, cls.parameters()
            for size in ("group", "depth"):
                given.setdefault(size, block)
            # A shorter block leaves the lanes less time.
            lanes = known["post_lanes"].default * max(known["group"].default // block, 1)
            return cls.fitting_lanes(given, lanes)
        return cls.fitting_lanes(given, cls.parameters()["post_lanes"].default)

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        acts, weights = cls._blocks(p)
        yield (
            acts.pairs_with(weights),
            "acts must have blocks and scales like the weights' ({weights}), not {acts}",
        )
        yield (
            p["block_rule"] == "floor" or weights.scheme == "mx",
            "block_rule must be floor for {weights}, whose scales are no powers of two, not {block_rule}",
        )
        if weights.scheme != "mx":
            # Other blocks are what their formats say; OCP defines MX for any block, and formats of 32 elements.
            yield p["group"] == weights.block, f"group must be {weights.block}, the block of {{weights}}, not {{group}}"
        # After the block: what else is wrong with a group that no format has would be told in vain.
        yield from super().constraints(p)
        elements = weights.element.elements
        if elements > 1:
            yield p["k"] % elements == 0, f"k must be a multiple of {elements} with {{weights}}, not {{k}}"

    @property
    def act_format(self) -> Format:
        return block_format(self.acts).element

    @property
    def weight_format(self) -> Format:
        return block_format(self.weights).element

    def quantization(self) -> Quantization:
        acts, weights = self._blocks(self.p)
        return Quantization(
            acts=acts.element.name,
            weights=weights.element.name,
            scheme=weights.scheme,
            group=self.group,
            act_scale=acts.scale.name,
            weight_scale=weights.scale.name,
            step=self.k,
            block_rule=self.block_rule,
            **self.bounded_sums(),
        )

    @classmethod
    def side_bits(cls, p: P) -> tuple[Counts, Counts]:
        acts, weights = cls._blocks(p)
        return {"scale": acts.scale.code_bits}, {"scale": weights.scale.code_bits}

    def row_side(self) -> dict[str, Side]:
        acts, _ = self._blocks(self.p)
        form = acts.scale
        return {"scale": Side(form.code_bits, f"{form.name} scale of the row's block", encoding=form.name)}

    def col_side(self) -> dict[str, Side]:
        _, weights = self._blocks(self.p)
        form = weights.scale
        return {"scale": Side(form.code_bits, f"{form.name} scale of the column's block", encoding=form.name)}

    # ------------------------------------------------------------------ formulas

    @staticmethod
    def _blocks(p: P) -> tuple[BlockFormat, BlockFormat]:
        return block_format(p["acts"]), block_format(p["weights"])

    @classmethod
    def _elements(cls, p: P) -> tuple[Format, Format]:
        acts, weights = cls._blocks(p)
        return acts.element, weights.element

    @classmethod
    def _shifts(cls, p: P) -> bool:
        """Whether products are formed as significand product and shift."""
        return any(isinstance(form, MinifloatFormat) for form in cls._elements(p))

    @classmethod
    def _bus_bits(cls, p: P, form: Format) -> int:
        """Width of one decoded element."""
        return _field(form).bits if cls._shifts(p) else form.fixed_bits

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        form, _ = cls._elements(p)
        return p["k"] // form.elements, form.code_bits

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        _, form = cls._elements(p)
        return p["k"] // form.elements, form.code_bits

    @classmethod
    def stored_bits(cls, p: P) -> tuple[Num, Num]:
        acts, weights = super().stored_bits(p)
        repeated = [form.repeated_bits / form.block for form in cls._blocks(p)]
        # A bit that several words of a block repeat is in memory once.
        return (
            acts - p["k"] * repeated[0] if repeated[0] else acts,
            weights - p["k"] * repeated[1] if repeated[1] else weights,
        )

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls._bus_bits(p, cls._elements(p)[0])

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls._bus_bits(p, cls._elements(p)[1])

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        acts, weights = (_ends(form) for form in cls._elements(p))
        corners = [a * w for a in acts for w in weights]
        return min(corners), max(corners)

    @classmethod
    def _sum_bits(cls, p: P, products: Num) -> Num:
        """Two's-complement bits of a sum of so many products."""
        low, high = cls.product_range(p)
        # The ends are small multiples of a power of two, whose exponent adds to the width: no array of 64 bits holds
        # sums of E5M2 products.
        zeros = min((end & -end).bit_length() - 1 for end in (low, high))
        return bits_for_multiple(low >> zeros, high >> zeros, products) + zeros

    @classmethod
    def acc_bits(cls, p: P) -> Num:
        return cls._sum_bits(p, p["depth"])

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        # A carry that is left over makes the sum before it lower by 1: one's complement has a zero below zero, and the
        # ranges of such products are symmetric.
        return cls._sum_bits(p, p["k"])

    @classmethod
    def carry_bits(cls, p: P) -> Num:
        return 1 if cls._shifts(p) else 0

    @classmethod
    def _decoders(cls, p: P, form: Format) -> Counts:
        k, bits = p["k"], form.fixed_bits
        if isinstance(form, MinifloatFormat):
            # The exponent less one.
            return {"add": k * float_layout(form).exponent_bits}
        if form.elements > 1:
            # Two shifts by one place or none, and a negation.
            return {"mux2": k * (2 * bits - 3), "xor": k * bits, "add": k * bits}
        if cls._shifts(p):
            return {"xor": k * form.code_bits, "add": k * form.code_bits}
        return {}

    @classmethod
    def row_primitives(cls, p: P) -> Counts:
        return cls._decoders(p, cls._elements(p)[0])

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        return cls._decoders(p, cls._elements(p)[1])

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        k, product = p["k"], cls._sum_bits(p, 1)
        # A level of the tree has half the adders of the one before, each a bit wider.
        tree = (k - 1) * product + 2 * k - clog2(k) - 2
        acts, weights = cls._elements(p)
        if not cls._shifts(p):
            return {"mul": k * acts.fixed_bits * weights.fixed_bits, "add": tree}
        a, w = _field(acts), _field(weights)
        largest = a.largest_shift + w.largest_shift
        return {
            "mul": k * a.significand * w.significand,
            "add": tree + k * (largest.bit_length() if a.shift and w.shift else 0),
            "mux2": k * _shifter(product - 1, a.significand + w.significand, largest),
            "xor": k * product,
        }

    # ------------------------------------------------------------------ reference

    @staticmethod
    def _fixed(codes: np.ndarray, form: Format) -> np.ndarray:
        """Elements [..., K] as int64 in units of the format's last place; infinities and NaN as the largest ones."""
        if isinstance(form, MinifloatFormat):
            parts = unpack_reference(codes, form, normalise=False)
            magnitude = parts.significand << (parts.exponent - 1)
            signed_values: np.ndarray = np.where(parts.sign == 1, -magnitude, magnitude)
            return signed_values
        values = form.fixed(codes)
        return values.reshape(*values.shape[:-2], -1) if form.elements > 1 else values

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        a, w = self._fixed(acts, self.act_format), self._fixed(weights, self.weight_format)
        products = functools.partial(np.einsum, "...mk,...nk->...mn")
        if self.sum_dtype is object:
            # Two sums of products that fit 62 bits make one that does not.
            upper, lower = products(a >> _HALF, w), products(a & ((1 << _HALF) - 1), w)
            total: np.ndarray = upper.astype(object) * (1 << _HALF) + lower.astype(object)
        else:
            total = products(a, w)
        return total[None, ..., None]

    def arithmetic(self, mode: int) -> dict[str, Any]:
        return self.dot_arithmetic(mode)

    # ------------------------------------------------------------------ logic

    def _decode(self, m: Module, codes: Any, form: Format, name: str) -> Value:
        """Decoded elements of one row or column, `_bus_bits` each."""
        if isinstance(form, MinifloatFormat):
            decode = self._decode_float
        elif form.elements > 1:
            decode = self._decode_word
        else:
            decode = self._decode_integer
        words = self.k // form.elements
        return Cat(*[decode(m, wire(m, codes[word], f"{name}{word}"), form, f"{name}{word}") for word in range(words)])

    @staticmethod
    def _decode_float(m: Module, code: Value, form: Format, name: str) -> Value:
        """Sign, significand, and exponent less one."""
        unpacked = fp_unpack(m, code, form, name, normalise=False)
        shift = wire(m, (unpacked.exponent - 1)[: _field(form).shift], f"{name}_shift")
        return Cat(unpacked.sign, unpacked.significand, shift)

    def _decode_integer(self, m: Module, code: Value, form: Format, name: str) -> Value:
        """The integer itself; beside a floating-point operand its sign and magnitude."""
        if form.min_value == -form.max_value:
            # The lowest code of a symmetric format means the one above it.
            lowest = wire(m, code[-1] & ~code[:-1].any(), f"{name}_lowest")
            code = wire(m, Cat(code[0] | lowest, code[1:]), f"{name}_element")
        if not self._shifts(self.p):
            return code
        sign, magnitude = absolute(m, code.as_signed(), name)
        return Cat(sign, magnitude[: _field(form).significand])

    @staticmethod
    def _decode_word(m: Module, code: Value, form: Format, name: str) -> Value:
        """Four integers: magnitudes in quarters, shifted by both micro-exponents, with their signs."""
        upper, lower = code[4 * form.elements], code[4 * form.elements + 1]
        numbers = []
        for index in range(form.elements):
            quarters, sign = code[4 * index : 4 * index + 3], code[4 * index + 3]
            once = wire(m, Mux(upper, Cat(Const(0, 1), quarters), Cat(quarters, Const(0, 1))), f"{name}_{index}_upper")
            both = wire(m, Mux(lower, Cat(Const(0, 1), once), Cat(once, Const(0, 1))), f"{name}_{index}_magnitude")
            numbers.append(conditional_negate(m, both, sign, f"{name}_{index}").as_unsigned())
        return Cat(*numbers)

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Decodes the row's elements once: sign, significand and shift, or integers (HiF4 with micro-exponents)."""
        return self._decode(m, acts, self.act_format, "act")

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Decodes the column's elements once: sign, significand and shift, or integers (HiF4 with micro-exponents)."""
        return self._decode(m, weights, self.weight_format, "weight")

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Forms K exact products in fixed point and adds them in one tree."""
        a_form, w_form = self.act_format, self.weight_format
        a_bits, w_bits = self._bus_bits(self.p, a_form), self._bus_bits(self.p, w_form)
        values: list[Value] = []
        carries: list[Value] = []
        for index in range(self.k):
            a, w = row[index * a_bits : (index + 1) * a_bits], col[index * w_bits : (index + 1) * w_bits]
            if self._shifts(self.p):
                value, sign = self._float_product(m, a, w, index)
                values.append(value)
                carries.append(sign)
            else:
                values.append(wire(m, a.as_signed() * w.as_signed(), f"product{index}"))
        total, carry = adder_tree_with_carries(m, values, carries, "dot")
        # The tree is as wide as its operands allow; their values, and so the sum, may need less.
        return [Addend(total[: int(self.addend_bits(self.p))].as_signed(), carry)]

    def _float_product(self, m: Module, a: Value, w: Value, index: int) -> tuple[Value, Value]:
        """Product of two decoded elements in one's complement, and its sign, the one that is missing."""
        a_field, w_field = _field(self.act_format), _field(self.weight_format)
        a_cut, w_cut = 1 + a_field.significand, 1 + w_field.significand
        sign = wire(m, a[0] ^ w[0], f"sign{index}")
        significand = wire(m, a[1:a_cut] * w[1:w_cut], f"significand{index}")
        largest = a_field.largest_shift + w_field.largest_shift
        amounts = [amount for amount in (a[a_cut:], w[w_cut:]) if len(amount)]
        total = amounts[0] + amounts[1] if len(amounts) > 1 else amounts[0]
        shift = wire(m, total[: largest.bit_length()], f"shift{index}")
        room = Signal(int(self._sum_bits(self.p, 1)) - 1, name=f"room{index}")
        m.d.comb += room.eq(significand)
        magnitude = shift_left(m, room, shift, f"magnitude{index}")
        # −x = ~x + 1: the ones go into the adders of the tree as carries.
        flipped = Signal(signed(len(magnitude) + 1), name=f"product{index}")
        m.d.comb += flipped.eq(Cat(magnitude, 0) ^ sign.replicate(len(magnitude) + 1))
        return flipped, sign
