"""Command lines that realise points: the fewest flags that make exactly what a sweep evaluated."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from dse.command import flag_words, layer_text, value_of, words_beside
from hwgen.accelerator import Design
from hwgen.accelerator.use import Use
from hwgen.errors import HwgenError
from hwgen.pe import TileSpec, family
from hwgen.schedule import Layer
from sim.clock import by_hand
from sim.tech import DEFAULT, Tech

__all__ = ["point_flags", "templates"]


def point_flags(
    row: Mapping[str, Any], tech_name: str, tech: Tech, *, own_clock: bool, settled: bool
) -> dict[str, str]:
    """Flags of a point: of its ``tile``, of its ``clock`` and ``tech``, of the accelerator ``around`` it and the memory
    it ``use``s.

    ``settled``: whether the clock places the registers that the point has, so that no flag needs to.
    """
    spec = family(str(row["pe"]))
    known = spec.parameters()
    values = {name: value_of(row[name], one) for name, one in known.items()}
    cuts = by_hand(spec, known)
    given = {name: value for name, value in values.items() if value != known[name].default}
    if settled:
        given = {name: value for name, value in given.items() if name not in cuts}
    asked = {name: value for name, value in values.items() if not settled or name not in cuts}
    if not _makes(spec, given, asked):
        # What a flag brings along is not what the point has: all of them say what it is.
        given = asked
    elif not settled and not own_clock:
        # One of them keeps the clock from placing registers.
        given |= {name: values[name] for name in cuts}
    return {
        "tile": shlex.join(flag_words(known, given)),
        "clock": _clock(row, tech, own_clock=own_clock, settled=settled),
        "tech": "" if tech_name == DEFAULT else f"--tech {shlex.quote(tech_name)}",
        "around": shlex.join(words_beside(row, Design.parameters())),
        "use": shlex.join(words_beside(row, Use.parameters())),
    }


def _makes(spec: type[TileSpec], given: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether flags make a tile with these values."""
    try:
        made = spec.from_values(given).p
    except HwgenError:
        return False
    return all(made[name] == value for name, value in wanted.items())


def _clock(row: Mapping[str, Any], tech: Tech, *, own_clock: bool, settled: bool) -> str:
    period = float(row["clk_period_ns"])
    if own_clock:
        return "--clk-period-ns own"
    return "" if settled and period == tech.default_clk_period_ns else f"--clk-period-ns {period!r}"


def templates(level: str, layers: Sequence[Layer]) -> list[dict[str, str]]:
    """What can be done with a point: title, and the command with names of `point_flags` in braces.

    Empty for a level that no command takes from flags.
    """
    products = " ".join(f"--layer {shlex.quote(layer_text(one))}" for one in layers)
    if level == "tile":
        return [
            {"title": "Estimate", "command": f"hwgen estimate --pe {{pe}} {{tile}} {{clock}} {{tech}} {products}"},
            {
                "title": "Emit Verilog",
                "command": "hwgen emit --pe {pe} {tile} {clock} {tech} -o {pe}_tile.v",
            },
        ]
    if level == "accelerator":
        tile = "--level accelerator --pe {pe} {tile} {around} {clock} {tech}"
        return [
            {"title": "Estimate", "command": f"hwgen estimate {tile} {{use}} {products}"},
            {"title": "Emit Verilog", "command": f"hwgen emit {tile} -o {{pe}}_accelerator"},
        ]
    return []
