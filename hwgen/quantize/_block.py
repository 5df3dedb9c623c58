"""Block quantisers: OCP Microscaling, the two-level scales of NVFP4 and NVINT4, the three levels of HiF4, and blocks of
a user's own below floating-point scales.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError, suggest
from hwgen.formats import E8M0Format, Format, Hif4Format, Hif4ScaleFormat, IntFormat, QTensor, get
from hwgen.quantize._groups import (
    Groups,
    Singles,
    as_format,
    check_element,
    divide,
    scale_codes,
    scale_format_of,
    single,
)

__all__ = ["NV_RULES", "hif4", "mx", "nv", "scaled_blocks"]

_RULES = ("floor", "ceil")
NV_RULES = ("division", "modelopt", "transformer_engine")
"""Orders of operations by which a block scale of NVFP4 is computed."""
_BLOCK_RULES = ("nearest", "ceil")
_LARGEST, _SMALLEST = np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal


def mx(x: npt.ArrayLike, element_format: Format | str, block: int = 32, rule: str = "floor") -> QTensor:
    """Quantise a float matrix [N, K] to blocks along K with an E8M0 scale 2**e.

    - rule floor (OCP Microscaling v1.0, section 6.3): e = floor(log2(amax)) - floor(log2(max)) with the largest element
      value max; block values above max · 2**e saturate.
    - rule ceil: the smallest e with amax <= max · 2**e; nothing saturates.

    e is computed on integers, never from a rounded logarithm or quotient, and limited to -127 .. 127. All-zero blocks
    get e = -127. Elements are x / 2**e, rounded to nearest even and saturated; integer elements stay within ±max
    (MXINT8 never uses its -2).
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


def scaled_blocks(
    x: npt.ArrayLike,
    element_format: Format | str,
    block: int,
    scale_format: Format | str,
    rule: str = "nearest",
) -> QTensor:
    """Quantise a float matrix [N, K] to blocks along K with a floating-point scale.

    With the largest element value max and the block's largest magnitude amax, the scale s is

    - rule nearest: the one nearest to amax / max, ties to the even code; values above max · s saturate;
    - rule ceil: the smallest with amax <= max · s; nothing saturates below the largest scale.

    amax / max and x / s are in float64; s is finite and, unless the block is all zero, positive. Elements are x / s to
    nearest even and saturated; integers stay within ±max. A ``block`` of 0 is the whole row. Raises `HwgenError`, for
    inf and NaN too.
    """
    form, scales = as_format(element_format), scale_format_of("scaled_blocks", scale_format)
    check_element("scaled_blocks", "element_format", form)
    if rule not in _BLOCK_RULES:
        raise HwgenError(f"scaled_blocks: rule must be one of {', '.join(_BLOCK_RULES)}, not {rule!r}")
    groups = Groups.cut("scaled_blocks", x, block)
    codes = scale_codes(scales, groups.amax / form.max_value)
    if rule == "ceil":
        # Products of so few bits are exact.
        short = groups.amax > form.max_value * scales.decode(codes)
        codes = codes + (short & (scales.decode(codes) < scales.max_value)).astype(np.uint32)
    elements = divide(groups.x, groups.spread(scales.decode(codes)))
    if isinstance(form, IntFormat):
        elements = np.clip(elements, -form.max_value, form.max_value)
    return QTensor(
        codes=form.encode(elements),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=codes,
        scale_format=scales,
    )


def nv(
    x: npt.ArrayLike,
    element_format: Format | str = "fp4_e2m1",
    block: int = 16,
    rule: str = "division",
    scale_format: Format | str = "fp8_e4m3",
) -> QTensor:
    """Quantise a float matrix [N, K] to blocks along K with an E4M3 scale below one FP32 scale: NVFP4 and NVINT4.

    All arithmetic is FP32, as the originals have it, each operation rounded to nearest even; x is rounded first. With
    the largest element value max (6 for E2M1, 7 for NVINT4), its product with 448 (or with the largest value of another
    ``scale_format``, whose smallest takes the place of 2**-9 below) and the block's largest magnitude amax:

    1. The tensor's scale outer = max|x| / (max · 448).
    2. A block's scale, rounded from FP32 to E4M3 (sign 0, ties to the even code):

       - rule division: s = (amax / max) / outer, the definition as the documentation of cuDNN and FlashInfer reads.
       - rule modelopt: s = amax / (max · outer), as in TensorRT Model Optimizer.
       - rule transformer_engine: s = (amax / max) · e with e = (max · 448) / max|x|, and outer = 1 / e in step 1, as in
         Transformer Engine and arXiv 2509.25149, appendix C.
    3. Elements x / (s · outer), or with rule transformer_engine x · (1 / (s · outer)), to nearest even and saturated;
       integers within ±max.

    The rules part only next to ties: in some of 10,000 blocks whose values have 8 significant bits, in none of 100,000
    whose values have 24 (a test counts them). Unlike the originals, scales of blocks that are not all zero are at least
    2**-9, and outer 2**-149: zero would lose the block; and values beyond FP32 saturate.
    A ``block`` of 0 is the whole row. Raises `HwgenError`, for inf and NaN too.
    Sources: as named above; NVINT4 of arXiv 2510.25602, in the same container.
    """
    form = as_format(element_format)
    check_element("nv", "element_format", form)
    if rule not in NV_RULES:
        raise HwgenError(f"nv: rule must be one of {', '.join(NV_RULES)}, not {rule!r}{suggest(rule, NV_RULES)}")
    groups, scales = Groups.cut("nv", x, block), scale_format_of("nv", scale_format)
    values, top = single(groups.x), np.float32(form.max_value)
    amax = single(groups.amax)
    with np.errstate(all="ignore"):
        limit = top * np.float32(scales.max_value)
        if not np.isfinite(limit):
            raise HwgenError(f"nv: element_format must have a largest value far within FP32, which {form.name} has not")
        if rule == "transformer_engine":
            encode = np.minimum(limit / amax.max(), _LARGEST) if amax.any() else np.float32(1)
            outer = np.float32(1) / encode
            ideal = np.minimum(amax / top * encode, _LARGEST)
        else:
            outer = np.maximum(amax.max() / limit, _SMALLEST * bool(amax.any()))
            ideal = amax / top / outer if rule == "division" else amax / (top * outer)
    codes = scale_codes(scales, np.where(amax > 0, np.maximum(ideal, _SMALLEST), 0.0).astype(np.float64))
    factor = groups.spread(single(scales.decode(codes)) * outer)
    elements = np.zeros_like(values)
    with np.errstate(all="ignore"):
        if rule == "transformer_engine":
            np.multiply(values, np.minimum(np.float32(1) / factor, _LARGEST), out=elements, where=factor > 0)
        else:
            np.divide(values, factor, out=elements, where=factor > 0)
    if isinstance(form, IntFormat):
        elements = np.clip(elements, -top, top)
    return QTensor(
        codes=form.encode(elements),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=codes,
        scale_format=scales,
        outer=np.array([[outer]], dtype=np.float32),
    )


def hif4(x: npt.ArrayLike, block: int = 64) -> QTensor:
    """Quantise a float matrix [N, K] to HiF4 blocks along K.

    As the authors' code does it on FP32 values, in their order: each operation is rounded to FP32 (x first), bf()
    rounds further to bfloat16, and amax, max8 and max4 are the largest magnitudes of a block and of its 8s and 4s.

    1. Scale s = bf(amax · bf(1/7)), limited to 2**-48 .. 1.5 · 2**15 and rounded to E6M2, ties to the even code;
       r = bf(1 / s). bf(1/7) = 73/512 is 0.2 % below 1/7, so that one scale in a hundred is not that of amax / 7.
    2. Level-2 bits b2 = [max8 · r >= 4], level-3 bits b3 = [max4 · r / 2**b2 >= 2].
    3. Magnitudes min(floor(4 · |x| · r / 2**(b2 + b3) + 1/2), 7) quarters: a tie goes away from zero.

    Values beyond FP32 saturate. K must be a multiple of 4, ``block`` one of 8; 0 is the whole row.
    The last block, and its last eight, may be shorter. Raises `HwgenError`, for inf and NaN too.
    Source: HiFloat4 (arXiv 2602.11287) and its authors' quantiser in Python.
    """
    form, scales, bfloat = Hif4Format(), Hif4ScaleFormat(), get("bf16")
    groups = Groups.cut("hif4", x, block)
    if groups.x.shape[1] % form.elements:
        raise HwgenError(f"hif4: x must have a multiple of {form.elements} columns, not {groups.x.shape[1]}")
    if groups.by == "group" and groups.size % 8:
        raise HwgenError(f"hif4: block must be a multiple of 8, or 0 for the whole row, not {groups.size}")

    def rounded(values: Singles) -> Singles:
        return single(bfloat.decode(bfloat.encode(values)))

    with np.errstate(under="ignore"):
        seventh = rounded(np.array(1, np.float32) / np.float32(7))
        codes = scale_codes(scales, rounded(single(groups.amax) * seventh).astype(np.float64))
        inverse = rounded(np.float32(1) / single(scales.decode(codes)))
        with np.errstate(over="ignore"):
            units = np.abs(single(groups.x)) * groups.spread(inverse)

    def peaks(length: int) -> Singles:
        return np.asarray(np.maximum.reduceat(units, np.arange(0, units.shape[1], length), axis=1))

    fours = peaks(4)
    level_2 = (peaks(8) >= 4)[:, np.arange(fours.shape[1]) // 2]
    level_3 = np.ldexp(fours, -level_2.astype(np.int32)) >= 2
    shape = (*fours.shape, form.elements)
    quarters = np.ldexp(units.reshape(shape), 2 - (level_2.astype(np.int32) + level_3)[..., None])
    whole = np.floor(quarters + np.float32(0.5))
    return QTensor(
        codes=form.pack(np.signbit(groups.x).reshape(shape), np.minimum(whole, 7), level_2, level_3),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=codes,
        scale_format=scales,
    )
