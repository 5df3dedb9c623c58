"""Sums proved by rewriting them: a word of bits as a polynomial modulo 2**w, from its end back to the operands.

Every step replaces a bit by what it is: a & b by a·b, a ^ b by a + b - 2ab, a whole word adder by the sum of its words.
What is left of a carry-save tree, of any shape, is the sum of its rows. Operands come in *lanes*: the bits of one
activation and one weight, say. Rewriting stops at functions of one lane, and what a lane adds is compared with the
reference for every value of its bits. A polynomial in the operands' bits is unique, and so is what is left for a lane
up to a constant: the comparison is exact, either way.

A word that is extended by its sign is its value only where it does not overflow. That is a lemma of its own (`_word`):
what its lanes add is bounded by all their values.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hwgen.prove.graph import AND, MUX, PLUS, SUM, VAR, XOR, Graph
from hwgen.prove.tables import all_patterns, evaluate, word_of

__all__ = ["Lane", "OutOfTimeError", "Proof", "Rewriting", "prove_sum"]

Key = tuple[int, ...]
Terms = list[tuple[Key, int]]

_MOST_TERMS, _LEMMA_TERMS = 400_000, 20_000
_LANE_BITS = 22


class OutOfTimeError(Exception):
    """The time that a proof was given is over, or it grows beyond what is looked at."""


class _TooLargeError(OutOfTimeError):
    """A polynomial grows beyond what is looked at."""


@dataclass(frozen=True)
class Lane:
    """Variables (nodes), and what they add to the sum for each of their 2**n values, the first variable the lowest."""

    variables: tuple[int, ...]
    table: np.ndarray


@dataclass(frozen=True)
class Proof:
    """``proved``, or values of variables (nodes; others are 0) for which the sum differs, or neither and ``why``."""

    proved: bool
    differs: dict[int, int] | None = None
    why: str = ""
    lanes: int = 0
    lemmas: int = 0


class _Polynomial:
    """Terms by their variables, with coefficients modulo 2**width."""

    def __init__(self, width: int, deadline: float, most: int) -> None:
        self.mask, self._deadline, self._most = (1 << width) - 1, deadline, most
        self.terms: dict[Key, int] = {}
        self.holding: dict[int, set[Key]] = {}
        self.queue: list[int] = []

    def add(self, key: Key, coefficient: int) -> None:
        before = self.terms.get(key)
        after = ((before or 0) + coefficient) & self.mask
        if after:
            self.terms[key] = after
            if before is None:
                for node in key:
                    keys = self.holding.get(node)
                    if keys is None:
                        self.holding[node] = {key}
                        heapq.heappush(self.queue, -node)
                    else:
                        if not keys:
                            heapq.heappush(self.queue, -node)
                        keys.add(key)
        elif before is not None:
            self.take(key)

    def take(self, key: Key) -> int:
        coefficient = self.terms.pop(key)
        for node in key:
            self.holding[node].discard(key)
        return coefficient

    def add_times(self, rest: Key, terms: Terms, factor: int) -> None:
        for key, coefficient in terms:
            self.add(_joined(rest, key), coefficient * factor)
        if len(self.terms) > self._most:
            raise _TooLargeError(f"a polynomial of more than {self._most} terms")
        if time.monotonic() > self._deadline:
            raise OutOfTimeError("the time is over")


def _joined(a: Key, b: Key) -> Key:
    if not b:
        return a
    if not a:
        return b
    return tuple(sorted({*a, *b}))


def _literal(literal: int) -> Terms:
    node = literal >> 1
    if not node:
        return [((), 1)] if literal else []
    return [((), 1), ((node,), -1)] if literal & 1 else [((node,), 1)]


def _times(a: Terms, b: Terms) -> Terms:
    return [(_joined(x, y), c * d) for x, c in a for y, d in b]


def _scaled(a: Terms, factor: int) -> Terms:
    return [(key, c * factor) for key, c in a]


class Rewriting:
    """Rewrites words of one graph for one set of lanes."""

    def __init__(self, graph: Graph, lanes: Sequence[Lane], deadline: float) -> None:
        self.graph, self.lanes, self.deadline = graph, lanes, deadline
        nodes = dict.fromkeys(node for lane in lanes for node in lane.variables)
        self._place = {node: place for place, node in enumerate(nodes)}
        self._masks = [self._mask(lane.variables) for lane in lanes]
        self._support: dict[int, int] = {0: 0}
        self._lane: dict[int, int] = {}
        self._other = 1 << len(self._place)
        self.tables: list[tuple[int, np.ndarray]] = []
        self._known_tables: dict[tuple[int, bytes], int] = {}
        self._lemmas: dict[tuple[Key, bool], Terms | None] = {}
        self.proved_words = 0
        self._ends: dict[int, list[tuple[Key, bool]]] = {}
        for word, signed in [*((word, True) for word in graph.words), *((word, False) for word in graph.named)]:
            self._ends.setdefault(max(literal >> 1 for literal in word), []).append((word, signed))

    def _mask(self, variables: Iterable[int]) -> int:
        total = 0
        for node in variables:
            total |= 1 << self._place[node]
        return total

    def support(self, node: int) -> int:
        """Bit mask of the lanes' variables that a node depends on; one more bit for all other variables."""
        if node < 0:
            return self._masks[self.tables[-1 - node][0]]
        graph, stack = self.graph, [node]
        while stack:
            one = stack[-1]
            if one in self._support:
                stack.pop()
                continue
            if graph.kind[one] == VAR:
                place = self._place.get(one)
                self._support[one] = self._other if place is None else 1 << place
                continue
            below = self._below(one)
            waiting = [n for n in below if n not in self._support]
            if waiting:
                stack += waiting
                continue
            total = 0
            for n in below:
                total |= self._support[n]
            self._support[one] = total
        return self._support[node]

    def _below(self, node: int) -> list[int]:
        graph = self.graph
        if graph.kind[node] != SUM:
            return [literal >> 1 for literal in graph.fanin[node]]
        number, place = graph.fanin[node]
        adder = graph.adders[number]
        found = [word[place] >> 1 for _, word in adder.operands]
        return [*found, node - 1 if place else adder.carry >> 1]

    def lane_of(self, support: int) -> int:
        """The first lane that has all of these variables, or -1."""
        found = self._lane.get(support)
        if found is None:
            found = next((at for at, mask in enumerate(self._masks) if not support & ~mask), -1)
            self._lane[support] = found
        return found

    # ------------------------------------------------------------------ rewriting

    def rewritten(self, terms: Terms, width: int, most: int = _MOST_TERMS) -> dict[Key, int]:
        """The polynomial in functions of one lane, and in variables, if it is never of more than ``most`` terms."""
        p = _Polynomial(width, self.deadline, most)
        p.add_times((), terms, 1)
        while p.queue:
            node = -heapq.heappop(p.queue)
            if not p.holding.get(node) or node < 0 or self.graph.kind[node] == VAR:
                continue
            for word, signed in self._ends.get(node, ()):
                self._replace_word(p, word, node, signed)
            if not p.holding[node] or self.lane_of(self.support(node)) >= 0:
                continue
            if self.graph.kind[node] == SUM:
                self._replace_adder(p, node, width)
            if p.holding[node]:
                expansion = self._expansion(node)
                for key in list(p.holding[node]):
                    coefficient = p.take(key)
                    p.add_times(tuple(n for n in key if n != node), expansion, coefficient)
        return p.terms

    def _expansion(self, node: int) -> Terms:
        kind, fanin = self.graph.kind[node], self.graph.fanin[node]
        if kind == SUM:
            number, place = fanin
            return _literal(self.graph.ripple(number)[place])
        words = [_literal(literal) for literal in fanin]
        if kind == AND:
            return _times(*words)
        if kind == PLUS:
            return [*words[0], *words[1]]
        if kind == XOR:
            return [*words[0], *words[1], *_scaled(_times(*words), -2)]
        assert kind == MUX
        choice, yes, no = words
        return [*no, *_times(choice, yes), *_scaled(_times(choice, no), -1)]

    def _replace_adder(self, p: _Polynomial, node: int, width: int) -> None:
        """A whole word of an adder by the sum of its words, in each term in which all its bits are with their weights;
        ``node`` is the highest bit that is there.
        """
        number, top = self.graph.fanin[node]
        adder = self.graph.adders[number]
        first = adder.first
        for key in list(p.holding[node]):
            rest = tuple(n for n in key if n != node)
            if any(first <= n < first + adder.width for n in rest):
                continue
            factor = p.terms.get(_joined(rest, (first,)), 0)
            found = [p.terms.get(_joined(rest, (first + place,)), 0) for place in range(top + 1)]
            if not factor or any((factor << place) & p.mask != c for place, c in enumerate(found[:-1])):
                continue
            word = tuple(2 * (first + place) for place in range(top + 1))
            value: Terms | None = None
            if (factor << top) & p.mask == found[-1]:
                value = self._low(number, top + 1) if not (factor << top + 1) & p.mask else self._word(word, False)
            elif -(factor << top) & p.mask == found[-1]:
                value = self._word(word, True)
            if value is None or any(n < 0 and n in rest for k, _ in value for n in k):
                continue
            for place in range(top + 1):
                p.take(_joined(rest, (first + place,)))
            p.add_times(rest, value, factor)

    def _low(self, number: int, size: int) -> Terms:
        adder = self.graph.adders[number]
        found = _literal(adder.carry)
        for sign, word in adder.operands:
            for place, literal in enumerate(word[:size]):
                found += _scaled(_literal(literal), sign << place)
        return found

    def _replace_word(self, p: _Polynomial, word: Key, node: int, signed: bool) -> None:
        """A word that has a name or is extended by its sign, by its value; ``node`` is the last of its bits."""
        top = word[-1] >> 1
        low = next(place for place, literal in enumerate(word) if literal > 1)
        for key in list(p.holding[node]):
            rest = tuple(n for n in key if n != node)
            coefficient = p.terms.get(_joined(rest, (word[low] >> 1,)), 0)
            factor = (-coefficient if word[low] & 1 else coefficient) >> low
            last = p.terms.get(_joined(rest, (top,)), 0)
            size = len(word) - 1
            wanted = (factor if bool(word[-1] & 1) == signed else -factor) << size
            if not factor or last != wanted & p.mask or not factor << size + 1 & p.mask:
                continue
            value = self._word(word, signed)
            if value is None or any(n < 0 and n in rest for k, _ in value for n in k):
                continue
            for place, literal in enumerate(word):
                p.add_times(rest, _literal(literal), -factor * (-1 if signed and place == size else 1) << place)
            p.add_times(rest, value, factor)

    # ------------------------------------------------------------------ lemmas

    def _word(self, word: Key, signed: bool) -> Terms | None:
        """Value of a word of bits as a whole number: what its lanes add, where that cannot overflow; else None."""
        key = word, signed
        if key not in self._lemmas:
            # A word that is part of itself has no lemma.
            self._lemmas[key] = None
            self._lemmas[key] = self._lemma(word, signed)
            self.proved_words += self._lemmas[key] is not None
        return self._lemmas[key]

    def _lemma(self, word: Key, signed: bool) -> Terms | None:
        size = len(word)
        bits = [(k, c << place) for place, literal in enumerate(word) for k, c in _literal(literal)]
        ends = self._ends
        # Within itself the word is its bits.
        self._ends = {node: [other for other in words if other[0] != word] for node, words in ends.items()}
        try:
            split = self.split(self.rewritten(bits, size, _LEMMA_TERMS), size)
        except _TooLargeError:
            # One of the two rows of a carry-save sum, say, which is no sum of lanes.
            return None
        finally:
            self._ends = ends
        if split is None:
            return None
        constant, tables = split
        low, high = (-(1 << size - 1), (1 << size - 1) - 1) if signed else (0, (1 << size) - 1)
        constant = constant & (1 << size) - 1
        least = most = 0
        found: Terms = []
        for lane, table in tables.items():
            whole = _centred(table, size)
            least, most = least + int(whole.min()), most + int(whole.max())
            found.append(self._table(lane, whole))
        # The constant is known modulo 2**size: there is one that fits, or none.
        for whole_constant in (constant, constant - (1 << size)):
            if low <= least + whole_constant and most + whole_constant <= high:
                return [*found, ((), whole_constant)]
        return None

    def _table(self, lane: int, table: np.ndarray) -> tuple[Key, int]:
        """A table as a variable of its own, times a whole number: multiples of one are one."""
        factor = math.gcd(*(int(value) for value in np.unique(table))) or 1
        if int(table[np.flatnonzero(table)[0]]) < 0:
            factor = -factor
        table = table // factor
        key = lane, table.tobytes() if table.dtype != object else str(table.tolist()).encode()
        if key not in self._known_tables:
            self.tables.append((lane, table))
            self._known_tables[key] = -len(self.tables)
        return (self._known_tables[key],), factor

    def split(self, terms: dict[Key, int], width: int) -> tuple[int, dict[int, np.ndarray]] | None:
        """A constant, and what each lane adds for each of its values, less what it adds for zeros; None where a term
        has variables of several lanes.
        """
        constant, of_lane = terms.get((), 0), dict[int, list[tuple[Key, int]]]()
        for key, coefficient in terms.items():
            if key:
                support = 0
                for node in key:
                    support |= self.support(node)
                lane = self.lane_of(support)
                if lane < 0:
                    return None
                of_lane.setdefault(lane, []).append((key, coefficient))
        found: dict[int, np.ndarray] = {}
        for lane, own in of_lane.items():
            table = self._values(lane, own, width)
            constant += int(table[0])
            table = (table - table[0]) & ((1 << width) - 1)
            if np.any(table):
                found[lane] = table
        return constant, found

    def _values(self, lane: int, terms: Sequence[tuple[Key, int]], width: int) -> np.ndarray:
        """Values of a lane's terms for all its values, modulo 2**width."""
        variables = self.lanes[lane].variables
        if len(variables) > _LANE_BITS:
            raise OutOfTimeError(f"a lane of {len(variables)} bits")
        count, wide = 1 << len(variables), width > 62
        nodes = sorted({node for key, _ in terms for node in key if node >= 0})
        values = evaluate(self.graph, [2 * node for node in nodes], all_patterns(variables))
        packed = dict(zip(nodes, values, strict=True))
        total = np.zeros(count, object if wide else np.int64)
        mask = (1 << width) - 1
        ones = np.full(max(1, count >> 6), 0xFFFFFFFFFFFFFFFF, np.uint64)
        for key, coefficient in terms:
            chosen = ones
            for node in key:
                if node >= 0:
                    chosen = chosen & packed[node]
            bits = word_of([chosen], count)
            product = bits.astype(object) if wide else bits
            for node in key:
                if node < 0:
                    product = product * (self.tables[-1 - node][1] & mask)
            if not wide:
                # Modulo 2**64, and then 2**width.
                factor = np.uint64(coefficient & mask)
                total = (total.astype(np.uint64) + product.astype(np.uint64) * factor).astype(np.int64) & mask
            else:
                total = (total + product * coefficient) & mask
        return total


def _centred(table: np.ndarray, size: int) -> np.ndarray:
    half = 1 << size - 1
    whole: np.ndarray = ((table + half) & ((1 << size) - 1)) - half
    return whole


def prove_sum(graph: Graph, word: Sequence[int], lanes: Sequence[Lane], rest: Terms, seconds: float) -> Proof:
    """Whether a word (literals, the lowest first) is the sum of what lanes add and of ``rest``, modulo 2**width.

    ``rest`` is a polynomial in variables that no lane has.
    """
    width = len(word)
    rewriting = Rewriting(graph, lanes, time.monotonic() + seconds)
    terms = [(k, c << place) for place, literal in enumerate(word) for k, c in _literal(literal)]
    try:
        left = rewriting.rewritten([*terms, *_scaled(rest, -1)], width)
        split = rewriting.split(left, width)
    except OutOfTimeError as error:
        return Proof(False, why=str(error))
    if split is None:
        return Proof(False, why="terms of several lanes are left", lemmas=rewriting.proved_words)
    constant, tables = split
    mask = (1 << width) - 1
    for at, lane in enumerate(lanes):
        wanted = lane.table.astype(object) if width > 62 else lane.table
        found = tables.get(at)
        constant -= int(wanted[0])
        difference = (wanted[0] - wanted if found is None else found - wanted + wanted[0]) & mask
        if np.any(difference):
            place = int(np.flatnonzero(difference)[0])
            other = int(np.flatnonzero(difference == 0)[0])
            # Of two assignments that differ in this lane only one at most agrees.
            off = (constant - sum(int(one.table[0]) for one in lanes[at + 1 :])) & mask
            chosen = other if off else place
            return Proof(
                False, {n: chosen >> i & 1 for i, n in enumerate(lane.variables)}, "a lane adds another number"
            )
    if constant & mask:
        return Proof(False, {}, "the sum differs by a constant")
    return Proof(True, lanes=len(lanes), lemmas=rewriting.proved_words)
