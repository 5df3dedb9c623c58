"""Read technology tables and answer what a primitive costs; a missing number is an error, never 0.

A table is a TOML file of ``[area.PRIMITIVE]`` and ``[energy.OPERATION]`` entries (value, unit, status, source) and of
``[energy_rule.PRIMITIVE]`` entries that say how the energy of a structural primitive follows from an operation.
Sources of energies disagree by factors of 4 to 9: one table is chosen by name and tables are never mixed.
"""

from __future__ import annotations

import functools
import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError, suggest

__all__ = ["DEFAULT", "STATUSES", "Entry", "Rule", "Tech", "load", "names"]

DEFAULT = "horowitz45"
"""The table that is used when none is named."""

STATUSES = ("measured", "published", "assumed")
_UNITS = {"area": "GE", "energy": "pJ"}
_FOLDER = Path(__file__).parent / "tables"


@dataclass(frozen=True)
class Entry:
    """One number of a table: ``unit`` is GE (areas) or pJ (energies), ``status`` measured, published or assumed."""

    value: float
    unit: str
    status: str
    source: str


@dataclass(frozen=True)
class Rule:
    """How a primitive's energy follows: operation ``anchor`` over ``bits``, or primitive ``like`` by ratio of areas."""

    status: str
    source: str
    anchor: str | None = None
    bits: int = 1
    like: str | None = None


@dataclass(frozen=True)
class Tech:
    """A technology table. ``digest`` is the SHA-256 of the files that it was read from."""

    name: str
    title: str
    node_nm: float
    area: Mapping[str, Entry]
    energy: Mapping[str, Entry]
    rules: Mapping[str, Rule]
    digest: str

    def area_ge(self, primitive: str) -> float:
        """Area of one primitive in gate equivalents. Raises `HwgenError` when the table has none."""
        entry: Entry = self._find(self.area, "area", primitive)
        return entry.value

    def operation_pj(self, operation: str) -> float:
        """Energy of one operation, e.g. ``mul_int8``, in pJ. Raises `HwgenError` when the table has none."""
        entry: Entry = self._find(self.energy, "energy", operation)
        return entry.value

    def energy_pj(self, primitive: str) -> float:
        """Energy of one primitive in an active cycle in pJ, by its rule. Raises `HwgenError` when there is none."""
        rule: Rule = self._find(self.rules, "energy_rule", primitive)
        if rule.anchor is not None:
            return self.operation_pj(rule.anchor) / rule.bits
        assert rule.like is not None
        return self.energy_pj(rule.like) * self.area_ge(primitive) / self.area_ge(rule.like)

    def _find(self, entries: Mapping[str, Any], kind: str, name: str) -> Any:
        if name not in entries:
            has = ", ".join(sorted(entries)) or "none"
            raise HwgenError(f"technology {self.name}: no {kind} entry {name!r}{suggest(name, entries)}; it has {has}")
        return entries[name]


def names() -> tuple[str, ...]:
    """Names of the tables that come with the package."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml") if "node_nm" in _read(path)))


@functools.cache
def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise HwgenError(f"technology table {str(path)!r}: must be a readable TOML file: {reason}") from error


def _number(where: str, raw: Mapping[str, Any], key: str) -> float:
    value = raw.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise HwgenError(f"{where}: {key} must be a number above 0, not {value!r}")
    return float(value)


def _text(where: str, raw: Mapping[str, Any], key: str, allowed: tuple[str, ...] = ()) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or not value or (allowed and value not in allowed):
        wanted = " or ".join(allowed) if allowed else "a text"
        raise HwgenError(f"{where}: {key} must be {wanted}, not {value!r}")
    return value


def _entry(where: str, raw: Any, unit: str) -> Entry:
    if not isinstance(raw, dict):
        raise HwgenError(f"{where}: must be a table with value, unit, status and source, not {raw!r}")
    return Entry(
        _number(where, raw, "value"),
        _text(where, raw, "unit", (unit,)),
        _text(where, raw, "status", STATUSES),
        _text(where, raw, "source"),
    )


def _rule(where: str, raw: Any) -> Rule:
    if not isinstance(raw, dict) or ("anchor" in raw) == ("like" in raw):
        raise HwgenError(f"{where}: must be a table with either anchor (and bits) or like, not {raw!r}")
    status, source = _text(where, raw, "status", STATUSES), _text(where, raw, "source")
    if "like" in raw:
        return Rule(status, source, like=_text(where, raw, "like"))
    bits = _number(where, raw, "bits")
    if bits != int(bits):
        raise HwgenError(f"{where}: bits must be a whole number, not {raw['bits']!r}")
    return Rule(status, source, anchor=_text(where, raw, "anchor"), bits=int(bits))


@functools.cache
def load(name: str = DEFAULT) -> Tech:
    """The table of that name, or the one in the file of that path (ending in ``.toml``).

    Raises `HwgenError` for an unknown name and for a file that is no table.
    """
    path = Path(name) if name.endswith(".toml") else _FOLDER / f"{name}.toml"
    if not name.endswith(".toml") and name not in names():
        known = names()
        raise HwgenError(
            f"no technology table {name!r}{suggest(name, known)}; tables: {', '.join(known)}, or a .toml file"
        )
    files = [path]
    if "include" in _read(path):
        include = _text(f"technology table {str(path)!r}", _read(path), "include")
        files.append(_FOLDER / f"{include}.toml")
    # What a table says itself wins over what it includes.
    sections: dict[str, dict[str, Any]] = {
        section: {key: value for file in reversed(files) for key, value in _read(file).get(section, {}).items()}
        for section in ("area", "energy", "energy_rule")
    }
    where = f"technology {path.stem}"
    entries = {
        kind: {key: _entry(f"{where}: {kind}.{key}", raw, unit) for key, raw in sections[kind].items()}
        for kind, unit in _UNITS.items()
    }
    return Tech(
        name=_text(where, _read(path), "name"),
        title=_text(where, _read(path), "title"),
        node_nm=_number(where, _read(path), "node_nm"),
        area=entries["area"],
        energy=entries["energy"],
        rules={key: _rule(f"{where}: energy_rule.{key}", raw) for key, raw in sections["energy_rule"].items()},
        digest=hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest(),
    )
