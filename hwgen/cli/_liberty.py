"""``--liberty``, as every command that maps takes it."""

from __future__ import annotations

import click

from hwgen.cli._family import FamilyCommand
from hwgen.cli._level import Leveled
from hwgen.cli._values import InputFile

__all__ = ["MappedCommand", "MappedLevelCommand", "liberty_option"]

liberty_option = click.option(
    "--liberty",
    "files",
    multiple=True,
    type=InputFile(),
    metavar="FILE",
    help="Liberty file of one library, plain or gzip; may be repeated (default: the project's generic one, in gate "
    "equivalents)",
)


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
