"""Cells that take longer than a cycle, in parts: a multiplier as rows, carry-save adders and one adder."""

from __future__ import annotations

import functools
from typing import Any

from hwgen.pipeline.netlist import Module, graph, read_module
from hwgen.pipeline.schedule import shortest_period

__all__ = ["split"]

_SHARE = 0.5
"""Share of a period from which a multiplier is worth splitting: registers within it then help."""


def split(module: Module, cuts: int) -> Module:
    """``module`` with its multipliers dissolved where registers within them would help."""
    multipliers = {name: cell for name, cell in module["cells"].items() if cell["type"] == "$mul"}
    if not cuts or not multipliers:
        return module
    logic = graph(module)
    period = shortest_period(logic, cuts)
    slow = {name for name in multipliers if logic.delays[logic.cells.index(name)] > _SHARE * period}
    if not slow:
        return module
    return _dissolved(module, slow)


def _operand(bits: list[Any]) -> tuple[list[Any], bool]:
    """What an operand is without its extension, and whether it is two's complement."""
    kept = list(bits)
    if kept[-1] == "0":
        while len(kept) > 1 and kept[-1] == "0":
            kept.pop()
        return kept, False
    signed = False
    while len(kept) > 1 and kept[-1] == kept[-2]:
        kept.pop()
        signed = True
    return kept, signed


@functools.lru_cache(maxsize=256)
def _multiplier(a_bits: int, b_bits: int, a_signed: bool, b_signed: bool, width: int) -> Module:
    """A multiplier as carry-save adders: ports A, B and Y."""
    from amaranth.back import rtlil
    from amaranth.hdl import Module as Hdl
    from amaranth.hdl import Signal, signed, unsigned

    from hwgen.arith.bits import wire
    from hwgen.arith.compressor import Term, carry_save_sum

    m = Hdl()
    a = Signal(signed(a_bits) if a_signed else unsigned(a_bits), name="A")
    b, y = Signal(b_bits, name="B"), Signal(width, name="Y")
    rows = []
    for place in range(min(b_bits, width)):
        row = wire(m, a.as_unsigned() & b[place].replicate(a_bits), f"row{place}")
        negative = b_signed and place == b_bits - 1
        rows.append(Term(row.as_signed() if a_signed else row, place, negative))
    m.d.comb += y.eq(carry_save_sum(m, rows, "sum", width).as_unsigned())
    return read_module(str(rtlil.convert(m, name="mul", ports=[a, b, y], emit_src=False)), "mul")


def _dissolved(module: Module, names: set[str]) -> Module:
    cells: dict[str, Any] = {}
    netnames = dict(module["netnames"])
    fresh = 1 + max(
        bit
        for cell in module["cells"].values()
        for bits in cell["connections"].values()
        for bit in bits
        if isinstance(bit, int)
    )
    joined: dict[int, Any] = {}
    for name, cell in module["cells"].items():
        if name not in names:
            cells[name] = cell
            continue
        pins = cell["connections"]
        (a, a_signed), (b, b_signed) = _operand(pins["A"]), _operand(pins["B"])
        if len(b) > len(a):
            # Rows are as many as the bits of the shorter one.
            a, a_signed, b, b_signed = b, b_signed, a, a_signed
        inner = _multiplier(len(a), len(b), a_signed, b_signed, len(pins["Y"]))
        outside: dict[Any, Any] = {}
        for port, bits in (("A", a), ("B", b)):
            outside |= dict(zip(inner["ports"][port]["bits"], bits, strict=True))
        label = _label(name, netnames, pins["Y"])
        for index, (part, found) in enumerate(inner["cells"].items()):
            connections = {}
            for pin, bits in found["connections"].items():
                for bit in bits:
                    if isinstance(bit, int) and bit not in outside:
                        outside[bit] = fresh
                        fresh += 1
                connections[pin] = [outside[bit] if isinstance(bit, int) else bit for bit in bits]
            cells[f"{name}${index}${part}"] = {**found, "connections": connections}
        for inside, entry in inner["netnames"].items():
            if not entry["hide_name"] and inside not in "ABY":
                bits = [outside.get(bit, bit) if isinstance(bit, int) else bit for bit in entry["bits"]]
                netnames[f"{label}_{inside}"] = {**entry, "bits": bits}
        joined |= {
            old: outside[new] if isinstance(new, int) else new
            for old, new in zip(pins["Y"], inner["ports"]["Y"]["bits"], strict=True)
        }
    return _joined({**module, "cells": cells, "netnames": netnames}, joined)


def _label(name: str, netnames: dict[str, Any], result: list[Any]) -> str:
    """What the nets within a multiplier are called after: its result, where that has a name."""
    for known, entry in sorted(netnames.items()):
        if not entry["hide_name"] and not known.startswith("$") and result[0] in entry["bits"]:
            return str(known)
    return "product"


def _joined(module: Module, joined: dict[int, Any]) -> Module:
    """``module`` with nets replaced."""

    def new(bits: list[Any]) -> list[Any]:
        return [joined.get(bit, bit) if isinstance(bit, int) else bit for bit in bits]

    return {
        **module,
        "ports": {name: {**port, "bits": new(port["bits"])} for name, port in module["ports"].items()},
        "cells": {
            name: {**cell, "connections": {pin: new(bits) for pin, bits in cell["connections"].items()}}
            for name, cell in module["cells"].items()
        },
        "netnames": {name: {**entry, "bits": new(entry["bits"])} for name, entry in module["netnames"].items()},
    }
