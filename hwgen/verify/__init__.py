"""Does the hardware do what its spec says? Stimuli, simulations and comparisons that work for every family."""

from __future__ import annotations

from hwgen.verify._accelerator import AcceleratorRun, CompiledAccelerator, Task, job_writes
from hwgen.verify._accelerator_bench import accelerator_bench_files
from hwgen.verify._accelerator_reference import random_channels, reference_results
from hwgen.verify._bench import bench_files
from hwgen.verify._cocotb import cocotb_files
from hwgen.verify._compiled import CompiledPre, CompiledTile, port_words
from hwgen.verify._contract import Finding, check_contract, choose_engine
from hwgen.verify._cover import covering_specs
from hwgen.verify._pre import expected_beats
from hwgen.verify._pysim import simulate
from hwgen.verify._quantiser import CompiledQuantiser, quantiser_bench_files
from hwgen.verify._stimuli import corner_steps, random_steps

__all__ = [
    "AcceleratorRun",
    "CompiledAccelerator",
    "CompiledPre",
    "CompiledQuantiser",
    "CompiledTile",
    "Finding",
    "Task",
    "accelerator_bench_files",
    "bench_files",
    "check_contract",
    "choose_engine",
    "cocotb_files",
    "corner_steps",
    "covering_specs",
    "expected_beats",
    "job_writes",
    "port_words",
    "quantiser_bench_files",
    "random_channels",
    "random_steps",
    "reference_results",
    "simulate",
]
