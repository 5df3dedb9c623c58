"""Block quantiser of OCP Microscaling: elements with a shared power-of-two scale."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats import E8M0Format, Format, IntFormat, QTensor
from hwgen.quantize._groups import Groups, as_format, check_element

__all__ = ["mx"]

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
