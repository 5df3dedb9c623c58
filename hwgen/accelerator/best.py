"""The best job of each layer on many designs at once: array code over layers and designs, by the closed form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from hwgen.accelerator import inventory
from hwgen.accelerator.closed import closed_job_cycles
from hwgen.accelerator.geometry import Geometry, StreamGeometry
from hwgen.accelerator.job import FLAGS, Job
from hwgen.accelerator.plan import choices, image_addresses, layer_counts
from hwgen.frame.numbers import Num, ceil_div, maximum, where
from hwgen.frame.spec import TileSpec
from hwgen.schedule import Layer

__all__ = ["BestJobs", "DesignArrays"]

P = Mapping[str, Any]

_MOST = float(1 << 52)
"""Cycles below which the closed form, which reckons in floating point, counts each of them."""
_OF_A_BURST = 8.0
"""More cycles than a burst takes beside the memory's latency and its beats."""


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
    those of `hwgen.accelerator.Memory`.
    """

    spec: type[TileSpec]
    p: P
    d: P
    latency: Num
    share: Num = 1
    cycles: Num = 1

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
        sizes = np.array([(layer.m, layer.n, layer.k) for layer in layers]).T[..., np.newaxis]
        counts = self.counts(*sizes)
        streams = self.inventory.streams
        designs = np.broadcast_shapes(
            *(np.shape(value) for value in (*self.p.values(), *self.d.values(), self.latency))
        )
        shape = (len(layers), *(designs or (1,)))
        places, _ = self._addresses(counts)
        job = {**counts, **places}
        found = {name: np.zeros(shape, np.int64) for name in (*FLAGS, "cycles", "reads", "exact", "regime")}
        found["cycles"][...] = np.iinfo(np.int64).max
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
            values = {"cycles": took.cycles, "reads": reads, "exact": took.exact, "regime": took.regime, **flags}
            old = of(found["cycles"])
            better = (took.cycles < old) | ((took.cycles == old) & (reads < of(found["reads"])))
            of.put(found, values, better)
        whole = {name: np.broadcast_to(value, shape) for name, value in job.items()}
        flags_found = {name: found[name] for name in FLAGS}
        return BestJobs({**whole, **flags_found}, found["cycles"], found["exact"] > 0, found["regime"])


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
