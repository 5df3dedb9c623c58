"""Verilog read back: one flat module of cells, by Yosys' own reader and never from the source that made the text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hwgen.errors import HwgenError
from hwgen.yosys import run_passes

__all__ = ["Bit", "Cell", "Netlist", "read_verilog"]

Bit = int | str
"""A net's number, or "0", "1", "x"."""


@dataclass(frozen=True)
class Cell:
    """A cell of the flat netlist: Yosys' ``kind``, its parameters as numbers, the bits at its ports."""

    name: str
    kind: str
    parameters: Mapping[str, int]
    ports: Mapping[str, tuple[Bit, ...]]

    @property
    def output(self) -> str:
        """Name of the port that drives."""
        return "Q" if "Q" in self.ports else "Y"


@dataclass(frozen=True)
class Netlist:
    """A flat module. ``inputs`` and ``outputs`` are its ports' bits, ``names`` the bits of every wire, ``driver`` cell
    and position by net.
    """

    top: str
    inputs: Mapping[str, tuple[Bit, ...]]
    outputs: Mapping[str, tuple[Bit, ...]]
    names: Mapping[str, tuple[Bit, ...]]
    cells: tuple[Cell, ...]
    driver: Mapping[Bit, tuple[Cell, int]]

    def registers(self) -> list[Cell]:
        """The flip-flops."""
        return [cell for cell in self.cells if cell.output == "Q"]


_PLACE = re.compile(r"/\S*design\.in|\\|\$flatten")
"""What names of cells have from the way of the text through Yosys."""


def _number(text: Any) -> int:
    if isinstance(text, int):
        return text
    return int(text, 2) if text and set(text) <= {"0", "1"} else 0


_MAP = ("memory_collect", "memory_map", "dffunmap")
"""Memories become registers, and registers that are held or reset those with choices before them."""


def read_verilog(text: str, top: str, *, memories: bool = False, opaque: str | None = None) -> Netlist:
    """Flat netlist of module ``top`` of a Verilog text.

    memories: there are some, which become registers.
    opaque: a module that is not looked into. The outputs of its instances are inputs of the netlist, and their inputs
       its outputs, by the names ``instance.port``.

    Raises `HwgenError` for a text that Yosys does not read, or that has no such module.
    """
    passes: tuple[str, ...] = (f"hierarchy -check -top {top}", "proc -norom", "flatten", "opt_clean")
    if opaque:
        passes = (f"blackbox {opaque}", *passes)
    if memories:
        passes = (*passes, *_MAP, "opt_clean")
    try:
        document = json.loads(run_passes(text, passes, read="read_verilog", write="write_json"))
    except RuntimeError as error:
        said = [line for line in str(error).splitlines() if "ERROR" in line]
        why = said[-1].strip() if said else str(error)[-200:]
        raise HwgenError(f"{top}: the Verilog must be a text with module {top} that Yosys reads: {why}") from error
    module = document["modules"][top]
    ports = {name: (port["direction"], tuple(port["bits"])) for name, port in module["ports"].items()}
    cells = tuple(
        Cell(
            _PLACE.sub("", name),
            one["type"],
            {key: _number(value) for key, value in one["parameters"].items()},
            {key: tuple(bits) for key, bits in one["connections"].items()},
        )
        for name, one in sorted(module["cells"].items(), key=lambda item: _PLACE.sub("", item[0]))
        if one["type"] not in ("$scopeinfo", opaque)
    )
    for name, one in module["cells"].items():
        if one["type"] == opaque:
            for port, bits in one["connections"].items():
                # What drives the netlist from within the instance comes in from outside of it.
                way = "input" if one["port_directions"][port] == "output" else "output"
                ports[f"{name}.{port}"] = way, tuple(bits)
    driver = {bit: (cell, place) for cell in cells for place, bit in enumerate(cell.ports[cell.output])}
    return Netlist(
        top,
        {name: bits for name, (way, bits) in ports.items() if way == "input"},
        {name: bits for name, (way, bits) in ports.items() if way == "output"},
        {name: tuple(one["bits"]) for name, one in module["netnames"].items()},
        cells,
        driver,
    )
