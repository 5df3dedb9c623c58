"""Glitches: how often nets of a mapped netlist change within a cycle, by a unit-delay and by a Liberty-delay run.

Both start from the settled values of the cycle before and end in those of the cycle, 64 streams a word.

* Unit delay: every gate takes one step; all gates at once, step after step, until nothing changes.
* Liberty delay: time is a grid of `BINS` points over the longest path. An input pin's change reaches the output after
  the delay of its arc at the slew and load that the netlist has, at least one point of the grid. Delays of rising and
  falling outputs are averaged: a bit-parallel run has one delay an arc, and inverting gates swap the two along a path.
  Pulses shorter than the gate's shortest delay are swallowed (inertial delay). `timed_raw` counts what each gate would
  put out if it swallowed none, while those before it do.

Flip-flop outputs change after their clock-to-output delay, input ports after the mean of those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hwgen.synth._characterised import CellPower
from hwgen.synth.gates import GateNetlist, GateSim, Node, Words, nodes_of
from hwgen.synth.power import Loading

__all__ = ["BINS", "GlitchSim", "Glitches"]

BINS = 512
"""Points of time in a cycle of the Liberty-delay run."""


@dataclass(frozen=True)
class Glitches:
    """Toggles of every net over ``vectors`` sampled cycles of all streams, in runs of growing detail."""

    vectors: int
    zero: np.ndarray
    unit: np.ndarray
    timed: np.ndarray
    timed_raw: np.ndarray
    bin_ns: float


@dataclass(frozen=True)
class _Step:
    """Gates of one function and level: where inputs lie in the waveforms [gates, BINS], delays removed."""

    node: Node
    places: tuple[np.ndarray, ...]
    rows: np.ndarray


@dataclass(frozen=True)
class _Same:
    """All gates of one function, lowest level first: rows of inputs and outputs."""

    call: Callable[..., Words]
    rows: tuple[np.ndarray, ...]
    out: np.ndarray
    levels: np.ndarray


class GlitchSim(GateSim):
    """`GateSim` that also counts changes within cycles: one of ``every``, drawn at random with a fixed seed, as phases
    of a step return at regular intervals.
    """

    def __init__(
        self,
        netlist: GateNetlist,
        cells: Mapping[str, CellPower],
        streams: int,
        loaded: Loading,
        every: int = 4,
    ) -> None:
        super().__init__(netlist, cells, streams)
        self.every = every
        delays = _Delays(netlist, cells, loaded)
        nodes = nodes_of(netlist, cells, delays.arc)
        self._nodes = nodes
        self._source_rows = self.row[delays.sources]
        self.bin_ns = delays.bin_ns(nodes)
        # Bin 0 is the cycle before.
        self._source_bins = _bins(delays.start[delays.sources], self.bin_ns)
        self._steps, self._widths = self._timed_plan(nodes)
        self._unit = _unit_plan(nodes, self.row)
        self.reset_counts()

    def _timed_plan(self, nodes: list[Node]) -> tuple[list[_Step], np.ndarray]:
        time = np.arange(BINS)
        widths = np.ones(len(self.order), np.int64)
        steps = []
        for node in nodes:
            bins = [_bins(delay, self.bin_ns) for delay in node.kept]
            places = tuple(
                self.row[nets][:, None] * BINS + np.maximum(time - delay[:, None], 0)
                for nets, delay in zip(node.nets, bins, strict=True)
            )
            rows = self.row[node.out]
            if bins:
                widths[rows] = np.min(bins, axis=0)
            steps.append(_Step(node, places, rows))
        return steps, widths

    def reset_counts(self) -> None:
        super().reset_counts()
        size = len(self.order)
        self._draw = np.random.default_rng(0)
        self._sampled = 0
        self._sums = {name: np.zeros(size, np.int64) for name in ("zero", "unit", "timed", "timed_raw")}

    def settle(self) -> None:
        before = self._before
        super().settle()
        if self._draw.random() * self.every >= 1:
            return
        self._sampled += 1
        after = self.values
        self._sums["zero"] += self._changes(before ^ after)
        self._sums["unit"] += self._run_unit(before, after)
        for name, counts in zip(("timed", "timed_raw"), self._run_timed(before, after), strict=True):
            self._sums[name] += counts

    def _changes(self, changed: Words) -> np.ndarray:
        """Ones by row, of streams that are there."""
        ones = np.bitwise_count(changed & self._mask)
        counts: np.ndarray = ones.sum(axis=tuple(range(1, ones.ndim)), dtype=np.int64)
        return counts

    def _run_unit(self, before: Words, after: Words) -> np.ndarray:
        now = before.copy()
        counts = np.zeros(len(self.order), np.int64)
        now[self._source_rows] = after[self._source_rows]
        counts[self._source_rows] = self._changes((before ^ after)[self._source_rows])
        last = max((node.level for node in self._nodes), default=0)
        for level in range(1, last + 1):
            # In step i only gates that some path of i gates leads to can change.
            found = []
            for same in self._unit:
                begin = int(np.searchsorted(same.levels, level))
                if begin < len(same.out):
                    words = same.call(self.one, *(now.take(row[begin:], axis=0) for row in same.rows))
                    found.append((same.out[begin:], words))
            quiet = True
            for out, words in found:
                changed = words ^ now[out]
                if changed.any():
                    quiet = False
                    counts[out] += self._changes(changed)
                    now[out] = words
            if quiet:
                break
        return counts

    def _run_timed(self, before: Words, after: Words) -> tuple[np.ndarray, np.ndarray]:
        """Changes with and without pulses that are too short."""
        size = len(self.order)
        waves: Words = np.empty((size * BINS, self.words), np.uint64)
        grid = waves.reshape(size, BINS, self.words)
        grid[:2] = before[:2, None]
        filtered = np.zeros(size, np.int64)
        raw = np.zeros(size, np.int64)
        late = np.arange(BINS) >= self._source_bins[:, None]
        grid[self._source_rows] = np.where(
            late[..., None], after[self._source_rows][:, None], before[self._source_rows][:, None]
        )
        filtered[self._source_rows] = raw[self._source_rows] = self._changes((before ^ after)[self._source_rows])
        for step in self._steps:
            words = step.node.function.call(self.one, *(waves.take(place, axis=0) for place in step.places))
            words = np.broadcast_to(words, (len(step.rows), BINS, self.words)).copy()
            words[:, 0] = before[step.rows]
            raw[step.rows] = self._changes(words[:, 1:] ^ words[:, :-1])
            kept = _without_short_pulses(words, self._widths[step.rows])
            filtered[step.rows] = self._changes(kept[:, 1:] ^ kept[:, :-1])
            grid[step.rows] = kept
        return filtered, raw

    def glitches(self) -> Glitches:
        """What was counted, by net."""
        found = {}
        for name, counts in self._sums.items():
            found[name] = np.zeros(self.netlist.nets, np.int64)
            found[name][self.order] = counts
        return Glitches(self._sampled * self.streams, **found, bin_ns=self.bin_ns)


def _unit_plan(nodes: list[Node], row: np.ndarray) -> list[_Same]:
    """Gates by function, lowest level first."""
    by_function: dict[str, list[Node]] = {}
    for node in nodes:
        by_function.setdefault(f"{len(node.nets)} {node.function.source}", []).append(node)
    plan = []
    for group in by_function.values():
        rows = tuple(row[np.concatenate(nets)] for nets in zip(*(node.nets for node in group), strict=True))
        out = row[np.concatenate([node.out for node in group])]
        levels = np.concatenate([np.full(len(node.out), node.level) for node in group])
        plan.append(_Same(group[0].function.call, rows, out, levels))
    return plan


def _without_short_pulses(words: Words, widths: np.ndarray) -> Words:
    """Waveforms [gates, time, W] in which a value is taken only if it stays for ``widths`` points of time."""
    result = words.copy()
    for width in np.unique(widths):
        chosen = np.flatnonzero(widths == width)
        if width > 1:
            result[chosen] = _steady(words[chosen], int(width))
    return result


def _steady(words: Words, width: int) -> Words:
    time = words.shape[1]
    stays, seen = words.copy(), words.copy()
    for shift in range(1, width):
        # What comes after the last point is what was there.
        later = np.minimum(np.arange(time) + shift, time - 1)
        stays &= words[:, later]
        seen |= words[:, later]
    # out[t] = (out[t - 1] & seen[t]) | stays[t], from out[0] on: a carry chain, by doubling.
    stays[:, 0] = words[:, 0]
    seen[:, 0] = 0
    shift = 1
    while shift < time:
        stays[:, shift:] |= seen[:, shift:] & stays[:, :-shift].copy()
        seen[:, shift:] &= seen[:, :-shift].copy()
        shift *= 2
    return stays


class _Delays:
    """Delays of arcs at the netlist's slews and loads, ns."""

    def __init__(self, netlist: GateNetlist, known: Mapping[str, CellPower], loaded: Loading) -> None:
        self.netlist, self.known, self.loaded = netlist, known, loaded
        self.start = np.zeros(netlist.nets)
        flip_flops = []
        for name, cells in netlist.cells.items():
            cell = known[name]
            if cell.state is None or cell.clock is None:
                continue
            for pin in cell.functions:
                out = cells.nets[pin]
                self.start[out] = self.arc(name, pin, cell.clock)
                flip_flops.append(out)
        held = np.concatenate(flip_flops) if flip_flops else np.zeros(0, np.int64)
        mean = float(self.start[held].mean()) if held.size else 0.0
        ports = np.concatenate([nets for port, nets in netlist.inputs.items() if port != "clk"])
        self.start[ports] = mean
        self.sources = np.concatenate([ports, held])

    def arc(self, name: str, pin: str, source: str) -> np.ndarray:
        """Delay from an input pin to an output pin, mean of rise and fall [cells]."""
        cell, cells = self.known[name], self.netlist.cells[name]
        load = self.loaded.load_pf[cells.nets[pin]]
        slew = self.loaded.slew_ns[cells.nets[source]]
        if source == cell.clock:
            slew = np.full(len(cells), self.loaded.clock_slew_ns)
        for arc in cell.arcs[pin]:
            if arc.source == source and arc.delays:
                mean: np.ndarray = np.mean([table.at(slew, load) for table in arc.delays], axis=0)
                return mean
        return np.zeros(len(cells))

    def bin_ns(self, nodes: list[Node]) -> float:
        """Time between two points of the grid: the latest change, in whole points, lies just within a cycle."""
        wanted = BINS - 2
        size = sum(self._latest(nodes, None)) / wanted or 1.0
        for _ in range(64):
            needed = sum(self._latest(nodes, size))
            if needed <= wanted:
                break
            # Delays of less than a point count as one, so that a coarser grid has fewer of them than it seems.
            size *= max(needed / wanted, 1.02)
        return size

    def _latest(self, nodes: list[Node], size: float | None) -> tuple[float, float]:
        """Latest change of any net and the longest delay of a gate, ns or (with the size of one) points of the grid."""

        def count(delay: np.ndarray) -> np.ndarray:
            return delay if size is None else _bins(delay, size, BINS * BINS)

        arrival = np.zeros(self.netlist.nets)
        arrival[self.sources] = count(self.start[self.sources])
        longest = 0.0
        for node in nodes:
            for nets, delay in zip(node.nets, node.kept, strict=True):
                points = count(delay)
                arrival[node.out] = np.maximum(arrival[node.out], arrival[nets] + points)
                longest = max(longest, float(points.max(initial=0)))
        return float(arrival.max()), longest


def _bins(delay: np.ndarray, bin_ns: float, most: int = BINS - 1) -> np.ndarray:
    """Delays in points of the grid, at least one."""
    return np.clip(np.rint(delay / bin_ns), 1, most).astype(np.int64)
