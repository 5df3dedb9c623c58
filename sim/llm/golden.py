"""A model's matrix products by golden PyTorch layers, on the same quantised weights as the RTL's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from hwgen.formats import QTensor
from hwgen.pe import TileSpec
from hwgen.schedule import Layer, Schedule
from sim.golden import QuantLinear, golden_layer
from sim.llm.operands import quantised, rows_of

__all__ = ["GoldenProducts"]

_ROWS = 512
"""Outputs of one golden layer: rows do not know of each other, and few of them stay in the processor's cache."""


class GoldenProducts:
    """`Products` whose activations and attention operands golden layers quantise by themselves."""

    def __init__(self, spec: TileSpec, layers: Mapping[str, QTensor]) -> None:
        """Around quantised weights [N, K] by name."""
        self._spec = spec
        self._formats = spec.quantization()
        self._layers = {name: self._golden(weights) for name, weights in layers.items()}

    def _golden(self, weights: QTensor) -> list[QuantLinear]:
        starts = range(0, len(weights.codes), _ROWS)
        return [golden_layer(rows_of(weights, slice(start, start + _ROWS)), self._formats) for start in starts]

    def linear(self, names: Sequence[str], x: Tensor) -> list[Tensor]:
        """See `Products`."""
        return [self._product(self._layers[name], x) for name in names]

    def heads(self, acts: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
        """See `Products`."""
        return [
            self._product(self._golden(quantised(self._spec, "head", w.numpy())), a)
            for a, w in zip(acts, weights, strict=True)
        ]

    def _product(self, layers: Sequence[QuantLinear], x: Tensor) -> Tensor:
        tokens, k = x.shape
        schedule = Schedule(self._spec, Layer("golden", tokens, 1, k))
        whole = torch.from_numpy(np.ascontiguousarray(schedule.whole_words(x.numpy())))
        return torch.cat([layer(whole) for layer in layers], dim=1)
