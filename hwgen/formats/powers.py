"""Sums of signed powers of two: what shifters and adders multiply by, without a multiplier.

A code is one to three terms. A term's field of E bits is 0 for nothing, and counts down from the largest power: f means
2**(largest shift + 1 - f), as the exponents 2^0, 2^-1, 2^-2 … of the papers do. Two ways to put terms together:

* ``powersT_S``: every term has its own sign and all shifts from S = 2**E - 2 down to 0. Term t is bits t·(E+1) and up:
  its field, and above it the sign. Values repeat; a value's code is the smallest one, which has the fewest terms.
* ``apotT_S``: one sign for all, in the top bit, and the shifts are dealt out, so that no two codes but +0 and -0 have
  the same value: with T terms the first has S, S - T, S - 2·T …, the next S - 1, S - 1 - T … Field t is bits t·E up.

Encoding goes to the nearest value, a tie to the one nearer to zero, and saturates. NaN is refused.
Sources: power-of-two weights, INQ (ICLR'17) and DeepShift (CVPRW'21), for one term; APoT (ICLR'20), equation 5, for
``apot``; sums with a sign each are what ShiftAddLLM (NeurIPS'24) has where its planes' power-of-two scales are within
2**S of each other. The order of bits is ours.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats.base import Floats, Scalar, WholeFormat, Words, check_range

__all__ = ["PowersFormat"]

_FIELD_BITS = {False: (1, 2, 3, 4), True: (1, 2, 3)}
"""Widths of a term's field, by whether the sign is shared: with more, values would be beyond 2**20."""


def _largest(terms: int, field_bits: int, one_sign: bool) -> int:
    """Largest shift."""
    return (1 << field_bits) - 2 if not one_sign else terms * ((1 << field_bits) - 2) + terms - 1


@dataclass(frozen=True, kw_only=True)
class PowersFormat(WholeFormat):
    """Sums of ``terms`` powers of two up to 2**``shifts``, each with its sign or with ``one_sign``."""

    name: str = field(init=False)
    code_bits: int = field(init=False)
    terms: int = 1
    shifts: int = 6
    one_sign: bool = False
    field_bits: int = field(init=False)

    def __post_init__(self) -> None:
        label = "apot" if self.one_sign else "powers"
        terms = check_range(label, "terms", self.terms, 2 if self.one_sign else 1, 3)
        object.__setattr__(self, "terms", terms)
        label += str(terms)
        widths = {_largest(terms, bits, self.one_sign): bits for bits in _FIELD_BITS[self.one_sign]}
        if self.shifts not in widths:
            known = [str(shift) for shift in widths]
            raise HwgenError(
                f"{label}: the largest shift must be {', '.join(known[:-1])} or {known[-1]}, not {self.shifts}"
            )
        bits = widths[self.shifts]
        object.__setattr__(self, "field_bits", bits)
        object.__setattr__(self, "code_bits", terms * bits + 1 if self.one_sign else terms * (bits + 1))
        object.__setattr__(self, "name", f"{label}_{self.shifts}")

    @classmethod
    def of_fields(cls, terms: int, field_bits: int, one_sign: bool = False) -> PowersFormat:
        """The format with fields of so many bits."""
        return cls(terms=terms, shifts=_largest(terms, field_bits, one_sign), one_sign=one_sign)

    def shift_of(self, term: int, code: int) -> int:
        """Shift that a field of ``code``, 1 and up, means in a term."""
        return self.shifts - term - self.terms * (code - 1) if self.one_sign else self.shifts + 1 - code

    def describe(self) -> dict[str, Any]:
        step = self.field_bits if self.one_sign else self.field_bits + 1
        terms = [
            {
                "lsb": term * step,
                "bits": self.field_bits,
                "shifts": [None, *(self.shift_of(term, code) for code in range(1, 1 << self.field_bits))],
                "sign_bit": self.code_bits - 1 if self.one_sign else term * step + self.field_bits,
            }
            for term in range(self.terms)
        ]
        return {"kind": "powers", "bits": self.code_bits, "terms": terms}

    # ------------------------------------------------------------------ the specification

    def decode_scalar(self, code: int) -> Scalar:
        self._code(code)
        total, rest = 0, code
        for term in range(self.terms):
            found, rest = rest % (1 << self.field_bits), rest >> self.field_bits
            power = 1 << self.shift_of(term, found) if found else 0
            if not self.one_sign:
                power, rest = -power if rest & 1 else power, rest >> 1
            total += power
        return Fraction(-total if self.one_sign and rest else total)

    def encode_scalar(self, value: Scalar) -> int:
        exact = self._clamped(value)
        nearest = min(_codes(self), key=lambda level: (abs(level - exact), abs(level)))
        return _codes(self)[nearest]

    # ------------------------------------------------------------------ arrays

    def _decode(self, words: Words, side: npt.NDArray[Any] | None) -> Floats:
        codes = words.astype(np.int64)
        step = self.field_bits if self.one_sign else self.field_bits + 1
        total = np.zeros(codes.shape, np.int64)
        for term in range(self.terms):
            part = codes >> (term * step)
            found = part & ((1 << self.field_bits) - 1)
            power = np.where(found > 0, 1 << (self.shift_of(term, 1) - self._stride * np.maximum(found - 1, 0)), 0)
            negative = (part >> self.field_bits) & 1 if not self.one_sign else 0 * part
            total += np.where(negative > 0, -power, power)
        if self.one_sign:
            total = np.where(codes >> (self.code_bits - 1) > 0, -total, total)
        return total.astype(np.float64)

    def _encode(self, values: Floats, side: npt.NDArray[Any] | None) -> Words:
        magnitudes, positive, negative = _tables(self)
        # On a midpoint the lower one, of magnitudes.
        index = np.searchsorted((magnitudes[1:] + magnitudes[:-1]) / 2, np.abs(values), side="left")
        return np.where(values < 0, negative[index], positive[index]).astype(np.uint32)

    # ------------------------------------------------------------------ facts

    @property
    def _stride(self) -> int:
        """Places between the shifts of a term."""
        return self.terms if self.one_sign else 1

    @property
    def max_value(self) -> float:
        return float(sum(1 << self.shift_of(term, 1) for term in range(self.terms)))

    @property
    def corners(self) -> tuple[int, ...]:
        codes = _codes(self)
        top = int(self.max_value)
        # All fields 0 with their signs: -0.
        signs = sum({1 << int(term["sign_bit"]) for term in self.describe()["terms"]})
        ends = {codes[value] for value in (-top, -1, 0, 1, top)}
        return tuple(sorted(ends | {signs, (1 << self.code_bits) - 1}))


@functools.cache
def _codes(form: PowersFormat) -> dict[int, int]:
    """The smallest code of every value."""
    found: dict[int, int] = {}
    for code in range(1 << form.code_bits):
        found.setdefault(int(form.decode_scalar(code)), code)
    return found


@functools.cache
def _tables(form: PowersFormat) -> tuple[Floats, Words, Words]:
    """Magnitudes, ascending, and the codes of each and of its negative."""
    # By arrays: the loop of the specification takes a second for three terms.
    codes = form.codes()
    values, first = np.unique(form.decode(codes), return_index=True)
    magnitudes = values[values >= 0]
    return magnitudes, codes[first[values >= 0]], codes[first[values <= 0]][::-1]
