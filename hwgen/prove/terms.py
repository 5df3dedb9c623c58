"""Steps that add a term of each weight a cycle, in words of the manifest: terms of weights, what a cycle adds, and what
a normalised sum makes of it. Tables come from the formats' definitions; the rest are gates of a graph.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.prove.graph import Graph
from hwgen.prove.values import UnknownError, finite_values

__all__ = [
    "Activations",
    "Fields",
    "Term",
    "Update",
    "Weights",
    "Word",
    "activations",
    "exponent_bound",
    "lookup",
    "magnitude_bound",
    "number",
    "placed",
    "update",
    "updated",
    "weights",
    "whole_table",
]

Manifest = Mapping[str, Any]
Word = list[int]
Key = tuple[int, ...]


@dataclass(frozen=True)
class Activations:
    """Of each code: sign, exponent field (subnormals 1) and significand; the value is
    +-significand * 2**(exponent - 1) in units of the least number above zero.
    """

    sign: np.ndarray
    exponent: np.ndarray
    significand: np.ndarray


@dataclass(frozen=True)
class Term:
    """A phase's term of each code, above it the special value's bits: (-1)**sign * 2**exp * 2**bsig halves where
    ``there``.
    """

    sign: np.ndarray
    there: np.ndarray
    exp: np.ndarray
    bsig: int


@dataclass(frozen=True)
class Weights:
    """Terms by phase, of codes of so many bits with ``special_bits`` more of a port."""

    phases: tuple[Term, ...]
    code_bits: int
    special_bits: int


def activations(manifest: Manifest, mode: int) -> Activations:
    """Fields of a floating-point format's codes, infinity and NaN as the largest finite number."""
    rule = manifest["arithmetic"][mode]["acts"]
    encoding = manifest["encodings"][rule["encoding"]]
    if encoding["kind"] != "float" or rule["specials"] != "largest finite value" or not encoding["sign_bit"]:
        raise UnknownError(f"terms times activations of kind {encoding['kind']!r}")
    return _fields(rule["encoding"], encoding["bits"], encoding["mantissa_bits"], encoding["bias"])


@functools.cache
def _fields(name: str, bits: int, mantissa: int, bias: int) -> Activations:
    magnitudes = [abs(value) for value in finite_values(name, 1 - bias - mantissa)]
    exponents = [max(magnitude.bit_length() - mantissa, 1) for magnitude in magnitudes]
    return Activations(
        np.arange(len(magnitudes)) >> bits - 1,
        np.array(exponents, np.int64),
        np.array([m >> e - 1 for m, e in zip(magnitudes, exponents, strict=True)], np.int64),
    )


def weights(manifest: Manifest, mode: int) -> Weights:
    """Terms of a mode's weights, by the manifest's definition; their sum is the weight."""
    rule = manifest["arithmetic"][mode]["weights"]
    encoding = manifest["encodings"][rule["encoding"]]
    if rule["terms"] == "booth":
        return _booth(rule, encoding["bits"])
    if rule["terms"] != "leading ones" or encoding["kind"] != "magnitudes":
        raise UnknownError(f"terms of the kind {rule['terms']!r}")
    port = next(one for one in manifest["ports"] if one["name"] == rule["special"])
    special = manifest["encodings"][port["encoding"]]
    if special["kind"] != "sign_magnitude" or special["exponent"] != -1:
        raise UnknownError(f"special values of kind {special['kind']!r}")
    return _leading(rule, encoding, special["bits"])


def _booth(rule: Manifest, bits: int) -> Weights:
    codes = np.arange(1 << bits)
    values = np.array(finite_values(rule["encoding"], 0))
    total = np.zeros(len(codes), np.int64)
    phases = []
    for phase in range(rule["phases"]):
        high, low, below = ((values >> place & 1) if place >= 0 else 0 * values for place in _places(phase))
        digit = -2 * high + low + below
        phases.append(
            Term((digit < 0).astype(np.int64), (digit != 0).astype(np.int64), np.abs(digit) // 2, 2 * phase + 1)
        )
        total += digit << 2 * phase
    if (total != values).any():
        raise UnknownError(f"weights of {bits} bits in {rule['phases']} digits")
    return Weights(tuple(phases), bits, 0)


def _places(phase: int) -> tuple[int, int, int]:
    return 2 * phase + 1, 2 * phase, 2 * phase - 1


def _leading(rule: Manifest, encoding: Manifest, special_bits: int) -> Weights:
    bits = encoding["bits"]
    halves = [int(2 * value) for value in encoding["magnitudes"]]
    if rule["phases"] != 2 or [half / 2 for half in halves] != list(encoding["magnitudes"]):
        raise UnknownError("magnitudes that are no two terms of halves")
    codes = np.arange(1 << bits + special_bits)
    code, special = codes & (1 << bits) - 1, codes >> bits
    replaced = code == encoding["special_code"]
    magnitude = np.where(replaced, special & (1 << special_bits - 1) - 1, np.array(halves)[code & len(halves) - 1])
    sign = np.where(replaced, special >> special_bits - 1, code >> bits - 1)
    first = np.array([int(one).bit_length() - 1 for one in magnitude])
    rest = np.where(first > 0, magnitude - (1 << np.maximum(first, 0)), magnitude)
    second = np.array([int(one).bit_length() - 1 for one in rest])
    return Weights(
        (
            Term(sign, (first > 0).astype(np.int64), np.maximum(first - 1, 0), 1),
            Term(sign, (second >= 0).astype(np.int64), np.maximum(second, 0), 0),
        ),
        bits,
        special_bits,
    )


def whole_table(manifest: Manifest, mode: int) -> np.ndarray:
    """What an integer and a weight add in a whole step, in halves: activation code fastest, then the weight's, then
    the special value's.
    """
    rule = manifest["arithmetic"][mode]
    if "step" in rule or rule["sum"] != "exact":
        raise UnknownError("terms that are aligned within a cycle")
    acts, found = np.array(finite_values(rule["acts"]["encoding"], 0)), weights(manifest, mode)
    total = sum(
        (np.where(term.sign == 1, -term.there, term.there) << term.exp + term.bsig for term in found.phases),
        np.zeros(1, np.int64),
    )
    table: np.ndarray = np.multiply.outer(total, acts).reshape(-1)
    return table


# ---------------------------------------------------------------------- bounds


def magnitude_bound(manifest: Manifest, mode: int, depth: int) -> int:
    """No sum of ``depth`` products is larger, whatever is cut off of them.

    A term that is aligned to an exponent larger by more than the guard bits loses less than one unit of that one's last
    place; of a term with the other sign that makes a product larger.
    """
    form, found = activations(manifest, mode), weights(manifest, mode)
    guard, most = int(manifest["arithmetic"][mode]["step"]["guard_bits"]), 0
    for exponent in range(1, int(form.exponent.max()) + 1):
        full = int(form.significand[form.exponent == exponent].max()) << guard + exponent
        for side in (0, 1):
            exact, lost = np.zeros(1, np.int64), np.zeros(1, np.int64)
            for term in found.phases:
                value = term.there * full << term.exp + term.bsig
                exact = exact + np.where(term.sign == side, value, -value)
                top = int(form.exponent.max() + term.exp.max())
                cut = np.where(top - exponent - term.exp > guard, np.minimum(value, 1 << top + term.bsig), 0)
                lost = lost + np.where(term.sign == side, 0, cut)
            most = max(most, int((np.maximum(exact, 0) + lost).max()))
    return depth * most


def _most_of_a_product(manifest: Manifest, mode: int) -> int:
    """The largest magnitude that a weight's terms add, cut off or not, without their signs."""
    form, found = activations(manifest, mode), weights(manifest, mode)
    total = sum((term.there << term.exp + term.bsig for term in found.phases), np.zeros(1, np.int64))
    most = max(int(m) << int(e) for m, e in zip(form.significand, form.exponent, strict=True))
    return int(total.max()) * most << int(manifest["arithmetic"][mode]["step"]["guard_bits"])


def exponent_bound(manifest: Manifest, mode: int, depth: int) -> int:
    """No exponent E of a normalised sum of ``depth`` products is larger.

    A sum v that is not 0 is M * 2**(E - P + 1) with 2**(P - 2) <= |M| <= 2**(P - 1), so 2**(E - 1) <= |v|. A cycle adds
    u to it, rounds it down in a frame whose top place has the exponent H, the larger one of E and of the top place of
    u, and once more to P places: |v'| < |v| + |u| + 2**(H - F + 1) + 2**(H - P + 2). Nor is E ever below 0: all that
    is added is a whole number, and so is what is left of a sum of whole numbers that is rounded down.
    """
    rule = manifest["arithmetic"][mode]
    mantissa, frame = rule["accumulator"]["mantissa_bits"], rule["accumulator"]["frame_bits"]
    form, found, codes = activations(manifest, mode), weights(manifest, mode), manifest["modes"][mode]["k"]
    step = codes * _most_of_a_product(manifest, mode)
    highest_exp = int(form.exponent.max()) + rule["step"]["dot_bits"] - 1
    tops = [highest_exp + int(term.exp.max()) + term.bsig for term in found.phases]
    # In units of 2**-(F + P), so that all of it is whole.
    shift = frame + mantissa
    bound = most = 0
    for _ in range(-(-depth // codes)):
        bound += step << shift
        for top in tops:
            highest = max(top, (bound >> shift).bit_length())
            bound += (1 << shift + highest - frame + 1) + (1 << shift + highest - mantissa + 2)
        most = max(most, (bound >> shift).bit_length())
    return most


# ---------------------------------------------------------------------- gates


def lookup(g: Graph, bits: Sequence[int], table: np.ndarray, size: int) -> Word:
    """Words of a table by the values of literals, the first the lowest."""
    return [_placed(g, bits, *_diagram((table >> place & 1).astype(np.uint8).tobytes())) for place in range(size)]


Diagram = tuple[tuple[int, int, int], ...]


@functools.cache
def _diagram(table: bytes) -> tuple[Diagram, int]:
    """Choices (variable, where it is 1, where it is 0) that make a function, and the one at its top; 0 and 1 are
    constants, a choice is its place plus 2.
    """
    found: list[tuple[int, int, int]] = []
    known: dict[bytes, int] = {}

    def made(part: bytes) -> int:
        if part.count(part[:1]) == len(part):
            return part[0]
        if part not in known:
            half = len(part) // 2
            no, yes = made(part[:half]), made(part[half:])
            if no == yes:
                known[part] = no
            else:
                found.append((half.bit_length() - 1, yes, no))
                known[part] = len(found) + 1
        return known[part]

    top = made(table)
    return tuple(found), top


def _placed(g: Graph, bits: Sequence[int], diagram: Diagram, top: int) -> int:
    literals = [0, 1]
    for place, yes, no in diagram:
        literals.append(g.mux(bits[place], literals[yes], literals[no]))
    return literals[top]


def number(value: int, size: int) -> Word:
    """A constant."""
    return [value >> place & 1 for place in range(size)]


def choose(g: Graph, choice: int, yes: Sequence[int], no: Sequence[int]) -> Word:
    """One of two words."""
    return [g.mux(choice, a, b) for a, b in zip(yes, no, strict=True)]


def down(g: Graph, word: Sequence[int], amount: Sequence[int], fill: int) -> Word:
    """A word shifted right."""
    found = list(word)
    for place, choice in enumerate(amount):
        by = min(1 << place, len(found))
        found = choose(g, choice, [*found[by:], *[fill] * by], found)
    return found


def minus(g: Graph, a: Sequence[int], b: Sequence[int]) -> Word:
    """The difference of two numbers without sign, in one bit more than the wider one."""
    size = max(len(a), len(b)) + 1
    return g.add([(1, [*a, *[0] * (size - len(a))]), (-1, [*b, *[0] * (size - len(b))])], 0, size)


def largest(g: Graph, words: Sequence[Word]) -> Word:
    """The largest of numbers without sign, all of one width."""
    found = words[0]
    for word in words[1:]:
        found = choose(g, minus(g, found, word)[-1], word, found)
    return found


def updated(g: Graph, sums: Word, added: Sequence[int], level: Sequence[int], mantissa: int, frame: int) -> Word:
    """What a normalised sum (M, E) becomes, M of ``mantissa`` bits, where ``added`` stands on top of a frame of
    ``frame`` bits at exponent ``level``. E is taken modulo two to its width.
    """
    m, e = sums[:mantissa], sums[mantissa:]
    room = max(len(e), len(level)) + 1
    own, e = [*level, *[0] * (room - len(level))], [*e, *[0] * (room - len(e))]
    above = minus(g, own, e)[:room]
    below = minus(g, e, own)[:room]
    words = []
    for word, distance in ((m, above), (added, below)):
        placed = [*[0] * (frame - len(word)), *word]
        by = [g.and_(bit, distance[-1] ^ 1) for bit in distance[:-1]]
        shifted = down(g, placed, by, placed[-1])
        words.append([*shifted, shifted[-1]])
    total = g.add([(1, words[0]), (1, words[1])], 0, frame + 1)
    highest = choose(g, above[-1], e, own)
    exponent = g.add([(1, highest)], 1, room)
    left = total
    for _ in range(frame):
        move = g.xor(left[-1], left[-2]) ^ 1
        less = g.add([(1, exponent), (1, [1] * room)], 0, room)
        exponent = choose(g, move, less, exponent)
        left = choose(g, move, [0, *left[:-1]], left)
    some = g.any_(total)
    size = len(sums) - mantissa
    made = [*left[-mantissa:], *[g.and_(bit, some) for bit in exponent[:size]]]
    return choose(g, g.any_(added), made, sums)


def placed(g: Graph, sums: Word, added: Sequence[int], top: Sequence[int], bsig: int, saturate: bool) -> Word:
    """What a whole number becomes where ``added`` * 2**(``top`` + ``bsig``) is added to it: modulo two to its width,
    or the nearest number that there is.
    """
    width = len(sums)
    wide = max(width, len(added) + bsig + (1 << len(top))) + 1 if saturate else width
    word = [*[0] * bsig, *added, *[added[-1]] * wide][:wide]
    for place, choice in enumerate(top):
        by = min(1 << place, wide)
        word = choose(g, choice, [*[0] * by, *word[: wide - by]], word)
    total = g.add([(1, [*sums, *[sums[-1]] * (wide - width)]), (1, word)], 0, wide)
    if not saturate:
        return total
    sign = total[-1]
    over = g.any_([g.xor(bit, sign) for bit in total[width - 1 :]])
    return [*(g.mux(over, sign ^ 1, bit) for bit in total[: width - 1]), sign]


@dataclass(frozen=True)
class Update:
    """What a phase's terms add, in literals: ``added`` * 2**(``top`` + bsig), ``added`` the sum of the ``aligned``
    magnitudes, each with its sign; of 0 the sign says nothing.
    """

    top: Word
    aligned: list[Word]
    negative: list[int]
    added: Word


class Fields:
    """Fields of codes in a graph, each made once."""

    def __init__(self, g: Graph) -> None:
        self.g = g
        self._known: dict[tuple[Key, int, int], Word] = {}

    def of(self, bits: Sequence[int], table: np.ndarray, size: int) -> Word:
        """Words of a table, which must live as long as this does."""
        key = tuple(bits), id(table), size
        if key not in self._known:
            self._known[key] = lookup(self.g, bits, table, size)
        return self._known[key]


def update(
    fields: Fields,
    acts: Sequence[Word],
    codes: Sequence[Word],
    special: Word,
    form: Activations,
    term: Term,
    rule: Manifest,
) -> Update:
    """What a phase's terms add to a sum, by the manifest's definition of a step."""
    g = fields.g
    wide = int(form.exponent.max() + term.exp.max()).bit_length()
    size, dot = int(form.significand.max()).bit_length(), rule["dot_bits"]
    exponents, significands, negative = [], [], []
    for act, code in zip(acts, codes, strict=True):
        bits = [*code, *special]
        there = fields.of(bits, term.there, 1)[0]
        own = g.add([(1, fields.of(act, form.exponent, wide)), (1, fields.of(bits, term.exp, wide))], 0, wide)
        exponents.append([g.and_(bit, there) for bit in own])
        significands.append([g.and_(bit, there) for bit in fields.of(act, form.significand, size)])
        negative.append(g.xor(fields.of(act, form.sign, 1)[0], fields.of(bits, term.sign, 1)[0]))
    top = largest(g, exponents)
    aligned = [
        down(g, [*[0] * rule["guard_bits"], *significand], minus(g, top, own)[:-1], 0)
        for significand, own in zip(significands, exponents, strict=True)
    ]
    total = [0] * dot
    for word, sign in zip(aligned, negative, strict=True):
        wide_word = [*word, *[0] * (dot - len(word))]
        own = g.add([(1, [g.xor(bit, sign) for bit in wide_word])], sign, dot)
        total = g.add([(1, total), (1, own)], 0, dot)
    return Update(top, aligned, negative, total)
