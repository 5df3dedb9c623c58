"""``--level``: what is made of a family's tile, each level with options of its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import click

from hwgen.cli._family import FamilyCommand, parameter_option, taken
from hwgen.errors import HwgenError, suggest

__all__ = ["ALL", "Level", "LevelCommand", "Leveled", "accelerator_level"]

TILE = "tile"
"""The level that every command has: its options and callback are the command's own."""
ALL = "all"
"""Instead of names of options: all of them."""


class Level(click.Command):
    """A level of a command beside ``tile``.

    Its options are its own, the parameters of the classes that ``declares`` gives (whose values the callback gets as
    ``values``), and those of the command ``without`` some, by their names. Without a callback the command's is called,
    with the defaults of what the level is without. Where no level is named, an option that only this level has means
    it if it may be ``implied``.
    """

    def __init__(
        self,
        *args: Any,
        declares: Callable[[], Sequence[Any]] = lambda: (),
        without: Collection[str] = (),
        implied: bool = False,
        **kwargs: Any,
    ) -> None:
        self.declares, self.without, self.implied = declares, without, implied
        super().__init__(*args, **kwargs)

    def lacks(self, option: click.Parameter) -> bool:
        """Whether an option of the command is none of the level's."""
        return self.without == ALL or option.name in self.without

    def parameters(self) -> dict[str, Any]:
        """Declared parameters that are options, by name."""
        return {name: p for one in self.declares() for name, p in one.parameters().items()}


def accelerator_level(without: Collection[str] = ()) -> Level:
    """The level of a whole accelerator, whose parameters are options, in a command that does the same with a tile."""
    return Level("accelerator", declares=_design, without=without)


def _design() -> Sequence[Any]:
    from hwgen.accelerator import Design

    return (Design,)


class Leveled(click.Command):
    """A command with levels: ``tile``, whose options and callback are its own, and ``levels``; before it stand the
    options of all levels, which a subclass adds.

    A callback that has a parameter ``level`` is told the level, one that has ``values`` the values of what the level
    declares, or None.
    """

    def __init__(self, *args: Any, levels: Mapping[str, Level], **kwargs: Any) -> None:
        self.levels = dict(levels)
        self._own: list[click.Parameter] = list(kwargs.get("params") or ())
        super().__init__(*args, **kwargs)
        about = f"{' or '.join([TILE, *self.levels])}; each has options of its own"
        # Behind --pe.
        self.params.insert(1, click.Option(["--level"], default=TILE, show_default=True, metavar="LEVEL", help=about))

    def level(self, ctx: click.Context) -> str:
        """The level that is asked for."""
        found: str = ctx.meta.get("hwgen.level", TILE)
        return found

    def _options(self, level: str) -> list[click.Parameter]:
        """What stands in the place of the command's own options."""
        if level == TILE:
            return self._own
        made = self.levels[level]
        declared = [parameter_option(p) for p in made.parameters().values()]
        return [*declared, *made.params, *(option for option in self._own if not made.lacks(option))]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        names = [TILE, *self.levels]
        for index, word in enumerate(args):
            given = args[index + 1] if word == "--level" and index + 1 < len(args) else word.removeprefix("--level=")
            if word == "--level" or word.startswith("--level="):
                if given not in names:
                    raise HwgenError(
                        f"{ctx.info_name}: --level must be {' or '.join(names)}, not {given!r}{suggest(given, names)}"
                    )
                ctx.meta["hwgen.level"] = given
        if "hwgen.level" not in ctx.meta and (meant := self._implied(args)):
            ctx.meta["hwgen.level"] = meant
        level = self.level(ctx)
        there = {flag for option in self.get_params(ctx) for flag in _flags(option)}
        for word in args:
            flag = word.partition("=")[0]
            if not word.startswith("-") or flag in there:
                continue
            for other in names:
                if other != level and any(flag in _flags(option) for option in self._options(other)):
                    raise HwgenError(f"{ctx.info_name}: {flag} goes with --level {other}, not with --level {level}")
        return super().parse_args(ctx, args)

    def _implied(self, args: Sequence[str]) -> str | None:
        """The level that an option means which no other has."""
        flags = {word.partition("=")[0] for word in args if word.startswith("-")}
        for name, made in self.levels.items():
            if not made.implied:
                continue
            others = {flag for other in (TILE, *self.levels) if other != name for flag in self._flags_of(other)}
            if flags & {flag for flag in self._flags_of(name) if flag not in others}:
                return name
        return None

    def _flags_of(self, level: str) -> list[str]:
        return [flag for option in self._options(level) for flag in _flags(option)]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params, level = super().get_params(ctx), self.level(ctx)
        if level == TILE:
            return params
        first = next(place for place, option in enumerate(params) if option in self._own)
        kept = [option for option in params if option not in self._own]
        return [*kept[:first], *self._options(level), *kept[first:]]

    def invoke(self, ctx: click.Context) -> Any:
        ctx.params.pop("level")
        level = self.level(ctx)
        values: dict[str, Any] | None = None
        if level != TILE:
            made = self.levels[level]
            known = made.parameters()
            texts = taken(level, known, ctx.params)
            values = {name: known[name].parse(text) for name, text in texts.items()}
            if made.callback is None:
                lacking = [option for option in self._own if option.name and made.lacks(option)]
                ctx.params |= {option.name: _default(option) for option in lacking if option.name}
        wanted = inspect.signature(self.called(ctx) or (lambda: None)).parameters
        ctx.params |= {name: one for name, one in (("level", level), ("values", values)) if name in wanted}
        return super().invoke(ctx)

    def called(self, ctx: click.Context) -> Callable[..., Any] | None:
        """What is called back."""
        level = self.level(ctx)
        own = None if level == TILE else self.levels[level].callback
        return self.callback if own is None else own


def _flags(option: click.Parameter) -> list[str]:
    return [*option.opts, *option.secondary_opts]


def _default(option: click.Parameter) -> Any:
    """What a command gets where the option is not given."""
    assert option.name is not None
    with click.Command("alone", params=[option]).make_context("alone", []) as alone:
        return alone.params[option.name]


class LevelCommand(Leveled, FamilyCommand):
    """A command of a family with levels."""
