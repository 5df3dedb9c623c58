"""Ternary quantiser: -1, 0 and 1 by the mean magnitude of a group."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError, suggest
from hwgen.formats import Format, IntFormat, QTensor, TernaryFormat
from hwgen.quantize._groups import Groups, as_format, divide, scale_codes, scale_format_of, to_words

__all__ = ["ternary"]

_RULES = ("absmean", "twn")
_THRESHOLD = 0.7
"""Threshold of rule twn as a part of mean|x| (arXiv 1605.04711, section 2.3, for Gaussian and uniform weights)."""


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
