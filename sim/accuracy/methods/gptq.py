"""GPTQ: column by column, what rounding one column costs is made up for by those that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hwgen.errors import HwgenError
from hwgen.options import option
from sim.accuracy.methods.base import Inputs, Layer, Method, MethodResult, register
from sim.accuracy.methods.common import calibration, checked
from sim.accuracy.methods.grid import Grid, Scales
from sim.accuracy.operand import OperandFormat

__all__ = ["Gptq"]


@register
@dataclass(frozen=True)
class Gptq(Method):
    """Round column after column, each time moving the columns that follow so that the outputs change least.

    GPTQ (ICLR'23, arXiv 2210.17323), algorithm 1: with H = 2 XXᵀ + λI and U the upper Cholesky factor of its inverse,
    column j becomes q = quant(w), and the ones behind it w - (w_j - q)/U_jj · U_j (equations 2 and 3 without the search
    for the next column); U once a group of layers, changes of later blocks of columns lazily. Inputs that are always 0
    get weights of 0 and H_jj = 1, as in its code; λ is `damping` times the mean of H's diagonal. Scales of a group are
    those of its weights when it is reached; with `order` columns go by falling H_jj and scales are those of the first
    weights (`--act-order --static-groups` of the code), so that nothing has to be permuted at run time. Second-level
    scales (NVFP4, BitMoD, two-level integers) are those of the first weights. Arithmetic is float64, theirs FP32.
    Groups that begin inside a block see their columns as they are then, theirs as they were when the block began.
    """

    name = "gptq"
    calibrated = True

    damping: float = option(0.01, "added to H's diagonal, in units of its mean", least=0.0, most=10.0)
    order: bool = option(False, "columns by falling diagonal of H, with scales of the weights as they were")
    block: int = option(128, "columns after which the later ones are changed; speed only", least=1, most=1 << 20)

    def quantise(self, layers: Sequence[Layer], acts: OperandFormat | None, inputs: Inputs | None) -> MethodResult:
        """See `Method`."""
        return MethodResult(tuple(grid.stored(index, scales) for grid, index, scales in self.codes(layers, inputs)))

    def codes(self, layers: Sequence[Layer], inputs: Inputs | None) -> list[tuple[Grid, Tensor, Scales]]:
        """Of each layer its grid, the indices of its weights [N, K] and the scales of all groups."""
        k = checked(self.name, layers)
        hessian = calibration(self.name, k, inputs).hessian
        diagonal = hessian.diagonal()
        places = torch.argsort(diagonal, descending=True, stable=True) if self.order else torch.arange(k)
        upper = self._factor(hessian[places][:, places], layers)
        return [self._layer(layer, upper, places, diagonal == 0) for layer in layers]

    def _factor(self, hessian: Tensor, layers: Sequence[Layer]) -> Tensor:
        """Upper Cholesky factor of the inverse of H, float64 [K, K]."""
        damped = hessian.clone()
        diagonal = damped.diagonal()
        diagonal[diagonal == 0] = 1.0
        diagonal += self.damping * diagonal.mean()
        upper: Tensor
        lower, failed = torch.linalg.cholesky_ex(damped)
        if not failed:
            upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
        if failed:
            raise HwgenError(
                f"method {self.name}: damping must be enough for the inputs of {layers[0].name}, whose matrix is "
                f"singular, not {self.damping:g}; try 0.01 or more"
            )
        return upper

    def _layer(self, layer: Layer, upper: Tensor, places: Tensor, dead: Tensor) -> tuple[Grid, Tensor, Scales]:
        grid = Grid(layer.form, *layer.weights.shape)
        weights = torch.where(dead, 0.0, layer.weights.double())
        outer = grid.outer(weights)
        reached = [grid.scales(weights, outer)] if self.order else []
        # Columns are rows here: what is rounded and moved is contiguous.
        moved = weights.T[places].contiguous()
        found = torch.empty_like(moved)
        for start, stop in _blocks(grid.k, grid.size, self.block):
            part, error = moved[start:stop], torch.empty_like(moved[start:stop])
            for row, place in enumerate(range(start, stop)):
                if not self.order and place % grid.size == 0:
                    reached.append(grid.scales(moved[place : place + grid.size].T, outer))
                at = int(places[place]) if self.order else place % grid.size
                scales = grid.column(reached[-1], at)
                index = grid.index(part[row][:, None], scales)
                found[places[place]] = index[:, 0]
                error[row] = (part[row] - grid.values(index, scales)[:, 0]) / upper[place, place]
                part[row + 1 :].addr_(upper[place, place + 1 : stop], error[row], alpha=-1.0)
            moved[stop:].addmm_(upper[start:stop, stop:].T, error, alpha=-1.0)
        return grid, found.T, grid.join(reached)


def _blocks(k: int, size: int, block: int) -> list[tuple[int, int]]:
    """Columns [start, stop) of blocks; where a group begins, all its columns are as the ones before have left them."""
    if size <= block:
        step = block // size * size
        return [(start, min(start + step, k)) for start in range(0, k, step)]
    found = []
    for group in range(0, k, size):
        end = min(group + size, k)
        found += [(start, min(start + block, end)) for start in range(group, end, block)]
    return found
