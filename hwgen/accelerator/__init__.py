"""A tile with memory around it: images in memory, read engines, replay rings, a sequencer, results back, registers."""

from __future__ import annotations

from hwgen.accelerator.design import Design
from hwgen.accelerator.emission import AcceleratorEmission, emit_accelerator
from hwgen.accelerator.exact import JobCycles, Memory, exact
from hwgen.accelerator.image import (
    LAYOUT_VERSION,
    entering_acts,
    memory_acts,
    pack_acts,
    pack_channels,
    pack_weights,
    streamed_bytes,
    unpack_results,
)
from hwgen.accelerator.job import Job, Passage
from hwgen.accelerator.plan import best_job, layer_jobs, placed
from hwgen.accelerator.results import RESULT_BITS, finished_floats, requantised
from hwgen.accelerator.stream import STREAMS, Stream

__all__ = [
    "LAYOUT_VERSION",
    "RESULT_BITS",
    "STREAMS",
    "AcceleratorEmission",
    "Design",
    "Job",
    "JobCycles",
    "Memory",
    "Passage",
    "Stream",
    "best_job",
    "emit_accelerator",
    "entering_acts",
    "exact",
    "finished_floats",
    "layer_jobs",
    "memory_acts",
    "pack_acts",
    "pack_channels",
    "pack_weights",
    "placed",
    "requantised",
    "streamed_bytes",
    "unpack_results",
]
