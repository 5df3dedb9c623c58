"""OliVe: pairs of four-bit codes, of which one may be an outlier with many bits' range in place of its neighbour.

A byte holds two neighbours along K, the first in bits 3 to 0, the second in bits 7 to 4. The code 1000b is the
identifier: where it stands is a victim, which is 0, and the other one is an outlier, in abfloat: a sign above E2M1
without a zero exponent, (2 + m) · 2**(e + bias). Its magnitude 000b is left out, as 1000b is the identifier; here it is
0. Without an identifier both are normal, int4 from -7 to 7 or flint4 (`hwgen.formats.ant`), neither of which needs
1000b. The bias lets outliers begin where normal values end.

Source: OliVe (ISCA'23, arXiv 2304.07493); values as in the authors' code (clevercool/ANT-Quantization). The order of
types among the selectors, and the two biases of each, are ours.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats.ant import FLINT_MAGNITUDES
from hwgen.formats.base import Floats, Scalar, WholeFormat, Words, check_range

__all__ = ["IDENTIFIER", "OLIVE_TYPES", "OliveFormat"]

IDENTIFIER = 8
"""Code of a victim."""
OLIVE_TYPES = (("int", 2), ("flint", 3), ("int", 3), ("flint", 4))
"""Type of normal values, and bias of outliers, by selector."""

_NORMALS = {"int": tuple(range(8)), "flint": FLINT_MAGNITUDES}
"""Magnitudes by the three lower bits of a normal code."""


def _normal(kind: str, code: int) -> int:
    if kind == "int":
        return code - 16 if code & 8 else code
    magnitude = _NORMALS[kind][code & 7]
    return -magnitude if code & 8 else magnitude


def _outlier(bias: int, code: int) -> int:
    low = code & 7
    magnitude = (2 + (low & 1)) << ((low >> 1) + bias) if low else 0
    return -magnitude if code & 8 else magnitude


def _pair(code: int, side: int) -> tuple[int, int]:
    """Values of both elements of a byte."""
    kind, bias = OLIVE_TYPES[side]
    first, second = code & 15, code >> 4
    if IDENTIFIER not in (first, second):
        return _normal(kind, first), _normal(kind, second)
    return 0 if first == IDENTIFIER else _outlier(bias, first), 0 if second == IDENTIFIER else _outlier(bias, second)


@functools.cache
def _table() -> Floats:
    """float64 [selectors, bytes, 2]."""
    return np.array([[_pair(code, side) for code in range(256)] for side in range(len(OLIVE_TYPES))], np.float64)


def _choices(side: int) -> tuple[dict[int, int], dict[int, int]]:
    """Normal values and outliers with their codes, for a selector, the smaller magnitudes first."""
    kind, bias = OLIVE_TYPES[side]
    normals = {_normal(kind, code): code for code in range(16) if code != IDENTIFIER}
    outliers = {_outlier(bias, code): code for code in range(16) if code & 7}
    return _by_magnitude(normals), _by_magnitude(outliers)


def _by_magnitude(codes: dict[int, int]) -> dict[int, int]:
    return dict(sorted(codes.items(), key=lambda item: abs(item[0])))


def _nearest(values: Iterable[int], x: float) -> int:
    """Nearest of some values, the first of several."""
    return min(values, key=lambda value: (x - value) ** 2)


@dataclass(frozen=True, kw_only=True)
class OliveFormat(WholeFormat):
    """Bytes of two OliVe elements; the group's selector says what normal values are, and where outliers begin.

    Selector 0: int (±7) and outliers ±12, 16, 24 … 96 (bias 2); 1: flint (±16) and ±24 … 192 (bias 3); 2: int and bias
    3; 3: flint and ±48 … 384 (bias 4). All codes mean something: 0x88 is two zeros, and so is an identifier beside
    000b; neither is ever encoded.

    ``decode`` returns a trailing axis of 2, ``encode`` takes one. Encoding takes of three, both normal, outlier and
    victim, victim and outlier, the one with the least sum of squares, in float64, the first of equal ones; each number
    goes to the nearest of its values, a tie to the smaller magnitude. NaN is refused.
    """

    name: str = field(default="olive4", init=False)
    code_bits: int = field(default=8, init=False)
    elements: int = field(default=2, init=False)
    side_bits: int = field(default=2, init=False)

    def normals(self, side: int) -> tuple[int, ...]:
        """Magnitudes of normal values, ascending."""
        check_range(self.name, "selector", side, 0, len(OLIVE_TYPES) - 1)
        return tuple(sorted({abs(value) for value in _choices(side)[0]}))

    def outliers(self, side: int) -> tuple[int, ...]:
        """Magnitudes of outliers, ascending."""
        check_range(self.name, "selector", side, 0, len(OLIVE_TYPES) - 1)
        return tuple(sorted({abs(value) for value in _choices(side)[1]}))

    # ------------------------------------------------------------------ the specification

    def decode_scalar(self, code: int, element: int = 0, side: int | None = None) -> Scalar:
        """Value of one of both elements."""
        self._side(side)
        return Fraction(_pair(self._code(code), int(side or 0))[element])

    def encode_scalar(self, value: Scalar, side: int | None = None) -> int:
        """Byte of twice the same value."""
        return self.encode_pair((value, value), side)

    def encode_pair(self, values: Sequence[Scalar], side: int | None = None) -> int:
        """Byte of two values. Raises `HwgenError` for NaN."""
        self._side(side)
        x = [float(self._clamped(value)) for value in values]
        normals, outliers = _choices(int(side or 0))
        near, far = ([_nearest(some, one) for one in x] for some in (normals, outliers))
        words = (
            ((x[0] - near[0]) ** 2 + (x[1] - near[1]) ** 2, normals[near[0]] | normals[near[1]] << 4),
            ((x[0] - far[0]) ** 2 + x[1] ** 2, outliers[far[0]] | IDENTIFIER << 4),
            ((x[1] - far[1]) ** 2 + x[0] ** 2, IDENTIFIER | outliers[far[1]] << 4),
        )
        return min(words, key=lambda word: word[0])[1]

    def _side(self, side: npt.ArrayLike | None) -> npt.NDArray[Any] | None:
        given = super()._side(side)
        if given is not None and given.size:
            for worst in (int(given.min()), int(given.max())):
                check_range(self.name, "selector", worst, 0, len(OLIVE_TYPES) - 1)
        return given

    # ------------------------------------------------------------------ arrays

    def _decode(self, words: Words, side: npt.NDArray[Any] | None) -> Floats:
        assert side is not None
        return _table()[np.asarray(side, dtype=np.int64), words]

    def _encode(self, values: Floats, side: npt.NDArray[Any] | None) -> Words:
        assert side is not None
        if values.shape[-1:] != (self.elements,):
            raise HwgenError(
                f"{self.name}: values must have a last axis of {self.elements}, not the shape {list(values.shape)}"
            )
        shape = np.broadcast_shapes(values.shape[:-1], side.shape)
        x = np.broadcast_to(np.clip(values, self.min_value, self.max_value), (*shape, 2))
        chosen = np.broadcast_to(side, shape)
        words = np.zeros(shape, np.uint32)
        for selector in range(len(OLIVE_TYPES)):
            here = chosen == selector
            if here.any():
                words[here] = self._of_type(x[here], selector)
        return words

    @staticmethod
    def _of_type(x: Floats, side: int) -> Words:
        """Bytes of pairs [..., 2], for one selector."""
        kind, bias = OLIVE_TYPES[side]
        negative = np.signbit(x) & (x != 0)
        magnitude = np.abs(x)

        def nearest(levels: list[int]) -> tuple[npt.NDArray[np.int64], Floats]:
            """Three lower bits of the nearest magnitudes, and their distances squared."""
            order = np.argsort(levels, kind="stable")
            known = np.array(levels, np.float64)[order]
            index = np.searchsorted((known[1:] + known[:-1]) / 2, magnitude, side="left")
            return order[index], (magnitude - known[index]) ** 2

        low, near = nearest(list(_NORMALS[kind]))
        high, far = nearest([_outlier(bias, code) for code in range(1, 8)])
        signed = negative & (low != 0)
        normal = np.where(signed, 16 - low, low) if kind == "int" else low | signed << 3
        outlier = (high + 1) | negative << 3
        errors = np.stack(
            [near[..., 0] + near[..., 1], far[..., 0] + magnitude[..., 1] ** 2, far[..., 1] + magnitude[..., 0] ** 2]
        )
        options = np.stack(
            [normal[..., 0] | normal[..., 1] << 4, outlier[..., 0] | IDENTIFIER << 4, IDENTIFIER | outlier[..., 1] << 4]
        )
        best = np.argmin(errors, axis=0)
        found: Words = np.take_along_axis(options, best[None], axis=0)[0].astype(np.uint32)
        return found

    # ------------------------------------------------------------------ facts (over all selectors)

    @property
    def max_value(self) -> float:
        return float(max(self.outliers(side)[-1] for side in range(len(OLIVE_TYPES))))

    @property
    def corners(self) -> tuple[int, ...]:
        """Zeros, normal values of every kind and outliers in either place, their ends, and what is not encoded."""
        return (0x00, 0x45, 0x54, 0x6B, 0x78, 0x7C, 0x80, 0x87, 0x88, 0x8E, 0x8F, 0xA7, 0xC8, 0xD6, 0xF8)
