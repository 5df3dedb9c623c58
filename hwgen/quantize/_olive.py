"""OliVe quantiser: outliers in place of neighbours, and for each group the scale and type with the least error."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats import Format, QTensor
from hwgen.formats.olive import OLIVE_TYPES, OliveFormat
from hwgen.quantize._ant import Singles, distances, level_table, searched, squared_errors
from hwgen.quantize._groups import Groups, as_format, scale_codes, scale_format_of

__all__ = ["olive"]

_FACTORS = (1.0, 0.85, 0.7, 0.55, 0.4)
"""Ends of the normal values that are tried, over three standard deviations."""


def olive(
    x: npt.ArrayLike,
    format: Format | str = "olive4",
    group_size: int = 128,
    scale_format: Format | str = "fp16",
) -> QTensor:
    """Quantise a float matrix [N, K] to OliVe's outlier-victim pairs, K and ``group_size`` even.

    The end of a group's normal values is t = min(amax, max |μ ± 3σ|) with its mean and standard deviation. For every
    type, in the order of selectors, and every factor f of 1, 0.85 … 0.4: s = f·t / L with the type's largest normal
    value L (7 or 16), rounded to ``scale_format``; pairs of x / s as the format encodes them: normal, or an outlier
    beside a victim that becomes 0, whichever has the smaller error. The first of those with the least Σ (x − s·value)²,
    compared in FP32, is the group's type and scale. A group of zeros has type 0 and codes of zero. ``group_size`` 0 is
    the whole row. Raises `HwgenError`.
    Source: OliVe (ISCA'23): 3σ as the start, then the least square error; the five factors are ours, and so is that a
    pair without room for two outliers may keep both as normal ones.
    """
    form = as_format(format)
    if not isinstance(form, OliveFormat):
        raise HwgenError(f"olive: format must be olive4, not {form.name}")
    scales = scale_format_of("olive", scale_format)
    groups = Groups.cut("olive", x, group_size)
    if groups.x.shape[1] % 2 or groups.size % 2:
        raise HwgenError(
            f"olive: K and group size must be even, not {groups.x.shape[1]} and {groups.size}; pairs lie along K"
        )
    end = _three_sigma(groups)
    tried = [(side, factor) for side in range(len(OLIVE_TYPES)) for factor in _FACTORS]
    words = [scale_codes(scales, factor * (end / form.normals(side)[-1])) for side, factor in tried]
    tables = [(level_table(form.normals(side)), level_table(form.outliers(side))) for side, _ in tried]

    def squares(index: int, ratio: Singles) -> Singles:
        near, far = (distances(ratio, table) ** 2 for table in tables[index])
        lost = ratio * ratio
        # Both normal, or one an outlier and the other lost.
        pairs = near[..., 0::2] + near[..., 1::2]
        np.minimum(pairs, far[..., 0::2] + lost[..., 1::2], out=pairs)
        np.minimum(pairs, far[..., 1::2] + lost[..., 0::2], out=pairs)
        total: Singles = pairs.sum(axis=-1)
        return total

    errors = squared_errors(groups, [scales.decode(one) for one in words], squares)
    best = np.argmin(errors, axis=0)
    side = np.array([side for side, _ in tried])[best]
    chosen = np.take_along_axis(np.stack(words), best[None], axis=0)[0]
    return searched(groups, form, chosen, scales, side, np.full(side.shape, form.max_value))


def _three_sigma(groups: Groups) -> npt.NDArray[np.float64]:
    """Largest magnitude within three standard deviations of the mean of each group, [N, G]."""
    amax = groups.amax
    unit = np.frexp(amax)[1]
    x = np.ldexp(groups.x, -groups.spread(unit))
    count = groups.reduce(np.add, np.ones_like(groups.x[:1]))
    mean = groups.reduce(np.add, x) / count
    deviation = np.sqrt(groups.reduce(np.add, (x - groups.spread(mean)) ** 2) / count)
    end: npt.NDArray[np.float64] = np.minimum(np.abs(mean) + 3 * deviation, np.ldexp(amax, -unit))
    return np.ldexp(end, unit).astype(np.float64)
