"""Functions cut where they are something known: gates that are found to be bits of a word, and proved to be, become
variables.

What is proved of a function with such variables holds of the function itself: they take all values that the word has,
and others.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwgen.prove.abc import never
from hwgen.prove.algebra import Terms, prove_sum
from hwgen.prove.graph import AND, MUX, PLUS, SUM, VAR, XOR, Graph
from hwgen.prove.tables import all_patterns, cone, evaluate

__all__ = ["Function", "bit_product", "gates", "product_terms", "rebuilt"]

_WORDS = 64
_ALL_BITS = 22
"""Variables of which all values are run through."""
_CHUNK_BITS = 16
_ONES = (1 << 64) - 1

Known = Mapping[str, list[int]]
Form = Callable[[Graph, Known], Sequence[int]]
Factors = Callable[[Graph, Known], Sequence[Sequence[int]]]
Polynomial = Callable[[Sequence[Sequence[int]]], Terms]


def rebuilt(old: Graph, literals: Sequence[int], new: Graph, given: dict[int, int]) -> list[int]:
    """Literals in another graph, adders as gates; ``given`` has the literals of nodes there.

    Variables that it does not have are made, and put into it.
    """

    def of(literal: int) -> int:
        return given[literal >> 1] ^ literal & 1

    given.setdefault(0, 0)
    stack = [literal >> 1 for literal in literals]
    while stack:
        node = stack[-1]
        if node in given:
            stack.pop()
            continue
        kind, fanin = old.kind[node], old.fanin[node]
        if kind == VAR:
            given[node] = new.var(old.label[node])
            continue
        if kind == SUM:
            number, place = fanin
            fanin = (old.ripple(number)[place],)
        waiting = [literal >> 1 for literal in fanin if literal >> 1 not in given]
        if waiting:
            stack += waiting
            continue
        ends = [of(literal) for literal in fanin]
        if kind == SUM:
            given[node] = ends[0]
        elif kind == AND:
            given[node] = new.and_(*ends)
        elif kind == XOR:
            given[node] = new.xor(*ends)
        elif kind == PLUS:
            given[node] = new.or_(*ends)
        else:
            assert kind == MUX
            given[node] = new.mux(*ends)
    return [of(literal) for literal in literals]


def gates(graph: Graph, word: Sequence[int]) -> list[int]:
    """A word whose bits of adders are gates."""
    found = []
    for literal in word:
        if graph.kind[literal >> 1] == SUM:
            number, place = graph.fanin[literal >> 1]
            literal = graph.ripple(number)[place] ^ literal & 1
        found.append(literal)
    return found


def bit_product(*literals: int) -> tuple[int, ...] | None:
    """The variables of a product of bits, None where it is 0."""
    return tuple(sorted({one >> 1 for one in literals if one > 1})) if all(literals) else None


def product_terms(words: Sequence[Sequence[int]]) -> Terms:
    """The product of two words without sign."""
    a, b = words
    pairs = itertools.product(enumerate(a), enumerate(b))
    listed = [(bit_product(x, y), 1 << i + j) for (i, x), (j, y) in pairs]
    return [(key, weight) for key, weight in listed if key is not None]


def _equal(graph: Graph, a: Sequence[int], b: Sequence[int], nodes: Sequence[int]) -> bool:
    """Whether literals are equal for all values of some variables."""
    low, high = nodes[:_CHUNK_BITS], nodes[_CHUNK_BITS:]
    patterns = all_patterns(low)
    size = len(next(iter(patterns.values()))) if low else 1
    bad = graph.any_([graph.xor(x, y) for x, y in zip(a, b, strict=True)])
    for number in range(1 << len(high)):
        for place, node in enumerate(high):
            patterns[node] = np.full(size, _ONES if number >> place & 1 else 0, np.uint64)
        if evaluate(graph, [bad], patterns)[0].any():
            return False
    return True


@dataclass
class Function:
    """``word`` as a function of words of variables, ``known``, by name; others are not to be in it."""

    graph: Graph
    word: list[int]
    known: dict[str, list[int]]

    @classmethod
    def of(cls, graph: Graph, word: Sequence[int], known: Mapping[str, Sequence[int]]) -> Function:
        """The same in a graph of its own, of gates."""
        new, given = Graph(), dict[int, int]()
        moved = {name: rebuilt(graph, literals, new, given) for name, literals in known.items()}
        return cls(new, rebuilt(graph, word, new, given), moved)

    def with_values(self, values: Mapping[int, int]) -> Function:
        """The same with constants for some variables, by their literals."""
        new, given = Graph(), dict[int, int]()
        for literal, value in values.items():
            given[literal >> 1] = value ^ literal & 1
        moved = {name: rebuilt(self.graph, word, new, given) for name, word in self.known.items()}
        return Function(new, rebuilt(self.graph, self.word, new, given), moved)

    def cut(
        self, name: str, form: Form, seconds: float, factors: Factors | None = None, terms: Polynomial = product_terms
    ) -> Function:
        """The same with a word of new variables, ``name``, wherever a bit of the word that ``form`` makes is met.

        ``factors`` makes the words that this one is a polynomial of, if it is, and ``terms`` is that polynomial. Bits
        that are not met stay functions of the variables before.
        """
        wanted, nodes = self._met(form, factors, terms, time.monotonic() + seconds)
        new, given = Graph(), dict[int, int]()
        moved = {other: rebuilt(self.graph, word, new, given) for other, word in self.known.items()}
        word = []
        for place, literal in enumerate(wanted):
            if literal < 2 or self.graph.kind[literal >> 1] == VAR:
                word.append(rebuilt(self.graph, [literal], new, given)[0])
            else:
                word.append(new.var((name, place)))
        for node, (place, flip) in nodes.items():
            given[node] = word[place] ^ flip
        return Function(new, rebuilt(self.graph, self.word, new, given), {**moved, name: word})

    def _met(
        self, form: Form, factors: Factors | None, terms: Polynomial, until: float
    ) -> tuple[list[int], dict[int, tuple[int, int]]]:
        """A word, and the gates that are bits of it: place, and whether they are complemented."""
        graph = self.graph
        wanted = gates(graph, form(graph, self.known))
        own = [node for node in cone(graph, self.word) if graph.kind[node] != VAR]
        signs = self._signatures([2 * node for node in own], wanted)
        by_sign: dict[bytes, list[int]] = {}
        for node, sign in zip(own, signs, strict=False):
            by_sign.setdefault(sign.tobytes(), []).append(node)
        met: dict[int, tuple[int, int]] = {}
        likely: list[tuple[int, int]] = []
        more: list[tuple[int, int]] = []
        for place, (literal, sign) in enumerate(zip(wanted, signs[len(own) :], strict=True)):
            if literal < 2 or graph.kind[literal >> 1] == VAR:
                continue
            # Of gates that are alike the first: others may be so by chance, or be made of it.
            found = [2 * node for node in by_sign.get(sign.tobytes(), ())]
            found += [2 * node ^ 1 for node in by_sign.get((~sign).tobytes(), ())]
            if literal in found:
                met[literal >> 1] = place, literal & 1
            elif found:
                likely.append((place, min(found)))
                more += [(place, one) for one in found]
        for some in (more, likely) if likely else ():
            if self._alike(some, wanted, met, factors, terms, until, few=some is more):
                return wanted, met | {one >> 1: (place, one & 1) for place, one in some}
        return wanted, met

    def _alike(
        self,
        likely: Sequence[tuple[int, int]],
        wanted: Sequence[int],
        met: Mapping[int, tuple[int, int]],
        factors: Factors | None,
        terms: Polynomial,
        until: float,
        few: bool,
    ) -> bool:
        """Whether literals are the bits of a word at their places; with ``few`` only for as many variables as all
        values are run through of.
        """
        graph, new, given = self.graph, Graph(), dict[int, int]()
        words = [] if factors is None else factors(graph, self.known)
        for literal in [one for word in words for one in word]:
            # Whatever the factors are made of.
            if literal > 1 and literal >> 1 not in given:
                given[literal >> 1] = new.var("factor") ^ literal & 1
        ones = rebuilt(graph, [one for _, one in likely], new, given)
        others = rebuilt(graph, [wanted[place] for place, _ in likely], new, given)
        nodes = [node for node in cone(new, [*ones, *others]) if new.kind[node] == VAR]
        if len(nodes) <= _ALL_BITS or few:
            return len(nodes) <= _ALL_BITS and _equal(new, ones, others, nodes)
        if words:
            if len(likely) + len(met) < sum(literal > 1 for literal in wanted):
                return False
            bits = {place: literal for (place, _), literal in zip(likely, ones, strict=True)}
            bits |= {place: rebuilt(graph, [2 * node ^ flip], new, given)[0] for node, (place, flip) in met.items()}
            word = [literal if literal < 2 else bits[place] for place, literal in enumerate(wanted)]
            moved = [rebuilt(graph, own, new, given) for own in words]
            if not any(literal & 1 and literal > 1 for own in moved for literal in own):
                proof = prove_sum(new, word, [], terms(moved), until - time.monotonic())
                if proof.proved:
                    return True
        bad = new.any_([new.xor(x, y) for x, y in zip(ones, others, strict=True)])
        return never(new, bad, seconds=until - time.monotonic()) is True

    def _signatures(self, literals: Sequence[int], more: Sequence[int]) -> list[np.ndarray]:
        ends = [*literals, *more]
        rng = np.random.default_rng(5)
        nodes = [node for node in cone(self.graph, ends) if self.graph.kind[node] == VAR]
        patterns = {node: rng.integers(0, 1 << 64, _WORDS, dtype=np.uint64) for node in nodes}
        return evaluate(self.graph, ends, patterns)
