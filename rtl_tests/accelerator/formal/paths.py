"""Combinational paths through a netlist, from inputs to outputs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from hwgen.yosys import run_passes

__all__ = ["paths"]


def paths(text: str, top: str, read: str = "read_verilog") -> dict[str, set[str]]:
    """Inputs from which each output of module ``top`` follows within a cycle, by name; clocks are no such inputs.

    A cell makes all its outputs of all its inputs, but for flip-flops and clocked ports of memories: none of theirs.
    """
    passes = (f"hierarchy -check -top {top}", "proc", "flatten", "opt_clean", "memory_dff", "opt_clean")
    module = json.loads(run_passes(text, passes, read=read, write="write_json"))["modules"][top]
    feeds: dict[int, list[int]] = defaultdict(list)
    for cell in module["cells"].values():
        for source, target in _arcs(cell):
            feeds[source].append(target)
    found: dict[str, set[str]] = {
        name: set() for name, port in module["ports"].items() if port["direction"] == "output"
    }
    ends: dict[int, list[str]] = defaultdict(list)
    for name in found:
        for bit in module["ports"][name]["bits"]:
            ends[bit].append(name)
    for name, port in module["ports"].items():
        if port["direction"] != "input":
            continue
        todo, seen = [bit for bit in port["bits"] if isinstance(bit, int)], set()
        while todo:
            bit = todo.pop()
            if bit not in seen:
                seen.add(bit)
                todo += feeds[bit]
                for output in ends[bit]:
                    found[output].add(name)
    return found


def _arcs(cell: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Pairs of an input and an output bit of a cell, of which one follows from the other within a cycle."""
    kind, directions = cell["type"], cell["port_directions"]
    if "dff" in kind or "_DFF" in kind:
        return []
    sources = [name for name, way in directions.items() if way == "input"]
    targets = {name: bits for name, bits in cell["connections"].items() if directions[name] == "output"}
    if kind.startswith("$memwr") or (kind.startswith("$memrd") and int(cell["parameters"]["CLK_ENABLE"], 2)):
        return []
    bits = [bit for name in sources for bit in cell["connections"][name] if isinstance(bit, int)]
    return [(bit, out) for bit in bits for outs in targets.values() for out in outs]
