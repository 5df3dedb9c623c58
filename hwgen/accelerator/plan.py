"""From a layer to jobs: which orders and residencies are legal, which is best, and where everything lies in memory."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

from hwgen.accelerator.design import Design
from hwgen.accelerator.exact import JobCycles, Memory, exact
from hwgen.accelerator.job import ADDRESSES, Job
from hwgen.errors import HwgenError
from hwgen.schedule import Schedule

__all__ = ["best_job", "layer_jobs", "placed"]


def layer_jobs(design: Design, schedule: Schedule) -> Iterator[Job]:
    """Every legal job for a layer: both orders, and each operand held or read again. Nowhere in memory yet.

    Raises `HwgenError` where a count of the layer has more bits than the design's counters.
    """
    counts = {
        "m_blocks": schedule.row_blocks,
        "n_blocks": schedule.col_blocks,
        "k_steps": schedule.row_steps,
        "k_groups": len(schedule.group_lengths),
    }
    largest = max(counts.values())
    if largest >= 1 << design.count_bits:
        name = max(counts, key=lambda name: counts[name])
        raise HwgenError(
            f"layer {schedule.layer.name}: {name} must be less than {1 << design.count_bits}, which count_bits "
            f"({design.count_bits}) hold, not {largest}; use --count-bits {largest.bit_length()}"
        )
    for order, hold_weights, hold_acts in itertools.product((0, 1), repeat=3):
        job = Job(**counts, order=order, hold_weights=hold_weights, hold_acts=hold_acts)
        # To hold what passes once changes nothing; to hold what does not fit is impossible.
        idle = (hold_weights and job.m_blocks == 1) or (hold_acts and job.n_blocks == 1)
        if not idle and all(job.holds(stream) for stream in design.streams.values()):
            yield job


def best_job(design: Design, schedule: Schedule, memory: Memory) -> tuple[Job, JobCycles]:
    """The legal job that takes the fewest cycles; of several the one that reads least."""
    found = [(job, exact(design, job, memory)) for job in layer_jobs(design, schedule)]
    return min(found, key=lambda pair: (pair[1].cycles, sum(pair[1].read_beats.values())))


def placed(design: Design, job: Job, base: int = 0) -> tuple[Job, int]:
    """A job with its images and results one after the other from ``base``, each from a bus beat; and where they end.

    Raises `HwgenError` where they do not fit the design's addresses.
    """
    at = -(-base // design.bus_bytes) * design.bus_bytes
    addresses = {}
    beats = job.beats(design)
    for name in ADDRESSES:
        if name in beats:
            addresses[name] = at
            at += beats[name] * design.bus_bytes
    if at > 1 << design.address_bits:
        raise HwgenError(
            f"job: its images and results must end within the {1 << design.address_bits} bytes of the design's "
            f"addresses, not at {at}; use --address-bits {(at - 1).bit_length()}"
        )
    return dataclasses.replace(job, **addresses), at
