"""``--liberty``, as every command that maps takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hwgen.cli._family import FamilyCommand
from hwgen.cli._level import Leveled
from hwgen.cli._values import InputFile

if TYPE_CHECKING:
    from hwgen.synth import Library

__all__ = ["MappedCommand", "MappedLevelCommand", "liberty_option", "say_left_out"]

_SHOWN = 3

liberty_option = click.option(
    "--liberty",
    "files",
    multiple=True,
    type=InputFile(),
    metavar="FILE",
    help="Liberty file of one library, plain or gzip; may be repeated (default: the project's generic one, in gate "
    "equivalents)",
)


def say_left_out(library: Library) -> None:
    """Say on standard error which cells of a library are not used, and why, where there are some."""
    from hwgen.synth._slim import slimmed
    from hwgen.synth.liberty import FALLING

    said = [*library.left_out.items(), *((name, FALLING) for name in slimmed(library).left_out)]
    if said:
        shown = [f"{name} {why}" for name, why in said[:_SHOWN]]
        more = [f"{len(said) - _SHOWN} more"] if len(said) > _SHOWN else []
        click.echo(f"cells of {library.name} that are left out: {'; '.join([*shown, *more])}", err=True)


class MappedCommand(FamilyCommand):
    """A command that maps a tile: its technology is the one that was calibrated on the library, where there is one."""

    def tech_option(self) -> click.Option:
        about = (
            "technology whose model places the registers that a clock asks for, or a .toml of `hwgen calibrate` "
            "(default: the one that was calibrated on the library; without one no register is placed)"
        )
        return click.Option(["--tech"], metavar="NAME", help=about)

    def tech(self, ctx: click.Context, name: str | None) -> str | None:
        from hwgen.synth import generic_library, read_library
        from sim.tech import calibrated_on

        # FPGAs have clocks of their own.
        if name is not None or ctx.params.get("fpga") is not None:
            return name
        files = ctx.params["files"]
        return calibrated_on((read_library(files) if files else generic_library()).sha256)


class MappedLevelCommand(Leveled, MappedCommand):
    """A command that maps a tile, or what is around it, too."""
