"""ANT: four-bit types chosen for each group, decoded at the tile's border into (exponent, integer).

A group of weights, and a row of activations, is of one of four types, which its side information ``type`` names at run
time (format ``ant4``): int, flint, powers of two (pot), or float (E2M1). ``flint4`` and ``pot4`` are of one type and
take no side information; ``int8`` is for layers that four bits do not do for. A decoder of four bits c3 c2 c1 c0 gives

- int: the magnitude and exponent 0; −8 is (3, −1), so that three bits of magnitude are enough,
- flint: (0, c1 c0) below c2; with c2 and z zeros in front of the first one of c1 c0: (2z, c1 c0 · 2), or (4, 1),
- pot: (c2 c1 c0 − 1, 1), float: (e − 1, 1 f) or (0, f), with its sign above.

A cell multiplies integers of three bits, shifts by the sum of the exponents (0 to 12), and accumulates exactly. The
scale belongs to the row, or to the column and group, whatever the type. ANT chooses a type for each tensor; here each
group and each token may have its own, of which equal ones are a case. ANT's cells of four bits join into one of eight;
here the width of a side is the tile's. In post lanes, and without, sums are those of integers.

Timing: one cycle per step, latency 1 + stages and cuts.
Source: ANT (MICRO'22, arXiv 2208.14286): border decoders and (exponent, integer) elements. Its float type is E2M1 here,
and the pairs that a decoder gives are ours, with ANT's products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from amaranth.hdl import Cat, Const, Module, Value

from hwgen.arith import conditional_negate, wire
from hwgen.arith.select import select
from hwgen.formats import AntFormat, Format
from hwgen.frame.param import again
from hwgen.pe._border import BYTE, BorderSpec, Decoded, flint, flint_fields

__all__ = ["Ant"]

_FLINT = Decoded(6, 4, -16, 16, {"and": 10})
_POT = Decoded(1, 6, -64, 64, {"add": 3})
_FORMATS = ("ant4", "flint4", "pot4", "int8")


def _fields(kind: str, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integers and exponents of codes of one type, int64."""
    low, negative = codes & 7, codes >> 3
    if kind == "int":
        value = low - 8 * negative
        lowest = value == -8
        return np.where(lowest, -1, value), np.where(lowest, 3, 0)
    if kind == "flint":
        magnitude, exponent = flint_fields(low)
    elif kind == "pot":
        magnitude, exponent = (low > 0).astype(np.int64), np.maximum(low - 1, 0)
    else:
        normal = low > 1
        magnitude, exponent = np.where(normal, 2 + (low & 1), low), np.where(normal, (low >> 1) - 1, 0)
    return np.where(negative, -magnitude, magnitude), exponent


@dataclass(frozen=True, kw_only=True)
class Ant(BorderSpec):
    """ANT tile."""

    title: ClassVar[str] = "ANT: a type for each group"

    weights: str = again(BorderSpec, "weights", default="ant4", legal=_FORMATS, sweep=("ant4", "pot4", "int8"))
    acts: str = again(BorderSpec, "acts", default="ant4", legal=_FORMATS, sweep=("ant4", "int8"))

    BY_BITS: ClassVar[Mapping[int, str]] = {4: "ant4", 8: "int8"}
    DECODED: ClassVar[Mapping[str, Decoded]] = {
        "ant4": Decoded(7, 6, -64, 64, {"add": 6, "xor": 3, "mux2": 18, "and": 15}),
        "flint4": _FLINT,
        "pot4": _POT,
        "int8": BYTE,
    }
    TYPES: ClassVar[str] = "0 int, 1 flint, 2 powers of two, 3 E2M1"

    def pairs(self, words: np.ndarray, form: Format, kind: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        assert isinstance(form, AntFormat)
        kinds = [_fields(name, words) for name in form.kinds]
        if kind is None:
            return kinds[0]
        integers, exponents = (np.choose(kind, part) for part in zip(*kinds, strict=True))
        return integers, exponents

    def build_decoder(self, m: Module, word: Value, form: Format, kind: Value | None, name: str) -> list[Value]:
        assert isinstance(form, AntFormat)
        builders = {"int": _integer, "flint": flint, "pot": _pot, "float": _float}
        found = [builders[one](m, word, f"{name}_{one}") for one in form.kinds]
        if kind is None:
            magnitude, shift = found[0]
        else:
            fields = [Cat(_filled(magnitude), _filled(shift)) for magnitude, shift in found]
            chosen = wire(m, select(m, fields, kind, f"{name}_choice"), f"{name}_chosen")
            magnitude, shift = chosen[:3], chosen[3:]
        return [Cat(word[3], magnitude, shift)]


def _filled(value: Value) -> Value:
    """Three bits."""
    return Cat(value, Const(0, 3 - len(value)))


def _integer(m: Module, word: Value, name: str) -> tuple[Value, Value]:
    """Magnitude and shift of an integer."""
    lowest = wire(m, word[3] & ~word[:3].any(), f"{name}_lowest")
    magnitude = conditional_negate(m, word[:3], word[3], name, 3).as_unsigned()
    return Cat(magnitude[0] | lowest, magnitude[1:]), lowest.replicate(2)


def _pot(m: Module, word: Value, name: str) -> tuple[Value, Value]:
    """Magnitude and shift of a power of two; of zero the shift is any."""
    return word[:3].any(), wire(m, (word[:3] - 1)[:3].as_unsigned(), name)


def _float(m: Module, word: Value, name: str) -> tuple[Value, Value]:
    """Magnitude and shift of E2M1 in halves."""
    return Cat(word[0], word[1] | word[2]), Cat(word[2] & ~word[1], word[2] & word[1])
