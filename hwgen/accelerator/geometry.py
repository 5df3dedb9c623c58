"""What of designs and jobs the cycles depend on, as numbers that may be arrays over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from hwgen.accelerator import inventory
from hwgen.accelerator.block_quantiser import OUT_AFTER, READ_AFTER
from hwgen.accelerator.design import PAGE_BYTES, Design
from hwgen.accelerator.job import Job
from hwgen.accelerator.results import INTEGERS, unit_registers
from hwgen.accelerator.stream import STREAMS, Stream
from hwgen.emit import result_depth
from hwgen.frame.numbers import Num, maximum, where
from hwgen.frame.spec import TileSpec

__all__ = ["Geometry", "StreamGeometry", "job_arrays"]

P = Mapping[str, Any]


@dataclass(frozen=True)
class StreamGeometry:
    """What of a `Stream` the cycles depend on: words and beats of an entry, entries of the ring, beats of a burst;
    scalars or arrays. ``there`` is 0 where the tile has no such stream.
    """

    there: Num = 0
    words: Num = 1
    beats: Num = 1
    depth: Num = 2
    burst: Num = 1

    @classmethod
    def of(cls, stream: Stream) -> StreamGeometry:
        """Those of a stream."""
        return cls(stream.there, stream.words_per_entry, stream.beats_per_entry, stream.depth, stream.burst)


@dataclass(frozen=True)
class Geometry:
    """What of a design the cycles depend on; scalars, or arrays over designs.

    ``step``, ``fold``, ``drain``: `layer_cycles`, `fold_cycles` and `drain` of the tile. ``busy``: its `post_cycles`,
    or cycles that the unit behind it takes for a result, if they are more. ``beats``: of a result as it leaves the
    tile; ``credit``: those for which its queue has room; ``every``: 1 where each sum gives a result, 0 where each block
    does. ``made``: beats for memory that the unit makes of one of the tile's, ``unit`` cycles later. ``group_steps``,
    ``sum_steps``: 0 where it is the whole row. ``gathers``, ``per_word``: beats for memory in a bus beat, and bus beats
    of one. ``burst``, ``page``: beats. ``pre``: cycles by which a block before the ring of activations delays a group,
    0 without one.
    """

    streams: Mapping[str, StreamGeometry]
    step: Num
    busy: Num
    fold: Num
    drain: Num
    beats: Num
    credit: Num
    every: Num
    made: Num
    unit: Num
    group_steps: Num
    sum_steps: Num
    gathers: Num
    per_word: Num
    burst: Num
    outstanding: Num
    page: Num
    pre: Num = 0

    @classmethod
    def of(cls, design: Design) -> Geometry:
        """Those of one design."""
        tile = design.tile
        p, plan = tile.p, design.block_plan
        made = design.beats_per_block if design.requantises else 1
        found = {name: StreamGeometry() for name in STREAMS}
        for name, stream in design.streams.items():
            found[name] = StreamGeometry.of(stream)
        return cls(
            found,
            step=int(tile.layer_cycles(p)),
            # Sums turn past a few lanes and wait for the packer there; the tile gets no further ahead than its credit.
            busy=max(int(tile.post_cycles(p)), made * design.result_beats if design.requantises else 0),
            fold=tile.folds,
            drain=int(tile.drain(p)),
            beats=design.beats_per_result,
            credit=result_depth(tile),
            every=int(not tile.lanes),
            made=made,
            unit=unit_registers(design.p) + design.requantises,
            group_steps=design.group_steps,
            sum_steps=design.sum_steps,
            gathers=design.result_words_per_beat,
            per_word=design.result_beats,
            burst=design.burst,
            outstanding=design.outstanding,
            page=PAGE_BYTES // design.bus_bytes,
            pre=0 if plan is None else plan.group_beats + READ_AFTER + OUT_AFTER,
        )

    @classmethod
    def over(cls, spec: type[TileSpec], p: P, d: P, found: inventory.Geometry | None = None) -> Geometry:
        """Those of many designs around tiles of a family: ``p`` and ``d`` as `hwgen.accelerator.inventory.geometry` has
        them, whose answer may be given as ``found``.
        """
        d = inventory.whole(d)
        found = inventory.geometry(spec, p, d) if found is None else found
        lanes = p["post_lanes"] if spec.uses_lanes(p) else 0
        turns = d["result"] in INTEGERS
        return cls(
            {name: StreamGeometry.of(stream) for name, stream in found.streams.items()},
            step=spec.layer_cycles(p),
            busy=maximum(spec.post_cycles(p), found.made * found.result_beats) if turns else spec.post_cycles(p),
            fold=spec.fold_cycles(p),
            drain=spec.drain(p),
            beats=found.beats,
            credit=found.queues["stream_result"][0],
            every=where(lanes > 0, 0, 1),
            made=found.made,
            unit=unit_registers(d) + turns,
            group_steps=found.group_steps,
            sum_steps=found.sum_steps,
            gathers=found.result_words_per_beat,
            per_word=found.result_beats,
            burst=d["burst"],
            outstanding=d["outstanding"],
            page=PAGE_BYTES // (d["bus_bits"] // 8),
        )

    @classmethod
    def stack(cls, parts: Sequence[Geometry]) -> Geometry:
        """Arrays over designs."""
        names = [one.name for one in fields(StreamGeometry)]
        streams = {
            stream: StreamGeometry(
                *(np.array([getattr(part.streams[stream], name) for part in parts]) for name in names)
            )
            for stream in STREAMS
        }
        rest = [one.name for one in fields(cls) if one.name != "streams"]
        return cls(streams, **{name: np.array([getattr(part, name) for part in parts]) for name in rest})


def job_arrays(jobs: Sequence[Job]) -> dict[str, np.ndarray]:
    """Counts, flags and addresses of jobs by name."""
    return {one.name: np.array([getattr(job, one.name) for job in jobs]) for one in fields(Job)}
