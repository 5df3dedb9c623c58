"""The best job of each layer on many designs at once: array code over layers and designs, by the closed form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from hwgen.accelerator import inventory
from hwgen.accelerator.closed import closed_job_cycles
from hwgen.accelerator.compiled import Forms, best_jobs, total_jobs
from hwgen.accelerator.design import Design
from hwgen.accelerator.exact import JobCycles, Memory, exact
from hwgen.accelerator.geometry import Geometry, StreamGeometry, job_arrays
from hwgen.accelerator.job import ADDRESSES, FLAGS, Job
from hwgen.accelerator.plan import choices, image_addresses, layer_counts, layer_jobs, placed
from hwgen.accelerator.points import Points
from hwgen.frame.numbers import Num, ceil_div, maximum, where
from hwgen.frame.spec import TileSpec
from hwgen.schedule import Layer, Schedule

__all__ = ["BestJobs", "DesignArrays", "walked_jobs"]

P = Mapping[str, Any]

_MOST = float(1 << 52)
"""Cycles below which the closed form, which reckons in floating point, counts each of them."""
_OF_A_BURST = 8.0
"""More cycles than a burst takes beside the memory's latency and its beats."""
_NEAR = 1.25
"""Jobs whose closed form is so near to the best one's are walked: few differ from it by as much."""


def walked_jobs(
    design: Design, schedule: Schedule, memory: Memory, orders: Sequence[int] = (0, 1), *, every: bool = False
) -> list[tuple[Job, JobCycles]]:
    """Jobs of a layer with their exact cycles, the best first: those that may be the best, or all legal ones."""
    jobs = [placed(design, job)[0] for job in layer_jobs(design, schedule) if job.order in orders]
    if not every:
        near = closed_job_cycles(Geometry.of(design), job_arrays(jobs), memory.latency, *memory.beats).cycles
        jobs = [job for job, cycles in zip(jobs, near, strict=True) if cycles <= _NEAR * near.min()]
    walked = [(job, exact(design, job, memory)) for job in jobs]
    walked.sort(key=lambda one: (one[1].cycles, sum(one[1].read_beats.values())))
    return walked


@dataclass(frozen=True)
class BestJobs:
    """The legal job of each layer that takes the fewest cycles on each design; arrays [layers, designs].

    ``job``: fields of `Job` by name, images one after the other in memory from address 0. Of jobs that take as long it
    is the one that reads least, of those the first. ``cycles``, ``exact``, ``regime``: as `ClosedCycles`.
    """

    job: Mapping[str, np.ndarray]
    cycles: np.ndarray
    exact: np.ndarray
    regime: np.ndarray


@dataclass(frozen=True)
class DesignArrays:
    """Accelerators around tiles of a family, each with a memory: as many as scalars and arrays broadcast to.

    ``p``, ``d``: parameters of tile and design; names are scalars. ``latency``, and ``share`` beats in ``cycles``:
    those of `hwgen.accelerator.Memory`. ``points``: those of a mesh over which the numbers broadcast; designs are then
    as many as these. ``apart``: ``share`` and ``cycles`` are [layers, designs] all the same.
    """

    spec: type[TileSpec]
    p: P
    d: P
    latency: Num
    share: Num = 1
    cycles: Num = 1
    points: Points | None = None
    apart: bool = False

    def with_memory(self, share: Num, cycles: Num, apart: bool) -> DesignArrays:
        """The same designs with another share of the beats."""
        return self._with(share=share, cycles=cycles, apart=apart)

    def part(self, which: slice) -> DesignArrays:
        """Some of the points."""
        assert self.points is not None
        return self._with(points=self.points.part(which))

    def _with(self, **changes: Any) -> DesignArrays:
        found = replace(self, **changes)
        # Of the mesh, which is the same.
        found.__dict__.update(inventory=self.inventory, geometry=self.geometry)
        return found

    @cached_property
    def each(self) -> DesignArrays:
        """The same designs as numbers of one dimension."""
        if (of := self.points) is None:
            return self
        # Numbers of memories may have layers before the designs.
        beats = (self.share, self.cycles) if self.apart else (of.rows(self.share), of.rows(self.cycles))
        return DesignArrays(self.spec, of.of_all(self.p), of.of_all(self.d), of(self.latency), *beats)

    @cached_property
    def inventory(self) -> inventory.Geometry:
        """Widths and depths."""
        return inventory.geometry(self.spec, self.p, self.d)

    @cached_property
    def geometry(self) -> Geometry:
        """What of them the cycles depend on."""
        return Geometry.over(self.spec, self.p, self.d, self.inventory)

    def counts(self, m: Num, n: Num, k: Num) -> dict[str, Num]:
        """Counts of jobs of layers."""
        return layer_counts(self.spec, self.p, m, n, k)

    def limits(self, layer: Layer) -> Iterator[tuple[Any, str]]:
        """Pairs (holds, sentence): what a layer must be for its jobs to be described, counted and placed."""
        # Floats: what is too large may be too large for 64 bits.
        counts = self.counts(*(np.float64(size) for size in (layer.m, layer.n, layer.k)))
        fits: Any = True
        for count in counts.values():
            fits = fits & (count < 2.0 ** self.d["count_bits"])
        yield fits, f"blocks, steps and groups must be less than 2^count_bits ({layer.name})"
        yield self._most_cycles(counts) * layer.count < _MOST, f"cycles must fit 52 bits ({layer.name})"
        _, end = self._addresses(counts)
        yield end <= 2.0 ** self.d["address_bits"], f"images and results must fit address_bits ({layer.name})"

    def _most_cycles(self, counts: P) -> Num:
        """More cycles than any job takes: every step reads entries of its own, each beat in a burst of its own."""
        g = self.geometry
        beats = sum((stream.there * stream.beats for stream in g.streams.values()), start=0)
        beat = self.cycles / self.share + self.latency + _OF_A_BURST
        step = g.step + g.fold + g.busy + (beats + g.beats * g.made * g.per_word) * beat
        return counts["m_blocks"] * counts["n_blocks"] * counts["k_steps"] * step

    def _addresses(self, counts: P) -> tuple[dict[str, Num], Num]:
        """Where images and results begin, and where they end."""
        beats = Job(**counts).image_beats(self.inventory.streams)
        return image_addresses({**beats, "result": self._written_beats(counts)}, self.d["bus_bits"] // 8)

    def _written_beats(self, counts: P) -> Num:
        g = self.geometry
        sums = where(g.sum_steps > 0, ceil_div(counts["k_steps"], maximum(g.sum_steps, 1)), 1)
        results = counts["m_blocks"] * counts["n_blocks"] * where(g.every > 0, sums, 1)
        return ceil_div(results * g.beats * g.made, g.gathers) * g.per_word

    def best(self, layers: Sequence[Layer], orders: Sequence[int] = (0, 1)) -> BestJobs:
        """The best jobs, in one of the ``orders``; arrays of ``p``, ``d`` and memory have one dimension."""
        m, n, k = np.array([(layer.m, layer.n, layer.k) for layer in layers]).T[..., np.newaxis]
        return self.best_of_sizes(m, n, k, orders)

    def best_of_sizes(self, m: Num, n: Num, k: Num, orders: Sequence[int] = (0, 1)) -> BestJobs:
        """The same of sizes [layers, 1] or [layers, designs]; ``share`` and ``cycles`` may have that shape too."""
        if self.points is not None:
            return self.each.best_of_sizes(m, n, k, orders)
        counts, shape = self.counts(m, n, k), self._shape(m, n, k)
        memory = self.latency, self.share, self.cycles
        fast = best_jobs(self.geometry, counts, memory, shape, orders)
        if fast is None:
            return self.best_by_arrays(m, n, k, orders)
        job = {name: np.broadcast_to(value, shape) for name, value in counts.items()}
        job |= {name: fast[name] for name in (*ADDRESSES, *FLAGS)}
        return BestJobs(job, fast["cycles"], fast["exact"] > 0, fast["regime"])

    def best_forms(
        self,
        m: Num,
        n: Num,
        k: Num,
        orders: Sequence[int],
        forms: Forms,
        wanted: Sequence[str],
        threads: int | None = None,
    ) -> dict[str, np.ndarray] | None:
        """Of the best jobs of sizes as of `best_of_sizes` what is ``wanted`` (``cycles``, ``exact``, ``regime``,
        `FLAGS`), and ``forms`` of their counts, by name; None where the compiled kernel cannot say.
        """
        known: dict[str, Any] = {"points": self.points, "forms": forms, "wanted": wanted, "threads": threads}
        apart = self.apart or any(np.shape(size)[1:] not in ((), (1,)) for size in (m, n, k))
        if self.points is None or not apart:
            counts, shape = self._of_layers(m, n, k)
            return best_jobs(self.geometry, counts, (self.latency, self.share, self.cycles), shape, orders, **known)
        each = self.each
        memory, shape = (each.latency, each.share, each.cycles), np.broadcast_shapes(each._shape(m, n, k), (1, 1))
        return best_jobs(self.geometry, each.counts(m, n, k), memory, shape, orders, apart=True, **known)

    def total_forms(
        self, m: Num, n: Num, k: Num, times: np.ndarray, orders: Sequence[int], forms: Forms
    ) -> dict[str, np.ndarray] | None:
        """What the best jobs of sizes [layers, 1], ``times`` [layers] each, take together, as
        `hwgen.accelerator.compiled.total_jobs` has it; None where the compiled kernel cannot say.
        """
        counts, (_, designs) = self._of_layers(m, n, k)
        memory = self.latency, self.share, self.cycles
        return total_jobs(self.geometry, counts, memory, times, designs, orders, forms, points=self.points)

    def _of_layers(self, m: Num, n: Num, k: Num) -> tuple[dict[str, Num], tuple[int, int]]:
        """Counts of jobs of sizes [layers, 1], over the mesh where there is one, and how many layers and designs."""
        if self.points is None:
            shape = self._shape(m, n, k)
            return self.counts(m, n, k), (shape[0], shape[-1])
        across = (len(np.asarray(m)),) + (1,) * len(self.points.shape)
        counts = self.counts(*(np.asarray(size).reshape(across) for size in (m, n, k)))
        return counts, (across[0], self.points.count)

    def best_by_arrays(self, m: Num, n: Num, k: Num, orders: Sequence[int] = (0, 1)) -> BestJobs:
        """The same without the compiled kernel, which is equal to it."""
        counts, shape = self.counts(m, n, k), self._shape(m, n, k)
        places, _ = self._addresses(counts)
        found = {name: np.zeros(shape, np.int64) for name in (*FLAGS, "cycles", "reads", "exact", "regime")}
        found["cycles"][...] = np.iinfo(np.int64).max
        for of, values in self._tried(counts, places, shape, orders):
            cycles, old = values["cycles"], of(found["cycles"])
            better = (cycles < old) | ((cycles == old) & (values["reads"] < of(found["reads"])))
            of.put(found, values, better)
        whole = {name: np.broadcast_to(value, shape) for name, value in {**counts, **places}.items()}
        flags_found = {name: found[name] for name in FLAGS}
        return BestJobs({**whole, **flags_found}, found["cycles"], found["exact"] > 0, found["regime"])

    def all_of_sizes(
        self, m: Num, n: Num, k: Num, orders: Sequence[int] = (0, 1)
    ) -> Iterator[tuple[dict[str, int], dict[str, np.ndarray]]]:
        """Each combination of flags, and ``cycles`` and ``reads`` (bus beats) of `best_of_sizes` by it; cycles are 0
        where it is not legal.
        """
        counts, shape = self.counts(m, n, k), self._shape(m, n, k)
        places, _ = self._addresses(counts)
        for of, values in self._tried(counts, places, shape, orders):
            found = {name: np.zeros(shape, np.int64) for name in ("cycles", "reads")}
            of.put(found, {name: values[name] for name in found}, np.ones_like(values["cycles"], dtype=bool))
            yield {name: values[name] for name in FLAGS}, found

    def _shape(self, *sizes: Num) -> tuple[int, ...]:
        """Layers and designs."""
        designs = np.broadcast_shapes(
            *(np.shape(value) for value in (*self.p.values(), *self.d.values(), self.latency))
        )
        # Scalars are one design.
        of_memory = np.broadcast_shapes(np.shape(self.share), np.shape(self.cycles))
        return np.broadcast_shapes(*(np.shape(one) for one in sizes), designs or (1,), of_memory)

    def _tried(
        self, counts: P, places: P, shape: tuple[int, ...], orders: Sequence[int]
    ) -> Iterator[tuple[_Picked, dict[str, Any]]]:
        """By flags the pairs of a layer and a design for which they are legal, and what jobs take there."""
        streams, job = self.inventory.streams, {**counts, **places}
        for flags in choices():
            if flags["order"] not in orders:
                continue
            asked = Job(**counts, **flags)
            legal = np.broadcast_to(asked.fits(streams), shape)
            if not legal.any():
                continue
            # Those that may be done so, as one row of pairs of a layer and a design.
            of = _Picked(None if legal.all() else np.flatnonzero(legal), shape)
            took = closed_job_cycles(
                of.geometry(self.geometry),
                {**{name: of(value) for name, value in job.items()}, **flags},
                of(self.latency),
                of(self.share),
                of(self.cycles),
            )
            reads = of(sum(asked.read_beats(streams).values(), start=0))
            cycles, reads = np.broadcast_arrays(took.cycles, reads)
            yield of, {"cycles": cycles, "reads": reads, "exact": took.exact, "regime": took.regime, **flags}


class _Picked:
    """Some of the pairs of a layer and a design, by their places; all of them, as they are, for ``places`` None."""

    def __init__(self, places: np.ndarray | None, shape: tuple[int, ...]) -> None:
        self.places, self.shape = places, shape

    def __call__(self, value: Num) -> Num:
        """Their values of what broadcasts over all pairs."""
        if self.places is None or np.ndim(value) == 0:
            return value
        return np.broadcast_to(value, self.shape).reshape(-1)[self.places]

    def geometry(self, g: Geometry) -> Geometry:
        """Their geometry."""
        if self.places is None:
            return g
        streams = {
            name: StreamGeometry(*(self(getattr(stream, one.name)) for one in fields(StreamGeometry)))
            for name, stream in g.streams.items()
        }
        return Geometry(
            streams, **{one.name: self(getattr(g, one.name)) for one in fields(Geometry) if one.name != "streams"}
        )

    def put(self, into: Mapping[str, np.ndarray], values: Mapping[str, Any], where: np.ndarray) -> None:
        """Write ``values`` where they are wanted."""
        places = np.flatnonzero(where) if self.places is None else self.places[where]
        for name, value in values.items():
            full = np.broadcast_to(value, where.shape).reshape(-1)[np.flatnonzero(where)]
            into[name].reshape(-1)[places] = full
