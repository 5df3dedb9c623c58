"""Codebook quantiser: blocks scaled to the largest value of a table, NF4 by default; of several tables the best."""

from __future__ import annotations

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


_LEARNED_ROUNDS = 20
_MOST_TABLES = 256
_CODES = 16


def any4(x: npt.ArrayLike, group_size: int = 64, scale_format: Format | str = "fp16") -> QTensor:
    """Quantise a float matrix [N, K] to four bits with tables of its own, one a row; 256 of them at most.

    s = amax / 127 of a group, rounded to ``scale_format`` first. A row's table is 16 integers of 8 bits by k-means
    (Lloyd's algorithm in one dimension) of its x / s, from their quantiles on, then rounded; where rows are more than
    256, neighbours share a table. Codes are those of the values nearest to x / s, the selector is the row's table. A
    group of zeros has s = 0 (or the format's smallest scale); every table has 0. ``group_size`` 0 is the whole row.
    Raises `HwgenError`.
    Source: any4 (arXiv 2507.04610), there with values in BF16, a zero point, and weights of K by activations.
    """
    scales = scale_format_of("any4", scale_format)
    groups = Groups.cut("any4", x, group_size)
    top = (1 << (LEARNED_BITS - 1)) - 1
    codes = scale_codes(scales, groups.amax / top)
    ratio = divide(groups.x, groups.spread(scales.decode(codes))).clip(-top, top)
    rows = len(ratio)
    owner = np.arange(rows) if rows <= _MOST_TABLES else np.arange(rows) * _MOST_TABLES // rows
    tables = [_learned(ratio[owner == table].ravel()) for table in range(int(owner[-1]) + 1)]
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


def _learned(values: Floats) -> tuple[float, ...]:
    """Table of 16 integers, ascending, 0 among them, for values between ±127."""
    # Equal quantiles leave codes without values: they stay where they are.
    centres = np.quantile(values, (np.arange(_CODES) + 0.5) / _CODES)
    for _ in range(_LEARNED_ROUNDS):
        place = np.searchsorted((centres[1:] + centres[:-1]) / 2, values)
        count = np.bincount(place, minlength=_CODES)
        total = np.bincount(place, weights=values, minlength=_CODES)
        centres = np.where(count > 0, total / np.maximum(count, 1), centres)
    table = np.sort(np.rint(centres))
    table[np.argmin(np.abs(table))] = 0.0
    return tuple(table.tolist())


def _largest(table: tuple[float, ...]) -> float:
    return max(abs(value) for value in table)
