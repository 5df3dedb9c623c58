"""Codebooks: a table of values, one a code, in ascending order. NF4 is the one with a name.

The values of a codebook are no small multiples of a common unit, so a tile looks them up; there is nothing to shift.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats.base import Floats, Format, Scalar, Words

__all__ = ["NF4", "CodebookFormat"]

NF4 = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
"""Quantiles of a normal distribution, each a float32. Source: QLoRA (NeurIPS'23), Appendix E; bitsandbytes."""

_SIZES = tuple(1 << bits for bits in range(1, 9))


@functools.cache
def _thresholds(levels: tuple[float, ...]) -> Floats:
    """For each code but the first the least float64 that is encoded as it or as a higher one."""
    least = []
    for code, (below, above) in enumerate(itertools.pairwise(levels), start=1):
        middle = (Fraction(below) + Fraction(above)) / 2
        number = float(middle)
        # A midpoint belongs to the even one of the two codes.
        stays_below = Fraction(number) < middle or (Fraction(number) == middle and code % 2 == 1)
        least.append(math.nextafter(number, math.inf) if stays_below else number)
    return np.array(least)


@dataclass(frozen=True, kw_only=True)
class CodebookFormat(Format):
    """Values from a table of 2 to 256, a power of two, ascending; code i is the i-th.

    The table is part of the name, ``codebook(-1,0,0.5,1)``, but for NF4, which is ``nf4``. Encoding goes to the nearest
    value, a tie to the even code, and saturates. NaN is refused.
    """

    name: str = field(init=False)
    code_bits: int = field(init=False)
    levels: tuple[float, ...] = NF4

    def __post_init__(self) -> None:
        # Adding zero turns -0 into +0.
        table = tuple(float(value) + 0.0 for value in self.levels)
        if len(table) not in _SIZES:
            raise HwgenError(f"codebook: levels must be 2, 4, 8 … 256 values, not {len(table)}")
        for before, value in itertools.pairwise((-math.inf, *table, math.inf)):
            if not before < value:
                raise HwgenError(f"codebook: levels must be finite and ascending, not {before:g} before {value:g}")
        object.__setattr__(self, "levels", table)
        object.__setattr__(self, "code_bits", len(table).bit_length() - 1)
        listed = ",".join(repr(value).removesuffix(".0") for value in table)
        object.__setattr__(self, "name", "nf4" if table == NF4 else f"codebook({listed})")

    # ------------------------------------------------------------------ the specification

    def decode_scalar(self, code: int) -> Scalar:
        return Fraction(self.levels[self._code(code)])

    def encode_scalar(self, value: Scalar) -> int:
        exact = self._clamped(value)
        return min(range(len(self.levels)), key=lambda code: (abs(Fraction(self.levels[code]) - exact), code & 1))

    # ------------------------------------------------------------------ arrays

    def _decode(self, words: Words, side: npt.NDArray[Any] | None) -> Floats:
        return np.array(self.levels)[words]

    def _encode(self, values: Floats, side: npt.NDArray[Any] | None) -> Words:
        return np.searchsorted(_thresholds(self.levels), values, side="right").astype(np.uint32)

    # ------------------------------------------------------------------ facts

    @property
    def lsb_exp(self) -> int:
        # Floats are integers over powers of two.
        return 1 - max(Fraction(value).denominator for value in self.levels).bit_length()

    @property
    def max_value(self) -> float:
        return self.levels[-1]

    @property
    def min_value(self) -> float:
        return self.levels[0]

    @property
    def smallest(self) -> float:
        return next((value for value in self.levels if value > 0), 1.0)

    @property
    def padding(self) -> int | None:
        return self.levels.index(0.0) if 0.0 in self.levels else None

    @property
    def corners(self) -> tuple[int, ...]:
        last = len(self.levels) - 1
        zero = last // 2 if self.padding is None else self.padding
        near = {code for code in (zero - 1, zero, zero + 1) if 0 <= code <= last}
        return tuple(sorted({0, 1, last - 1, last} | near))
