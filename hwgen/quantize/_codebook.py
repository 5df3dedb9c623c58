"""Codebook quantiser: blocks scaled to the largest value of a table, NF4 by default; of several tables the best."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats import CodebookFormat, Format, QTensor, TableFormat
from hwgen.formats.base import Floats
from hwgen.quantize._groups import Groups, as_format, best_selector, divide, scale_codes, scale_format_of

__all__ = ["codebook"]


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


def _largest(table: tuple[float, ...]) -> float:
    return max(abs(value) for value in table)
