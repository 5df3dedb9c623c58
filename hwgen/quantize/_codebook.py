"""Codebook quantiser: blocks scaled to the largest value of a table, NF4 by default; of several tables the best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats import LEARNED_BITS, CodebookFormat, Format, QTensor, TableFormat
from hwgen.formats.base import Floats
from hwgen.quantize._groups import Groups, as_format, best_selector, divide, scale_codes, scale_format_of

__all__ = ["any4", "codebook"]


def codebook(
    x: npt.ArrayLike, format: Format | str = "nf4", group_size: int = 64, scale_format: Format | str = "fp16"
) -> QTensor:
    """Quantise a float matrix [N, K] to the values of a codebook or table, scaled by blocks along K.

    s = amax / max|value| of the codebook (1 for NF4), rounded to ``scale_format`` first; the codes are those of the
    values nearest to x / s, ties to the even code. A block of zeros has s = 0 (or the format's smallest scale) and the
    code nearest to 0. Of a format with several tables a block has the one with the least Σ (x - s·value)², s not
    rounded yet, the first of equal ones. ``group_size`` 0 is the whole row. Raises `HwgenError`.
    Source: QLoRA (NeurIPS'23), section 3: NF4 in blocks of 64. Its scales are FP32, and bitsandbytes multiplies by
    1 / amax and compares with midpoints in FP32, which parts from x / s only next to ties. Tables of a block: as RaZeR
    (arXiv 2501.04052) and BitMoD choose special values.
    """
    form = as_format(format)
    if not isinstance(form, CodebookFormat | TableFormat):
        raise HwgenError(f"codebook: format must be nf4 or another codebook, not {form.name}")
    scales = scale_format_of("codebook", scale_format)
    groups = Groups.cut("codebook", x, group_size)
    selector: npt.NDArray[np.uint8] | None = None
    if isinstance(form, TableFormat) and form.side_bits:
        selector, ideal = best_selector(groups, form, [_largest(table) for table in form.tables])
    else:
        ideal = groups.amax / max(form.max_value, -form.min_value)
    codes = scale_codes(scales, ideal)
    ratio: Floats = divide(groups.x, groups.spread(scales.decode(codes)))
    return QTensor(
        codes=form.encode(ratio, None if selector is None else groups.spread(selector)),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=codes,
        scale_format=scales,
        selector=selector,
    )


_MOST_TABLES = 256
_CODES = 16
_TOP = (1 << (LEARNED_BITS - 1)) - 1


def any4(x: npt.ArrayLike, group_size: int = 64, scale_format: Format | str = "fp16") -> QTensor:
    """Quantise a float matrix [N, K] to four bits with tables of its own, one a row; 256 of them at most.

    s = amax / 127 of a group, rounded to ``scale_format`` first. A row's table is the 16 integers of 8 bits, 0 among
    them, with the least Σ (x - s·nearest)² of the row: what k-means of x / s with weights s² would find at best; where
    rows are more than 256, neighbours share a table. Codes are those of the values nearest to x / s, the selector is
    the row's table. A group of zeros has s = 0 (or the format's smallest scale). ``group_size`` 0 is the whole row.
    Raises `HwgenError`.
    Source: any4 (arXiv 2507.04610), there k-means with values in BF16, a zero point, a table for every row, and weights
    s times the mean magnitude of activations, of which nothing is known here.
    """
    scales = scale_format_of("any4", scale_format)
    groups = Groups.cut("any4", x, group_size)
    codes = scale_codes(scales, groups.amax / _TOP)
    spread = groups.spread(scales.decode(codes))
    ratio = divide(groups.x, spread).clip(-_TOP, _TOP)
    rows = len(ratio)
    owner = np.arange(rows) if rows <= _MOST_TABLES else np.arange(rows) * _MOST_TABLES // rows
    weights = np.broadcast_to(spread, ratio.shape) ** 2
    tables = [best_table(ratio[own].ravel(), weights[own].ravel()) for own in _shares(owner)]
    # A power of two, and at least two.
    tables += tables[-1:] * ((1 << max(1, (len(tables) - 1).bit_length())) - len(tables))
    form = TableFormat(tables=tuple(tables), label="any4", learned=True)
    selector = np.broadcast_to(owner[:, None], codes.shape)
    return QTensor(
        codes=form.encode(ratio, owner[:, None]),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=codes,
        scale_format=scales,
        selector=selector.astype(np.uint8),
    )


def _shares(owner: npt.NDArray[np.int64]) -> list[npt.NDArray[np.bool_]]:
    """Which rows are those of each table."""
    return [owner == table for table in range(int(owner[-1]) + 1)]


def best_table(values: Floats, weights: Floats, size: int = _CODES, top: int = _TOP) -> tuple[float, ...]:
    """The ``size`` integers between ±``top``, 0 among them, with the least Σ weights·(value - nearest)², ascending.

    Values lie between ±``top``. Exactly: what values between two neighbours of a table cost follows from sums of values
    and of their squares up to the middle, and a table is a path from 0 to both sides, from each number to the next.
    """
    below, above = (
        _outward(sign * values[sign * values >= 0], weights[sign * values >= 0], size, top) for sign in (-1, 1)
    )
    first = int(np.argmin(below.least + above.least[::-1]))
    return tuple([-level for level in below.table(first)[::-1]] + above.table(size - 1 - first)[1:])


@dataclass(frozen=True)
class _Outward:
    """The best numbers beside 0 for values that are not negative."""

    least: Floats
    """What values cost with 0 and 0, 1, 2 … numbers above it."""
    last: list[int]
    """The largest of as many numbers."""
    before: list[npt.NDArray[np.int64]]
    """The number before each, where it is the first, second … above 0."""

    def table(self, count: int) -> list[float]:
        """0 and ``count`` numbers above it, ascending."""
        found = [self.last[count]]
        for ways in self.before[:count][::-1]:
            found.append(int(ways[found[-1]]))
        return [float(level) for level in found[::-1]]


def _outward(values: Floats, weights: Floats, size: int, top: int) -> _Outward:
    order = np.argsort(values)
    ordered, heavy = values[order], weights[order]
    # Sums of weight, value and square below every half of an integer, and of all.
    places = np.append(np.searchsorted(ordered, np.arange(2 * top + 1) / 2), len(ordered))
    weight, value, square = (np.append(0.0, np.cumsum(heavy * ordered**power))[places] for power in range(3))
    at = np.arange(top + 1)

    def cost(place: npt.NDArray[np.int64], level: npt.NDArray[np.int64]) -> Floats:
        """What all values below a place cost as ``level``."""
        found: Floats = square[place] - 2 * level * value[place] + level**2 * weight[place]
        return found

    # Of [above, below] values up to the middle go to the lower one, those behind it to the upper one.
    upper, lower = at[:, None], at[None, :]
    own, middle = cost(2 * at, at), upper + lower
    # cost(middle, lower) - cost(middle, upper)
    change = (upper - lower) * (2 * value[middle] - middle * weight[middle])
    step = np.where(upper > lower, change + own[:, None] - own[None, :], np.inf)
    rest = cost(np.full_like(at, -1), at) - own
    reached = np.where(at > 0, np.inf, 0.0)
    least, last, before = [rest[0]], [0], []
    for _ in range(size - 1):
        paths = reached + step
        before.append(paths.argmin(axis=1))
        reached = np.take_along_axis(paths, before[-1][:, None], axis=1)[:, 0]
        last.append(int(np.argmin(reached + rest)))
        least.append((reached + rest)[last[-1]])
    return _Outward(np.array(least), last, before)


def _largest(table: tuple[float, ...]) -> float:
    return max(abs(value) for value in table)
