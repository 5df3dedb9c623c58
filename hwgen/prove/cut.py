"""Functions cut where they are something known: gates that are found to be bits of a word, and proved to be, become
variables.

What is proved of a function with such variables holds of the function itself: they take all values that the word has,
and others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwgen.prove.abc import never
from hwgen.prove.graph import AND, MUX, PLUS, SUM, VAR, XOR, Graph
from hwgen.prove.tables import cone, evaluate

__all__ = ["Function", "gates", "rebuilt"]

_WORDS = 64


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
        self, name: str, forms: Sequence[Callable[[Graph, Mapping[str, list[int]]], Sequence[int]]], seconds: float
    ) -> Function:
        """The same with a word of new variables, ``name``, wherever a bit of the first word that ``forms`` make is met.

        ``forms`` are ways to make the same word, of which the one is taken that most of the bits are found of by their
        shape alone. Bits that are not met stay functions of the variables before.
        """
        wanted, nodes = self._met(forms[0], seconds)
        for form in forms[1:]:
            if {place for place, _ in nodes.values()} >= {at for at, literal in enumerate(wanted) if literal > 1}:
                break
            other = self._met(form, seconds)
            wanted, nodes = max((wanted, nodes), other, key=lambda one: len(one[1]))
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
        self, form: Callable[[Graph, Mapping[str, list[int]]], Sequence[int]], seconds: float
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
        until = time.monotonic() + seconds
        for some in ([likely] if likely else []) + [[one] for one in likely]:
            bad = graph.any_([graph.xor(one, wanted[place]) for place, one in some])
            left = min(until - time.monotonic(), seconds / 4)
            if left > 0 and never(graph, bad, seconds=left) is True:
                met |= {one >> 1: (place, one & 1) for place, one in some}
                if some is likely:
                    break
        return wanted, met

    def _signatures(self, literals: Sequence[int], more: Sequence[int]) -> list[np.ndarray]:
        ends = [*literals, *more]
        rng = np.random.default_rng(5)
        nodes = [node for node in cone(self.graph, ends) if self.graph.kind[node] == VAR]
        patterns = {node: rng.integers(0, 1 << 64, _WORDS, dtype=np.uint64) for node in nodes}
        return evaluate(self.graph, ends, patterns)
