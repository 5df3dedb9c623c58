"""``--level accelerator``: the flags of an accelerator beside those of its tile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from hwgen.cli._design import design_flags, take_design
from hwgen.cli._liberty import MappedCommand
from hwgen.errors import HwgenError, suggest

__all__ = ["LeveledCommand", "level_option"]

LEVELS = ("tile", "accelerator")


level_option = click.option(
    "--level",
    type=click.Choice(LEVELS),
    default="tile",
    show_default=True,
    expose_value=False,
    help="tile, or the whole accelerator around it, whose parameters are then flags, too",
)


class LeveledCommand(MappedCommand):
    """A command that maps a tile, or with ``--level accelerator`` what is around it, too.

    It is called with ``design``, the parameters of the design that were given, or None for a tile alone.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["hwgen.accelerator"] = _asks_for_accelerator(args)
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params = super().get_params(ctx)
        return [*params, *design_flags()] if ctx.meta.get("hwgen.accelerator") else params

    def invoke(self, ctx: click.Context) -> Any:
        ctx.params["design"] = take_design("accelerator", ctx.params) if ctx.meta.get("hwgen.accelerator") else None
        return super().invoke(ctx)


def _asks_for_accelerator(args: Sequence[str]) -> bool:
    """Whether the words of a command line say ``--level accelerator``. Raises `HwgenError` for an unknown level."""
    found = "tile"
    for index, word in enumerate(args):
        if word == "--level" and index + 1 < len(args):
            found = args[index + 1]
        elif word.startswith("--level="):
            found = word.removeprefix("--level=")
    if found not in LEVELS:
        raise HwgenError(f"--level must be {' or '.join(LEVELS)}, not {found!r}{suggest(found, LEVELS)}")
    return found == "accelerator"
