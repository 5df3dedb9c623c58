"""The reference arithmetic of a codebook tile, and what the manifest says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.formats import QTensor, TableFormat
from hwgen.pe.codebook.formulas import CodebookFormulas
from hwgen.pe.codebook.parameters import learned, table_of

__all__ = ["CodebookArithmetic"]


@dataclass(frozen=True, kw_only=True)
class CodebookArithmetic(CodebookFormulas):
    """The reference arithmetic of a codebook tile, and what the manifest says of it."""

    @property
    def tables(self) -> np.ndarray:
        """Values in fixed point, int64 [selectors, codes, elements of a code]."""
        form = self.weight_format
        found = np.array(table_of(self.weights, self.value_bits), dtype=np.int64)
        return found.reshape(-1, 1 << form.code_bits, form.elements)

    def arithmetic(self, mode: int) -> dict[str, Any]:
        found = {**self.dot_arithmetic(mode), "acts": self._act_integers()}
        if learned(self.p):
            ports = [f"i_col_value{code}" for code in range(1 << self.weight_format.code_bits)]
            found["weights"] = {"rule": "looked up", "encoding": self.weight_format.name, "values": ports}
        elif self.weight_format.side_bits:
            found["weights"] = {**found["weights"], "selector": "i_col_selector"}
        return found

    def side_values(self, name: str, tensor: QTensor) -> np.ndarray:
        form, code = tensor.format, name.removeprefix("value")
        if not (code.isdecimal() and isinstance(form, TableFormat) and tensor.selector is not None):
            return super().side_values(name, tensor)
        values: np.ndarray = np.array(form.tables, dtype=np.int64)[tensor.selector, int(code)]
        return values

    def _values(self, words: np.ndarray, col: Mapping[str, np.ndarray]) -> np.ndarray:
        """Values [..., N, K] of codes [..., N, words] and side information [..., N]."""
        if learned(self.p):
            tables = np.stack(
                [np.asarray(col[f"value{code}"]) for code in range(1 << self.weight_format.code_bits)], -1
            )
            found: np.ndarray = np.take_along_axis(tables[..., None, :], words[..., None], axis=-1)[..., 0]
            return found
        selector = np.asarray(col["selector"], np.int64)[..., None] if "selector" in col else 0
        values: np.ndarray = self.tables[selector, words].reshape(*words.shape[:-1], self.k)
        return values

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        values = self._values(np.asarray(weights, np.int64), col)
        # A step's products are below 2^53: a product of float64 matrices is exact, and quicker than one of int64.
        products = self._integers(acts).astype(np.float64) @ values.astype(np.float64).swapaxes(-1, -2)
        total = products.astype(np.int64).astype(self.sum_dtype)
        shifted: np.ndarray = total << self._shift(acts)[..., :, None].astype(self.sum_dtype)
        return shifted[None, ..., None]
