"""Radix-4 Booth recoding: a two's-complement integer as digits -2, -1, 0, 1, 2 of weight 4**i.

Digit i comes from the window of bits 2i + 1, 2i and 2i - 1 (bit -1 is 0): d = b[2i-1] + b[2i] - 2·b[2i+1]. As a term of
a bit-serial product a digit is (-1)**sign · 2**exp · man.
Source: A. Booth, Quarterly J. Mech. Appl. Math. 4(2), 1951; BitMoD (HPCA'25), equation 4, for sign, exp and man.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from amaranth.hdl import Module, Value

from hwgen.arith.bits import wire

__all__ = ["WINDOW", "BoothDigit", "BoothDigits", "booth_digit", "booth_digits", "booth_reference"]

WINDOW = 3
"""Bits of a window; neighbours share one."""


class BoothDigit(NamedTuple):
    """A digit in hardware, one bit each; where ``man`` is 0 the digit is 0, whatever sign and exp are."""

    sign: Value
    exp: Value
    man: Value


class BoothDigits(NamedTuple):
    """Digits as int64 arrays [digits, ...]; the same meaning as `BoothDigit`."""

    sign: np.ndarray
    exp: np.ndarray
    man: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """-2 … 2."""
        magnitude = self.man << self.exp
        signed: np.ndarray = np.where(self.sign == 1, -magnitude, magnitude)
        return signed


def booth_digits(bits: int) -> int:
    """Digits of a number of ``bits`` bits; an odd width repeats its sign once."""
    return -(-bits // 2)


def booth_digit(m: Module, window: Value, name: str) -> BoothDigit:
    """Digit of a window of three bits, the lowest first."""
    window = wire(m, window, f"{name}_window")
    same = wire(m, ~(window[0] ^ window[1]), f"{name}_exp")
    # Three equal bits are the digit 0; two equal low bits otherwise ±2.
    return BoothDigit(window[2], same, wire(m, ~same | (window[2] ^ window[1]), f"{name}_man"))


def booth_reference(numbers: np.ndarray, bits: int) -> BoothDigits:
    """Digits of int64 ``numbers`` of ``bits`` bits, as `booth_digit` yields them: [digits, *numbers.shape]."""
    doubled = np.asarray(numbers, dtype=np.int64) << 1
    windows = np.stack([(doubled >> (2 * digit)) & 7 for digit in range(booth_digits(bits))])
    low, middle, high = windows & 1, (windows >> 1) & 1, windows >> 2
    same = 1 - (low ^ middle)
    return BoothDigits(high, same, (1 - same) | (high ^ middle))
