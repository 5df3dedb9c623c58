"""Two-level quantiser: int8 of each channel, quantised again to a few bits with an integer scale for each group."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError, suggest
from hwgen.formats import Format, IntFormat, QTensor
from hwgen.formats.base import Floats, check_range
from hwgen.quantize._groups import Groups, divide, float32_scales, scale_format_of, to_words

__all__ = ["two_level", "two_level_limit"]

_SCHEMES = ("asymmetric", "symmetric")
_INT8 = 127


def two_level_limit(bits: int, scheme: str) -> int:
    """Largest magnitude of the first level for which the second stays within -127 .. 127.

    Asymmetric: rounding may take a value past the end of its group by half a scale, which is about
    2·limit / (2**bits - 1): floor(127 · (2**bits - 1) / 2**bits), 119 for 4 bits. Symmetric: the largest multiple of
    2**(bits - 1) - 1, which the codes then end at, 126 for 4 bits. Raises `HwgenError` for what `two_level` refuses.
    """
    _check_scheme(scheme)
    bits = check_range("two_level", "bits", bits, 2, 8)
    if scheme == "symmetric":
        top = (1 << (bits - 1)) - 1
        return _INT8 // top * top
    return (_INT8 * ((1 << bits) - 1)) >> bits


def two_level(
    x: npt.ArrayLike,
    bits: int,
    group_size: int = 128,
    scheme: str = "asymmetric",
    outer_format: Format | str = "fp16",
) -> QTensor:
    """Quantise a float matrix [N, K] to integers of ``bits`` bits (2 to 8) below two scales: x ≈ outer · s1 · (q - z).

    rn is round to nearest, ties to even. A channel comes first:

    - outer = amax / limit with `two_level_limit`, rounded to ``outer_format``; w = rn(x / outer) within ±limit.

    Then each group, on the integers w alone, with an integer scale s1 from 1 to 127:

    - asymmetric: top = 2**bits - 1, lo = min(w, 0), hi = max(w, 0), r = (hi - lo) / top; z = rn(-lo / s1) and
      q = rn(w / s1) + z, both within 0 .. top.
    - symmetric: top = 2**(bits - 1) - 1, r = max|w| / top, q = rn(w / s1) within ±top, no zero point.
    - s1 is floor(r) or ceil(r), at least 1: the one with the smaller Σ (w - s1·(q - z))² of the group, the smaller one
      of two equals. (Rounding r, as QServe does for 4 bits, cuts off up to half of a group where s1 is small.)

    s1·(q - z) is an int8, which is what multiplies activations. Scale codes of the result are s1 (uint8), ``outer``
    is one a channel, 0 for a channel of zeros. ``group_size`` 0 is the whole row. Raises `HwgenError`.
    Source: QServe (MLSys'25, arXiv 2405.04532), progressive group quantisation; its limit of 119 for 4 bits. The
    second level is integers, and exact; the first is float64, where QServe has the weights' FP16.
    """
    _check_scheme(scheme)
    bits = check_range("two_level", "bits", bits, 2, 8)
    outer_form = scale_format_of("two_level", outer_format)
    groups = Groups.cut("two_level", x, group_size)
    limit = two_level_limit(bits, scheme)
    outer = float32_scales(outer_form, groups.amax.max(axis=1, keepdims=True) / limit)
    level = np.clip(np.rint(divide(groups.x, outer.astype(np.float64))), -limit, limit)
    scale, zero, codes = _grouped(dataclasses.replace(groups, x=level), bits, scheme == "symmetric")
    return QTensor(
        codes=to_words(codes, bits),
        format=IntFormat(code_bits=bits, twos_complement=scheme == "symmetric"),
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=scale.astype(np.uint32),
        scale_format=IntFormat(code_bits=8, twos_complement=False),
        zero=None if scheme == "symmetric" else zero.astype(np.int32),
        zero_kind="none" if scheme == "symmetric" else "integer",
        outer=outer,
    )


def _check_scheme(scheme: str) -> None:
    if scheme not in _SCHEMES:
        raise HwgenError(
            f"two_level: scheme must be one of {', '.join(_SCHEMES)}, not {scheme!r}{suggest(scheme, _SCHEMES)}"
        )


def _grouped(level: Groups, bits: int, symmetric: bool) -> tuple[Floats, Floats, Floats]:
    """Scales [N, G], zero points [N, G] (0 for symmetric ones) and codes [N, K] of integers ``level``."""
    if symmetric:
        bottom, top = 1 - (1 << (bits - 1)), (1 << (bits - 1)) - 1
        low, width = np.zeros_like(level.amax), level.amax
    else:
        bottom, top = 0, (1 << bits) - 1
        low = level.reduce(np.minimum, np.minimum(level.x, 0))
        width = level.reduce(np.maximum, np.maximum(level.x, 0)) - low

    def quantised(scale: Floats) -> tuple[Floats, Floats, Floats]:
        """Zero points, codes and the square of the error of each group."""
        zero, by = np.clip(np.rint(-low / scale), 0, top), level.spread(scale)
        codes = np.clip(np.rint(level.x / by) + level.spread(zero), bottom, top)
        error = by * (codes - level.spread(zero)) - level.x
        return zero, codes, level.reduce(np.add, error * error)

    small, large = (np.maximum(rounding(width / top), 1) for rounding in (np.floor, np.ceil))
    (zero, codes, error), (other_zero, other_codes, other_error) = quantised(small), quantised(large)
    better = other_error < error
    return (
        np.where(better, large, small),
        np.where(better, other_zero, zero),
        np.where(level.spread(better), other_codes, codes),
    )
