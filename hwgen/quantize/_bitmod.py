"""BitMoD quantiser: a special value per group, and integer scales of groups below one scale of the channel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats import Format, IntFormat, QTensor, get
from hwgen.formats.base import Floats, Words
from hwgen.formats.bitmod import BitmodFormat
from hwgen.quantize._groups import (
    Groups,
    as_format,
    best_selector,
    divide,
    float32_scales,
    quotient,
    scale_codes,
    scale_format_of,
    to_words,
)

__all__ = ["bitmod", "per_token"]


def bitmod(
    x: npt.ArrayLike,
    format: Format | str = "bitmod_fp4",
    group_size: int = 128,
    scale_format: Format | str = "int8",
    outer_format: Format | str = "fp32",
) -> QTensor:
    """Quantise a float matrix [N, K] to BitMoD's FP3 or FP4, or to symmetric integers with the same scales.

    In this order, in float64; rn is round to nearest, ties to even:

    1. Scale of a group. FP: for each of the four special values s = amax / L with the largest magnitude L of the basic
       values and that one, and codes nearest to x / s (a tie to the lower value); the special value with the least
       Σ (x - s·value)² is the group's, the first of several. Integers of B bits: s = amax / (2**(B - 1) - 1).
    2. Second level, for a ``scale_format`` intB: one scale per channel, outer = max(s) / (2**(B - 1) - 1) rounded to
       ``outer_format``, and the group's scale code rn(s / outer), from 1 up to 2**(B - 1) - 1. With a floating-point
       ``scale_format`` s is rounded to it and there is no second level.
    3. Codes anew, nearest to x divided by the scale as rounded.

    A group of zeros has scale 0, codes of zero and selector 0. ``group_size`` 0 is the whole row. The paper gives no
    precision and its code works in that of the weights, hence float64. Raises `HwgenError`.
    Source: BitMoD (HPCA'25), Algorithm 1 and Table V; second level as in VS-Quant (MLSys'21).
    """
    form = as_format(format)
    whole = isinstance(form, IntFormat) and form.twos_complement and not form.fraction_bits
    if not isinstance(form, BitmodFormat) and not (whole and 2 <= form.code_bits <= 8):
        raise HwgenError(f"bitmod: format must be bitmod_fp3, bitmod_fp4 or int2 to int8, not {form.name}")
    groups = Groups.cut("bitmod", x, group_size)
    selector: npt.NDArray[np.uint8] | None = None
    if isinstance(form, BitmodFormat):
        selector, ideal = best_selector(groups, form, [form.largest(side) for side in range(len(form.specials))])
    else:
        ideal = groups.amax / form.max_value
    scales, codes, outer = _two_levels(as_format(scale_format), outer_format, ideal)
    # Products of 24 and 8 bits: exact.
    effective = scales.decode(codes) * (1.0 if outer is None else outer)
    ratio = divide(groups.x, groups.spread(effective))
    return QTensor(
        codes=_nearest(form, ratio, None if selector is None else groups.spread(selector)),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=codes,
        scale_format=scales,
        selector=selector,
        outer=outer,
    )


def per_token(x: npt.ArrayLike, format: Format | str, scale_format: Format | str = "bf16") -> QTensor:
    """Quantise activations [tokens, K] to symmetric integers whose scale, one a token, is the second-level one.

    outer = amax / qmax and x / outer in FP32, as INT8 activations are made per token; codes rn(x / outer) within ±qmax.
    The codes of the scales are those of 1.
    Raises `HwgenError`.
    """
    form, scales = as_format(format), scale_format_of("per_token", scale_format)
    if not isinstance(form, IntFormat) or not form.twos_complement or form.fraction_bits:
        raise HwgenError(f"per_token: format must be intN, not {form.name}")
    groups = Groups.cut("per_token", x, 0)
    outer = float32_scales(get("fp32"), groups.amax / form.max_value)
    return QTensor(
        codes=_nearest(form, quotient(groups.x, outer.astype(np.float64), get("fp32")), None),
        format=form,
        group_size=groups.size,
        granularity="channel",
        scale_codes=scales.encode(np.ones_like(outer)),
        scale_format=scales,
        outer=outer,
    )


def _nearest(form: Format, ratio: Floats, side: npt.NDArray[np.uint8] | None) -> Words:
    """Codes nearest to ``ratio``; integers stay within ±max."""
    if side is not None:
        return form.encode(ratio, side)
    return to_words(np.clip(np.rint(ratio), -form.max_value, form.max_value), form.code_bits)


def _two_levels(
    scales: Format, outer_format: Format | str, ideal: Floats
) -> tuple[Format, Words, npt.NDArray[np.float32] | None]:
    """Format and codes of the groups' scales [N, G], and the channels' scales [N, 1], if there are any."""
    if not isinstance(scales, IntFormat):
        return scales, scale_codes(scale_format_of("bitmod", scales), ideal), None
    if not scales.twos_complement or scales.fraction_bits or not 2 <= scales.code_bits <= 8:
        raise HwgenError(
            f"bitmod: scale_format must be int2 to int8, or floating point such as fp16, not {scales.name}"
        )
    top = scales.max_value
    outer = float32_scales(scale_format_of("bitmod", outer_format), ideal.max(axis=1, keepdims=True) / top)
    levels = np.clip(np.rint(divide(ideal, outer.astype(np.float64))), 1, top)
    return scales, np.where(ideal > 0, levels, 0).astype(np.uint32), outer
