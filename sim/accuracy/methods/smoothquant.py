"""SmoothQuant: outliers of the inputs are moved to the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hwgen.options import option
from sim.accuracy.methods.awq import Scaled
from sim.accuracy.methods.base import Inputs, Layer, Method, MethodResult, register
from sim.accuracy.methods.common import calibration, checked, follow, rounded, set_calibrated
from sim.accuracy.operand import OperandFormat

__all__ = ["SmoothQuant"]


@register
@dataclass(frozen=True)
class SmoothQuant(Method):
    """Scale each input down, and its weights up, by its largest magnitude against that of its weights.

    SmoothQuant (ICML'23, arXiv 2211.10438), equation 4: s_j = max|x_j|^α / max|w_j|^(1-α), W diag(s) and X diag(s)⁻¹,
    the maximum over the weights of all layers of a common input. With `steps` the α of 0, 1/`steps`, …, 1 with the
    least squared error of the outputs is taken, input and weights as they will be stored (the paper: a grid search by
    hand), the input as it is where it has no format. Magnitudes below 10⁻⁵ of the largest count as that; inputs that
    are always 0 keep s = 1. The paper smooths what follows a norm, here every input is; the scales count no bits. `by`
    quantises the weights.
    """

    name = "smoothquant"
    calibrated = True

    alpha: float = option(0.5, "share of the difficulty that goes to the weights", least=0.0, most=1.0)
    steps: int = option(0, "search alpha over so many steps from 0 to 1; 0: alpha as given", least=0, most=1000)
    by: str = option("rtn", "method that quantises the scaled weights", metavar="METHOD")

    def __post_init__(self) -> None:
        set_calibrated(self, True, self.by)

    def quantise(self, layers: Sequence[Layer], acts: OperandFormat | None, inputs: Inputs | None) -> MethodResult:
        """See `Method`."""
        k = checked(self.name, layers)
        seen = calibration(self.name, k, inputs)
        largest = torch.stack([layer.weights.abs().amax(dim=0) for layer in layers]).amax(dim=0)
        scales = smoothing(seen.largest, largest, self.alpha)
        if self.steps:
            tried = [smoothing(seen.largest, largest, step / self.steps) for step in range(self.steps + 1)]
            scales = min(tried, key=lambda one: _error(layers, one, acts, seen.rows))
        weights = [layer.weights * scales for layer in layers]
        return follow(self.by, layers, weights, acts, seen, Scaled(scales))


def smoothing(inputs: Tensor, weights: Tensor, alpha: float) -> Tensor:
    """s [K], float32, of the largest magnitudes of inputs and of their weights [K]."""
    alive = inputs > 0
    if not alive.any() or not weights.any():
        return torch.ones_like(inputs)
    x, w = (part.double().clamp(min=1e-5 * float(part.max())) for part in (inputs, weights))
    return torch.where(alive, x.pow(alpha) / w.pow(1.0 - alpha), 1.0).float()


def _error(layers: Sequence[Layer], scales: Tensor, acts: OperandFormat | None, rows: Tensor) -> float:
    """Σ of squared errors of the outputs of all layers."""
    given = rows / scales
    stored = given if acts is None else acts.nearest(given)
    error = 0.0
    for layer in layers:
        kept = rounded(Layer(layer.name, layer.weights * scales, layer.form))
        change = stored @ kept.T - rows @ layer.weights.T
        error += float(change.square().sum(dtype=torch.float64))
    return error
