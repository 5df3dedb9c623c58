"""Run jobs on the emitted Verilog of a quantiser, compiled, and write its self-checking bench."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from hwgen.accelerator import Design, Memory
from hwgen.accelerator.quantiser import (
    MOST_ELEMENTS,
    QUANTISER_MAGIC,
    Kind,
    QuantiserEmission,
    QuantiserJob,
    cache_bytes,
    cache_job,
    emit_quantiser,
    token_images,
)
from hwgen.accelerator.quantiser.quantiser import MERGE_ID, ROW_ID
from hwgen.simulators.bus import BusJob, BusSim, MemoryModel, Op, Read, Start, WaitIrq, Write, build_bus, bus_ports
from hwgen.verify._bus_bench import BenchJob, bus_bench_files

__all__ = ["CompiledQuantiser", "quantiser_bench_files"]

_SEED = 1


class CompiledQuantiser:
    """A quantiser's Verilog as a compiled program. The first use builds it or finds it in the cache."""

    def __init__(
        self, design: Design, emission: QuantiserEmission | None = None, elements: int = MOST_ELEMENTS
    ) -> None:
        self.design = design
        self.emission = emission or emit_quantiser(design, elements=elements)
        self.at = {register.name: register.offset for register in self.emission.registers.registers}

    @cached_property
    def simulator(self) -> BusSim:
        """The program; built on first use."""
        design, emission = self.design, self.emission
        ports = bus_ports(design.bus_bits, design.address_bits, design.id_bits, design.id_bits)
        return build_bus(emission.verilog, emission.top, ports, id_bits=max(ROW_ID, MERGE_ID).bit_length())

    def script(self, job: QuantiserJob, limit: int = 1_000_000) -> list[Op]:
        """Register accesses that run one job, read STATUS, ERROR and ROWS_LEFT, and clear the first."""
        at = self.at
        return [
            *(Write(offset, value) for offset, value in self.emission.job_words(job)),
            Start(at["CONTROL"], 0x101),
            WaitIrq(limit),
            *(Read(at[name]) for name in ("STATUS", "ERROR", "ROWS_LEFT")),
            Write(at["STATUS"], 0x300),
        ]

    def bus_job(
        self,
        job: QuantiserJob,
        image: np.ndarray,
        memory: Memory,
        keep: Sequence[tuple[int, int]] | None = None,
        limit: int = 1_000_000,
    ) -> BusJob:
        """What runs a job from reset in the memory ``image``, uint8; ``keep`` as that of `BusJob`."""
        model = MemoryModel(latency=memory.latency, beats=memory.beats)
        return BusJob(self.script(job, limit), image, model, keep=keep)


def quantiser_bench_files(emission: QuantiserEmission) -> dict[str, str]:
    """Files of `bus_bench_files`: keys on both sides of a block's edge, values, and a value that comes later.

    The last one has an odd index, so that codes of 4 bits share their bytes with those that are there.
    """
    design, form = emission.design, emission.geometry
    limit = min(emission.elements, form.group or emission.elements)
    elements = min(max(form.n, form.k) + 1, limit)
    rng = np.random.default_rng(_SEED)
    keys, values = (rng.standard_normal((rows, elements)).astype(np.float32) for rows in (2, 4))
    first, tokens = form.n - 1, form.n + 1
    room = max(tokens, len(values))
    place = {}
    end = 0
    sizes = {
        "keys": keys.size * 4 + design.bus_bytes * len(keys),
        "values": values.size * 4 + design.bus_bytes * len(values),
        **{f"K {name}": size for name, size in cache_bytes(design, Kind.K, elements, tokens).items()},
        **{f"V {name}": size for name, size in cache_bytes(design, Kind.V, elements, room).items()},
    }
    for name, size in sizes.items():
        place[name] = end
        end += -(-size // design.bus_bytes) * design.bus_bytes
    memory = np.zeros(end, np.uint8)
    jobs = []
    for kind, rows, at, start, count, held in (
        (Kind.K, keys, place["keys"], 0, len(keys), tokens),
        (Kind.V, values, place["values"], 0, 3, room),
        (Kind.V, values, place["values"], 3, 1, room),
    ):
        token = first if kind == Kind.K else start
        job = cache_job(design, kind, count, elements, token, held)
        stride = job.source_stride
        for row in range(start, start + count):
            memory[at + row * stride : at + row * stride + 4 * elements] = rows[row].view(np.uint8)
        name = kind.name
        job = dataclasses.replace(
            job, source=at + start * stride, codes=place[f"{name} codes"], scales=place[f"{name} scales"]
        )
        written = rows[: start + count]
        images = token_images(design, kind, written, first if kind == Kind.K else 0, held)
        after = [(place[f"{name} {part}"], image) for part, image in images.items()]
        jobs.append(BenchJob(emission.job_words(job), after))
    about = f"{len(jobs)} jobs of rows of {elements} values"
    return bus_bench_files(emission, QUANTISER_MAGIC, jobs, memory, about, writes_bytes=True)
