"""The reference arithmetic of a bitplane tile, and what the manifest says of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.pe._planes import plane_factors
from hwgen.pe.bitplane.formulas import BitplaneFormulas

__all__ = ["BitplaneArithmetic"]


@dataclass(frozen=True, kw_only=True)
class BitplaneArithmetic(BitplaneFormulas):
    """The reference arithmetic of a bitplane tile, and what the manifest says of it."""

    def _factors(self) -> tuple[list[int], list[int]]:
        """What a one in each plane of the weights and of the activations counts."""
        signed = not self._signs(self.p)
        return plane_factors(self.bits, self.signed_weights(self.p)), plane_factors(self._act_bits(self.p), signed)

    def _updates(self) -> Iterator[tuple[range, range]]:
        """The planes of the weights and of the activations of each cycle of a step."""
        acts = self._act_bits(self.p)
        for w in range(0, self.bits, self.weight_planes):
            for a in range(0, acts, self.act_planes):
                yield range(w, min(w + self.weight_planes, self.bits)), range(a, min(a + self.act_planes, acts))

    def _part(self, codes: np.ndarray, factors: list[int], planes: range) -> np.ndarray:
        """What some planes of codes stand for, float64: far below 2^53, and quicker to multiply than int64."""
        part = np.zeros(codes.shape)
        for plane in planes:
            bit = (codes >> plane) & 1
            part += factors[plane] * (2 * bit - 1 if self._signs(self.p) else bit)
        return part

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        a, w = np.asarray(acts, np.int64), np.asarray(weights, np.int64)
        weight_factors, act_factors = self._factors()
        found = [
            self._part(a, act_factors, act_planes) @ self._part(w, weight_factors, planes).swapaxes(-1, -2)
            for planes, act_planes in self._updates()
        ]
        return np.stack(found).astype(np.int64)[..., None]

    def arithmetic(self, mode: int) -> dict[str, Any]:
        weights, acts = self._factors()
        return {
            "kind": "plane_pairs",
            "definition": "an update [weight planes, activation planes] adds, over all pairs of these, weight_places "
            "times act_places times the sum over k of digit(bit of weight code k) times digit(bit of activation code "
            "k)",
            "acts": self.integers_of(self.act_format),
            "weights": self.integers_of(self.weight_format),
            "digits": [-1, 1] if self._signs(self.p) else [0, 1],
            "weight_places": weights,
            "act_places": acts,
            "updates": [[list(planes), list(act_planes)] for planes, act_planes in self._updates()],
            "accumulator": self.accumulator_rule(),
        }
