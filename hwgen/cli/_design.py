"""Options of an accelerator around a tile, in commands that have it beside other things."""

from __future__ import annotations

from typing import Any

import click

from hwgen.cli._family import parameter_option, taken

__all__ = ["design_flags", "take_design"]


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
