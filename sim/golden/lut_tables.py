"""Linear layers through tables of activation sums: entries that are bytes ("int8_table"), or FP32 ("fp32_table").

Weights of W bits stand for levels u = 0 … 2**W - 1 and q' = 2u - (2**W - 1) = Σ_b 2**b · s_b with s_b = ±1. The
activations of a table, integers a_k, give an entry e = Σ_k s_k · a_k for every choice of signs; a step has ``tables``
of them, and a row that does not fill its last step has zeros there. With A = Σ |a_k|, the largest of them, the entries
of a table share a scale:

    pow2      2**s with the least s >= 0 for which A / 2**s rounds to 127 at most
    max127    max(1, ceil(A / 127))

and are rounded, e' = round(e / scale) · scale, to nearest, ties to even. A group's sum is

    S' = Σ over tables and planes of 2**b · e'(signs of plane b)
    S  = (S' - z' · Σ a) / 2      with z' = 2z + 1 - 2**W,  or S' alone for bipolar weights

where Σ a is taken before the entries are rounded. Scales and FP32 are those of `sim.golden.quant_linear`.

With FP32 entries a_k is an activation's value, and an entry is the sum of the s_k · a_k in FP32 in this order: the sum
of the upper half of the table's activations plus that of the lower half (the lower one has floor(count / 2)), each by
the same rule. The entries of a step's tables are added in a balanced tree; a sum below 2**-126 in magnitude counts as
zero. An update adds, in a balanced tree, the 2**b · sum of one plane or of ``planes_per_cycle`` planes, lowest first;
it goes to the FP32 sum of the group as in `sim.golden.fp32`. With ``planes`` = twos_complement s_k is 0 or 1, a plain
bit of the signed weight, and the highest plane's sum is subtracted. Infinities and NaN follow IEEE 754.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hwgen.errors import HwgenError, suggest
from hwgen.formats import QTensor
from sim.golden.fp32 import Fp32Linear, interleaved_sum, tree_sum
from sim.golden.quant_linear import QuantLinear, Sums

__all__ = ["RULES", "ByteTableLinear", "Fp32TableLinear", "byte_entries", "fp32_entry", "levels"]

RULES = ("pow2", "max127")


def levels(weights: QTensor) -> Tensor:
    """u of weights [N, K], int64 from 0 to 2**W - 1: the rank of a value among those of its format."""
    form = weights.format
    values = torch.from_numpy(weights.values())
    lowest = float(np.min(form.decode(form.codes())))
    step = float(np.min(np.diff(np.unique(form.decode(form.codes())))))
    return ((values - lowest) / step).to(torch.int64)


def byte_entries(entries: Tensor, largest: Tensor, rule: str) -> Tensor:
    """e' of integer entries [..., E], float64, for the largest magnitude [...] of each table."""
    if rule == "max127":
        scale = torch.clamp(torch.ceil(largest / 127), min=1.0)
    else:
        scale = torch.ones_like(largest)
        # torch.round goes to the even integer at a tie.
        while bool((too_large := torch.round(largest / scale) > 127).any()):
            scale = torch.where(too_large, scale * 2, scale)
    return torch.round(entries / scale[..., None]) * scale[..., None]


def _whole_steps(values: Tensor, step: int, filling: int = 0) -> Tensor:
    """``values`` [.., K] up to whole steps: a table is always that of ``step`` activations, the last ones zero."""
    return nn.functional.pad(values, (0, -values.shape[-1] % step), value=filling)


class ByteTableLinear(QuantLinear):
    """A layer whose tables have bytes for entries; ``options`` of the quantization: ``rule`` and ``tables``."""

    def __init__(self, weights: QTensor, quantization: Any) -> None:
        super().__init__(weights, quantization)
        options = dict(quantization.options)
        self._rule = options["rule"]
        self._table = quantization.step // options["tables"]
        if self._rule not in RULES:
            raise HwgenError(
                f"ByteTableLinear: rule must be one of {', '.join(RULES)}, not {self._rule!r}"
                f"{suggest(self._rule, RULES)}"
            )
        self._bits = weights.format.code_bits
        self._bipolar = quantization.scheme == "bipolar"

    def _raw(self, acts: QTensor) -> tuple[Tensor, Tensor]:
        """S' int64 [G, T, N] and the exponents of the activations' units [T, K]."""
        ints, unit = self._operands(acts)
        step, tokens = self._table, len(ints)
        signs = torch.tensor([[1.0 if index >> k & 1 else -1.0 for k in range(step)] for index in range(1 << step)])
        u = levels(self.weights)
        place = 1 << torch.arange(step)
        totals = []
        for part in self.weights.group_slices:
            # With a unit that differs from step to step a table is rounded in its step's unit.
            own = _whole_steps(self._own_unit(acts)[:, part], step, 1).reshape(tokens, -1, step)
            a = _whole_steps(ints[:, part], step).reshape(tokens, -1, step)
            ranks = _whole_steps(u[:, part], step).reshape(len(u), -1, step)
            table = byte_entries((a / own) @ signs.double().T, (a / own).abs().sum(dim=2), self._rule) * own[..., :1]
            total = torch.zeros(tokens, len(u), dtype=torch.float64)
            for bit in range(self._bits):
                index = ((ranks >> bit & 1) * place).sum(dim=2)
                for number in range(table.shape[1]):
                    total += 2.0**bit * table[:, number, index[:, number]]
            totals.append(total.to(torch.int64))
        return torch.stack(totals), unit

    def _own_unit(self, acts: QTensor) -> Tensor:
        """2**(unit of an activation's scope - unit of `_operands`), float64 [T, K]; 1 unless a step is a scope."""
        if self.quantization.align != "step":
            return torch.ones(acts.shape, dtype=torch.float64)
        integers = self._aligned(acts)
        return torch.exp2((integers.unit - integers.lowest).double())

    def _sums(self, acts: QTensor) -> Sums:
        exact = super()._sums(acts)
        raw, _ = self._raw(acts)
        if self._bipolar:
            return Sums(raw, exact.rows, exact.row_unit, exact.unit, exact.row_scale)
        assert isinstance(exact.rows, Tensor)
        zero = self._zero_points()[:, None, :]
        return Sums(raw - zero * exact.rows, exact.rows, exact.row_unit, exact.unit - 1, exact.row_scale)

    def _zero_points(self) -> Tensor:
        """z' int64 [G, N]."""
        count, weights = len(self.weights.group_slices), self.weights
        if self.quantization.scheme == "asymmetric":
            assert weights.zeros is not None
            zero = torch.from_numpy(weights.zeros.copy()).to(torch.int64)
        else:
            # Signed weights are levels less 2**(W-1); a float minimum is added by itself.
            middle = 1 << (self._bits - 1) if self.quantization.scheme in ("symmetric", "ternary") else 0
            zero = torch.full((len(weights.codes), count), middle)
        return (2 * zero + 1 - (1 << self._bits)).expand(-1, count).T

    @torch.no_grad()
    def group_words(self, x: Tensor | QTensor) -> np.ndarray:
        """S', which a tile puts out, int64 [G, T, N]."""
        return np.asarray(self._raw(self.quantize(x))[0])


def fp32_entry(terms: Tensor) -> Tensor:
    """float32 sum over the last axis, upper half plus lower half."""

    def total(first: int, count: int) -> Tensor:
        if count == 1:
            return terms[..., first]
        cut = count // 2
        return total(first + cut, count - cut) + total(first, cut)

    return total(0, terms.shape[-1])


class Fp32TableLinear(Fp32Linear):
    """A layer that adds FP32 entries; options ``interleave``, ``planes``, ``planes_per_cycle`` and ``tables``."""

    def __init__(self, weights: QTensor, quantization: Any) -> None:
        options = dict(quantization.options)
        own = {"interleave": options["interleave"]}
        super().__init__(weights, dataclasses.replace(quantization, options=tuple(own.items())))
        self.quantization = quantization
        self._plain = options["planes"] == "twos_complement"
        self._lanes = int(options["planes_per_cycle"])
        self._tables = int(options["tables"])

    def _updates(self, acts: Tensor, u: Tensor) -> Iterator[Tensor]:
        """What is added to a group's sums [T, N], for activations [T, K] and levels [N, K]."""
        step, bits = self.quantization.step, self.weights.format.code_bits
        acts, u = _whole_steps(acts, step), _whole_steps(u, step)
        for start in range(0, acts.shape[1], step):
            a = acts[:, None, start : start + step].float()
            rank = u[None, :, start : start + step]
            for first in range(0, bits, self._lanes):
                lanes = []
                for plane in range(first, first + self._lanes):
                    chosen = (rank >> plane & 1).bool()
                    terms = torch.where(chosen, a, torch.zeros(()) if self._plain else -a)
                    entries = tree_sum(fp32_entry(terms.reshape(*terms.shape[:-1], self._tables, -1)))
                    entry = torch.where(entries.abs() < 2.0**-126, 0.0, entries) * 2.0**plane
                    lanes.append(-entry if self._plain and plane == bits - 1 else entry)
                yield tree_sum(torch.stack(lanes, dim=-1))

    def _group_sums(self, acts: QTensor) -> list[Tensor]:
        a, u = self._values(acts), levels(self.weights)
        if self._plain:
            # Two's-complement codes instead of ranks: the highest bit is the other way round.
            u = u ^ (1 << (self.weights.format.code_bits - 1))
        parts = self.weights.group_slices
        return [interleaved_sum(self._updates(a[:, part], u[:, part]), self._partials) for part in parts]
