"""Values of a graph's functions for many assignments at once, a bit of each in a bit of 64-bit words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from hwgen.prove.graph import AND, MUX, PLUS, SUM, VAR, XOR, Graph

__all__ = ["all_patterns", "bits_of", "cone", "evaluate", "patterns_of", "shape", "word_of"]

_LOW = (
    0xAAAAAAAAAAAAAAAA,
    0xCCCCCCCCCCCCCCCC,
    0xF0F0F0F0F0F0F0F0,
    0xFF00FF00FF00FF00,
    0xFFFF0000FFFF0000,
    0xFFFFFFFF00000000,
)
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


def cone(graph: Graph, literals: Iterable[int]) -> list[int]:
    """Nodes that literals are made of, each after its fanin; an adder's bits after the gates that ripple through it."""
    order: list[int] = []
    state: dict[int, bool] = {0: True}
    stack = [literal >> 1 for literal in literals]
    while stack:
        node = stack[-1]
        if state.get(node):
            stack.pop()
            continue
        below = _below(graph, node)
        waiting = [literal >> 1 for literal in below if not state.get(literal >> 1)]
        if waiting:
            stack += waiting
        else:
            state[node] = True
            order.append(node)
            stack.pop()
    return order


def shape(graph: Graph, literals: Iterable[int], roles: Mapping[int, object]) -> str:
    """A digest that is equal for functions that are equal but for the names of variables: of those (nodes) that have
    one the role counts, of others in which order they are met.
    """
    numbers: dict[int, int] = {0: 0}
    met = 0
    lines: list[object] = []

    def of(literal: int) -> int:
        return 2 * numbers[literal >> 1] | literal & 1

    ends = list(literals)
    stack = [literal >> 1 for literal in reversed(ends)]
    while stack:
        node = stack[-1]
        if node in numbers:
            stack.pop()
            continue
        kind, fanin = graph.kind[node], graph.fanin[node]
        below: list[int] = list(fanin)
        if kind == SUM:
            adder = graph.adders[fanin[0]]
            below = [adder.carry, *(literal for _, word in adder.operands for literal in word)]
        waiting = [literal >> 1 for literal in below if literal >> 1 not in numbers]
        if waiting:
            stack += reversed(waiting)
            continue
        stack.pop()
        numbers[node] = len(numbers)
        if kind == VAR:
            role = roles.get(node)
            lines.append((kind, met if role is None else role))
            met += role is None
        elif kind == SUM:
            words = tuple((sign, tuple(map(of, word))) for sign, word in adder.operands)
            lines.append((kind, words, of(adder.carry), fanin[1]))
        else:
            lines.append((kind, *map(of, fanin)))
    lines.append(tuple(map(of, ends)))
    return hashlib.sha256(repr(lines).encode()).hexdigest()


def _below(graph: Graph, node: int) -> tuple[int, ...]:
    if graph.kind[node] == SUM:
        number, place = graph.fanin[node]
        return (graph.ripple(number)[place],)
    return graph.fanin[node]


def all_patterns(variables: Sequence[int]) -> dict[int, np.ndarray]:
    """Every assignment of variables (nodes), the first one counting fastest; 2**n bits each, at least one word."""
    words = max(1, 1 << len(variables) >> 6)
    found: dict[int, np.ndarray] = {}
    number = np.arange(words, dtype=np.uint64)
    for place, node in enumerate(variables):
        if place < 6:
            found[node] = np.full(words, _LOW[place], np.uint64)
        else:
            found[node] = np.where(number >> np.uint64(place - 6) & np.uint64(1), _ONES, np.uint64(0))
    return found


def patterns_of(graph: Graph, values: Mapping[int, int]) -> dict[int, np.ndarray]:
    """One assignment of all variables, those (nodes) that have no value 0, for `evaluate`."""
    nodes = [node for node, kind in enumerate(graph.kind) if kind == VAR]
    return {node: np.full(1, _ONES if values.get(node, 0) else 0, np.uint64) for node in nodes}


def evaluate(graph: Graph, literals: Sequence[int], patterns: Mapping[int, np.ndarray]) -> list[np.ndarray]:
    """Values of literals where the variables (nodes) are as ``patterns`` say."""
    size = len(next(iter(patterns.values()))) if patterns else 1
    zero = np.zeros(size, np.uint64)
    values: dict[int, np.ndarray] = {0: zero}

    def get(literal: int) -> np.ndarray:
        value = values[literal >> 1]
        return ~value if literal & 1 else value

    for node in cone(graph, literals):
        kind, fanin = graph.kind[node], graph.fanin[node]
        if kind == VAR:
            values[node] = patterns[node]
        elif kind == AND:
            values[node] = get(fanin[0]) & get(fanin[1])
        elif kind == XOR:
            values[node] = get(fanin[0]) ^ get(fanin[1])
        elif kind == MUX:
            choice = get(fanin[0])
            values[node] = get(fanin[1]) & choice | get(fanin[2]) & ~choice
        elif kind == PLUS:
            values[node] = get(fanin[0]) | get(fanin[1])
        elif kind == SUM:
            values[node] = get(_below(graph, node)[0])
    return [get(literal) for literal in literals]


def bits_of(values: np.ndarray, count: int) -> np.ndarray:
    """The first ``count`` bits of packed words, as bytes of 0 and 1."""
    return np.unpackbits(values.astype("<u8").view(np.uint8), bitorder="little")[:count]


def word_of(bits: Sequence[np.ndarray], count: int) -> np.ndarray:
    """Numbers [count] of packed bits, the lowest first; object where they have more than 62 bits."""
    if len(bits) > 62:
        total = np.zeros(count, object)
        for start in range(0, len(bits), 32):
            total = total + word_of(bits[start : start + 32], count).astype(object) * (1 << start)
        return total
    found = np.zeros(count, np.int64)
    for place, bit in enumerate(bits):
        found += bits_of(bit, count).astype(np.int64) << place
    return found
