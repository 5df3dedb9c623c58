"""A linear layer that accumulates in FP32, in a stated order: torch float32 operations on decoded values.

Per token t, output n and group g:

    p_k = fp32( a_k · w_k )                              one rounding of the exact product (nearest even)
    u_i = the p_k of step i (``step`` of them) in a balanced tree: p_0 + p_1, p_2 + p_3, …, then sums of sums; an odd
          one waits for the next level
    S   = u_0, u_1, … added one by one to +0; or, with ``interleave`` = L > 1, update i added to partial sum i mod L,
          and then the partial sums from number u mod L on (u updates in all: the oldest first), in turn, in a
          balanced tree
    y   = y + fp32( S · row_scale · column_scale )       in K order from y = +0

Every addition is IEEE 754 binary32, rounded to nearest even, subnormals kept. Infinities and NaN follow IEEE 754.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hwgen.errors import HwgenError
from hwgen.formats import QTensor
from sim.golden.quant_linear import LayerQuantization, QuantLinear
from sim.golden.rounding import check_denormals, check_scale

__all__ = ["Fp32Linear", "interleaved_sum", "tree_sum", "words"]

_NAN = 0x7FC00000


def tree_sum(terms: Tensor) -> Tensor:
    """float32 sum over the last axis in the order of a balanced tree."""
    nodes = list(terms.unbind(-1))
    while len(nodes) > 1:
        paired = len(nodes) // 2 * 2
        nodes = [nodes[i] + nodes[i + 1] for i in range(0, paired, 2)] + nodes[paired:]
    return nodes[0]


def interleaved_sum(updates: Iterable[Tensor], partials: int) -> Tensor:
    """float32 sum of at least one update in turns to ``partials`` sums from +0, folded in a tree, the oldest first."""
    sums: list[Tensor] = []
    count = 0
    for update in updates:
        if not sums:
            sums = [torch.zeros_like(update)] * partials
        sums[count % partials] = sums[count % partials] + update
        count += 1
    turn = count % partials
    return tree_sum(torch.stack(sums[turn:] + sums[:turn], dim=-1))


def words(values: Tensor) -> np.ndarray:
    """FP32 codes of float32 values, int64, with one NaN."""
    codes = values.contiguous().view(torch.int32).to(torch.int64) & 0xFFFFFFFF
    return torch.where(torch.isnan(values), _NAN, codes).numpy()


class Fp32Linear(QuantLinear):
    """A quantised linear layer whose group sums are FP32; option ``interleave`` (default 1) is the partial sums."""

    _ARITHMETIC: ClassVar[str] = "fp32"
    _OPTIONS: ClassVar[tuple[str, ...]] = ("interleave",)

    def __init__(self, weights: QTensor, quantization: LayerQuantization) -> None:
        """As `QuantLinear`; also raises `HwgenError` for aligned activations, zero points and unknown options."""
        super().__init__(weights, quantization)
        self._settings = dict(getattr(quantization, "options", ()))
        self._partials = int(self._settings.get("interleave", 1))
        name, unknown = type(self).__name__, sorted(self._settings.keys() - set(self._OPTIONS))
        if unknown:
            allowed = f"{self._OPTIONS[0]} alone" if len(self._OPTIONS) == 1 else ", ".join(self._OPTIONS)
            raise HwgenError(f"{name}: options must be {allowed}, not {', '.join(unknown)}")
        if quantization.align is not None or weights.zero_kind != "none":
            raise HwgenError(
                f"{name}: activations must not be aligned and weights have no zero point with arithmetic fp32, "
                f"not align {quantization.align} and zero_kind {weights.zero_kind!r}"
            )

    def _products(self, acts: Tensor, weights: Tensor) -> Tensor:
        """float32 products of float64 operands that broadcast, each rounded once."""
        return (acts * weights).float()

    def _group_sum(self, acts: Tensor, weights: Tensor) -> Tensor:
        """FP32 sum of a group, [T, N], of float64 activations [T, K] and weights [N, K]."""
        step = self.quantization.step
        return interleaved_sum(
            (
                tree_sum(self._products(acts[:, None, start : start + step], weights[None, :, start : start + step]))
                for start in range(0, acts.shape[1], step)
            ),
            self._partials,
        )

    def _group_sums(self, acts: QTensor) -> list[Tensor]:
        a, w = self._values(acts), torch.from_numpy(self.weights.values())
        return [self._group_sum(a[:, part], w[:, part]) for part in self.weights.group_slices]

    @torch.no_grad()
    def group_words(self, x: Tensor | QTensor) -> np.ndarray:
        """FP32 codes of the group sums, int64 [G, T, N]. `group_sums` are the exact ones."""
        check_denormals()
        return np.stack([words(total) for total in self._group_sums(self.quantize(x))])

    def bound(self, x: Tensor | QTensor) -> Tensor:
        raise HwgenError(
            f"{type(self).__name__}: bound must be asked of a layer with exact sums, "
            f"not with arithmetic {self._ARITHMETIC}"
        )

    def _exact(self, acts: QTensor) -> Tensor:
        sums = self._group_sums(acts)
        scale = torch.from_numpy(acts.scales.copy()).T.expand(len(sums), -1)
        result = torch.zeros_like(sums[0])
        for index, total in enumerate(sums):
            factor = scale[index, :, None] * self._scale[:, index]
            check_scale(factor)
            # At most 24 + 22 bits: exact in float64. Adding zero turns -0 into +0.
            result = result + (total.double() * factor + 0.0).float()
        return result
