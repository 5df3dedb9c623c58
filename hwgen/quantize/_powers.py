"""Quantiser to sums of powers of two: groups scaled to the largest one."""

from __future__ import annotations

import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats import Format, PowersFormat, QTensor
from hwgen.quantize._groups import Groups, as_format, divide, scale_codes, scale_format_of

__all__ = ["powers"]


def powers(
    x: npt.ArrayLike, format: Format | str = "powers2_6", group_size: int = 128, scale_format: Format | str = "fp16"
) -> QTensor:
    """Quantise a float matrix [N, K] to sums of powers of two, scaled by groups along K.

    s = amax / largest value of the format, rounded to ``scale_format`` first. Codes are those of the values nearest to
    x / s, of all that the format has, a tie to the one nearer to zero; a greedy choice of one term after the other is
    never nearer. A group of zeros has s = 0 (or the format's smallest scale) and codes of zero. ``group_size`` 0 is the
    whole row. Raises `HwgenError`.
    """
    form = as_format(format)
    if not isinstance(form, PowersFormat):
        raise HwgenError(f"powers: format must be powersT_S or apotT_S such as powers2_6, not {form.name}")
    scales = scale_format_of("powers", scale_format)
    groups = Groups.cut("powers", x, group_size)
    codes = scale_codes(scales, groups.amax / form.max_value)
    return QTensor(
        codes=form.encode(divide(groups.x, groups.spread(scales.decode(codes)))),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=codes,
        scale_format=scales,
    )
