"""Tables: any value for any code, one table for each value of a selector where there is one.

``table(0,1,2,4,0,-1,-2,-4)`` lists the values of all codes in code order; of several tables, parted by semicolons, a
group's selector (side information) picks one. ``special(fp4_e2m1,-5,5,-8,8)`` is another format in which the code that
repeats a value (-0) is one of so many special values: FP4 with Redundant Zero Remapping is such a format.

`fixed_point` makes a format's values integers of a stated width, for hardware that looks values up and multiplies them.
Source of special values: RaZeR (arXiv 2501.04052); which ones there are is the user's choice here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats.base import Floats, Format, Scalar, Words, check_range
from hwgen.formats.codebook import NF4, CodebookFormat

__all__ = ["ANY4", "LEARNED_BITS", "TRIT_PLANES", "TableFormat", "fixed_point", "value_table", "with_special"]

_CODES = 256
_SELECTORS = 256

LEARNED_BITS = 8
"""Bits of a value of tables that belong to a tensor."""


def _listed(values: Sequence[float]) -> str:
    return ",".join(repr(value).removesuffix(".0") for value in values)


@dataclass(frozen=True, kw_only=True)
class TableFormat(Format):
    """Values by code: ``tables`` of 2 to 256, a power of two, and 1 to 256 tables, likewise; ``label`` is the name.

    Without a label the tables are the name. Encoding goes to the nearest value of the selector's table and saturates; a
    tie goes to the even code, of two such to the lower value, and a value that several codes have to the lowest of
    them. NaN is refused. ``learned``: the tables belong to a tensor, are no part of the name, and hardware is given
    them with the codes; values are then integers of `LEARNED_BITS` bits.
    """

    name: str = field(init=False)
    code_bits: int = field(init=False)
    side_bits: int = field(init=False)
    tables: tuple[tuple[float, ...], ...]
    label: str = ""
    learned: bool = False

    def __post_init__(self) -> None:
        # Adding zero turns -0 into +0.
        tables = tuple(tuple(float(value) + 0.0 for value in table) for table in self.tables)
        called = self.label or "table"
        count, size = len(tables), len(tables[0]) if tables else 0
        if count & (count - 1) or not 1 <= count <= _SELECTORS:
            raise HwgenError(f"{called}: tables must be 1, 2, 4 … {_SELECTORS}, not {count}")
        for table in tables:
            if len(table) != size or size & (size - 1) or not 2 <= size <= _CODES:
                raise HwgenError(f"{called}: a table must be 2, 4, 8 … {_CODES} values, as many each, not {len(table)}")
            for value in table:
                if not math.isfinite(value):
                    raise HwgenError(f"{called}: values must be finite numbers, not {value:g}")
        object.__setattr__(self, "tables", tables)
        object.__setattr__(self, "code_bits", size.bit_length() - 1)
        object.__setattr__(self, "side_bits", count.bit_length() - 1)
        object.__setattr__(self, "name", self.label or f"table({';'.join(map(_listed, tables))})")

    def describe(self) -> dict[str, Any]:
        return {"kind": "index", "bits": self.code_bits} if self.learned else super().describe()

    def levels(self, side: int = 0) -> tuple[float, ...]:
        """Values of all codes in code order, for one selector."""
        return self.tables[check_range(self.name, "selector", side, 0, len(self.tables) - 1)]

    # ------------------------------------------------------------------ the specification

    def decode_scalar(self, code: int, side: int | None = None) -> Scalar:
        return Fraction(self.levels(side or 0)[self._code(code)])

    def encode_scalar(self, value: Scalar, side: int | None = None) -> int:
        levels, exact = self.levels(side or 0), self._clamped(value)
        # The lowest of the codes that mean the same; then the least distance, the even code, the lower value.
        own = sorted({level: code for code, level in reversed(list(enumerate(levels)))}.items())
        return min(own, key=lambda pair: (abs(Fraction(pair[0]) - exact), pair[1] & 1, pair[0]))[1]

    # ------------------------------------------------------------------ arrays

    def _side(self, side: npt.ArrayLike | None) -> npt.NDArray[Any] | None:
        given = super()._side(side)
        if given is not None and given.size:
            for worst in (int(given.min()), int(given.max())):
                check_range(self.name, "selector", worst, 0, len(self.tables) - 1)
        return given

    def _decode(self, words: Words, side: npt.NDArray[Any] | None) -> Floats:
        found: Floats = np.array(self.tables)[0 if side is None else side.astype(np.int64), words]
        return found

    def _encode(self, values: Floats, side: npt.NDArray[Any] | None) -> Words:
        if side is None:
            return _searched(self.tables[0], values)
        shape = np.broadcast_shapes(values.shape, side.shape)
        codes, wanted, chosen = np.zeros(shape, np.uint32), np.broadcast_to(values, shape), np.broadcast_to(side, shape)
        for selector in np.unique(side).tolist():
            here = chosen == selector
            codes[here] = _searched(self.tables[selector], wanted[here])
        return codes

    # ------------------------------------------------------------------ facts (over all selectors)

    def _every(self) -> tuple[float, ...]:
        return tuple(itertools.chain(*self.tables))

    @property
    def lsb_exp(self) -> int:
        # Floats are integers over powers of two.
        return 1 - max(Fraction(value).denominator for value in self._every()).bit_length()

    @property
    def max_value(self) -> float:
        return max(self._every())

    @property
    def min_value(self) -> float:
        return min(self._every())

    @property
    def smallest(self) -> float:
        return min((value for value in self._every() if value > 0), default=1.0)

    @property
    def padding(self) -> int | None:
        columns = zip(*self.tables, strict=True)
        return next((code for code, values in enumerate(columns) if not any(values)), None)

    @property
    def corners(self) -> tuple[int, ...]:
        size = len(self.tables[0])
        ends = {function(range(size), key=table.__getitem__) for table in self.tables for function in (min, max)}
        # A code whose value depends on the selector.
        varying = {code for code, values in enumerate(zip(*self.tables, strict=True)) if len(set(values)) > 1}
        zero = set() if self.padding is None else {self.padding}
        return tuple(sorted({0, 1, size // 2, size - 1} | ends | varying | zero))


def _searched(table: tuple[float, ...], values: Floats) -> Words:
    """Codes of one table's values nearest to ``values``."""
    levels, order = np.unique(np.array(table), return_index=True)
    if len(levels) == 1:
        return np.full(values.shape, order[0], np.uint32)
    least = []
    for below, above, code_below, code_above in zip(levels[:-1], levels[1:], order[:-1], order[1:], strict=True):
        middle = (Fraction(float(below)) + Fraction(float(above))) / 2
        number = float(middle)
        up = code_above % 2 == 0 and code_below % 2 == 1
        # The least float64 that belongs to the upper one.
        beyond = Fraction(number) > middle or (Fraction(number) == middle and up)
        least.append(number if beyond else math.nextafter(number, math.inf))
    return order[np.searchsorted(np.array(least), values, side="right")].astype(np.uint32)


def _trit_planes() -> TableFormat:
    """Sums t + r·u of two trits whose scales have the ratio r = 1/8, 2/8 … 1, which a selector picks.

    A code has t in bits 0 and 1 and u in bits 2 and 3, as two bits of two's complement of which -2 counts as 0.
    """
    trits = (0, 1, 0, -1)
    tables = [[trits[code & 3] + eighths / 8 * trits[code >> 2] for code in range(16)] for eighths in range(1, 9)]
    return TableFormat(tables=tuple(map(tuple, tables)), label="trit_planes")


TRIT_PLANES = _trit_planes()
"""Two ternary planes, as PTQTP (arXiv 2509.16989) has them, but with a ratio of their scales in three bits."""


ANY4 = TableFormat(tables=(tuple(float(round(127 * value)) for value in NF4),) * 2, label="any4", learned=True)
"""Four bits with tables that belong to a tensor; those of the catalogue's format are NF4's, and stand for none."""


def value_table(form: Format) -> tuple[tuple[float, ...], ...] | None:
    """Values of a format's codes in code order, one table for each selector; None where one is not finite, or codes
    are more than 256. Values of a code of several elements are side by side.
    """
    if form.code_bits > 8 or form.side_bits > 4:
        return None
    codes = form.codes()
    sides: list[npt.NDArray[Any] | None] = [None]
    if form.side_bits:
        sides = [np.full(codes.shape, side) for side in range(1 << form.side_bits)]
    found = np.stack([form.decode(codes, side) for side in sides])
    return tuple(map(tuple, (found.reshape(len(sides), -1) + 0.0).tolist())) if np.isfinite(found).all() else None


def with_special(form: Format, values: Sequence[float]) -> TableFormat:
    """``form`` in which a code that only repeats a value means one of ``values``, which a selector picks.

    The code is the last one whose value a lower code has: -0 of a minifloat. Values are 1, 2, 4 and so on. Raises
    `HwgenError` for a format without such a code, and for one with selectors of its own.
    """
    name = f"special({form.name},{_listed([float(value) + 0.0 for value in values])})"
    tables = value_table(form)
    base = tables[0] if tables is not None and len(tables) == form.elements == 1 else ()
    spare = [code for code, value in enumerate(base) if value in base[:code]]
    if not spare:
        raise HwgenError(
            f"{name}: the format must have a code that repeats a value, such as the -0 of fp4_e2m1, which {form.name} "
            "has not"
        )
    made = tuple((*base[: spare[-1]], float(value), *base[spare[-1] + 1 :]) for value in values)
    return TableFormat(tables=made, label=name)


def fixed_point(form: Format, bits: int) -> Format | None:
    """``form`` itself where its values fit integers of ``bits`` bits in units of its last place; else their rounding.

    They are then multiplied by one factor, so that the largest magnitude becomes 2**(bits - 1) - 1, and rounded to the
    nearest integer, ties to even; a group's scale makes up for the factor. None where that leaves two different values
    of a table equal, for formats without a `value_table`, and for codes of several elements.
    """
    if form.fixed_bits <= bits:
        return form
    tables = value_table(form)
    if tables is None or form.elements != 1:
        return None
    largest = max(abs(Fraction(value)) for table in tables for value in table)
    factor = ((1 << (bits - 1)) - 1) / largest
    rounded = tuple(tuple(float(round(Fraction(value) * factor)) for value in table) for table in tables)
    if any(len(set(new)) < len(set(old)) for new, old in zip(rounded, tables, strict=True)):
        return None
    if isinstance(form, CodebookFormat):
        return CodebookFormat(levels=rounded[0])
    return TableFormat(tables=rounded)
