"""A number times scales, rounded once into FP32, as a definition in gates: case by case of where the leading one is."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from hwgen.formats import get
from hwgen.prove.cut import gates
from hwgen.prove.graph import Graph
from hwgen.prove.reference import UnknownError
from hwgen.prove.tables import all_patterns, evaluate, word_of

__all__ = ["Scale", "magnitude", "nonzero", "product", "rounded", "scale_of", "scaled"]

_BIAS, _FRACTION = 127, 23
_CHECKED_BITS = 16


@dataclass(frozen=True)
class Scale:
    """A scale's code: fraction lowest, then exponent, then the sign if there is one.

    Its value is significand · 2**(exponent + ``offset``).
    """

    encoding: str
    fraction: int
    exponent: int
    sign: bool
    subnormals: bool
    specials: str
    offset: int

    @property
    def bits(self) -> int:
        return self.fraction + self.exponent + self.sign

    def field(self, code: Sequence[int]) -> list[int]:
        return list(code[self.fraction : self.fraction + self.exponent])

    def significand(self, g: Graph, code: Sequence[int]) -> list[int]:
        """Fraction and hidden bit."""
        return [*code[: self.fraction], g.any_(self.field(code)) if self.subnormals else 1]

    def power(self, g: Graph, code: Sequence[int]) -> list[int]:
        """Exponent field, 1 for subnormals."""
        field = self.field(code)
        return [g.or_(field[0], g.any_(field) ^ 1), *field[1:]] if self.subnormals else field

    def negative(self, code: Sequence[int]) -> int:
        return code[-1] if self.sign else 0

    def special(self, g: Graph, code: Sequence[int]) -> tuple[int, int]:
        """Whether it is infinite, and whether it is NaN."""
        if self.specials == "none":
            return 0, 0
        top = g.any_([bit ^ 1 for bit in self.field(code)]) ^ 1
        if self.specials == "fn":
            return 0, g.and_(top, g.any_([bit ^ 1 for bit in code[: self.fraction]]) ^ 1)
        some = g.any_(code[: self.fraction])
        return g.and_(top, some ^ 1), g.and_(top, some)


@functools.cache
def scale_of(encoding: str) -> Scale:
    """A format of floating point as a scale, each of its codes compared with the format's own definition.

    Raises `UnknownError` for others.
    """
    form = get(encoding)
    said = form.describe()
    if said["kind"] != "float" or form.code_bits > _CHECKED_BITS:
        raise UnknownError(f"scales of encoding {encoding!r}")
    offset = -said["bias"] - said["mantissa_bits"]
    fields = said["mantissa_bits"], said["exponent_bits"], said["sign_bit"]
    found = Scale(encoding, *fields, said["subnormals"], said["specials"], offset)
    for code, value in enumerate(_values(found)):
        if not _same(form.decode_scalar(code), value):
            raise UnknownError(f"scales of encoding {encoding!r}, whose code {code:#x} is not {value}")
    return found


def _values(scale: Scale) -> list[float]:
    """Values of all codes, as the gates have them; exact: few bits, and exponents within those of a double."""
    g = Graph()
    code = [g.var(place) for place in range(scale.bits)]
    words = [
        scale.significand(g, code),
        scale.power(g, code),
        [scale.negative(code)],
        *([bit] for bit in scale.special(g, code)),
    ]
    ends = [literal for word in words for literal in word]
    bits = iter(evaluate(g, ends, all_patterns([literal >> 1 for literal in code])))
    columns = [word_of([next(bits) for _ in word], 1 << scale.bits) for word in words]
    found = []
    for significand, power, negative, infinite, nan in zip(*(column.tolist() for column in columns), strict=True):
        size = math.nan if nan else math.inf if infinite else math.ldexp(significand, power + scale.offset)
        found.append(-size if negative else size)
    return found


def _same(a: Fraction | float, b: float) -> bool:
    return a == b or (a != a and b != b)


# ---------------------------------------------------------------------- words


def magnitude(g: Graph, number: Sequence[int]) -> list[int]:
    """Magnitude of a number in two's complement, in as many bits."""
    sign = number[-1]
    return gates(g, g.add([(1, [g.xor(bit, sign) for bit in number])], sign, len(number)))


def product(g: Graph, a: Sequence[int], b: Sequence[int], *, signed: bool = False) -> list[int]:
    """Product of two words, row by row of ``b``."""
    width = len(a) + len(b)
    fill = (a[-1], b[-1]) if signed else (0, 0)
    wide = [[*word, *[bit] * (width - len(word))] for word, bit in zip((a, b), fill, strict=True)]
    total = [0] * width
    for place, bit in enumerate(wide[1]):
        row = [0] * place + [g.and_(one, bit) for one in wide[0][: width - place]]
        total = gates(g, g.add([(1, total), (1, row)], 0, width))
    return total


# ---------------------------------------------------------------------- the number


def _number(value: int, size: int) -> list[int]:
    return [value >> place & 1 for place in range(size)]


def _is(g: Graph, word: Sequence[int], value: int) -> int:
    return g.any_([bit ^ (value >> place & 1) for place, bit in enumerate(word)]) ^ 1


def rounded(
    g: Graph, significand: Sequence[int], place: int, field: Sequence[int], sign: int, *, odd: bool
) -> list[int]:
    """FP32 code of a number whose leading one is at ``place`` and whose exponent field would be ``field``, signed.

    To nearest even, or with ``odd`` cut off, the last bit set where something was lost.
    """
    bits = [significand[at] if at >= 0 else 0 for at in range(place - _FRACTION, place + 1)]
    half = significand[place - _FRACTION - 1] if place > _FRACTION else 0
    rest = g.any_(significand[: max(place - _FRACTION - 1, 0)])
    low = g.or_(field[-1], g.any_(field) ^ 1)
    # Below the least exponent so many places are lost; all of them, and more, far below.
    kept, lost, below = [0] * len(bits), 0, 1
    for by in range(1, len(bits) + 1):
        here = _is(g, field, 1 - by)
        moved = [*bits[by:], *[0] * by]
        kept = [g.mux(here, yes, no) for yes, no in zip(moved, kept, strict=True)]
        lost = g.mux(here, bits[by - 1], lost)
        below = g.mux(here, g.any_([*bits[: by - 1], half, rest]), below)
    kept = [g.mux(low, yes, no) for yes, no in zip(kept, bits, strict=True)]
    half, rest = g.mux(low, lost, half), g.mux(low, below, rest)
    if odd:
        kept[0] = g.or_(kept[0], g.or_(half, rest))
    up = 0 if odd else g.and_(half, g.or_(rest, kept[0]))
    high = g.any_(field[8:-1])
    over = g.and_(field[-1] ^ 1, g.or_(high, g.any_([bit ^ 1 for bit in field[:8]]) ^ 1))
    exponent = [g.and_(bit, low ^ 1) for bit in field[:8]]
    total = gates(g, g.add([(1, [*kept[:_FRACTION], *exponent, 0])], up, 32))
    infinite = g.or_(over, g.or_(total[31], g.any_([bit ^ 1 for bit in total[23:31]]) ^ 1))
    most = [g.or_(bit, over) if odd else g.and_(bit, infinite ^ 1) for bit in total[:_FRACTION]]
    top = [g.or_(bit, infinite) for bit in total[23:31]]
    if odd:
        top = [g.mux(over, int(at > 0), bit) for at, bit in enumerate(total[23:31])]
    return [*most, *top, sign]


def nonzero(g: Graph, known: Mapping[str, Sequence[int]], scales: Mapping[str, Scale]) -> int:
    """Whether none of the factors of `scaled` is 0."""
    some = g.any_(known["magnitude"])
    for name, scale in scales.items():
        some = g.and_(some, g.any_(scale.significand(g, known[name])))
    return some


def scaled(
    g: Graph,
    known: Mapping[str, Sequence[int]],
    scales: Mapping[str, Scale],
    unit_exp: int,
    place: int | None,
    *,
    odd: bool = False,
    nar: bool = False,
) -> list[int]:
    """FP32 code of number · scales · 2**unit_exp, of what is ``known`` by name: the signed ``number``, its
    ``magnitude``, codes of scales, and the ``significand`` of the exact product, whose leading one is at ``place``
    (None: it is 0). With ``nar`` the least number is none.
    """
    number, codes = known["number"], {name: known[name] for name in scales}
    sign, infinite, nan = number[-1], 0, 0
    if nar:
        nan = g.and_(number[-1], g.any_(number[:-1]) ^ 1)
    for name, scale in scales.items():
        own, none = scale.special(g, codes[name])
        sign, infinite, nan = g.xor(sign, scale.negative(codes[name])), g.or_(infinite, own), g.or_(nan, none)
    nan = g.or_(nan, g.and_(infinite, nonzero(g, known, scales) ^ 1))
    word = [0] * 32
    if place is not None:
        constant = unit_exp + place + _BIAS + sum(scale.offset for scale in scales.values())
        most = abs(constant) + sum(1 << scale.exponent for scale in scales.values())
        size = max(most.bit_length() + 1, 10)
        field = _number(constant, size)
        for name, scale in scales.items():
            power = scale.power(g, codes[name])
            field = gates(g, g.add([(1, field), (1, [*power, *[0] * (size - len(power))])], 0, size))
        word = rounded(g, known["significand"], place, field, sign, odd=odd)
    word = [g.and_(bit, infinite ^ 1) for bit in word[:23]] + [g.or_(bit, infinite) for bit in word[23:31]] + [word[31]]
    word[31] = g.mux(infinite, sign, word[31])
    quiet = [0] * 22 + [1] * 9 + [0]
    return [g.mux(nan, yes, no) for yes, no in zip(quiet, word, strict=True)]
