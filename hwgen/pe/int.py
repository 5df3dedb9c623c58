"""Parallel integer MAC: K multipliers, an adder tree and an accumulator per cell.

The baseline of every paper. Per step a cell adds Σ_k A[m,k]·W[n,k], exactly, in one cycle.

Weights: two's complement (scheme ``symmetric``) or unsigned with a zero point (``asymmetric``) or a float minimum
(``minimum``). For the unsigned ones the tile also keeps Σ_k A[m,k], once per row, and the wanted sum is
Σ A·(W − z) = Σ A·W − z·Σ A. Odd integers (``bipolar``) are 2q − (2^W − 1): at one bit ±1, and a multiplier is a row of
exclusive ors, whose ones' complement the adder tree completes by its carries.

Weights of one bit are sign(w) · mean|w| (``bits 1``, scheme bipolar unless another is named; XNOR-Net, BitNet). Ternary
ones (``bits 1.58`` or scheme ``ternary``) are −1, 0 and 1 times mean|w| (BitNet b1.58); they are stored and multiplied
as two bits in two's complement, so that a memory holds 2 bits of each and not 1.58.

Timing: one cycle per step, latency 1 + stages and cuts.
Source: the integer MAC baselines of LUT Tensor Core (ISCA'25, Fig. 12-14) and BitMoD (HPCA'25, Table IV).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Const, Module, Value, signed
from amaranth.lib import data

from hwgen.arith import adder_tree, wire
from hwgen.arith.bits import adder_tree_with_carries, extend
from hwgen.formats import Format, get
from hwgen.frame.facts import Addend, Counts, P, Quantization
from hwgen.frame.numbers import Num, bits_for, clog2, where
from hwgen.frame.param import Range, param
from hwgen.pe._scaled import ScaledSpec

__all__ = ["Int"]


@dataclass(frozen=True, kw_only=True)
class Int(ScaledSpec):
    """Parallel integer MAC tile."""

    title: ClassVar[str] = "parallel integer MAC, the baseline"

    bits: int = param(
        8, "weight width; 1.58 is ternary in two bits", legal=Range(1, 16), sweep=(1, 2, 3, 4, 8), unit="bit"
    )
    acts: str = param(
        "int8", "activation format", legal=[f"int{b}" for b in range(2, 17)], sweep=("int4", "int8", "int16")
    )
    scheme: str = param(
        "symmetric",
        "weights: signed, or unsigned with an integer zero point or a float minimum, or odd integers without zero, or "
        "-1, 0 and 1 by their mean",
        legal=("symmetric", "asymmetric", "minimum", "bipolar", "ternary"),
        sweep=("symmetric", "asymmetric"),
    )

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
    def act_format(self) -> Format:
        return get(self.acts)

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

    @staticmethod
    def _act_range(p: P) -> tuple[int, int]:
        top = 1 << (get(p["acts"]).code_bits - 1)
        return -top, top - 1

    def quantization(self) -> Quantization:
        return Quantization(
            acts=self.acts,
            weights=self.weight_format.name,
            scheme=self.scheme,
            group=self.group,
            act_scale=self.act_scale,
            weight_scale=self.weight_scale,
            step=self.k,
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
        return p["k"], get(p["acts"]).code_bits

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"], p["bits"]

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        (a_low, a_high), (w_low, w_high) = cls._act_range(p), cls._weight_range(p)
        # a_low * w_low is the largest product of two signed ranges; unsigned weights have w_low = 0.
        if cls._negative_weights(p):
            return a_low * w_high + 0 * w_low, a_low * w_low
        return a_low * w_high, a_high * w_high

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        low, high = cls.product_range(p)
        return bits_for(low * p["k"], high * p["k"])

    @classmethod
    def row_sum_range(cls, p: P) -> tuple[Num, Num] | None:
        return None if cls._negative_weights(p) else cls._act_range(p)

    @classmethod
    def carry_bits(cls, p: P) -> Num:
        # K ones' complements have K corrections, one more than a tree of K has adders.
        return where(p["bits"] == 1, 1, 0) if p["scheme"] == "bipolar" else 0

    @classmethod
    def zero_adds_nothing(cls, p: P) -> bool:
        return True

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        product = get(p["acts"]).code_bits + p["bits"]
        # An unsigned weight is a signed factor of one bit more, and so is an odd one.
        factor = p["bits"] + (0 if cls.signed_weights(p) else 1)
        counts: Counts = {
            "mul": p["k"] * get(p["acts"]).code_bits * factor,
            "add": (p["k"] - 1) * (product + clog2(p["k"]) // 2 + 1),
        }
        if p["scheme"] != "bipolar":
            return counts
        signs = p["k"] * get(p["acts"]).code_bits
        return {
            **counts,
            "mul": where(p["bits"] == 1, 0, counts["mul"]),
            "xor": where(p["bits"] == 1, signs, 0),
        }

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        a, w = self.act_format.fixed(acts), self.weight_format.fixed(weights)
        products: np.ndarray = np.einsum("...mk,...nk->...mn", a, w)
        return products[None, ..., None]

    def arithmetic(self, mode: int) -> dict[str, Any]:
        return self.dot_arithmetic(mode)

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """K multipliers and a balanced adder tree into one accumulator."""
        act_bits = self.act_format.code_bits
        acts = data.View(data.ArrayLayout(signed(act_bits), self.k), row)
        products = []
        if self.scheme == "bipolar" and self.bits == 1:
            signs = [~col[index] for index in range(self.k)]
            for index, sign in enumerate(signs):
                product = acts[index].as_unsigned() ^ sign.replicate(act_bits)
                products.append(wire(m, product.as_signed(), f"product{index}"))
            total, carry = adder_tree_with_carries(m, products, signs, "dot")
            return [Addend(extend(total, int(self.addend_bits(self.p))).as_signed(), carry)]
        for index in range(self.k):
            code = col[index * self.bits : (index + 1) * self.bits]
            products.append(wire(m, acts[index] * self._weight(code), f"product{index}"))
        return [Addend(adder_tree(m, products, "dot")[: int(self.addend_bits(self.p))].as_signed())]

    def _weight(self, code: Value) -> Value:
        """Factor of a weight's code."""
        if self.scheme == "bipolar":
            # 2q + 1 less 2^W: the highest bit, turned round, is the sign.
            return Cat(Const(1, 1), code[:-1], ~code[-1]).as_signed()
        return code.as_signed() if self.weight_format.signed else code

    def build_row_sum(self, m: Module, row: Value) -> Value:
        """Adds up the row's activations, once for all columns."""
        acts: Any = data.View(data.ArrayLayout(signed(self.act_format.code_bits), self.k), row)
        return adder_tree(m, [acts[index] for index in range(self.k)], "row_sum")
