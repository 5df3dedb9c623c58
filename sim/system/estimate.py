"""`estimate_system`: what a phase of a workload costs on one system, as a `Report`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hwgen.accelerator import Design
from hwgen.errors import HwgenError
from sim.accelerator.cost import AcceleratorCost, cost
from sim.system.array import Array
from sim.system.design_engine import DesignEngine, Progress
from sim.system.engine import BOUNDS, BYTES, Engine
from sim.system.model import Key, PartCosts, engine_for, part_costs, sizes_of, vector_work
from sim.system.products import Part, parts_of
from sim.system.report import Choice, PartReport, Report
from sim.system.room import check_room, needed_bytes
from sim.system.share import every_share
from sim.system.system import SPLITS, System, takes_tables
from sim.system.variant import variant
from sim.tech import Tech, load
from sim.workload import Phase, Rule, Workload

__all__ = ["estimate_system"]

_MOST_WALKED = 256
"""Most different products that the exact model walks: it takes a second for some."""
_VECTOR = "vector"


def estimate_system(
    system: System,
    workload: Workload,
    phase: Phase,
    rules: Sequence[Rule] = (),
    *,
    choices: bool = False,
    progress: Progress = lambda done, of: None,
) -> Report:
    """A phase of a workload on a system.

    Parameters
    ----------
    rules: formats of weights, keys and values by role, in place of the tile's. choices: list every way to do the
        longest product of each part. progress: is told how many products the exact model has walked, of how many.

    Raises `HwgenError` for a phase, context, role or format that does not go with the model or the tile, and where the
    phase does not fit the memory.
    """
    if any("acts" in rule.formats for rule in rules):
        raise HwgenError("system: acts must be the tile's, whose rows take one format; choose it by --acts")
    tech = load(system.tech) if isinstance(system.tech, str) else system.tech
    core = system.core
    whole = cost(core, tech, system.clk_period_ns) if isinstance(core, Design) else None
    period = _period(system, whole)
    parts = parts_of(workload, phase, system, rules, _group(core))
    keys: dict[Key, None] = dict.fromkeys((part.operand, part.form) for part in parts)
    engines = {key: engine_for(system, *key, tech, period, progress) for key in keys}
    needed = needed_bytes(workload, phase, parts, engines, system, rules)
    check_room(workload, phase, needed, system)
    _check_products(parts, engines, system)
    costs = part_costs(parts, engines, system)
    rows = [_row(one, _choices(one, system) if choices else ()) for one in costs]
    rows += _vector_rows(system, vector_work(system, workload, parts), rows, engines)
    area = next(iter(engines.values())).area_um2() if whole is None else whole.area_um2
    return Report(
        workload=workload.name,
        phase=str(phase),
        system=_words(system),
        memory=system.memory.name,
        cores=system.cores,
        clk_period_ns=period,
        min_clk_period_ns=None if whole is None else _known(whole.min_clk_period_ns),
        memory_cycle_ns=None if whole is None else _known(whole.memory_cycle_ns),
        timing=system.timing,
        parts=tuple(rows),
        tokens=_tokens(phase),
        peak_macs=system.cores * _peak(core),
        gb_per_s=system.memory.gb_per_s,
        area_um2={name: system.cores * _number(value) for name, value in area.items()},
        needed_bytes=needed,
        status=_status(system, tech, whole, keys),
        not_counted=_not_counted(system, whole),
    )


def _period(system: System, whole: AcceleratorCost | None) -> float:
    if system.clk_period_ns is not None:
        return float(system.clk_period_ns)
    if whole is None:
        raise HwgenError("system: clk_period_ns must be given for an array; try 1.0")
    return float(whole.clk_period_ns)


def _known(period: Any) -> float | None:
    return None if period is None else _number(period)


def _number(value: Any) -> float:
    return float(np.asarray(value).reshape(-1)[0])


def _group(core: Design | Array) -> int:
    return core.tile.group if isinstance(core, Design) else int(core.group)


def _peak(core: Design | Array) -> float:
    """Multiply-accumulates of a core in a cycle."""
    return _number((core if isinstance(core, Array) else Array.of_tile(core.tile)).lane_products())


def _check_products(parts: Sequence[Part], engines: Mapping[Key, Engine], system: System) -> None:
    count = 0
    for key, engine in engines.items():
        if isinstance(engine, DesignEngine):
            own = [part for part in parts if (part.operand, part.form) == key]
            for part in own:
                for product in part.times:
                    engine.check(part.role, product.m, product.n, product.k)
            count += len({product for part in own for product in part.times})
    if system.timing == "exact" and count > _MOST_WALKED:
        raise HwgenError(
            f"system: timing must be closed for more than {_MOST_WALKED} products that differ, not exact for {count}; "
            "use --phase decode or prefill, or --timing closed"
        )


def _first(value: Any) -> Any:
    """The only design's."""
    return np.asarray(value).reshape(-1)[0].item()


def _row(one: PartCosts, choices: tuple[Choice, ...]) -> PartReport:
    part, table = one.part, one.table
    times = np.array(list(part.times.values()))
    cycles, bound, split, mapping = (
        np.broadcast_to(np.asarray(table[name])[:, :1], (len(times), 1))[:, 0]
        for name in ("cycles", "bound", "split", "mapping")
    )
    spent = times * cycles
    by_bound = [spent[bound == place].sum() for place in range(len(BOUNDS))]
    longest = int(spent.argmax())
    m, n, k = part.sizes[0] if part.sizes else (one.products[0].m, one.products[0].n, one.products[0].k)
    return PartReport(
        part=part.part,
        role=part.role,
        operand=part.operand,
        form=part.form,
        m=m,
        n=n,
        k=k,
        count=sum(count * product.copies for product, count in part.times.items()),
        macs=part.macs,
        operations=0,
        cycles=_first(one.cycles),
        work=_first(one.work),
        waits={name: _first(value) for name, value in one.waits.items()},
        bytes={name: _first(value) for name, value in one.bytes.items()},
        energy_pj={name: _first(value) for name, value in one.energy_pj.items()},
        bound=BOUNDS[int(np.argmax(by_bound))],
        split=SPLITS[split[longest]],
        mapping=one.engine.mappings[mapping[longest]],
        certain=bool(_first(one.certain)),
        choices=choices,
    )


def _choices(one: PartCosts, system: System) -> tuple[Choice, ...]:
    """Every way to do the product that takes longest."""
    cycles = np.asarray(one.table["cycles"]).reshape(-1)
    longest = one.products[int(cycles.argmax())]
    a = one.engine.arrays
    found = [
        Choice(split, mapping, _first(cycles), _first(moved))
        for split, mapping, legal, cycles, moved in every_share(
            a, one.engine, sizes_of(a, [longest]), system.cores, system.split, system.multicast
        )
        if _first(legal)
    ]
    return tuple(sorted(found, key=lambda choice: (choice.cycles, choice.read_bytes)))


def _vector_rows(
    system: System,
    work: Mapping[tuple[str, str], int],
    rows: Sequence[PartReport],
    engines: Mapping[Key, Engine],
) -> list[PartReport]:
    """Work of vector units, as far as it takes cycles of its own; cores rest meanwhile."""
    beside = {part: sum(row.cycles for row in rows if row.part == part) for part in {row.part for row in rows}}
    idle = next(iter(engines.values())).idle_pj()
    found = []
    for (part, kind), operations in work.items():
        cycles = math.ceil(operations / (system.vector_lanes * system.cores))
        if system.vector_overlap:
            hidden = min(cycles, beside[part])
            beside[part] -= hidden
            cycles -= hidden
        energy = {name: system.cores * cycles * _number(value) for name, value in idle.items()}
        found.append(
            PartReport(
                *(part, kind, _VECTOR, ""),
                *(0, 0, 0, 1, 0, operations, cycles, 0),
                waits=dict.fromkeys(("weights", "acts", "results"), 0),
                bytes=dict.fromkeys(BYTES, 0),
                energy_pj=energy,
                bound=_VECTOR,
                split="",
                mapping="",
                certain=system.timing == "exact",
            )
        )
    return found


def _tokens(phase: Phase) -> int:
    last = phase.stretches[-1]
    return last.new * last.batch * last.steps


def _words(system: System) -> str:
    core = system.core
    cores = f"{system.cores} × " if system.cores > 1 else ""
    if isinstance(core, Design):
        tile = core.tile
        about = f"{tile.weight_format.name} × {tile.act_format.name}"
        rings = f"bus {core.bus_bits} bits, rings {core.weight_ring} and {core.act_ring} steps"
        return f"{cores}{tile.family} {tile.m}×{tile.n}×{tile.k} {about}, {rings}"
    return f"{cores}array of {core.rows}×{core.columns}×{core.depth}, {core.dataflow} stay"


def _status(system: System, tech: Tech, whole: AcceleratorCost | None, keys: Mapping[Key, None]) -> tuple[str, ...]:
    """What stands behind the numbers, in sentences without a stop."""
    found = []
    if isinstance(system.core, Design):
        kind = "the exact cycle model's" if system.timing == "exact" else "by closed form"
        found.append(f"cycles are {kind}; cores share the memory's rate evenly")
        if system.timing == "closed":
            found.append("waits are told apart by the bytes that each operand brings")
        for operand, form in keys:
            if operand == "kv" or form:
                found.append(f"{operand} are multiplied as {variant(system.core, form).words}")
    else:
        found.append("cycles are the slower one of computing and memory, which overlap perfectly")
    if whole is not None:
        parts = f"around the tile {whole.status}, tile {whole.tile_status}, memories {whole.memory_status}"
        found.append(f"areas, energies and periods: {parts} ({tech.name}), pre-layout")
    if system.off_chip is None:
        found.append("rate of DRAM is its peak, without refresh and turns of the bus; energy a bit is published")
    if system.vector_lanes:
        found.append("operations of the vector unit an element are assumed")
    return tuple(found)


def _not_counted(system: System, whole: AcceleratorCost | None) -> tuple[str, ...]:
    found = [] if whole is None else [one for one in whole.unknown if one != "memory outside the chip"]
    if isinstance(system.core, Design) and system.tables == "tile" and takes_tables(system.core.tile):
        found.append("who makes the tables that the tile takes (--tables)")
    if system.memory.pj_per_bit is None:
        found.append("energy of memory outside the chip")
    if not system.vector_lanes:
        found.append("softmax, norms, activation functions and residuals (--vector-lanes)")
    else:
        found.append("area and energy of the vector unit")
    found.append("memory controller and wires between cores")
    return tuple(found)
