"""A module of combinational cells as a graph: what Yosys writes as JSON, with the delay of every way through it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwgen.pipeline.delays import delay
from hwgen.yosys import run_passes

__all__ = ["SOURCE", "Graph", "Module", "graph", "read_module"]

Module = dict[str, Any]
"""A module as in Yosys' JSON: ports, cells, netnames."""

SOURCE = -1
"""Producer of what comes from a port."""

_ADDERS = {"$add", "$sub", "$neg", "$alu"}
_ORDERED = {"$lt", "$le", "$gt", "$ge"}
_EQUAL = {"$eq", "$ne", "$eqx", "$nex"}
_ANY = {"$reduce_or", "$reduce_and", "$reduce_bool", "$logic_not"}
_PARITY = {"$reduce_xor", "$reduce_xnor"}
_BITWISE = {"$and": "and", "$or": "and", "$xor": "xor", "$xnor": "xor", "$logic_and": "and", "$logic_or": "and"}
_SHIFTS = {"$shl", "$shr", "$sshl", "$sshr", "$shift", "$shiftx"}
_WIRES = {"$not", "$pos", "$buf"}
"""Cells that are no delay worth counting."""


_SIMPLE = ("proc -norom", "opt_expr -keepdc", "opt_clean", "pmuxtree", "opt_expr -keepdc", "opt_clean -purge")


def read_module(rtlil: str, name: str) -> Module:
    """The module ``name`` of combinational RTLIL."""
    module: Module = json.loads(run_passes(rtlil, _SIMPLE, write="write_json"))["modules"][name]
    return module


@dataclass(frozen=True)
class Graph:
    """Cells in the order of the data.

    ``cells``: their names. ``delays``: of each alone, all its inputs at once. ``edges``: for each cell its producers
    with the delay from there to its output. ``uses``: nets by who makes and who takes them, as (producer, consumers,
    bits); `SOURCE` makes those of ports, and len(cells) takes those of output ports.
    """

    cells: tuple[str, ...]
    delays: tuple[float, ...]
    edges: tuple[tuple[tuple[int, float], ...], ...]
    uses: tuple[tuple[int, tuple[int, ...], tuple[int, ...]], ...]


def _nets(bits: Sequence[Any]) -> set[int]:
    return {bit for bit in bits if isinstance(bit, int)}


def _is_mask(cell: Mapping[str, Any]) -> int:
    """Width of a word of which each bit is taken together with one and the same bit; 0 where it is none."""
    pins = [cell["connections"][pin] for pin in "AB" if pin in cell["connections"]]
    widths = [len(pin) for pin in pins if len(pin) > 1 and len(set(map(str, pin))) == 1 and isinstance(pin[0], int)]
    return max(widths, default=0)


def _pin_delays(cell: Mapping[str, Any]) -> tuple[float, Callable[[str, str], float]]:
    """Delay of a cell alone, and of a path through it by the pin and by what kind of cell it comes from."""
    kind, pins = cell["type"], cell["connections"]
    size = max(len(bits) for bits in pins.values())
    if kind in _WIRES:
        return 0.0, lambda pin, before: 0.0
    if kind in _ADDERS:
        alone, after = delay("add", size), delay("add_after_add", size)
        return alone, lambda pin, before: min(after, alone) if before in _ADDERS else alone
    if kind == "$mux":
        data, chosen = delay("mux_data", size), delay("mux", size)
        return chosen, lambda pin, before: chosen if pin == "S" else min(data, chosen)
    if kind in _BITWISE:
        own, mask = delay(_BITWISE[kind], 1), _is_mask(cell)
        alone = max(own, delay("mask", mask)) if mask else own

        def path(pin: str, before: str) -> float:
            return alone if mask and len(set(map(str, pins[pin]))) == 1 else own

        return alone, path
    if kind in _ORDERED:
        value = delay("lt", size)
    elif kind in _EQUAL:
        value = delay("eq", size)
    elif kind in _ANY:
        value = delay("or", size)
    elif kind in _PARITY:
        value = delay("rxor", size)
    elif kind == "$mul":
        value = delay("mul", min(len(pins["A"]), len(pins["B"])))
    elif kind in _SHIFTS:
        levels = min(len(pins["B"]), max(len(pins["A"]), len(pins["Y"])).bit_length())
        value = delay("mux", size) + max(levels - 1, 0) * delay("mux_data", size)
    elif kind == "$bmux":
        value = len(pins["S"]) * delay("mux", len(pins["Y"]))
    else:
        raise ValueError(f"pipeline: no delay is known of cell {kind}")
    return value, lambda pin, before: value


def graph(module: Module) -> Graph:
    """Graph of a module. Raises ValueError for a loop, and for a cell of a kind whose delay is not known."""
    cells = module["cells"]
    outputs = {
        name: [pin for pin, way in cell["port_directions"].items() if way == "output"] for name, cell in cells.items()
    }
    made: dict[int, str] = {}
    for name, cell in cells.items():
        for pin in outputs[name]:
            for bit in _nets(cell["connections"][pin]):
                made[bit] = name
    before = {
        name: {
            made[bit]
            for pin, bits in cell["connections"].items()
            if pin not in outputs[name]
            for bit in _nets(bits)
            if bit in made
        }
        for name, cell in cells.items()
    }
    order = _topological(before)
    place = {name: index for index, name in enumerate(order)}
    delays: list[float] = []
    edges: list[tuple[tuple[int, float], ...]] = []
    takers: dict[int, set[int]] = {}
    for index, name in enumerate(order):
        cell = cells[name]
        alone, path = _pin_delays(cell)
        ways: dict[int, float] = {}
        for pin, bits in cell["connections"].items():
            if pin in outputs[name]:
                continue
            for bit in _nets(bits):
                takers.setdefault(bit, set()).add(index)
                if bit in made:
                    producer = place[made[bit]]
                    ways[producer] = max(ways.get(producer, 0.0), path(pin, cells[made[bit]]["type"]))
        delays.append(alone)
        edges.append(tuple(sorted(ways.items())))
    for port in module["ports"].values():
        if port["direction"] == "output":
            for bit in _nets(port["bits"]):
                takers.setdefault(bit, set()).add(len(order))
    grouped: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for bit in sorted(takers):
        producer = place[made[bit]] if bit in made else SOURCE
        grouped.setdefault((producer, tuple(sorted(takers[bit]))), []).append(bit)
    uses = tuple((producer, consumers, tuple(bits)) for (producer, consumers), bits in grouped.items())
    return Graph(tuple(order), tuple(delays), tuple(edges), uses)


def _topological(before: Mapping[str, set[str]]) -> list[str]:
    left = {name: len(producers) for name, producers in before.items()}
    after: dict[str, list[str]] = {name: [] for name in before}
    for name, producers in before.items():
        for producer in producers:
            after[producer].append(name)
    ready = [name for name, count in left.items() if not count]
    order = []
    for name in ready:
        order.append(name)
        for consumer in after[name]:
            left[consumer] -= 1
            if not left[consumer]:
                ready.append(consumer)
    if len(order) < len(before):
        raise ValueError("pipeline: the logic has a loop")
    return order
