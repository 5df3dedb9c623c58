"""Options of an accelerator: one for each parameter of `Design`, and the memory that it is given."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from hwgen.cli._family import parameter_option, taken
from hwgen.cli._values import Whole
from hwgen.errors import HwgenError

if TYPE_CHECKING:
    from hwgen.accelerator import Design, Memory
    from hwgen.pe import TileSpec

__all__ = ["DesignOptions", "design_flags", "design_options", "take_design"]

_BEATS = re.compile(r"(\d{1,6})/(\d{1,6})")


@dataclass(frozen=True)
class DesignOptions:
    """What is given of an accelerator, texts by parameter, and of its memory, None where it is not."""

    texts: Mapping[str, str]
    latency: int | None
    beats: str | None

    @property
    def given(self) -> list[str]:
        """Flags that are given."""
        flags = [f"--{name.replace('_', '-')}" for name in self.texts]
        memory = {"--memory-latency": self.latency, "--memory-beats": self.beats}
        return [*flags, *(flag for flag, value in memory.items() if value is not None)]

    def design(self, tile: TileSpec) -> Design:
        """The accelerator around a tile. Raises `HwgenError` for illegal values."""
        from hwgen.accelerator import Design

        known = Design.parameters()
        return Design.from_values(tile, {name: known[name].parse(text) for name, text in self.texts.items()})

    @property
    def memory(self) -> Memory:
        """The memory. Raises `HwgenError` for beats that are no share of the cycles."""
        from hwgen.accelerator import Memory

        usual = Memory()
        beats = usual.beats
        if self.beats is not None:
            match = _BEATS.fullmatch(self.beats)
            if match is None:
                raise HwgenError(
                    f"--memory-beats: must be beats and cycles as N/D, e.g. 1/2 for one in two, not {self.beats!r}"
                )
            beats = int(match[1]), int(match[2])
        return Memory(usual.latency if self.latency is None else self.latency, beats)


def design_flags() -> list[click.Option]:
    """A flag for each parameter of the accelerator around the tile, for commands whose flags depend on others."""
    from hwgen.accelerator import Design

    return [parameter_option(one) for one in Design.parameters().values()]


def take_design(what: str, params: dict[str, Any]) -> dict[str, Any]:
    """Remove the accelerator's parameters from ``params``: the values of those that were given. Raises `HwgenError`,
    which names ``what``, for one that was given twice.
    """
    from hwgen.accelerator import Design

    known = Design.parameters()
    return {name: known[name].parse(text) for name, text in taken(what, known, params).items()}


def design_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags; the command gets a `DesignOptions` as ``around``."""
    from hwgen.accelerator import Design, Memory

    known, usual = Design.parameters(), Memory()
    flags = [
        *(
            click.option(
                one.flag,
                metavar=one.type.__name__.upper(),
                help=f"{one.doc}{f' [{one.unit}]' if one.unit else ''} ({one.allowed}; default {one.default})",
            )
            for one in known.values()
        ),
        click.option(
            "--memory-latency",
            type=Whole(),
            metavar="N",
            help=f"cycles from an address to its first beat (default {usual.latency})",
        ),
        click.option(
            "--memory-beats",
            metavar="N/D",
            help="beats of reads, and as many of writes, in how many cycles, e.g. 1/2 (default 1/1)",
        ),
    ]

    @functools.wraps(command)
    def called(*arguments: Any, memory_latency: int | None, memory_beats: str | None, **given: Any) -> Any:
        texts = {name: given.pop(name) for name in known}
        around = DesignOptions({n: text for n, text in texts.items() if text is not None}, memory_latency, memory_beats)
        return command(*arguments, around=around, **given)

    found: Callable[..., Any] = called
    for flag in reversed(flags):
        found = flag(found)
    return found
