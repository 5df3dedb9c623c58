"""What a job makes the parts of an accelerator do, as counts: beats, bursts, words, steps. Scalars or arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.accelerator import Design, Job
from hwgen.accelerator.inventory import Geometry, accelerator_blocks, geometry, kind_of
from hwgen.accelerator.job import follows_weights
from hwgen.frame.facts import Block
from hwgen.frame.numbers import Num, ceil_div, maximum, where
from hwgen.pe import TileSpec

__all__ = ["JobCounts", "StreamCounts", "counts_of", "job_counts", "switching_terms"]

P = Mapping[str, Any]

JOB_FIELDS = ("m_blocks", "n_blocks", "k_steps", "k_groups", "order", "hold_weights", "hold_acts")


@dataclass(frozen=True)
class StreamCounts:
    """Of one stream: bus ``beats`` and ``bursts`` read, ``entries`` read from the ring, ``words`` given by it."""

    beats: Num
    bursts: Num
    entries: Num
    words: Num


@dataclass(frozen=True)
class JobCounts:
    """Of one job; ``cycles`` as in `hwgen.accelerator.JobCycles`, all else follows from the job alone.

    ``groups`` are those of which sums are put out, ``results`` beats in which the tile gives them, ``made`` those for
    memory.
    """

    cycles: Num
    steps: Num
    groups: Num
    streams: Mapping[str, StreamCounts]
    results: Num
    made: Num
    write_beats: Num
    write_bursts: Num

    @property
    def read_beats(self) -> Num:
        """Bus beats read by all streams."""
        return sum((stream.beats for stream in self.streams.values()), start=0)


def job_counts(spec: type[TileSpec], p: P, d: P, job: P, cycles: Num, found: Geometry | None = None) -> JobCounts:
    """Counts of a job, or of many: ``p``, ``d`` and ``job`` (fields of `hwgen.accelerator.Job`) broadcast.

    Bursts are those of which no page boundary cuts one.
    """
    found = geometry(spec, p, d) if found is None else found
    # Floats: whole counts of large layers are soon too large for 64 bits.
    m_blocks, n_blocks, k_steps, k_groups = (1.0 * np.asarray(job[name]) for name in JOB_FIELDS[:4])
    steps = m_blocks * n_blocks * k_steps
    streams = {}
    for name, stream in found.streams.items():
        of_weights = follows_weights(name)
        blocks, uses = (n_blocks, m_blocks) if of_weights else (m_blocks, n_blocks)
        held = np.asarray(job["hold_weights" if of_weights else "hold_acts"])
        words = 1.0 if name == "channels" else k_groups if name.endswith("sides") else k_steps
        entries = stream.entries(words)
        beats = entries * stream.beats_per_entry
        fetched = stream.there * blocks * where(held > 0, 1, uses)
        given = stream.there * blocks * uses
        streams[name] = StreamCounts(
            beats=fetched * beats,
            bursts=fetched * ceil_div(beats, stream.burst),
            entries=given * entries,
            words=given * words,
        )
    lanes = where(p["post_lanes"] > 0, 1, 0) if spec.uses_lanes(p) else 0
    groups = m_blocks * n_blocks * where(found.sum_steps > 0, ceil_div(k_steps, maximum(found.sum_steps, 1)), 1)
    results = where(np.asarray(lanes) > 0, m_blocks * n_blocks * found.beats, groups)
    made = results * found.made
    write_beats = ceil_div(made, found.result_words_per_beat) * found.result_beats
    return JobCounts(
        cycles=cycles,
        steps=steps,
        groups=groups,
        streams=streams,
        results=results,
        made=made,
        write_beats=write_beats,
        write_bursts=ceil_div(write_beats, d["burst"]),
    )


def counts_of(design: Design, job: Job, cycles: int) -> JobCounts:
    """Counts of one job on one design."""
    return job_counts(type(design.tile), design.tile.p, design.p, vars(job), cycles)


def switching_terms(
    spec: type[TileSpec],
    p: P,
    d: P,
    counts: JobCounts,
    blocks: Mapping[str, Block] | None = None,
    found: Geometry | None = None,
) -> dict[str, dict[str, Num]]:
    """By block: what its switching beside the clock grows with in a job, each a number of bits that are moved.

    A coefficient in pJ belongs to each (kind of block, term); see `sim.accelerator.cost`. ``found``: widths and depths,
    where they are known.
    """
    found = geometry(spec, p, d) if found is None else found
    known = accelerator_blocks(spec, p, d, found=found)
    blocks = known if blocks is None else blocks
    terms: dict[str, dict[str, Num]] = {}
    for name in blocks:
        kind = kind_of(name)
        if kind in ("engine", "ring"):
            stream_name = name.rpartition("_")[0]
            stream, count = found.streams[stream_name], counts.streams[stream_name]
            if kind == "engine":
                terms[name] = {
                    "bursts": count.bursts * (d["address_bits"] + d["count_bits"]),
                    "beats": count.beats,
                    "entries": count.entries,
                }
            else:
                terms[name] = {
                    "beats": count.beats * stream.beats_per_entry * d["bus_bits"],
                    "entries": count.entries * (stream.entry_bits),
                    "words": count.words * stream.bits,
                    "turns": count.words + count.entries,
                }
    steps, cycles = counts.steps, counts.cycles
    for name in ("weights", "acts"):
        bits = known[f"{name}_feeder"].primitives["ff"]
        terms[f"{name}_feeder"] = {"steps": steps, "bits": steps * bits}
        terms[f"stream_{name}"] = {"words": steps * found.queues[f"stream_{name}"][1], "turns": steps}
    bits = found.queues["stream_result"][1]
    terms["stream_result"] = {"words": counts.results * bits, "turns": counts.results, "steps": steps * bits}
    terms["stream"] = {"steps": steps, "bits": steps * found.levelled}
    bursts = sum((stream.bursts for stream in counts.streams.values()), start=0)
    unit = known["result_unit"].primitives
    terms["result_unit"] = {
        "results": counts.results * unit["ff"],
        **{name: counts.made * unit[name] for name in ("ff", "add", "mux2", "mul")},
    }
    terms["packer"] = {
        "words": counts.made * found.result_bits,
        "beats": counts.write_beats * found.result_beats * d["bus_bits"],
    }
    terms["write_buffer"] = {"beats": counts.write_beats}
    terms["write_engine"] = {
        "bursts": counts.write_bursts * d["address_bits"],
        "beats": counts.write_beats,
    }
    terms["control"] = {"jobs": 1.0 * known["control"].primitives["ff"]}
    terms["registers"] = {"cycles": cycles, "jobs": 1.0 * known["registers"].primitives["ff"]}
    terms["glue"] = {"cycles": cycles, "bursts": bursts * d["address_bits"], "steps": steps}
    return {name: terms[name] for name in blocks}
