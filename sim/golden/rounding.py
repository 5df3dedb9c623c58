"""One rounding into FP32 of an exact product, in float64 by error-free transformations."""

from __future__ import annotations

import torch
from torch import Tensor

from hwgen.errors import HwgenError

__all__ = ["SCALE_BITS", "SUM_LIMIT", "check_denormals", "check_scale", "power_of_two", "round_scaled"]

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


def check_scale(scale: Tensor) -> None:
    """Raise `HwgenError` for a finite scale, float64, of more than 22 significand bits."""
    fraction = torch.frexp(torch.where(torch.isfinite(scale), scale, 0.0)).mantissa * 2.0**SCALE_BITS
    if not torch.equal(fraction, torch.round(fraction)):
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
