"""The reference arithmetic of a minifloat tile, and what the manifest says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.arith import (
    FP32_NAN,
    unpack_reference,
)
from hwgen.formats import Format
from hwgen.pe._fp32_sum import fp32_tree_reference
from hwgen.pe.minifloat.formulas import MinifloatFormulas

__all__ = ["MinifloatArithmetic"]


@dataclass(frozen=True, kw_only=True)
class MinifloatArithmetic(MinifloatFormulas):
    """The reference arithmetic of a minifloat tile, and what the manifest says of it."""

    def arithmetic(self, mode: int) -> dict[str, Any]:
        if not self.fp32_sums(self.p):
            return self.dot_arithmetic(mode)
        return {
            "kind": "fp32_dot",
            "definition": "products rounded once to FP32 (IEEE 754, subnormals kept), added up by a balanced tree of "
            "FP32 additions (0 + 1, 2 + 3 and so on, an odd one waits), then accumulated",
            "acts": {"encoding": self.act_format.name},
            "weights": {"encoding": self.weight_format.name},
            "accumulate": self.fp32_accumulation(),
        }

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        if self.fp32_sums(self.p):
            left, right = self.act_format.decode(acts), self.weight_format.decode(weights)
            products = self.products(left[..., :, None, :], right[..., None, :, :])
            return fp32_tree_reference(products).astype(np.int64)[None, ..., None]
        a, w = self._fixed(acts, self.act_format), self._fixed(weights, self.weight_format)
        sums: np.ndarray = a @ np.swapaxes(w, -1, -2)
        return sums[None, ..., None]

    @staticmethod
    def products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """FP32 codes of products of values, each rounded once (float64 holds them exactly)."""
        with np.errstate(all="ignore"):
            products = (left * right).astype(np.float32)
        codes: np.ndarray = np.where(np.isnan(products), np.uint32(FP32_NAN), products.view(np.uint32))
        return codes

    def _fixed(self, codes: np.ndarray, form: Format) -> np.ndarray:
        """Integers in units of the format's last place, int64 or Python integers where sums are wide."""
        fields = unpack_reference(codes, form, normalise=False)
        dtype = self.sum_dtype
        magnitude = fields.significand.astype(dtype) << (fields.exponent - 1).astype(dtype)
        values: np.ndarray = np.where(fields.sign == 1, -magnitude, magnitude)
        return values
