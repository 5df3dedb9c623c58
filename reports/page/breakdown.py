"""Where area, energy and time of points go: by block and by layer, as array code over the points that are shown.

The same formulas that a sweep evaluates, which keeps totals alone; `Breakdown.drift` says by how much the sum of the
parts is off what the sweep stored, which is rounding unless prices have changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hwgen.accelerator import Design
from hwgen.accelerator.best import DesignArrays
from hwgen.accelerator.closed import REGIMES
from hwgen.accelerator.use import ORDERS, Use
from hwgen.frame.numbers import Num, ceil_div
from hwgen.frame.param import Param
from hwgen.pe import TileSpec, family
from hwgen.schedule import Layer
from sim.accelerator.activity import job_counts
from sim.accelerator.cost import cost_arrays
from sim.clock import settle
from sim.estimate import clock_period, layer_costs
from sim.tech import CalibratedTech, Tech

__all__ = ["LEVELS", "Breakdown", "Group", "break_down", "groups"]

P = Mapping[str, Any]
Progress = Callable[[int, int], None]
"""Called with (points done, points in all)."""

_OF_TILES = ("compute", "padding", "results", "pre block")
"""What most of a layer's cycles on a tile go to: products, those with padding, waiting for results, the pre block."""


@dataclass(frozen=True)
class Group:
    """Points of a family in a technology that differ in whole numbers alone: ``rows`` are their places, ``p`` the
    tile's parameters, ``around`` those of an accelerator around it, as `dse.space.Space.chunks` has them.
    """

    tech: str
    spec: type[TileSpec]
    rows: np.ndarray
    p: dict[str, Any]
    around: dict[str, Any]
    clk_period_ns: float | None


@dataclass(frozen=True)
class Breakdown:
    """Parts of points of one family; arrays [points] in the order of ``rows``, or [layers, points].

    ``area_um2`` and ``energy_pj`` are by block. Of each layer, all its runs together: ``cycles``, ``energy``,
    ``utilization`` of the tile's peak, ``bound`` (place in ``bounds``), and ``moved_bytes``, those of the busier of the
    two channels to memory, where memory is part of the level. ``peak_ops_per_ns`` counts two operations a
    multiply-accumulate, ``bytes_per_ns`` is a channel's. ``settled``: whether the clock alone places the registers that
    the points have. ``drift``: largest relative difference to the totals that were stored.
    """

    rows: np.ndarray
    area_um2: dict[str, np.ndarray]
    energy_pj: dict[str, np.ndarray]
    cycles: np.ndarray
    energy: np.ndarray
    utilization: np.ndarray
    bound: np.ndarray
    bounds: tuple[str, ...]
    peak_ops_per_ns: np.ndarray
    moved_bytes: np.ndarray | None
    bytes_per_ns: np.ndarray | None
    settled: np.ndarray
    drift: float


def groups(points: pd.DataFrame, techs: np.ndarray, own_clock: bool, around: Mapping[str, Param]) -> Iterator[Group]:
    """Points, whose technologies have these names, as groups that array code takes; the index does not count."""
    clocks = points["clk_period_ns"].to_numpy(np.float64)
    both = [points["pe"].astype(str).to_numpy(), techs]
    for (name, tech), places in points.groupby(both, sort=False).indices.items():
        spec = family(str(name))
        known = {**spec.parameters(), **around}
        names = [key for key, one in known.items() if one.type is not int]
        keys = [points[key].iloc[places].astype(str).to_numpy() for key in names]
        # A tile's own shortest period differs from tile to tile; it is not asked for.
        keys.append(np.zeros(len(places)) if own_clock else clocks[places])
        _, kind = np.unique(np.array(keys, dtype=str), axis=1, return_inverse=True)
        for number in range(int(kind.max()) + 1):
            rows = places[kind.reshape(-1) == number]
            values = {key: _values(points[key].iloc[rows], one.type) for key, one in known.items()}
            p = {key: value for key, value in values.items() if key not in around}
            rest = {key: value for key, value in values.items() if key in around}
            yield Group(str(tech), spec, rows, p, rest, None if own_clock else float(clocks[rows[0]]))


def _values(column: pd.Series[Any], kind: type) -> Any:
    """A parameter of some points: a scalar where it is the same for all, else an integer array."""
    first = column.iloc[0]
    if kind is not int:
        return kind(first)
    values = column.to_numpy(np.int64)
    return int(first) if (values == values[0]).all() else values


def break_down(
    points: pd.DataFrame,
    layers: Sequence[Layer],
    level: str,
    techs: np.ndarray,
    prices: Mapping[str, Tech],
    *,
    own_clock: bool = False,
    progress: Progress | None = None,
) -> dict[str, Breakdown]:
    """Parts of points by family; none for a level whose parts are not known here (`LEVELS`).

    ``layers``: what the points were evaluated on, in that order. ``techs``: the name of each point's technology,
    ``prices``: the technologies by name. ``own_clock``: each point runs at its own shortest period.
    """
    if level not in LEVELS:
        return {}
    evaluate, around = LEVELS[level]
    found: dict[str, list[Breakdown]] = {}
    done = 0
    with np.errstate(all="ignore"):
        for group in groups(points, techs, own_clock, around):
            parts = evaluate(group, layers, prices[group.tech], points.iloc[group.rows])
            found.setdefault(group.spec.family, []).append(parts)
            done += len(group.rows)
            if progress is not None:
                progress(done, len(points))
    return {name: _joined(parts) for name, parts in found.items()}


def _tile(group: Group, layers: Sequence[Layer], tech: Tech, stored: pd.DataFrame) -> Breakdown:
    spec, p, rows = group.spec, group.p, group.rows
    parts = tech.structure(spec, p, group.clk_period_ns)
    period = clock_period(parts, group.clk_period_ns, tech)
    energy: dict[str, Num] = {}
    of_layers: list[list[Num]] = []
    for layer in layers:
        costs = layer_costs(spec, p, parts, layer.m, layer.n, layer.k, tech, period)
        for name, value in costs.energy_pj.items():
            energy[name] = energy.get(name, 0.0) + layer.count * value
        cycles = costs.cycles + costs.pre_cycles
        used = layer.macs / layer.count / costs.mac_slots
        sides = (p["m"], p["n"] * spec.layer_outputs(p), spec.layer_k(p))
        padded = 1.0
        for size, side in zip((layer.m, layer.n, layer.k), sides, strict=True):
            padded = padded * (ceil_div(size, side) * side)
        filled = padded / costs.mac_slots
        share = costs.cycles / cycles
        went = np.broadcast_arrays(used * share, (filled - used) * share, (1 - filled) * share, 1 - share)
        bound = np.argmax(np.stack(went), axis=0)
        of_layers.append([layer.count * cycles, layer.count * costs.total_energy_pj, used, bound])
    cycles, spent, used, bound = (_stack([one[place] for one in of_layers], rows) for place in range(4))
    return Breakdown(
        rows,
        _spread(parts.area_um2, rows),
        _spread(energy, rows),
        cycles,
        spent,
        used,
        bound.astype(np.int64),
        _OF_TILES,
        _row(_peak(spec, p) / period, rows),
        None,
        None,
        _settled(group, tech),
        _drift(stored, parts.total_area_um2, sum(energy.values(), start=0.0), cycles),
    )


def _accelerator(group: Group, layers: Sequence[Layer], tech: Tech, stored: pd.DataFrame) -> Breakdown:
    spec, p, rows = group.spec, group.p, group.rows
    d = {name: value for name, value in group.around.items() if name in Design.parameters()}
    use = {name: value for name, value in group.around.items() if name not in d}
    beats = Use(memory_beats=use["memory_beats"]).memory.beats
    # Arrays all of them: designs are a dimension of their own beside layers.
    p, d = ({name: _row(v, rows) if np.ndim(v) else v for name, v in values.items()} for values in (p, d))
    made = DesignArrays(spec, p, d, use["memory_latency"], *beats)
    best = made.best(layers, ORDERS[use["order"]])
    shape = (len(layers), len(rows))
    cycles, regime = (np.broadcast_to(value, shape) for value in (best.cycles, best.regime))
    counts = job_counts(spec, p, d, best.job, best.cycles, made.inventory)
    found = cost_arrays(spec, p, d, tech, group.clk_period_ns, counts=counts, found=made.inventory)
    number = np.array([layer.count for layer in layers])[:, np.newaxis]
    by_block = {name: number * np.broadcast_to(value, shape) for name, value in found.energy_pj.items()}
    bytes_per_beat = np.asarray(d["bus_bits"]) // 8
    moved = [np.broadcast_to(value, shape) for value in (counts.read_beats, counts.write_beats)]
    macs = np.array([layer.macs for layer in layers])[:, np.newaxis]
    period = found.clk_period_ns
    peak = _peak(spec, p)
    energy = {name: value.sum(axis=0) for name, value in by_block.items()}
    return Breakdown(
        rows,
        _spread(found.area_um2, rows),
        energy,
        number * cycles,
        sum(by_block.values(), start=np.zeros(shape)),
        2 * macs / (peak * number * cycles),
        np.array(regime),
        REGIMES,
        _row(peak / period, rows),
        number * np.maximum(*moved) * bytes_per_beat,
        _row(bytes_per_beat * beats[0] / (beats[1] * period), rows),
        _settled(group, tech),
        _drift(stored, found.total_area_um2, sum(energy.values(), start=0.0), number * cycles),
    )


LEVELS: Mapping[str, tuple[Callable[[Group, Sequence[Layer], Tech, pd.DataFrame], Breakdown], Mapping[str, Param]]] = {
    "tile": (_tile, {}),
    "accelerator": (_accelerator, {**Design.parameters(), **Use.parameters()}),
}
"""Levels whose points can be taken apart: how, and the parameters that stand beside the tile's."""


def _peak(spec: type[TileSpec], p: P) -> Num:
    """Operations a cycle, two a multiply-accumulate."""
    return 2 * p["m"] * p["n"] * spec.layer_outputs(p) * spec.layer_k(p) / spec.layer_cycles(p)


def _settled(group: Group, tech: Tech) -> np.ndarray:
    """Whether a clock that places registers places those that the points have."""
    if group.clk_period_ns is None or not isinstance(tech, CalibratedTech):
        return np.zeros(len(group.rows), dtype=bool)
    known = group.spec.parameters()
    fixed = [name for name, value in group.p.items() if not known[name].cuts and np.any(value != known[name].default)]
    bare = {**group.p, **{name: one.default for name, one in group.spec.cut_parameters().items()}}
    would = settle(group.spec, bare, tech, group.clk_period_ns, fixed).p
    same = [np.asarray(would[name]) == np.asarray(group.p[name]) for name in group.p]
    found: np.ndarray = np.all([np.broadcast_to(one, len(group.rows)) for one in same], axis=0)
    return found


def _drift(stored: pd.DataFrame, area: Num, energy: Num, cycles: np.ndarray) -> float:
    """Largest relative difference to what was stored."""
    whole = stored["cycles"] + stored.get("pre_cycles", 0)
    pairs = ((stored["area_um2"], area), (stored["energy_pj"], energy), (whole, cycles.sum(axis=0)))
    return max(float(np.max(np.abs(np.asarray(ours) / kept.to_numpy(np.float64) - 1))) for kept, ours in pairs)


def _row(value: Num, rows: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.asarray(value), len(rows))


def _stack(values: Sequence[Num], rows: np.ndarray) -> np.ndarray:
    return np.stack([_row(value, rows) for value in values])


def _spread(values: Mapping[str, Num], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: _row(value, rows) for name, value in values.items()}


def _joined(parts: Sequence[Breakdown]) -> Breakdown:
    """Groups of one family as one; blocks that a group lacks are 0 there."""

    def blocks(of: Callable[[Breakdown], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        names = dict.fromkeys(name for one in parts for name in of(one))
        return {name: np.concatenate([of(one).get(name, np.zeros(len(one.rows))) for one in parts]) for name in names}

    def joined(of: Callable[[Breakdown], np.ndarray]) -> np.ndarray:
        return np.concatenate([of(one) for one in parts], axis=-1)

    first = parts[0]
    moved = None if first.moved_bytes is None else np.concatenate([one.moved_bytes for one in parts], axis=-1)
    rates = None if first.bytes_per_ns is None else np.concatenate([one.bytes_per_ns for one in parts])
    return Breakdown(
        joined(lambda one: one.rows),
        blocks(lambda one: one.area_um2),
        blocks(lambda one: one.energy_pj),
        joined(lambda one: one.cycles),
        joined(lambda one: one.energy),
        joined(lambda one: one.utilization),
        joined(lambda one: one.bound),
        first.bounds,
        joined(lambda one: one.peak_ops_per_ns),
        moved,
        rates,
        joined(lambda one: one.settled),
        max(one.drift for one in parts),
    )
