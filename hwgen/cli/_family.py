"""Options of a command that takes a PE family: ``--pe`` and one flag for each of the family's parameters, and
``--format``, a number format in a file, whose family follows from it.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from hwgen.cli._tech import DEFAULT_TECH, clock_option, made_tile
from hwgen.errors import HwgenError, suggest
from hwgen.formats import read_format
from hwgen.formats.file import example_names
from hwgen.pe import Param, TileSpec, family, family_names, family_of_file

__all__ = ["FamilyCommand", "parameter_option", "parse_values", "taken"]


def parse_values(spec: type[TileSpec], texts: dict[str, str]) -> dict[str, Any]:
    """Command-line texts by parameter name → values; names the family lacks stay text for it to refuse."""
    known = spec.parameters()
    values: dict[str, Any] = {}
    for name, text in texts.items():
        # ``bits`` names the weight width of every family, also where it is no parameter of its own.
        values[name] = known[name].parse(text) if name in known else (int(text) if text.isdigit() else text)
    return values


def parameter_option(p: Param) -> click.Option:
    """The flag of a declared parameter; it may be given several times, which the command refuses in its own words."""
    default = p.default if p.type is not bool else str(p.default).lower()
    unit = f" [{p.unit}]" if p.unit else ""
    return click.Option(
        [p.flag], multiple=True, metavar=p.type.__name__.upper(), help=f"{p.doc}{unit} ({p.allowed}; default {default})"
    )


def _given(args: Sequence[str], flag: str) -> list[str]:
    """Values that an option is given."""
    after = [value for word, value in itertools.pairwise(args) if word == flag]
    return [*after, *(word.removeprefix(f"{flag}=") for word in args if word.startswith(f"{flag}="))]


def taken(what: str, names: Iterable[str], params: dict[str, Any]) -> dict[str, str]:
    """Remove the texts of parameters ``names`` from ``params``: those that were given. Raises `HwgenError` for one that
    was given twice.
    """
    texts = {name: params.pop(name) for name in dict.fromkeys(names) if name in params}
    for name, words in texts.items():
        if len(set(words)) > 1:
            flag = "--" + name.replace("_", "-")
            raise HwgenError(f"{what}: {flag} must be given once, not as {' and '.join(words)}")
    return {name: words[-1] for name, words in texts.items() if words}


class FamilyCommand(click.Command):
    """A command whose options come from the family that ``--pe`` names; calls back with ``spec``, and with ``clock``
    where it takes one.

    The flags are the family's parameters, the technology and the clock that settles its cuts, and nothing else, so a
    new family or parameter needs no change here. The family may also be given as the first argument.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.insert(
            0, click.Option(["--pe"], required=True, metavar="FAMILY", help=f"PE family: {', '.join(family_names())}")
        )
        self.params.insert(
            1,
            click.Option(
                ["--format", "number_format"],
                multiple=True,
                metavar="FILE",
                help=f"number format of the tile, a .toml file or one of {', '.join(example_names())}; --pe follows",
            ),
        )
        self.params += [self.tech_option(), clock_option()]

    def tech_option(self) -> click.Option:
        """``--tech``."""
        about = "technology whose model places the registers that a clock asks for, or a .toml of `hwgen calibrate`"
        return click.Option(["--tech"], default=DEFAULT_TECH, show_default=True, metavar="NAME", help=about)

    def tech(self, ctx: click.Context, name: str | None) -> str | None:
        """The technology by which tiles are made; None where there is none, so that no clock places registers."""
        return name

    def _family(self, ctx: click.Context) -> type[TileSpec] | None:
        found: type[TileSpec] | None = ctx.meta.get("hwgen.family")
        return found

    def _spread(self, args: list[str]) -> list[str]:
        """``--liberty a b`` as ``--liberty a --liberty b``: an option that may be repeated takes several values."""
        repeatable = {flag for p in self.params if isinstance(p, click.Option) and p.multiple for flag in p.opts}
        spread: list[str] = []
        flag = None
        for word in args:
            if word.startswith("-"):
                flag = word if word in repeatable else None
            elif flag is not None and spread[-1] != flag:
                spread.append(flag)
            spread.append(word)
        return spread

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args = list(args)
        if args and not args[0].startswith("-"):
            args.insert(0, "--pe")
        for name in _given(args, "--pe"):
            ctx.meta["hwgen.family"] = family(name)
        files = list(dict.fromkeys(_given(args, "--format")))
        if len(files) > 1:
            raise HwgenError(f"{ctx.info_name}: --format must be given once, not as {' and '.join(files)}")
        for file in files:
            named = self._family(ctx)
            taking, values = family_of_file(read_format(file), named.family if named else None)
            ctx.meta["hwgen.family"], ctx.meta["hwgen.format"] = taking, values
            if named is None:
                args = ["--pe", taking.family, *args]
        try:
            return super().parse_args(ctx, self._spread(args))
        except click.NoSuchOption as error:
            spec = self._family(ctx)
            if spec is None:
                raise
            flags = [name for p in self.get_params(ctx) for name in p.opts if name.startswith("--")]
            hint = suggest(error.option_name, flags)
            own = ", ".join(p.flag for p in spec.parameters().values())
            raise HwgenError(f"{spec.family}: no parameter {error.option_name!r}{hint}; it has {own}") from error

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params = super().get_params(ctx)
        spec = self._family(ctx)
        if spec is None:
            return params
        known = spec.parameters()
        extra: list[click.Parameter] = [parameter_option(p) for p in known.values()]
        if "bits" not in known:
            extra.append(
                click.Option(["--bits"], multiple=True, metavar="INT", help="weight width (chooses the weight format)")
            )
        return [params[0], *extra, *params[1:]]

    def invoke(self, ctx: click.Context) -> Any:
        spec = self._family(ctx)
        assert spec is not None
        ctx.params.pop("pe")
        ctx.params.pop("number_format")
        given = taken(spec.family, [*spec.parameters(), "bits"], ctx.params)
        of_file: Mapping[str, Any] = ctx.meta.get("hwgen.format", {})
        for name in (*of_file, *(["bits"] if of_file else [])):
            if name in given:
                flag = "--" + name.replace("_", "-")
                raise HwgenError(f"{spec.family}: {flag} must not be given with --format, which says it")
        tech, period = self.tech(ctx, ctx.params.pop("tech")), ctx.params.pop("clk_period_ns")
        ctx.params["spec"], clock = made_tile(spec, {**of_file, **parse_values(spec, given)}, tech, period)
        callback = self.called(ctx)
        if callback is not None and "clock" in inspect.signature(callback).parameters:
            ctx.params["clock"] = clock
        return None if callback is None else ctx.invoke(callback, **ctx.params)

    def called(self, ctx: click.Context) -> Callable[..., Any] | None:
        """What is called back."""
        return self.callback
