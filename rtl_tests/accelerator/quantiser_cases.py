"""Quantisers of several designs, compiled, and jobs drawn for them whose memory and cycles are foretold."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.accelerator import Design, Memory
from hwgen.accelerator.quantiser import (
    Kind,
    QuantiserJob,
    cache_bytes,
    cache_job,
    geometry,
    quantiser_cycles,
)
from hwgen.pe import family
from hwgen.simulators.bus import BusResult
from hwgen.verify import CompiledQuantiser
from tests.accelerator.quantiser_reference import corner_rows, quantised, random_rows

__all__ = ["CASES", "Case", "Drawn", "drawn_jobs", "failures", "run_all", "written"]

ELEMENTS = 96
"""Most values of a row of the quantisers here."""


@dataclass(frozen=True)
class Case:
    """One quantiser: parameters of the tile and of the design."""

    tile: dict[str, Any]
    design: dict[str, Any]

    @property
    def name(self) -> str:
        """For test ids."""
        return " ".join(f"{key}={value}" for key, value in {**self.tile, **self.design}.items())

    def build(self) -> Design:
        """The design."""
        tile = family("int").from_values({"depth": 256, **self.tile})
        return Design.from_values(tile, {"count_bits": 12, **self.design})


CASES = (
    Case(
        {"m": 2, "n": 4, "k": 4, "bits": 4, "group": 96, "post_lanes": 2},
        {"bus_bits": 64, "burst": 4, "outstanding": 1},
    ),
    Case({"m": 2, "n": 4, "k": 4, "bits": 8, "group": 96, "post_lanes": 2}, {"bus_bits": 128, "outstanding": 2}),
    Case(
        {"m": 1, "n": 6, "k": 2, "bits": 4, "group": 0, "weight_scale": "fp32"}, {"bus_bits": 128, "address_bits": 40}
    ),
    Case({"m": 1, "n": 6, "k": 3, "bits": 8, "group": 0, "weight_scale": "bf16"}, {"bus_bits": 64, "burst": 2}),
    Case(
        {"m": 2, "n": 8, "k": 8, "bits": 4, "group": 96, "weight_scale": "bf16", "post_lanes": 1},
        {"bus_bits": 256, "outstanding": 4},
    ),
    Case({"m": 2, "n": 8, "k": 1, "bits": 8, "group": 96, "weight_scale": "fp32", "post_lanes": 1}, {"bus_bits": 64}),
    Case({"m": 1, "n": 5, "k": 8, "bits": 8, "group": 0, "weight_scale": "fp8_e4m3"}, {"bus_bits": 512, "burst": 1}),
    Case({"m": 1, "n": 3, "k": 10, "bits": 4, "group": 0, "weight_scale": "fp16"}, {"bus_bits": 128, "outstanding": 1}),
)
"""Both widths of codes, all formats of scales, with and without words for them, columns that straddle beats."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A job with its rows, FP32 words [rows, elements], the tokens of its cache, the memory before and its speed."""

    job: QuantiserJob
    rows: np.ndarray
    tokens: int
    image: np.ndarray
    memory: Memory


@functools.cache
def compiled_quantiser(index: int) -> CompiledQuantiser:
    """The quantiser of a case; tests share it, as to elaborate one takes seconds."""
    return CompiledQuantiser(CASES[index].build(), elements=ELEMENTS)


def drawn_jobs(design: Design, count: int, seed: int) -> list[Drawn]:
    """Jobs of both kinds: rows of any length at any place of a cache, whose other bytes hold noise."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        rows, elements = int(rng.integers(1, 6)), int(rng.integers(1, ELEMENTS + 1))
        first = int(rng.integers(40))
        share = int(rng.integers(1, 7))
        beats = (1, 1) if rng.integers(2) else (int(rng.integers(1, share + 1)), share)
        values = random_rows(rng, rows, elements)
        if index % 3 == 0:
            corners = corner_rows(elements)
            values = corners[rng.permutation(len(corners))[:rows]]
        tokens = first + rows + int(rng.integers(9))
        job = cache_job(design, index % 2, rows, elements, first, tokens)
        found.append(placed(design, job, values, tokens, rng, Memory(int(rng.integers(1, 60)), beats)))
    return found


def placed(
    design: Design, job: QuantiserJob, values: np.ndarray, tokens: int, rng: np.random.Generator, memory: Memory
) -> Drawn:
    """A job with its rows somewhere in a memory of noise, further apart than they are long."""
    bus = design.bus_bytes
    sizes = cache_bytes(design, job.kind, job.elements, tokens)
    source = int(rng.integers(600)) * bus
    stride = job.source_stride + int(rng.integers(3)) * bus
    codes = source + stride * job.rows
    scales = codes + sizes["codes"] + bus
    job = dataclasses.replace(job, source=source, source_stride=stride, codes=codes, scales=scales)
    image = rng.integers(0, 256, scales + sizes["scales"] + bus, np.uint8)
    for row, words in enumerate(values):
        at = source + row * stride
        image[at : at + 4 * job.elements] = words.astype("<u4").view(np.uint8)
    return Drawn(job, values, tokens, image, memory)


def written(design: Design, drawn: Drawn) -> np.ndarray:
    """The memory after a job, by the reference and by the layout as it is documented."""
    form, job = geometry(design), drawn.job
    image = drawn.image.copy()
    form_name = design.tile.quantization().weight_scale
    for row, words in enumerate(drawn.rows):
        token = job.first_token + row
        found = quantised([int(word) for word in words], form.bits, form_name)
        if form.sides and job.kind == Kind.K:
            at = job.scales + token // form.n * form.side_bytes + token % form.n * form.scale_bytes
        else:
            at = job.scales + token * form.scale_bytes
        image[at : at + form.scale_bytes] = list(found.scale.to_bytes(form.scale_bytes, "little"))
        for element, code in enumerate(found.codes):
            column, inner = (element, token) if job.kind == Kind.V else (token, element)
            at = job.codes + column // form.n * job.codes_stride + inner // form.k * form.word_bytes
            bit = (column % form.n * form.k + inner % form.k) * form.bits
            at += bit // 8
            if form.bits == 8:
                image[at] = code & 0xFF
            elif bit % 8:
                image[at] = image[at] & 0x0F | (code & 0xF) << 4
            else:
                image[at] = code & 0xF
    return image


def run_all(compiled: CompiledQuantiser, jobs: list[Drawn]) -> tuple[BusResult, ...]:
    """Each job from reset."""
    runs = []
    for drawn in jobs:
        runs.append(compiled.bus_job(drawn.job, drawn.image, drawn.memory))
    return compiled.simulator.run_many(runs)


def failures(compiled: CompiledQuantiser, jobs: list[Drawn], results: tuple[BusResult, ...]) -> list[str]:
    """Everything in which runs differ from the reference and the cycle model."""
    found = []
    for index, (drawn, result) in enumerate(zip(jobs, results, strict=True)):
        model = quantiser_cycles(compiled.design, drawn.job, drawn.memory, compiled.emission.elements)
        wrong = np.flatnonzero(result.memory[0] != written(compiled.design, drawn))
        for what, got, wanted in (
            ("status", [int(value) for value in result.reads], [0x100, 0, 0]),
            ("bytes", wrong[:4].tolist(), []),
            ("cycles", int(result.irq_cycles[0]), model.cycles),
            (
                "read beats",
                [int(beats) for beats in result.r_beats[:2]],
                [model.read_beats - model.merge_beats, model.merge_beats],
            ),
            ("write beats", result.w_beats, model.write_beats),
        ):
            if got != wanted:
                found.append(f"{index} {what}: {got}, not {wanted}; {drawn.job} {drawn.memory}")
    return found
