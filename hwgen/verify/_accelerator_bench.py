"""The jobs of an accelerator's self-checking bench, and what they leave in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from hwgen.accelerator import Design, Job, layer_jobs, memory_acts, pack_acts, pack_channels, pack_weights, placed
from hwgen.accelerator.emission import AcceleratorEmission
from hwgen.accelerator.registers import MAGIC
from hwgen.accelerator.stream import padded_bits
from hwgen.errors import HwgenError
from hwgen.formats import QTensor
from hwgen.schedule import Layer, Schedule
from hwgen.simulators.words import pack_words
from hwgen.verify._accelerator_reference import random_channels, reference_results
from hwgen.verify._bus_bench import BenchJob, bus_bench_files

__all__ = ["accelerator_bench_files", "result_image"]

_SEED = 1
_STEPS = 48
"""Steps of a block at most: four blocks, and two jobs."""


def accelerator_bench_files(emission: AcceleratorEmission) -> dict[str, str]:
    """Files of `bus_bench_files`: two jobs of a small layer with ragged edges, in both orders."""
    design = emission.design
    schedule = _schedule(design)
    acts, weights = _operands(design, schedule)
    channels = random_channels(design, schedule.layer.n, np.random.default_rng(_SEED))
    images = {**pack_weights(design, schedule, weights), **pack_acts(design, schedule, acts)}
    if channels is not None:
        images["channels"] = pack_channels(design, schedule, channels)
    first, end = placed(design, _chosen(design, schedule, 0))
    second = _chosen(design, schedule, 1)
    size = second.beats(design)["result"] * design.bus_bytes
    second = dataclasses.replace(
        second, result=end, **{name: first.address(name) for name in images if name in design.streams}
    )
    memory = np.zeros(end + size, np.uint8)
    for name, image in images.items():
        memory[first.address(name) : first.address(name) + len(image)] = image
    made = [
        BenchJob(emission.job_words(job), [(job.result, result_image(design, schedule, job, acts, weights, channels))])
        for job in (first, second)
    ]
    about = f"{len(made)} jobs of {schedule.steps} steps"
    return bus_bench_files(emission, MAGIC, made, memory, about, writes_bytes=False)


def result_image(
    design: Design,
    schedule: Schedule,
    job: Job,
    acts: QTensor,
    weights: QTensor,
    channels: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
    """Bytes that a job leaves at its results, uint8, by the references."""
    values = reference_results(design, schedule, acts, weights, channels)
    per_block = job.results(design)
    count = job.blocks * per_block
    word_bytes = padded_bits(design.result_bits, design.bus_bits) // 8
    words = np.zeros((count, word_bytes), np.uint8)
    for field in design.result_fields:
        # The reference takes all blocks of columns for a block of rows.
        found = np.asarray(values[field.port.name]).reshape(job.m_blocks, job.n_blocks, per_block, field.count)
        if job.order == 0:
            found = found.swapaxes(0, 1)
        flat = found.reshape(count, field.count)
        if field.port.signed:
            flat = flat.astype(object) & ((1 << field.stride) - 1)
        raw = pack_words(flat, field.stride).astype("<u4").view(np.uint8)
        begin = field.offset // 8
        words[:, begin : begin + field.count * field.stride // 8] = raw[:, : field.count * field.stride // 8]
    flat_words = words.reshape(-1)
    return np.pad(flat_words, (0, -len(flat_words) % design.bus_bytes))


def _schedule(design: Design) -> Schedule:
    """Two blocks of rows and of columns, the last ones not full; a group and a part of one where that is short."""
    tile, step = design.tile, design.step_k
    longest = min(int(tile.sum_depth(tile.p)), _STEPS * step)
    k = tile.group + step + 1 if tile.group and tile.group + 2 * step <= _STEPS * step else longest - step + 1
    if tile.act_format.padding is None:
        k = k // step * step
    outputs = tile.n * int(tile.layer_outputs(tile.p))
    # A tile of one row has no row that lacks.
    return Schedule(tile, Layer("bench", 2 * tile.m - (tile.m > 1), 2 * outputs - (outputs > 1), max(k, 1)))


def _operands(design: Design, schedule: Schedule) -> tuple[QTensor, QTensor]:
    rng = np.random.default_rng(_SEED)
    spec, layer = schedule.spec, schedule.layer
    acts, weights = (
        rng.standard_normal(shape).astype(np.float32) for shape in ((layer.m, layer.k), (layer.n, layer.k))
    )
    return memory_acts(design, schedule.whole_words(acts)), spec.quantize_weights(schedule.whole_words(weights))


def _chosen(design: Design, schedule: Schedule, order: int) -> Job:
    """The legal job of an order that holds most, or least for the other order."""
    jobs = [job for job in layer_jobs(design, schedule) if job.order == order]
    if not jobs:
        raise HwgenError(f"layer {schedule.layer.name}: no job of order {order} is legal on the design")
    return jobs[-1 if order == 0 else 0]
