"""Tables of published operations: what a primitive costs by them; a missing number is an error, never 0.

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
from hwgen.pe import TileSpec
from hwgen.pe._numbers import Num
from sim.tech._structure import Structure, Tech

P = Mapping[str, Any]

__all__ = ["STATUSES", "Entry", "PrimitiveTech", "Rule", "number", "read_primitives", "read_toml", "text"]

STATUSES = ("measured", "published", "assumed")
_UNITS = {"area": "GE", "energy": "pJ"}
FOLDER = Path(__file__).parent / "tables"


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
class PrimitiveTech(Tech):
    """Published energies of operations, spread over the structural inventory of a tile: assumed numbers, no timing."""

    area: Mapping[str, Entry]
    energy: Mapping[str, Entry]
    rules: Mapping[str, Rule]

    def structure(self, spec: type[TileSpec], p: P) -> Structure:
        """Areas and energies of a tile: every primitive of a block switches once in each cycle at work."""
        area: dict[str, Num] = {}
        energy: dict[str, Num] = {}
        for name, block in spec.modules(p).items():
            parts = block.primitives.items()
            area[name] = block.count * sum((n * self.area_ge(key) * self.nand2_um2 for key, n in parts), start=0.0)
            energy[name] = block.count * sum((n * self.energy_pj(key) for key, n in parts), start=0.0)
        return Structure(area, {}, energy, {}, None)

    def buffer_bit_pj(self, write: bool) -> float:
        """Energy of one bit of a 32 KB buffer in pJ; the tables do not tell reads from writes."""
        return self.energy_pj("sram_bit")

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


@functools.cache
def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise HwgenError(f"technology table {str(path)!r}: must be a readable TOML file: {reason}") from error


def number(where: str, raw: Mapping[str, Any], key: str) -> float:
    value = raw.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise HwgenError(f"{where}: {key} must be a number above 0, not {value!r}")
    return float(value)


def text(where: str, raw: Mapping[str, Any], key: str, allowed: tuple[str, ...] = ()) -> str:
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


def _rule(where: str, raw: Any) -> Rule:
    if not isinstance(raw, dict) or ("anchor" in raw) == ("like" in raw):
        raise HwgenError(f"{where}: must be a table with either anchor (and bits) or like, not {raw!r}")
    status, source = text(where, raw, "status", STATUSES), text(where, raw, "source")
    if "like" in raw:
        return Rule(status, source, like=text(where, raw, "like"))
    bits = number(where, raw, "bits")
    if bits != int(bits):
        raise HwgenError(f"{where}: bits must be a whole number, not {raw['bits']!r}")
    return Rule(status, source, anchor=text(where, raw, "anchor"), bits=int(bits))


def read_primitives(path: Path) -> PrimitiveTech:
    """The table in a file. Raises `HwgenError` for a file that is none."""
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
    where = f"technology {path.stem}"
    entries = {
        kind: {key: _entry(f"{where}: {kind}.{key}", raw, unit) for key, raw in sections[kind].items()}
        for kind, unit in _UNITS.items()
    }
    return PrimitiveTech(
        name=text(where, raw, "name"),
        title=text(where, raw, "title"),
        node_nm=number(where, raw, "node_nm"),
        status="assumed",
        buffer_status="published",
        nand2_um2=number(where, raw, "nand2_um2"),
        digest=hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest(),
        area=entries["area"],
        energy=entries["energy"],
        rules={key: _rule(f"{where}: energy_rule.{key}", raw) for key, raw in sections["energy_rule"].items()},
    )
