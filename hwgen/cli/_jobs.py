"""Jobs of an accelerator in words: what each layer takes, what it waits for, and what it moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from hwgen.accelerator import Design, Job, JobCycles, Memory
from hwgen.accelerator.best import walked_jobs
from hwgen.accelerator.use import ORDERS, Use
from hwgen.cli._table import Column, print_table
from hwgen.schedule import Layer, Schedule

__all__ = ["LayerJobs", "as_dict", "found_jobs", "print_jobs", "write_timeline"]


@dataclass(frozen=True)
class LayerJobs:
    """A layer on an accelerator: its jobs with their cycles, the best one first."""

    design: Design
    memory: Memory
    schedule: Schedule
    jobs: tuple[tuple[Job, JobCycles], ...]

    @property
    def best(self) -> tuple[Job, JobCycles]:
        """The job that takes the fewest cycles; of several the one that reads least."""
        return self.jobs[0]

    def utilisation(self, cycles: int) -> float:
        """Share of the tile's peak of multiply-accumulates."""
        tile, layer = self.design.tile, self.schedule.layer
        step = int(tile.layer_cycles(tile.p))
        return (
            layer.m
            * layer.n
            * layer.k
            * step
            / (tile.m * tile.n * self.schedule.outputs * self.schedule.step_k * cycles)
        )

    def bandwidth(self, beats: int, cycles: int) -> float:
        """Share of what the memory moves."""
        share, of = self.memory.beats
        return beats * of / (share * cycles)


def found_jobs(design: Design, layer: Layer, use: Use, every: bool) -> LayerJobs:
    """Jobs of a layer: all legal ones, or those that may be the best. Raises `HwgenError` where there is none."""
    schedule, memory, orders = Schedule(design.tile, layer), use.memory, ORDERS[use.order]
    walked = walked_jobs(design, schedule, memory, orders, every=every)
    return LayerJobs(design, memory, schedule, tuple(walked))


def job_words(job: Job) -> str:
    """Order and residency."""
    stays = ("weights", "activations")[job.order]
    held = [name for name, one in (("weights", job.hold_weights), ("activations", job.hold_acts)) if one]
    return f"{stays} stay; {' and '.join(held) if held else 'nothing'} held"


def print_jobs(found: Sequence[LayerJobs], every: bool, period_ns: float | None) -> None:
    """A table of layers and their jobs, and what they take together."""
    first = found[0]
    design, memory = first.design, first.memory
    click.echo(f"accelerator: {design.tile.family} {design.tile.m}×{design.tile.n}×{design.tile.k}; {_values(design)}")
    rings = ", ".join(
        f"{name} {stream.depth} × {stream.entry_bits} bits" for name, stream in design.ring_streams.items()
    )
    click.echo(f"rings: {rings}")
    share, of = memory.beats
    click.echo(
        f"memory: latency {memory.latency} cycles, {share} beat{'s' * (share > 1)} in {of} cycle{'s' * (of > 1)}"
    )
    columns = [Column("layer", right=False, fold=True), Column("job", right=False, fold=True)]
    names = ("count", "cycles", "tile's peak", "waits: weights", "activations", "results", "bytes read", "written")
    columns += [Column(name) for name in (*names, "memory's reads", "writes")]
    rows = []
    for one in found:
        for job, cycles in one.jobs if every else one.jobs[:1]:
            rows.append(_row(one, job, cycles))
    print_table(columns, rows)
    whole = sum(one.best[1].cycles * one.schedule.layer.count for one in found)
    time = f"; {whole * period_ns / 1000:,.3f} µs at {period_ns:.4g} ns" if period_ns else ""
    click.echo(f"cycles: {whole:,} (exact, of the best jobs one after the other){time}")


def _values(design: Design) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in design.p.items())


def _row(one: LayerJobs, job: Job, cycles: JobCycles) -> list[str]:
    layer, all_cycles = one.schedule.layer, cycles.cycles
    reads = sum(cycles.read_beats.values())
    waits = (cycles.waits[name] / all_cycles for name in ("weights", "acts", "results"))
    moved = (reads * one.design.bus_bytes, cycles.write_beats * one.design.bus_bytes)
    shares = (one.bandwidth(beats, all_cycles) for beats in (reads, cycles.write_beats))
    return [
        f"{layer.name}",
        job_words(job),
        f"{layer.count:,}",
        f"{all_cycles:,}",
        f"{one.utilisation(all_cycles):.1%}",
        *(f"{part:.1%}" for part in waits),
        *(f"{count:,}" for count in moved),
        *(f"{part:.1%}" for part in shares),
    ]


def as_dict(found: Sequence[LayerJobs], every: bool) -> dict[str, Any]:
    """The same for JSON."""
    first = found[0]
    layers = []
    for one in found:
        layer = one.schedule.layer
        jobs = [
            {
                "order": job.order,
                "hold_weights": job.hold_weights,
                "hold_acts": job.hold_acts,
                "cycles": cycles.cycles,
                "utilization": one.utilisation(cycles.cycles),
                "waits": cycles.waits,
                "read_bytes": {name: beats * one.design.bus_bytes for name, beats in cycles.read_beats.items()},
                "write_bytes": cycles.write_beats * one.design.bus_bytes,
                "read_share": one.bandwidth(sum(cycles.read_beats.values()), cycles.cycles),
                "write_share": one.bandwidth(cycles.write_beats, cycles.cycles),
            }
            for job, cycles in (one.jobs if every else one.jobs[:1])
        ]
        sizes = {"name": layer.name, "m": layer.m, "n": layer.n, "k": layer.k, "count": layer.count}
        layers.append({**sizes, "jobs": jobs})
    design, memory = first.design, first.memory
    return {
        "level": "accelerator",
        "family": design.tile.family,
        "tile": design.tile.p,
        "design": design.p,
        "memory": {"latency": memory.latency, "beats": list(memory.beats)},
        "cycles": sum(one.best[1].cycles * one.schedule.layer.count for one in found),
        "layers": layers,
    }


def write_timeline(one: LayerJobs, path: Path) -> None:
    """The best job's timeline as a picture, or as a trace for Perfetto."""
    import json

    from hwgen.accelerator.timeline import chrome_trace, timeline
    from hwgen.files import write_atomic

    design, layer = one.design, one.schedule.layer
    job = one.best[0]
    shown = timeline(design, job, one.memory)
    tile = design.tile
    title = f"{tile.family} {tile.m}×{tile.n}×{tile.k}, layer {layer.name}, {job_words(job)}"
    if path.suffix.lower() == ".json":
        write_atomic(path, json.dumps(chrome_trace(shown, title)), "timeline")
        return
    from hwgen.cli._layer import needs

    needs("estimate --timeline", "dse", "matplotlib")
    from reports.timeline import save_timeline, timeline_figure

    save_timeline(timeline_figure(shown, title), path)
