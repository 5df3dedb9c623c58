"""Tables of published operations: what a primitive costs by them; a missing number is an error, never 0.

A table is a TOML file of ``[area.PRIMITIVE]`` and ``[energy.OPERATION]`` entries (value, unit, status, source) and of
``[energy_rule.PRIMITIVE]`` entries that say how the energy of a structural primitive follows from an operation.
Sources of energies disagree by factors of 4 to 9: one table is chosen by name and tables are never mixed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError
from hwgen.frame.numbers import Num
from hwgen.pe import TileSpec
from sim.tables import STATUSES, Entry, find_entry, number, read_entries, read_sections, read_toml, text
from sim.tech._structure import Structure, Tech

P = Mapping[str, Any]

__all__ = ["PrimitiveTech", "Rule", "read_primitives"]


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

    def structure(self, spec: type[TileSpec], p: P, clk_period_ns: float | None = None) -> Structure:
        """Areas and energies of a tile: every primitive of a block switches once in each cycle at work. A clock changes
        nothing, where there is no timing.
        """
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
        entry: Entry = find_entry(self.name, self.area, "area", primitive)
        return entry.value

    def operation_pj(self, operation: str) -> float:
        """Energy of one operation, e.g. ``mul_int8``, in pJ. Raises `HwgenError` when the table has none."""
        entry: Entry = find_entry(self.name, self.energy, "energy", operation)
        return entry.value

    def energy_pj(self, primitive: str) -> float:
        """Energy of one primitive in an active cycle in pJ, by its rule. Raises `HwgenError` when there is none."""
        rule: Rule = find_entry(self.name, self.rules, "energy_rule", primitive)
        if rule.anchor is not None:
            return self.operation_pj(rule.anchor) / rule.bits
        assert rule.like is not None
        return self.energy_pj(rule.like) * self.area_ge(primitive) / self.area_ge(rule.like)


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
    raw = read_toml(path)
    sections, files = read_sections(path)
    where = f"technology {path.stem}"
    entries = {kind: read_entries(path, kind) for kind in ("area", "energy")}
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
