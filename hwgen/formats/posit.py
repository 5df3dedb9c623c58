"""Posits: any width up to 16 bits with 0 to 3 exponent bits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from hwgen.formats.base import Floats, Format, Scalar, Words, check_range, floor_log2

__all__ = ["PositFormat"]

_FRACTION = 52
"""Fraction bits of float64."""


@dataclass(frozen=True, kw_only=True)
class PositFormat(Format):
    """Posit of ``code_bits`` bits with ``es`` exponent bits: sign, regime, exponent, fraction.

    Code 0 is zero and 100..0 is NaR (not a real), which decodes to NaN; a negative code is the two's complement of the
    positive one. Below the sign comes a run of k equal bits and its end: R = k - 1 for ones, -k for zeros. Then the
    exponent e, whose bits beyond the end of the code are 0, and the fraction f: value = 2**(R · 2**es + e) · (1 + f).
    The largest value (maxpos) is 2**((code_bits - 2) · 2**es), the smallest positive one (minpos) its reciprocal.

    Encoding rounds the infinitely long bit string to nearest, ties to the even code, so that for es >= 1 some ties are
    geometric means, not midpoints: of posit4_1, 8 lies between 4 and 16. A value other than 0 never becomes 0 but
    ±minpos, and nothing beyond ±maxpos becomes anything else; NaN and infinities become NaR.
    Sources: Gustafson and Yonemoto, Beating Floating Point at its Own Game, 2017; posit standard 2022 (es = 2), posit
    standard 3.2 (es = log2(code_bits) - 3).
    """

    name: str = field(default="", init=False)
    es: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"posit{self.code_bits}_{self.es}")
        object.__setattr__(self, "code_bits", check_range("posit", "bits", self.code_bits, 2, 16))
        object.__setattr__(self, "es", check_range("posit", "es", self.es, 0, 3))

    # ------------------------------------------------------------------ codes and exponents of note

    @property
    def nan_code(self) -> int:
        """Code of NaR, 100..0."""
        return 1 << (self.code_bits - 1)

    @property
    def max_exp(self) -> int:
        """Exponent of maxpos; that of minpos is its negative."""
        return (self.code_bits - 2) << self.es

    @property
    def significand_bits(self) -> int:
        """Most bits of a significand, the hidden one included."""
        return max(self.code_bits - 2 - self.es, 1)

    @property
    def _max_code(self) -> int:
        return self.nan_code - 1

    def describe(self) -> dict[str, Any]:
        return {"kind": "posit", "bits": self.code_bits, "es": self.es, "nar": self.nan_code}

    # ------------------------------------------------------------------ the specification

    def decode_scalar(self, code: int) -> Scalar:
        if self._code(code) == self.nan_code:
            return math.nan
        if code == 0:
            return Fraction(0)
        if code > self.nan_code:
            return -self.decode_scalar((1 << self.code_bits) - code)
        string = format(code, f"0{self.code_bits - 1}b")
        run = len(string) - len(string.lstrip(string[0]))
        regime = run - 1 if string[0] == "1" else -run
        rest = string[run + 1 :]
        exponent = int(rest[: self.es].ljust(self.es, "0") or "0", 2)
        fraction = rest[self.es :]
        significand = 1 + Fraction(int(fraction or "0", 2), 1 << len(fraction))
        return significand * Fraction(2) ** ((regime << self.es) + exponent)

    def encode_scalar(self, value: Scalar) -> int:
        if isinstance(value, float) and not math.isfinite(value):
            return self.nan_code
        exact = Fraction(value)
        if exact == 0:
            return 0
        exponent = floor_log2(abs(exact))
        regime = exponent >> self.es
        # The bit string below the sign as a number: the regime's run and its end, then exponent and fraction as a tail
        # in [0, 1), all so far that the code's last bit is a unit.
        run_and_end = (1 << (regime + 2)) - 2 if regime >= 0 else 1
        length = regime + 2 if regime >= 0 else 1 - regime
        rest = exponent - (regime << self.es) + abs(exact) / Fraction(2) ** exponent - 1
        string = (run_and_end + rest / (1 << self.es)) * Fraction(2) ** (self.code_bits - 1 - length)
        # round() of a fraction goes to the even integer at a tie.
        code = min(max(round(string), 1), self._max_code)
        return code if exact > 0 else (1 << self.code_bits) - code

    # ------------------------------------------------------------------ arrays

    def _decode(self, words: Words, side: npt.NDArray[Any] | None) -> Floats:
        codes = words.astype(np.int64)
        negative = codes > self.nan_code
        body = np.where(negative, (1 << self.code_bits) - codes, codes)
        top = body >> (self.code_bits - 2) & 1
        # Inverted where the run is of ones, the run's end is the leading one.
        inverted = np.where(top == 1, self._max_code - body, body)
        below = np.maximum(np.frexp(inverted.astype(np.float64))[1].astype(np.int64) - 1, 0)
        run = np.where(inverted == 0, self.code_bits - 1, self.code_bits - 2 - below)
        regime = np.where(top == 1, run - 1, -run)
        rest = body & ((1 << below) - 1)
        exponent = rest << self.es >> below
        fraction_bits = np.maximum(below - self.es, 0)
        significand = (1 << fraction_bits) + (rest & ((1 << fraction_bits) - 1))
        values = np.ldexp(significand.astype(np.float64), (regime << self.es) + exponent - fraction_bits)
        values = np.where(negative, -values, values)
        values = np.where(codes == 0, 0.0, values)
        return np.where(codes == self.nan_code, np.nan, values)

    def _encode(self, values: Floats, side: npt.NDArray[Any] | None) -> Words:
        finite = np.isfinite(values)
        magnitude = np.abs(np.where(finite & (values != 0), values, 1.0))
        magnitude = np.clip(magnitude, self.smallest, self.max_value)
        significand, exponent = np.frexp(magnitude)
        exponent = exponent.astype(np.int64) - 1
        regime = exponent >> self.es
        run_and_end = np.where(regime >= 0, (1 << (np.maximum(regime, 0) + 2)) - 2, 1)
        kept = self.code_bits - 1 - np.where(regime >= 0, regime + 2, 1 - regime)
        fraction = np.ldexp(2 * significand - 1, _FRACTION).astype(np.int64)
        rest = (exponent - (regime << self.es) << _FRACTION) + fraction
        # Only maxpos keeps less than nothing: the end of its run is beyond the code.
        dropped = self.es + _FRACTION - np.maximum(kept, 0)
        codes = (run_and_end << np.maximum(kept, 0)) + (rest >> dropped)
        tail, half = rest & ((1 << dropped) - 1), 1 << (dropped - 1)
        codes += (tail > half) | ((tail == half) & (codes % 2 == 1))
        codes = np.where(kept < 0, self._max_code, np.clip(codes, 1, self._max_code))
        codes = np.where(values < 0, (1 << self.code_bits) - codes, codes)
        return np.where(finite, np.where(values == 0, 0, codes), self.nan_code).astype(np.uint32)

    # ------------------------------------------------------------------ facts

    @property
    def lsb_exp(self) -> int:
        return -self.max_exp

    @property
    def max_value(self) -> float:
        return 2.0**self.max_exp

    @property
    def min_value(self) -> float:
        return -self.max_value

    @property
    def smallest(self) -> float:
        return 2.0**-self.max_exp

    @property
    def corners(self) -> tuple[int, ...]:
        one, top = self.encode_scalar(1.0), self._max_code
        positive = {code for code in (1, one, one + 1, top) if 1 <= code <= top}
        return tuple(sorted({0, self.nan_code} | positive | {(1 << self.code_bits) - code for code in positive}))
