"""A fixed-point magnitude as two powers of two: its leading one, and the next one once that is masked.

For a magnitude of w bits the first term is the leading one of bits w - 1 … 1, the second the leading one of bits
w - 2 … 0 of what is left. Both have w - 1 places, so their exponents have the same width; the first counts from bit 1,
the second from bit 0. The windows overlap: without the mask the first one would be found twice.
Magnitudes with more than two ones are not the sum of two terms; the ones below the second are lost (`beyond_two_terms`
tells).
Source: BitMoD (HPCA'25), section IV; the mask is ours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Value

from hwgen.arith.bits import named, wire

__all__ = ["Term", "TermArrays", "beyond_two_terms", "two_terms", "two_terms_reference"]


class Term(NamedTuple):
    """man · 2**exp in units of the term's lowest bit, as hardware; exp is 0 where man is."""

    exp: Value
    man: Value


class TermArrays(NamedTuple):
    """The same as int64 arrays."""

    exp: np.ndarray
    man: np.ndarray


def _encode(m: Module, window: Value, name: str) -> tuple[Term, Value]:
    """Leading one of a window: its place in binary, whether there is one, and the window without it."""
    width = len(window)
    window = named(m, window, f"{name}_window")
    leading = [
        window[place] & ~window[place + 1 :].any() if place + 1 < width else window[place] for place in range(width)
    ]
    only = wire(m, Cat(*leading), f"{name}_only")
    bits = max((width - 1).bit_length(), 1)
    places = [Cat(*[only[place] for place in range(width) if place >> bit & 1]).any() for bit in range(bits)]
    return Term(wire(m, Cat(*places), f"{name}_exp"), wire(m, window.any(), f"{name}_man")), window & ~only


def two_terms(m: Module, magnitude: Value, name: str, *, second: Value | None = None) -> tuple[Term, ...]:
    """Terms of an unsigned ``magnitude`` of at least two bits: the first and the second.

    With ``second`` (one bit) there is one term, the first or the second as it says: a bit-serial encoder needs one
    encoder for both.
    """
    magnitude = named(m, magnitude, f"{name}_magnitude")
    first, rest = _encode(m, magnitude[1:], f"{name}_first")
    left = wire(m, Cat(magnitude[0], rest)[:-1], f"{name}_left")
    if second is None:
        return first, _encode(m, left, f"{name}_second")[0]
    return (_encode(m, Mux(second, left, magnitude[1:]), f"{name}_chosen")[0],)


def beyond_two_terms(m: Module, magnitude: Value, name: str) -> Value:
    """One bit: ``magnitude`` has more than two ones."""
    magnitude = named(m, magnitude, f"{name}_magnitude")
    one: Value = Const(0, 1)
    two: Value = Const(0, 1)
    three: Value = Const(0, 1)
    for place in range(len(magnitude)):
        bit = magnitude[place]
        one, two, three = one | bit, two | (one & bit), three | (two & bit)
    return wire(m, three, name)


def two_terms_reference(magnitudes: np.ndarray, bits: int) -> tuple[TermArrays, TermArrays]:
    """What `two_terms` yields for unsigned magnitudes of ``bits`` bits."""
    words = np.asarray(magnitudes, dtype=np.int64)

    def encode(window: np.ndarray) -> TermArrays:
        place = np.maximum(np.frexp(window.astype(np.float64))[1] - 1, 0).astype(np.int64)
        return TermArrays(place, (window > 0).astype(np.int64))

    first = encode(words >> 1)
    left = words - (first.man << (first.exp + 1))
    return first, encode(left & ((1 << (bits - 1)) - 1))
