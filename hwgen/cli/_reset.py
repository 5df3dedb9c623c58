"""``--reset`` and ``--reset-active``: how the modules of a tile are reset, the same for all that is made of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from hwgen.emit import Reset
from hwgen.emit._reset import ACTIVE, KINDS

__all__ = ["RESET", "reset_options"]

RESET = ("reset_kind", "reset_active")
"""Names of the options, for levels of a command that are without them."""


def reset_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a command whose function takes a `Reset` as ``reset``."""
    usual = Reset()

    @functools.wraps(command)
    def with_reset(*args: Any, reset_kind: str, reset_active: str, **others: Any) -> Any:
        return command(*args, reset=Reset(reset_kind, reset_active), **others)

    levels = " or ".join(
        f"{level} ({'default; port ' if level == usual.active else ''}{Reset(active=level).port})" for level in ACTIVE
    )
    kinds = " or ".join(f"{kind}{' (default)' if kind == usual.kind else ''}" for kind in KINDS)
    for flag, name, metavar, default, text in (
        ("--reset-active", "reset_active", "LEVEL", usual.active, f"level that resets: {levels}"),
        ("--reset", "reset_kind", "KIND", usual.kind, f"kind of the reset: {kinds}"),
    ):
        with_reset = click.option(flag, name, metavar=metavar, default=default, help=text)(with_reset)
    return with_reset
