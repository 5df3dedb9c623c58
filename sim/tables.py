"""Cost tables as files: numbers with unit, status and source; a missing number is an error, never 0.

A table is a TOML file of ``[area.PRIMITIVE]`` and ``[energy.OPERATION]`` entries (value, unit, status, source). Sources
of energies disagree by factors of 4 to 9: one table is chosen by name and tables are never mixed.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError, suggest

__all__ = [
    "FOLDER",
    "STATUSES",
    "Entry",
    "find_entry",
    "number",
    "operation_pj",
    "read_entries",
    "read_sections",
    "read_toml",
    "text",
]

STATUSES = ("measured", "published", "assumed")
_UNITS = {"area": "GE", "energy": "pJ"}
FOLDER = Path(__file__).parent / "tech" / "tables"
"""The tables that come with the package."""


@dataclass(frozen=True)
class Entry:
    """One number of a table: ``unit`` is GE (areas) or pJ (energies), ``status`` measured, published or assumed."""

    value: float
    unit: str
    status: str
    source: str


@functools.cache
def read_toml(path: Path) -> dict[str, Any]:
    """Content of a table's file. Raises `HwgenError` for a file that cannot be read or is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise HwgenError(f"technology table {str(path)!r}: must be a readable TOML file: {reason}") from error


def number(where: str, raw: Mapping[str, Any], key: str) -> float:
    """A number above 0. Raises `HwgenError` for anything else."""
    value = raw.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise HwgenError(f"{where}: {key} must be a number above 0, not {value!r}")
    return float(value)


def text(where: str, raw: Mapping[str, Any], key: str, allowed: tuple[str, ...] = ()) -> str:
    """A text, one of ``allowed`` if there are any. Raises `HwgenError` for anything else."""
    value = raw.get(key)
    if not isinstance(value, str) or not value or (allowed and value not in allowed):
        wanted = " or ".join(allowed) if allowed else "a text"
        raise HwgenError(f"{where}: {key} must be {wanted}, not {value!r}")
    return value


def _entry(where: str, raw: Any, unit: str) -> Entry:
    if not isinstance(raw, dict):
        raise HwgenError(f"{where}: must be a table with value, unit, status and source, not {raw!r}")
    return Entry(
        number(where, raw, "value"),
        text(where, raw, "unit", (unit,)),
        text(where, raw, "status", STATUSES),
        text(where, raw, "source"),
    )


def read_sections(path: Path) -> tuple[dict[str, dict[str, Any]], list[Path]]:
    """Areas, energies and energy rules of a table as they are written, with those of the table that it includes; its
    files.
    """
    files = [path]
    raw = read_toml(path)
    if "include" in raw:
        include = text(f"technology table {str(path)!r}", raw, "include")
        files.append(FOLDER / f"{include}.toml")
    # What a table says itself wins over what it includes.
    sections: dict[str, dict[str, Any]] = {
        section: {key: value for file in reversed(files) for key, value in read_toml(file).get(section, {}).items()}
        for section in ("area", "energy", "energy_rule")
    }
    return sections, files


def read_entries(path: Path, kind: str) -> dict[str, Entry]:
    """Entries of ``kind``, "area" or "energy". Raises `HwgenError` for one that lacks something."""
    sections, _ = read_sections(path)
    where = f"technology {path.stem}: {kind}"
    return {key: _entry(f"{where}.{key}", raw, _UNITS[kind]) for key, raw in sections[kind].items()}


def operation_pj(table: str, operation: str) -> float:
    """Energy of one operation of a table that comes with the package, in pJ.

    Raises `HwgenError` when the table has none.
    """
    entries = read_entries(FOLDER / f"{table}.toml", "energy")
    entry: Entry = find_entry(table, entries, "energy", operation)
    return entry.value


def find_entry(table: str, entries: Mapping[str, Any], kind: str, name: str) -> Any:
    """An entry of a table by name. Raises `HwgenError` when the table has none: a missing number is never 0."""
    if name not in entries:
        has = ", ".join(sorted(entries)) or "none"
        raise HwgenError(f"technology {table}: no {kind} entry {name!r}{suggest(name, entries)}; it has {has}")
    return entries[name]
