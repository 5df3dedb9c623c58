"""Tiles as a level of sweeps.

A point is a legal tile that every layer fits. Its row holds the family, all its parameters, ``weight_bits`` (bits of
a weight in memory, without its share of scales), ``area_um2``, ``min_clk_period_ns``, and, over all layers with their
counts, ``cycles``, ``pre_cycles``, ``latency_us``, ``energy_pj``, ``energy_pj_per_mac``, ``power_mw``,
``tops_per_mm2`` (two operations a MAC) and ``utilization``. Areas, energies and periods are the technology's,
pre-layout; cycles are exact. All tiles run at one clock, ``clk_period_ns``, for which registers are put into them
(`sim.clock`); tiles that cannot meet it are counted as skipped, as are points whose cycles 64 bits do not hold.
Off-chip memory is not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dse.level import Chunk, Clock, Level, named_bits
from dse.space import Space, reason_of
from hwgen.frame.numbers import Num
from hwgen.schedule import Layer, layer_constraints
from sim.clock import settle
from sim.estimate import OFF_CHIP, beyond_64_bits, clock_period, layer_costs, power_mw, tops_per_mm2
from sim.tech import CalibratedTech, Structure, Tech

__all__ = ["METRICS", "TILES", "Rules", "beyond_measured", "evaluate", "settled", "tile_rules", "too_slow", "trusted"]

METRICS: Mapping[str, type] = {
    "weight_bits": float,
    "area_um2": float,
    "clk_period_ns": float,
    "min_clk_period_ns": float,
    "cycles": int,
    "pre_cycles": int,
    "latency_us": float,
    "energy_pj": float,
    "energy_pj_per_mac": float,
    "power_mw": float,
    "tops_per_mm2": float,
    "utilization": float,
}
"""Columns beside the parameters; any of them can be an objective."""

_BLOCK_POINTS = 1 << 17


class Rules:
    """Which points of a block are legal, and how many fail which rule first."""

    def __init__(self, family: str, shape: tuple[int, ...], skipped: dict[str, int] | None = None) -> None:
        """``skipped``: what was counted before, which is added to."""
        self.family, self.legal = family, np.ones(shape, dtype=bool)
        self.skipped = {} if skipped is None else skipped

    def keep(self, rules: Iterable[tuple[Any, str]]) -> bool:
        """Count points that fail one of the rules, pairs (holds, reason); whether any is left."""
        for ok, reason in rules:
            if ok is True:
                continue
            failing = self.legal & ~np.asarray(ok, dtype=bool)
            count = int(np.count_nonzero(failing))
            if count:
                reason = f"{self.family}: {reason}"
                self.skipped[reason] = self.skipped.get(reason, 0) + count
                self.legal &= ~failing
        return bool(self.legal.any())


def tile_rules(space: Space, p: Mapping[str, Any], layers: Sequence[Layer]) -> Iterable[tuple[Any, str]]:
    """Rules of the family, and what layers ask of its tiles."""
    for ok, text in space.spec.constraints(p):
        yield ok, reason_of(text)
    for layer in layers:
        for ok, text in layer_constraints(space.spec, p, layer.k):
            yield ok, f"{text} ({layer.name})"
    # Cycles of layers add up: each of them is to leave room for the others.
    for layer in layers:
        wraps = beyond_64_bits(space.spec, p, layer.m, layer.n, layer.k, layer.count * len(layers))
        if wraps is not False:
            yield np.logical_not(wraps), f"cycles must fit 64 bits ({layer.name})"


def settled(space: Space, p: Mapping[str, Any], tech: Tech, clock: Clock) -> Mapping[str, Any]:
    """Tiles with the registers that a clock asks for, unless an axis places them."""
    if clock.period_ns is None or space.placed or not isinstance(tech, CalibratedTech):
        return p
    return settle(space.spec, p, tech, clock.period_ns, space.named).p


def too_slow(clock: Clock, what: str = "") -> str:
    """Why points are skipped that do not keep a clock."""
    return f"a clock period of {clock.period_ns:g} ns cannot be met{what}"


def beyond_measured(space: Space, p: Mapping[str, Any], tech: Tech) -> tuple[np.ndarray, list[str]]:
    """Column ``extrapolated``: places in texts, and these."""
    beyond = tech.outside(space.spec, p)
    bits = (np.int64(1 << bit) * np.asarray(one.where) for bit, one in enumerate(beyond))
    return named_bits(np.asarray(sum(bits, np.int64(0))), [one.name for one in beyond])


def evaluate(space: Space, p: Mapping[str, Any], layers: Sequence[Layer], tech: Tech, clock: Clock) -> Chunk:
    """Evaluate one block of tiles; see `dse.level.Level`."""
    clk_period_ns = clock.period_ns
    with np.errstate(all="ignore"):
        p = settled(space, p, tech, clock)
        rules = Rules(space.family, np.broadcast_shapes(*(np.shape(value) for value in p.values())))
        legal, looked_at = rules.legal, rules.legal.size
        if not rules.keep(tile_rules(space, p, layers)):
            return Chunk({}, looked_at, rules.skipped)
        parts = tech.structure(space.spec, p, clk_period_ns)
        if (
            clk_period_ns is not None
            and parts.min_clk_period_ns is not None
            and not rules.keep([(parts.min_clk_period_ns <= clk_period_ns, too_slow(clock))])
        ):
            return Chunk({}, looked_at, rules.skipped)
        metrics = _metrics(space, p, layers, tech, parts, clock_period(parts, clk_period_ns, tech))
    metrics["extrapolated"], beyond = beyond_measured(space, p, tech)
    every = bool(legal.all())
    columns: dict[str, np.ndarray] = {}
    for name, value in {
        **{name: value for name, value in p.items() if isinstance(value, np.ndarray)},
        **metrics,
    }.items():
        full = np.broadcast_to(value, legal.shape)
        columns[name] = full.reshape(-1) if every else full[legal]
    fixed = {name: value for name, value in p.items() if not isinstance(value, np.ndarray)}
    return Chunk(columns, looked_at, rules.skipped, {"extrapolated": beyond}, fixed)


def _metrics(
    space: Space, p: Mapping[str, Any], layers: Sequence[Layer], tech: Tech, parts: Structure, clk_period_ns: Num
) -> dict[str, Any]:
    spec = space.spec
    cycles: Any = 0
    pre_cycles: Any = 0
    slots: Any = 0.0
    energy: Any = 0.0
    for layer in layers:
        costs = layer_costs(spec, p, parts, layer.m, layer.n, layer.k, tech, clk_period_ns)
        cycles = cycles + layer.count * costs.cycles
        pre_cycles = pre_cycles + layer.count * costs.pre_cycles
        slots = slots + layer.count * costs.mac_slots
        energy = energy + layer.count * costs.total_energy_pj
    macs = sum(layer.macs for layer in layers)
    time_ns = (cycles + pre_cycles) * clk_period_ns
    return {
        "weight_bits": spec.weight_stored_bits(p),
        "area_um2": parts.total_area_um2,
        "clk_period_ns": clk_period_ns,
        "min_clk_period_ns": np.nan if parts.min_clk_period_ns is None else parts.min_clk_period_ns,
        "cycles": cycles,
        "pre_cycles": pre_cycles,
        "latency_us": (cycles + pre_cycles) * (clk_period_ns / 1000),
        "energy_pj": energy,
        "energy_pj_per_mac": energy / macs,
        "power_mw": power_mw(energy, time_ns),
        "tops_per_mm2": tops_per_mm2(macs, time_ns, parts.total_area_um2),
        "utilization": macs / slots,
    }


def trusted(tech: Tech, names: Sequence[str]) -> str:
    """Where the numbers of tiles of some families come from, in words."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        found.setdefault(tech.trust(name), []).append(name)
    if len(found) == 1:
        return next(iter(found))
    return "; ".join(f"{words} ({', '.join(of)})" for words, of in found.items())


def _about(tech: Tech, names: Sequence[str]) -> dict[str, Any]:
    words = trusted(tech, names)
    status = f"{words}{';' if ';' in words else ','} pre-layout"
    return {"status": status, "cycles": "exact", "off_chip_memory": OFF_CHIP}


TILES = Level(
    "tile",
    METRICS,
    evaluate,
    basis=lambda tech, family: tech.trust(family),
    about=_about,
    block_points=lambda layers: _BLOCK_POINTS,
)
"""Tiles alone."""
