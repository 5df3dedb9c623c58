"""Golden layer of posit tiles: exact sums, sticky NaR, and results rounded into posits or FP16.

Results in FP32 are those of `QuantLinear`. Results in another format are, for a layer whose K is one accumulation, the
exact scaled sum rounded once, by `Format.encode_scalar` over a fraction. Of several accumulations each is first rounded
to odd into FP32 (cut, and the last bit set if anything was lost), then added in FP32 in K order, and the total is
rounded into the format. A NaR operand makes every result that it belongs to NaN.
"""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwgen.formats import Format, MinifloatFormat, QTensor, get
from sim.golden.quant_linear import QuantLinear, Sums
from sim.golden.wide import Wide, exact_matmul

__all__ = ["PositLinear"]

_BITS, _LOWEST, _HIGHEST = 24, -149, 127


def _without_nar(tensor: QTensor) -> tuple[QTensor, Tensor]:
    """The tensor with zeros for NaR, and where they are, bool [rows, K]."""
    nar = np.isnan(tensor.values())
    if not nar.any():
        return tensor, torch.from_numpy(nar)
    return dataclasses.replace(tensor, codes=np.where(nar, 0, tensor.codes)), torch.from_numpy(nar)


def to_odd(exact: Fraction) -> float:
    """FP32 value of a fraction, rounded to odd; never infinite, and zero for zero only."""
    if not exact:
        return 0.0
    magnitude = abs(exact)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    exponent -= Fraction(2) ** exponent > magnitude
    place = max(exponent - _BITS + 1, _LOWEST)
    quotient = magnitude / Fraction(2) ** place
    units = math.floor(quotient)
    units |= quotient != units
    if exponent > _HIGHEST:
        units, place = (1 << _BITS) - 1, _HIGHEST - _BITS + 1
    return math.copysign(math.ldexp(units, place), exact)


def rounded(exact: Fraction | float, form: Format) -> float:
    """Value of ``exact`` in ``form``; FP16 overflows to infinity."""
    code = form.encode_scalar(exact, saturate=False) if isinstance(form, MinifloatFormat) else form.encode_scalar(exact)
    return float(form.decode_scalar(code))


class PositLinear(QuantLinear):
    """A quantised linear layer whose operands may be NaR, and whose results may be posits or FP16.

    `Quantization.options`: ``output`` (format name), ``sum_group`` (elements along K between read-outs; 0 is the row),
    ``sum_unit`` (exponent of the unit of a tile's raw sums) and ``nar_word`` (its sum that means NaR).
    """

    def __init__(self, weights: QTensor, quantization: Any) -> None:
        clean, self._nar = _without_nar(weights)
        super().__init__(clean, quantization)
        options = dict(quantization.options)
        self._output = get(options["output"])
        self._sum_unit, self._nar_word = int(options["sum_unit"]), int(options["nar_word"])
        self._sum_group = int(options["sum_group"])

    @torch.no_grad()
    def forward(self, x: Tensor | QTensor, mode: str = "exact") -> Tensor:
        acts = self.quantize(x)
        clean, nar = _without_nar(acts)
        result = super().forward(clean, mode)
        wrong = nar.any(dim=1)[:, None] | self._nar.any(dim=1)[None, :]
        result = torch.where(wrong, torch.nan, result)
        return result if isinstance(x, QTensor) else result.reshape(*x.shape[:-1], -1)

    @torch.no_grad()
    def group_words(self, x: Tensor | QTensor) -> np.ndarray:
        """Raw sums of a tile, [G, T, N] Python integers in its unit."""
        acts, nar = _without_nar(self.quantize(x))
        sums = self._sums(acts)
        integers = _integers(sums.groups) * (1 << int(sums.unit[0, 0]) - self._sum_unit)
        flags = [nar[:, part].any(dim=1)[:, None] | self._nar[:, part].any(dim=1)[None, :] for part in self._pieces]
        return np.where(torch.stack(flags).numpy(), self._nar_word, integers)

    @property
    def _pieces(self) -> tuple[slice, ...]:
        """Slice of K of each accumulation."""
        k, size = self.weights.shape[1], self._sum_group or self.weights.shape[1]
        return tuple(slice(start, min(start + size, k)) for start in range(0, k, size))

    def _sums(self, acts: QTensor) -> Sums:
        ints, unit = self._operands(acts)
        groups = Wide.stack([exact_matmul(ints[:, part], self._ints[:, part]) for part in self._pieces])
        row_unit = torch.stack([unit[:, part.start] for part in self._pieces])
        scale = torch.from_numpy(acts.scales.copy())
        by_part = torch.stack([scale[:, part.start // acts.group_size] for part in self._pieces])
        rows = Wide.stack([exact_matmul(ints[:, part], torch.ones_like(ints[:1, part])) for part in self._pieces])
        return Sums(groups, rows, row_unit, row_unit + self._unit, by_part)

    def _exact(self, acts: QTensor) -> Tensor:
        sums = self._sums(acts)
        columns = [self._scale[:, part.start // self.weights.group_size] for part in self._pieces]
        if self._output.name == "fp32":
            assert isinstance(sums.groups, Wide)
            result = torch.zeros(sums.groups.shape[1:], dtype=torch.float32)
            for index, column in enumerate(columns):
                scale, unit = sums.row_scale[index, :, None] * column, sums.unit[index, :, None]
                result = result + sums.groups[index].round_scaled(scale, unit)
            return result
        integers = _integers(sums.groups)
        found = torch.zeros(integers.shape[1:], dtype=torch.float32)
        for t, n in np.ndindex(*integers.shape[1:]):
            parts = [
                _product(
                    int(integers[index, t, n]),
                    float(sums.row_scale[index, t]),
                    float(column[n]),
                    int(sums.unit[index, t]),
                )
                for index, column in enumerate(columns)
            ]
            found[t, n] = self._result(parts)
        return found

    def _result(self, parts: list[Fraction | float]) -> float:
        if len(parts) == 1:
            return rounded(parts[0], self._output)
        total = torch.zeros((), dtype=torch.float32)
        for part in parts:
            total = total + torch.tensor(to_odd(part) if isinstance(part, Fraction) else part, dtype=torch.float32)
        return rounded(float(total), self._output)


def _integers(sums: Tensor | Wide) -> np.ndarray:
    return sums.integers() if isinstance(sums, Wide) else sums.numpy()


def _product(total: int, row: float, column: float, unit: int) -> Fraction | float:
    """total · row · column · 2**unit, exactly; a float where a scale is no number."""
    if math.isfinite(row) and math.isfinite(column):
        return total * Fraction(row) * Fraction(column) * Fraction(2) ** unit
    return math.copysign(1.0, total) * row * column if total else 0.0 * row * column
