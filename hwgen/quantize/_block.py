"""Block quantisers: OCP Microscaling, the two-level scales of NVFP4 and NVINT4, the three levels of HiF4."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats import E8M0Format, Format, Hif4Format, Hif4ScaleFormat, IntFormat, QTensor, get
from hwgen.formats.base import Floats
from hwgen.quantize._groups import Groups, as_format, check_element, divide, scale_codes

__all__ = ["hif4", "mx", "nv"]

_RULES = ("floor", "ceil")


def mx(x: npt.ArrayLike, element_format: Format | str, block: int = 32, rule: str = "floor") -> QTensor:
    """Quantise a float matrix [N, K] to blocks along K with an E8M0 scale 2**e.

    - rule floor (OCP Microscaling v1.0, section 6.3): e = floor(log2(amax)) - floor(log2(max)) with the largest element
      value max; block values above max · 2**e saturate.
    - rule ceil: the smallest e with amax <= max · 2**e; nothing saturates.

    e is computed on integers and limited to -127 .. 127. All-zero blocks get e = -127. Elements are x / 2**e, rounded
    to nearest even and saturated; integer elements stay within ±max (MXINT8 never uses its -2).
    A ``block`` of 0 is the whole row. Raises `HwgenError`, for inf and NaN too.
    """
    form = as_format(element_format)
    check_element("mx", "element_format", form)
    if rule not in _RULES:
        raise HwgenError(f"mx: rule must be one of {', '.join(_RULES)}, not {rule!r}")
    groups = Groups.cut("mx", x, block)
    # frexp: amax = fraction * 2**exponent with 0.5 <= fraction < 1, and likewise for the largest element.
    fraction, exponent = np.frexp(groups.amax)
    top_fraction, top_exponent = math.frexp(form.max_value)
    shared = exponent.astype(np.int64) - top_exponent
    if rule == "ceil":
        shared += fraction > top_fraction
    shared = np.where(fraction > 0, np.clip(shared, -127, 127), -127)
    elements = np.ldexp(groups.x, -groups.spread(shared))
    if isinstance(form, IntFormat):
        elements = np.clip(elements, -form.max_value, form.max_value)
    return QTensor(
        codes=form.encode(elements),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=(shared + 127).astype(np.uint32),
        scale_format=E8M0Format(),
    )


def nv(x: npt.ArrayLike, element_format: Format | str = "fp4_e2m1", block: int = 16) -> QTensor:
    """Quantise a float matrix [N, K] to blocks along K with an E4M3 scale below one FP32 scale: NVFP4 and NVINT4.

    With the largest element value max (6 for E2M1, 7 for NVINT4):

    1. The tensor's scale outer = max|x| / (max · 448), rounded to FP32.
    2. A block's scale s = amax / max / outer, rounded to E4M3 (sign 0), at least 2**-9 unless the block is all zero.
    3. Elements x / (s · outer) with the scales as rounded, to nearest even and saturated; integers within ±max.

    The quotients are float64: for x that are float32 their rounding is that of the exact quotients. A ``block`` of 0 is
    the whole row. Raises `HwgenError`, for inf and NaN too.
    Sources: NVFP4 as in cuDNN's block scaling; NVINT4 of arXiv 2510.25602, in the same container.
    """
    form = as_format(element_format)
    check_element("nv", "element_format", form)
    groups, scales, outers = Groups.cut("nv", x, block), get("fp8_e4m3"), get("fp32")
    ideal = np.array([[groups.amax.max() / (form.max_value * scales.max_value)]])
    outer = outers.decode(scale_codes(outers, ideal))
    codes = scale_codes(scales, divide(groups.amax, form.max_value * outer))
    # Products of 24 and 4 bits: exact.
    elements = divide(groups.x, groups.spread(scales.decode(codes) * outer))
    if isinstance(form, IntFormat):
        elements = np.clip(elements, -form.max_value, form.max_value)
    return QTensor(
        codes=form.encode(elements),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=codes,
        scale_format=scales,
        outer=outer.astype(np.float32),
    )


def hif4(x: npt.ArrayLike, block: int = 64) -> QTensor:
    """Quantise a float matrix [N, K] to HiF4 blocks along K.

    With bf() rounding to bfloat16 and amax, max8 and max4 the largest magnitudes of a block and of its 8s and 4s:

    1. Scale s = bf(amax / 7), rounded to E6M2 (ties to the even code, limited to 2**-48 .. 1.5 · 2**15); r = bf(1 / s).
    2. Level-2 bits b2 = [max8 · r >= 4], level-3 bits b3 = [max4 · r / 2**b2 >= 2].
    3. Magnitudes min(floor(4 · |x| · r / 2**(b2 + b3) + 1/2), 7) quarters: a tie goes away from zero.

    The products are exact for x that are float32. K must be a multiple of 4, ``block`` one of 8; 0 is the whole row.
    The last block, and its last eight, may be shorter. Raises `HwgenError`, for inf and NaN too.
    Source: HiFloat4 (arXiv 2602.11287); published kernels multiply by bf(1/7) instead of dividing by 7.
    """
    form, scales, bfloat = Hif4Format(), Hif4ScaleFormat(), get("bf16")
    groups = Groups.cut("hif4", x, block)
    if groups.x.shape[1] % form.elements:
        raise HwgenError(f"hif4: x must have a multiple of {form.elements} columns, not {groups.x.shape[1]}")
    if groups.by == "group" and block % 8:
        raise HwgenError(f"hif4: block must be a multiple of 8, or 0 for the whole row, not {block}")

    def rounded(values: Floats) -> Floats:
        return bfloat.decode(bfloat.encode(values))

    codes = scale_codes(scales, rounded(groups.amax / 7))
    units = np.abs(groups.x) * groups.spread(rounded(1 / scales.decode(codes)))

    def peaks(length: int) -> Floats:
        return np.asarray(np.maximum.reduceat(units, np.arange(0, units.shape[1], length), axis=1))

    fours = peaks(4)
    level_2 = (peaks(8) >= 4)[:, np.arange(fours.shape[1]) // 2]
    level_3 = np.ldexp(fours, -level_2.astype(np.int64)) >= 2
    shape = (*fours.shape, form.elements)
    quarters = np.ldexp(units.reshape(shape), 2 - (level_2.astype(np.int64) + level_3)[..., None])
    # Adding one half could carry what lies just below it.
    whole = np.floor(quarters)
    whole += quarters - whole >= 0.5
    return QTensor(
        codes=form.pack(np.signbit(groups.x).reshape(shape), np.minimum(whole, 7), level_2, level_3),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=codes,
        scale_format=scales,
    )
