"""Parallel integer MAC: K products and an accumulator per cell, in one tree of carry-save adders.

The baseline of every paper. Per step a cell adds Σ_k A[m,k]·W[n,k], exactly, in one cycle.

Weights: two's complement (scheme ``symmetric``) or unsigned with a zero point (``asymmetric``) or a float minimum
(``minimum``). For the unsigned ones the tile also keeps Σ_k A[m,k], once per row, and the wanted sum is
Σ A·(W − z) = Σ A·W − z·Σ A. Odd integers (``bipolar``) are 2q − (2^W − 1): at one bit ±1, and a product is a row of
exclusive ors, whose ones' complement a tree of adders completes by its carries.

Products are rows by the radix-4 Booth digits or by the bits of the shorter factor. The rows of all K products and the
accumulator are one tree with one carry-propagating adder where no register is between them and sums do not saturate;
else the tree adds up the products, and the accumulator has an adder of its own.

Weights of one bit are sign(w) · mean|w| (``bits 1``, scheme bipolar unless another is named; XNOR-Net, BitNet). Ternary
ones (``bits 1.58`` or scheme ``ternary``) are −1, 0 and 1 times mean|w| (BitNet b1.58); they are stored and multiplied
as two bits in two's complement, so that a memory holds 2 bits of each and not 1.58.

Floating-point activations (``acts`` fp16, bf16, fp8_e4m3, fp8_e5m2) become integers as `hwgen.pe._aligned` says, and
multipliers are those of integers (FIGNA): aligned to the largest exponent of a group or a row by a block before the
buffer, or of a step by the row, whose cells then shift the sum of a step by its exponent.

Timing: one cycle per step, latency 1 + stages and cuts.
Source: the integer MAC baselines of LUT Tensor Core (ISCA'25, Fig. 12-14) and BitMoD (HPCA'25, Table IV); FIGNA
(HPCA'24, its abstract): integer units on mantissas aligned beforehand. Widths, scopes and rounding are ours.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Const, Module, Value

from hwgen.arith import adder_tree, wire
from hwgen.arith.bits import adder_tree_with_carries, extend
from hwgen.arith.compressor import Term, TermShape, carry_save_counts, carry_save_sum
from hwgen.arith.partial import bit_rows, bit_shapes, booth_gates, booth_rows, booth_shapes
from hwgen.formats import Format, get
from hwgen.frame.facts import Addend, Counts, P, Quantization
from hwgen.frame.numbers import Num, bits_for, clog2, maximum, where
from hwgen.frame.param import Range, again, param
from hwgen.frame.primitives import for_each
from hwgen.pe._aligned import FLOATS, AlignedProductsSpec, AlignedSpec, shift_mux2
from hwgen.pe._scaled import WEIGHT_SCALES, ScaledSpec

__all__ = ["Int"]


_BY_BITS = 4
"""Widest unsigned weights whose products are rows by bits: they have a digit more than signed ones."""


@functools.cache
def _digit_counts(number: int, factor: int, odd: bool, count: int, width: int, onto: bool) -> Counts:
    """Primitives of a sum of ``count`` products by Booth's digits in ``width`` bits; ``onto``: with a sum before it.

    ``odd``: the recoded factors are.
    """
    shapes = [TermShape(width, True)] * onto + booth_shapes(number, factor) * count
    tree, gates = carry_save_counts(shapes, width), booth_gates(number, factor, odd)
    return {name: tree[name] + count * gates.get(name, 0) for name in tree}


@functools.cache
def _bit_counts(acts: int, weight: int, signed_weight: bool, odd: bool, count: int, width: int, onto: bool) -> Counts:
    """The same of products by the bits of the shorter factor."""
    own = (acts, True), (weight, signed_weight)
    number, factor = own if weight <= acts else own[::-1]
    tree = carry_save_counts([TermShape(width, True)] * onto + bit_shapes(*number, *factor) * count, width)
    # The lowest bit of an odd weight is known.
    known = acts if odd else 0
    return {**tree, "and": tree["and"] + count * (number[0] * factor[0] - known)}


@dataclass(frozen=True, kw_only=True)
class Int(AlignedProductsSpec):
    """Parallel integer MAC tile."""

    title: ClassVar[str] = "parallel integer MAC, the baseline"

    bits: int = param(
        8, "weight width; 1.58 is ternary in two bits", legal=Range(1, 16), sweep=(1, 2, 3, 4, 8), unit="bit"
    )
    acts: str = again(
        AlignedSpec,
        "acts",
        legal=[*(f"int{b}" for b in range(2, 17)), *FLOATS],
        sweep=("int4", "int8", "int16", "fp16"),
    )
    align_scope: str = again(AlignedSpec, "align_scope", sweep=("step", "group"))
    align_rounding: str = again(AlignedSpec, "align_rounding", sweep=())
    guard_bits: int = again(AlignedSpec, "guard_bits", sweep=())
    pre_cuts: int = again(AlignedSpec, "pre_cuts", sweep=(0, 1))
    scheme: str = param(
        "symmetric",
        "weights: signed, or unsigned with an integer zero point or a float minimum, or odd integers without zero, or "
        "-1, 0 and 1 by their mean",
        legal=("symmetric", "asymmetric", "minimum", "bipolar", "ternary"),
        sweep=("symmetric", "asymmetric"),
    )
    weight_scale: str = again(ScaledSpec, "weight_scale", legal=WEIGHT_SCALES)

    cell_uses_phase: ClassVar[bool] = False
    golden_overflow: ClassVar[bool] = True

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        yield (
            (p["scheme"] != "bipolar") | (p["bits"] <= 8),
            "bits must be at most 8 with scheme bipolar, not {bits}",
        )

    @property
    def weight_format(self) -> Format:
        return get(self._weight_name(self.p))

    @staticmethod
    def _weight_name(p: P) -> str:
        kind = "int" if Int.signed_weights(p) else "bipolar" if p["scheme"] == "bipolar" else "uint"
        return f"{kind}{p['bits']}"

    @classmethod
    def _negative_weights(cls, p: P) -> bool:
        """Whether weights are negative too, so that no sum needs a correction."""
        return cls.signed_weights(p) or bool(p["scheme"] == "bipolar")

    @staticmethod
    def _weight_range(p: P) -> tuple[Num, Num]:
        if Int.signed_weights(p):
            return -(2 ** (p["bits"] - 1)), 2 ** (p["bits"] - 1) - 1
        if p["scheme"] == "bipolar":
            return 1 - 2 ** p["bits"], 2 ** p["bits"] - 1
        return 0 * p["bits"], 2 ** p["bits"] - 1

    @property
    def lsb_exp(self) -> int:
        return self._act_lsb_exp + self.weight_format.lsb_exp

    def quantization(self) -> Quantization:
        acts = self._act_quantization()
        return Quantization(
            **(acts if acts["align"] else {**acts, "align_guard": 0}),
            weights=self.weight_format.name,
            scheme=self.scheme,
            group=self.group,
            weight_scale=self.weight_scale,
            **self.bounded_sums(),
        )

    @property
    def zero_values(self) -> range:
        return range(1 << self.bits)

    @classmethod
    def zero_width(cls, p: P) -> Num:
        return p["bits"] + 1

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        return cls._code_port(p)

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"], p["bits"]

    @classmethod
    def _unshifted_range(cls, p: P) -> tuple[Num, Num]:
        """Range of a product before the shift by a step's exponent."""
        (a_low, a_high), (w_low, w_high) = cls._int_range(p), cls._weight_range(p)
        # a_low is at least as far from zero as a_high, w_low than w_high where it is not 0.
        return -maximum(a_high * -w_low, -a_low * w_high), maximum(a_high * w_high, a_low * w_low)

    @classmethod
    def _tree_bits(cls, p: P) -> Num:
        """Bits of the sum of a step's products, before the shift by its exponent."""
        low, high = cls._unshifted_range(p)
        # A one's complement is one lower until its carry arrives, which those of a port have room for.
        late = where(cls._one_bit_signs(p), 1, 0) if cls._steps_align_of(p) else 0
        return bits_for((low - late) * p["k"], high * p["k"])

    @classmethod
    def keeps_row_sums(cls, p: P) -> bool:
        return not cls._negative_weights(p)

    @classmethod
    def row_sum_primitives(cls, p: P) -> Counts:
        width = cls._row_tree_bits(p)
        adds: Counts = {"add": (p["k"] - 1) * width if cls.keeps_row_sums(p) else 0 * p["k"]}
        return {**adds, "mux2": shift_mux2(width, cls._top_shift(p))} if cls._steps_align_of(p) else adds

    @classmethod
    def carry_bits(cls, p: P) -> Num:
        # K ones' complements have K corrections, one more than a tree of K has adders.
        return where(p["bits"] == 1, 1, 0) if p["scheme"] == "bipolar" else 0

    @classmethod
    def zero_adds_nothing(cls, p: P) -> bool:
        return True

    @classmethod
    def _one_bit_signs(cls, p: P) -> Num:
        """Where a weight is one bit that is a sign: a chain of adders takes the carries of complements for nothing,
        and is 11 to 13 % smaller than one tree with the accumulator (K 4 and 16, sky130hd).
        """
        return (p["bits"] == 1) & (p["scheme"] == "bipolar")

    @classmethod
    def sums_in_tree(cls, p: P) -> Num:
        return super().sums_in_tree(p) & where(cls._one_bit_signs(p), False, True)

    @classmethod
    def _by_digits(cls, p: P) -> Num:
        """Where products are rows by Booth's digits.

        Measured in sky130hd, K 4: cells of signed weights of 2, 4 and 8 bits by int8 are 4, 10 and 6 % smaller than by
        bits, with 1 % more energy at 4; of unsigned ones of 3 and 4 bits 4 and 11 % larger. Registers between products
        and accumulator are there for the clock: with stages 2 the fastest W8A8 cell is 8 % slower by digits.
        """
        return cls.joins(p) & (cls._negative_weights(p) | (p["bits"] > _BY_BITS))

    @classmethod
    def _weight_bits(cls, p: P) -> Num:
        """Bits of a weight as a factor: an odd one has one more."""
        return p["bits"] + (1 if p["scheme"] == "bipolar" else 0)

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        acts, weight, odd = cls._aligned_bits(p), cls._weight_bits(p), p["scheme"] == "bipolar"
        joined = cls.sums_in_tree(p)
        width = where(joined, cls.acc_bits(p), cls._tree_bits(p))

        def counts(acts: int, weight: int, by_digits: bool, k: int, width: int, onto: bool) -> Counts:
            if not by_digits:
                return _bit_counts(acts, weight, cls._negative_weights(p), odd, k, width, onto)
            # An unsigned weight is a signed factor of one bit more.
            signed_weight = weight + (0 if cls._negative_weights(p) else 1)
            factor, number = min(acts, signed_weight), max(acts, signed_weight)
            return _digit_counts(number, factor, odd and signed_weight <= acts, k, width, onto)

        tree = for_each(counts, acts, weight, cls._by_digits(p), p["k"], width, joined)
        signs: Counts = {
            "add": (p["k"] - 1) * (acts + 1 + clog2(p["k"]) // 2 + 1),
            "xor": p["k"] * acts,
            "and": 0,
        }
        found = {name: where(cls._one_bit_signs(p), signs[name], tree[name]) for name in tree}
        shifter: Counts = {"mux2": shift_mux2(cls._tree_bits(p), cls._top_shift(p))}
        return cls._joined(found, shifter) if cls._steps_align_of(p) else found

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        a, w = self._integers(acts), self.weight_format.fixed(weights)
        products: np.ndarray = np.einsum("...mk,...nk->...mn", a, w)
        if self._steps_align:
            products = products.astype(self.sum_dtype) << self._shift(acts)[..., :, None].astype(self.sum_dtype)
        return products[None, ..., None]

    def row_terms(self, acts: np.ndarray, row: Mapping[str, np.ndarray], mode: int) -> np.ndarray:
        total: np.ndarray = self._integers(acts).sum(axis=-1) << self._shift(acts)
        return total

    def arithmetic(self, mode: int) -> dict[str, Any]:
        return {**self.dot_arithmetic(mode), "acts": self._act_integers()}

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Adds up the rows of all K products, and where it can what was accumulated, in one tree of carry-save adders;
        one-bit signs by a tree of adders.
        """
        acts, exponent = self._acts_of(row)
        codes = [col[start : start + self.bits] for start in range(0, len(col), self.bits)]
        if self._one_bit_signs(self.p):
            return [self._signed_sum(m, acts, codes, exponent)]
        rows: list[Term] = []
        for index, (act, code) in enumerate(zip(acts, codes, strict=True)):
            rows += self._product(m, act, self._weight(code), f"product{index}")
        if self.sums_in_tree(self.p):
            return [Addend(Const(0, 1), rows=tuple(rows))]
        total = carry_save_sum(m, rows, "dot", int(self._tree_bits(self.p)))
        return [Addend(self._shifted(m, total, exponent))]

    def _product(self, m: Module, act: Value, weight: Value, name: str) -> list[Term]:
        """Rows of a product by the shorter factor."""
        by_digits = self._by_digits(self.p)
        if by_digits and not weight.shape().signed:
            weight = Cat(weight, Const(0, 1)).as_signed()
        number, factor = (act, weight) if len(weight) <= len(act) else (weight, act)
        return booth_rows(m, number, factor, name) if by_digits else bit_rows(m, number, factor, name)

    def _signed_sum(self, m: Module, acts: list[Value], codes: list[Value], exponent: Value) -> Addend:
        """Sum of activations, each negated where its weight is 0, and the carry that its adders leave."""
        signs = [~code for code in codes]
        products: list[Value] = []
        for index, (act, sign) in enumerate(zip(acts, signs, strict=True)):
            product = act.as_unsigned() ^ sign.replicate(len(act))
            products.append(wire(m, product.as_signed(), f"product{index}"))
        total, carry = adder_tree_with_carries(m, products, signs, "dot")
        total = extend(total, int(self._tree_bits(self.p))).as_signed()
        # Copies of a carry that the sum still needs make it one of the whole.
        return Addend(self._shifted(m, total, exponent, fill=carry), carry)

    def _weight(self, code: Value) -> Value:
        """Factor of a weight's code."""
        if self.scheme == "bipolar":
            # 2q + 1 less 2^W: the highest bit, turned round, is the sign.
            return Cat(Const(1, 1), code[:-1], ~code[-1]).as_signed()
        return code.as_signed() if self.weight_format.signed else code

    def build_row_sum(self, m: Module, row: Value) -> Value:
        """Adds up the row's activations, once for all columns."""
        acts, exponent = self._acts_of(row)
        total = adder_tree(m, acts, "row_sum")
        return self._shifted(m, total, exponent, "row_by_exponent")
