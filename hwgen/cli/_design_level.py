"""``--level accelerator``: the flags of an accelerator beside those of its tile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from hwgen.cli._family import parameter_option
from hwgen.errors import HwgenError, suggest

__all__ = ["LEVELS", "asks_for_accelerator", "design_options", "design_values"]

LEVELS = ("tile", "accelerator")


def asks_for_accelerator(args: Sequence[str]) -> bool:
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


def design_options() -> list[click.Parameter]:
    """One flag for each parameter of `hwgen.accelerator.Design`."""
    from hwgen.accelerator import Design

    return [parameter_option(one) for one in Design.parameters().values()]


def design_values(ctx: click.Context) -> dict[str, Any]:
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
