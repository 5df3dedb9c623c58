"""AWQ: inputs that are large get weights that are stored more finely, by a scale of every input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hwgen.options import option
from sim.accuracy.methods.base import Inputs, Layer, Method, MethodResult, register
from sim.accuracy.methods.common import calibration, checked, follow, rounded, set_calibrated
from sim.accuracy.operand import OperandFormat

__all__ = ["Awq", "Scaled", "scales_of_inputs"]


@dataclass(frozen=True)
class Scaled:
    """What the input passes: a division by a scale of each of its K numbers; usually done by what comes before."""

    scales: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """[..., K] to the same."""
        return x / self.scales.to(x)


@register
@dataclass(frozen=True)
class Awq(Method):
    """Scale each input down, and its weights up, by a power of its mean magnitude that is searched for.

    AWQ (MLSys'24, arXiv 2306.00978), equations 4 and 5: s = s_X^α with s_X the mean of abs(x), α of 0, 1/`steps`, …,
    1 - 1/`steps` by the least ‖Q(W diag(s)) diag(s)⁻¹ X - W X‖², s divided by √(max s · min s) as in its code. It
    is the sum over the layers of a common input, where the code takes the outputs of the block behind them, over all
    calibration rows, by H = 2 XXᵀ / T in FP32; the input as it is, not as it will be stored. The first of equal errors
    wins, so that α = 0 is rtn. Inputs that are always 0 keep s = 1 (the code: at least 10⁻⁴ before the division, which
    shifts all others). Its clip search is `by`=clip, by the weights' error. The scales count no bits: the layer or norm
    before takes them, or a multiplication per input.
    """

    name = "awq"
    calibrated = True

    steps: int = option(20, "powers that are tried, from 0 up to below 1", least=1, most=1000)
    by: str = option("rtn", "method that quantises the scaled weights", metavar="METHOD")

    def __post_init__(self) -> None:
        set_calibrated(self, True, self.by)

    def quantise(self, layers: Sequence[Layer], acts: OperandFormat | None, inputs: Inputs | None) -> MethodResult:
        """See `Method`."""
        k = checked(self.name, layers)
        seen = calibration(self.name, k, inputs)
        hessian = seen.hessian.float()
        best, chosen = torch.inf, torch.ones(k)
        for step in range(self.steps):
            scales = scales_of_inputs(seen.mean_magnitude, step / self.steps)
            error = sum(_error(layer, scales, hessian) for layer in layers)
            if error < best:
                best, chosen = error, scales
        weights = [layer.weights * chosen for layer in layers]
        return follow(self.by, layers, weights, acts, seen, Scaled(chosen))


def scales_of_inputs(magnitude: Tensor, power: float) -> Tensor:
    """magnitude**power [K], float32, around 1 in the geometric mean of its ends; 1 where the magnitude is 0."""
    alive = magnitude > 0
    if not alive.any():
        return torch.ones_like(magnitude)
    scales = magnitude.double().pow(power)
    ends = scales[alive]
    scales = scales / (ends.max() * ends.min()).sqrt()
    return torch.where(alive, scales, 1.0).float()


def _error(layer: Layer, scales: Tensor, hessian: Tensor) -> float:
    """Σ over rows of (Δw)ᵀ H Δw: twice the mean squared error of the outputs, summed over them."""
    kept = rounded(Layer(layer.name, layer.weights * scales, layer.form)) / scales
    change = kept - layer.weights
    return float(((change @ hessian) * change).sum(dtype=torch.float64))
