"""A model's matrix products by golden PyTorch layers, on the same quantised weights as the RTL's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from hwgen.accelerator import Design
from hwgen.accelerator.quantiser import token_weights
from hwgen.formats import QTensor, get
from hwgen.pe import TileSpec
from hwgen.schedule import Layer, Schedule
from sim.golden import QuantLinear, golden_layer
from sim.llm.forward import Cache, FloatCache
from sim.llm.operands import in_groups, quantised, rows_of, unscaled

__all__ = ["GoldenProducts", "TokenCache"]

_ROWS = 512
"""Outputs of one golden layer: rows do not know of each other, and few of them stay in the processor's cache."""


class GoldenProducts:
    """`Products` whose activations and attention operands golden layers quantise by themselves."""

    def __init__(self, design: Design, layers: Mapping[str, QTensor], *, by_token: bool = False) -> None:
        """Around quantised weights [N, K] by name; ``by_token``: keys and values have a scale for each token.

        Of the design it is told what activations are rounded to in memory.
        """
        spec, self._by_token = design.tile, by_token
        self._source = None if design.pre == "none" else get(design.pre_source)
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

    def cache(self, heads: int, size: int, room: int) -> Cache:
        """See `Products`."""
        return TokenCache(self._attended, self._spec, heads, size) if self._by_token else FloatCache(self, heads, size)

    def _attended(self, acts: Tensor, weights: Sequence[QTensor]) -> Tensor:
        return torch.stack([self._product(self._golden(w), a) for a, w in zip(acts, weights, strict=True)])

    def _product(self, layers: Sequence[QuantLinear], x: Tensor) -> Tensor:
        tokens, k = x.shape
        schedule = Schedule(self._spec, Layer("golden", tokens, 1, k))
        values = np.ascontiguousarray(schedule.whole_words(x.numpy()))
        if self._source is not None:
            values = self._source.decode(self._source.encode(values)).astype(np.float32)
        whole = torch.from_numpy(values)
        return torch.cat([layer(whole) for layer in layers], dim=1)


class TokenCache:
    """`Cache` in float32 that is quantised for each product, a scale for each token of a head, as the quantiser does.

    Scales of keys are those of their columns. Those of values multiply the probabilities, in float32: a sum over tokens
    of P[t] · (s[t] · q[t]) is one of (P[t] · s[t]) · q[t].
    """

    def __init__(
        self, attended: Callable[[Tensor, Sequence[QTensor]], Tensor], spec: TileSpec, heads: int, size: int
    ) -> None:
        """An empty one; ``attended`` multiplies activations [heads, M, K] by the weights of each head."""
        self._attended, self._spec = attended, spec
        self._keys = self._values = torch.zeros(heads, 0, size)

    def append(self, keys: Tensor, values: Tensor) -> None:
        """See `Cache`."""
        self._keys = torch.cat([self._keys, keys], dim=1)
        self._values = torch.cat([self._values, values], dim=1)

    def scores(self, queries: Tensor) -> Tensor:
        """See `Cache`."""
        found = [token_weights(self._spec, one.numpy()) for one in self._keys]
        return self._attended(queries, [in_groups(self._spec, one.codes, one.scale_codes[:, 0]) for one in found])

    def mixed(self, shares: Tensor) -> Tensor:
        """See `Cache`."""
        found = [token_weights(self._spec, one.numpy()) for one in self._values]
        scales = torch.from_numpy(np.stack([one.scales[:, 0].astype(np.float32) for one in found]))
        weights = [unscaled(self._spec, np.ascontiguousarray(one.codes.T)) for one in found]
        return self._attended(shares * scales[:, None], weights)
