"""`Format`: what a code word means. Frozen data with exact decoding and correctly rounded encoding.

Each format says everything twice: ``decode_scalar`` and ``encode_scalar`` are the specification in plain Python over
exact fractions; ``decode`` and ``encode`` are the same in numpy, for arrays.
"""

from __future__ import annotations

import abc
import math
import operator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError

__all__ = ["Floats", "Format", "Integers", "Scalar", "WholeFormat", "Words", "check_range", "floor_log2", "whole"]

Words = npt.NDArray[np.uint32]
"""Code words, unsigned whatever the format."""
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

Scalar = Fraction | float
"""A decoded value: a fraction, or a float where no fraction exists (NaN, the infinities and -0.0)."""


def whole(value: object) -> int | None:
    """A whole number of any type (numpy's too) as an int; None for anything else, truth values included."""
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def check_range(name: str, parameter: str, value: int, low: int, high: int) -> int:
    """``value`` as an int. Raises `HwgenError` unless it is whole and ``low <= value <= high``."""
    number = whole(value)
    if number is None or not low <= number <= high:
        raise HwgenError(
            f"{name}: {parameter} must be {low} to {high}, not {number if number is not None else repr(value)}"
        )
    return number


def _plain(value: Scalar) -> float | str:
    """A value as JSON has it: NaN and infinities as words."""
    number = float(value)
    return number if math.isfinite(number) else str(number)


def floor_log2(value: Fraction) -> int:
    """Largest e with 2**e <= value, for a positive fraction."""
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    return exponent if Fraction(2) ** exponent <= value else exponent - 1


@dataclass(frozen=True, kw_only=True)
class Format(abc.ABC):
    """Base of all number formats.

    Attributes
    ----------
    name : name by which `hwgen.formats.get` finds it.
    code_bits : bits of a code word, 1 to 32.
    elements : values in one code word; with more than one, decoded arrays have a trailing axis of that length.
    side_bits : bits of side information per group (a selector, say); 0 where there is none.
    """

    without_zero: ClassVar[bool] = False
    """Whether no code is zero, of every element; else code 0 is, where `padding` does not say another."""

    name: str
    code_bits: int
    elements: int = 1
    side_bits: int = 0

    def __str__(self) -> str:
        return self.name

    # ------------------------------------------------------------------ the specification

    @abc.abstractmethod
    def decode_scalar(self, code: int) -> Scalar:
        """Value of one code, exactly; a float only for NaN, ±inf and -0.0.

        Raises `HwgenError` for a code out of range.
        """

    @abc.abstractmethod
    def encode_scalar(self, value: Scalar) -> int:
        """Code of the nearest value, ties to the even code; beyond the ends, infinities included, the end.

        Raises `HwgenError` for NaN where the format has none.
        """

    # ------------------------------------------------------------------ arrays

    def decode(self, words: npt.ArrayLike, side: npt.ArrayLike | None = None) -> Floats:
        """Values of code words, exactly.

        Parameters: ``words`` of any shape; ``side`` broadcasts to it (only for formats with side information).
        Returns float64 of the shape of ``words``, and a trailing axis where ``elements`` > 1.
        Raises `HwgenError` for words that have more than ``code_bits`` bits.
        """
        return self._decode(self.words(words), self._side(side))

    def encode(self, values: npt.ArrayLike, side: npt.ArrayLike | None = None) -> Words:
        """Codes of the nearest values: `encode_scalar` over an array of float64; returns uint32 of its shape.

        float64 input is rounded once, without a detour through a narrower type.
        """
        array = np.asarray(values, dtype=np.float64)
        if self.nan_code is None and np.isnan(array).any():
            raise self._no_nan()
        return self._encode(array, self._side(side))

    def fixed(self, words: npt.ArrayLike, side: npt.ArrayLike | None = None) -> Integers:
        """Integers with value = fixed * 2**lsb_exp, exactly, in int64.

        Raises `HwgenError` where a code is not finite or the format is too wide for 63 bits (bf16, fp32, e8m0).
        """
        if self.fixed_bits > 64:
            raise HwgenError(
                f"{self.name}: values must fit 64 bits to become integers, not {self.fixed_bits} bits; align them first"
            )
        values = self.decode(words, side)
        if not np.isfinite(values).all():
            raise HwgenError(f"{self.name}: words must have finite values to become integers")
        return np.ldexp(values, -self.lsb_exp).astype(np.int64)

    @abc.abstractmethod
    def _decode(self, words: Words, side: npt.NDArray[Any] | None) -> Floats:
        """`decode` of checked words."""

    @abc.abstractmethod
    def _encode(self, values: Floats, side: npt.NDArray[Any] | None) -> Words:
        """`encode` of values without NaN, unless ``nan_code`` is given."""

    def words(self, words: npt.ArrayLike) -> Words:
        """Return ``words`` as uint32. Raises `HwgenError` unless they are integers of at most ``code_bits`` bits."""
        array = np.asarray(words)
        if array.dtype.kind not in "iu":
            raise HwgenError(f"{self.name}: words must be integers, not {array.dtype}")
        if array.size and (int(array.min()) < 0 or int(array.max()) >> self.code_bits):
            worst = int(array.min()) if int(array.min()) < 0 else int(array.max())
            raise HwgenError(f"{self.name}: words must be 0 to {(1 << self.code_bits) - 1}, not {worst}")
        return array.astype(np.uint32, copy=False)

    def codes(self) -> Words:
        """All code words in ascending order. Raises `HwgenError` for formats of more than 16 bits."""
        if self.code_bits > 16:
            raise HwgenError(f"{self.name}: codes are listed up to 16 bits, not for {self.code_bits}; use corners")
        return np.arange(1 << self.code_bits, dtype=np.uint32)

    # ------------------------------------------------------------------ facts

    @property
    @abc.abstractmethod
    def lsb_exp(self) -> int:
        """Exponent of the unit of which every finite value is an integer multiple."""

    @property
    @abc.abstractmethod
    def max_value(self) -> float:
        """Largest finite value."""

    @property
    @abc.abstractmethod
    def min_value(self) -> float:
        """Lowest finite value (for a signed format, the most negative one)."""

    @property
    @abc.abstractmethod
    def smallest(self) -> float:
        """Smallest positive value."""

    @property
    @abc.abstractmethod
    def corners(self) -> tuple[int, ...]:
        """Codes worth testing, ascending: ends, zeros, ±1, ends of the subnormals and normals, NaN and infinities."""

    def describe(self) -> dict[str, Any]:
        """What a code means, for the manifest: ``kind`` with its parameters (docs/manifest.md lists the kinds).

        This version is the table of all values, one for each value of the side information where there is some; a
        code of several elements has a list.
        """
        if self.side_bits or self.elements > 1:
            sides = range(1 << self.side_bits) if self.side_bits else (None,)
            tables = [self.decode(self.codes(), side).tolist() for side in sides]
        else:
            tables = [[_plain(self.decode_scalar(code)) for code in range(1 << self.code_bits)]]
        found: dict[str, Any] = {"kind": "table", "bits": self.code_bits, "values": tables[0]}
        return found if len(tables) == 1 else {**found, "values_by_side": tables}

    @property
    def tied_rows(self) -> int:
        """Rows of a matrix whose words, and scales, say the same: memory holds those of one of them."""
        return 1

    @property
    def padding(self) -> int | None:
        """Code that adds nothing to a sum (zero), or None where no code does."""
        return None if self.without_zero else 0

    @property
    def nan_code(self) -> int | None:
        """Code that NaN is encoded as, or None where the format has no NaN."""
        return None

    @property
    def signed(self) -> bool:
        """Whether the format has negative values."""
        return self.min_value < 0

    @property
    def fixed_bits(self) -> int:
        """Two's-complement bits that hold value / 2**lsb_exp of every finite code."""
        unit = Fraction(2) ** self.lsb_exp
        low, high = Fraction(self.min_value) / unit, Fraction(self.max_value) / unit
        return 1 + max(int(high).bit_length(), (-int(low) - 1).bit_length() if low < 0 else 0)

    # ------------------------------------------------------------------ helpers of subclasses

    def _side(self, side: npt.ArrayLike | None) -> npt.NDArray[Any] | None:
        if side is None:
            if self.side_bits:
                raise HwgenError(f"{self.name}: side information of {self.side_bits} bits is required, none was given")
            return None
        if not self.side_bits:
            raise HwgenError(f"{self.name}: side information was given, but the format has none")
        return np.asarray(side)

    def _code(self, code: int) -> int:
        check_range(self.name, "code", code, 0, (1 << self.code_bits) - 1)
        return code

    def _no_nan(self) -> HwgenError:
        return HwgenError(f"{self.name}: values must be numbers, not NaN, which the format cannot express")

    def _clamped(self, value: Scalar) -> Fraction:
        """``value`` as a fraction within the format's ends."""
        low, high = Fraction(self.min_value), Fraction(self.max_value)
        if isinstance(value, float):
            if math.isnan(value):
                raise self._no_nan()
            if math.isinf(value):
                return high if value > 0 else low
        return min(max(Fraction(value), low), high)


@dataclass(frozen=True, kw_only=True)
class WholeFormat(Format):
    """A format of whole numbers from ±1 on, as far below zero as above."""

    @property
    def lsb_exp(self) -> int:
        return 0

    @property
    def min_value(self) -> float:
        return -self.max_value

    @property
    def smallest(self) -> float:
        return 1.0
