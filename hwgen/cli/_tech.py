"""Options that say at what technology and clock a tile is priced; shared by the commands that price tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from hwgen.cli._values import Number

__all__ = ["DEFAULT_TECH", "tech_option", "tech_options"]

DEFAULT_TECH = "sky130hd"
"""`sim.tech.DEFAULT`, which importing here would bring torch's half of the project (a test compares the two)."""


tech_option = click.option(
    "--tech",
    default=DEFAULT_TECH,
    show_default=True,
    metavar="NAME",
    help="technology, or the .toml file that `hwgen calibrate` wrote",
)


def tech_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--tech`` and ``--clk-period-ns``."""
    help_text = "clock period (default: the shortest that each tile allows)"
    return tech_option(click.option("--clk-period-ns", type=Number(), help=help_text)(command))
