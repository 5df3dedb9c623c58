"""Energy of a mapped netlist from counted toggles and a Liberty library: by block, clock, registers, gates and leakage.

* Every toggle of a net charges or discharges the input pins on it: C V² / 2, counted where the pin is, so that the
  energy of a block does not depend on how many others its outputs drive. What output ports drive is listed by itself.
* Every toggle of an output costs the cell's internal energy (mean of a rise and a fall) at the input slew and the load
  that the netlist has; of several input pins each in proportion to its own toggles, of several conditions each by its
  probability. Input pins have internal energies of their own in most libraries: those of a flip-flop's clock pin are
  spent in every cycle, whether data change or not, as there are no gated clocks.
* Slews are computed, the slowest of each cell's inputs, from the driver that mapping assumes at the ports. The clock is
  ideal: one driver's slew, and no tree.
* Probabilities are measured. Pins are taken to be independent of each other, but for the state of a flip-flop: its
  outputs follow from it (a condition may name both), and each data pin is counted together with it.

Everything is pre-layout: no wires, no clock tree. Zero-delay toggles leave out glitches.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hwgen.synth._characterised import Arc, CellPower, Energy, characterised
from hwgen.synth._logic import Function, probability
from hwgen.synth.gates import Activity, Cells, GateNetlist, net_levels
from hwgen.synth.liberty import Library

__all__ = ["BlockPower", "Loading", "Power", "loading", "power"]


@dataclass(frozen=True)
class BlockPower:
    """All ``count`` copies of one kind of block. Energies are means per cycle in pJ.

    ``clock_pj`` is spent at the clock pins, ``register_pj`` at the data pins and outputs of flip-flops,
    ``combinational_pj`` in gates.
    """

    kind: str
    count: int
    cells: int
    flip_flops: int
    clock_pj: float
    register_pj: float
    combinational_pj: float
    leakage_nw: float


@dataclass(frozen=True)
class Power:
    """Blocks of a netlist; besides, per cycle in pJ: ``output_load_pj`` charges what output ports drive (no block's);
    ``input_port_pj`` is the part of the blocks' energy that charges pins on input ports, ``clock_net_pj`` the part that
    charges clock pins.
    """

    blocks: tuple[BlockPower, ...]
    output_load_pj: float
    input_port_pj: float
    clock_net_pj: float

    @property
    def dynamic_pj(self) -> float:
        """All blocks together, per cycle, without leakage."""
        return sum(block.clock_pj + block.register_pj + block.combinational_pj for block in self.blocks)

    @property
    def leakage_nw(self) -> float:
        """Leakage of all blocks."""
        return sum(block.leakage_nw for block in self.blocks)

    def document(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return {
            "blocks": [asdict(block) for block in self.blocks],
            "output_load_pj": self.output_load_pj,
            "input_port_pj": self.input_port_pj,
            "clock_net_pj": self.clock_net_pj,
        }


@dataclass(frozen=True)
class Loading:
    """Load [pF] and slew [ns] of every net, and the slew of the clock [ns]."""

    load_pf: np.ndarray
    slew_ns: np.ndarray
    clock_slew_ns: float


def loading(netlist: GateNetlist, known: Mapping[str, CellPower], library: Library) -> Loading:
    """Loads and slews of a netlist between the ports that mapping assumes: the library's buffer in front, its load
    behind.
    """
    load = np.zeros(netlist.nets)
    for name, cells in netlist.cells.items():
        for pin, farad in known[name].input_pf.items():
            np.add.at(load, cells.nets[pin], farad)
    for nets in netlist.outputs.values():
        np.add.at(load, nets, library.load_pf)
    driver = characterised(library, [library.buffer.name])[library.buffer.name]
    arc = next(iter(driver.arcs.values()))[0]
    points = arc.slews[0].slews
    first = float(points[min(1, points.size - 1)])

    def driven(farads: np.ndarray) -> np.ndarray:
        return _mean([table.at(np.full(farads.shape, first), farads) for table in arc.slews])

    clock = float(driven(np.array([library.load_pf]))[0])
    slew = np.full(netlist.nets, clock)
    for nets in netlist.inputs.values():
        slew[nets] = driven(load[nets])
    level = net_levels(netlist, known)
    todo: list[tuple[int, CellPower, Mapping[str, np.ndarray]]] = []
    for name, cells in netlist.cells.items():
        cell = known[name]
        if not cell.functions:
            continue
        own = np.max([level[cells.nets[pin]] for pin in cell.functions], axis=0)
        for value in np.unique(own):
            chosen = own == value
            todo.append((int(value), cell, {pin: nets[chosen] for pin, nets in cells.nets.items()}))
    for _, cell, pins in sorted(todo, key=lambda entry: entry[0]):
        for pin, arcs in cell.arcs.items():
            out = pins[pin]
            found = np.zeros(len(out))
            for one in arcs:
                if one.source not in pins or not one.slews:
                    continue
                entering = np.full(len(out), clock) if one.source == cell.clock else slew[pins[one.source]]
                found = np.maximum(found, _mean([table.at(entering, load[out]) for table in one.slews]))
            slew[out] = found
    return Loading(load, slew, clock)


def _mean(values: Sequence[np.ndarray]) -> np.ndarray:
    result: np.ndarray = np.mean(values, axis=0) if len(values) else np.zeros(())
    return result


def power(
    netlist: GateNetlist,
    library: Library,
    activity: Activity,
    loaded: Loading | None = None,
    rate: np.ndarray | None = None,
) -> Power:
    """Energy per cycle of a netlist whose toggles were counted, and its leakage.

    ``rate`` are toggles of every net per cycle where they are not those of ``activity`` (glitches).
    """
    known = characterised(library, netlist.cells)
    loaded = loaded or loading(netlist, known, library)
    kinds = list(dict.fromkeys(kind for kind, _ in netlist.blocks))
    kind_of = np.array([kinds.index(kind) for kind, _ in netlist.blocks])
    sums = {name: np.zeros(len(kinds)) for name in ("clock", "register", "combinational", "leakage", "cells", "ffs")}
    if rate is None:
        rate = activity.toggles / activity.vectors
    half = library.voltage_v**2 / 2
    ports = np.zeros(netlist.nets, bool)
    for nets in netlist.inputs.values():
        ports[nets] = True
    entering = clock_net = 0.0

    for name, cells in netlist.cells.items():
        meter = _Meter(known[name], cells, activity, loaded, rate)

        def add(what: str, values: np.ndarray | float, block: np.ndarray = cells.block) -> None:
            kind = kind_of[block]
            sums[what] += np.bincount(kind, np.broadcast_to(values, kind.shape), minlength=len(kinds))

        sequential = known[name].state is not None
        what = "register" if sequential else "combinational"
        for pin, farad in known[name].input_pf.items():
            nets = cells.nets[pin]
            if pin == known[name].clock:
                add("clock", 2 * half * farad + meter.clock())
                clock_net += len(cells) * 2 * half * farad
                continue
            add(what, rate[nets] * (half * farad + meter.hidden(pin)))
            entering += float(np.sum(rate[nets] * half * farad, where=ports[nets]))
        for pin in known[name].functions:
            add(what, rate[cells.nets[pin]] * meter.internal(pin))
        add("leakage", known[name].leakage_nw)
        add("cells", 1.0)
        if sequential:
            add("ffs", 1.0)
    outputs = sum(float(rate[nets].sum()) * half * library.load_pf for nets in netlist.outputs.values())
    counts = np.bincount(kind_of, minlength=len(kinds))
    blocks = tuple(
        BlockPower(
            kind=kind,
            count=int(counts[index]),
            cells=int(sums["cells"][index]),
            flip_flops=int(sums["ffs"][index]),
            clock_pj=float(sums["clock"][index]),
            register_pj=float(sums["register"][index]),
            combinational_pj=float(sums["combinational"][index]),
            leakage_nw=float(sums["leakage"][index]),
        )
        for index, kind in enumerate(kinds)
    )
    return Power(blocks, outputs, entering, clock_net)


class _Meter:
    """Internal energies of all cells of one type, pJ [cells]."""

    def __init__(self, cell: CellPower, cells: Cells, activity: Activity, loaded: Loading, rate: np.ndarray) -> None:
        self.cell, self.cells, self.activity, self.loaded, self.rate = cell, cells, activity, loaded, rate
        self.ones = {pin: activity.ones[nets] / activity.vectors for pin, nets in cells.nets.items()}
        if cell.clock is not None:
            # High in half of each cycle.
            self.ones[cell.clock] = np.full(len(cells), 0.5)
        self.inside: dict[str, Function] = {} if cell.state is not None else dict(cell.functions)

    def _slew(self, pin: str) -> np.ndarray:
        if pin == self.cell.clock:
            return np.full(len(self.cells), self.loaded.clock_slew_ns)
        slew: np.ndarray = self.loaded.slew_ns[self.cells.nets[pin]]
        return slew

    def hidden(self, pin: str) -> np.ndarray:
        """Of one toggle of an input pin by itself."""
        return self._sum(self.cell.hidden[pin], self._slew(pin), np.zeros(len(self.cells)), normal=False) / 2

    def clock(self) -> np.ndarray:
        """Of a rising and a falling edge of the clock, outputs that change not included."""
        pin = self.cell.clock
        assert pin is not None
        return self._sum(self.cell.hidden[pin], self._slew(pin), np.zeros(len(self.cells)), normal=False)

    def internal(self, pin: str) -> np.ndarray:
        """Of one toggle of an output: each input pin in proportion to its own toggles."""
        out = self.cells.nets[pin]
        arcs = [arc for arc in self.cell.arcs[pin] if arc.source in self.cells.nets and arc.energies]
        if not arcs:
            return np.zeros(len(self.cells))
        shares = [self._toggles(arc) for arc in arcs]
        total = np.sum(shares, axis=0)
        result = np.zeros(len(self.cells))
        for arc, share in zip(arcs, shares, strict=True):
            weight = np.where(total > 0, share / np.where(total > 0, total, 1), 1 / len(arcs))
            each = self._sum(arc.energies, self._slew(arc.source), self.loaded.load_pf[out], normal=True)
            result += weight * each / 2
        return result

    def _toggles(self, arc: Arc) -> np.ndarray:
        toggles: np.ndarray = self.rate[self.cells.nets[arc.source]]
        return toggles if arc.source != self.cell.clock else np.ones(len(self.cells))

    def _sum(self, energies: Sequence[Energy], slew: np.ndarray, load: np.ndarray, *, normal: bool) -> np.ndarray:
        """Rise plus fall, over rails; conditions by their probability, which ``normal`` makes add up to one."""
        rails: dict[str, list[Energy]] = {}
        for energy in energies:
            rails.setdefault(energy.rail, []).append(energy)
        result = np.zeros(len(self.cells))
        for entries in rails.values():
            given = [
                np.broadcast_to(self._probability(entry.when), result.shape) if entry.when else None
                for entry in entries
            ]
            known: np.ndarray = sum((p for p in given if p is not None), np.zeros(len(self.cells)))
            weights = [np.maximum(1 - known, 0) if p is None else p for p in given]
            if normal:
                whole = np.sum(weights, axis=0)
                weights = [np.where(whole > 0, w / np.where(whole > 0, whole, 1), 1 / len(entries)) for w in weights]
            for entry, weight in zip(entries, weights, strict=True):
                result += weight * (entry.rise.at(slew, load) + entry.fall.at(slew, load))
        return result

    def _probability(self, when: Function) -> np.ndarray:
        """Probability of a condition. The state of a flip-flop is one variable whatever outputs name it, and data pins
        depend on it as they were counted together; else pins are independent.
        """
        state = self.cell.state
        outputs = self.cell.functions if state is not None else {}
        if state is None or not any(pin in outputs or pin in state for pin in when.inputs):
            return probability(when, self.ones, self.inside)
        held = self._ones_of_state()
        both = self.activity.both.get(self.cell.name, {})
        data = [pin for pin in when.inputs if pin not in outputs and pin not in state]
        total = np.zeros(len(self.cells))
        for one in (0, 1):
            share = held if one else 1 - held
            known = {state[0]: one, state[1]: 1 - one}
            for name, what in outputs.items():
                known[name] = int(what.call(1, *(known.get(pin, 0) for pin in what.inputs)) & 1)
            for bits in itertools.product((0, 1), repeat=len(data)):
                values = known | dict(zip(data, bits, strict=True))
                if not when.call(1, *(values[pin] for pin in when.inputs)) & 1:
                    continue
                part = share
                for pin, bit in zip(data, bits, strict=True):
                    part = part * self._given(pin, bit, one, held, both.get((pin, state[0])))
                total = total + part
        return np.clip(total, 0, 1)

    def _ones_of_state(self) -> np.ndarray:
        """Share of cycles in which the state is 1, from an output that shows it."""
        assert self.cell.state is not None
        for pin, what in self.cell.functions.items():
            if pin in self.ones and len(what.inputs) == 1 and what.inputs[0] in self.cell.state:
                direct = bool(what.call(1, 1) & 1) == (what.inputs[0] == self.cell.state[0])
                return self.ones[pin] if direct else 1 - self.ones[pin]
        return np.full(len(self.cells), 0.5)

    def _given(self, pin: str, bit: int, one: int, held: np.ndarray, both: np.ndarray | None) -> np.ndarray:
        """Probability that a data pin is ``bit`` while the state is ``one``."""
        ones = self.ones[pin]
        if both is None:
            return ones if bit else 1 - ones
        share = held if one else 1 - held
        joint = both / self.activity.vectors if one else ones - both / self.activity.vectors
        high: np.ndarray = np.clip(np.where(share > 0, joint / np.where(share > 0, share, 1), 0), 0, 1)
        return high if bit else 1 - high
