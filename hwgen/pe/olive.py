"""OliVe: outlier-victim pairs of four-bit codes, decoded at the tile's border into (exponent, integer).

A byte holds two neighbours along K, the first in bits 3 to 0 (format ``olive4``). Where one of them is the identifier
1000b, it is a victim, which counts as 0, and the other is an outlier; else both are normal. The side information
``type`` of the row or the column's group says at run time what normal codes are and where outliers begin: int and bias
2 (±7; ±12 to ±96), flint and 3 (±16; ±24 to ±192), int and 3, flint and 4. The decoder of a pair gives for each

- normal int: its magnitude and exponent 0; flint: as in ``ant``,
- an outlier s e1 e0 m: the integer 2 + m and the exponent e + bias (up to 7), 0 beside the identifier if e1 e0 m is 0,
- the identifier: the integer 0. All 256 bytes mean something: two identifiers are two zeros.

A cell multiplies integers of three bits, shifts by the sum of the exponents (0 to 14), and accumulates exactly, in a
width for one outlier in two products. The scale belongs to the row, or to the column and group. OliVe has one type and
bias for each tensor; here each group and each token may have its own, of which equal ones are a case. ``int8`` is for a
side with eight bits, where OliVe pairs outliers of E4M3 too and makes a multiplier of eight bits of four of its
elements; here the width of a side is the tile's, and a byte has no outliers.

Timing: one cycle per step, latency 1 + stages and cuts.
Source: OliVe (ISCA'23, arXiv 2304.07493): pairs, identifier, abfloat, and elements <exponent, integer>.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Value

from hwgen.arith import conditional_negate, wire
from hwgen.formats import Format
from hwgen.frame.facts import P
from hwgen.frame.numbers import Num
from hwgen.frame.param import again
from hwgen.pe._border import BYTE, BorderSpec, Decoded, flint, flint_fields

__all__ = ["Olive"]

_FORMATS = ("olive4", "int8")
_IDENTIFIER = 8


@dataclass(frozen=True, kw_only=True)
class Olive(BorderSpec):
    """OliVe tile."""

    title: ClassVar[str] = "OliVe: outlier-victim pairs"

    weights: str = again(BorderSpec, "weights", default="olive4", legal=_FORMATS, sweep=_FORMATS)
    acts: str = again(BorderSpec, "acts", default="olive4", legal=_FORMATS, sweep=_FORMATS)

    BY_BITS: ClassVar[Mapping[int, str]] = {4: "olive4", 8: "int8"}
    DECODED: ClassVar[Mapping[str, Decoded]] = {
        "olive4": Decoded(7, 7, -384, 384, {"add": 9, "xor": 3, "mux2": 12, "and": 9}),
        "int8": BYTE,
    }
    TYPES: ClassVar[str] = "0 int and bias 2, 1 flint and 3, 2 int and 3, 3 flint and 4"

    @classmethod
    def word_range(cls, p: P) -> tuple[int, Num, Num]:
        """Of two neighbours one is an outlier at most, and its neighbour 0; two normal products are far less."""
        outliers = "olive4" in (p["acts"], p["weights"])
        return 2 if outliers else 1, *cls.product_range(p)

    def pairs(self, words: np.ndarray, form: Format, kind: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        assert kind is not None
        codes = np.stack([words & 15, words >> 4], axis=-1)
        others = codes[..., ::-1]
        kind = kind[..., None]
        low, negative = codes & 7, codes >> 3
        integer, exponent = flint_fields(low)
        whole = np.where(negative, (8 - low) & 7, low)
        integer = np.where(kind & 1, integer, whole)
        exponent = np.where(kind & 1, exponent, 0)
        beside = others == _IDENTIFIER
        integer = np.where(beside, np.where(low > 0, 2 + (low & 1), 0), integer)
        exponent = np.where(beside, (low >> 1) + 2 + (kind & 1) + (kind >> 1), exponent)
        shape = (*words.shape[:-1], -1)
        return np.where(negative, -integer, integer).reshape(shape), exponent.reshape(shape)

    def build_decoder(self, m: Module, word: Value, form: Format, kind: Value | None, name: str) -> list[Value]:
        assert kind is not None
        codes = word[:4], word[4:]
        marks = [wire(m, code == _IDENTIFIER, f"{name}_mark{index}") for index, code in enumerate(codes)]
        bias = wire(m, (Const(2, 3) + kind[0] + kind[1])[:3], f"{name}_bias")
        return [self._element(m, codes[one], marks[1 - one], kind[0], bias, f"{name}_{one}") for one in (0, 1)]

    @staticmethod
    def _element(m: Module, code: Value, beside: Value, flints: Value, bias: Value, name: str) -> Value:
        """Sign, magnitude and shift of an element; of the identifier both of its readings are 0."""
        low = code[:3]
        whole = conditional_negate(m, low, code[3], f"{name}_int", 3).as_unsigned()
        magnitude, shift = flint(m, code, f"{name}_flint")
        normal = Mux(flints, Cat(magnitude, shift), Cat(whole, Const(0, 3)))
        place = wire(m, (low[1:] + bias)[:3], f"{name}_place")
        outlier = Cat(low[0], low.any(), Const(0, 1), place)
        return Cat(code[3], wire(m, Mux(beside, outlier, normal), name))
