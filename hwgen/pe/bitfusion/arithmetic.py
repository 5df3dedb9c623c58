"""The reference arithmetic of a bitfusion tile, and what the manifest says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.pe.bitfusion.formulas import BitfusionFormulas

__all__ = ["BitfusionArithmetic"]


@dataclass(frozen=True, kw_only=True)
class BitfusionArithmetic(BitfusionFormulas):
    """The reference arithmetic of a bitfusion tile, and what the manifest says of it."""

    def _order(self, mode: int) -> np.ndarray:
        """Place of each of a unit's codes among its weights."""
        acts, weights = self._mode(mode)
        return np.arange(1 << acts + weights).reshape(1 << acts, 1 << weights).T.ravel()

    def act_packing(self, mode: int) -> dict[str, Any]:
        return self._packing(mode, 0)

    def weight_packing(self, mode: int) -> dict[str, Any]:
        found, order = self._packing(mode, 1), self._order(mode).tolist()
        return {**found, "order": order} if order != sorted(order) else found

    def _packing(self, mode: int, side: int) -> dict[str, Any]:
        form, count = self.mode_formats(mode)[side], 1 << sum(self._mode(mode))
        bits = int((self.act_port, self.weight_port)[side](self.p)[1])
        unused = list(range(count * form.code_bits, bits))
        packing = self.plain_packing(form, count)
        return {**packing, "ignored_bits": unused} if unused else packing

    def pack_acts(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        return self._pack(codes, mode, 0, np.arange(1 << sum(self._mode(mode))))

    def pack_weights(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        return self._pack(codes, mode, 1, self._order(mode))

    def _pack(self, codes: np.ndarray, mode: int, side: int, order: np.ndarray) -> np.ndarray:
        """Codes [..., K] → words of units [..., k], code i of a unit at the place that ``order`` says."""
        places = (order * self.mode_formats(mode)[side].code_bits).astype(np.uint32)
        grid = np.asarray(codes).reshape(*np.shape(codes)[:-1], -1, len(order)).astype(np.uint32)
        words: np.ndarray = np.bitwise_or.reduce(grid << places, axis=-1)
        return words

    def arithmetic(self, mode: int) -> dict[str, Any]:
        return self.dot_arithmetic(mode)

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        act_format, weight_format = self.mode_formats(mode)
        products: np.ndarray = np.einsum("...mk,...nk->...mn", act_format.fixed(acts), weight_format.fixed(weights))
        return products[None, ..., None]

    def row_terms(self, acts: np.ndarray, row: Mapping[str, np.ndarray], mode: int) -> np.ndarray:
        total: np.ndarray = self.mode_formats(mode)[0].fixed(acts).sum(axis=-1)
        return total
