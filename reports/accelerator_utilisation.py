"""``python -m reports.accelerator_utilisation``: how much of tile and memory the layers of a Llama block keep busy."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.accelerator import Design, Job, JobCycles, Memory, exact, layer_jobs, placed
from hwgen.accelerator.closed import REGIMES, closed
from hwgen.accelerator.recording import Recording
from hwgen.pe import family
from hwgen.schedule import Layer, Schedule
from reports.command_line import without_options
from reports.provenance import provenance, write_result

__all__ = ["Row", "build", "chosen_job", "layers", "main", "page", "row", "table"]

RESULT = Path("reports/results/accelerator_utilisation.md")
PICTURE = Path("reports/results/accelerator_timeline.png")
TITLE = "What accelerators keep busy"
MODELS = ("smollm2-135m", "llama-3-8b")
TOKENS, CONTEXT = 128, 1024
MEMORY = Memory(60)
"""A memory of 60 cycles' latency that moves a beat a cycle: some hundred nanoseconds at half a gigahertz."""

Parameters = Mapping[str, Any]
_AROUND: Parameters = {"bus_bits": 512, "weight_ring": 512, "burst": 64, "outstanding": 4}

PREFILL: tuple[tuple[str, Parameters, Parameters], ...] = (
    ("int", {"m": 32, "n": 8, "k": 8, "bits": 4, "group": 0, "depth": 16384, "post_lanes": 0}, {"act_ring": 2048}),
    ("int", {"m": 8, "n": 8, "k": 8, "bits": 4, "group": 64, "post_lanes": 8}, {"act_ring": 2048}),
    ("mx", {"m": 4, "n": 8, "k": 8, "group": 32, "post_lanes": 8}, {"act_ring": 2048}),
    ("bitmod", {"m": 8, "n": 8, "k": 8, "bits": 4, "group": 64, "post_lanes": 8}, {"act_ring": 2048}),
    ("mixpe", {"m": 8, "n": 8, "k": 8, "bits": 4, "group": 64, "post_lanes": 8}, {"act_ring": 2048}),
)
"""Tiles whose weights come at half the bus's width or less, activations held: a ring of a block's steps along K."""

DECODE: tuple[tuple[str, Parameters, Parameters], ...] = (
    ("int", {"m": 1, "n": 16, "k": 8, "bits": 4, "group": 128, "post_lanes": 2}, {"act_ring": 2048}),
    ("mx", {"m": 1, "n": 16, "k": 8, "group": 32, "post_lanes": 4}, {"act_ring": 2048}),
    ("bitmod", {"m": 1, "n": 32, "k": 8, "bits": 4, "group": 128, "post_lanes": 2}, {"act_ring": 2048}),
    ("minifloat", {"m": 1, "n": 8, "k": 8, "group": 64}, {"act_ring": 2048}),
    ("mixpe", {"m": 1, "n": 16, "k": 8, "bits": 4, "group": 64, "post_lanes": 4}, {"act_ring": 2048}),
)
"""Tiles that take a whole beat of weights a cycle."""


@dataclass(frozen=True)
class Row:
    """A layer on a design: its job, and what it keeps busy."""

    design: Design
    schedule: Schedule
    job: Job
    found: JobCycles
    closed: int
    regime: str

    @property
    def utilisation(self) -> float:
        """Share of the tile's peak of multiply-accumulates."""
        tile, schedule = self.design.tile, self.schedule
        peak = tile.m * tile.n * schedule.outputs * schedule.step_k / int(tile.layer_cycles(tile.p))
        return schedule.layer.macs / schedule.layer.count / peak / self.found.cycles

    @property
    def bandwidth(self) -> float:
        """Share of the memory's beats of reads."""
        share, cycles = MEMORY.beats
        return sum(self.found.read_beats.values()) * cycles / share / self.found.cycles


def build(name: str, tile: Parameters, around: Parameters) -> Design:
    """A design of `PREFILL` or `DECODE`."""
    return Design.from_values(family(name).from_values(tile), {**_AROUND, **around})


def layers(model: str, phase: str) -> list[Layer]:
    """Products with weights of one block of a model, equal ones once."""
    from sim.workload import Decode, Prefill, load_workload, to_layers

    workload = load_workload(model)
    of = Prefill(tokens=TOKENS) if phase == "prefill" else Decode(context=CONTEXT)
    return to_layers(run for run in workload.runs(of) if run.operand == "weights" and run.role != "lm_head")


def chosen_job(design: Design, schedule: Schedule, memory: Memory) -> Job:
    """The legal job that takes the fewest cycles by the closed form, and its place in memory."""
    jobs = [placed(design, job)[0] for job in layer_jobs(design, schedule)]
    return min(jobs, key=lambda job: closed(design, job, memory).cycles.item())


def row(design: Design, layer: Layer) -> Row:
    """One layer on one design."""
    schedule = Schedule(design.tile, layer)
    job = chosen_job(design, schedule, MEMORY)
    form = closed(design, job, MEMORY)
    found = exact(design, job, MEMORY)
    return Row(design, schedule, job, found, form.cycles.item(), REGIMES[form.regime.item()])


def _rows(task: tuple[str, tuple[str, Parameters, Parameters]]) -> list[tuple[str, Row]]:
    phase, parameters = task
    design = build(*parameters)
    return [(model, row(design, layer)) for model in MODELS for layer in layers(model, phase)]


def _described(design: Design) -> str:
    tile = design.tile
    known = tile.parameters()
    shown = {name: value for name, value in tile.p.items() if value != known[name].default and name not in "mnk"}
    words = " ".join(f"{name}={value}" for name, value in shown.items() if name in ("bits", "group", "post_lanes"))
    rings = sum(stream.depth * stream.entry_bits for stream in design.streams.values()) // 8192
    return f"{tile.family} {tile.m}×{tile.n}×{tile.k} {words}, rings {rings} KiB"


def table(rows: Iterable[tuple[str, Row]]) -> str:
    """Markdown table of layers."""
    lines = [
        "| design | model | layer | M×N×K | cycles | closed | tile's peak | memory's reads | waits: weights, "
        "activations, results |",
        "|---|---|---|---|---:|---:|---:|---:|---|",
    ]
    for model, one in rows:
        layer = one.schedule.layer
        waits = ", ".join(f"{one.found.waits[name] / one.found.cycles:.2%}" for name in ("weights", "acts", "results"))
        lines.append(
            f"| {_described(one.design)} | {model} | {layer.name} | {layer.m}×{layer.n}×{layer.k} | "
            f"{one.found.cycles:,} | {one.closed / one.found.cycles - 1:+.2%} | {one.utilisation:.2%} | "
            f"{one.bandwidth:.2%} | {waits} |"
        )
    return "\n".join(lines)


def page(decode: list[tuple[str, Row]], prefill: list[tuple[str, Row]], checked: list[str]) -> str:
    """The body of the result page."""
    share, cycles = MEMORY.beats
    return "\n\n".join(
        [
            f"Exact cycles of the products with weights of one block of {' and '.join(MODELS)}, on designs with a bus "
            f"of {_AROUND['bus_bits']} bits and a memory of {MEMORY.latency} cycles' latency and {share} beat in "
            f"{cycles} cycle. Each layer is one job, alone: from the accepted start to the interrupt, so that fill and "
            "drain count. The job is the best by the closed form, whose difference is shown. Tile's peak: "
            "multiply-accumulates of the layer over those that the tile could do; memory's reads: bus beats read over "
            "those that it could give.",
            f"## Prefill of {TOKENS} tokens: the tile's peak",
            table(prefill),
            f"![The first cycles of a layer]({PICTURE.name})",
            f"## Decode of one token at a context of {CONTEXT}: the memory's bandwidth",
            table(decode),
            "## What is missing",
            _missing(decode, prefill),
            "## On the emitted Verilog",
            "\n".join(checked),
        ]
    )


def _missing(decode: list[tuple[str, Row]], prefill: list[tuple[str, Row]]) -> str:
    """Where the goals are missed, and what of it fill and drain are."""
    fewer = [one for _, one in decode if one.bandwidth < 0.98]
    slower = [one for _, one in prefill if one.utilisation < 0.99]
    lines = [
        f"Decode below 98 % of the bandwidth: {len(fewer)} of {len(decode)} layers; prefill below 99 % of the peak: "
        f"{len(slower)} of {len(prefill)}. Of the cycles in which the memory does not read in such layers of decode, "
        "these are fill (to the first beat) and drain (from the last one, results included):",
        "",
        "| design | layer | cycles | beats read | not reading | latency of the first beat and drain |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for one in fewer:
        beats = sum(one.found.read_beats.values())
        fixed = _fixed(one)
        layer = one.schedule.layer
        lines.append(
            f"| {_described(one.design)} | {layer.m}×{layer.n}×{layer.k} | {one.found.cycles:,} | {beats:,} | "
            f"{one.found.cycles - beats:,} | {fixed:,} |"
        )
    return "\n".join(lines)


def _fixed(one: Row) -> int:
    """Cycles before the first beat and after the last one."""
    recording = Recording(one.found.cycles)
    exact(one.design, one.job, MEMORY, recording=recording)
    places = [place for place, beat in enumerate(recording.beats) if beat >= 0]
    return recording.first + places[0] + one.found.cycles - (recording.first + places[-1] + 1)


def checked_on_verilog() -> list[str]:
    """One layer of prefill and one of decode on the compiled Verilog: what it takes and what was said."""
    from hwgen.verify import CompiledAccelerator, Task

    lines = []
    rng = np.random.default_rng(1)
    for phase, parameters, layer in (
        ("prefill", PREFILL[1], Layer("attn.k", TOKENS, 192, 576)),
        ("decode", DECODE[0], Layer("attn.k", 1, 192, 576)),
    ):
        one = row(build(*parameters), layer)
        tile = one.design.tile
        acts, weights = (
            rng.standard_normal(shape).astype(np.float32) for shape in ((layer.m, layer.k), (layer.n, layer.k))
        )
        operands = (tile.quantize_acts(acts), tile.quantize_weights(weights))
        task = Task(one.schedule, *operands, one.job, MEMORY)
        (run,) = CompiledAccelerator(one.design).run([task])
        wanted = exact(one.design, placed(one.design, one.job)[0], MEMORY)
        equal = (run.cycles, run.waits, run.read_beats, run.write_beats) == (
            wanted.cycles,
            wanted.waits,
            wanted.read_beats,
            wanted.write_beats,
        )
        lines.append(
            f"- {phase}, {_described(one.design)}, {layer.m}×{layer.n}×{layer.k}: {run.cycles:,} cycles on the "
            f"compiled Verilog, {wanted.cycles:,} by the cycle model; cycles, waits and beats are "
            f"{'equal' if equal else 'NOT EQUAL'}."
        )
        if not equal:
            raise SystemExit("\n".join(lines))
    return lines


def draw() -> None:
    """The picture: the first cycles of a layer of prefill."""
    from hwgen.accelerator.timeline import timeline
    from reports.timeline import save_timeline, timeline_figure

    one = row(build(*PREFILL[1]), Layer("ffn.up", TOKENS, 1536, 576))
    shown = timeline(one.design, one.job, MEMORY, 6000)
    save_timeline(timeline_figure(shown, f"{_described(one.design)}, ffn.up of {MODELS[0]}"), PICTURE)


def main() -> None:
    """Walk all layers and write the page and its picture."""
    tasks = [("decode", one) for one in DECODE] + [("prefill", one) for one in PREFILL]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(_rows, tasks))
    decode = [one for part in found[: len(DECODE)] for one in part]
    prefill = [one for part in found[len(DECODE) :] for one in part]
    draw()
    body = page(decode, prefill, checked_on_verilog())
    write_result(RESULT, TITLE, "python -m reports.accelerator_utilisation", body, provenance())


if __name__ == "__main__":
    without_options(main, __doc__)
