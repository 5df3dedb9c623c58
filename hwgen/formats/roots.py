"""Fourth roots of unity as weights of complex layers: a code is what a pair of real inputs is multiplied by.

Inputs 2j and 2j + 1 of a real layer are one complex number x = a + bi, outputs 2n and 2n + 1 another. A word of
``roots4`` is a weight i^c, c in two bits; its two values, by which a and b are multiplied, are those of the real part
Re(i^c · x): a, -b, -a, b for c = 0 to 3. The imaginary part is Re(i^(c-1) · x): the word of output 2n + 1 is `turned`
from that of output 2n, so that two outputs share what one word says.

``roots4_widely`` has two roots, u in bits 0 and 1 and w above: i^u · x + i^w · conj(x), of which any real layer has one
(widely linear). Source: iFairy (arXiv 2508.05571), Fairy2i (arXiv 2512.02901); which code means what is ours.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats.base import Floats, Scalar, WholeFormat, Words, check_range

__all__ = ["RootsFormat"]

_RE = (1, 0, -1, 0)
_IM = (0, 1, 0, -1)


@dataclass(frozen=True, kw_only=True)
class RootsFormat(WholeFormat):
    """Words of two values, those of i^c, or with ``widely`` of i^u and a conjugated i^w.

    ``decode`` returns a trailing axis of 2, ``encode`` takes one, brings both values within the format's ends and gives
    the nearest word, of several the smallest code. NaN is refused, and no word is zero for both outputs.
    """

    without_zero: ClassVar[bool] = True

    name: str = field(init=False)
    code_bits: int = field(init=False)
    elements: int = field(default=2, init=False)
    widely: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", "roots4_widely" if self.widely else "roots4")
        object.__setattr__(self, "code_bits", 4 if self.widely else 2)

    @property
    def roots(self) -> int:
        """Roots in a word."""
        return 2 if self.widely else 1

    def turned(self, words: npt.ArrayLike) -> Words:
        """Words of the imaginary part: every root divided by i."""
        found, words = np.zeros(np.shape(words), np.uint32), self.words(words)
        for root in range(self.roots):
            found |= ((words >> np.uint32(2 * root)) + 3 & 3) << np.uint32(2 * root)
        return found

    def describe(self) -> dict[str, Any]:
        words = range(1 << self.code_bits)
        values = [[float(self.decode_scalar(code, place)) for place in range(self.elements)] for code in words]
        return {"kind": "table", "bits": self.code_bits, "elements": self.elements, "values": values}

    # ------------------------------------------------------------------ the specification

    def decode_scalar(self, code: int, element: int = 0) -> Scalar:
        """Value of one of the two elements of a word."""
        self._code(code)
        check_range(self.name, "element", element, 0, self.elements - 1)
        first, second = code & 3, code >> 2
        # Re((r + si)(a + bi)) = r·a - s·b, and with the conjugate r·a + s·b.
        total = _RE[first] if element == 0 else -_IM[first]
        if self.widely:
            total += _RE[second] if element == 0 else _IM[second]
        return Fraction(total)

    def encode_scalar(self, value: Scalar) -> int:
        """Word of twice the same value."""
        return self.encode_word([value] * self.elements)

    def encode_word(self, values: Sequence[Scalar]) -> int:
        """Word of two values. Raises `HwgenError` for NaN."""
        exact = [self._clamped(value) for value in values]

        def distance(code: int) -> Fraction:
            own = [Fraction(self.decode_scalar(code, place)) for place in range(self.elements)]
            return sum(((v - e) ** 2 for v, e in zip(own, exact, strict=True)), Fraction(0))

        return min(range(1 << self.code_bits), key=lambda code: (distance(code), code))

    # ------------------------------------------------------------------ arrays

    def _decode(self, words: Words, side: npt.NDArray[Any] | None) -> Floats:
        found: Floats = _table(self.widely)[words]
        return found

    def _encode(self, values: Floats, side: npt.NDArray[Any] | None) -> Words:
        if values.shape[-1:] != (self.elements,):
            raise HwgenError(
                f"{self.name}: values must have a last axis of {self.elements}, not the shape {list(values.shape)}"
            )
        table = _table(self.widely)
        inside = np.clip(values, self.min_value, self.max_value)
        # |v|^2 - 2·v·x orders words as their distances from x do; all single roots have the same |v|.
        norms = (table**2).sum(axis=-1) if self.widely else 0.0
        order = norms - 2 * (inside[..., None, :] * table).sum(axis=-1)
        words: Words = np.argmin(order, axis=-1).astype(np.uint32)
        return words

    # ------------------------------------------------------------------ facts

    @property
    def tied_rows(self) -> int:
        return 2

    @property
    def max_value(self) -> float:
        return float(self.roots)

    @property
    def corners(self) -> tuple[int, ...]:
        return tuple(range(1 << self.code_bits))


@functools.cache
def _table(widely: bool) -> Floats:
    """Values of all words, [words, 2]."""
    return np.array(RootsFormat(widely=widely).describe()["values"])
