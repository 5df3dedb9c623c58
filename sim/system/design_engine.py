"""A `Design` as a core: jobs by the cycle model of the hardware, on a memory that gives it its share of the beats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from hwgen.accelerator import Design, JobCycles, Memory
from hwgen.accelerator.best import DesignArrays, walked_jobs
from hwgen.accelerator.job import FLAGS, Job
from hwgen.accelerator.plan import choices
from hwgen.accelerator.use import ORDERS
from hwgen.errors import HwgenError
from hwgen.frame.numbers import ceil_div, distinct
from hwgen.pe import TileSpec
from hwgen.schedule import Layer, Schedule, closed_cycles
from sim.accelerator.activity import JobCounts, job_counts
from sim.accelerator.cost import AcceleratorCost, cost_arrays
from sim.system.arrays import Arrays
from sim.system.engine import BOUNDS, BYTES, Num, Table, shared_waits
from sim.tech import Structure, Tech

__all__ = ["DesignEngine", "Progress", "beat_shares", "job_words"]

P = Mapping[str, Any]
Progress = Callable[[int, int], None]

_NEAREST = 256
"""Largest denominator of a share of beats; larger where a share is so small that it would be off by more."""
_COMPUTE, _CHANNEL, _WRITE = (BOUNDS.index(name) for name in ("compute", "channel", "write"))
_HELD = (("weights", "hold_weights"), ("activations", "hold_acts"))
_JOB = ("m_blocks", "n_blocks", "k_steps", "k_groups", *FLAGS)


def beat_shares(rate: Any) -> tuple[np.ndarray, np.ndarray]:
    """Beats, and in how many cycles, of a memory that gives ``rate`` beats a cycle; a beat a cycle at most."""
    given = np.minimum(np.asarray(rate, np.float64), 1.0)
    values, places = np.unique(given, return_inverse=True)
    found = [Fraction(value).limit_denominator(max(_NEAREST, int(64 / value) + 1)) for value in values.tolist()]
    shape = given.shape
    beats, cycles = (
        np.array([getattr(one, part) for one in found], np.int64)[places].reshape(shape)
        for part in ("numerator", "denominator")
    )
    return beats, cycles


def job_words(flags: Mapping[str, int]) -> str:
    """Order and residency."""
    held = " and ".join(name for name, flag in _HELD if flags[flag])
    return f"{('weights', 'activations')[flags['order']]} stay{f', {held} held' if held else ''}"


class DesignEngine:
    """Designs around tiles of a family, one or as many as parameters broadcast to; see `sim.system.engine.Engine`.

    Parameters
    ----------
    p, d: parameters of tile and design. passes: digits of an integer second operand that is wider than the tile's
        weights, each an element along K in groups with a scale of their own. bytes_per_cycle: of the memory.
    exact: cycles of the exact cycle model; of one design, ``made``. progress: is told products that are walked.
    """

    mappings: tuple[str, ...] = tuple(job_words(flags) for flags in choices())

    def __init__(
        self,
        spec: type[TileSpec],
        p: P,
        d: P,
        *,
        tech: Tech,
        clk_period_ns: Num | None,
        latency: int = 20,
        order: str = "best",
        bytes_per_cycle: Num = np.inf,
        passes: int = 1,
        exact: bool = False,
        made: Design | None = None,
        progress: Progress = lambda done, of: None,
    ) -> None:
        self.spec, self.p, self.d, self.tech, self.period = spec, p, d, tech, clk_period_ns
        self.latency, self.order, self.orders, self.rate = latency, order, ORDERS[order], bytes_per_cycle
        self.passes, self.exact, self.design = passes, exact, made
        self.arrays = Arrays(np.zeros(1))
        self._known: dict[tuple[Any, ...], tuple[Job, JobCycles]] = {}
        self._checked: set[tuple[int, int, int]] = set()
        self._progress = progress

    @property
    def near(self) -> DesignEngine:
        """By closed form."""
        return self.over(self.p, self.d) if self.exact else self

    def over(self, p: P, d: P) -> DesignEngine:
        """The same core with other parameters, which may be arrays, by closed form."""
        return DesignEngine(
            self.spec,
            p,
            d,
            tech=self.tech,
            clk_period_ns=self.period,
            latency=self.latency,
            order=self.order,
            bytes_per_cycle=self.rate,
            passes=self.passes,
        )

    @property
    def lanes(self) -> tuple[Num, Num]:
        """Tokens and outputs of a block."""
        return self.p["m"], self.p["n"] * self.spec.layer_outputs(self.p)

    def _inner(self, k: Any) -> Any:
        """Elements along K of all digits: each but the last fills whole groups, as its scale is another one."""
        if self.passes == 1:
            return k
        group = np.maximum(self.p["group"], 1)
        return (self.passes - 1) * ceil_div(k, group) * group + k

    @cached_property
    def _plain(self) -> DesignArrays:
        """With a beat a cycle."""
        return DesignArrays(self.spec, self.p, self.d, self.latency)

    def _made(self, active: Any) -> DesignArrays:
        share, cycles = beat_shares(self.rate / (np.asarray(active) * (self.d["bus_bits"] // 8)))
        return DesignArrays(self.spec, self.p, self.d, self.latency, share, cycles)

    def best(self, m: Any, n: Any, k: Any, row: Any, active: Any, alike: Sequence[str] = ()) -> Table:
        """See `sim.system.engine.Engine`; every core reads all that it takes."""
        made, k = self._made(active), self._inner(k)
        found = made.best_of_sizes(m, n, k, self.orders)
        job, cycles, certain = dict(found.job), found.cycles, found.exact
        work = np.broadcast_to(np.asarray(closed_cycles(self.spec, self.p, m, n, k)), cycles.shape)
        bound = np.asarray(found.regime)
        if self.exact:
            job, cycles, walked = self._walked(m, n, k, made)
            certain = np.ones_like(cycles, dtype=bool)
        counts = self._counts(job, cycles)
        table = self._bytes(counts, cycles.shape)
        table |= {f"job_{name}": np.broadcast_to(job[name], cycles.shape) for name in _JOB}
        places = sum(np.asarray(job[name]) << (len(FLAGS) - 1 - place) for place, name in enumerate(FLAGS))
        table |= {"cycles": cycles, "work": np.minimum(work, cycles), "certain": certain, "bound": bound}
        table["mapping"] = np.broadcast_to(places, cycles.shape)
        if self.exact:
            table["bound"] = self._bound(table, active)
            return self._on_one_bus(table | walked, active)
        return self._waited(table, active)

    def _waited(self, table: Table, active: Any) -> Table:
        """With what bounds jobs by closed form, the cycles in which they wait, and those that one memory makes more."""
        table["bound"] = bound = self._bound(table, active)
        # What a job that only computes takes beside its steps is filling and draining.
        waiting = np.where(bound == _COMPUTE, 0, table["cycles"] - table["work"])
        waits = shared_waits(self.arrays, waiting, table, bound == _WRITE)
        return self._on_one_bus(table | waits, active)

    def _bound(self, table: Table, active: Any) -> Any:
        """Jobs whose last results leave late, but that read more than they write, are bound by reading or computing."""
        reads = sum(table[f"bytes_{name}"] for name in BYTES if name != "results")
        slowest = np.maximum(reads * np.asarray(active) / self.rate, reads / (self.d["bus_bits"] // 8))
        other = np.where(slowest > table["work"], _CHANNEL, _COMPUTE)
        few = (table["bound"] == _WRITE) & (table["bytes_results"] < reads)
        return np.where(few, other, table["bound"])

    def _on_one_bus(self, table: Table, active: Any) -> Table:
        """Reads and writes have channels of their own at the port, but pass the memory one after the other."""
        moved = sum(table[f"bytes_{name}"] for name in BYTES)
        least = np.ceil(moved * np.asarray(active) / self.rate).astype(np.int64)
        late = least > table["cycles"]
        table["wait_results"] = table["wait_results"] + np.where(late, least - table["cycles"], 0)
        table["bound"] = np.where(late, _CHANNEL, table["bound"])
        return table | {"cycles": np.maximum(table["cycles"], least), "certain": table["certain"] & ~late}

    def _bytes(self, counts: JobCounts, shape: tuple[int, ...]) -> Table:
        bus = self.d["bus_bits"] // 8
        found = {f"bytes_{name}": one.beats * bus for name, one in counts.streams.items()}
        found["bytes_results"] = counts.write_beats * bus
        return {name: np.broadcast_to(value, shape).astype(np.int64) for name, value in found.items()}

    def _walked(self, m: Any, n: Any, k: Any, made: DesignArrays) -> tuple[dict[str, Any], Any, Table]:
        """Jobs by the exact model, one product after the other."""
        assert self.design is not None
        sizes = [np.broadcast_to(one, (len(np.asarray(m)), 1))[:, 0].tolist() for one in (m, n, k)]
        shape = (len(sizes[0]), 1)
        beats = [np.broadcast_to(one, shape)[:, 0].tolist() for one in (made.share, made.cycles)]
        rows = []
        asked = list(zip(zip(*sizes, strict=True), zip(*beats, strict=True), strict=True))
        for done, (size, share) in enumerate(asked):
            self._progress(done, len(asked))
            if (size, share) not in self._known:
                schedule = Schedule(self.design.tile, Layer("product", *size))
                jobs = walked_jobs(self.design, schedule, Memory(self.latency, share), self.orders)
                self._known[size, share] = jobs[0]
            job, found = self._known[size, share]
            waits = {f"wait_{name}": found.waits[name] for name in ("weights", "acts", "results")}
            rows.append({**{name: getattr(job, name) for name in _JOB}, "cycles": found.cycles, **waits})
        table = {name: np.array([row[name] for row in rows], np.int64).reshape(shape) for name in rows[0]}
        waited: Table = {name: value for name, value in table.items() if name.startswith("wait_")}
        return {name: table[name] for name in _JOB}, table["cycles"], waited

    def each(
        self, m: Any, n: Any, k: Any, row: Any, active: Any, alike: Sequence[str] = ()
    ) -> Iterator[tuple[int, Any, Any, Any]]:
        """See `sim.system.engine.Engine`; by closed form, bytes are those that are read."""
        known = [tuple(flags.values()) for flags in choices()]
        bus = self.d["bus_bits"] // 8
        for flags, found in self._made(active).all_of_sizes(m, n, self._inner(k), self.orders):
            place = known.index(tuple(flags[name] for name in FLAGS))
            yield place, found["cycles"] > 0, found["cycles"], found["reads"] * bus

    @cached_property
    def _structure(self) -> Structure:
        # Many designs differ only in what is around few tiles, which are dear to price.
        few, places = distinct(self.p)
        made = self.tech.structure(self.spec, few, self.period)
        return made if places is None else made.each(lambda value: value[places] if np.ndim(value) else value)

    def _cost(self, counts: JobCounts | None) -> AcceleratorCost:
        known: dict[str, Any] = {"structure": self._structure, "found": self._plain.inventory}
        return cost_arrays(self.spec, self.p, self.d, self.tech, self.period, counts=counts, **known)

    def energy(self, table: Table) -> Mapping[str, Num]:
        """See `sim.system.engine.Engine`."""
        job = {name: table[f"job_{name}"] for name in _JOB}
        return self._cost(self._counts(job, table["cycles"])).energy_pj

    def _counts(self, job: P, cycles: Any) -> JobCounts:
        return job_counts(self.spec, self.p, self.d, job, cycles, self._plain.inventory)

    def idle_pj(self) -> Mapping[str, Num]:
        """See `sim.system.engine.Engine`."""
        nothing: dict[str, Any] = dict.fromkeys(_JOB, 0)
        resting = self._cost(self._counts(nothing, 1.0)).energy_pj
        # A job's start is no part of a cycle in which there is none.
        started = self._cost(self._counts(nothing, 0.0)).energy_pj
        return {name: value - started[name] for name, value in resting.items()}

    @cached_property
    def cost(self) -> AcceleratorCost:
        """Area and clock."""
        return self._cost(None)

    def area_um2(self) -> Mapping[str, Num]:
        """See `sim.system.engine.Engine`."""
        return self.cost.area_um2

    def stored_bits(self) -> tuple[Num, Num]:
        """Bits of a weight in memory as images have them, padding of words included, and its share of what a group
        has.
        """
        streams, group = self._plain.inventory.streams, self.p["group"]
        per_word = self.p["n"] * self.spec.layer_outputs(self.p) * self.spec.layer_k(self.p)
        codes, sides = streams["weights"], streams["weight_sides"]
        scaled = self.p["n"] * self.spec.layer_outputs(self.p) * np.maximum(group, 1)
        # Scales of whole rows are few.
        side = np.where(np.asarray(group) > 0, sides.there * sides.padded_bits / scaled, 0.0)
        return codes.padded_bits / per_word * self.passes, side * self.passes

    def check(self, role: str, m: int, n: int, k: int) -> None:
        """Raise `HwgenError` for a product of one design that its counters, addresses or sums do not hold."""
        assert self.design is not None
        if (m, n, k) not in self._checked:
            self._checked.add((m, n, k))
            layer = Layer(role, m, n, int(self._inner(k)))
            Schedule(self.design.tile, layer)
            for holds, text in self._plain.limits(layer):
                if not np.all(holds):
                    raise HwgenError(f"system: {text.format(**{**self.p, **self.d})}")

    def job(self, table: Table, place: int) -> Job:
        """The job of a product on the first of the designs, in no place."""
        return Job(**{name: int(table[f"job_{name}"][place, 0]) for name in _JOB})
