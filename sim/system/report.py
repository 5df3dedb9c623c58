"""What a workload costs on a system: parts of the model with cycles, waits, bytes and energies, and totals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sim.estimate import power_mw, tops_per_mm2

__all__ = ["Choice", "PartReport", "Report", "block_group", "grouped"]

_GROUPS = {
    "tile": "tile",
    "engine": "engines",
    "ring": "rings",
    "sram": "memories",
    "feeder": "queues",
    "queue": "queues",
    "stream": "queues",
    "unit": "results",
    "packer": "results",
    "buffer": "results",
    "control": "control",
    "registers": "control",
    "glue": "control",
    "dram": "dram",
}
_ONLY_RESULTS = ("write_engine",)


def block_group(name: str) -> str:
    """What a block is part of: tile, engines, rings, memories, queues, results, control or dram."""
    if name in _ONLY_RESULTS:
        return "results"
    if name.startswith("tile"):
        return "tile"
    last = name.rpartition("_")[2]
    return _GROUPS.get(last) or ("queues" if name.startswith("stream") else "control")


def grouped(values: Mapping[str, float]) -> dict[str, float]:
    """Sums over `block_group`."""
    found: dict[str, float] = {}
    for name, value in values.items():
        group = block_group(name)
        found[group] = found.get(group, 0.0) + value
    return found


def _sums(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in parts:
        for name, value in one.items():
            found[name] = found.get(name, 0) + value
    return found


@dataclass(frozen=True)
class Choice:
    """One way to do a product: what cores share, order and residency; cycles, and bytes that are read, of a core."""

    split: str
    mapping: str
    cycles: int
    read_bytes: int


@dataclass(frozen=True)
class PartReport:
    """Products of one role in one part of a phase, or work of the vector unit.

    ``m``, ``n``, ``k``: sizes of its first product, 0 for the vector unit; ``count`` products, ``operations`` of the
    vector unit. ``cycles`` of the chip; ``work`` of them the core that does most computes, ``waits`` for WHAT it waits;
    the rest is filling and draining. ``bytes`` by stream and ``energy_pj`` by block are of all cores. ``bound`` is what
    bounds most cycles, ``split`` and ``mapping`` are those of most cycles; ``certain``: the cycles are the exact
    model's. ``choices``: every way to do the product that takes longest, the best first; empty where nobody asked.
    """

    part: str
    role: str
    operand: str
    form: str
    m: int
    n: int
    k: int
    count: int
    macs: int
    operations: int
    cycles: int
    work: int
    waits: Mapping[str, int]
    bytes: Mapping[str, int]
    energy_pj: Mapping[str, float]
    bound: str
    split: str
    mapping: str
    certain: bool
    choices: tuple[Choice, ...] = ()

    @property
    def total_bytes(self) -> int:
        """Bytes that pass the memory."""
        return sum(self.bytes.values())

    @property
    def total_energy_pj(self) -> float:
        """Energy of all blocks and memory."""
        return sum(self.energy_pj.values())

    def as_dict(self) -> dict[str, Any]:
        """All fields, JSON-serialisable."""
        found = {name: value for name, value in vars(self).items() if name != "choices"}
        found |= {"waits": dict(self.waits), "bytes": dict(self.bytes), "energy_pj": dict(self.energy_pj)}
        return {**found, "choices": [vars(one) for one in self.choices]}


@dataclass(frozen=True)
class Report:
    """A phase of a workload on a system.

    Parameters
    ----------
    system, memory: in words. cores, clk_period_ns: of the chip. min_clk_period_ns, memory_cycle_ns: shortest periods of
        its logic and of its memories, None where nothing says. timing: ``closed`` or ``exact``.
    parts: in the order of the model. tokens: that the phase gives (pictures, passes). peak_macs: multiply-accumulates
        of the chip in a cycle. gb_per_s: of the memory.
    area_um2: of the chip by block. needed_bytes: of the memory, by what. status: what stands behind cycles and numbers;
        not_counted: what is in neither.
    """

    workload: str
    phase: str
    system: str
    memory: str
    cores: int
    clk_period_ns: float
    min_clk_period_ns: float | None
    memory_cycle_ns: float | None
    timing: str
    parts: tuple[PartReport, ...]
    tokens: int
    peak_macs: float
    gb_per_s: float
    area_um2: Mapping[str, float]
    needed_bytes: Mapping[str, int]
    status: tuple[str, ...]
    not_counted: tuple[str, ...]

    @property
    def cycles(self) -> int:
        """Cycles of all parts, one after the other."""
        return sum(part.cycles for part in self.parts)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the model."""
        return sum(part.macs for part in self.parts)

    @property
    def certain(self) -> bool:
        """Whether all cycles are the exact model's."""
        return all(part.certain for part in self.parts)

    @property
    def meets_clock(self) -> bool | None:
        """Whether logic and memories keep the clock; None where nothing says."""
        known = [period for period in (self.min_clk_period_ns, self.memory_cycle_ns) if period is not None]
        return all(period <= self.clk_period_ns for period in known) if known else None

    @property
    def time_s(self) -> float:
        """Time of the phase."""
        return self.cycles * self.clk_period_ns * 1e-9

    @property
    def waits(self) -> dict[str, int]:
        """Cycles of waiting by what is waited for."""
        return _sums(part.waits for part in self.parts)

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes by stream."""
        return _sums(part.bytes for part in self.parts)

    @property
    def energy_pj(self) -> dict[str, float]:
        """Energy by block."""
        return _sums(part.energy_pj for part in self.parts)

    @property
    def total_energy_pj(self) -> float:
        """Energy of all blocks and memory."""
        return sum(self.energy_pj.values())

    @property
    def total_area_um2(self) -> float:
        """Area of all cores."""
        return sum(self.area_um2.values())

    @property
    def tokens_per_s(self) -> float:
        """Tokens (pictures, passes) a second."""
        return self.tokens / self.time_s

    @property
    def joules_per_token(self) -> float:
        """Energy of a token (picture, pass)."""
        return self.total_energy_pj * 1e-12 / self.tokens

    @property
    def power_mw(self) -> float:
        """Mean power, memory outside the chip included where it is counted."""
        return float(power_mw(self.total_energy_pj, self.time_s * 1e9))

    @property
    def utilization(self) -> float:
        """Share of the chip's multiply-accumulates that are the model's."""
        return self.macs / (self.peak_macs * self.cycles)

    @property
    def bandwidth_utilization(self) -> float:
        """Share of the memory's rate that passes."""
        return sum(self.bytes.values()) / (self.gb_per_s * 1e9 * self.time_s)

    @property
    def tops_per_mm2(self) -> float | None:
        """Operations, two a multiply-accumulate, in 10¹² a second and mm²; None without an area."""
        if not self.total_area_um2:
            return None
        return float(tops_per_mm2(self.macs, self.time_s * 1e9, self.total_area_um2))

    @property
    def bound(self) -> str:
        """What bounds most of the cycles."""
        cycles: dict[str, int] = {}
        for part in self.parts:
            cycles[part.bound] = cycles.get(part.bound, 0) + part.cycles
        return max(cycles, key=lambda name: cycles[name])

    def totals(self) -> dict[str, Any]:
        """What a phase takes as a whole, JSON-serialisable; units in the names."""
        return {
            "cycles": self.cycles,
            "cycles_exact": self.certain,
            "meets_clock": self.meets_clock,
            "time_s": self.time_s,
            "tokens": self.tokens,
            "tokens_per_s": self.tokens_per_s,
            "joules_per_token": self.joules_per_token,
            "energy_j": self.total_energy_pj * 1e-12,
            "power_mw": self.power_mw,
            "area_mm2": self.total_area_um2 * 1e-6,
            "tops_per_mm2": self.tops_per_mm2,
            "utilization": self.utilization,
            "bandwidth_utilization": self.bandwidth_utilization,
            "macs": self.macs,
            "bytes": sum(self.bytes.values()),
            "bound": self.bound,
        }

    def as_dict(self) -> dict[str, Any]:
        """All of it, JSON-serialisable."""
        facts = ["workload", "phase", "system", "memory", "cores", "clk_period_ns", "min_clk_period_ns"]
        facts += ["memory_cycle_ns", "timing", "gb_per_s"]
        return {
            **{name: getattr(self, name) for name in facts},
            "totals": self.totals(),
            "waits": self.waits,
            "bytes": self.bytes,
            "energy_pj": self.energy_pj,
            "area_um2": dict(self.area_um2),
            "needed_bytes": dict(self.needed_bytes),
            "status": list(self.status),
            "not_counted": list(self.not_counted),
            "parts": [part.as_dict() for part in self.parts],
        }

    def rows(self) -> list[dict[str, Any]]:
        """Parts as flat rows; waits, bytes and energies (by `block_group`) have a column each, units in their names."""
        rows = []
        for part in self.parts:
            row = {name: value for name, value in part.as_dict().items() if not isinstance(value, dict | list)}
            row |= {f"wait_{name}_cycles": value for name, value in part.waits.items()}
            row |= {f"{name}_bytes": value for name, value in part.bytes.items()}
            row |= {f"{name}_energy_pj": value for name, value in grouped(part.energy_pj).items()}
            rows.append(row)
        return rows
