"""BitMoD weight formats: small floating point whose redundant -0 is one of four special values, chosen for each group.

A code is sign and magnitude. With magnitude 0 and the sign set it is the group's special value, which a two-bit
selector (side information) picks from a table of four; the table is a field of the format, because the hardware's is
programmable at run time. An entry of 0 is a register that nobody has programmed: -0 then means 0.

Hardware splits a magnitude into two powers of two of the fixed-point number I3 I2 I1 I0 . F0, so a special value must
have at most two ones there: 0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 4.5, 5, 6, 8, 8.5, 9, 10, 12 and their negatives.
Source: BitMoD (HPCA'25, arXiv 2411.11745), Table IV; the order within a table is ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats.base import Floats, Format, Scalar, Words, check_range

__all__ = ["MAGNITUDE_BITS", "TWO_TERM_MAGNITUDES", "BitmodFormat"]

MAGNITUDE_BITS = 5
"""Bits of a magnitude in fixed point, in units of one half."""
TWO_TERM_MAGNITUDES = tuple(units / 2 for units in range(1 << MAGNITUDE_BITS) if units.bit_count() <= 2)
"""Magnitudes that are the sum of at most two powers of two."""

_BASIC = {3: (0.0, 1.0, 2.0, 4.0), 4: (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)}
_SPECIALS = {3: (-3.0, 3.0, -6.0, 6.0), 4: (-5.0, 5.0, -8.0, 8.0)}


@dataclass(frozen=True, kw_only=True)
class BitmodFormat(Format):
    """FP3 (0, ±1, ±2, ±4) or FP4 (E2M1) with the group's special value in place of -0.

    ``specials``: the four values that selectors 0 to 3 mean; by default -3, 3, -6, 6 (FP3) or -5, 5, -8, 8 (FP4).
    Another table is part of the name: ``bitmod_fp4(-5,5,-10,0)``.

    Encoding goes to the nearest value of the selector's set, a tie to the lower one, and saturates; what is zero gets
    code 0, and so does every value of the basic set its own code where a special value repeats it. NaN is refused.
    """

    name: str = field(init=False)
    code_bits: int = 4
    side_bits: int = field(default=2, init=False)
    specials: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "code_bits", check_range("bitmod", "bits", self.code_bits, min(_BASIC), max(_BASIC)))
        usual = _SPECIALS[self.code_bits]
        # Adding zero turns -0 into +0, so that equal tables have equal names.
        table = tuple(float(value) + 0.0 for value in self.specials) if self.specials else usual
        bare = f"bitmod_fp{self.code_bits}"
        if len(table) != 1 << self.side_bits:
            raise HwgenError(f"{bare}: specials must be {1 << self.side_bits} values, not {len(table)}")
        for value in table:
            if abs(value) not in TWO_TERM_MAGNITUDES:
                known = ", ".join(f"{magnitude:g}" for magnitude in TWO_TERM_MAGNITUDES)
                raise HwgenError(
                    f"{bare}: specials must be sums of two powers of two with a sign ({known}), not {value:g}"
                )
        object.__setattr__(self, "specials", table)
        listed = ",".join(f"{value:g}" for value in table)
        object.__setattr__(self, "name", bare if table == usual else f"{bare}({listed})")

    @property
    def basic(self) -> tuple[float, ...]:
        """Magnitudes of the codes without sign, ascending."""
        return _BASIC[self.code_bits]

    @property
    def special_code(self) -> int:
        """The code that means the group's special value: sign set, magnitude 0."""
        return 1 << (self.code_bits - 1)

    def levels(self, side: int) -> tuple[float, ...]:
        """Values of all codes in code order, for one selector."""
        check_range(self.name, "selector", side, 0, len(self.specials) - 1)
        return (*self.basic, self.specials[side], *(-value for value in self.basic[1:]))

    def largest(self, side: int) -> float:
        """Largest magnitude for one selector, its special value included."""
        return max(abs(value) for value in self.levels(side))

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "magnitudes",
            "bits": self.code_bits,
            "magnitudes": list(self.basic),
            "special_code": self.special_code,
            "specials": list(self.specials),
        }

    # ------------------------------------------------------------------ the specification

    def decode_scalar(self, code: int, side: int | None = None) -> Scalar:
        return Fraction(self.levels(self._selector(side))[self._code(code)])

    def encode_scalar(self, value: Scalar, side: int | None = None) -> int:
        levels = self.levels(self._selector(side))
        exact = self._clamped(value)
        # The least distance, then the lower level, then the code of the basic set.
        return min(
            range(len(levels)),
            key=lambda code: (abs(Fraction(levels[code]) - exact), levels[code], code == self.special_code),
        )

    def _selector(self, side: int | None) -> int:
        self._side(side)
        return int(side or 0)

    def _side(self, side: npt.ArrayLike | None) -> npt.NDArray[Any] | None:
        given = super()._side(side)
        if given is not None and given.size:
            for worst in (int(given.min()), int(given.max())):
                check_range(self.name, "selector", worst, 0, len(self.specials) - 1)
        return given

    # ------------------------------------------------------------------ arrays

    def _table(self) -> Floats:
        """float64 [4, codes]."""
        return np.array([self.levels(side) for side in range(len(self.specials))])

    def _decode(self, words: Words, side: npt.NDArray[Any] | None) -> Floats:
        assert side is not None
        return self._table()[np.asarray(side, dtype=np.int64), words]

    def _encode(self, values: Floats, side: npt.NDArray[Any] | None) -> Words:
        assert side is not None
        codes = np.zeros(np.broadcast_shapes(values.shape, side.shape), np.uint32)
        # The special value last: of equal levels `unique` keeps the first.
        ordered = np.array([code for code in range(1 << self.code_bits) if code != self.special_code])
        ordered = np.append(ordered, self.special_code)
        wanted, chosen = np.broadcast_to(values, codes.shape), np.broadcast_to(side, codes.shape)
        for selector in np.unique(side).tolist():
            levels, order = np.unique(np.array(self.levels(selector))[ordered], return_index=True)
            here = chosen == selector
            # Left: what lies on a midpoint belongs to the level below it.
            codes[here] = ordered[order[np.searchsorted((levels[1:] + levels[:-1]) / 2, wanted[here], side="left")]]
        return codes

    # ------------------------------------------------------------------ facts (over all selectors)

    def _every(self) -> Iterable[float]:
        return (*self.basic, *(-value for value in self.basic), *self.specials)

    @property
    def lsb_exp(self) -> int:
        return 0 if all(value.is_integer() for value in self._every()) else -1

    @property
    def max_value(self) -> float:
        return max(self._every())

    @property
    def min_value(self) -> float:
        return min(self._every())

    @property
    def smallest(self) -> float:
        return min(value for value in self._every() if value > 0)

    @property
    def corners(self) -> tuple[int, ...]:
        middle = self.special_code
        return tuple(sorted({0, 1, middle - 1, middle, middle + 1, 2 * middle - 1}))
