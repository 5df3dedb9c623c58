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
from hwgen.frame.numbers import Num
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

    def _placed(self, codes: np.ndarray) -> np.ndarray:
        """Codes of a step in the first words of a port; modes that take fewer leave the others zero."""
        missing = self.k // self.act_format.elements - codes.shape[-1]
        return np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, missing)]) if missing else codes

    def pack_acts(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        return self._placed(codes)

    def pack_weights(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        return self._placed(codes)

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

    def _packing(self, form: Format, codes: int, port: tuple[Num, Num]) -> dict[str, Any]:
        """Codes in the lowest bits of the first words of a port."""
        count, bits = map(int, port)
        packing = self.plain_packing(form)
        if form.code_bits < bits:
            packing["ignored_bits"] = list(range(form.code_bits, bits))
        if codes < count:
            packing["ignored_elements"] = count - codes
        return packing

    def act_packing(self, mode: int) -> dict[str, Any]:
        return self._packing(self.mode_formats(mode)[0], self.code_columns(mode)[0], self.act_port(self.p))

    def weight_packing(self, mode: int) -> dict[str, Any]:
        return self._packing(self.mode_formats(mode)[1], self.code_columns(mode)[1], self.weight_port(self.p))

    @property
    def act_port_meaning(self) -> str:
        return (
            "codes of the mode's format, in the lowest bits of the first words"
            if self.mode_bits
            else super().act_port_meaning
        )

    @property
    def weight_port_meaning(self) -> str:
        return self.act_port_meaning if self.mode_bits else super().weight_port_meaning
