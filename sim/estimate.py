"""Cycles, area, energy and time of a layer on a tile: one set of formulas for an instance and for arrays of parameters.

* Cycles are exact: `hwgen.schedule.closed_cycles`, which equals the simulated count.
* Areas, energies and the shortest clock period come from a technology (`sim.tech`): measured on synthesised blocks, or
  put together from published figures.
* A block takes its clock energy in every cycle and its energy at work in its active cycles: blocks whose inputs hold
  through a step work once a step, the others in each of its cycles; the post lanes work one cycle per beat. Leakage
  goes on for as long as the layer takes.
* Everything at the tile's data ports is moved once from or to a 32 KB buffer, in the bits that memory holds
  (`TileSpec.stored_bits`): operands each step, padding included, side information (scales, zero points, selectors) each
  group where the tile takes it, results once. Memory outside the chip, clock tree and wires are not counted.
* Utilisation counts the multiply-accumulates of the layer as given, those with padding left out.

Areas, energies and periods are pre-layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.frame.numbers import Num, ceil_div, where
from hwgen.frame.param import plain, whole_number
from hwgen.pe import TileSpec, family
from hwgen.schedule import MOST, Layer, Schedule, closed_cycles, closed_pre_cycles
from sim.activity import activity
from sim.tech import DEFAULT, PJ_PER_UW_NS, Structure, Tech, load

__all__ = [
    "OFF_CHIP",
    "Costs",
    "Report",
    "beyond_64_bits",
    "clock_period",
    "estimate",
    "estimate_arrays",
    "estimate_sizes",
    "layer_costs",
    "power_mw",
    "tops_per_mm2",
]

P = Mapping[str, Any]

OFF_CHIP = "not counted: neither the time nor the energy of its accesses"
"""What a report says of off-chip memory."""


def power_mw(energy_pj: Num, time_ns: Num) -> Num:
    """Mean power: a pJ each ns is a mW."""
    return energy_pj / time_ns


def tops_per_mm2(macs: Num, time_ns: Num, area_um2: Num) -> Num:
    """Operations, two a MAC, in 10¹² a second and mm²."""
    return 2000 * macs / (time_ns * area_um2)


@dataclass(frozen=True)
class Costs:
    """One run of a layer: cycles, MAC slots in those cycles, energy in pJ by block; scalars or arrays."""

    cycles: Num
    pre_cycles: Num
    mac_slots: Num
    energy_pj: Mapping[str, Num]

    @property
    def total_energy_pj(self) -> Num:
        """Energy of all blocks and buffers in pJ."""
        return sum(self.energy_pj.values(), start=0.0)


@dataclass(frozen=True)
class Report:
    """What layers cost on one tile. Reports of layers on the same tile add up.

    ``area_um2`` and ``energy_pj`` are by block (``sram_`` entries: buffer accesses), ``mac_slots`` the
    multiply-accumulates that the tile could do in ``cycles``, ``pre_cycles`` those of the pre block, which are not
    overlapped with ``cycles``. ``min_clk_period_ns`` is the shortest period that the tile allows, None where the
    technology has no timing. ``status`` says what stands behind areas, energies and periods of the
    tile, ``buffer_status`` behind the energies of buffers; cycles are exact. ``extrapolated`` names what of the tile
    lies outside of all that was measured: its numbers are then a trend's.
    """

    tile: str
    layers: tuple[str, ...]
    tech: str
    clk_period_ns: float
    min_clk_period_ns: float | None
    nand2_um2: float
    macs: int
    cycles: int
    pre_cycles: int
    mac_slots: float
    area_um2: Mapping[str, float]
    energy_pj: Mapping[str, float]
    status: str
    buffer_status: str
    extrapolated: tuple[str, ...] = ()

    @property
    def total_area_um2(self) -> float:
        """Area of the tile (and its pre block) in µm²."""
        return sum(self.area_um2.values())

    @property
    def total_area_ge(self) -> float:
        """The same in gate equivalents: two-input NANDs of the technology."""
        return self.total_area_um2 / self.nand2_um2

    @property
    def meets_clock(self) -> bool | None:
        """Whether the tile can run at the clock period; None where the technology has no timing."""
        return None if self.min_clk_period_ns is None else self.min_clk_period_ns <= self.clk_period_ns

    @property
    def total_energy_pj(self) -> float:
        """Energy of all layers in pJ."""
        return sum(self.energy_pj.values())

    @property
    def energy_pj_per_mac(self) -> float:
        """Energy per multiply-accumulate of the layers in pJ."""
        return self.total_energy_pj / self.macs

    @property
    def power_mw(self) -> float:
        """Mean power while the layers run, in mW; off-chip memory is not counted."""
        return float(power_mw(self.total_energy_pj, 1000 * self.latency_us))

    @property
    def tops_per_mm2(self) -> float:
        """Operations, two a MAC, in 10¹² a second and mm² of the tile."""
        return float(tops_per_mm2(self.macs, 1000 * self.latency_us, self.total_area_um2))

    @property
    def utilization(self) -> float:
        """Multiply-accumulates of the layers over those that the tile could do in the same cycles, at most 1."""
        return self.macs / self.mac_slots

    @property
    def latency_us(self) -> float:
        """Time of all layers, one after the other, pre block first, in µs."""
        return (self.cycles + self.pre_cycles) * self.clk_period_ns / 1000

    def as_dict(self) -> dict[str, Any]:
        """All fields and totals, JSON-serialisable."""
        return {
            "tile": self.tile,
            "layers": list(self.layers),
            "tech": self.tech,
            "status": self.status,
            "buffer_status": self.buffer_status,
            "extrapolated": list(self.extrapolated),
            "off_chip_memory": OFF_CHIP,
            "clk_period_ns": self.clk_period_ns,
            "min_clk_period_ns": self.min_clk_period_ns,
            "meets_clock": self.meets_clock,
            "macs": self.macs,
            "cycles": self.cycles,
            "pre_cycles": self.pre_cycles,
            "latency_us": self.latency_us,
            "utilization": self.utilization,
            "area_um2": {**self.area_um2, "total": self.total_area_um2},
            "area_ge": self.total_area_ge,
            "energy_pj": {**self.energy_pj, "total": self.total_energy_pj},
            "energy_pj_per_mac": self.energy_pj_per_mac,
            "power_mw": self.power_mw,
            "tops_per_mm2": self.tops_per_mm2,
        }

    def __add__(self, other: Report) -> Report:
        """Both, one after the other, on the same tile. Raises `HwgenError` when tile, technology or clock differ."""
        for name in ("tile", "tech", "clk_period_ns"):
            mine, others = getattr(self, name), getattr(other, name)
            if mine != others:
                raise HwgenError(
                    f"report: {name} must be the same in reports that are added, not {mine!r} and {others!r}"
                )
        return Report(
            tile=self.tile,
            layers=self.layers + other.layers,
            tech=self.tech,
            clk_period_ns=self.clk_period_ns,
            min_clk_period_ns=self.min_clk_period_ns,
            nand2_um2=self.nand2_um2,
            macs=self.macs + other.macs,
            cycles=self.cycles + other.cycles,
            pre_cycles=self.pre_cycles + other.pre_cycles,
            mac_slots=self.mac_slots + other.mac_slots,
            area_um2=self.area_um2,
            energy_pj={name: value + other.energy_pj[name] for name, value in self.energy_pj.items()},
            status=self.status,
            buffer_status=self.buffer_status,
            extrapolated=self.extrapolated,
        )

    def __radd__(self, other: int) -> Report:
        """So that ``sum(reports)`` works."""
        if other != 0:
            return NotImplemented
        return self


def _tech(tech: Tech | str) -> Tech:
    if not isinstance(tech, Tech | str):
        raise HwgenError(f"estimate: tech must be a technology or its name, not {tech!r}")
    return load(tech) if isinstance(tech, str) else tech


def clock_period(parts: Structure, clk_period_ns: float | None, tech: Tech) -> Num:
    """The clock period that a tile runs at: the given one, or its shortest.

    Raises `HwgenError` for a period that is not above 0, and for none where the technology has no timing.
    """
    if clk_period_ns is None:
        if parts.min_clk_period_ns is None:
            raise HwgenError(
                f"estimate: clk_period_ns must be given with technology {tech.name}, which has no timing; "
                "try --clk-period-ns 1"
            )
        return parts.min_clk_period_ns
    given = _given(clk_period_ns)
    assert given is not None
    return given


def _given(clk_period_ns: float | None) -> float | None:
    """A clock period that was given. Raises `HwgenError` for one that is no number above 0."""
    if clk_period_ns is None:
        return None
    given = plain(clk_period_ns)
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise HwgenError(f"estimate: clk_period_ns must be a number, not {clk_period_ns!r}")
    if not 0 < given < float("inf"):
        raise HwgenError(f"estimate: clk_period_ns must be above 0, not {given:g}")
    return float(given)


def _moved_bits(
    spec: type[TileSpec], p: P, tiles: Num, groups: Num, scopes: Num, steps: Num, pre_beats: Num
) -> dict[str, Num]:
    """Bits that cross the data ports in one run of a layer; ``scopes`` groups share side information."""
    m, n = p["m"], p["n"]
    act_count, act_bits = spec.act_port(p)
    acts, weights = spec.stored_bits(p)
    row_side, col_side = spec.stored_side_bits(p)
    # Floats: integers of 64 bits, which whole counts of steps fit, are soon too short for bits.
    tiles, groups, scopes, steps, pre_beats = (1.0 * count for count in (tiles, groups, scopes, steps, pre_beats))
    raw = groups * (m * n * spec.sums_of_cell(p) * spec.acc_bits(p) + m * spec.row_sum_bits(p))
    moved = {
        "sram_acts": steps * m * acts,
        "sram_weights": steps * n * weights,
        "sram_sides": scopes * (m * sum(row_side.values(), start=0) + n * sum(col_side.values(), start=0)),
        "sram_results": where(p["post_lanes"] > 0, tiles * m * n * 32, raw) if spec.uses_lanes(p) else raw,
    }
    pre = spec.pre_counts(p)
    if pre is not None:
        # Codes in on each pass, prepared activations out on the last.
        taken = spec.layer_k(p) * get(pre.source).code_bits
        moved["sram_pre"] = pre_beats * m * taken + pre_beats / pre.passes * m * act_count * act_bits
    return moved


def layer_costs(
    spec: type[TileSpec], p: P, parts: Structure, m: Num, n: Num, k: Num, tech: Tech, clk_period_ns: Num
) -> Costs:
    """One run of a layer of ``m`` tokens, ``n`` outputs and ``k`` inputs on tiles whose structure is ``parts``.

    The layer must fit (`hwgen.schedule.layer_constraints`). Raises `HwgenError` for a block without a rule for its
    activity.
    """
    cycles = closed_cycles(spec, p, m, n, k)
    pre_cycles = closed_pre_cycles(spec, p, m, k)
    pre = spec.pre_counts(p)
    tiles = ceil_div(m, p["m"]) * ceil_div(n, p["n"] * spec.layer_outputs(p))
    scopes, groups = (tiles * ceil_div(k, where(g > 0, g, k)) for g in (p["group"], spec.sum_group(p)))
    steps = tiles * ceil_div(k, spec.layer_k(p))
    pre_beats = 0 if pre is None else pre_cycles - pre.latency
    active = activity(spec, p, steps, groups, pre_beats)
    energy: dict[str, Num] = {}
    all_cycles = cycles + pre_cycles
    for name, active_pj in parts.active_pj.items():
        if name not in active:
            raise HwgenError(
                f"{spec.family}: block {name!r} has no rule for its activity; blocks are {', '.join(active)}"
            )
        always = parts.clock_pj.get(name, 0.0) + parts.leakage_uw.get(name, 0.0) * clk_period_ns * PJ_PER_UW_NS
        energy[name] = active_pj * active[name] + always * all_cycles
    for name, bits in _moved_bits(spec, p, tiles, groups, scopes, steps, pre_beats).items():
        energy[name] = bits * tech.buffer_bit_pj(write=name == "sram_results")
    slots = 1.0 * cycles * (p["m"] * p["n"] * spec.layer_outputs(p) * spec.layer_k(p)) / spec.layer_cycles(p)
    return Costs(cycles, pre_cycles, slots, energy)


def beyond_64_bits(spec: type[TileSpec], p: P, m: Num, n: Num, k: Num, count: int = 1) -> Num:
    """Whether ``count`` runs of a layer, pre block included, take more cycles than `MOST`: a truth value or array.

    Array code counts in 64 bits and would wrap silently.
    """
    # Every step does a product at least, so that this many cycles are never exceeded; most layers stay far below.
    slowest = spec.layer_cycles(p) + spec.post_cycles(p) + spec.fold_cycles(p) + 2
    pre = spec.pre_counts(p)
    once = spec.drain(p) + (0 if pre is None else pre.latency)
    bound = float(np.max(m)) * float(np.max(n)) * float(np.max(k)) * float(np.max(slowest)) + float(np.max(once))
    if bound * count < MOST:
        return False
    # The same formulas in floating point, which loses digits but does not wrap.
    shape = [np.asarray(size, np.float64) for size in (m, n, k)]
    cycles = closed_cycles(spec, p, *shape) + closed_pre_cycles(spec, p, shape[0], shape[2])
    return cycles * float(count) >= MOST * (1 - 1e-9)


def _check_kinds(spec: object, layer: object) -> None:
    if not isinstance(spec, TileSpec) or not isinstance(layer, Layer):
        raise HwgenError(
            "estimate: must be given the spec of a tile and a layer (hwgen.schedule.Layer), "
            f"not {type(spec).__name__} and {type(layer).__name__}"
        )


def estimate(spec: TileSpec, layer: Layer, tech: Tech | str = DEFAULT, clk_period_ns: float | None = None) -> Report:
    """Report of ``layer.count`` runs of a layer on a tile.

    Parameters
    ----------
    spec: the tile. layer: its shape. tech: technology or its name. clk_period_ns: clock period; None is the shortest
        that the tile allows. `Report.meets_clock` says whether a given one can be met.

    Raises `HwgenError` when the layer does not fit the tile, for an unknown technology and for a period that is not
    above 0 or is missing where the technology has no timing.
    """
    _check_kinds(spec, layer)
    Schedule(spec, layer)
    return _report(spec, layer, layer.n, layer.k, layer.macs, tech, clk_period_ns)


def estimate_sizes(
    spec: TileSpec,
    layer: Layer,
    n: np.ndarray,
    k: np.ndarray,
    tech: Tech | str = DEFAULT,
    clk_period_ns: float | None = None,
) -> Report:
    """Report of ``layer.count`` runs at each of many sizes, as the sum of `estimate` over them, in one go.

    Parameters
    ----------
    layer: name, tokens and count of all; its n and k do not count. n, k: outputs and inputs [sizes], int64.

    Raises `HwgenError` when a size does not fit the tile or the cycles of all do not fit 64 bits.
    """
    _check_kinds(spec, layer)
    longest = Layer(layer.name, layer.m, int(np.max(n)), int(np.max(k)), layer.count)
    Schedule(spec, longest)
    if np.any(beyond_64_bits(type(spec), spec.p, longest.m, longest.n, longest.k, layer.count * n.size)):
        raise HwgenError(f"estimate: cycles of layer {layer.name} must be at most {MOST}, which 64 bits hold")
    macs = layer.m * layer.count * sum(a * b for a, b in zip(n.tolist(), k.tolist(), strict=True))
    return _report(spec, layer, n, k, macs, tech, clk_period_ns)


def _report(
    spec: TileSpec, layer: Layer, n: Num, k: Num, macs: int, tech: Tech | str, clk_period_ns: float | None
) -> Report:
    """The report of one size, or of the sum of many."""
    table = _tech(tech)
    parts = table.structure(type(spec), spec.p, _given(clk_period_ns))
    period = clock_period(parts, clk_period_ns, table)
    costs = layer_costs(type(spec), spec.p, parts, layer.m, n, k, table, period)
    shape = np.broadcast_shapes(np.shape(n), np.shape(k))

    def total(value: Num) -> Num:
        # Whole numbers of one size stay Python's, which have no end.
        return np.broadcast_to(value, shape).sum() if shape else value

    return Report(
        tile=spec.family + "".join(f" {name}={value}" for name, value in spec.p.items()),
        layers=(layer.name,),
        tech=table.name,
        clk_period_ns=float(period),
        min_clk_period_ns=None if parts.min_clk_period_ns is None else float(parts.min_clk_period_ns),
        nand2_um2=table.nand2_um2,
        macs=macs,
        cycles=layer.count * int(total(costs.cycles)),
        pre_cycles=layer.count * int(total(costs.pre_cycles)),
        mac_slots=layer.count * float(total(costs.mac_slots)),
        area_um2={name: float(value) for name, value in parts.area_um2.items()},
        energy_pj={name: layer.count * float(total(value)) for name, value in costs.energy_pj.items()},
        status=table.trust(spec.family),
        buffer_status=table.buffer_status,
        extrapolated=tuple(str(one) for one in table.outside(type(spec), spec.p)),
    )


def _sizes(name: str, given: Any) -> Num:
    """Sizes of layers as an int or an int64 array. Raises `HwgenError` for anything else, and below 1."""
    size: Num = whole_number(given)
    if size is None:
        array = np.asarray(given)
        if array.dtype.kind not in "iu" or not array.size or int(array.max()) > MOST:
            raise HwgenError(f"estimate: {name} must be whole numbers of at most 64 bits, not {given!r}")
        size = array.astype(np.int64)
    if np.min(size) < 1:
        raise HwgenError(f"estimate: {name} must be at least 1, not {np.min(size)}")
    return size


def estimate_arrays(
    pe: str | type[TileSpec],
    p: P,
    m: Num,
    n: Num,
    k: Num,
    tech: Tech | str = DEFAULT,
    clk_period_ns: float | None = None,
) -> dict[str, np.ndarray]:
    """`estimate` of one run for many tiles at once.

    Parameters
    ----------
    pe: family or its name. p: every parameter of the family; whole numbers may be integer arrays that broadcast,
        names are scalars. m, n, k: the layer, scalars or arrays. Points must be legal and the layer must fit them.

    Returns
    -------
    Columns ``cycles``, ``pre_cycles`` (int64), ``latency_us``, ``utilization``, ``area_um2``, ``energy_pj``,
    ``energy_pj_per_mac``, ``power_mw``, ``tops_per_mm2`` and, where the technology has timing, ``min_clk_period_ns``
    (float64), all of the shape that the arguments broadcast to.
    """
    spec = family(pe) if isinstance(pe, str) else pe
    table = _tech(tech)
    m, n, k = (_sizes(name, size) for name, size in (("m", m), ("n", n), ("k", k)))
    if np.any(beyond_64_bits(spec, p, m, n, k)):
        raise HwgenError(f"estimate: cycles of a layer must be at most {MOST}, which 64 bits hold; use a smaller layer")
    parts = table.structure(spec, p, _given(clk_period_ns))
    period = clock_period(parts, clk_period_ns, table)
    costs = layer_costs(spec, p, parts, m, n, k, table, period)
    macs = 1.0 * m * n * k
    columns = {
        "cycles": costs.cycles,
        "pre_cycles": costs.pre_cycles,
        "latency_us": (costs.cycles + costs.pre_cycles) * (period / 1000),
        "utilization": macs / costs.mac_slots,
        "area_um2": parts.total_area_um2,
        "energy_pj": costs.total_energy_pj,
        "energy_pj_per_mac": costs.total_energy_pj / macs,
        "power_mw": power_mw(costs.total_energy_pj, (costs.cycles + costs.pre_cycles) * period),
        "tops_per_mm2": tops_per_mm2(macs, (costs.cycles + costs.pre_cycles) * period, parts.total_area_um2),
    }
    if parts.min_clk_period_ns is not None:
        columns["min_clk_period_ns"] = parts.min_clk_period_ns
    shape = np.broadcast_shapes(*(np.shape(value) for value in (*p.values(), *columns.values())))
    return {name: np.broadcast_to(value, shape) for name, value in columns.items()}
