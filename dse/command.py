"""The command lines that make a point of a sweep: the fewest flags, checked to give exactly the tile that it has."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hwgen.accelerator import Design
from hwgen.accelerator.use import Use
from hwgen.errors import HwgenError
from hwgen.frame.param import Param
from hwgen.pe import TileSpec, family
from hwgen.schedule import Layer
from sim.clock import OWN, at_clock, by_hand
from sim.tech import DEFAULT, Tech, load

__all__ = ["flag_words", "layer_text", "point_commands", "tech_of", "value_of", "words_beside"]

_MOST_LAYERS = 8
"""Layers that a command names; a model with more is named by its workload in the sweep's own command."""


def tech_of(name: str, command: str) -> tuple[str, Tech | None]:
    """How a technology of a sweep is given, and the technology: one of the package, or of the files that the sweep's
    command names; None where it is gone.
    """
    words = shlex.split(command)
    given = [after for word, after in itertools.pairwise(words) if word == "--tech"]
    given += [word.partition("=")[2] for word in words if word.startswith("--tech=")]
    for one in (name, *(file for text in given for file in (text, *text.split(",")) if file.endswith(".toml"))):
        try:
            tech = load(one)
        except HwgenError:
            continue
        if tech.name == name:
            return one, tech
    return name, None


def point_commands(
    row: Mapping[str, Any], level: str, tech_name: str, tech: Tech | None, layers: Sequence[Layer], *, own_clock: bool
) -> dict[str, str]:
    """Commands for a row, by what they do: ``estimate`` and ``emit``.

    Parameters
    ----------
    tech_name, tech: as `tech_of` gives them; without the technology every parameter is a flag.
    own_clock: whether points ran at their own shortest periods.
    """
    spec = family(str(row["pe"]))
    known = spec.parameters()
    values = {name: value_of(row[name], one) for name, one in known.items()}
    period = float(row["clk_period_ns"])
    clock = OWN if own_clock else period
    given = next(_enough(spec, values, tech, clock), values)
    words = ["--pe", spec.family, *flag_words(known, given)]
    if level == "accelerator":
        words = ["--level", "accelerator", *words, *words_beside(row, Design.parameters())]
    at = ["--clk-period-ns", clock if isinstance(clock, str) else f"{period!r}"]
    if tech is not None and clock == tech.default_clk_period_ns and not by_hand(spec, given):
        at = []
    if tech_name != DEFAULT:
        at += ["--tech", tech_name]
    target = f"{spec.family}_{level}" + (".v" if level == "tile" else "")
    products = [word for layer in layers[:_MOST_LAYERS] for word in ("--layer", layer_text(layer))]
    use = words_beside(row, Use.parameters()) if level == "accelerator" else []
    return {
        "estimate": shlex.join(["hwgen", "estimate", *words, *use, *at, *products]),
        "emit": shlex.join(["hwgen", "emit", *words, *at, "-o", target]),
    }


def _enough(
    spec: type[TileSpec], values: Mapping[str, Any], tech: Tech | None, clock: float | str
) -> Iterator[dict[str, Any]]:
    """Sets of values that make the tile, the smallest first."""
    known = spec.parameters()
    differing = {name: value for name, value in values.items() if value != known[name].default}
    cuts = set(by_hand(spec, known))
    placed = {name: value for name, value in values.items() if name in cuts}
    tries = [
        {name: value for name, value in differing.items() if name not in cuts},
        differing,
        {**differing, **placed},
        {name: value for name, value in values.items() if name not in cuts},
    ]
    for one in tries if tech is not None else []:
        assert tech is not None
        try:
            if at_clock(spec, one, tech, clock).p == values:
                yield one
        except HwgenError:
            continue


def value_of(value: Any, known: Param) -> Any:
    """A parameter's value from a sweep's column."""
    if known.type is bool and isinstance(value, str):
        return value.lower() == "true"
    return known.type(value)


def flag_words(known: Mapping[str, Param], values: Mapping[str, Any]) -> list[str]:
    """Flags and values of parameters, not quoted."""
    found: list[str] = []
    for name, value in values.items():
        found += [known[name].flag, str(value).lower() if isinstance(value, bool) else str(value)]
    return found


def words_beside(row: Mapping[str, Any], known: Mapping[str, Param]) -> list[str]:
    """`flag_words` of what a row has of some parameters and that is not their default."""
    there = {name: value_of(row[name], one) for name, one in known.items() if name in row}
    return flag_words(known, {name: value for name, value in there.items() if value != known[name].default})


def layer_text(layer: Layer) -> str:
    """A layer as `hwgen.cli._layer.parse_layer` reads it."""
    sizes = f"{layer.m}x{layer.n}x{layer.k}"
    name = re.sub(r"[:\s]", "_", layer.name)
    return ("" if name == sizes else f"{name}:") + sizes + (f"*{layer.count}" if layer.count > 1 else "")
