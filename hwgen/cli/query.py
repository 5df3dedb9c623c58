"""``hwgen query``: SQL on a finished sweep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hwgen.cli._layer import needs
from hwgen.cli._table import Column, Sheet, format_option
from hwgen.cli._values import InputFile

__all__ = ["command"]


@click.command(epilog="Example: hwgen query 'select pe, min(area_um2) from points group by pe' points.parquet")
@click.argument("sql", metavar="SELECT")
@click.argument("sweep", type=InputFile(folders=True), metavar="SWEEP")
@click.option("--json", "as_json", is_flag=True, help="print JSON: a list of rows")
@format_option
def command(sql: str, sweep: Path, as_json: bool, form: str) -> None:
    """Ask a sweep in SQL: SWEEP is the folder or the .parquet file that `hwgen sweep -o` wrote.

    Tables are `front`, `sample` (each row stands for `stands_for` points), `axes` (number, least, mean and greatest
    objectives by workload, axis and value) and, of a file or with --store all, `points`. `hwgen query "describe front"
    SWEEP` lists columns. The dialect is DuckDB's.
    """
    needs("query", "dse", "duckdb", "pandas", "pyarrow", "moocore")
    from dse.query import ask
    from dse.stored import open_sweep

    answer = ask(open_sweep(sweep), sql)
    if as_json:
        rows = [dict(zip(answer.columns, map(_plain, row), strict=True)) for row in answer.rows]
        click.echo(json.dumps(rows, indent=2))
        return
    numeric = [all(isinstance(row[at], int | float | None) for row in answer.rows) for at in range(len(answer.columns))]
    heads = [Column(name, right=right) for name, right in zip(answer.columns, numeric, strict=True)]
    Sheet(form).table(heads, answer.rows, _shown)


def _shown(name: str, value: object) -> str:
    from reports.table import format_cell

    return format_cell(name, value)


def _plain(value: Any) -> Any:
    """As JSON has it: no NaN, and text for all that is no number."""
    if isinstance(value, float) and value != value:
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
