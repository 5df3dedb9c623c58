"""Many systems at once: arrays over designs, in numpy or, for an `Array`, in torch, on any device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hwgen.accelerator import Design
from hwgen.errors import HwgenError
from sim.system.array import Array
from sim.system.design_engine import DesignEngine
from sim.system.engine import BYTES, WAITS, Engine, Num
from sim.system.model import Key, engine_for, part_costs
from sim.system.products import parts_of
from sim.system.system import System
from sim.system.variant import variant
from sim.tech import load
from sim.workload import Phase, Rule, Workload

__all__ = ["estimate_arrays"]

P = Mapping[str, Any]


def estimate_arrays(
    system: System,
    workload: Workload,
    phase: Phase,
    p: P | None = None,
    d: P | None = None,
    rules: Sequence[Rule] = (),
    cores: Num | None = None,
) -> dict[str, Any]:
    """Columns over designs: what `estimate_system` gives of each, vector units left out.

    Parameters
    ----------
    system: with a clock period. An `Array` has arrays for its numbers, all of one kind; a `Design` is the one that
        ``p`` and ``d`` change. p, d: parameters of tiles and of what is around them by name, scalars or numpy arrays;
        they must be legal together, which sweeps ask first (`hwgen.accelerator.Design.constraints`). cores: scalar or
        array in place of the system's.

    Returns ``cycles``, ``cycles_exact``, ``work_cycles``, ``wait_WHAT_cycles``, ``STREAM_bytes``, ``energy_pj``,
    ``area_um2``, ``tokens_per_s`` and ``joules_per_token``, each [designs]. Raises `HwgenError` without a clock period,
    with an exact cycle model or a vector unit, and as `estimate_system` does.
    """
    period = system.clk_period_ns
    if period is None:
        raise HwgenError("system: clk_period_ns must be given for many designs; try 4.0")
    if system.timing != "closed":
        raise HwgenError(f"system: timing must be closed for many designs, not {system.timing}")
    if system.vector_lanes:
        raise HwgenError(f"system: vector_lanes must be 0 for many designs, not {system.vector_lanes}")
    core, tech = system.core, load(system.tech) if isinstance(system.tech, str) else system.tech
    if isinstance(core, Array) and (p or d):
        raise HwgenError("system: parameters of many designs must be arrays in the array itself")
    group = core.tile.group if isinstance(core, Design) else core.group
    parts = parts_of(workload, phase, system, rules, int(group) if not hasattr(group, "shape") else 128)
    keys: dict[Key, None] = dict.fromkeys((part.operand, part.form) for part in parts)
    engines = {key: _engine(system, key, tech, period, p or {}, d or {}) for key in keys}
    costs = part_costs(parts, engines, system, cores)

    def total(values: Sequence[Num]) -> Num:
        return sum(values[1:], start=values[0])

    number = system.cores if cores is None else cores
    columns: dict[str, Any] = {"cycles": total([one.cycles for one in costs])}
    columns["cycles_exact"] = costs[0].certain
    for one in costs[1:]:
        columns["cycles_exact"] = columns["cycles_exact"] & one.certain
    columns["work_cycles"] = total([one.work for one in costs])
    for name in WAITS:
        columns[f"wait_{name}_cycles"] = total([one.waits[name] for one in costs])
    for name in BYTES:
        columns[f"{name}_bytes"] = total([one.bytes[name] for one in costs])
    columns["energy_pj"] = total([value for one in costs for value in one.energy_pj.values()])
    columns["area_um2"] = number * total(list(next(iter(engines.values())).area_um2().values()))
    stretch = phase.stretches[-1]
    tokens = stretch.new * stretch.batch * stretch.steps
    seconds = next(iter(engines.values())).arrays.real(columns["cycles"]) * (period * 1e-9)
    columns["tokens_per_s"] = tokens / seconds
    columns["joules_per_token"] = columns["energy_pj"] * (1e-12 / tokens)
    # Buffers of many sizes change bytes alone where nothing waits for them.
    whole = np.broadcast_shapes(*(tuple(getattr(value, "shape", ())) for value in columns.values()))
    xp = next(iter(engines.values())).arrays.xp
    return {name: xp.broadcast_to(value, whole) for name, value in columns.items()}


def _engine(system: System, key: Key, tech: Any, period: float, p: P, d: P) -> Engine:
    made = engine_for(system, *key, tech, period)
    if not isinstance(system.core, Design):
        return made
    assert isinstance(made, DesignEngine)
    tile, found = system.core.tile, variant(system.core, key[1])
    mode = {name: value for name, value in found.design.tile.p.items() if value != tile.p[name]}
    return made.over({**tile.p, **p, **mode}, {**system.core.p, **d})
