"""Keys and values in memory: rows that the quantiser's RTL writes as the weight images that the accelerator reads.

The images of a head have room for all tokens of a generation. A job of QKᵀ reads the blocks of columns that tokens have
come to; one of PV reads the whole stride of the image of V, with probabilities of 0 for tokens that did not come yet.
Every part of a quantiser's memory begins at a multiple of 4096 bytes: what a job takes then depends on its shape alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hwgen.accelerator import Design, Memory, memory_acts, pack_weights
from hwgen.accelerator.design import PAGE_BYTES
from hwgen.accelerator.quantiser import (
    MOST_ELEMENTS,
    Kind,
    QuantiserCause,
    QuantiserCycles,
    QuantiserDesign,
    QuantiserJob,
    block_bytes,
    cache_bytes,
    cache_job,
    geometry,
    quantiser_cycles,
)
from hwgen.errors import HwgenError
from hwgen.formats import QTensor
from hwgen.schedule import Layer, Schedule
from hwgen.simulators.bus import BusWorker
from hwgen.verify import CompiledQuantiser
from sim.llm.operands import in_groups, unscaled

__all__ = ["ImageCache", "KvQuantiser", "QuantiserCount", "check_quantiser"]


@dataclass(frozen=True)
class QuantiserCount:
    """What jobs of the quantiser took: ``cycles`` by the testbench, ``predicted`` by `quantiser_cycles`; ``seconds`` of
    wall time in which it was simulated. ``different`` are jobs whose cycles are not those predicted.
    """

    jobs: int = 0
    rows: int = 0
    cycles: int = 0
    predicted: int = 0
    different: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    seconds: float = 0.0

    def __add__(self, other: QuantiserCount) -> QuantiserCount:
        return QuantiserCount(
            *(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True))
        )


def check_quantiser(design: Design, size: int, room: int) -> int:
    """Values for which the rows of a quantiser must have room, for heads of ``size`` and ``room`` tokens.

    Raises `HwgenError` where a design has no quantiser, or its jobs cannot be that large.
    """
    made = QuantiserDesign(design=design, elements=max(MOST_ELEMENTS, size))
    for kind in Kind:
        cache_job(design, kind, room, size, 0, room)
    return made.elements


class KvQuantiser:
    """The compiled quantiser of a design, in a process of its own; made by `KvQuantiser.running`."""

    def __init__(self, design: Design, memory: Memory, elements: int) -> None:
        """For rows of up to ``elements`` values, in a memory of that speed."""
        self.design, self.memory, self.elements = design, memory, elements
        self.compiled = CompiledQuantiser(design, elements=elements)
        self._worker: BusWorker | None = None
        self._known: dict[QuantiserJob, QuantiserCycles] = {}
        self.count = QuantiserCount()

    @classmethod
    @contextlib.contextmanager
    def running(cls, design: Design, memory: Memory, elements: int) -> Iterator[KvQuantiser]:
        """The quantiser, whose process runs until the end of the context."""
        found = cls(design, memory, elements)
        with found.compiled.simulator.worker() as worker:
            found._worker = worker
            yield found

    def take(self) -> QuantiserCount:
        """What was counted since the last call."""
        found, self.count = self.count, QuantiserCount()
        return found

    def write(self, rows: Sequence[_Rows]) -> None:
        """Quantise rows, each into its images, which are then as memory is after the job."""
        if self._worker is None:
            raise HwgenError("KvQuantiser: rows must be written within KvQuantiser.running")
        placed = [one.placed(self.design) for one in rows]
        jobs = [
            self.compiled.bus_job(
                job, memory, self.memory, [(job.codes, len(one.codes)), (job.scales, len(one.scales))]
            )
            for one, (job, memory) in zip(rows, placed, strict=True)
        ]
        for one, (job, _), result in zip(rows, placed, self._worker.run_many(jobs), strict=True):
            status, error, _ = (int(value) for value in result.reads)
            if status & 0x200:
                cause = QuantiserCause(error).name
                raise HwgenError(f"{self.compiled.emission.top}: the job must end without an error, not with {cause}")
            one.codes[:], one.scales[:] = result.memory
            cycles, predicted = int(result.irq_cycles[0]), self._predicted(job)
            self.count += QuantiserCount(
                jobs=1,
                rows=job.rows,
                cycles=cycles,
                predicted=predicted.cycles,
                different=int(cycles != predicted.cycles),
                read_bytes=int(result.r_beats.sum()) * self.design.bus_bytes,
                written_bytes=result.w_beats * self.design.bus_bytes,
                seconds=result.seconds,
            )

    def _predicted(self, job: QuantiserJob) -> QuantiserCycles:
        if job not in self._known:
            self._known[job] = quantiser_cycles(self.design, job, self.memory, self.elements)
        return self._known[job]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows [rows, size] float32 of a head, the token that the first is, and the images that take them."""

    kind: Kind
    values: np.ndarray
    first_token: int
    room: int
    codes: np.ndarray
    scales: np.ndarray

    def placed(self, design: Design) -> tuple[QuantiserJob, np.ndarray]:
        """The job with its addresses, and the memory before it, uint8."""
        count, size = self.values.shape
        job = cache_job(design, self.kind, count, size, self.first_token, self.room)
        places, at = [], 0
        for length in (count * job.source_stride, len(self.codes), len(self.scales)):
            places.append(at)
            at = -(-(at + length) // PAGE_BYTES) * PAGE_BYTES
        memory = np.zeros(at, np.uint8)
        source = memory[: count * job.source_stride].reshape(count, -1)
        source[:, : 4 * size] = np.ascontiguousarray(self.values).view(np.uint8)
        for place, image in zip(places[1:], (self.codes, self.scales), strict=True):
            memory[place : place + len(image)] = image
        return dataclasses.replace(job, source=places[0], codes=places[1], scales=places[2]), memory


class Multiplies(Protocol):
    """Who runs jobs of the accelerator on images of weights (`RtlProducts`)."""

    @property
    def design(self) -> Design: ...

    def multiply(
        self,
        schedule: Schedule,
        acts: Sequence[QTensor],
        images: Sequence[Mapping[str, np.ndarray]],
        weights: Sequence[QTensor],
        macs: int,
    ) -> list[Tensor]: ...


class ImageCache:
    """`Cache` of a block: images that the quantiser writes and the accelerator reads."""

    def __init__(self, products: Multiplies, quantiser: KvQuantiser, heads: int, size: int, room: int) -> None:
        """Empty images, all zeros, for ``room`` tokens of ``heads`` heads."""
        self._products, self._quantiser, self._size, self._room = products, quantiser, size, room
        self._form = geometry(products.design)
        self._context = 0
        # By kind and head: codes and scales.
        self._images = {
            kind: [
                {name: np.zeros(bytes_, np.uint8) for name, bytes_ in self._bytes(kind).items()} for _ in range(heads)
            ]
            for kind in Kind
        }

    def _bytes(self, kind: Kind) -> dict[str, int]:
        return cache_bytes(self._products.design, kind, self._size, self._room)

    def append(self, keys: Tensor, values: Tensor) -> None:
        """See `Cache`."""
        self._quantiser.write(
            [
                _Rows(kind, rows.numpy(), self._context, self._room, **images)
                for kind, heads in ((Kind.K, keys), (Kind.V, values))
                for rows, images in zip(heads, self._images[kind], strict=True)
            ]
        )
        self._context += keys.shape[1]

    def scores(self, queries: Tensor) -> Tensor:
        """See `Cache`."""
        design, context = self._products.design, self._context
        tile = design.tile
        schedule = Schedule(tile, Layer("scores", queries.shape[1], context, self._size))
        blocks = schedule.col_blocks
        images, weights = [], []
        for one in self._images[Kind.K]:
            image = {"weights": one["codes"][: blocks * block_bytes(design, Kind.K, self._size, self._room)]}
            if self._form.sides:
                image["weight_sides"] = one["scales"][: blocks * self._form.side_bytes]
            images.append(image)
            # Codes are the image's business: what follows the tile looks at scales alone.
            blank = np.zeros((context, self._size), np.uint32)
            weights.append(in_groups(tile, blank, self._scales(one["scales"], self._form.sides)))
        acts = [memory_acts(design, schedule.whole_words(rows.numpy())) for rows in queries]
        return torch.stack(self._products.multiply(schedule, acts, images, weights, schedule.layer.macs))

    def mixed(self, shares: Tensor) -> Tensor:
        """See `Cache`."""
        tile = self._products.design.tile
        schedule = Schedule(tile, Layer("mixed", shares.shape[1], self._size, self._room))
        weights = unscaled(tile, np.zeros((self._size, self._room), np.uint32))
        sides = {
            name: image
            for name, image in pack_weights(self._products.design, schedule, weights).items()
            if name == "weight_sides"
        }
        images, acts = [], []
        for one, rows in zip(self._images[Kind.V], shares, strict=True):
            images.append({"weights": one["codes"], **sides})
            codes = self._scales(one["scales"], False)
            scaled = rows * torch.from_numpy(self._form.scale.decode(codes).astype(np.float32))
            padded = functional.pad(scaled, (0, self._room - self._context))
            acts.append(memory_acts(self._products.design, schedule.whole_words(padded.numpy())))
        macs = shares.shape[1] * self._size * self._context
        return torch.stack(self._products.multiply(schedule, acts, images, [weights] * len(acts), macs))

    def _scales(self, image: np.ndarray, sides: bool) -> np.ndarray:
        """Codes of the scales of the tokens that have come, uint32 [context], from memory."""
        form = self._form
        if sides:
            words = image.reshape(-1, form.side_bytes)[:, : form.n * form.scale_bytes]
            image = np.ascontiguousarray(words).reshape(-1)
        return image[: self._context * form.scale_bytes].view(f"<u{form.scale_bytes}").astype(np.uint32)
