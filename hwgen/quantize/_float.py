"""Floating-point quantisers: scaled minifloats, and a plain cast."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwgen.formats import Format, QTensor, TernaryFormat
from hwgen.quantize._groups import Groups, as_format, check_element, quotient, scale_codes, scale_format_of
from hwgen.quantize._mean import ternary

__all__ = ["cast", "minifloat"]


def minifloat(
    x: npt.ArrayLike,
    format: Format | str,
    group_size: int = 0,
    scale_format: Format | str = "fp16",
    *,
    per_tensor: bool = False,
) -> QTensor:
    """Quantise a float matrix [N, K] to a scaled format with zero and negative values, such as fp8_e4m3.

    s = amax / format.max_value, rounded to ``scale_format`` first; the codes are ``format.encode(x / s)``, which
    saturates. All-zero groups get s = 0 (or the format's smallest scale) and codes of zero. ``group_size`` 0 is one
    scale per row. With scales in FP32 the division is FP32, as FP8 tensors are made by x / (amax / 448); Transformer
    Engine multiplies by 448 / amax instead, which may part from it next to ties. The format ternary takes its own
    rule, `hwgen.quantize.ternary`. Raises `HwgenError`.
    """
    form = as_format(format)
    if isinstance(form, TernaryFormat):
        return ternary(x, group_size, scale_format, format=form, per_tensor=per_tensor)
    check_element("minifloat", "format", form)
    scales = scale_format_of("minifloat", scale_format)
    groups = Groups.cut("minifloat", x, group_size, per_tensor)
    codes = scale_codes(scales, groups.amax / form.max_value)
    return QTensor(
        codes=form.encode(quotient(groups.x, groups.spread(scales.decode(codes)), scales)),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=codes,
        scale_format=scales,
    )


def cast(x: npt.ArrayLike, format: Format | str, scale_format: Format | str = "fp16", group_size: int = 0) -> QTensor:
    """Round a float matrix [N, K] to ``format`` as it is; the scale of every row or group is 1. Raises `HwgenError`."""
    form, scales = as_format(format), scale_format_of("cast", scale_format)
    groups = Groups.cut("cast", x, group_size)
    return QTensor(
        codes=form.encode(groups.x),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=scales.encode(np.ones_like(groups.amax)),
        scale_format=scales,
    )
