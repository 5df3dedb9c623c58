"""Seeded faults: a gate of the netlist that a text is becomes another one, and the same proofs are tried again."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from hwgen.prove.lanes import pieces
from hwgen.prove.netlist import Bit, Cell, Netlist
from hwgen.prove.obligations import Obligation, Result, Subject

__all__ = ["faulty", "refuting", "score"]

_EACH_S = 20.0

_OTHER = {
    "$and": "$or",
    "$or": "$and",
    "$xor": "$or",
    "$xnor": "$and",
    "$not": "$pos",
    "$add": "$sub",
    "$sub": "$add",
    "$eq": "$ne",
    "$ne": "$eq",
    "$lt": "$ge",
    "$ge": "$lt",
    "$gt": "$le",
    "$le": "$gt",
    "$reduce_or": "$reduce_and",
    "$reduce_bool": "$reduce_and",
    "$reduce_and": "$reduce_or",
    "$logic_not": "$reduce_bool",
}


_OF_PIECES = ("post.lane", "post.adder")
"""Obligations about lanes and adders: the first ones for faults in them."""


def faulty(netlist: Netlist, cell: Cell) -> Netlist:
    """The netlist with another function in the place of a cell: its dual, its choices exchanged, or a register that
    begins with another bit of its word.
    """
    ports = dict(cell.ports)
    if cell.kind in _OTHER:
        other = replace(cell, kind=_OTHER[cell.kind])
    elif cell.kind == "$mux":
        ports["A"], ports["B"] = ports["B"], ports["A"]
        other = replace(cell, ports=ports)
    else:
        ports["D"] = (ports["D"][-1], *ports["D"][1:]) if len(ports["D"]) > 1 else ("0",)
        other = replace(cell, ports=ports)
    driver = dict(netlist.driver)
    for place, bit in enumerate(other.ports[other.output]):
        driver[bit] = other, place
    cells = tuple(other if one is cell else one for one in netlist.cells)
    return replace(netlist, cells=cells, driver=driver)


def _reached(netlist: Netlist, cell: Cell) -> set[Bit]:
    """Nets that a cell has a part in, in any cycle."""
    users: dict[Bit, list[Cell]] = {}
    for one in netlist.cells:
        for port, bits in one.ports.items():
            if port != one.output:
                for bit in bits:
                    users.setdefault(bit, []).append(one)
    found: set[Bit] = set()
    stack = list(cell.ports[cell.output])
    while stack:
        bit = stack.pop()
        if bit not in found:
            found.add(bit)
            stack += [out for one in users.get(bit, ()) for out in one.ports[one.output]]
    return found


class _Faulty(Subject):
    """A subject with a fault, which looks first at sums that the fault has a part in, and at no others."""

    touched: frozenset[Bit]

    def _order(self, count: int) -> Sequence[int]:
        for _, sums in self._sums():
            if len(sums.elements) == count:
                return [at for at, bits in enumerate(sums.elements) if self.touched & set(bits)]
        return range(count)


def _inside(subject: Subject) -> dict[str, str]:
    """The obligation about each cell of a lane or an adder, by the cell's name."""
    found: dict[str, str] = {}
    for piece in pieces(subject.netlist, subject.manifest):
        name = "post.lane" if piece.name.startswith("lane") else "post.adder"
        found |= dict.fromkeys(piece.cells(subject.netlist), name)
    return found


def refuting(subject: Subject, cell: Cell, names: Sequence[str], seconds: float) -> Iterator[tuple[str, Result]]:
    """Results of obligations for a subject with a fault in a cell, until one is refuted."""
    other = object.__new__(_Faulty)
    other.verilog, other.manifest, other._zero = subject.verilog, subject.manifest, set()
    other.netlist = faulty(subject.netlist, cell)
    other.touched = frozenset(_reached(subject.netlist, cell))
    inside = _inside(subject)
    about = inside.get(cell.name)

    def rank(one: Obligation) -> int:
        # The control comes last: what changes sums is found sooner.
        return -1 if one.name == about else int(one.name.startswith("control."))

    for one in sorted(other.obligations(), key=rank):
        # A fault elsewhere leaves a lane, or an adder, as it is.
        if (
            one.name in names
            and (one.name == about or one.name not in _OF_PIECES)
            and not one.name.startswith("range.")
        ):
            result = one.proved(seconds)
            yield one.name, result
            if result.status == "refuted":
                return


def score(subject: Subject, names: Sequence[str], count: int, seconds: float, seed: int = 1) -> dict[str, Any]:
    """How many of ``count`` seeded faults the obligations ``names`` refuse.

    A fault for which they are proved changes nothing that they say: it is no fault. ``faults`` has each one: the gate
    that was changed, what became of it, and of a refuted one the obligation and its counterexample.
    """
    until = time.monotonic() + seconds
    rng = random.Random(seed)
    ends = {bit for bits in subject.netlist.outputs.values() for bit in bits}
    kinds = {*_OTHER, "$mux", "$dff"}
    cells = [one for one in subject.netlist.cells if one.kind in kinds]
    rng.shuffle(cells)
    # Lanes and adders are most of a tile's gates: the others come in turn with them.
    inside = {cell for cell, name in _inside(subject).items() if name in names}
    others = set(_inside(subject)) - inside
    kept = [one for one in cells if one.name in inside], [one for one in cells if one.name not in inside | others]
    cells = [one for pair in itertools.zip_longest(*kept) for one in pair if one is not None]
    faults: list[dict[str, Any]] = []
    for cell in cells:
        if len(faults) == count or time.monotonic() > until:
            break
        if not _reached(subject.netlist, cell) & ends:
            continue
        results = list(refuting(subject, cell, names, min(_EACH_S, until - time.monotonic())))
        faults.append({"gate": _where(subject.netlist, cell), **_verdict(results)})
    verdicts = [one["status"] for one in faults]
    counts = {status: verdicts.count(status) for status in ("refuted", "same", "open")}
    return {"seeded": len(faults), **counts, "faults": faults}


def _verdict(results: Sequence[tuple[str, Result]]) -> dict[str, Any]:
    """What became of a fault."""
    for name, result in results:
        if result.status == "refuted":
            found = {"status": "refuted", "obligation": name, "detail": result.detail}
            example = result.counterexample
            return found if example is None else {**found, "counterexample": example.document()}
    return {"status": "same" if all(result.status == "proved" for _, result in results) else "open"}


def _where(netlist: Netlist, cell: Cell) -> str:
    """A gate's kind and the wire that it drives, as the text names it where it does."""
    bits = cell.ports[cell.output]
    named = [name for name, nets in netlist.names.items() if set(bits) & set(nets) and not name.startswith("$")]
    # The longest path is the wire's own; those above it are what it is connected to.
    return f"{cell.kind.removeprefix('$')} of {max(named, key=lambda name: name.count('.'), default=cell.name)}"
