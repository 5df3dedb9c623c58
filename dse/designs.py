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
from typing import Any

import numpy as np

from dse.level import Chunk, Clock, Level
from dse.space import Around, Space, reason_of
from dse.tiles import Rules, beyond_measured, settled, tile_rules, too_slow, trusted
from hwgen.accelerator import Design
from hwgen.accelerator.best import BestJobs, DesignArrays
from hwgen.accelerator.closed import REGIMES
from hwgen.accelerator.job import FLAGS
from hwgen.accelerator.use import ORDERS, Use
from hwgen.frame.numbers import Num
from hwgen.frame.param import check
from hwgen.pe import family
from hwgen.schedule import Layer, closed_cycles
from sim.accelerator.activity import job_counts
from sim.accelerator.cost import cost, cost_arrays
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

_PAIRS = 1 << 15
"""Pairs of a layer and a design that are evaluated at once."""
_LEAST_POINTS = 64
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
    with np.errstate(all="ignore"):
        p = {**p, **settled(space, _of_tile(space, p), tech, clock)}
        if not rules.keep(_rules(space, p, layers)):
            return Chunk({}, looked_at, rules.skipped)
        # Of few tiles, while each parameter has a dimension of its own.
        tiles = tech.structure(space.spec, _of_tile(space, p), clock.period_ns)
        beyond, names = beyond_measured(space, _of_tile(space, p), tech)
        if clock.period_ns is not None and tiles.min_clk_period_ns is not None:
            rules.keep([(tiles.min_clk_period_ns <= clock.period_ns, too_slow(clock))])
        row = _Row(rules.legal)
        p, tiles, beyond = row.of(p), row.structure(tiles), row(beyond)
        if clock.named and clock.period_ns is not None and row.count:
            rules = Rules(space.family, (row.count,), rules.skipped)
            rules.keep(_keeps(_made(space, p), tiles, tech, clock))
            row = _Row(rules.legal)
            p, tiles, beyond = row.of(p), row.structure(tiles), row(beyond)
        if not row.count:
            return Chunk({}, looked_at, rules.skipped)
        made = _made(space, p)
        metrics, texts = _metrics(made, tiles, layers, made.best(layers, ORDERS[p["order"]]), tech, clock)
    moving = {name: value for name, value in p.items() if np.ndim(value)}
    columns = {
        name: np.broadcast_to(value, row.count) for name, value in {**moving, **metrics, "extrapolated": beyond}.items()
    }
    fixed = {name: value for name, value in p.items() if name not in moving}
    return Chunk(columns, looked_at, rules.skipped, {**texts, "extrapolated": names}, fixed)


class _Row:
    """The legal points of a block as one row of ``count``; what all points share stays a scalar."""

    def __init__(self, legal: np.ndarray) -> None:
        self.legal, self.count = legal, int(np.count_nonzero(legal))

    def __call__(self, value: Num) -> Num:
        """Values of the legal points."""
        return np.broadcast_to(value, self.legal.shape)[self.legal] if np.ndim(value) else value

    def of(self, values: P) -> dict[str, Any]:
        """The same of several."""
        return {name: self(value) for name, value in values.items()}

    def structure(self, tiles: Structure) -> Structure:
        """The same of what tiles are made of."""
        return tiles.each(self)


def _of_tile(space: Space, p: P) -> dict[str, Any]:
    return {name: p[name] for name in space.spec.parameters()}


def _made(space: Space, p: P) -> DesignArrays:
    """The accelerators of a block, with their memories."""
    beats = Use(memory_beats=p["memory_beats"]).memory.beats
    design = {name: p[name] for name in Design.parameters()}
    return DesignArrays(space.spec, _of_tile(space, p), design, p["memory_latency"], *beats)


def _rules(space: Space, p: P, layers: Sequence[Layer]) -> Iterator[tuple[Any, str]]:
    """What tile, accelerator and layers ask for."""
    made = _made(space, p)
    yield from tile_rules(space, made.p, layers)
    for ok, text in Design.constraints(space.spec, made.p, made.d):
        yield ok, reason_of(text)
    for layer in layers:
        yield from made.limits(layer)


def _keeps(made: DesignArrays, tiles: Structure, tech: Tech, clock: Clock) -> Iterator[tuple[Any, str]]:
    """Whether what is around the tile keeps the clock, and whether memories do."""
    found = cost_arrays(made.spec, made.p, made.d, tech, clock.period_ns, structure=tiles)
    for period, what in ((found.min_clk_period_ns, " around the tile"), (found.memory_cycle_ns, " by memories")):
        if period is not None:
            yield period <= clock.period_ns, too_slow(clock, what)


def _metrics(
    made: DesignArrays, tiles: Structure, layers: Sequence[Layer], best: BestJobs, tech: Tech, clock: Clock
) -> tuple[dict[str, Any], dict[str, Sequence[str]]]:
    """Columns beside the parameters, and the texts of those that are names."""
    spec, p, d = made.spec, made.p, made.d
    number = np.array([layer.count for layer in layers])[:, np.newaxis]

    def total(values: Num) -> Num:
        return (number * np.broadcast_to(values, best.cycles.shape)).sum(axis=0)

    counts = job_counts(spec, p, d, best.job, best.cycles, made.inventory)
    found = cost_arrays(spec, p, d, tech, clock.period_ns, counts=counts, structure=tiles, found=made.inventory)
    area, energy = (
        {part: sum((value for name, value in values.items() if _part(name) == part), start=0.0) for part in _PARTS}
        for values in (found.area_um2, found.energy_pj)
    )
    energy = {part: total(value) for part, value in energy.items()}
    whole_area, whole_energy = sum(area.values()), sum(energy.values())
    sizes = np.array([(layer.m, layer.n, layer.k) for layer in layers]).T[..., np.newaxis]
    cycles, macs = total(best.cycles), sum(layer.macs for layer in layers)
    peak = p["m"] * p["n"] * spec.layer_outputs(p) * spec.layer_k(p) / spec.layer_cycles(p)
    time_ns = cycles * found.clk_period_ns
    by_regime = np.stack([total(best.cycles * (best.regime == place)) for place in range(len(REGIMES))])
    metrics: dict[str, Any] = {
        "weight_bits": spec.weight_stored_bits(p),
        "area_um2": whole_area,
        **{f"{part}_area_um2": value for part, value in area.items()},
        "clk_period_ns": found.clk_period_ns,
        "min_clk_period_ns": _known(found.min_clk_period_ns),
        "memory_cycle_ns": _known(found.memory_cycle_ns),
        "cycles": cycles,
        "cycles_exact": best.exact.all(axis=0),
        "wait_cycles": cycles - total(closed_cycles(spec, p, *sizes)),
        "bound": by_regime.argmax(axis=0),
        "read_bytes": total(counts.read_beats) * (d["bus_bits"] // 8),
        "write_bytes": total(counts.write_beats) * (d["bus_bits"] // 8),
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
        metrics["meets_clock"] = meets
    if len(layers) <= MOST_SHOWN:
        metrics["jobs"], texts["jobs"] = _jobs(best.job)
    return metrics, texts


def _known(period: Num | None) -> Num:
    return np.nan if period is None else period


def _part(name: str) -> str:
    """Which part of an accelerator a block of `AcceleratorCost` belongs to."""
    return "sram" if name.endswith("_sram") else "tile" if name.startswith("tile_") else "around"


def _jobs(job: Mapping[str, np.ndarray]) -> tuple[np.ndarray, list[str]]:
    """What stays and what is held in the job of each layer, as places in texts, and these."""
    flags = np.stack([job[name] for name in FLAGS], axis=-1)
    bits = flags.shape[0] * len(FLAGS)
    key = np.tensordot(np.moveaxis(flags, 1, 0).reshape(-1, bits), 1 << np.arange(bits), 1)
    _, first, places = np.unique(key, return_index=True, return_inverse=True)
    return places, [" ".join(_words(*one) for one in flags[:, index]) for index in first]


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
    block_points=lambda layers: max(_PAIRS // len(layers), _LEAST_POINTS),
    around=AROUND,
    sources=("dse/designs.py", "hwgen/accelerator", "hwgen/emit", "sim/accelerator"),
)
"""Tiles with memory around them."""
