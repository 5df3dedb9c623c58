"""``--level``: what is made of a family's tile, each level with options of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from hwgen.cli._family import FamilyCommand, parameter_option, taken
from hwgen.errors import HwgenError, suggest

__all__ = ["LevelCommand"]

_TILE = "tile"


class LevelCommand(FamilyCommand):
    """A command of families with levels: ``tile``, whose options and callback are its own, and those of ``levels``.

    A level is a `click.Command` whose options take the place of the tile's; ``--level`` is there in all of them. One
    that has a ``design`` in its context settings' object takes the parameters of that class as options, too, and gets
    their values as ``values``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.levels: dict[str, click.Command] = kwargs.pop("levels")
        super().__init__(*args, **kwargs)
        shared = {option.name for option in (self.params[0], self.tech_option())} | {"clk_period_ns"}
        self._own = [option for option in self.params if option.name not in shared]
        self.params.insert(
            1, click.Option(["--level"], default=_TILE, show_default=True, metavar="LEVEL", help=self._about())
        )

    def _about(self) -> str:
        return f"what is written: {' or '.join([_TILE, *self.levels])}; each has options of its own"

    def _level(self, ctx: click.Context) -> str:
        found: str = ctx.meta.get("hwgen.level", _TILE)
        return found

    def _design(self, level: str) -> Any:
        return None if level == _TILE else self.levels[level].context_settings.get("obj")

    def _options(self, level: str) -> list[click.Parameter]:
        if level == _TILE:
            return list(self._own)
        design = self._design(level)
        declared = [] if design is None else [parameter_option(p) for p in design().parameters().values()]
        return [*declared, *self.levels[level].params]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for index, word in enumerate(args):
            given = args[index + 1] if word == "--level" and index + 1 < len(args) else word.removeprefix("--level=")
            if word == "--level" or word.startswith("--level="):
                names = [_TILE, *self.levels]
                if given not in names:
                    raise HwgenError(
                        f"{ctx.info_name}: --level must be {' or '.join(names)}, not {given!r}{suggest(given, names)}"
                    )
                ctx.meta["hwgen.level"] = given
        level = self._level(ctx)
        there = {flag for option in self.get_params(ctx) for flag in option.opts}
        for word in args:
            flag = word.partition("=")[0]
            if not word.startswith("-") or flag in there:
                continue
            for other in (_TILE, *self.levels):
                if other != level and any(flag in option.opts for option in self._options(other)):
                    raise HwgenError(f"{ctx.info_name}: {flag} goes with --level {other}, not with --level {level}")
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params, level = super().get_params(ctx), self._level(ctx)
        if level == _TILE:
            return params
        first = next(place for place, option in enumerate(params) if option in self._own)
        kept = [option for option in params if option not in self._own]
        return [*kept[:first], *self._options(level), *kept[first:]]

    def invoke(self, ctx: click.Context) -> Any:
        level = ctx.params.pop("level")
        design = self._design(level)
        if design is not None:
            known = design().parameters()
            texts = taken(level, known, ctx.params)
            ctx.params["values"] = {name: known[name].parse(text) for name, text in texts.items()}
        return super().invoke(ctx)

    def called(self, ctx: click.Context) -> Callable[..., Any] | None:
        level = self._level(ctx)
        return self.callback if level == _TILE else self.levels[level].callback
