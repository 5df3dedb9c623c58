"""Types of options: what is wrong with a value is said before any work, in the same words in every command.

Outputs and inputs are declared by the types here. As options are parsed each output is checked (its folder, its suffix,
what lies there now), and all of them together: two outputs must be two files, and none an input of the same call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import click

from hwgen.errors import HwgenError
from hwgen.files import check_folder, check_output, resolved

__all__ = ["SEED", "InputFile", "Number", "OutputFile", "OutputFolder", "Text", "Whole"]

_LIMIT = 2**31 - 1
"""Counts above are mistakes: of streams, tokens, processes; they also fit every array index."""


class Number(click.ParamType[float]):
    """A finite number, above ``above`` and not above ``most``. Not-a-number and infinities are refused."""

    name = "float"

    def __init__(self, above: float = 0.0, most: float = 1e9) -> None:
        self.above, self.most = above, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not self.above < number <= self.most:
            self.fail(f"must be a number above {self.above:g} and at most {self.most:g}, not {value!r}.", param, ctx)
        return number


class Whole(click.IntRange):
    """A whole number from ``least`` to ``most``; digits without end are refused as digits, not by Python."""

    def __init__(self, least: int = 1, most: int = _LIMIT) -> None:
        super().__init__(least, most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, str) and len(value) > 40:
            self.fail(
                f"{value[:10]}… ({len(value):,} characters) is not in the range {self.min}<=x<={self.max}.", param
            )
        number: int = super().convert(value, param, ctx)
        return number


SEED = Whole(0, 2**64 - 1)
"""Seeds of random numbers: what numpy takes on every platform."""


def _name(param: click.Parameter | None, ctx: click.Context | None) -> str:
    command = ctx.command_path.removeprefix("hwgen ") if ctx else "hwgen"
    flag = max(param.opts, key=len) if param else "path"
    return f"{command}: {flag}"


def _register(
    ctx: click.Context | None, flag: str, paths: Iterable[Path], *, written: bool, shared: bool = False
) -> None:
    """Refuse a path that another option writes; or that this one writes and another one reads."""
    if ctx is None:
        return
    known: dict[Path, tuple[str, bool]] = ctx.meta.setdefault("hwgen.paths", {})
    for one in paths:
        real = resolved(one)
        other, other_written = known.get(real, (flag, written))
        if real in known and other == flag and not written and real.is_file():
            raise HwgenError(f"{flag}: {str(one)!r} must be given once, not twice")
        if other != flag and (written or other_written) and not shared:
            raise HwgenError(f"{flag} and {other.rsplit(': ', 1)[-1]} must be different files, not both {str(one)!r}")
        known.setdefault(real, (flag, written))


class Text(click.ParamType[str]):
    """A name: some letters in one line, not very many."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not text.strip() or len(text) > 200 or not text.isprintable():
            self.fail(f"must be a name of at most 200 letters in one line, not {text[:40]!r}.", param, ctx)
        return text


class OutputFile(click.ParamType[Path]):
    """A file that the command writes: `hwgen.files` says what may be.

    Parameters
    ----------
    formats: what is written there, by `FORMATS`; a suffix that says something else is refused, and with
        ``need_suffix`` one that says nothing too; with ``bare`` none is allowed.
    expand: the files that are written for the name that is given (default: that file).
    """

    name = "output file"

    def __init__(
        self,
        *formats: str,
        need_suffix: bool = False,
        bare: bool = False,
        expand: Callable[[Path], Iterable[Path]] | None = None,
    ) -> None:
        self.formats, self.need_suffix, self.bare, self.expand = formats, need_suffix, bare, expand

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path, flag = Path(value), _name(param, ctx)
        # ``Path("")`` is the working folder: the text is what was given.
        check_output(value, flag, self.formats, need_suffix=self.need_suffix, bare=self.bare)
        files = [path] if self.expand is None else list(self.expand(path))
        for one in files:
            check_output(one, flag)
        # Whatever goes to a device or a pipe is not lost by sharing it.
        _register(ctx, flag, files, written=True, shared=path.exists() and not path.is_file())
        return path


class OutputFolder(click.ParamType[Path]):
    """A folder that the command writes files into; it is made if missing, with ``make_parents`` those above it too."""

    name = "output folder"

    def __init__(self, *, make_parents: bool = False) -> None:
        self.make_parents = make_parents

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        flag = _name(param, ctx)
        check_folder(value, flag, make_parents=self.make_parents)
        _register(ctx, flag, [Path(value)], written=True)
        return Path(value)


class InputFile(click.ParamType[Path]):
    """A file that the command reads; missing and damaged ones are told by its reader, which knows what to do then.

    What is asked here: that it is a path, no folder (unless ``folders``), and none of the outputs. ``named``: words
    that are no paths: a file of such a name is ``./name``.
    """

    name = "input file"

    def __init__(self, *, folders: bool = False, named: Callable[[], Collection[str]] = tuple) -> None:
        self.folders, self.named = folders, named

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path, flag = Path(value), _name(param, ctx)
        if str(value) in self.named():
            return path
        if str(path) in self.named():
            path = path.absolute()
        if not value or (path.is_dir() and not self.folders):
            raise HwgenError(f"{flag}: must be a file, not {f'the folder {str(value)!r}' if value else repr('')}")
        _register(ctx, flag, [path], written=False)
        return path
