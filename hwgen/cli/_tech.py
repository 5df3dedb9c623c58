"""Options that say at what technology and clock a tile is made and priced; shared by all commands that take tiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from hwgen.cli._values import Number

if TYPE_CHECKING:
    from hwgen.pe import TileSpec

__all__ = ["DEFAULT_TECH", "OWN", "Clock", "ClockPeriod", "asked_clock", "clock_options", "made_tile", "tech_option"]

DEFAULT_TECH = "sky130hd"
"""`sim.tech.DEFAULT`, which importing here would bring torch's half of the project (a test compares the two)."""
OWN = "own"
"""`sim.clock.OWN`, likewise."""


class ClockPeriod(click.ParamType[Any]):
    """A clock period in ns, several with commas where a command takes them, or ``own``."""

    name = "float|own"

    def __init__(self, *, several: bool = False) -> None:
        self._several = several

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == OWN or not isinstance(value, str):
            return value
        if not self._several:
            return Number().convert(value, param, ctx)
        return tuple(Number().convert(one, param, ctx) for one in value.split(","))


tech_option = click.option(
    "--tech",
    default=DEFAULT_TECH,
    show_default=True,
    metavar="NAME",
    help="technology, or the .toml file that `hwgen calibrate` wrote",
)


def clock_option(*, several: bool = False) -> click.Option:
    """``--clk-period-ns``."""
    what = "clock periods with commas" if several else "clock period"
    return click.Option(
        ["--clk-period-ns"],
        type=ClockPeriod(several=several),
        metavar="NS|own",
        help=f"{what}: tiles get the fewest registers that keep it, where no flag places any; own: they get none, and "
        "run at their own shortest period (default: the technology's default clock)",
    )


def clock_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--tech`` and ``--clk-period-ns``, which takes several."""
    option = clock_option(several=True)
    return tech_option(click.option(*option.opts, type=option.type, metavar=option.metavar, help=option.help)(command))


@dataclass(frozen=True)
class Clock:
    """The clock that a tile was made for.

    ``period_ns`` is None where it runs at its own shortest period; ``target_ns`` is what is asked of it when it is
    mapped or constrained. ``settled``: whether the clock placed its registers, by the model of ``tech``.
    """

    tech: str | None
    period_ns: float | None
    target_ns: float
    settled: bool

    def words(self, tile: TileSpec) -> str:
        """What the clock made of a tile."""
        if not self.settled:
            return "registers as its parameters say"
        known = tile.cut_parameters().items()
        found = [f"{name.replace('_', ' ')} {tile.p[name]}" for name, one in known if tile.p[name] != one.default]
        return f"registers for {self.target_ns:g} ns: {', '.join(found) or 'none but those between blocks'}"

    def document(self) -> dict[str, Any] | None:
        """For the manifest; None where no clock placed registers."""
        return {"tech": self.tech, "clk_period_ns": self.target_ns} if self.settled else None


_UNTIMED_NS = 1.0
"""Target where neither a user nor a technology says one."""


def asked_clock(tech: str | None, given: float | str | None) -> Clock:
    """The clock of what is no tile, so that no clock places anything."""
    from sim.tech import load

    usual = None if tech is None else load(tech).default_clk_period_ns
    target = given if isinstance(given, float) else usual if usual is not None else _UNTIMED_NS
    return Clock(tech, target, target, settled=False)


def made_tile(
    spec: type[TileSpec], values: Mapping[str, Any], tech: str | None, given: float | str | None
) -> tuple[TileSpec, Clock]:
    """A family's tile with ``values`` at a clock, as `sim.clock.at_clock`, and the clock; without a technology no clock
    settles anything.
    """
    from sim.clock import at_clock, by_hand
    from sim.tech import load

    target = asked_clock(tech, given).target_ns
    if tech is None:
        return spec.from_values(values), Clock(tech, target, target, settled=False)
    table = load(tech)
    tile = at_clock(spec, values, table, given)
    settled = given != OWN and table.default_clk_period_ns is not None and not by_hand(spec, values)
    named = isinstance(given, float)
    return tile, Clock(tech, target if named or settled else None, target, settled)
