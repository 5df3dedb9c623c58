"""A netlist's bits in cycles: what a net is in cycle t, as a function of inputs and of registers some cycles before."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence

from hwgen.errors import HwgenError
from hwgen.prove.graph import SUM, Graph
from hwgen.prove.netlist import Bit, Cell, Netlist

__all__ = ["Unrolled", "deep"]

_DEPTH = 1_000_000


@contextlib.contextmanager
def deep() -> Iterator[None]:
    """Room for functions that call themselves as deep as a netlist is; what runs afterwards has what it had, since C
    code that trusts the limit would overrun its stack.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _DEPTH))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class Unrolled:
    """Literals of nets by cycle.

    ``drive`` gives the literal of an input bit (port, place, cycle), ``cut`` that of a register's bit in a cycle where
    it is taken for any value, and None where it follows from the cycle before. A register that nothing cuts is any
    value, its own variable, in cycle ``begin``.
    """

    def __init__(
        self,
        netlist: Netlist,
        graph: Graph,
        drive: Callable[[str, int, int], int],
        begin: int,
        cut: Callable[[Bit, int], int | None] = lambda bit, cycle: None,
        opaque: frozenset[Bit] = frozenset(),
    ) -> None:
        self.netlist, self.graph, self.begin = netlist, graph, begin
        self._drive, self._cut, self._opaque = drive, cut, opaque
        self._inputs = {bit: (name, place) for name, bits in netlist.inputs.items() for place, bit in enumerate(bits)}
        self._bits: dict[tuple[Bit, int], int] = {}
        self._cells: dict[tuple[str, int], list[int]] = {}
        self.begun: dict[Bit, int] = {}
        """Variables of registers in cycle ``begin``."""

    def word(self, bits: Sequence[Bit], cycle: int) -> list[int]:
        """Literals of several nets."""
        with deep():
            return [self._bit(bit, cycle) for bit in bits]

    def bit(self, bit: Bit, cycle: int) -> int:
        """Literal of a net in a cycle."""
        with deep():
            return self._bit(bit, cycle)

    def _bit(self, bit: Bit, cycle: int) -> int:
        if bit in ("0", "1"):
            return int(bit)
        key = (bit, cycle)
        found = self._bits.get(key)
        if found is None:
            found = self._bits[key] = self._made(bit, cycle)
        return found

    def _made(self, bit: Bit, cycle: int) -> int:
        if bit in self._opaque:
            given = self._cut(bit, cycle)
            if given is not None:
                return given
        if bit in self._inputs:
            return self._drive(*self._inputs[bit], cycle)
        if bit not in self.netlist.driver:
            # Nothing drives it: any value.
            return self.graph.var(("x", bit, cycle))
        cell, place = self.netlist.driver[bit]
        if cell.output == "Q":
            cut = self._cut(bit, cycle)
            if cut is not None:
                return cut
            if cycle <= self.begin:
                if bit not in self.begun:
                    self.begun[bit] = self.graph.var(("register", bit, cycle))
                return self.begun[bit]
            return self._bit(cell.ports["D"][place], cycle - 1)
        bitwise = _BITWISE.get(cell.kind)
        if bitwise is not None:
            return bitwise(self, cell, place, cycle)
        whole = self._cells.get((cell.name, cycle))
        if whole is None:
            if cell.kind not in _WORDS:
                raise HwgenError(f"{self.netlist.top}: cell {cell.name} is a {cell.kind}, of which nothing is proved")
            whole = self._cells[cell.name, cycle] = _WORDS[cell.kind](self, cell, cycle)
        return whole[place]

    def name_words(self) -> None:
        """Tell the graph of words that have names, in the cycles in which they were met."""
        cycles: dict[Bit, list[int]] = {}
        for bit, cycle in self._bits:
            cycles.setdefault(bit, []).append(cycle)
        for bits in set(self.netlist.names.values()):
            for cycle in cycles.get(bits[-1], ()) if len(bits) > 1 else ():
                word = tuple(
                    self._bits.get((bit, cycle), -1) if isinstance(bit, int) else int(bit == "1") for bit in bits
                )
                if min(word) >= 0 and self.graph.kind[word[-1] >> 1] == SUM and not word[-1] & 1:
                    self.graph.named.add(word)

    def named_words(self) -> list[tuple[int, ...]]:
        """Literals of words that have names, by the cycles in which they were met and up to the bit that was not."""
        cycles: dict[Bit, list[int]] = {}
        for bit, cycle in self._bits:
            cycles.setdefault(bit, []).append(cycle)
        found: list[tuple[int, ...]] = []
        for bits in set(self.netlist.names.values()):
            for cycle in cycles.get(bits[0], ()):
                word = itertools.takewhile(lambda one: one is not None, (self._met(bit, cycle) for bit in bits))
                found.append(tuple(one for one in word if one is not None))
        return found

    def _met(self, bit: Bit, cycle: int) -> int | None:
        return self._bits.get((bit, cycle)) if isinstance(bit, int) else int(bit == "1")

    # ------------------------------------------------------------------ operands

    def _operand(self, cell: Cell, port: str, place: int, cycle: int) -> int:
        """A bit of an operand that is extended to the result's width."""
        bits = cell.ports[port]
        if place >= len(bits):
            if not cell.parameters.get(f"{port}_SIGNED", 0):
                return 0
            place = len(bits) - 1
        return self._bit(bits[place], cycle)

    def _extended(self, cell: Cell, port: str, width: int, cycle: int) -> list[int]:
        return [self._operand(cell, port, place, cycle) for place in range(width)]


def _and(self: Unrolled, cell: Cell, place: int, cycle: int) -> int:
    a = self._operand(cell, "A", place, cycle)
    return 0 if a == 0 else self.graph.and_(a, self._operand(cell, "B", place, cycle))


def _or(self: Unrolled, cell: Cell, place: int, cycle: int) -> int:
    a = self._operand(cell, "A", place, cycle)
    return 1 if a == 1 else self.graph.or_(a, self._operand(cell, "B", place, cycle))


def _xor(self: Unrolled, cell: Cell, place: int, cycle: int) -> int:
    a, b = self._operand(cell, "A", place, cycle), self._operand(cell, "B", place, cycle)
    return self.graph.xor(a, b) ^ (cell.kind == "$xnor")


def _mux(self: Unrolled, cell: Cell, place: int, cycle: int) -> int:
    choice = self._bit(cell.ports["S"][0], cycle)
    if choice < 2:
        return self._bit(cell.ports["AB"[choice]][place], cycle)
    no, yes = self._bit(cell.ports["A"][place], cycle), self._bit(cell.ports["B"][place], cycle)
    return self.graph.mux(choice, yes, no)


_BITWISE: dict[str, Callable[[Unrolled, Cell, int, int], int]] = {
    "$and": _and,
    "$or": _or,
    "$xor": _xor,
    "$xnor": _xor,
    "$not": lambda self, cell, place, cycle: self._operand(cell, "A", place, cycle) ^ 1,
    "$pos": lambda self, cell, place, cycle: self._operand(cell, "A", place, cycle),
    "$mux": _mux,
}


def _sum(self: Unrolled, cell: Cell, cycle: int) -> list[int]:
    width = cell.parameters["Y_WIDTH"]
    operands = [(1, self._extended(cell, "A", width, cycle))]
    if cell.kind != "$neg":
        operands.append((-1 if cell.kind == "$sub" else 1, self._extended(cell, "B", width, cycle)))
    else:
        operands = [(-1, operands[0][1])]
    return self.graph.add(operands, 0, width)


def _product(self: Unrolled, cell: Cell, cycle: int) -> list[int]:
    width, graph = cell.parameters["Y_WIDTH"], self.graph
    a, b = self._extended(cell, "A", width, cycle), self._extended(cell, "B", width, cycle)
    total = [0] * width
    for place, bit in enumerate(b):
        row = [0] * place + [graph.and_(one, bit) for one in a[: width - place]]
        total = graph.add([(1, total), (1, row)], 0, width)
    return total


def _equal(self: Unrolled, cell: Cell, cycle: int) -> list[int]:
    width = max(len(cell.ports["A"]), len(cell.ports["B"]))
    a, b = self._extended(cell, "A", width, cycle), self._extended(cell, "B", width, cycle)
    differs = self.graph.any_([self.graph.xor(x, y) for x, y in zip(a, b, strict=True)])
    return _padded(cell, differs ^ (cell.kind == "$eq"))


def _less(self: Unrolled, cell: Cell, cycle: int) -> list[int]:
    """Comparisons: the sign of a difference of one bit more."""
    width = max(len(cell.ports["A"]), len(cell.ports["B"]))
    graph, signed = self.graph, cell.parameters["A_SIGNED"] and cell.parameters["B_SIGNED"]
    a, b = self._extended(cell, "A", width, cycle), self._extended(cell, "B", width, cycle)
    if signed:
        a, b = [*a[:-1], a[-1] ^ 1], [*b[:-1], b[-1] ^ 1]
    if cell.kind in ("$gt", "$le"):
        a, b = b, a
    below = 0
    for x, y in zip(a, b, strict=True):
        below = graph.mux(graph.xor(x, y), y, below)
    return _padded(cell, below ^ (cell.kind in ("$le", "$ge")))


def _reduced(self: Unrolled, cell: Cell, cycle: int) -> list[int]:
    bits, graph = self.word(cell.ports["A"], cycle), self.graph
    if cell.kind in ("$reduce_xor", "$reduce_xnor"):
        total = 0
        for bit in bits:
            total = graph.xor(total, bit)
        return _padded(cell, total ^ (cell.kind == "$reduce_xnor"))
    if cell.kind == "$reduce_and":
        return _padded(cell, graph.any_([bit ^ 1 for bit in bits]) ^ 1)
    return _padded(cell, graph.any_(bits) ^ (cell.kind == "$logic_not"))


def _both(self: Unrolled, cell: Cell, cycle: int) -> list[int]:
    a, b = (self.graph.any_(self.word(cell.ports[port], cycle)) for port in "AB")
    return _padded(cell, self.graph.and_(a, b) if cell.kind == "$logic_and" else self.graph.or_(a, b))


def _shifted(self: Unrolled, cell: Cell, cycle: int) -> list[int]:
    width, left = cell.parameters["Y_WIDTH"], cell.kind in ("$shl", "$sshl")
    wide = max(width, len(cell.ports["A"]))
    word = self._extended(cell, "A", wide, cycle)
    fill = word[-1] if cell.kind == "$sshr" and cell.parameters["A_SIGNED"] else 0
    for place, choice in enumerate(self.word(cell.ports["B"], cycle)):
        by = min(1 << place, wide)
        moved = [0] * by + word[: wide - by] if left else word[by:] + [fill] * by
        word = [self.graph.mux(choice, yes, no) for yes, no in zip(moved, word, strict=True)]
    return word[:width]


def _chosen(self: Unrolled, cell: Cell, cycle: int) -> list[int]:
    """One-hot selections: the or of what is chosen, as synthesis makes it; A where nothing is."""
    choices, graph = self.word(cell.ports["S"], cycle), self.graph
    width, none = cell.parameters["WIDTH"], graph.any_(choices) ^ 1
    found = []
    for place in range(width):
        terms = [graph.and_(none, self._bit(cell.ports["A"][place], cycle))]
        terms += [
            graph.and_(choice, self._bit(cell.ports["B"][at * width + place], cycle))
            for at, choice in enumerate(choices)
        ]
        found.append(graph.any_(terms))
    return found


def _padded(cell: Cell, literal: int) -> list[int]:
    return [literal] + [0] * (cell.parameters["Y_WIDTH"] - 1)


_WORDS: dict[str, Callable[[Unrolled, Cell, int], list[int]]] = {
    **dict.fromkeys(("$add", "$sub", "$neg"), _sum),
    "$mul": _product,
    **dict.fromkeys(("$eq", "$ne"), _equal),
    **dict.fromkeys(("$lt", "$le", "$gt", "$ge"), _less),
    **dict.fromkeys(
        ("$reduce_or", "$reduce_and", "$reduce_bool", "$reduce_xor", "$reduce_xnor", "$logic_not"), _reduced
    ),
    **dict.fromkeys(("$logic_and", "$logic_or"), _both),
    **dict.fromkeys(("$shl", "$sshl", "$shr", "$sshr"), _shifted),
    "$pmux": _chosen,
}
