"""Parallel integer MAC: K multipliers, an adder tree and an accumulator per cell.

The baseline of every paper. Per step a cell adds Σ_k A[m,k]·W[n,k], exactly, in one cycle.

Weights: two's complement (scheme ``symmetric``) or unsigned with a zero point (``asymmetric``) or a float minimum
(``minimum``). For the unsigned ones the tile also keeps Σ_k A[m,k], once per row, and the wanted sum is
Σ A·(W − z) = Σ A·W − z·Σ A.

Timing: one cycle per step, latency 1 + stages.
Source: the integer MAC baselines of LUT Tensor Core (ISCA'25, Fig. 12-14) and BitMoD (HPCA'25, Table IV).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Module, Value, signed
from amaranth.lib import data

from hwgen.arith import adder_tree, wire
from hwgen.formats import Format, get
from hwgen.pe._numbers import Num, bits_for, clog2
from hwgen.pe._param import Range, param
from hwgen.pe._scaled import ScaledSpec
from hwgen.pe._spec import Addend, Counts, P, Quantization

__all__ = ["Int"]


@dataclass(frozen=True, kw_only=True)
class Int(ScaledSpec):
    """Parallel integer MAC tile."""

    bits: int = param(8, "weight width", legal=Range(1, 16), sweep=(1, 2, 3, 4, 8), unit="bit")
    acts: str = param(
        "int8", "activation format", legal=[f"int{b}" for b in range(2, 17)], sweep=("int4", "int8", "int16")
    )
    scheme: str = param(
        "symmetric",
        "weights: signed, or unsigned with an integer zero point, or with a float minimum",
        legal=("symmetric", "asymmetric", "minimum"),
        sweep=("symmetric", "asymmetric"),
    )

    cell_uses_phase: ClassVar[bool] = False

    @property
    def act_format(self) -> Format:
        return get(self.acts)

    @property
    def weight_format(self) -> Format:
        return get(self._weight_name(self.p))

    @staticmethod
    def _weight_name(p: P) -> str:
        return f"{'int' if p['scheme'] == 'symmetric' else 'uint'}{p['bits']}"

    @staticmethod
    def _weight_range(p: P) -> tuple[Num, Num]:
        if p["scheme"] == "symmetric":
            return -(2 ** (p["bits"] - 1)), 2 ** (p["bits"] - 1) - 1
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
        if p["scheme"] == "symmetric":
            return a_low * w_high + 0 * w_low, a_low * w_low
        return a_low * w_high, a_high * w_high

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        low, high = cls.product_range(p)
        return bits_for(low * p["k"], high * p["k"])

    @classmethod
    def row_sum_range(cls, p: P) -> tuple[Num, Num] | None:
        return None if p["scheme"] == "symmetric" else cls._act_range(p)

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        product = get(p["acts"]).code_bits + p["bits"]
        # An unsigned weight is a signed factor of one bit more.
        factor = p["bits"] + (0 if p["scheme"] == "symmetric" else 1)
        return {
            "mul": p["k"] * get(p["acts"]).code_bits * factor,
            "add": (p["k"] - 1) * (product + clog2(p["k"]) // 2 + 1),
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
        for index in range(self.k):
            code = col[index * self.bits : (index + 1) * self.bits]
            weight = code.as_signed() if self.weight_format.signed else code
            products.append(wire(m, acts[index] * weight, f"product{index}"))
        return [Addend(adder_tree(m, products, "dot")[: int(self.addend_bits(self.p))].as_signed())]

    def build_row_sum(self, m: Module, row: Value) -> Value:
        """Adds up the row's activations, once for all columns."""
        acts: Any = data.View(data.ArrayLayout(signed(self.act_format.code_bits), self.k), row)
        return adder_tree(m, [acts[index] for index in range(self.k)], "row_sum")
