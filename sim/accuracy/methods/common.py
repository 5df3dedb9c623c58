"""What methods share: checks of what they are given, and methods that follow on a changed input."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from hwgen.errors import HwgenError
from sim.accuracy.methods.base import Inputs, Layer, Method, MethodResult, method
from sim.accuracy.methods.grid import Grid
from sim.accuracy.operand import OperandFormat

__all__ = [
    "BITS_OF_FACTORS",
    "Groups",
    "calibration",
    "checked",
    "follow",
    "mean_squares",
    "nearest_level",
    "rounded",
    "set_calibrated",
]

BITS_OF_FACTORS = 16
"""Bits of an element of a low-rank factor: FP16."""


def checked(name: str, layers: Sequence[Layer]) -> int:
    """K of a group's layers. Raises `HwgenError` unless their weights are finite matrices with K columns each."""
    if not layers:
        raise HwgenError(f"method {name}: must have layers to quantise, not none")
    k = layers[0].weights.shape[-1]
    for layer in layers:
        shape = list(layer.weights.shape)
        if len(shape) != 2 or 0 in shape or shape[1] != k:
            raise HwgenError(f"method {name}: layer {layer.name}: weights must be [N, {k}], not of shape {shape}")
        if not torch.isfinite(layer.weights).all():
            first = [int(place) for place in (~torch.isfinite(layer.weights)).nonzero()[0]]
            worst = float(layer.weights[first[0], first[1]])
            raise HwgenError(f"method {name}: layer {layer.name}: weights must be finite, not {worst} at {first}")
    return k


def calibration(name: str, k: int, inputs: Inputs | None) -> Inputs:
    """The inputs of a calibration text. Raises `HwgenError` where there are none, or not [T, K] finite numbers."""
    if inputs is None:
        raise HwgenError(f"method {name}: needs a calibration text")
    shape = list(inputs.rows.shape)
    if len(shape) != 2 or not shape[0] or shape[1] != k:
        raise HwgenError(f"method {name}: inputs must be rows [T, {k}], not of shape {shape}")
    if not torch.isfinite(inputs.rows).all():
        raise HwgenError(f"method {name}: inputs must be finite; what was quantised before overflows")
    return inputs


def mean_squares(inputs: Inputs) -> Tensor:
    """Mean of x² of each of the K inputs, float64."""
    return inputs.rows.double().square().mean(dim=0)


def rounded(layer: Layer) -> Tensor:
    """Weights as round-to-nearest stores them: `OperandFormat.nearest`, by `Grid` in torch."""
    n, k = layer.weights.shape
    grid = Grid(layer.form, n, k)
    return grid.nearest(layer.weights, grid.scales(layer.weights))


@dataclass(frozen=True)
class Groups:
    """Weights [N, K] as rows of their groups, for methods with codes of their own: as the format's, of its size.

    Attributes
    ----------
    weights : float64 [N G, size]; a last group that is shorter is filled with zeros.
    inside : bool [N G, size], false where it was filled. per_row : G.
    """

    weights: Tensor
    inside: Tensor
    per_row: int

    @classmethod
    def of(cls, layer: Layer) -> Self:
        """Cut a layer's weights."""
        n, k = layer.weights.shape
        size = min(layer.form.group or k, k)
        short = -k % size
        rows = functional.pad(layer.weights.double(), (0, short)).reshape(-1, size)
        inside = (torch.arange(k + short) < k).expand(n, -1).reshape(-1, size)
        return cls(rows, inside, (k + short) // size)

    def whole(self, rows: Tensor, k: int) -> Tensor:
        """Undo it: float32 [N, K] of [N G, size]."""
        return rows.reshape(-1, self.per_row * rows.shape[1])[:, :k].float().contiguous()


def nearest_level(x: Tensor, levels: Tensor) -> Tensor:
    """Which of its row's levels [M, L], in any order, is nearest to each of [M, S]; a tie goes to the lower level."""
    ascending, order = torch.sort(levels, dim=1, stable=True)
    between = (ascending[:, 1:] + ascending[:, :-1]) / 2
    return order.gather(1, torch.searchsorted(between, x.contiguous()))


def set_calibrated(owner: Method, own: bool, by: str) -> None:
    """A method looks at inputs if it does itself, or the one that follows. Raises `HwgenError` if that is none."""
    object.__setattr__(owner, "calibrated", own or method(by).calibrated)


def follow(
    by: str,
    layers: Sequence[Layer],
    weights: Sequence[Tensor],
    acts: OperandFormat | None,
    inputs: Inputs | None,
    before: Callable[[Tensor], Tensor] | None,
) -> MethodResult:
    """Quantise ``weights`` in place of the layers' by another method, on an input that ``before`` has changed.

    ``inputs`` are those that enter ``before``. The other method's own change of the input comes behind it.
    """
    chosen = method(by)
    changed = [Layer(layer.name, own, layer.form) for layer, own in zip(layers, weights, strict=True)]
    seen = inputs
    if inputs is not None and before is not None:
        seen = Inputs(before(inputs.rows)) if chosen.calibrated else None
    result = chosen.quantise(changed, acts, seen)
    if before is None:
        return result
    then, first = result.before, before
    return dataclasses.replace(result, before=first if then is None else lambda x: then(first(x)))
