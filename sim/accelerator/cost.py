"""Area, clock and energy of a whole accelerator: one set of formulas for a design and for arrays of parameters.

* The tile is priced as `sim.estimate` does: by the technology's own blocks.
* What is around it (`hwgen.accelerator.inventory`) is priced by coefficients that were measured on accelerators
  (`sim.accelerator.prices`): clock energy in every cycle, switching by what a job moves, leakage as long as it takes.
* Memories are SRAMs with a write and a read port (`sim.memory`), priced by accesses; what no source gives is not
  counted, and `AcceleratorCost.unknown` says so. A memory is never smaller than the smallest of its source.
* Memory outside the chip costs its energy per bit, if its type is named.

Areas, energies and periods are pre-layout: no wires, no clock tree.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.accelerator import Design, Job, JobCycles
from hwgen.accelerator.inventory import Geometry, Memory, accelerator_blocks, geometry, memories
from hwgen.errors import HwgenError
from hwgen.frame.numbers import Num, maximum, where
from hwgen.pe import TileSpec
from sim.accelerator.activity import JobCounts, counts_of, switching_terms
from sim.accelerator.prices import block_numbers, block_values, read_table, switching_pj, trust
from sim.activity import activity
from sim.memory import Sram, dram_bit_pj, library_buffer
from sim.tech import DEFAULT, PJ_PER_UW_NS, CalibratedTech, Structure, Tech, load

__all__ = ["AcceleratorCost", "cost", "cost_arrays"]

P = Mapping[str, Any]

_PJ_PER_MW_NS = 1.0
"""1 mW for 1 ns is 1 pJ."""


@dataclass(frozen=True)
class AcceleratorCost:
    """An accelerator, and a job on it where one was given; scalars or arrays.

    Attributes
    ----------
    area_um2: by block; blocks of the tile have ``tile_`` before their names, memories ``_sram`` behind that of the
        block that controls them.
    clk_period_ns, min_clk_period_ns: the clock that was asked for (or the shortest one), and the shortest that the
        logic allows, None where the technology has no timing. memory_cycle_ns: the shortest cycle of the memories,
        None where no source gives it; what follows a memory within the cycle is not added.
    energy_pj: of the job by block, leakage included, accesses of memories as for areas, ``dram`` beside them. Empty
        without a job.
    cycles: of the job.
    status, tile_status, memory_status: what stands behind the numbers of what is around the tile, of the tile, of
        memories. unknown: what is not counted, as no source gives it.
    """

    tech: str
    area_um2: Mapping[str, Num]
    clk_period_ns: Num
    min_clk_period_ns: Num | None
    memory_cycle_ns: Num | None
    energy_pj: Mapping[str, Num]
    cycles: Num
    status: str
    tile_status: str
    memory_status: str
    unknown: tuple[str, ...]

    @property
    def total_area_um2(self) -> Num:
        """Area of all blocks and memories in µm²."""
        return sum(self.area_um2.values(), start=0.0)

    @property
    def total_energy_pj(self) -> Num:
        """Energy of the job in pJ."""
        return sum(self.energy_pj.values(), start=0.0)

    @property
    def time_ns(self) -> Num:
        """Time of the job."""
        return self.cycles * self.clk_period_ns

    @property
    def power_mw(self) -> Num:
        """Mean power while the job runs, memory outside the chip included where its type is named."""
        return self.total_energy_pj / self.time_ns

    @property
    def meets_clock(self) -> Any:
        """Whether logic and memories keep the clock; None where nothing is known of either."""
        known = [period for period in (self.min_clk_period_ns, self.memory_cycle_ns) if period is not None]
        return functools.reduce(np.logical_and, (period <= self.clk_period_ns for period in known)) if known else None

    def as_dict(self) -> dict[str, Any]:
        """All of it with totals, for one design: JSON-serialisable."""

        def plain(values: Mapping[str, Num], total: Num) -> dict[str, float]:
            return {**{name: float(value) for name, value in values.items()}, "total": float(total)}

        meets = self.meets_clock
        found: dict[str, Any] = {
            "tech": self.tech,
            "status": self.status,
            "tile_status": self.tile_status,
            "memory_status": self.memory_status,
            "not_counted": list(self.unknown),
            "clk_period_ns": float(self.clk_period_ns),
            "min_clk_period_ns": None if self.min_clk_period_ns is None else float(self.min_clk_period_ns),
            "memory_cycle_ns": None if self.memory_cycle_ns is None else float(self.memory_cycle_ns),
            "meets_clock": None if meets is None else bool(meets),
            "area_um2": plain(self.area_um2, self.total_area_um2),
        }
        if self.energy_pj:
            found |= {
                "cycles": int(self.cycles),
                "energy_pj": plain(self.energy_pj, self.total_energy_pj),
                "power_mw": float(self.power_mw),
            }
        return found


def cost(
    design: Design,
    tech: Tech | str = DEFAULT,
    clk_period_ns: float | None = None,
    *,
    job: Job | None = None,
    cycles: JobCycles | int | None = None,
    dram: str | None = None,
) -> AcceleratorCost:
    """Cost of a design, and of a job on it.

    Parameters
    ----------
    tech: technology or its name. clk_period_ns: clock period; None is the shortest that logic and memories allow.
    job, cycles: a job and what it takes, by `hwgen.accelerator.exact` or otherwise. dram: type of the memory outside
        the chip (`sim.memory.dram_types`); without one its energy is not counted.

    Raises `HwgenError` for a job without cycles, an unknown technology or type, and where the technology has no timing
    for no clock period.
    """
    if (job is None) != (cycles is None):
        raise HwgenError("accelerator: a job must come with its cycles, and cycles with their job")
    counts = None
    if job is not None and cycles is not None:
        counts = counts_of(design, job, cycles.cycles if isinstance(cycles, JobCycles) else cycles)
    tile = design.tile
    return cost_arrays(type(tile), tile.p, design.p, tech, clk_period_ns, counts=counts, dram=dram)


def cost_arrays(
    spec: type[TileSpec],
    p: P,
    d: P,
    tech: Tech | str = DEFAULT,
    clk_period_ns: Num | None = None,
    *,
    counts: JobCounts | None = None,
    dram: str | None = None,
    structure: Structure | None = None,
    found: Geometry | None = None,
) -> AcceleratorCost:
    """As `cost`, of many designs of a family at once.

    Parameters
    ----------
    p, d: parameters of tile and design; names are scalars, numbers scalars or integer arrays that broadcast.
    counts: of a job on each (`sim.accelerator.activity.job_counts`, which takes the cycles), of the same shape, or of
        several with a dimension more before it.
    structure: that of the tiles at the clock period, where it is known. found: widths and depths, where they are known.
    """
    table = load(tech) if isinstance(tech, str) else tech
    found = geometry(spec, p, d) if found is None else found
    living = accelerator_blocks(spec, p, d, living=True, found=found)
    blocks = {name: block for name, block in living.items() if np.any(block.count)}
    stores = _memories(table, {name: one for name, one in memories(found, d).items() if np.any(one.there)})
    structure = table.structure(spec, p, clk_period_ns) if structure is None else structure
    inside = [kind for kind in structure.area_um2 if not kind.startswith("pre_")]

    numbers = block_numbers(found, d)
    area = block_values(table, "area_um2", blocks, numbers)
    clock = block_values(table, "clock_pj", blocks, numbers)
    leakage = block_values(table, "leakage_uw", blocks, numbers)
    terms = switching_terms(spec, p, d, counts, blocks, found) if counts is not None else {}
    switching = switching_pj(table, terms, blocks)
    period: Num | None = None
    if isinstance(table, CalibratedTech):
        flattening = read_table().flattening
        area = {name: flattening["area_um2"] * value for name, value in area.items()}
        periods = block_values(table, "min_clk_period_ns", blocks, numbers)
        if clk_period_ns is not None:
            for name, own in list(periods.items()):
                # As for blocks of tiles: those that are too slow, as part of the whole, are mapped for speed.
                slow = flattening["min_clk_period_ns"] * own > clk_period_ns
                periods[name] = where(slow, table.speed.period, 1.0) * own
                faster = where(slow, table.speed.area, 1.0)
                for values in (area, leakage, switching):
                    if name in values:
                        values[name] = values[name] * faster
        period = structure.min_clk_period_ns
        for own in periods.values():
            period = maximum(period, flattening["min_clk_period_ns"] * own)
    memory_cycle = _slowest(stores)
    if clk_period_ns is None:
        clk_period_ns = _shortest(table, period, memory_cycle)

    area |= {f"tile_{kind}": structure.area_um2[kind] for kind in inside}
    unknown = []
    for name, (memory, sram) in stores.items():
        if sram is not None and sram.area_mm2 is not None:
            area[f"{name}_sram"] = memory.there * 1e6 * sram.area_mm2
    if not any(name.endswith("_sram") for name in area):
        unknown.append("areas and leakage of memories")
    energy: dict[str, Num] = {}
    if counts is not None:
        for name in blocks:
            always = clock.get(name, 0.0) + leakage.get(name, 0.0) * clk_period_ns * PJ_PER_UW_NS
            energy[name] = switching[name] + always * counts.cycles
        energy |= _tile_energy(spec, p, structure, inside, counts, clk_period_ns)
        energy |= _memory_energy(table, found, d, stores, counts, clk_period_ns)
        if dram is None:
            unknown.append("memory outside the chip")
        else:
            energy["dram"] = (counts.read_beats + counts.write_beats) * d["bus_bits"] * dram_bit_pj(dram)
    return AcceleratorCost(
        tech=table.name,
        area_um2=area,
        clk_period_ns=clk_period_ns,
        min_clk_period_ns=period,
        memory_cycle_ns=memory_cycle,
        energy_pj=energy,
        cycles=0 if counts is None else counts.cycles,
        status=trust(table),
        tile_status=table.trust(spec.family),
        memory_status=table.buffer_status,
        unknown=tuple(unknown),
    )


def _shortest(tech: Tech, period: Num | None, memory_cycle: Num | None) -> Num:
    if period is None:
        raise HwgenError(
            f"accelerator: clk_period_ns must be given with technology {tech.name}, which has no timing; "
            "try --clk-period-ns 1"
        )
    return period if memory_cycle is None else maximum(period, memory_cycle)


def _memories(tech: Tech, wanted: Mapping[str, Memory]) -> dict[str, tuple[Memory, Sram | None]]:
    """Each memory with the SRAM that holds it; none where the technology has no memories."""
    name = tech.memory if isinstance(tech, CalibratedTech) else None

    def sram(memory: Memory) -> Sram | None:
        if name is None:
            return None
        # One that is not there has no bits.
        depth, bits = (
            np.maximum(value, 1) if np.ndim(value) else max(value, 1) for value in (memory.depth, memory.bits)
        )
        return library_buffer(name, -(-(depth * bits) // 8), bits, ports="1r1w")

    return {block: (memory, sram(memory)) for block, memory in wanted.items()}


def _slowest(stores: Mapping[str, tuple[Memory, Sram | None]]) -> Num | None:
    found: Num | None = None
    for memory, sram in stores.values():
        if sram is None or sram.cycle_ns is None:
            return None
        cycle = where(np.asarray(memory.there) > 0, sram.cycle_ns, 0.0)
        found = cycle if found is None else np.maximum(found, cycle)
    return found if found is None or np.ndim(found) else float(found)


def _tile_energy(
    spec: type[TileSpec], p: P, structure: Any, inside: list[str], counts: JobCounts, clk_period_ns: Num
) -> dict[str, Num]:
    active = activity(spec, p, counts.steps, counts.groups, 0)
    found = {}
    for kind in inside:
        always = structure.clock_pj.get(kind, 0.0)
        always = always + structure.leakage_uw.get(kind, 0.0) * clk_period_ns * PJ_PER_UW_NS
        found[f"tile_{kind}"] = structure.active_pj[kind] * active[kind] + always * counts.cycles
    return found


def _memory_energy(
    tech: Tech,
    geometry: Geometry,
    d: P,
    stores: Mapping[str, tuple[Memory, Sram | None]],
    counts: JobCounts,
    clk_period_ns: Num,
) -> dict[str, Num]:
    """Accesses of memories, each of a whole word, and leakage where it is known."""
    found = {}
    for name, (memory, sram) in stores.items():
        if name == "write_buffer":
            reads = writes = counts.write_beats
        else:
            stream = name.removesuffix("_ring")
            reads = counts.streams[stream].entries
            writes = counts.streams[stream].beats / geometry.streams[stream].beats_per_entry
        if sram is None:
            bits = memory.there * memory.bits
            found[f"{name}_sram"] = bits * (reads * tech.buffer_bit_pj(False) + writes * tech.buffer_bit_pj(True))
            continue
        leaking = 0.0 if sram.leakage_mw is None else sram.leakage_mw * _PJ_PER_MW_NS * clk_period_ns * counts.cycles
        found[f"{name}_sram"] = memory.there * (reads * sram.read_pj + writes * sram.write_pj + leaking)
    return found
