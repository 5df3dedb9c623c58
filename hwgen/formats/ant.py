"""ANT's four-bit types: integers, flint, powers of two and E2M1, chosen for each group or fixed.

Flint keeps the exponent in the place of the first one, as few or as many bits as it takes, and the mantissa in those
that are left. Three bits m2 m1 m0: with m2 = 0 the integers 0 to 3; with m2 = 1 the zeros z in front of the first one
of m1 m0 say (m1 m0)·2 · 2**(2z), or 2**4 where there is none: 4, 6, 8, 16. A sign goes above.

Source: ANT (MICRO'22, arXiv 2208.14286); values as in the authors' code (clevercool/ANT-Quantization), in units of the
least one. The unsigned types of its activations behind a ReLU are left out; the order of the types among the selectors
is ours.
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

from hwgen.errors import HwgenError, suggest
from hwgen.formats.base import Floats, Scalar, WholeFormat, Words, check_range

__all__ = ["ANT_TYPES", "FLINT_MAGNITUDES", "AntFormat"]

ANT_TYPES = ("int", "flint", "pot", "float")
"""Types by selector."""

FLINT_MAGNITUDES = (0, 1, 2, 3, 16, 8, 4, 6)
"""Magnitudes of flint by its three bits."""

_MAGNITUDES = {
    "flint": FLINT_MAGNITUDES,
    "pot": (0, 1, 2, 4, 8, 16, 32, 64),
    "float": (0, 1, 2, 3, 4, 6, 8, 12),
}
"""Magnitudes of sign-magnitude types by the three lower bits of a code; E2M1 is counted in halves."""


def _levels(kind: str) -> tuple[int, ...]:
    """Values of the sixteen codes of a type."""
    if kind == "int":
        return (*range(8), *range(-8, 0))
    magnitudes = _MAGNITUDES[kind]
    return (*magnitudes, *(-value for value in magnitudes))


@functools.cache
def _nearest(kind: str) -> tuple[Words, Floats]:
    """Codes of the distinct values, ascending, and the least float64 that belongs to each of them but the first."""
    codes = sorted({value: code for code, value in reversed(list(enumerate(_levels(kind))))}.items())
    # A midpoint belongs to the value nearer to zero.
    middles = [(below + above) / 2 for (below, _), (above, _) in itertools.pairwise(codes)]
    least = [middle if middle < 0 else math.nextafter(middle, math.inf) for middle in middles]
    return np.array([code for _, code in codes], np.uint32), np.array(least)


@dataclass(frozen=True, kw_only=True)
class AntFormat(WholeFormat):
    """Four-bit codes whose group's selector says the type (``ant4``), or that are all of one ``kind`` (``flint4``).

    Selector 0 is int, two's complement of -8 to 7; 1 flint, 0, 1, 2, 3, 4, 6, 8, 16 with a sign; 2 pot, 0 and 1 to 64
    in powers of two with a sign; 3 float, E2M1 in halves, 0, 1, 2, 3, 4, 6, 8, 12 with a sign. ``pot4`` counts in units
    of 1 what ``e3m0`` counts in units of 1/4. -0 decodes to 0 and is never encoded.

    Encoding goes to the nearest value, a tie to the one nearer to zero, and saturates at the selector's ends. NaN is
    refused.
    """

    name: str = field(init=False)
    code_bits: int = field(default=4, init=False)
    side_bits: int = field(default=2, init=False)
    kind: str = ""

    def __post_init__(self) -> None:
        if self.kind not in ("", "flint", "pot"):
            raise HwgenError(
                f"ant: kind must be flint, pot or empty, not {self.kind!r}{suggest(self.kind, ('flint', 'pot'))}"
            )
        object.__setattr__(self, "name", f"{self.kind or 'ant'}4")
        object.__setattr__(self, "side_bits", 0 if self.kind else 2)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Types that a group may have, by selector."""
        return (self.kind,) if self.kind else ANT_TYPES

    def levels(self, side: int = 0) -> tuple[int, ...]:
        """Values of all codes in code order, for one selector."""
        check_range(self.name, "selector", side, 0, len(self.kinds) - 1)
        return _levels(self.kinds[side])

    def largest(self, side: int = 0) -> int:
        """Largest value for one selector; -8 of int is beyond it."""
        return max(self.levels(side))

    # ------------------------------------------------------------------ the specification

    def decode_scalar(self, code: int, side: int | None = None) -> Scalar:
        return Fraction(self.levels(self._selector(side))[self._code(code)])

    def encode_scalar(self, value: Scalar, side: int | None = None) -> int:
        levels = self.levels(self._selector(side))
        exact = self._clamped(value)
        return min(range(len(levels)), key=lambda code: (abs(levels[code] - exact), abs(levels[code]), code))

    def _selector(self, side: int | None) -> int:
        self._side(side)
        return int(side or 0)

    def _side(self, side: npt.ArrayLike | None) -> npt.NDArray[Any] | None:
        given = super()._side(side)
        if given is not None and given.size:
            for worst in (int(given.min()), int(given.max())):
                check_range(self.name, "selector", worst, 0, len(self.kinds) - 1)
        return given

    # ------------------------------------------------------------------ arrays

    def _decode(self, words: Words, side: npt.NDArray[Any] | None) -> Floats:
        table = np.array([_levels(kind) for kind in self.kinds], np.float64)
        return table[0][words] if side is None else table[np.asarray(side, dtype=np.int64), words]

    def _encode(self, values: Floats, side: npt.NDArray[Any] | None) -> Words:
        chosen = np.zeros((), np.int64) if side is None else np.asarray(side)
        shape = np.broadcast_shapes(values.shape, chosen.shape)
        wanted, chosen = np.broadcast_to(values, shape), np.broadcast_to(chosen, shape)
        codes = np.zeros(shape, np.uint32)
        for selector, kind in enumerate(self.kinds):
            here = chosen == selector
            ordered, least = _nearest(kind)
            codes[here] = ordered[np.searchsorted(least, wanted[here], side="right")]
        return codes

    # ------------------------------------------------------------------ facts (over all selectors)

    def _every(self) -> list[int]:
        return [value for kind in self.kinds for value in _levels(kind)]

    @property
    def max_value(self) -> float:
        return float(max(self._every()))

    @property
    def min_value(self) -> float:
        return float(min(self._every()))

    @property
    def corners(self) -> tuple[int, ...]:
        return (0, 1, 4, 7, 8, 9, 12, 15)
