"""Integer formats: two's complement and unsigned, bipolar (odd integers), ternary."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hwgen.formats.base import Floats, Format, Scalar, WholeFormat, Words, check_range

__all__ = ["BipolarFormat", "IntFormat", "TernaryFormat"]


@dataclass(frozen=True, kw_only=True)
class IntFormat(Format):
    """``code_bits``-bit integers times 2**-fraction_bits, 1 to 32 bits.

    Two's complement (``twos_complement``) or unsigned. The whole range is used: int8 has -128; clipping to a symmetric
    range is a quantiser's choice. Only with ``symmetric`` the lowest code is not a value of its own: it decodes like
    the one above it and no value is encoded as it. NaN is refused.
    Sources: OCP Microscaling v1.0, section 5.3.4, for MXINT8, whose elements have 6 fraction bits; arXiv 2510.25602 for
    NVINT4, which is symmetric.
    """

    name: str = ""
    twos_complement: bool = True
    fraction_bits: int = 0
    symmetric: bool = False

    def __post_init__(self) -> None:
        label = self.name or ("int" if self.twos_complement else "uint")
        object.__setattr__(self, "code_bits", check_range(label, "bits", self.code_bits, 1, 32))
        object.__setattr__(self, "fraction_bits", check_range(label, "fraction_bits", self.fraction_bits, 0, 32))
        if not self.name:
            fraction = f"f{self.fraction_bits}" if self.fraction_bits else ""
            object.__setattr__(self, "name", f"{label}{self.code_bits}{fraction}")

    def describe(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "kind": "integer",
            "bits": self.code_bits,
            "signed": self.twos_complement,
            "exponent": -self.fraction_bits,
        }
        return {**found, "lowest_code_means": self._low} if self.symmetric else found

    @property
    def _low(self) -> int:
        if self.symmetric:
            return -self._high
        return -(1 << (self.code_bits - 1)) if self.twos_complement else 0

    @property
    def _high(self) -> int:
        return (1 << (self.code_bits - self.twos_complement)) - 1

    def decode_scalar(self, code: int) -> Scalar:
        self._code(code)
        integer = max(code - (1 << self.code_bits), self._low) if code > self._high else code
        return Fraction(integer, 1 << self.fraction_bits)

    def encode_scalar(self, value: Scalar) -> int:
        # round() of a fraction rounds half to even; an even integer has an even code.
        return round(self._clamped(value) * (1 << self.fraction_bits)) & ((1 << self.code_bits) - 1)

    def _decode(self, words: Words, side: npt.NDArray[Any] | None) -> Floats:
        integers = words.astype(np.int64)
        negative = np.maximum(integers - (1 << self.code_bits), self._low)
        integers = np.where(integers > self._high, negative, integers)
        return np.ldexp(integers.astype(np.float64), -self.fraction_bits)

    def _encode(self, values: Floats, side: npt.NDArray[Any] | None) -> Words:
        inside = np.clip(values, self.min_value, self.max_value)
        integers = np.rint(np.ldexp(inside, self.fraction_bits)).astype(np.int64)
        return (integers & ((1 << self.code_bits) - 1)).astype(np.uint32)

    @property
    def lsb_exp(self) -> int:
        return -self.fraction_bits

    @property
    def max_value(self) -> float:
        return self._high / (1 << self.fraction_bits)

    @property
    def min_value(self) -> float:
        return self._low / (1 << self.fraction_bits)

    @property
    def smallest(self) -> float:
        """One unit (int1, which has no positive value, included: it is the unit of its -1)."""
        return 1.0 / (1 << self.fraction_bits)

    @property
    def corners(self) -> tuple[int, ...]:
        lowest = self._low - self.symmetric
        integers = {lowest, lowest + 1, -1, 0, 1, self._high - 1, self._high}
        mask = (1 << self.code_bits) - 1
        return tuple(sorted(value & mask for value in integers if lowest <= value <= self._high))


@dataclass(frozen=True, kw_only=True)
class BipolarFormat(WholeFormat):
    """Odd integers q' = 2q - (2**W - 1) of W-bit codes q: W planes of ±1, 1 to 8 bits.

    There is no zero, so no padding code. A tie (an even integer) goes to the even code. NaN is refused.
    Source: LUT Tensor Core (ISCA'25), symmetrised weights.
    """

    without_zero: ClassVar[bool] = True

    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "code_bits", check_range("bipolar", "bits", self.code_bits, 1, 8))
        object.__setattr__(self, "name", f"bipolar{self.code_bits}")

    @property
    def _high(self) -> int:
        return (1 << self.code_bits) - 1

    def describe(self) -> dict[str, Any]:
        return {"kind": "affine", "bits": self.code_bits, "times": 2, "plus": 1 - (1 << self.code_bits)}

    def decode_scalar(self, code: int) -> Scalar:
        return Fraction(2 * self._code(code) - self._high)

    def encode_scalar(self, value: Scalar) -> int:
        return round((self._clamped(value) + self._high) / 2)

    def _decode(self, words: Words, side: npt.NDArray[Any] | None) -> Floats:
        return 2.0 * words.astype(np.float64) - self._high

    def _encode(self, values: Floats, side: npt.NDArray[Any] | None) -> Words:
        inside = np.clip(values, -self._high, self._high)
        whole = np.floor(inside)
        integers = whole.astype(np.int64)
        # Scaling or adding first could lose a tiny value and see a tie at 0 where there is none. An even integer lies
        # halfway between the codes below and below + 1; what follows up to the next even one belongs to below + 1.
        below = (integers + self._high - 1) // 2
        up = (integers % 2 == 1) | (inside > whole) | (below % 2 == 1)
        codes: Words = (below + up).astype(np.uint32)
        return codes

    @property
    def max_value(self) -> float:
        return float(self._high)

    @property
    def corners(self) -> tuple[int, ...]:
        half = 1 << (self.code_bits - 1)
        return tuple(sorted({0, half - 1, half, self._high}))


@dataclass(frozen=True, kw_only=True)
class TernaryFormat(WholeFormat):
    """-1, 0 and +1 as two-bit two's-complement codes 3, 0 and 1.

    Code 2 means nothing: it decodes to NaN, ``fixed`` refuses it and no value is encoded as it.
    """

    name: str = field(default="ternary", init=False)
    code_bits: int = field(default=2, init=False)

    def decode_scalar(self, code: int) -> Scalar:
        values: tuple[Scalar, ...] = (Fraction(0), Fraction(1), float("nan"), Fraction(-1))
        return values[self._code(code)]

    def encode_scalar(self, value: Scalar) -> int:
        return round(self._clamped(value)) & 3

    def _decode(self, words: Words, side: npt.NDArray[Any] | None) -> Floats:
        return np.array([0.0, 1.0, np.nan, -1.0])[words]

    def _encode(self, values: Floats, side: npt.NDArray[Any] | None) -> Words:
        return (np.rint(np.clip(values, -1, 1)).astype(np.int64) & 3).astype(np.uint32)

    @property
    def max_value(self) -> float:
        return 1.0

    @property
    def corners(self) -> tuple[int, ...]:
        return (0, 1, 3)
