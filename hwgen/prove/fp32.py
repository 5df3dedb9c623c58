"""FP32 addition as a definition in gates: exact sum, normalised place by place, rounded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwgen.prove.graph import Graph

__all__ = ["Case", "adder_cases", "differs_from_sum", "sum_code"]

_FAR = 27
"""Exponents this far apart: the smaller number is less than a quarter of the larger one's last place."""


@dataclass(frozen=True)
class Case:
    """Pairs of finite numbers whose exponents are ``apart``, the second one's larger with ``swapped``.

    Without ``apart`` those that are `_FAR` apart or more; with ``special`` pairs of which one is no number.
    """

    apart: int | None
    swapped: bool = False
    special: bool = False

    def __str__(self) -> str:
        if self.special:
            return "infinities and NaN"
        side = "second" if self.swapped else "first"
        return f"the {side} exponent larger by {_FAR if self.apart is None else self.apart}" + (
            " or more" if self.apart is None else ""
        )


def adder_cases() -> list[Case]:
    """Cases that are all pairs of FP32 numbers together."""
    near = [Case(apart, swapped) for apart in range(_FAR) for swapped in (False, True) if apart or not swapped]
    return [Case(None, special=True), Case(None), Case(None, True), *near]


def _number(value: int, size: int) -> list[int]:
    return [value >> place & 1 for place in range(size)]


def _equal(g: Graph, a: Sequence[int], b: Sequence[int]) -> int:
    return g.any_([g.xor(x, y) for x, y in zip(a, b, strict=True)]) ^ 1


def _exponent(g: Graph, code: Sequence[int]) -> list[int]:
    """Exponent field, 1 for subnormals."""
    return [g.or_(code[23], g.any_(code[23:31]) ^ 1), *code[24:31]]


def _near(g: Graph, a: Sequence[int], b: Sequence[int], apart: int) -> tuple[list[int], int]:
    """The sum of two finite numbers, the first one's exponent larger by ``apart``.

    And whether it is not normalised by as many places as are looked at: two where the exponents are apart, since no
    more than one place of the larger number cancels there.
    """
    size = 25 + apart
    words = []
    for code, places in ((a, apart), (b, 0)):
        word = [0] * places + [*code[:23], g.any_(code[23:31])]
        words.append([g.xor(bit, code[31]) for bit in [*word, *[0] * (size + 1 - len(word))]])
    total = g.add([(1, words[0]), (1, words[1])], a[31], size + 1)
    total = g.add([(1, total), (1, [b[31]] + [0] * size)], 0, size + 1)
    negative = total[size]
    exact = g.add([(1, [g.xor(bit, negative) for bit in total])], negative, size + 1)[:size]
    exponent = g.add([(1, [*_exponent(g, b), 0, 0]), (1, _number(size - 24, 10))], 0, 10)
    left = exact
    for _ in range(size - 1 if apart < 2 else 2):
        # One place to the left, as long as there is no leading one and the exponent is not the least.
        move = g.and_(left[-1] ^ 1, _equal(g, exponent, _number(1, 10)) ^ 1)
        left = [g.mux(move, yes, no) for yes, no in zip([0, *left[:-1]], left, strict=True)]
        less = g.add([(1, exponent), (1, [1] * 10)], 0, 10)
        exponent = [g.mux(move, yes, no) for yes, no in zip(less, exponent, strict=True)]
    # Zero has no leading one.
    wrong = g.and_(g.and_(left[-1] ^ 1, g.any_(left)), _equal(g, exponent, _number(1, 10)) ^ 1)
    kept, half, rest = left[-24:], left[-25] if size > 24 else 0, g.any_(left[: size - 25])
    up = g.and_(half, g.or_(rest, kept[0]))
    field = [g.and_(bit, left[-1]) for bit in exponent]
    rounded = g.add([(1, [*kept[:23], *field[:9]])], up, 32)
    infinite = g.or_(rounded[31], g.any_([bit ^ 1 for bit in rounded[23:31]]) ^ 1)
    sign = g.mux(g.any_(exact), negative, g.and_(a[31], b[31]))
    low = [g.and_(bit, infinite ^ 1) for bit in rounded[:23]]
    return [*low, *[g.or_(bit, infinite) for bit in rounded[23:31]], sign], wrong


def _special(g: Graph, a: Sequence[int], b: Sequence[int]) -> list[int]:
    """The sum where a number is infinite or NaN."""
    tops = [g.any_([bit ^ 1 for bit in code[23:31]]) ^ 1 for code in (a, b)]
    nans = [g.and_(top, g.any_(code[:23])) for top, code in zip(tops, (a, b), strict=True)]
    opposed = g.and_(g.and_(*tops), g.xor(a[31], b[31]))
    nan = g.or_(g.or_(*nans), opposed)
    sign = g.and_(g.mux(tops[0], a[31], b[31]), nan ^ 1)
    return [*[0] * 22, nan, *[1] * 8, sign]


def differs_from_sum(g: Graph, found: Sequence[int], a: Sequence[int], b: Sequence[int], case: Case) -> int:
    """Literal: the pair is one of a case, and ``found`` is not its sum, rounded to nearest even; NaN is 7fc00000."""
    tops = [g.any_([bit ^ 1 for bit in code[23:31]]) ^ 1 for code in (a, b)]
    some = g.or_(*tops)
    if case.special:
        return g.and_(some, _unequal(g, found, _special(g, a, b)))
    large, small = (b, a) if case.swapped else (a, b)
    # One bit more, so that a difference has a sign.
    gap = g.add([(1, [*_exponent(g, large), 0]), (-1, [*_exponent(g, small), 0])], 0, 9)
    wrong = 0
    if case.apart is None:
        least = g.add([(1, gap), (-1, _number(_FAR, 9))], 0, 9)
        here = g.and_(gap[8] ^ 1, least[8] ^ 1)
        wanted = list(large)
    else:
        here = _equal(g, gap, _number(case.apart, 9))
        wanted, wrong = _near(g, large, small, case.apart)
    return g.and_(g.and_(here, some ^ 1), g.or_(wrong, _unequal(g, found, wanted)))


def sum_code(a: int, b: int) -> int:
    """Code of the sum of two codes, by the same definition."""
    g = Graph()
    codes = [[code >> place & 1 for place in range(32)] for code in (a, b)]
    tops = [(code >> 23 & 255) == 255 for code in (a, b)]
    large, small = sorted(codes, key=lambda code: _whole(_exponent(g, code)), reverse=True)
    apart = _whole(_exponent(g, large)) - _whole(_exponent(g, small))
    if any(tops):
        return _whole(_special(g, *codes))
    return _whole(_near(g, large, small, apart)[0] if apart < _FAR else large)


def _whole(bits: Sequence[int]) -> int:
    return sum(bit << place for place, bit in enumerate(bits))


def _unequal(g: Graph, a: Sequence[int], b: Sequence[int]) -> int:
    return g.any_([g.xor(x, y) for x, y in zip(a, b, strict=True)])
