"""Flags of option objects (`hwgen.options`): every field that is not hidden is one, and the command gets the object."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Callable, Sequence
from typing import Any

import click

from hwgen.cli._values import Number, Text, Whole

__all__ = ["option_object"]


def option_object(kind: type, name: str = "options") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the flags of ``kind`` to a command, which gets one as argument ``name``."""
    fields = [field for field in dataclasses.fields(kind) if field.metadata and not field.metadata["hidden"]]
    hints = typing.get_type_hints(kind)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(*arguments: Any, **given: Any) -> None:
            values = {field.name: given.pop(field.name) for field in fields}
            command(*arguments, **given, **{name: kind(**values)})

        flagged: Callable[..., None] = called
        for field in reversed(fields):
            flagged = _flag(field, hints[field.name])(flagged)
        return flagged

    return decorate


def _flag(field: dataclasses.Field[Any], hint: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    about = field.metadata
    names = [about["flag"] or f"--{field.name.replace('_', '-')}", field.name]
    if hint is bool:
        return click.option(*names, is_flag=True, default=field.default, help=about["doc"])
    if hint == Sequence[str]:
        return click.option(*names, type=Text(), multiple=True, metavar=about["metavar"], help=about["doc"])
    number = {key: bound for key, bound in (("above", about["least"]), ("most", about["most"])) if bound is not None}
    whole = {
        key: int(bound) for key, bound in (("least", about["least"]), ("most", about["most"])) if bound is not None
    }
    types: dict[Any, click.ParamType[Any]] = {float: Number(**number), int: Whole(**whole), str: Text()}
    plain = next(one for one in types if hint == one or hint == one | None)
    return click.option(
        *names,
        type=types[plain],
        default=field.default,
        show_default=field.default is not None,
        metavar=about["metavar"],
        help=about["doc"],
    )
