"""HiF4: blocks of 64 four-bit elements below one scale and two levels of one-bit exponents.

A value is scale · 2**(b2 + b3) · element. The scale (E6M2) belongs to 64 elements, the level-2 bit b2 to 8 of them, the
level-3 bit b3 to 4. Elements are S1P2: sign and a magnitude of 0 to 7 quarters, in sign-magnitude.
Source: HiFloat4 (arXiv 2602.11287).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats.base import Floats, Format, Scalar, Words
from hwgen.formats.minifloat import NormalFormat

__all__ = ["Hif4Format", "Hif4ScaleFormat"]

_LEVEL_3, _LEVEL_2 = 16, 17
"""Bits of a word that double its values."""
_TOP = 7
"""Largest magnitude of an element, in quarters."""
_STEPS = (Fraction(15, 8), Fraction(15, 4))
"""From these magnitudes on, an element of up to 7/4 and of up to 7/2 would saturate: half a unit above either."""


@dataclass(frozen=True, kw_only=True)
class Hif4ScaleFormat(NormalFormat):
    """E6M2: 2**(e - 48) · (1 + m/4), 2**-48 (code 0) to 1.5 · 2**15 (code 254); code 255 is NaN. No zero, no sign.

    Source: HiFloat4 (arXiv 2602.11287).
    """

    name: str = field(default="hif4_scale", init=False)
    exponent_bits: int = field(default=6, init=False)
    mantissa_bits: int = field(default=2, init=False)
    bias: int = field(default=48, init=False)


@dataclass(frozen=True, kw_only=True)
class Hif4Format(Format):
    """Words of four HiF4 elements with both of their one-bit exponents: values 0 to ±7 in units of 1/4.

    Bits 4i to 4i + 2 are the magnitude of element i in quarters, bit 4i + 3 its sign; bit 16 is the level-3 bit and bit
    17 the level-2 bit; each doubles the word's values. The level-2 bit belongs to two words and is in both: a
    word means the same by itself wherever it is, at 18 bits where memory needs 17.5 (`BlockFormat.bits_per_element`
    counts the bit once). Two words of a pair with different bits are legal.

    ``decode`` returns a trailing axis of 4, ``encode`` takes one. Encoding rounds to nearest, ties to the even
    magnitude, with the fewest level bits (level 3 first) with which nothing saturates; 7 is the end of the range. What
    becomes zero from the negative side is -0. The quantiser chooses the level bits by HiF4's rule instead
    (`hwgen.quantize.hif4`). NaN is refused.
    """

    name: str = field(default="hif4", init=False)
    code_bits: int = field(default=18, init=False)
    elements: int = field(default=4, init=False)

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "word",
            "bits": self.code_bits,
            "elements": self.elements,
            "element_bits": 4,
            "element": "sign in bit 3 above a magnitude in units of 2**exponent, element i from bit 4 i up",
            "exponent": self.lsb_exp,
            "doubling_bits": [_LEVEL_3, _LEVEL_2],
        }

    # ------------------------------------------------------------------ the specification

    def decode_scalar(self, code: int, element: int = 0) -> Scalar:
        """Value of one of the four elements of a word."""
        self._code(code)
        doubled = (code >> _LEVEL_2 & 1) + (code >> _LEVEL_3 & 1)
        nibble = code >> 4 * element & 15
        if nibble == 8:
            return -0.0
        return Fraction((-1 if nibble & 8 else 1) * (nibble & 7) * 2**doubled, 4)

    def encode_scalar(self, value: Scalar) -> int:
        """Word of four times the same value."""
        return self.encode_word([value] * self.elements)

    def encode_word(self, values: Sequence[Scalar]) -> int:
        """Word of four values. Raises `HwgenError` for NaN."""
        exact = [self._clamped(value) for value in values]
        largest = max(abs(value) for value in exact)
        doubled = sum(largest >= step for step in _STEPS)
        code = (doubled >= 1) << _LEVEL_3 | (doubled == 2) << _LEVEL_2
        for place, (given, value) in enumerate(zip(values, exact, strict=True)):
            magnitude = min(round(abs(value) * 4 / 2**doubled), _TOP)
            code |= (magnitude | (math.copysign(1, given) < 0) << 3) << 4 * place
        return code

    # ------------------------------------------------------------------ arrays

    def pack(self, negative: npt.NDArray[Any], quarters: npt.NDArray[Any], level_2: npt.NDArray[Any],
             level_3: npt.NDArray[Any]) -> Words:  # fmt: skip
        """Words of signs and magnitudes (0 to 7) [..., 4] and the level bits of their words [...]."""
        nibbles = quarters.astype(np.uint32) | (negative.astype(np.uint32) << 3)
        words = (nibbles << np.arange(0, 16, 4, dtype=np.uint32)).sum(axis=-1, dtype=np.uint32)
        packed: Words = words | level_3.astype(np.uint32) << _LEVEL_3 | level_2.astype(np.uint32) << _LEVEL_2
        return packed

    def _decode(self, words: Words, side: npt.NDArray[Any] | None) -> Floats:
        nibbles = (words[..., None] >> np.arange(0, 16, 4, dtype=np.uint32)) & 15
        doubled = ((words >> _LEVEL_2 & 1) + (words >> _LEVEL_3 & 1)).astype(np.int64)
        values = np.ldexp((nibbles & 7).astype(np.float64), doubled[..., None] - 2)
        return np.where(nibbles & 8, -values, values)

    def _encode(self, values: Floats, side: npt.NDArray[Any] | None) -> Words:
        if values.shape[-1:] != (self.elements,):
            raise HwgenError(
                f"{self.name}: values must have a last axis of {self.elements}, not the shape {list(values.shape)}"
            )
        magnitudes = np.minimum(np.abs(values), self.max_value)
        largest = magnitudes.max(axis=-1)
        level_3, level_2 = (largest >= float(step) for step in _STEPS)
        units = np.ldexp(magnitudes, 2 - (level_2.astype(np.int64) + level_3)[..., None])
        return self.pack(np.signbit(values), np.minimum(np.rint(units), _TOP), level_2, level_3)

    # ------------------------------------------------------------------ facts

    @property
    def lsb_exp(self) -> int:
        return -2

    @property
    def max_value(self) -> float:
        return _TOP / 4 * 4

    @property
    def min_value(self) -> float:
        return -self.max_value

    @property
    def smallest(self) -> float:
        return 0.25

    @property
    def corners(self) -> tuple[int, ...]:
        """Zeros, units and ends of either sign at each level, and words with one element of the other sign."""
        ends = (0x0000, 0x1111, 0x7777, 0x8888, 0x9999, 0xFFFF, 0x7FFF, 0xF777, 0x0007)
        return tuple(sorted(end | level << _LEVEL_3 for end in ends for level in range(4)))
