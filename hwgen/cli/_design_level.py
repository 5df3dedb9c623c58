"""``--level accelerator``: the flags of an accelerator beside those of its tile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from hwgen.cli._family import parameter_option
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
        return [*params, *_design_options()] if ctx.meta.get("hwgen.accelerator") else params

    def invoke(self, ctx: click.Context) -> Any:
        ctx.params["design"] = _design_values(ctx) if ctx.meta.get("hwgen.accelerator") else None
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


def _design_options() -> list[click.Parameter]:
    """One flag for each parameter of `hwgen.accelerator.Design`."""
    from hwgen.accelerator import Design

    return [parameter_option(one) for one in Design.parameters().values()]


def _design_values(ctx: click.Context) -> dict[str, Any]:
    """Parameters of the design that were given; they leave the context. Raises `HwgenError` for one given twice."""
    from hwgen.accelerator import Design

    found: dict[str, Any] = {}
    for name, one in Design.parameters().items():
        words = ctx.params.pop(name)
        if len(set(words)) > 1:
            raise HwgenError(f"accelerator: {one.flag} must be given once, not as {' and '.join(words)}")
        if words:
            found[name] = one.parse(words[-1])
    return found
