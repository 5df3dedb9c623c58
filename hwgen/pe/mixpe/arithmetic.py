"""The reference arithmetic of a mixpe tile, and what the manifest says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.formats import QTensor, get
from hwgen.pe.mixpe.formulas import LEVEL_BITS, MixpeFormulas

__all__ = ["MixpeArithmetic"]


@dataclass(frozen=True, kw_only=True)
class MixpeArithmetic(MixpeFormulas):
    """The reference arithmetic of a mixpe tile, and what the manifest says of it."""

    def side_values(self, name: str, tensor: QTensor) -> np.ndarray:
        if name == "group_scale":
            return tensor.scale_codes
        if name == "group_zero":
            assert tensor.zero is not None
            return tensor.zero
        return super().side_values(name, tensor)

    def sum_scales(self, weights: QTensor) -> np.ndarray:
        if not self._before(self.p):
            return super().sum_scales(weights)
        # What is left for the sum of a row is the second-level scale, which is applied last.
        return get(self.weight_scale).encode(np.ones((1, 1)))

    def arithmetic(self, mode: int) -> dict[str, Any]:
        found = {**self.dot_arithmetic(mode), "acts": self._act_integers()}
        if self._before(self.p):
            found["weights"] = {
                "rule": "dequantised",
                "encoding": self.weight_format.name,
                "definition": "(code value - zero) * scale, its lowest bits in two's complement",
                "bits": LEVEL_BITS,
                "scale": "i_col_group_scale",
                "zero": None if self._signed(self.p) else "i_col_group_zero",
            }
        return found

    def dequantised(self, weights: np.ndarray, col: Mapping[str, np.ndarray]) -> np.ndarray:
        """Weights of cells, int64 [..., N, K], of codes [..., N, K] and their side information [..., N].

        With dequant before (q − z)·s1, its lowest 8 bits in two's complement; otherwise q.
        """
        q = self.weight_format.fixed(weights)
        if not self._before(self.p):
            return q
        zero = np.asarray(col["group_zero"])[..., None] if "group_zero" in col else 0
        half = 1 << (LEVEL_BITS - 1)
        product = (q - zero) * np.asarray(col["group_scale"])[..., None]
        wrapped: np.ndarray = ((product + half) & (2 * half - 1)) - half
        return wrapped

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        ints = self._integers(acts)
        # A step's products are far below 2^53: a product of float64 matrices is exact, and quicker than one of int64.
        products = ints.astype(np.float64) @ self.dequantised(weights, col).astype(np.float64).swapaxes(-1, -2)
        total = products.astype(np.int64).astype(self.sum_dtype)
        shifted: np.ndarray = total << self._shift(acts)[..., :, None].astype(self.sum_dtype)
        return shifted[None, ..., None]

    def row_terms(self, acts: np.ndarray, row: Mapping[str, np.ndarray], mode: int) -> np.ndarray:
        total: np.ndarray = self._integers(acts).sum(axis=-1) << self._shift(acts)
        return total
