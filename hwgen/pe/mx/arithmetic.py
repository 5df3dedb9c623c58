"""The reference arithmetic of a mx tile, and what the manifest says of it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.arith import (
    unpack_reference,
)
from hwgen.formats import Format
from hwgen.formats.minifloat import MinifloatFormat
from hwgen.pe.mx.formulas import MxFormulas

__all__ = ["MxArithmetic"]


_HALF = 16
"""Bits of the lower part into which operands are cut where products exceed 62 bits."""


@dataclass(frozen=True, kw_only=True)
class MxArithmetic(MxFormulas):
    """The reference arithmetic of a mx tile, and what the manifest says of it."""

    @staticmethod
    def _fixed(codes: np.ndarray, form: Format) -> np.ndarray:
        """Elements [..., K] as int64 in units of the format's last place; infinities and NaN as the largest ones."""
        if isinstance(form, MinifloatFormat):
            parts = unpack_reference(codes, form, normalise=False)
            magnitude = parts.significand << (parts.exponent - 1)
            signed_values: np.ndarray = np.where(parts.sign == 1, -magnitude, magnitude)
            return signed_values
        values = form.fixed(codes)
        return values.reshape(*values.shape[:-2], -1) if form.elements > 1 else values

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        forms = self.mode_formats(mode)
        a, w = self._fixed(acts, forms[0]), self._fixed(weights, forms[1])
        products = functools.partial(np.einsum, "...mk,...nk->...mn")
        if self.sum_dtype is object:
            # Two sums of products that fit 62 bits make one that does not.
            upper, lower = products(a >> _HALF, w), products(a & ((1 << _HALF) - 1), w)
            total: np.ndarray = upper.astype(object) * (1 << _HALF) + lower.astype(object)
        else:
            total = products(a, w)
        # All modes have sums in one unit.
        finer = forms[0].lsb_exp + forms[1].lsb_exp - self.lsb_exp
        return total[None, ..., None] * (1 << finer)

    def arithmetic(self, mode: int) -> dict[str, Any]:
        acts, weights = self._units(self.p)
        found = self.dot_arithmetic(mode)
        found["acts"]["unit_exp"], found["weights"]["unit_exp"] = acts, weights
        return found

    def _packing(self, form: Format, word: int) -> dict[str, Any]:
        """A code in the lowest bits of a word of ``word`` bits."""
        packing, unused = self.plain_packing(form), list(range(form.code_bits, word))
        return {**packing, "ignored_bits": unused} if unused else packing

    def act_packing(self, mode: int) -> dict[str, Any]:
        return self._packing(self.mode_formats(mode)[0], int(self.act_port(self.p)[1]))

    def weight_packing(self, mode: int) -> dict[str, Any]:
        return self._packing(self.mode_formats(mode)[1], int(self.weight_port(self.p)[1]))

    @property
    def act_port_meaning(self) -> str:
        return "codes of the mode's format, in the lowest bits" if self.mode_bits else super().act_port_meaning

    @property
    def weight_port_meaning(self) -> str:
        return self.act_port_meaning if self.mode_bits else super().weight_port_meaning
