"""Quantiser to fourth roots of unity: a real layer as a complex one whose weights are ±1 and ±i times a scale."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats import Format, QTensor, RootsFormat
from hwgen.formats.base import Floats, Integers
from hwgen.quantize._groups import Groups, as_format, scale_codes, scale_format_of

__all__ = ["fourth_roots"]


def fourth_roots(
    x: npt.ArrayLike, format: Format | str = "roots4", group_size: int = 0, scale_format: Format | str = "fp16"
) -> QTensor:
    """Quantise a float matrix [N, K], K even, to fourth roots of unity: neighbouring inputs, and neighbouring outputs,
    are complex numbers.

    A block [[p, q], [r, s]] of two outputs and two inputs is U·x + W·conj(x) with U = (p + s + (r - q)i) / 2 and
    W = (p - s + (r + q)i) / 2, exactly. Each becomes the root nearest by phase: 1 from -π/4 on, i from π/4, -1 from
    3π/4, -i from -3π/4; 0 becomes 1. ``roots4`` leaves W out: what it is left with is the complex-linear layer nearest
    to the real one, exact for layers that are complex. A group's scale is the mean of max(|Re|, |Im|) of what it
    quantises, which has the least square error for these roots; two outputs share it. All-zero groups get s = 0 (or the
    format's smallest scale). A last output alone has one of zeros beside it. ``group_size`` is even, 0 is one scale per
    complex output. Raises `HwgenError`.
    Source: iFairy (arXiv 2508.05571) and Fairy2i (arXiv 2512.02901), without their training and its repeated residuals.
    They have one scale for ±1 and one for ±i, of the tensor, equal but for chance; with one there are two sums a cell.
    """
    form = as_format(format)
    if not isinstance(form, RootsFormat):
        raise HwgenError(f"fourth_roots: format must be roots4 or roots4_widely, not {form.name}")
    scales = scale_format_of("fourth_roots", scale_format)
    groups = Groups.cut("fourth_roots", x, group_size)
    n, k = groups.x.shape
    for what, count in (("K", k), ("group size", groups.size)):
        if count % form.elements:
            raise HwgenError(f"fourth_roots: {what} must be a multiple of {form.elements}, not {count}")
    blocks = np.pad(groups.x, ((0, n % 2), (0, 0))).reshape(-1, 2, k // 2, 2) / 2
    p, q, r, s = (blocks[:, out, :, into] for out in range(2) for into in range(2))
    parts = [(p + s, r - q), (p - s, r + q)][: form.roots]
    words = np.zeros((len(blocks), k // 2), np.int64)
    largest = np.zeros(words.shape)
    for place, (real, imaginary) in enumerate(parts):
        words |= _nearest(real, imaginary) << 2 * place
        largest += np.maximum(np.abs(real), np.abs(imaginary)) / form.roots
    means = Groups(largest, groups.size // 2, groups.by).mean
    own = words.astype(np.uint32)
    return QTensor(
        codes=np.stack([own, form.turned(own)], axis=1).reshape(-1, k // 2)[:n],
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=scale_codes(scales, np.repeat(means, 2, axis=0)[:n]),
        scale_format=scales,
    )


def _nearest(real: Floats, imaginary: Floats) -> Integers:
    """Exponents c of the roots i^c nearest by phase."""
    found = np.where((imaginary >= real) & (imaginary > -real), 1, 0)
    found = np.where((imaginary <= -real) & (imaginary > real), 2, found)
    found = np.where((imaginary <= real) & (imaginary < -real), 3, found)
    return found
