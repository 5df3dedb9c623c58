"""From a layer to jobs: which orders and residencies are legal, which is best, and where everything lies in memory."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from hwgen.accelerator.design import Design
from hwgen.accelerator.exact import JobCycles, Memory, exact
from hwgen.accelerator.job import ADDRESSES, FLAGS, Job
from hwgen.errors import HwgenError
from hwgen.frame.numbers import Num, ceil_div, maximum, where
from hwgen.frame.spec import TileSpec
from hwgen.schedule import Schedule

__all__ = ["best_job", "choices", "image_addresses", "layer_counts", "layer_jobs", "placed"]


P = Mapping[str, Any]


def layer_counts(spec: type[TileSpec], p: P, m: Num, n: Num, k: Num) -> dict[str, Num]:
    """Counts of a layer's jobs on tiles of a family; scalars or arrays."""
    return {
        "m_blocks": ceil_div(m, p["m"]),
        "n_blocks": ceil_div(n, p["n"] * spec.layer_outputs(p)),
        "k_steps": ceil_div(k, spec.layer_k(p)),
        "k_groups": where(p["group"] > 0, ceil_div(k, maximum(p["group"], 1)), 1),
    }


def choices() -> Iterator[dict[str, int]]:
    """Flags of a layer's jobs, legal ones and others: both orders, and each operand held or read again."""
    for values in itertools.product((0, 1), repeat=len(FLAGS)):
        yield dict(zip(FLAGS, values, strict=True))


def layer_jobs(design: Design, schedule: Schedule) -> Iterator[Job]:
    """Every legal job for a layer. Nowhere in memory yet.

    Raises `HwgenError` where a count of the layer has more bits than the design's counters.
    """
    tile, layer = design.tile, schedule.layer
    counts = {name: int(one) for name, one in layer_counts(type(tile), tile.p, layer.m, layer.n, layer.k).items()}
    largest = max(counts.values())
    if largest >= 1 << design.count_bits:
        name = max(counts, key=lambda name: counts[name])
        raise HwgenError(
            f"layer {layer.name}: {name} must be less than {1 << design.count_bits}, which count_bits "
            f"({design.count_bits}) hold, not {largest}; use --count-bits {largest.bit_length()}"
        )
    for flags in choices():
        job = Job(**counts, **flags)
        if job.fits(design.streams):
            yield job


def best_job(design: Design, schedule: Schedule, memory: Memory) -> tuple[Job, JobCycles]:
    """The legal job that takes the fewest cycles; of several the one that reads least."""
    found = [(job, exact(design, job, memory)) for job in layer_jobs(design, schedule)]
    return min(found, key=lambda pair: (pair[1].cycles, sum(pair[1].read_beats.values())))


def image_addresses(beats: Mapping[str, Num], bus_bytes: Num, base: int = 0) -> tuple[dict[str, Num], Num]:
    """Where images and results of so many bus beats begin, one after the other, and where they end; scalars or arrays.

    What has no beats has no place, and address 0.
    """
    at = ceil_div(base, bus_bytes) * bus_bytes
    found = {}
    for name in ADDRESSES:
        if name in beats:
            found[name] = where(beats[name] > 0, at, 0)
            at = at + beats[name] * bus_bytes
    return found, at


def placed(design: Design, job: Job, base: int = 0) -> tuple[Job, int]:
    """A job with its images and results one after the other from ``base``, each from a bus beat; and where they end.

    Raises `HwgenError` where they do not fit the design's addresses.
    """
    addresses, at = image_addresses(job.beats(design), design.bus_bytes, base)
    if at > 1 << design.address_bits:
        raise HwgenError(
            f"job: its images and results must end within the {1 << design.address_bits} bytes of the design's "
            f"addresses, not at {at}; use --address-bits {(at - 1).bit_length()}"
        )
    return dataclasses.replace(job, **addresses), at
