"""Clipping: the scale of every group by the least error of its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from hwgen.options import option
from sim.accuracy.methods.base import Inputs, Layer, Method, MethodResult, register
from sim.accuracy.methods.common import calibration, checked, mean_squares
from sim.accuracy.methods.grid import Grid, Scales
from sim.accuracy.operand import OperandFormat

__all__ = ["Clip", "clipped"]


@register
@dataclass(frozen=True)
class Clip(Method):
    """Search the scale of every group for the least squared error of its weights.

    The grid search of GPTQ's quantiser (`mse`: ratios 1 - i/100 down to 0.2, there with |error|^2.4) and of AWQ
    (arXiv 2306.00978, section 3.2: weight clipping, there on the outputs' error), here Σ (w - ŵ)² of a group over
    `steps` ratios from 1 down to `least`, each of the group's largest magnitude (asymmetric: of both ends; minimum: of
    their distances from the middle). The format's own scale is tried first and stays unless another one is better, so
    that no group gets worse than with rtn. A scale is rounded to its format before it is judged, below the second level
    of the unclipped weights where there is one. With `weigh` it is Σ h (w - ŵ)², h the mean squares of the inputs: the
    outputs' error if inputs were uncorrelated. Formats of 16 bits or more that have no scales stay as they are.
    """

    name = "clip"
    calibrated = False

    least: float = option(0.3, "smallest share of the largest magnitude that is tried", least=0.01, most=1.0)
    steps: int = option(20, "shares that are tried below the largest one", least=1, most=1000)
    weigh: bool = option(False, "weigh errors by the mean squares of the inputs")

    def __post_init__(self) -> None:
        object.__setattr__(self, "calibrated", self.weigh)

    def quantise(self, layers: Sequence[Layer], acts: OperandFormat | None, inputs: Inputs | None) -> MethodResult:
        """See `Method`."""
        k = checked(self.name, layers)
        weight = mean_squares(calibration(self.name, k, inputs)) if self.weigh else None
        found = []
        for layer in layers:
            grid, scales = clipped(layer, self.shares(), weight)
            found.append(grid.nearest(layer.weights, scales))
        return MethodResult(tuple(found))

    def shares(self) -> list[float]:
        """Shares of the largest magnitude, descending."""
        return [1.0 - (1.0 - self.least) * step / self.steps for step in range(self.steps + 1)]


def clipped(layer: Layer, shares: Sequence[float], weight: torch.Tensor | None = None) -> tuple[Grid, Scales]:
    """The grid of a layer's weights, and scales of its groups: the format's own, or of the best of the shares.

    ``weight`` [K] multiplies the squares of the errors.
    """
    n, k = layer.weights.shape
    grid = Grid(layer.form, n, k)
    own = grid.scales(layer.weights)
    if grid.plain:
        return grid, own
    folded = grid.fold(layer.weights)

    def error(scales: Scales) -> torch.Tensor:
        shaped = grid.folded(scales)
        return grid.squares(grid.values(grid.index(folded, shaped), shaped) - folded, weight)

    # A group that keeps the format's own scale has no share, as NaN.
    best, chosen = error(own), torch.full(own.value.shape, torch.nan, dtype=torch.float64)
    for share in shares:
        tried = error(grid.scales(layer.weights, own.outer, share))
        better = tried < best
        best, chosen = torch.where(better, tried, best), torch.where(better, share, chosen)
    if chosen.isnan().all():
        return grid, own
    scales = grid.scales(layer.weights, own.outer, torch.where(chosen.isnan(), 1.0, chosen))
    return grid, grid.choose(chosen.isnan(), own, scales)
