"""A model's matrix products on the compiled RTL of one accelerator, job by job.

Weights are packed once, as files that the simulation maps. A layer that is more than half of what is computed at once
is two jobs, so that both processes have work; the accelerator of which this is a model does one after the other, and
cycles are added up. Every part of a job's memory begins at a multiple of 4096 bytes: what a job takes then depends on
its shape alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from hwgen.accelerator import Design, Job, JobCycles, Memory, best_job, memory_acts, pack_acts, pack_weights
from hwgen.accelerator.design import PAGE_BYTES
from hwgen.errors import HwgenError
from hwgen.formats import QTensor
from hwgen.schedule import Layer, Schedule
from hwgen.simulators.bus import BusJob, BusResult, BusWorker, FilePart
from hwgen.verify import AcceleratorRun, CompiledAccelerator
from sim.epilogue import outputs
from sim.llm.cache import ImageCache, KvQuantiser
from sim.llm.forward import Cache, FloatCache
from sim.llm.operands import quantised, rows_of

__all__ = ["Count", "RtlProducts"]

WORKERS = 2
_SMALL = ("attn_k", "attn_v", "ffn_gate", "ffn_up")
"""Layers that are at most half of what is computed together."""


@dataclass(frozen=True)
class Count:
    """What jobs took: ``cycles`` by the testbench, ``predicted`` by `exact`, bytes over the bus; ``seconds`` of wall
    time in which the simulation ran, in all processes together. ``different`` are jobs whose cycles are not those
    predicted.
    """

    jobs: int = 0
    macs: int = 0
    cycles: int = 0
    predicted: int = 0
    different: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    seconds: float = 0.0

    def __add__(self, other: Count) -> Count:
        return Count(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))


@dataclass(frozen=True, eq=False)
class _Part:
    """Some outputs of a layer, and where the images of their weights lie in the file: offset and bytes by stream."""

    outputs: int
    images: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, eq=False)
class _Wanted:
    """A job to do: its layer, images of activations, and weights, packed or in the file."""

    schedule: Schedule
    acts: Mapping[str, np.ndarray]
    weights: Mapping[str, np.ndarray] | Mapping[str, tuple[int, int]]
    macs: int


class RtlProducts:
    """`Products` of an accelerator; made by `RtlProducts.running`."""

    def __init__(
        self,
        design: Design,
        memory: Memory,
        layers: Mapping[str, QTensor],
        folder: Path,
        quantiser: KvQuantiser | None = None,
    ) -> None:
        """Packs the weights [N, K] of ``layers`` into a file in ``folder``.

        ``quantiser`` writes keys and values; without one they are quantised in software.
        """
        self.design, self.memory, self.quantiser = design, memory, quantiser
        self.compiled = CompiledAccelerator(design)
        self.file = folder / "weights.bin"
        self._layers = dict(layers)
        self._parts: dict[str, list[_Part]] = {}
        self._plans: dict[tuple[int, int, int], tuple[Job, JobCycles]] = {}
        self._workers: list[BusWorker] = []
        self._threads: ThreadPoolExecutor | None = None
        self.count = Count()
        with self.file.open("wb") as file:
            for name, weights in layers.items():
                self._parts[name] = [self._packed(file, name, weights, rows) for rows in self._split(name, weights)]

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, design: Design, memory: Memory, layers: Mapping[str, QTensor], elements: int | None = None
    ) -> Iterator[RtlProducts]:
        """The products, with processes that run until the end of the context.

        ``elements``: a quantiser beside the accelerator writes keys and values, rows of up to so many values.
        """
        with tempfile.TemporaryDirectory(prefix="hwgen-llm-") as name, contextlib.ExitStack() as stack:
            quantiser = None
            if elements is not None:
                quantiser = stack.enter_context(KvQuantiser.running(design, memory, elements))
            products = cls(design, memory, layers, Path(name), quantiser)
            simulator = products.compiled.simulator
            products._workers = [stack.enter_context(simulator.worker()) for _ in range(WORKERS)]
            products._threads = stack.enter_context(ThreadPoolExecutor(WORKERS))
            yield products

    def take(self) -> Count:
        """What was counted since the last call."""
        found, self.count = self.count, Count()
        return found

    # ------------------------------------------------------------------ weights

    @cached_property
    def _columns(self) -> int:
        """Outputs of a block of columns."""
        return self.design.tile.n * int(self.design.tile.layer_outputs(self.design.tile.p))

    def _split(self, name: str, weights: QTensor) -> list[slice]:
        outputs = len(weights.codes)
        blocks = -(-outputs // self._columns)
        if name.rpartition(".")[2] in _SMALL or blocks < WORKERS:
            return [slice(0, outputs)]
        size = -(-blocks // WORKERS) * self._columns
        return [slice(start, min(start + size, outputs)) for start in range(0, outputs, size)]

    def _packed(self, file: BinaryIO, name: str, weights: QTensor, rows: slice) -> _Part:
        """Append the images of some rows to the file, each from a page on."""
        images: dict[str, tuple[int, int]] = {}
        schedule = self._schedule(name, 1, rows.stop - rows.start, weights.shape[1])
        for stream, image in pack_weights(self.design, schedule, rows_of(weights, rows)).items():
            at = file.tell()
            images[stream] = (at, len(image))
            file.write(image.tobytes())
            file.seek(_page(at + len(image)))
        return _Part(rows.stop - rows.start, images)

    # ------------------------------------------------------------------ products

    def linear(self, names: Sequence[str], x: Tensor) -> list[Tensor]:
        """See `Products`."""
        tokens, k = x.shape
        values = self._schedule(names[0], tokens, 1, k).whole_words(x.numpy())
        acts = memory_acts(self.design, values)
        images = pack_acts(self.design, self._schedule(names[0], tokens, 1, k), acts)
        jobs = [
            _Wanted(schedule, images, part.images, schedule.layer.macs)
            for name in names
            for part in self._parts[name]
            for schedule in [self._schedule(name, tokens, part.outputs, k)]
        ]
        runs = iter(zip(jobs, self._run(jobs), strict=True))
        found = []
        for name in names:
            own = [next(runs) for _ in self._parts[name]]
            found.append(self._finished(own, acts, self._layers[name]))
        return found

    def heads(self, acts: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
        """See `Products`."""
        spec, (m, k), n = self.design.tile, acts[0].shape, len(weights[0])
        schedule = self._schedule("head", m, n, k)
        q_acts = [memory_acts(self.design, schedule.whole_words(a.numpy())) for a in acts]
        q_weights = [quantised(spec, "head", w.numpy()) for w in weights]
        images = [pack_weights(self.design, schedule, w) for w in q_weights]
        return self.multiply(schedule, q_acts, images, q_weights, schedule.layer.macs)

    def cache(self, heads: int, size: int, room: int) -> Cache:
        """See `Products`."""
        if self.quantiser is None:
            return FloatCache(self, heads, size)
        return ImageCache(self, self.quantiser, heads, size, room)

    def multiply(
        self,
        schedule: Schedule,
        acts: Sequence[QTensor],
        images: Sequence[Mapping[str, np.ndarray]],
        weights: Sequence[QTensor],
        macs: int,
    ) -> list[Tensor]:
        """Products of one shape, float32 [M, N] each, with images of weights by stream; ``weights`` tells their scales.

        ``macs``: multiply-accumulates of one that are wanted, of those that the schedule has.
        """
        jobs = [
            _Wanted(schedule, pack_acts(self.design, schedule, a), image, macs)
            for a, image in zip(acts, images, strict=True)
        ]
        runs = self._run(jobs)
        return [self._finished([(job, run)], a, w) for job, run, a, w in zip(jobs, runs, acts, weights, strict=True)]

    def _schedule(self, name: str, m: int, n: int, k: int) -> Schedule:
        return Schedule(self.design.tile, Layer(name, m, n, k))

    def _finished(self, runs: Sequence[tuple[_Wanted, AcceleratorRun]], acts: QTensor, weights: QTensor) -> Tensor:
        """Outputs [T, N] float32 of the jobs that are a layer's."""
        jobs = [(job.schedule, run.results) for job, run in runs]
        return torch.from_numpy(outputs(self.design.tile, jobs, acts, weights))

    # ------------------------------------------------------------------ jobs

    def _plan(self, schedule: Schedule) -> tuple[Job, JobCycles]:
        layer = schedule.layer
        key = (layer.m, layer.n, layer.k)
        if key not in self._plans:
            self._plans[key] = best_job(self.design, schedule, self.memory)
        return self._plans[key]

    def _bus_job(self, wanted: _Wanted) -> tuple[Job, BusJob]:
        """A job with its addresses: activations, results and weights that come with it, then those of the file."""
        job, _ = self._plan(wanted.schedule)
        sizes = {name: beats * self.design.bus_bytes for name, beats in job.beats(self.design).items()}
        inside = {
            **wanted.acts,
            **{name: part for name, part in wanted.weights.items() if isinstance(part, np.ndarray)},
        }
        places, at = {}, 0
        for name in [*inside, "result"]:
            places[name] = at
            at = _page(at + sizes[name])
        image = np.zeros(at, np.uint8)
        for name, part in inside.items():
            image[places[name] : places[name] + len(part)] = part
        files = []
        for name, place in wanted.weights.items():
            if isinstance(place, tuple):
                places[name] = at
                files.append(FilePart(at, self.file, *place))
                at = _page(at + place[1])
        if at > 1 << self.design.address_bits:
            raise HwgenError(
                f"layer {wanted.schedule.layer.name}: its images must end within the {1 << self.design.address_bits} "
                f"bytes of the design's addresses, not at {at}; use --address-bits {(at - 1).bit_length()}"
            )
        job = dataclasses.replace(job, **places)
        return job, self.compiled.bus_job(job, image, self.memory, files)

    def _run(self, jobs: Sequence[_Wanted]) -> list[AcceleratorRun]:
        """Run jobs, shared among the processes by their predicted cycles."""
        if self._threads is None:
            raise HwgenError("RtlProducts: products must be asked for within RtlProducts.running")
        predicted = [self._plan(job.schedule)[1].cycles for job in jobs]
        loads: list[list[int]] = [[] for _ in self._workers]
        for index in sorted(range(len(jobs)), key=lambda index: -predicted[index]):
            min(loads, key=lambda load: sum(predicted[other] for other in load)).append(index)
        placed = [self._bus_job(job) for job in jobs]
        calls = [
            (load, self._threads.submit(worker.run_many, [placed[index][1] for index in load]))
            for load, worker in zip(loads, self._workers, strict=True)
            if load
        ]
        found: dict[int, BusResult] = {}
        for load, call in calls:
            found |= dict(zip(load, call.result(), strict=True))
        runs = []
        for index, wanted in enumerate(jobs):
            run = self.compiled.observed(wanted.schedule, placed[index][0], found[index])
            runs.append(run)
            self.count += Count(
                jobs=1,
                macs=wanted.macs,
                cycles=run.cycles,
                predicted=predicted[index],
                different=int(run.cycles != predicted[index]),
                read_bytes=sum(run.read_beats.values()) * self.design.bus_bytes,
                written_bytes=run.write_beats * self.design.bus_bytes,
                seconds=run.seconds,
            )
        return runs


def _page(at: int) -> int:
    """The multiple of a page that is not below."""
    return -(-at // PAGE_BYTES) * PAGE_BYTES
