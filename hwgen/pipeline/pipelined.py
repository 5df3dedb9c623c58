"""Logic with registers in it: RTLIL of combinational logic to RTLIL that gives the same some cycles later."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.pipeline.netlist import SOURCE, Graph, Module, graph, read_module
from hwgen.pipeline.schedule import places, shortest_period
from hwgen.pipeline.split import split
from hwgen.yosys import run_passes

__all__ = ["CLOCK", "ENABLE", "Pipelined", "pipelined"]

CLOCK, ENABLE = "clk", "en"
"""Ports that are added."""


@dataclass(frozen=True)
class Pipelined:
    """Logic with registers: its RTLIL, the bits in them, and the longest path between them in gate delays."""

    rtlil: str
    register_bits: int
    period: float


@functools.lru_cache(maxsize=512)
def pipelined(rtlil: str, name: str, cuts: int, enable: bool = False, tail: float = 0.0) -> Pipelined:
    """Put ``cuts`` registers on every way through the module ``name``; ``tail``: gate delays of what its outputs go
    through in the cycle in which they come.

    The new module has a port `CLOCK` more and, with ``enable``, `ENABLE`, without which nothing moves. Registers have
    no reset. Outputs are those of the inputs ``cuts`` cycles before.
    """
    module = split(read_module(rtlil, name), cuts)
    logic = graph(module)
    period = shortest_period(logic, cuts, tail)
    cycles = places(logic, cuts, period, tail)
    bits = _rewrite(module, logic, cycles, cuts, enable)
    document = json.dumps({"creator": "hwgen", "modules": {name: module}})
    text = run_passes(document, (), read="read_json", write="write_rtlil")
    text = re.sub(r"^(?:#|autoidx ).*\n", "", text, flags=re.M)
    return Pipelined(text, bits, period)


def _names(module: Module) -> dict[int, tuple[str, int]]:
    """A name and a place in it for every net: the shortest public one that is no output port."""
    outputs = {name for name, port in module["ports"].items() if port["direction"] == "output"}
    found: dict[int, tuple[str, int]] = {}
    named = sorted(module["netnames"].items(), key=lambda item: (len(item[0]), item[0]))
    for name, entry in named:
        if name in outputs or entry["hide_name"] or name.startswith("$"):
            continue
        for place, bit in enumerate(entry["bits"]):
            if isinstance(bit, int):
                found.setdefault(bit, (name, place))
    return found


def _rewrite(module: Module, logic: Graph, cycles: np.ndarray, cuts: int, enable: bool) -> int:
    """Put the registers of a schedule into ``module``; returns their bits."""
    ports = module["ports"]
    every: list[Any] = [bit for entry in module["netnames"].values() for bit in entry["bits"]]
    every += [bit for cell in module["cells"].values() for pin in cell["connections"].values() for bit in pin]
    fresh = max((bit for bit in every if isinstance(bit, int)), default=1) + 1
    clock, enabling = fresh, fresh + 1
    fresh += 2

    count = len(logic.cells)
    # Cycle in which each net is made, and the last in which it is taken.
    made: dict[int, int] = {}
    taken: dict[int, int] = {}
    for producer, consumers, bits in logic.uses:
        start = 0 if producer == SOURCE else int(cycles[producer])
        end = max(cuts if consumer == count else int(cycles[consumer]) for consumer in consumers)
        for bit in bits:
            made[bit], taken[bit] = start, end
    names = _names(module)
    # Registers by (name, cycle): (place, net) in order.
    registers: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for bit in sorted(made):
        name, place = names.get(bit, ("value", bit))
        for cycle in range(made[bit] + 1, taken[bit] + 1):
            registers.setdefault((name, cycle), []).append((place, bit))
    late: dict[tuple[int, int], int] = {(bit, cycle): bit for bit, cycle in made.items()}
    wanted = set(module["netnames"])
    total = 0
    for (name, cycle), places_of in sorted(registers.items()):
        places_of.sort()
        label = _free(f"{name}_s{cycle}", wanted)
        own = []
        for _, bit in places_of:
            late[bit, cycle] = fresh
            own.append(fresh)
            fresh += 1
        total += len(own)
        connections: dict[str, Any] = {"CLK": [clock], "D": [late[bit, cycle - 1] for _, bit in places_of], "Q": own}
        parameters: dict[str, Any] = {"CLK_POLARITY": "1", "WIDTH": format(len(own), "032b")}
        directions = {"CLK": "input", "D": "input", "Q": "output"}
        if enable:
            connections["EN"] = [enabling]
            parameters["EN_POLARITY"] = "1"
            directions["EN"] = "input"
        module["cells"][f"$reg${label}"] = {
            "hide_name": 1,
            "type": "$dffe" if enable else "$dff",
            "parameters": parameters,
            "attributes": {},
            "port_directions": directions,
            "connections": connections,
        }
        module["netnames"][label] = {"hide_name": 0, "bits": own, "attributes": {}}
    for index, cell_name in enumerate(logic.cells):
        cell = module["cells"][cell_name]
        for pin, way in cell["port_directions"].items():
            if way == "input":
                cell["connections"][pin] = [_at(late, bit, int(cycles[index])) for bit in cell["connections"][pin]]
    for port_name, port in ports.items():
        if port["direction"] == "output":
            port["bits"] = [_at(late, bit, cuts) for bit in port["bits"]]
            module["netnames"][port_name]["bits"] = port["bits"]
    if total:
        _add_port(module, CLOCK, clock)
    if total and enable:
        _add_port(module, ENABLE, enabling)
    return total


def _at(late: dict[tuple[int, int], int], bit: Any, cycle: int) -> Any:
    """The net that is ``bit`` of cycle 0 in another one; a constant is the same in all of them."""
    return late[bit, cycle] if isinstance(bit, int) else bit


def _free(name: str, taken: set[str]) -> str:
    label = name
    while label in taken:
        label += "_"
    taken.add(label)
    return label


def _add_port(module: Module, name: str, bit: int) -> None:
    module["ports"][name] = {"direction": "input", "bits": [bit]}
    module["netnames"][name] = {"hide_name": 0, "bits": [bit], "attributes": {}}
