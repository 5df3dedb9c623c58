"""Floating-point formats: any ExMy with or without special values, and scales without zero such as E8M0."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats.base import Floats, Format, Scalar, Words, check_range, floor_log2

__all__ = ["E8M0Format", "MinifloatFormat", "NormalFormat"]

SPECIALS = ("ieee", "fn", "none")


@dataclass(frozen=True, kw_only=True)
class MinifloatFormat(Format):
    """Sign s, exponent e and mantissa m with subnormals: ±2**(e - bias) · 1.m, and ±2**(1 - bias) · 0.m for e = 0.

    ``specials``: "ieee" (top exponent is inf and NaN), "fn" (only the code of all ones is NaN, no inf) or "none".
    ``bias`` defaults to 2**(exponent_bits - 1) - 1, and to 1 for a single exponent bit.

    Encoding rounds to nearest, ties to the even code, and saturates: everything beyond the largest finite value,
    infinities included, becomes it. With ``saturate=False`` what rounds beyond it becomes inf ("ieee") or NaN ("fn").
    NaN becomes the positive quiet NaN, and is refused where there is none. Negative values that round to zero become
    -0. Without a sign bit, negative values become 0.
    Sources: OCP 8-bit floating point v1.0 (E4M3 is "fn", E5M2 "ieee"), OCP Microscaling v1.0 (FP6 and FP4 are "none").
    """

    name: str = ""
    code_bits: int = field(init=False)
    exponent_bits: int
    mantissa_bits: int
    bias: int | None = None
    specials: str = "none"
    sign_bit: bool = True

    def __post_init__(self) -> None:
        bare = f"{'' if self.sign_bit else 'u'}e{self.exponent_bits}m{self.mantissa_bits}"
        label = self.name or bare
        object.__setattr__(self, "exponent_bits", check_range(label, "exponent_bits", self.exponent_bits, 1, 8))
        object.__setattr__(self, "mantissa_bits", check_range(label, "mantissa_bits", self.mantissa_bits, 0, 23))
        if self.specials not in SPECIALS:
            raise HwgenError(f"{label}: specials must be one of {', '.join(SPECIALS)}, not {self.specials!r}")
        if self.specials == "ieee" and (self.exponent_bits < 2 or self.mantissa_bits < 1):
            raise HwgenError(
                f"{label}: specials must not be 'ieee' with 1 exponent bit or no mantissa bit; try 'fn' or 'none'"
            )
        if self.specials == "fn" and self.exponent_bits + self.mantissa_bits < 2:
            raise HwgenError(f"{label}: specials must not be 'fn' with fewer than 2 bits beside the sign; try 'none'")
        usual = max((1 << (self.exponent_bits - 1)) - 1, 1)
        if self.bias is None:
            object.__setattr__(self, "bias", usual)
        object.__setattr__(self, "bias", check_range(label, "bias", self._bias, -512, 512))
        if not self.name:
            suffix = "" if self.specials == "none" else self.specials
            shift = "" if self.bias == usual else f"b{self.bias}"
            object.__setattr__(self, "name", f"{bare}{suffix}{shift}")
        object.__setattr__(self, "code_bits", self.exponent_bits + self.mantissa_bits + self.sign_bit)

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "float",
            "bits": self.code_bits,
            "sign_bit": self.sign_bit,
            "exponent_bits": self.exponent_bits,
            "mantissa_bits": self.mantissa_bits,
            "bias": self._bias,
            "subnormals": True,
            "specials": self.specials,
        }

    # ------------------------------------------------------------------ codes of note (magnitudes, sign bit 0)

    @property
    def _bias(self) -> int:
        return 0 if self.bias is None else self.bias

    @property
    def _emin(self) -> int:
        """Exponent of the smallest normal value, and of the subnormals."""
        return 1 - self._bias

    @property
    def _sign(self) -> int:
        """Weight of the sign bit; codes below it are not negative."""
        return 1 << (self.exponent_bits + self.mantissa_bits)

    @property
    def _max_code(self) -> int:
        if self.specials == "ieee":
            return (((1 << self.exponent_bits) - 1) << self.mantissa_bits) - 1
        return self._sign - (2 if self.specials == "fn" else 1)

    @property
    def _overflow_code(self) -> int:
        """What ``saturate=False`` makes of values that round beyond the largest: inf, else NaN, else the largest."""
        return self._max_code + (self.specials != "none")

    @property
    def inf_code(self) -> int | None:
        """Code of +inf, or None."""
        return self._max_code + 1 if self.specials == "ieee" else None

    @property
    def nan_code(self) -> int | None:
        if self.specials == "none":
            return None
        # IEEE: the quiet NaN, top exponent and top mantissa bit.
        return self._sign - 1 if self.specials == "fn" else self._max_code + 1 + (1 << (self.mantissa_bits - 1))

    # ------------------------------------------------------------------ the specification

    def decode_scalar(self, code: int) -> Scalar:
        self._code(code)
        negative, magnitude = self.sign_bit and code >= self._sign, code % self._sign
        if magnitude > self._max_code:
            infinite = magnitude == self.inf_code
            return (-math.inf if negative else math.inf) if infinite else math.nan
        if magnitude == 0:
            return -0.0 if negative else Fraction(0)
        exponent, mantissa = divmod(magnitude, 1 << self.mantissa_bits)
        if exponent == 0:
            value = mantissa * Fraction(2) ** (self._emin - self.mantissa_bits)
        else:
            value = ((1 << self.mantissa_bits) + mantissa) * Fraction(2) ** (exponent - self._bias - self.mantissa_bits)
        return -value if negative else value

    def encode_scalar(self, value: Scalar, *, saturate: bool = True) -> int:
        if isinstance(value, float) and math.isnan(value):
            if self.nan_code is None:
                raise self._no_nan()
            return self.nan_code
        negative = math.copysign(1, value) < 0 if isinstance(value, float) else value < 0
        if negative and not self.sign_bit:
            return 0
        sign = self._sign if negative else 0
        top = self._max_code if saturate else self._overflow_code
        if isinstance(value, float) and math.isinf(value):
            return sign + top
        exact = abs(Fraction(value))
        exponent = max(floor_log2(exact), self._emin) if exact else self._emin
        quotient = exact / Fraction(2) ** (exponent - self.mantissa_bits)
        # A subnormal has exponent field 0 and no leading one; a normal's leading one carries into the field.
        code = ((exponent - self._emin) << self.mantissa_bits) + math.floor(quotient)
        rest = quotient - math.floor(quotient)
        # Without mantissa bits the last bit of the code is in the exponent: the code decides, not the integer.
        if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and code % 2 == 1):
            code += 1
        return sign + (code if code <= self._max_code else top)

    # ------------------------------------------------------------------ arrays

    def _decode(self, words: Words, side: npt.NDArray[Any] | None) -> Floats:
        integers = words.astype(np.int64)
        magnitude = integers % self._sign
        exponent, mantissa = magnitude >> self.mantissa_bits, magnitude % (1 << self.mantissa_bits)
        significand = mantissa + np.where(exponent > 0, 1 << self.mantissa_bits, 0)
        shift = np.maximum(exponent, 1) - (self._bias + self.mantissa_bits)
        values = np.ldexp(significand.astype(np.float64), shift)
        values = np.where(magnitude > self._max_code, np.nan, values)
        if self.inf_code is not None:
            values = np.where(magnitude == self.inf_code, np.inf, values)
        # NaN keeps no sign.
        return np.where((integers >= self._sign) & ~np.isnan(values), -values, values)

    def encode(self, values: npt.ArrayLike, side: npt.ArrayLike | None = None, *, saturate: bool = True) -> Words:
        codes = super().encode(values, side)
        if saturate or self.specials == "none":
            return codes
        array = np.asarray(values, dtype=np.float64)
        # Half a step above the largest value lies a tie like any other: it goes up where the largest code is odd.
        step = math.ldexp(1.0, math.frexp(self.max_value)[1] - 1 - self.mantissa_bits)
        edge = self.max_value + step / 2
        beyond = np.abs(array) >= edge if self._max_code % 2 else np.abs(array) > edge
        if not self.sign_bit:
            beyond &= array > 0
        over = np.where(np.signbit(array) & self.sign_bit, self._sign, 0) + self._overflow_code
        return np.where(beyond, over, codes).astype(np.uint32)

    def _encode(self, values: Floats, side: npt.NDArray[Any] | None) -> Words:
        special = np.isnan(values)
        negative = np.signbit(values)
        magnitude = np.minimum(np.abs(np.where(special, 0.0, values)), self.max_value)
        # frexp gives [0.5, 1) * 2**e, so floor(log2) is e - 1; its 0 for zero is as good as any exponent.
        exponent = np.maximum(np.frexp(magnitude)[1] - 1, self._emin)
        exponent = np.where(magnitude > 0, exponent, self._emin)
        # Powers of two: exact, except where the quotient is far below one half and rounds to zero anyway.
        quotient = np.ldexp(magnitude, self.mantissa_bits - exponent)
        whole = np.floor(quotient)
        rest = quotient - whole
        codes = ((exponent.astype(np.int64) - self._emin) << self.mantissa_bits) + whole.astype(np.int64)
        codes += (rest > 0.5) | ((rest == 0.5) & (codes % 2 == 1))
        codes = np.where(negative, codes + self._sign if self.sign_bit else 0, codes)
        if self.nan_code is not None:
            codes = np.where(special, self.nan_code, codes)
        return codes.astype(np.uint32)

    # ------------------------------------------------------------------ facts

    @property
    def lsb_exp(self) -> int:
        return self._emin - self.mantissa_bits

    @property
    def max_value(self) -> float:
        return float(self.decode_scalar(self._max_code))

    @property
    def min_value(self) -> float:
        return -self.max_value if self.sign_bit else 0.0

    @property
    def smallest(self) -> float:
        return float(self.decode_scalar(1))

    @property
    def corners(self) -> tuple[int, ...]:
        normal = 1 << self.mantissa_bits
        found = {0, 1, normal - 1, normal, self.encode_scalar(1.0), self._max_code - 1, self._max_code}
        found |= {code for code in (self.inf_code, self.nan_code, self._sign - 1) if code is not None}
        both = found | {code + self._sign for code in found} if self.sign_bit else found
        return tuple(sorted(both))


@dataclass(frozen=True, kw_only=True)
class NormalFormat(Format):
    """Scales 2**(e - bias) · 1.m of exponent e and mantissa m: no sign, no zero, no subnormals; all ones is NaN.

    Encoding goes to the nearest value, a tie to the even code. Everything below the smallest value, zero and negative
    values included, becomes it; everything above the largest one, infinity included, becomes that.
    """

    without_zero: ClassVar[bool] = True

    code_bits: int = field(init=False)
    exponent_bits: int
    mantissa_bits: int
    bias: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "code_bits", self.exponent_bits + self.mantissa_bits)

    @property
    def nan_code(self) -> int:
        return (1 << self.code_bits) - 1

    @property
    def _hidden(self) -> int:
        return 1 << self.mantissa_bits

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "float",
            "bits": self.code_bits,
            "sign_bit": False,
            "exponent_bits": self.exponent_bits,
            "mantissa_bits": self.mantissa_bits,
            "bias": self.bias,
            "subnormals": False,
            "specials": "fn",
        }

    def decode_scalar(self, code: int) -> Scalar:
        if self._code(code) == self.nan_code:
            return math.nan
        exponent, mantissa = divmod(code, self._hidden)
        return (self._hidden + mantissa) * Fraction(2) ** (exponent - self.bias - self.mantissa_bits)

    def encode_scalar(self, value: Scalar) -> int:
        if isinstance(value, float) and math.isnan(value):
            return self.nan_code
        exact = self._clamped(value)
        exponent = floor_log2(exact)
        quotient = exact / Fraction(2) ** (exponent - self.mantissa_bits)
        code = (exponent + self.bias - 1) * self._hidden + math.floor(quotient)
        rest = quotient - math.floor(quotient)
        return code + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and code % 2 == 1))

    def _decode(self, words: Words, side: npt.NDArray[Any] | None) -> Floats:
        exponent, mantissa = np.divmod(words.astype(np.int64), self._hidden)
        values = np.ldexp((self._hidden + mantissa).astype(np.float64), exponent - self.bias - self.mantissa_bits)
        return np.where(words == self.nan_code, np.nan, values)

    def _encode(self, values: Floats, side: npt.NDArray[Any] | None) -> Words:
        special = np.isnan(values)
        inside = np.clip(np.where(special, 1.0, values), self.min_value, self.max_value)
        # frexp gives [0.5, 1) * 2**e, so floor(log2) is e - 1.
        fraction, exponent = np.frexp(inside)
        quotient = np.ldexp(fraction, self.mantissa_bits + 1)
        whole = np.floor(quotient)
        rest = quotient - whole
        codes = (exponent.astype(np.int64) + self.bias - 2) * self._hidden + whole.astype(np.int64)
        codes += (rest > 0.5) | ((rest == 0.5) & (codes % 2 == 1))
        return np.where(special, self.nan_code, codes).astype(np.uint32)

    @property
    def lsb_exp(self) -> int:
        return -self.bias - self.mantissa_bits

    @property
    def max_value(self) -> float:
        return float(self.decode_scalar(self.nan_code - 1))

    @property
    def min_value(self) -> float:
        return float(self.decode_scalar(0))

    @property
    def smallest(self) -> float:
        return self.min_value

    @property
    def corners(self) -> tuple[int, ...]:
        one, top = self.bias * self._hidden, self.nan_code
        return tuple(sorted({0, 1, self._hidden - 1, self._hidden, one - 1, one, one + 1, top - 2, top - 1, top}))


@dataclass(frozen=True, kw_only=True)
class E8M0Format(NormalFormat):
    """Powers of two 2**(code - 127) from 2**-127 (code 0) to 2**127 (code 254); code 255 is NaN. No zero, no sign.

    Block quantisers do not round scales as `encode` does (a tie is 1.5 * 2**k): they compute exponents as integers
    (`hwgen.quantize.mx`).
    Source: OCP Microscaling v1.0, section 5.4.1.
    """

    name: str = field(default="e8m0", init=False)
    exponent_bits: int = field(default=8, init=False)
    mantissa_bits: int = field(default=0, init=False)
    bias: int = field(default=127, init=False)
