"""Cycles, area and energy of a layer on a tile: one set of formulas for an instance and for arrays of parameters.

* Cycles are exact: `hwgen.schedule.closed_cycles`, which equals the simulated count.
* Area is the structural inventory (`TileSpec.blocks`) times the gate equivalents of each primitive.
* Energy is the sum over blocks of primitives x energy per primitive x active cycles: every adder bit, multiplier
  cell, multiplexer, gate and flip-flop of a block is taken to switch once in each cycle in which the block works.
  Blocks whose inputs hold through a step work once a step, the others in each of its cycles; the post lanes work one
  cycle per beat, and the registers in which scales wait for them switch once a group.
* Every bit at the tile's data ports is moved once from or to a 32 KB buffer: operands each step, side information
  each group, results once. Memory outside the chip, clock tree, wires and leakage are not counted.

All areas and energies are assumed, pre-layout numbers: the inventory is a count and the table's rules are
approximations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.pe import TileSpec, family
from hwgen.pe._numbers import Num, ceil_div, where
from hwgen.schedule import Layer, Schedule, closed_cycles, closed_pre_cycles
from sim.tech import DEFAULT, Tech, load

__all__ = ["Costs", "Report", "Structure", "estimate", "estimate_arrays", "layer_costs", "structure"]

P = Mapping[str, Any]


@dataclass(frozen=True)
class Structure:
    """What a tile is made of: per block its area in GE and its energy in pJ per active cycle; scalars or arrays."""

    area_ge: Mapping[str, Num]
    cycle_pj: Mapping[str, Num]

    @property
    def total_area_ge(self) -> Num:
        """Area of all blocks in GE."""
        return sum(self.area_ge.values(), start=0.0)


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

    ``area_ge`` and ``energy_pj`` are by block (``sram_`` entries: buffer accesses), ``mac_slots`` the
    multiply-accumulates that the tile could do in ``cycles``, ``pre_cycles`` those of the pre block, which are not
    overlapped with ``cycles``. ``status`` says how far the areas and energies may be trusted; cycles are exact.
    """

    tile: str
    layers: tuple[str, ...]
    tech: str
    clk_period_ns: float
    macs: int
    cycles: int
    pre_cycles: int
    mac_slots: float
    area_ge: Mapping[str, float]
    energy_pj: Mapping[str, float]
    status: str = field(default="assumed")

    @property
    def total_area_ge(self) -> float:
        """Area of the tile (and its pre block) in GE."""
        return sum(self.area_ge.values())

    @property
    def total_energy_pj(self) -> float:
        """Energy of all layers in pJ."""
        return sum(self.energy_pj.values())

    @property
    def energy_pj_per_mac(self) -> float:
        """Energy per multiply-accumulate of the layers in pJ."""
        return self.total_energy_pj / self.macs

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
            "clk_period_ns": self.clk_period_ns,
            "macs": self.macs,
            "cycles": self.cycles,
            "pre_cycles": self.pre_cycles,
            "latency_us": self.latency_us,
            "utilization": self.utilization,
            "area_ge": {**self.area_ge, "total": self.total_area_ge},
            "energy_pj": {**self.energy_pj, "total": self.total_energy_pj},
            "energy_pj_per_mac": self.energy_pj_per_mac,
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
            macs=self.macs + other.macs,
            cycles=self.cycles + other.cycles,
            pre_cycles=self.pre_cycles + other.pre_cycles,
            mac_slots=self.mac_slots + other.mac_slots,
            area_ge=self.area_ge,
            energy_pj={name: value + other.energy_pj[name] for name, value in self.energy_pj.items()},
            status=self.status,
        )

    def __radd__(self, other: int) -> Report:
        """So that ``sum(reports)`` works."""
        if other != 0:
            return NotImplemented
        return self


def _tech(tech: Tech | str) -> Tech:
    return load(tech) if isinstance(tech, str) else tech


def structure(spec: type[TileSpec], p: P, tech: Tech | str = DEFAULT) -> Structure:
    """Area and energy per active cycle of every block of a tile.

    Raises `HwgenError` when the technology table lacks a primitive.
    """
    table = _tech(tech)
    area: dict[str, Num] = {}
    energy: dict[str, Num] = {}
    for name, block in spec.blocks(p).items():
        area[name] = block.count * sum((n * table.area_ge(key) for key, n in block.primitives.items()), start=0.0)
        energy[name] = block.count * sum((n * table.energy_pj(key) for key, n in block.primitives.items()), start=0.0)
    return Structure(area, energy)


def _activity(spec: type[TileSpec], p: P, steps: Num, groups: Num, pre_beats: Num) -> dict[str, Num]:
    """Active cycles of each kind of block."""
    phases = spec.layer_cycles(p)
    beats = groups * spec.post_beats(p)
    return {
        "row": steps * phases if spec.row_per_phase else steps,
        "col": steps * phases if spec.col_per_phase else steps,
        "cell": steps * phases,
        "rowsum": steps,
        "control": steps * phases,
        "post_side": groups,
        "post_store": beats,
        "post_lane": beats,
        "pre_row": pre_beats,
        "pre_control": pre_beats,
    }


def _moved_bits(
    spec: type[TileSpec], p: P, tiles: Num, groups: Num, scopes: Num, steps: Num, pre_beats: Num
) -> dict[str, Num]:
    """Bits that cross the data ports in one run of a layer; ``scopes`` groups share side information."""
    m, n = p["m"], p["n"]
    act_count, act_bits = spec.act_port(p)
    weight_count, weight_bits = spec.weight_port(p)
    row_side, col_side = spec.side_bits(p)
    raw = groups * (m * n * spec.sums_of_cell(p) * spec.acc_bits(p) + m * spec.row_sum_bits(p))
    moved = {
        "sram_acts": steps * m * act_count * act_bits,
        "sram_weights": steps * n * weight_count * weight_bits,
        "sram_sides": scopes * (m * sum(row_side.values(), start=0) + n * sum(col_side.values(), start=0)),
        "sram_results": where(p["post_lanes"] > 0, tiles * m * n * 32, raw) if spec.uses_lanes(p) else raw,
    }
    pre = spec.pre_counts(p)
    if pre is not None:
        # Codes in on each pass, prepared activations out on the last.
        taken = spec.layer_k(p) * get(pre.source).code_bits
        moved["sram_pre"] = pre_beats * m * taken + pre_beats // pre.passes * m * act_count * act_bits
    return moved


def layer_costs(
    spec: type[TileSpec], p: P, parts: Structure, m: Num, n: Num, k: Num, tech: Tech | str = DEFAULT
) -> Costs:
    """One run of a layer of ``m`` tokens, ``n`` outputs and ``k`` inputs on tiles whose `structure` is ``parts``.

    The layer must fit (`hwgen.schedule.layer_constraints`). Raises `HwgenError` for a block without a rule for its
    activity.
    """
    cycles = closed_cycles(spec, p, m, n, k)
    pre_cycles = closed_pre_cycles(spec, p, m, k)
    pre = spec.pre_counts(p)
    tiles = ceil_div(m, p["m"]) * ceil_div(n, p["n"] * spec.layer_outputs(p))
    scopes, groups = (tiles * ceil_div(k, where(g > 0, g, k)) for g in (p["group"], spec.sum_group(p)))
    steps = tiles * (k // spec.layer_k(p))
    pre_beats = 0 if pre is None else pre_cycles - pre.latency
    active = _activity(spec, p, steps, groups, pre_beats)
    energy: dict[str, Num] = {}
    for name, cycle_pj in parts.cycle_pj.items():
        if name not in active:
            raise HwgenError(
                f"{spec.family}: block {name!r} has no rule for its activity; blocks are {', '.join(active)}"
            )
        energy[name] = cycle_pj * active[name]
    bit_pj = _tech(tech).energy_pj("sram_bit")
    for name, bits in _moved_bits(spec, p, tiles, groups, scopes, steps, pre_beats).items():
        energy[name] = bits * bit_pj
    slots = cycles * (p["m"] * p["n"] * spec.layer_outputs(p) * spec.layer_k(p)) / spec.layer_cycles(p)
    return Costs(cycles, pre_cycles, slots, energy)


def estimate(spec: TileSpec, layer: Layer, tech: Tech | str = DEFAULT, clk_period_ns: float = 1.0) -> Report:
    """Report of ``layer.count`` runs of a layer on a tile.

    Parameters
    ----------
    spec: the tile. layer: its shape. tech: table or its name. clk_period_ns: clock period; no timing is checked.

    Raises `HwgenError` when the layer does not fit the tile, for an unknown table and for a period that is not above 0.
    """
    if not 0 < clk_period_ns < float("inf"):
        raise HwgenError(f"estimate: clk_period_ns must be above 0, not {clk_period_ns:g}")
    Schedule(spec, layer)
    table = _tech(tech)
    parts = structure(type(spec), spec.p, table)
    costs = layer_costs(type(spec), spec.p, parts, layer.m, layer.n, layer.k, table)
    return Report(
        tile=spec.family + "".join(f" {name}={value}" for name, value in spec.p.items()),
        layers=(layer.name,),
        tech=table.name,
        clk_period_ns=clk_period_ns,
        macs=layer.macs,
        cycles=layer.count * int(costs.cycles),
        pre_cycles=layer.count * int(costs.pre_cycles),
        mac_slots=layer.count * float(costs.mac_slots),
        area_ge={name: float(value) for name, value in parts.area_ge.items()},
        energy_pj={name: layer.count * float(value) for name, value in costs.energy_pj.items()},
    )


def estimate_arrays(
    pe: str | type[TileSpec],
    p: P,
    m: Num,
    n: Num,
    k: Num,
    tech: Tech | str = DEFAULT,
    clk_period_ns: float = 1.0,
) -> dict[str, np.ndarray]:
    """`estimate` of one run for many tiles at once.

    Parameters
    ----------
    pe: family or its name. p: every parameter of the family; whole numbers may be integer arrays that broadcast,
        names are scalars. m, n, k: the layer, scalars or arrays. Points must be legal and the layer must fit them.

    Returns
    -------
    Columns ``cycles``, ``pre_cycles`` (int64), ``latency_us``, ``utilization``, ``area_ge``, ``energy_pj`` and
    ``energy_pj_per_mac`` (float64), all of the shape that the arguments broadcast to.
    """
    spec = family(pe) if isinstance(pe, str) else pe
    table = _tech(tech)
    parts = structure(spec, p, table)
    costs = layer_costs(spec, p, parts, m, n, k, table)
    columns = {
        "cycles": costs.cycles,
        "pre_cycles": costs.pre_cycles,
        "latency_us": (costs.cycles + costs.pre_cycles) * (clk_period_ns / 1000),
        "utilization": m * n * k / costs.mac_slots,
        "area_ge": parts.total_area_ge,
        "energy_pj": costs.total_energy_pj,
        "energy_pj_per_mac": costs.total_energy_pj / (m * n * k),
    }
    shape = np.broadcast_shapes(*(np.shape(value) for value in (*p.values(), *columns.values())))
    return {name: np.broadcast_to(value, shape) for name, value in columns.items()}
