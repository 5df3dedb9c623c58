"""Accelerators as a level of sweeps: tiles with memory around them, and the memory that they meet.

A point is a legal `hwgen.accelerator.Design` around a legal tile, with a memory (`hwgen.accelerator.Use`); each layer
is its best job on it, as `hwgen estimate --level accelerator` has them. Its row holds the family, all parameters, and
over all layers with their counts:

* ``cycles``, by closed form: ``cycles_exact`` says whether they are what the cycle model says for certain.
  ``wait_cycles`` of them are more than the tile alone takes; ``bound`` is what most of them are bound by
  (`hwgen.accelerator.closed.REGIMES`). ``read_bytes`` and ``write_bytes`` pass the memory port. ``jobs``: of each layer
  what stays, and behind the colon what is held: w(eights), a(ctivations); not of more layers than `MOST_SHOWN`.
* ``area_um2``, and its parts ``tile_area_um2``, ``around_area_um2`` and ``sram_area_um2``; ``energy_pj`` likewise, and
  of a MAC; ``power_mw``, ``tops`` and ``tops_per_mm2`` (two operations a MAC), ``utilization`` of the tile's peak.
* ``min_clk_period_ns`` is the logic's, ``memory_cycle_ns`` the memories' (nothing where no source gives it);
  ``meets_clock`` says whether ``clk_period_ns`` keeps both.

Where a clock is named, points that do not keep it are skipped; at the technology's default they are listed, as
`hwgen estimate` lists them, if only the tile keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from dse.level import Chunk, Clock, Level
from dse.space import Around, Space, reason_of
from dse.tiles import Rules, beyond_measured, settled, tile_rules, too_slow, trusted
from hwgen.accelerator import Design
from hwgen.accelerator.best import DesignArrays
from hwgen.accelerator.closed import REGIMES
from hwgen.accelerator.points import Points
from hwgen.accelerator.use import ORDERS, Use
from hwgen.frame.numbers import Num
from hwgen.frame.param import check
from hwgen.pe import family
from hwgen.schedule import Layer, closed_cycles
from sim.accelerator.cost import cost, cost_arrays
from sim.accelerator.forms import forms_of, linear_counts, summed, totals
from sim.accelerator.prices import trust
from sim.estimate import power_mw, tops_per_mm2
from sim.tech import Structure, Tech

__all__ = ["ACCELERATORS", "AROUND", "METRICS", "MOST_SHOWN", "evaluate"]

P = Mapping[str, Any]

METRICS: Mapping[str, type] = {
    "weight_bits": float,
    "area_um2": float,
    "tile_area_um2": float,
    "around_area_um2": float,
    "sram_area_um2": float,
    "clk_period_ns": float,
    "min_clk_period_ns": float,
    "memory_cycle_ns": float,
    "meets_clock": bool,
    "cycles": int,
    "cycles_exact": bool,
    "wait_cycles": int,
    "bound": str,
    "jobs": str,
    "read_bytes": int,
    "write_bytes": int,
    "latency_us": float,
    "energy_pj": float,
    "tile_energy_pj": float,
    "around_energy_pj": float,
    "sram_energy_pj": float,
    "energy_pj_per_mac": float,
    "power_mw": float,
    "tops": float,
    "tops_per_mm2": float,
    "utilization": float,
}
"""Columns beside the parameters."""
MOST_SHOWN = 16
"""Most layers whose jobs a row tells."""

_POINTS = 1 << 17
"""Points that are evaluated at once: so many that what is worked out once for them takes little of the time."""
_OFF_CHIP = "counted in cycles and bytes; the energy of its accesses is not"
_PARTS = ("tile", "around", "sram")


def _checked(name: str, value: Any) -> Any:
    """A value of a parameter as it is kept. Raises `HwgenError` for one that is not legal on its own."""
    if name in Use.parameters():
        return getattr(Use.from_values({name: value}), name)
    return check("accelerator", Design.parameters(), {name: value})[name]


AROUND = Around({**Design.parameters(), **Use.parameters()}, _checked)
"""Parameters of an accelerator beside those of its tile."""


def evaluate(space: Space, p: P, layers: Sequence[Layer], tech: Tech, clock: Clock) -> Chunk:
    """Evaluate one block of accelerators; see `dse.level.Level`."""
    rules = Rules(space.family, np.broadcast_shapes(*(np.shape(value) for value in p.values())))
    looked_at = rules.legal.size
    # Prices are those of the block's mesh: of few tiles, of few rings, while each parameter has a dimension of its own.
    with np.errstate(all="ignore"):
        p = {**p, **settled(space, _of_tile(space, p), tech, clock)}
        made = _made(space, p)
        if not rules.keep(_rules(space, made, layers)):
            return Chunk({}, looked_at, rules.skipped)
        tiles = tech.structure(space.spec, made.p, clock.period_ns)
        beyond, names = beyond_measured(space, made.p, tech)
        if clock.period_ns is not None and tiles.min_clk_period_ns is not None:
            rules.keep([(tiles.min_clk_period_ns <= clock.period_ns, too_slow(clock))])
        if clock.named and clock.period_ns is not None and rules.legal.any():
            rules.keep(_keeps(made, tiles, tech, clock))
        points = Points.where(rules.legal)
        if not points.count:
            return Chunk({}, looked_at, rules.skipped)
        made = replace(made, points=points)
        metrics, texts = _metrics(made, points, tiles, layers, ORDERS[p["order"]], tech, clock)
    moving = {name: points(value) for name, value in p.items() if np.ndim(value)}
    columns = {
        name: np.broadcast_to(value, points.count)
        for name, value in {**moving, **metrics, "extrapolated": points(beyond)}.items()
    }
    fixed = {name: value for name, value in p.items() if name not in moving}
    return Chunk(columns, looked_at, rules.skipped, {**texts, "extrapolated": names}, fixed)


def _of_tile(space: Space, p: P) -> dict[str, Any]:
    return {name: p[name] for name in space.spec.parameters()}


def _made(space: Space, p: P) -> DesignArrays:
    """The accelerators of a block, with their memories."""
    beats = Use(memory_beats=p["memory_beats"]).memory.beats
    design = {name: p[name] for name in Design.parameters()}
    return DesignArrays(space.spec, _of_tile(space, p), design, p["memory_latency"], *beats)


def _rules(space: Space, made: DesignArrays, layers: Sequence[Layer]) -> Iterator[tuple[Any, str]]:
    """What tile, accelerator and layers ask for."""
    yield from tile_rules(space, made.p, layers)
    for ok, text in Design.constraints(space.spec, made.p, made.d):
        yield ok, reason_of(text)
    for layer in layers:
        yield from made.limits(layer)


def _keeps(made: DesignArrays, tiles: Structure, tech: Tech, clock: Clock) -> Iterator[tuple[Any, str]]:
    """Whether what is around the tile keeps the clock, and whether memories do."""
    found = cost_arrays(made.spec, made.p, made.d, tech, clock.period_ns, structure=tiles, found=made.inventory)
    for period, what in ((found.min_clk_period_ns, " around the tile"), (found.memory_cycle_ns, " by memories")):
        if period is not None:
            yield period <= clock.period_ns, too_slow(clock, what)


def _metrics(
    made: DesignArrays,
    points: Points,
    tiles: Structure,
    layers: Sequence[Layer],
    orders: Sequence[int],
    tech: Tech,
    clock: Clock,
) -> tuple[dict[str, Any], dict[str, Sequence[str]]]:
    """Columns beside the parameters, and the texts of those that are names."""
    spec, p, d = made.spec, made.p, made.d
    # Layers of one size have one best job.
    of_layers: dict[tuple[int, int, int], int] = {}
    for layer in layers:
        size = layer.m, layer.n, layer.k
        of_layers[size] = of_layers.get(size, 0) + layer.count
    number, known = np.array(list(of_layers.values())), list(of_layers)
    counts, bus_bytes = linear_counts(made.inventory), d["bus_bits"] // 8
    found = cost_arrays(spec, p, d, tech, clock.period_ns, counts=counts, structure=tiles, found=made.inventory)
    area_of, energy_of = (
        {part: {name: value for name, value in values.items() if _part(name) == part} for part in _PARTS}
        for values in (found.area_um2, found.energy_pj)
    )
    moved = {
        "read_bytes": {name: stream.beats * bus_bytes for name, stream in counts.streams.items()},
        "write_bytes": {"result": counts.write_beats * bus_bytes},
    }
    sizes = np.array(known).T
    m, n, k = sizes[..., np.newaxis]
    best = totals(made, m, n, k, number, orders, forms_of({**energy_of, **moved}))
    area = {part: points(summed(values)) for part, values in area_of.items()}
    energy = {part: best[part] for part in _PARTS}
    whole_area, whole_energy = sum(area.values()), sum(energy.values())
    cycles, macs = best["cycles"], sum(layer.macs for layer in layers)
    across = sizes.reshape(sizes.shape + (1,) * len(points.shape))
    busy = np.tensordot(number, closed_cycles(spec, p, *across), 1)
    peak = points(p["m"] * p["n"] * spec.layer_outputs(p) * spec.layer_k(p) / spec.layer_cycles(p))
    clk_period_ns = points(found.clk_period_ns)
    time_ns = cycles * clk_period_ns
    metrics: dict[str, Any] = {
        "weight_bits": points(spec.weight_stored_bits(p)),
        "area_um2": whole_area,
        **{f"{part}_area_um2": value for part, value in area.items()},
        "clk_period_ns": clk_period_ns,
        "min_clk_period_ns": points(_known(found.min_clk_period_ns)),
        "memory_cycle_ns": points(_known(found.memory_cycle_ns)),
        "cycles": cycles,
        "cycles_exact": best["exact"],
        "wait_cycles": cycles - points(busy),
        "bound": best["regime"],
        **{name: best[name].astype(np.int64) for name in moved},
        "latency_us": time_ns / 1000,
        "energy_pj": whole_energy,
        **{f"{part}_energy_pj": value for part, value in energy.items()},
        "energy_pj_per_mac": whole_energy / macs,
        "power_mw": power_mw(whole_energy, time_ns),
        "tops": 2e-3 * macs / time_ns,
        "tops_per_mm2": tops_per_mm2(macs, time_ns, whole_area),
        "utilization": macs / (peak * cycles),
    }
    texts: dict[str, Sequence[str]] = {"bound": REGIMES}
    if (meets := found.meets_clock) is not None:
        metrics["meets_clock"] = points(meets)
    if len(layers) <= MOST_SHOWN:
        shown = [known.index((layer.m, layer.n, layer.k)) for layer in layers]
        metrics["jobs"], texts["jobs"] = _jobs(best["choices"], shown)
    return metrics, texts


def _known(period: Num | None) -> Num:
    return np.nan if period is None else period


def _part(name: str) -> str:
    """Which part of an accelerator a block of `AcceleratorCost` belongs to."""
    return "sram" if name.endswith("_sram") else "tile" if name.startswith("tile_") else "around"


def _jobs(choices: np.ndarray, layers: Sequence[int]) -> tuple[np.ndarray, list[str]]:
    """What stays and what is held in the job of each layer, as places in texts, and these.

    ``layers``: of each its place in ``choices``, three bits.
    """
    places, found = pd.factorize(choices, sort=True)
    flags = (found[:, np.newaxis, np.newaxis] >> (3 * np.array(layers)[:, np.newaxis] + (2, 1, 0))) & 1
    return places, [" ".join(_words(*one) for one in each) for each in flags.tolist()]


def _words(order: int, hold_weights: int, hold_acts: int) -> str:
    return f"{'wa'[order]}:{'w' * hold_weights + 'a' * hold_acts or '-'}"


def _about(tech: Tech, families: Sequence[str]) -> dict[str, Any]:
    """What stands behind rows, and what is not counted."""
    sample = cost(Design(tile=family(families[0])()), tech, tech.default_clk_period_ns or 1.0)
    parts = {"tile": trusted(tech, families), "around it": trust(tech), "memories": tech.buffer_status}
    return {
        "status": f"{', '.join(f'{words} ({part})' for part, words in parts.items())}, pre-layout",
        "cycles": "by closed form, exact where cycles_exact says so",
        "off_chip_memory": _OFF_CHIP,
        "not_counted": list(sample.unknown),
    }


ACCELERATORS = Level(
    "accelerator",
    METRICS,
    evaluate,
    basis=lambda tech, family: tech.trust(family),
    about=_about,
    block_points=lambda layers: _POINTS,
    around=AROUND,
    sources=("dse/designs.py", "hwgen/accelerator", "hwgen/emit", "sim/accelerator"),
)
"""Tiles with memory around them."""
