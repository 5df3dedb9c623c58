"""Width arithmetic that works on scalars and on arrays alike: one formula serves an instance and a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = [
    "Num",
    "bits_for",
    "bits_for_multiple",
    "ceil_div",
    "clog2",
    "distinct",
    "first_places",
    "maximum",
    "ranked",
    "unsigned_bits",
    "where",
]

Num = Any
"""An ``int`` or an integer ndarray."""


_EXACT = 1 << 53
_LIMB = 31


def _is_array(*values: Num) -> bool:
    return any(isinstance(value, np.ndarray) for value in values)


def unsigned_bits(x: Num) -> Num:
    """Bits that hold the unsigned number ``x``; 0 for 0."""
    if _is_array(x):
        bits = np.where(x > 0, np.frexp(np.asarray(x, dtype=np.float64))[1], 0).astype(np.int64)
        if x.size and x.max() >= _EXACT:
            # float64 rounds such numbers, at worst up to the next power of two.
            bits = bits - ((x > 0) & (x >> np.maximum(bits - 1, 0) == 0))
        return bits
    return int(x).bit_length()


def clog2(x: Num) -> Num:
    """Ceiling of log2 for ``x >= 1``: the bits of an index into ``x`` things."""
    return unsigned_bits(x - 1)


def bits_for(low: Num, high: Num) -> Num:
    """Two's-complement bits that hold every integer from ``low`` to ``high``; at least 1."""
    return maximum(unsigned_bits(maximum(high, 0)), unsigned_bits(maximum(-low - 1, 0))) + 1


def _product_bits(a: Num, b: Num) -> Num:
    """Bits of ``a * b`` for ``a >= 0`` (below 2**62 in an array) and ``0 <= b < 2**31``, also beyond 64 bits."""
    if not _is_array(a, b):
        return (int(a) * int(b)).bit_length()
    if not _is_array(a) and a >> 62:
        values, inverse = np.unique(b, return_inverse=True)
        return np.array([(int(a) * int(value)).bit_length() for value in values])[inverse].reshape(b.shape)
    if int(np.max(a)) * int(np.max(b)) < 1 << 62:
        return unsigned_bits(a * b)
    a, b = np.asarray(a, np.int64), np.asarray(b, np.int64)
    low = (a & ((1 << _LIMB) - 1)) * b
    high = (a >> _LIMB) * b + (low >> _LIMB)
    return np.where(high > 0, unsigned_bits(high) + _LIMB, unsigned_bits(low))


def bits_for_multiple(low: Num, high: Num, times: Num) -> Num:
    """`bits_for` of ``low * times`` and ``high * times`` for ``1 <= times < 2**31``, exact beyond 64 bits."""
    below, above = maximum(-low, 0), maximum(high, 0)
    # −2**j needs no more bits than 2**j − 1, and a product is a power of two where both factors are.
    power = (below > 0) & (below & (below - 1) == 0) & (times & (times - 1) == 0)
    return maximum(_product_bits(above, times), _product_bits(below, times) - power) + 1


def ceil_div(a: Num, b: Num) -> Num:
    """Quotient rounded up, for positive ``b``."""
    return -(-a // b)


def maximum(a: Num, b: Num) -> Num:
    """Larger of the two, element by element."""
    return np.maximum(a, b) if _is_array(a, b) else max(a, b)


def where(condition: Num, yes: Num, no: Num) -> Num:
    """``yes`` where the condition holds, else ``no``."""
    return np.where(condition, yes, no) if _is_array(condition, yes, no) else (yes if condition else no)


def distinct(values: Mapping[str, Num]) -> tuple[dict[str, Num], np.ndarray | None]:
    """Numbers by name, of which each combination is there once, and at which place each of the given ones is.

    Scalars stay as they are; arrays broadcast, and become of one dimension. The places, of the arrays' shape, are None
    where there are no arrays.
    """
    arrays = {name: value for name, value in values.items() if np.ndim(value)}
    if not arrays:
        return dict(values), None
    shape = np.broadcast_shapes(*(np.shape(value) for value in arrays.values()))
    rows = {name: np.broadcast_to(value, shape).reshape(-1) for name, value in arrays.items()}
    known = np.zeros(np.prod(shape, dtype=int), np.int64)
    for row in rows.values():
        own, places = ranked(row)
        # Numbered anew each time: products of many counts might not fit.
        _, known = ranked(known * len(own) + places)
    first = first_places(known)
    return {**values, **{name: row[first] for name, row in rows.items()}}, known.reshape(shape)


def first_places(ranks: np.ndarray) -> np.ndarray:
    """Where each of the numbers from 0 to the largest is met first."""
    first = np.empty(int(ranks.max(initial=-1)) + 1, np.int64)
    # Backwards: what is written last is what is met first.
    first[ranks[::-1]] = np.arange(len(ranks) - 1, -1, -1)
    return first


_TABLE = 4
"""Numbers that a table has for each that it looks up, at most."""


def ranked(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values in ascending order, and the place among them of each of ``values``, of one dimension.

    As `numpy.unique`, but whole numbers that lie close together are not sorted.
    """
    if values.size and values.dtype.kind in "iu":
        low, high = int(values.min()), int(values.max())
        if high - low < max(_TABLE * values.size, 1 << 12):
            offsets = values - low
            there = np.zeros(high - low + 1, bool)
            there[offsets] = True
            return np.flatnonzero(there).astype(values.dtype) + low, (np.cumsum(there) - 1)[offsets]
    found, places = np.unique(values, return_inverse=True)
    return found, places.reshape(-1)
