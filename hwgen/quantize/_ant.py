"""ANT quantiser: a type and a scale for each group, those with the least square error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats import Format, QTensor
from hwgen.formats.ant import AntFormat
from hwgen.formats.base import Floats, Words
from hwgen.quantize._groups import Groups, as_format, divide, scale_codes, scale_format_of

__all__ = ["Singles", "ant", "distances", "level_table", "searched", "squared_errors"]

_FACTORS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Scales that are tried, over the one with which the largest value is the largest magnitude."""

_PIECE = 1 << 15
"""Elements that are worked on at a time: what is computed of them stays in a processor's cache."""
_SCALES = 2.0**-50, 2.0**50
"""Scales, over a power of two next to the largest magnitude, beyond which all saturates or becomes zero."""

Singles = npt.NDArray[np.float32]
Squares = Callable[[int, Singles], Singles]
"""Number of a candidate and |x| over half its scale [..., elements of a group] → sums of squares [...]."""


def level_table(levels: Iterable[float]) -> Singles:
    """Twice the nearest of the magnitudes ``levels``, 0 among them, by floor(2·|x|); the last is for all above.

    Whole numbers, whose midpoints are whole halves; what lies on one is as far from both.
    """
    known = np.unique(np.asarray(list(levels), np.float64))
    lower = np.arange(2 * int(known[-1]) + 1) / 2
    return (2 * known[np.searchsorted((known[1:] + known[:-1]) / 2, lower, side="right")]).astype(np.float32)


def distances(ratio: Singles, table: Singles) -> Singles:
    """How far twice |x| / scale is from the nearest level of a `level_table`."""
    places = np.minimum(ratio, np.float32(len(table) - 1)).astype(np.int32)
    return ratio - table.take(places)


def squared_errors(groups: Groups, scales: Sequence[Floats], squares: Squares) -> npt.NDArray[np.float32]:
    """Σ (x − s·value)² of each group for each candidate, [candidates, N, G], in FP32.

    ``scales`` [N, G] of each candidate. In units of the power of two above the largest magnitude of each group, whose
    square always fits.
    """
    unit = np.frexp(groups.amax)[1]
    (n, k), size, count = groups.x.shape, groups.size, unit.shape[1]
    halves = [np.clip(np.ldexp(scale, -unit), *_SCALES).astype(np.float32) / 2 for scale in scales]
    found = np.empty((len(scales), n, count), np.float32)
    step = max(1, _PIECE // k)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        # Zeros behind the last group change no sum.
        x = np.pad(groups.x[rows], ((0, 0), (0, count * size - k))).reshape(-1, count, size)
        magnitude = np.ldexp(np.abs(x), -unit[rows, :, None]).astype(np.float32)
        for index, half in enumerate(halves):
            ratio: Singles = magnitude * np.reciprocal(half[rows, :, None])
            found[index, rows] = squares(index, ratio) * half[rows] ** 2
    return found


def ant(
    x: npt.ArrayLike,
    format: Format | str = "ant4",
    group_size: int = 128,
    scale_format: Format | str = "fp16",
    *,
    one_type: bool = False,
) -> QTensor:
    """Quantise a float matrix [N, K] to ANT's types.

    For every type of the format, in the order of selectors, and every factor f of 1, 0.9 … 0.5:
    s = f·amax / L with the type's largest value L (7, 16, 64, 12), rounded to ``scale_format``; codes nearest to x / s,
    ties to the smaller magnitude, within ±L. The first of those with the least Σ (x − s·value)², compared in FP32, is
    the group's type and scale. With ``one_type`` the type is the tensor's, as ANT has it: the one with the least sum of
    its groups' least errors. A group of zeros has type 0 and codes of zero. ``group_size`` 0 is the whole row. Raises
    `HwgenError`.
    Source: ANT (MICRO'22): the type and the scale with the least square error; the six factors are ours.
    """
    form = as_format(format)
    if not isinstance(form, AntFormat):
        raise HwgenError(f"ant: format must be ant4, flint4 or pot4, not {form.name}")
    scales = scale_format_of("ant", scale_format)
    groups = Groups.cut("ant", x, group_size)
    amax = groups.amax
    tried = [(side, factor) for side in range(len(form.kinds)) for factor in _FACTORS]
    words = [scale_codes(scales, factor * (amax / form.largest(side))) for side, factor in tried]
    tables = [level_table([abs(v) for v in form.levels(side) if abs(v) <= form.largest(side)]) for side, _ in tried]

    def squares(index: int, ratio: Singles) -> Singles:
        off = distances(ratio, tables[index])
        total: Singles = np.einsum("...k,...k->...", off, off)
        return total

    errors = squared_errors(groups, [scales.decode(one) for one in words], squares)
    if one_type:
        unit = np.frexp(amax)[1]
        # In a unit that all groups share.
        by_type = errors.reshape(len(form.kinds), len(_FACTORS), *unit.shape).min(axis=1)
        least = (by_type * np.ldexp(1.0, 2 * (unit - unit.max()))).sum(axis=(1, 2))
        first = int(np.argmin(least)) * len(_FACTORS)
        best = first + np.argmin(errors[first : first + len(_FACTORS)], axis=0)
    else:
        best = np.argmin(errors, axis=0)
    side = np.array([side for side, _ in tried])[best]
    top = np.array([form.largest(one) for one in range(len(form.kinds))], np.float64)[side]
    return searched(groups, form, np.take_along_axis(np.stack(words), best[None], axis=0)[0], scales, side, top)


def searched(
    groups: Groups, form: Format, words: Words, scales: Format, side: npt.NDArray[np.int64], top: Floats
) -> QTensor:
    """A tensor of ``form`` with scales ``words``, selectors ``side`` and values within ±``top``, [N, G] each."""
    values = scales.decode(words)
    step = max(1, _PIECE // groups.x.shape[1])
    codes = []
    for start in range(0, len(groups.x), step):
        rows = slice(start, start + step)
        limit = groups.spread_of(top[rows])
        ratio = np.clip(divide(groups.x[rows], groups.spread_of(values[rows])), -limit, limit)
        kinds = groups.spread_of(side[rows])[:, :: form.elements] if form.side_bits else None
        shape = (len(ratio), -1, form.elements) if form.elements > 1 else ratio.shape
        codes.append(form.encode(ratio.reshape(shape), kinds))
    return QTensor(
        codes=np.concatenate(codes),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=words,
        scale_format=scales,
        selector=side.astype(np.uint8) if form.side_bits else None,
    )
