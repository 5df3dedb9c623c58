"""``--liberty``, as every command that maps takes it."""

from __future__ import annotations

import click

from hwgen.cli._values import InputFile

__all__ = ["liberty_option"]

liberty_option = click.option(
    "--liberty",
    "files",
    multiple=True,
    type=InputFile(),
    metavar="FILE",
    help="Liberty file of one library, plain or gzip; may be repeated (default: the project's generic one, in gate "
    "equivalents)",
)
