"""Tables that keep their words: on a terminal, in a pipe, and as values for other programs."""

from __future__ import annotations

import csv
import io
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hwgen.errors import HwgenError, suggest
from hwgen.formats import FormatFile, read_format
from hwgen.formats.file import example_names, is_format_file

__all__ = ["Column", "Sheet", "format_option", "forms_option", "print_table", "room", "split_forms"]

F = TypeVar("F", bound=Callable[..., Any])
FORMS = ("text", "csv", "tsv")
_ENDLESS = 1 << 14


@dataclass(frozen=True)
class Column:
    """One column. ``name`` carries the unit; ``fold``: its cells may take several lines where a terminal is narrow."""

    name: str
    right: bool = True
    fold: bool = False


def format_option(command: F) -> F:
    """Option ``--format``, given to the command as ``form``."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(FORMS),
        default="text",
        show_default=True,
        help="text, or the table alone as comma- or tab-separated values, all other words on standard error",
    )(command)


def forms_option(takes: str) -> Callable[[F], F]:
    """Option ``--format`` of commands that take number formats, too; given as ``forms``, for `split_forms`.

    ``takes`` says what is done with a number format.
    """
    return click.option(
        "--format",
        "forms",
        multiple=True,
        metavar=f"{'|'.join(FORMS)}|FILE",
        help="text, or the table alone as comma- or tab-separated values; or a number format, a .toml file or one of "
        f"{', '.join(example_names())}: {takes}; may be repeated",
    )


def split_forms(what: str, given: Sequence[str]) -> tuple[str, tuple[FormatFile, ...]]:
    """Form of the table, and number formats. Raises `HwgenError` for what is neither, and for two forms."""
    forms = dict.fromkeys(one for one in given if one in FORMS)
    if len(forms) > 1:
        raise HwgenError(f"{what}: --format must be one of {', '.join(FORMS)}, not {' and '.join(forms)}")
    files = []
    for name in dict.fromkeys(one for one in given if one not in FORMS):
        if not is_format_file(name) and name not in example_names():
            known = (*FORMS, *example_names())
            raise HwgenError(
                f"{what}: --format must be {', '.join(FORMS)}, or a number format: a .toml file or one of "
                f"{', '.join(example_names())}, not {name!r}{suggest(name, known)}"
            )
        files.append(read_format(name))
    return next(iter(forms), FORMS[0]), tuple(files)


@dataclass(frozen=True)
class Sheet:
    """Where a command writes: text in one stream, or values on standard output and words on standard error."""

    form: str = "text"

    def say(self, text: str = "") -> None:
        """A line of words."""
        click.echo(text, err=self.form != "text")

    def table(
        self,
        columns: Sequence[Column],
        rows: Iterable[Sequence[object]],
        shown: Callable[[str, object], str] = lambda name, value: str(value),
    ) -> None:
        """A table of values; ``shown`` makes words of a column's value, values are written as they are."""
        if self.form == "text":
            names = [column.name for column in columns]
            print_table(columns, [[shown(n, v) for n, v in zip(names, row, strict=True)] for row in rows])
            return
        text = io.StringIO()
        writer = csv.writer(text, delimiter="," if self.form == "csv" else "\t", lineterminator="\n")
        writer.writerow([column.name for column in columns])
        writer.writerows(rows)
        click.echo(text.getvalue(), nl=False)


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, bold_last: bool = False) -> None:
    """Print a table; nothing is cut short. A pipe gets its full width; on a narrow terminal headings break between
    words, then columns that may ``fold``.
    """
    kept = [list(row) for row in rows]
    console = Console(width=room())
    table = _table(columns, kept, [column.name for column in columns], bold_last)
    if _wide([column.name for column in columns], kept, console.width):
        names = _broken(columns, kept)
        table = _table(columns, kept, names, bold_last)
        if not any(column.fold for column in columns) and _wide(names, kept, console.width):
            # Lines that the terminal wraps lose nothing.
            console = Console(width=_ENDLESS)
    console.print(table)


def room() -> int:
    """Columns of the terminal; a pipe has no end (rich would take 80)."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _ENDLESS


def _wide(names: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> bool:
    """Whether a table needs more than a width where every cell takes one line."""
    lines = [name.split("\n") for name in names]
    widths = [max(map(len, [*heading, *cells])) for heading, *cells in zip(lines, *rows, strict=True)]
    return sum(widths) + 2 * (len(widths) - 1) > width


def _table(columns: Sequence[Column], rows: Sequence[Sequence[str]], names: Sequence[str], bold_last: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, name in zip(columns, names, strict=True):
        justify: Any = "right" if column.right else "left"
        table.add_column(Text(name), justify=justify, no_wrap=not column.fold, overflow="fold", vertical="top")
    for number, row in enumerate(rows):
        last = bold_last and number == len(rows) - 1
        table.add_row(*(Text(cell, style="bold" if last else "") for cell in row))
    return table


def _broken(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    """Headings on several lines, broken after underscores and spaces, no wider than their cells where that can be."""
    found = []
    for column, *cells in zip(columns, *rows, strict=True):
        words = column.name.replace("_", "_\0").replace(" ", " \0").split("\0")
        room = max(map(len, [*cells, *words]))
        lines = [""]
        for word in words:
            if lines[-1] and len(lines[-1] + word.rstrip()) > room:
                lines.append("")
            lines[-1] += word
        found.append("\n".join(line.rstrip() for line in lines))
    return found
