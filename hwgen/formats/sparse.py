"""Sparse ternary words: of four weights one is 0 and three are -1 or 1, in five bits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats.base import Floats, Scalar, WholeFormat, Words, check_range

__all__ = ["SparseTernaryFormat"]

_SIGNS = 3


@dataclass(frozen=True, kw_only=True)
class SparseTernaryFormat(WholeFormat):
    """Words of four weights, 1.25 bits each: bits 3 and 4 say which one is 0, bits 0 to 2 which of the others, from the
    first to the last, are -1.

    ``decode`` returns a trailing axis of 4, ``encode`` takes one: 0 goes where the magnitude is least, the first of
    several, the others get their sign, 0 that of 1. That is the nearest word. NaN is refused, and no word is zero.
    Source: Sherry (arXiv 2601.07892); which bit means what is ours.
    """

    without_zero: ClassVar[bool] = True

    name: str = field(default="ternary_3of4", init=False)
    code_bits: int = field(default=5, init=False)
    elements: int = field(default=4, init=False)

    def describe(self) -> dict[str, Any]:
        words = range(1 << self.code_bits)
        values = [[float(self.decode_scalar(code, place)) for place in range(self.elements)] for code in words]
        return {"kind": "table", "bits": self.code_bits, "elements": self.elements, "values": values}

    # ------------------------------------------------------------------ the specification

    def decode_scalar(self, code: int, element: int = 0) -> Scalar:
        """Value of one of the four weights of a word."""
        self._code(code)
        check_range(self.name, "element", element, 0, self.elements - 1)
        zero = code >> _SIGNS
        if element == zero:
            return Fraction(0)
        # The sign's place is the element's among those that are not 0.
        return Fraction(-1 if code >> (element - (element > zero)) & 1 else 1)

    def encode_scalar(self, value: Scalar) -> int:
        """Word of four times the same value."""
        return self.encode_word([value] * self.elements)

    def encode_word(self, values: Sequence[Scalar]) -> int:
        """Word of four values. Raises `HwgenError` for NaN."""
        if any(math.isnan(value) for value in values):
            raise self._no_nan()
        zero = min(range(self.elements), key=lambda place: (abs(values[place]), place))
        others = [value for place, value in enumerate(values) if place != zero]
        return zero << _SIGNS | sum((value < 0) << place for place, value in enumerate(others))

    # ------------------------------------------------------------------ arrays

    def _decode(self, words: Words, side: npt.NDArray[Any] | None) -> Floats:
        table = np.array(self.describe()["values"])
        found: Floats = table[words]
        return found

    def _encode(self, values: Floats, side: npt.NDArray[Any] | None) -> Words:
        if values.shape[-1:] != (self.elements,):
            raise HwgenError(
                f"{self.name}: values must have a last axis of {self.elements}, not the shape {list(values.shape)}"
            )
        zero = np.argmin(np.abs(values), axis=-1)
        place = np.arange(self.elements)
        shift = place - (place > zero[..., None])
        signs = np.where(place == zero[..., None], 0, (values < 0).astype(np.int64) << shift)
        words: Words = (zero << _SIGNS | signs.sum(axis=-1)).astype(np.uint32)
        return words

    # ------------------------------------------------------------------ facts

    @property
    def max_value(self) -> float:
        return 1.0

    @property
    def corners(self) -> tuple[int, ...]:
        """Every place of the 0 with all of one sign, and one of each kind with a sign of its own."""
        return tuple(sorted({zero << _SIGNS | signs for zero in range(4) for signs in (0, 7)} | {1, 10, 20, 30}))
