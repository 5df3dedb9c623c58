"""SQL on a finished sweep: its front, its sample, its axes and, where they are stored, all of its points, as tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from dse.stored import StoredSweep
from hwgen.errors import HwgenError, suggest

__all__ = ["Answer", "ask"]

_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
_MISSING = re.compile(r'(?:column|Column) "([^"]+)"|column named "?(\w+)"?')
_NO_TABLE = re.compile(r"Table with name (\S+) does not exist")


@dataclass(frozen=True)
class Answer:
    """Names of columns, and rows of Python's own values."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def ask(sweep: StoredSweep, sql: str) -> Answer:
    """The answer to a query on the tables ``front``, ``sample``, ``axes`` and ``points``, those that the sweep has.

    Raises `HwgenError` for what is no query, and for an unknown table or column.
    """
    with duckdb.connect() as session:
        # Nothing is fetched or loaded behind a user's back.
        session.execute("SET autoinstall_known_extensions = false")
        session.execute("SET autoload_known_extensions = false")
        try:
            statements = duckdb.extract_statements(sql)
        except duckdb.Error as error:
            raise HwgenError(f"query: is no SQL: {_first(error)}") from error
        if len(statements) != 1 or statements[0].type not in _READING:
            raise HwgenError("query: must be one select, e.g. 'select * from front order by area_um2'")
        known = dict(_tables(session, sweep, sql))
        try:
            found = session.execute(statements[0])
            return Answer(tuple(item[0] for item in found.description or ()), found.fetchall())
        except duckdb.Error as error:
            raise _told(error, known, sweep) from error


def _tables(session: Any, sweep: StoredSweep, sql: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Make the tables of a sweep; their names and columns."""
    frames = {"front": sweep.front, "sample": sweep.sample, "axes": sweep.axes}
    if sweep.axes is None:
        frames["points"] = sweep.sample
    for name, frame in frames.items():
        if frame is not None:
            session.register(name, frame)
            yield name, list(frame.columns)
    if sweep.axes is not None and sweep.files:
        if re.search(r"\bpoints\b", sql, re.IGNORECASE):
            sweep.check_points()
        listed = ", ".join("'" + str(Path(file).resolve()).replace("'", "''") + "'" for file in sweep.files)
        session.execute(f"CREATE VIEW points AS SELECT * FROM read_parquet([{listed}])")
        yield "points", [item[0] for item in session.execute("DESCRIBE points").fetchall()]


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _told(error: duckdb.Error, known: dict[str, Sequence[str]], sweep: StoredSweep) -> HwgenError:
    text = _first(error)
    table = _NO_TABLE.search(text)
    if table is not None:
        name = table[1].strip("\"'!")
        if name == "points":
            return HwgenError("query: no table points: the sweep keeps a front and a sample; --store all keeps points")
        return HwgenError(f"query: no table {name!r}{suggest(name, known)}; tables: {', '.join(known)}")
    column = _MISSING.search(text)
    if column is not None and ("not found" in text or "does not" in text):
        name = column[1] or column[2]
        columns = list(dict.fromkeys(one for own in known.values() for one in own))
        return HwgenError(f"query: no column {name!r}{suggest(name, columns)}; columns: {', '.join(columns)}")
    return HwgenError(f"query: {text}")
