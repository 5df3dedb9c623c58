"""Operands of compiled layers as the kernels take them: float64 numbers, without scales."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwgen.formats import Format, MinifloatFormat, QTensor
from sim.accuracy.arithmetic._library import call
from sim.golden.align import finite_values

__all__ = ["Aligned", "Floats", "align", "blocks", "numbers", "per_group", "rows_of", "scale_bits", "starts"]

Floats = npt.NDArray[np.float64]

_ROWS = 2048
"""Rows of weights that are decoded at once."""


def rows_of(tensor: QTensor, rows: slice) -> QTensor:
    """Some rows of a quantised matrix; what it has one of stays."""
    names = ("codes", "scale_codes", "zero", "selector", "outer")
    present = {name: value for name in names if (value := getattr(tensor, name)) is not None}
    return dataclasses.replace(
        tensor, **{name: value[rows] if len(value) > 1 else value for name, value in present.items()}
    )


def blocks(weights: QTensor) -> Iterator[tuple[int, QTensor]]:
    """The rows of a matrix in pieces that take little memory once decoded, each with the number of its first row."""
    for start in range(0, weights.shape[0], _ROWS):
        yield start, rows_of(weights, slice(start, start + _ROWS))


def numbers(weights: QTensor) -> Floats:
    """What weights stand for before scales, float64 [N, K]: decoded values less integer zero points."""
    values = weights.values()
    if weights.zero_kind == "integer" and weights.zeros is not None:
        values = values - weights.zeros[:, weights.group_of_k]
    return np.ascontiguousarray(values, dtype=np.float64)


def starts(parts: tuple[slice, ...], k: int) -> npt.NDArray[np.int64]:
    """Where slices of K begin, and K, int64."""
    return np.array([*(part.start for part in parts), k], dtype=np.int64)


def per_group(values: npt.NDArray[Any], groups: int) -> Floats:
    """float64 [R, groups], contiguous, of [R, groups] or [R, 1]."""
    return np.ascontiguousarray(np.broadcast_to(values, (len(values), groups)), dtype=np.float64)


@functools.lru_cache(maxsize=64)
def scale_bits(form: Format) -> int:
    """Most significand bits of a finite scale of a format."""
    if isinstance(form, MinifloatFormat):
        return form.mantissa_bits + 1
    if form.code_bits > 16:
        return 53
    values = form.decode(form.codes())
    significands = (np.frexp(values[np.isfinite(values)])[0] * 2.0**53).astype(np.int64)
    return 53 - min((int(value) & -int(value)).bit_length() - 1 for value in significands if value)


@dataclass(frozen=True)
class Aligned:
    """Integers of aligned activations, float64 [T, K], in units of 2**``unit``, int32 [T, scopes]; ``scope`` of K."""

    ints: Floats
    unit: npt.NDArray[np.int32]
    scope: npt.NDArray[np.int64]

    @property
    def units(self) -> npt.NDArray[np.int32]:
        """[T, K]."""
        return self.unit[:, self.scope]

    def values(self) -> Floats:
        """What the integers stand for."""
        return self.ints * np.exp2(self.unit.astype(np.float64))[:, self.scope]


def align(acts: QTensor, quantization: Any, group: int, threads: int) -> Aligned:
    """Activations aligned as `sim.golden.align` says, with groups of ``group``; its checks are left to it."""
    form = acts.format
    assert isinstance(form, MinifloatFormat)
    values = np.ascontiguousarray(finite_values(acts).numpy())
    t, k = values.shape
    place = np.arange(k)
    if quantization.align == "row":
        scope = np.zeros(k, dtype=np.int64)
    elif quantization.align == "group":
        scope = place // group
    else:
        scope = place // group * -(-group // quantization.step) + place % group // quantization.step
        scope = np.unique(scope, return_inverse=True)[1]
    begin = np.append(np.flatnonzero(np.diff(scope, prepend=-1)), k).astype(np.int64)
    ints, unit = np.empty_like(values), np.empty((t, len(begin) - 1), dtype=np.int32)
    normal = 1 - (form.bias or 0)
    bits = form.mantissa_bits + 1 + quantization.align_guard
    nearest = int(quantization.align_rounding == "rne")
    call("align", "align", t, k, values, len(begin) - 1, begin, normal, bits, nearest, ints, unit, threads)
    return Aligned(ints, unit, scope)
