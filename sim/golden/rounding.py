"""One rounding into FP32 of an exact product: in float64 by error-free transformations, in integers for long scales."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hwgen.errors import HwgenError

__all__ = [
    "SCALE_BITS",
    "SUM_LIMIT",
    "check_denormals",
    "check_scale",
    "is_long",
    "power_of_two",
    "round_long",
    "round_scaled",
]

SCALE_BITS = 22
"""Most significand bits of a scale (a product of two fp16 scales has 22): half a sum times it is exact in float64."""
SUM_LIMIT = 2**62
"""Largest magnitude of a sum in int64; those that may be larger are `sim.golden.wide.Wide`."""

_HALF = 32


def power_of_two(exponent: Tensor) -> Tensor:
    """2**exponent as float64, for an int64 tensor of exponents within -1022 .. 1023.

    `torch.ldexp` goes through a float32 power, which has a smaller range.
    """
    return ((exponent + 1023) << 52).view(torch.float64)


def check_denormals() -> None:
    """Raise `HwgenError` where torch flushes subnormal results or operands to zero."""
    smallest = torch.full((1,), 2.0**-149, dtype=torch.float64).float()
    kept = (smallest + smallest).double()
    if kept.item() != 2.0**-148:
        raise HwgenError(
            "golden layer: torch must keep subnormal numbers, not flush them to zero; "
            "call torch.set_flush_denormal(False)"
        )


def is_long(scale: Tensor) -> bool:
    """Whether a finite scale, float64, has more than 22 significand bits, as FP32 scales may."""
    fraction = torch.frexp(torch.where(torch.isfinite(scale), scale, 0.0)).mantissa * 2.0**SCALE_BITS
    return not torch.equal(fraction, torch.round(fraction))


def check_scale(scale: Tensor) -> None:
    """Raise `HwgenError` for a finite scale, float64, of more than 22 significand bits."""
    if is_long(scale):
        raise HwgenError(
            f"golden layer: the product of a row's and a column's scale must have at most {SCALE_BITS} significand "
            "bits; use scale formats such as fp16 or bf16"
        )


def round_scaled(total: Tensor, scale: Tensor, exponent: Tensor) -> Tensor:
    """total · scale · 2**exponent, rounded once to float32 (nearest even); overflow gives infinity, zero gives +0.

    ``total`` int64 of at most 2**62 in magnitude, ``scale`` float64 of at most 22 significand bits (IEEE rules hold for
    infinities and NaN: 0 · inf is NaN), ``exponent`` int64; shapes broadcast. Returns float32. Raises `HwgenError` for
    a longer scale.

    ``total`` is split into halves whose products with ``scale`` are exact. Knuth's TwoSum gives their rounded sum and
    its error; an inexact sum becomes the odd one of the two float64 numbers around the exact sum. Rounding that from 53
    bits to 24, or to the fewer of a subnormal, is rounding the exact sum (Boldo and Melquiond, Emulation of FMA and
    correctly rounded sums: proved algorithms using rounding to odd, IEEE Trans. Computers 57(4), 2008).
    """
    check_scale(scale)
    finite = torch.isfinite(scale)
    low = ((total + 2 ** (_HALF - 1)) & (2**_HALF - 1)) - 2 ** (_HALF - 1)
    a, b = (total - low).double() * scale, low.double() * scale
    nearest = a + b
    part = nearest - a
    error = (a - (nearest - part)) + (b - part)
    even = nearest.view(torch.int64) & 1 == 0
    towards = torch.where(error > 0, torch.inf, -torch.inf).double()
    odd = torch.where((error != 0) & even, torch.nextafter(nearest, towards), nearest)
    # Halves times an infinite scale could be NaN (0 · inf) where the whole is not.
    # Adding zero turns -0, of a negative scale and a sum of zero, into +0.
    exact = torch.where(finite, odd, total.double() * scale) + 0.0
    return (exact * power_of_two(exponent)).float()


def round_long(total: np.ndarray, scale: Tensor, exponent: Tensor) -> Tensor:
    """`round_scaled` for scales of up to 53 bits: ``total`` int64 or Python integers, products in Python's integers.

    60 leading bits of a product, the last one set where a lower one was, are rounded to 24 as the whole would be.
    """
    finite = torch.isfinite(scale)
    fraction, place = torch.frexp(torch.where(finite, scale, 0.0))
    factor = (fraction * 2.0**53).to(torch.int64).numpy().astype(object)
    product = total.astype(object) * factor
    drop = np.frompyfunc(lambda number: max(int(number).bit_length() - 60, 0), 1, 1)(product)
    kept = np.frompyfunc(_odd_head, 2, 1)(product, drop)
    head, lost = (torch.from_numpy(np.asarray(part, dtype=np.int64)) for part in (kept, drop))
    # Beyond these ends the result is zero or infinite whatever the number, and float64 stays within its range.
    shift = (exponent + place.to(torch.int64) - 53 + lost).clamp(-900, 900)
    rounded = round_scaled(head, torch.ones((), dtype=torch.float64), shift)
    special = torch.from_numpy(np.sign(total.astype(object)).astype(np.float64)) * scale
    return torch.where(finite, rounded, special.float())


def _odd_head(number: int, drop: int) -> int:
    """``number`` without ``drop`` low bits, cut towards zero, and made odd where one of them was set."""
    magnitude = abs(number)
    head = magnitude >> drop | (magnitude & ((1 << drop) - 1) != 0)
    return head if number >= 0 else -head
