"""Ternary quantisers: -1, 0 and 1 by the mean magnitude of a group, with one 0 of four, and two planes of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError, suggest
from hwgen.formats import Format, IntFormat, QTensor, SparseTernaryFormat, TernaryFormat, get
from hwgen.quantize._groups import Groups, as_format, divide, scale_codes, scale_format_of, to_words

__all__ = ["sparse_ternary", "ternary", "trit_planes"]

_RULES = ("absmean", "twn")
_THRESHOLD = 0.7
"""Threshold of rule twn as a part of mean|x| (arXiv 1605.04711, section 2.3, for Gaussian and uniform weights)."""
_ROUNDS = 5
"""Alternations of planes and their scale."""


def ternary(
    x: npt.ArrayLike,
    group_size: int = 0,
    scale_format: Format | str = "fp16",
    *,
    format: Format | str = "int2",
    rule: str = "absmean",
    per_tensor: bool = False,
) -> QTensor:
    """Quantise a float matrix [N, K] to -1, 0 and 1 with a scale for each group; rn is round to nearest, ties to even.

    - rule absmean: s = mean|x|, q = rn(x / s) within ±1. Source: BitNet b1.58 (arXiv 2402.17764), equations 1 to 3; its
      scale is ``per_tensor``, and its 1e-5 beside the mean is left out.
    - rule twn: with t = 0.7 · mean|x|, q = sign(x) where |x| > t and 0 elsewhere, s the mean of those |x|.
      Source: Ternary weight networks (arXiv 1605.04711), equations 5 and 6.

    Codes are those of the scale in float64, as the originals have them before they store it; ``scale_format`` rounds
    what is stored. All-zero groups get s = 0 (or the format's smallest scale) and codes of zero. ``format`` is int2,
    whose -2 is not used, or ternary: codes 3, 0 and 1 in both, two bits where log2(3) = 1.58 would do.
    ``group_size`` 0 is one scale per row, ``per_tensor`` one in all. Raises `HwgenError`.
    """
    form = as_format(format)
    if not isinstance(form, TernaryFormat) and form != IntFormat(code_bits=2):
        raise HwgenError(f"ternary: format must be int2 or ternary, not {form.name}")
    if rule not in _RULES:
        raise HwgenError(f"ternary: rule must be one of {', '.join(_RULES)}, not {rule!r}{suggest(rule, _RULES)}")
    scales = scale_format_of("ternary", scale_format)
    groups = Groups.cut("ternary", x, group_size, per_tensor)
    ideal = groups.mean
    if rule == "absmean":
        ints = np.clip(np.rint(divide(groups.x, groups.spread(ideal))), -1, 1)
    else:
        kept = divide(np.abs(groups.x), groups.spread(ideal)) > _THRESHOLD
        ints = np.where(kept, np.sign(groups.x), 0.0)
        ideal = groups.mean_of(kept)
    return QTensor(
        codes=to_words(ints, form.code_bits),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=scale_codes(scales, ideal),
        scale_format=scales,
    )


def sparse_ternary(x: npt.ArrayLike, group_size: int = 0, scale_format: Format | str = "fp16") -> QTensor:
    """Quantise a float matrix [N, K], K a multiple of 4, to words of four of which one is 0 and the others -1 or 1.

    Of four neighbours the one of least magnitude is 0, the first of several, the others keep their sign (0 that of 1);
    the scale of a group is the mean magnitude of those, which has the least square error. All-zero groups get s = 0 (or
    the format's smallest scale). ``group_size`` 0 is one scale per row; others are multiples of 4. Raises `HwgenError`.
    Source: Sherry (arXiv 2601.07892), without its training.
    """
    form, scales = SparseTernaryFormat(), scale_format_of("sparse_ternary", scale_format)
    groups = Groups.cut("sparse_ternary", x, group_size)
    for what, count in (("K", groups.x.shape[1]), ("group size", groups.size)):
        if count % form.elements:
            raise HwgenError(f"sparse_ternary: {what} must be a multiple of {form.elements}, not {count}")
    words = form.encode(groups.x.reshape(len(groups.x), -1, form.elements))
    kept = form.decode(words).reshape(groups.x.shape) != 0
    return QTensor(
        codes=words,
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=scale_codes(scales, groups.mean_of(kept)),
        scale_format=scales,
    )


def trit_planes(x: npt.ArrayLike, group_size: int = 0, scale_format: Format | str = "fp16") -> QTensor:
    """Quantise a float matrix [N, K] to sums of two ternary planes whose scales s and r·s belong to groups.

    For each ratio r of the format ``trit_planes``: from s = amax / (1 + r) on, five times values nearest to x / s and
    the s of least square error for them. The ratio of least Σ (x - s·value)² is the group's, the first of several; its
    s is rounded to ``scale_format``, and codes are those nearest to x divided by that. All-zero groups get s = 0 (or
    the format's smallest scale) and codes of zero. ``group_size`` 0 is the whole row. Raises `HwgenError`.
    Source: PTQTP (arXiv 2509.16989), which by turns fits planes and two free scales; the ratios are ours.
    """
    form, scales = get("trit_planes"), scale_format_of("trit_planes", scale_format)
    groups = Groups.cut("trit_planes", x, group_size)
    # In a unit near the largest magnitude: no square leaves float64.
    unit = np.frexp(groups.amax)[1]
    inside = np.ldexp(groups.x, -groups.spread(unit))
    errors, found = [], []
    for side in range(1 << form.side_bits):
        scale = np.ldexp(groups.amax, -unit) / float(np.max(form.decode(form.codes(), side)))
        for _ in range(_ROUNDS):
            values = form.decode(form.encode(divide(inside, groups.spread(scale)), side), side)
            scale = divide(groups.reduce(np.add, inside * values), groups.reduce(np.add, values * values))
        values = form.decode(form.encode(divide(inside, groups.spread(scale)), side), side)
        errors.append(groups.reduce(np.add, (inside - groups.spread(scale) * values) ** 2))
        found.append(scale)
    selector = np.argmin(errors, axis=0)
    ideal = np.ldexp(np.take_along_axis(np.stack(found), selector[None], axis=0)[0], unit)
    codes = scale_codes(scales, ideal)
    ratio = divide(groups.x, groups.spread(scales.decode(codes)))
    return QTensor(
        codes=form.encode(ratio, groups.spread(selector)),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=codes,
        scale_format=scales,
        selector=selector.astype(np.uint8),
    )
