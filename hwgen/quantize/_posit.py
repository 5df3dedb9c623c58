"""Posit quantiser: a scale that puts the largest magnitude where posits have many significant bits."""

from __future__ import annotations

import numbers

import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats import E8M0Format, Format, PositFormat, QTensor
from hwgen.quantize._groups import Groups, as_format, divide, scale_codes, scale_format_of

__all__ = ["default_anchor", "posit"]


def default_anchor(form: PositFormat, scale_format: Format) -> float:
    """Value that the largest magnitude of a group becomes, if the scale is exact.

    Posits are most precise around 1 and coarse at their ends, so that it is not maxpos. Beyond 2**2**es a bit of
    significand is lost, and that is the best power of two for scales with a mantissa: 43.3 dB signal to noise for
    posit8_0 at 2, 38.7 dB for posit8_1 at 4 (groups of 32 Gaussian values; a test measures it). A power-of-two scale
    rounds the largest magnitude up by up to a third, hence half of it there, but at least 2.
    """
    anchor = 2.0 ** (1 << form.es)
    if isinstance(scale_format, E8M0Format):
        anchor = max(anchor / 2, 2.0)
    return min(anchor, form.max_value)


def posit(
    x: npt.ArrayLike,
    format: Format | str,
    group_size: int = 0,
    scale_format: Format | str = "e8m0",
    anchor: float | None = None,
) -> QTensor:
    """Quantise a float matrix [N, K] to posits with a scale for each group.

    s = amax / anchor, rounded to ``scale_format`` first (E8M0 by default, which needs no multiplier); the codes are
    ``format.encode(x / s)``, so that only x = 0 becomes 0. ``anchor`` defaults to `default_anchor`. All-zero groups get
    s = 0 (or the format's smallest scale) and codes of zero.
    ``group_size`` 0 is one scale per row. The scaling is this project's, in float64; rounding is the posit standard's.
    Raises `HwgenError`.
    """
    form = as_format(format)
    if not isinstance(form, PositFormat):
        raise HwgenError(f"posit: format must be a posit such as posit8_0, not {form.name}")
    scales = scale_format_of("posit", scale_format)
    anchor = default_anchor(form, scales) if anchor is None else anchor
    if not isinstance(anchor, numbers.Real) or not 0 < anchor <= form.max_value:
        raise HwgenError(f"posit: anchor must be positive and at most maxpos ({form.max_value:g}), not {anchor!r}")
    groups = Groups.cut("posit", x, group_size)
    codes = scale_codes(scales, groups.amax / anchor)
    quotient = divide(groups.x, groups.spread(scales.decode(codes)))
    # A quotient beyond float64 is infinite, which would be NaR.
    return QTensor(
        codes=form.encode(quotient.clip(form.min_value, form.max_value)),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=codes,
        scale_format=scales,
    )
