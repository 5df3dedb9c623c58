"""Codebook quantiser: blocks scaled to the largest value of a table, NF4 by default."""

from __future__ import annotations

import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats import CodebookFormat, Format, QTensor
from hwgen.quantize._groups import Groups, as_format, divide, scale_codes, scale_format_of

__all__ = ["codebook"]


def codebook(
    x: npt.ArrayLike, format: Format | str = "nf4", group_size: int = 64, scale_format: Format | str = "fp16"
) -> QTensor:
    """Quantise a float matrix [N, K] to the values of a codebook, scaled by blocks along K.

    s = amax / max|value| of the codebook (1 for NF4), rounded to ``scale_format`` first; the codes are those of the
    values nearest to x / s, ties to the even code. A block of zeros has s = 0 (or the format's smallest scale) and the
    code nearest to 0. ``group_size`` 0 is the whole row. Raises `HwgenError`.
    Source: QLoRA (NeurIPS'23), section 3: NF4 in blocks of 64. Its scales are FP32, and bitsandbytes multiplies by
    1 / amax and compares with midpoints in FP32, which parts from x / s only next to ties.
    """
    form = as_format(format)
    if not isinstance(form, CodebookFormat):
        raise HwgenError(f"codebook: format must be nf4 or another codebook, not {form.name}")
    scales = scale_format_of("codebook", scale_format)
    groups = Groups.cut("codebook", x, group_size)
    codes = scale_codes(scales, groups.amax / max(form.max_value, -form.min_value))
    return QTensor(
        codes=form.encode(divide(groups.x, groups.spread(scales.decode(codes)))),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=codes,
        scale_format=scales,
    )
