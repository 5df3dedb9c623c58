"""What happened when in an accelerator: tracks of intervals from the cycle model, and as a trace for Perfetto."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hwgen.accelerator.design import Design
from hwgen.accelerator.exact import JobCycles, Memory, exact
from hwgen.accelerator.job import Job
from hwgen.accelerator.recording import Recording, TileState

__all__ = ["MOST_CYCLES", "TILE_WORDS", "Level", "Timeline", "Track", "chrome_trace", "timeline"]

MOST_CYCLES = 20_000
"""Cycles that a timeline shows where nothing else is said."""

TILE_WORDS = {
    TileState.BUSY: "busy",
    TileState.WAITS_WEIGHTS: "waits for weights",
    TileState.WAITS_ACTS: "waits for activations",
    TileState.WAITS_RESULTS: "waits for results to leave",
    TileState.FOLDS: "lanes or folding busy",
    TileState.DONE: "all steps done",
}


@dataclass(frozen=True)
class Track:
    """Intervals of one part: begin, end (exclusive) and what it does, cycles counted as `JobCycles.cycles`."""

    name: str
    intervals: tuple[tuple[int, int, str], ...]


@dataclass(frozen=True)
class Level:
    """A count that changes: cycles from which on it has a value; ``most`` is its largest possible value."""

    name: str
    most: int
    changes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Timeline:
    """The cycles ``begin`` to ``end`` of a job that takes ``job.cycles``."""

    begin: int
    end: int
    tracks: tuple[Track, ...]
    levels: tuple[Level, ...]
    job: JobCycles


def timeline(design: Design, job: Job, memory: Memory, most: int = MOST_CYCLES) -> Timeline:
    """The first ``most`` cycles of a job."""
    found = Recording(most)
    cycles = exact(design, job, memory, recording=found)
    streams = list(design.streams)
    names = {stream.index: name for name, stream in design.streams.items()}
    first = found.first
    tracks = [Track("tile", _runs(first, [TILE_WORDS[state] for state in found.tile]))]
    for index, name in names.items():
        label = _words(name)
        tracks.append(
            Track(f"reads of {label}", _runs(first, ["beats" if one == index else "" for one in found.beats]))
        )
        tracks.append(
            Track(f"asks for {label}", _runs(first, ["burst" if one == index else "" for one in found.bursts]))
        )
    tracks.append(Track("writes of results", _runs(first, ["beats" if one else "" for one in found.writes])))
    levels = [
        Level(
            f"ring of {_words(name)}", design.streams[name].depth, _changes(first, [held[place] for held in found.held])
        )
        for place, name in enumerate(streams)
    ]
    levels.append(Level("results in the buffer", design.write_depth, _changes(first, found.waiting)))
    return Timeline(first, first + len(found), tuple(tracks), tuple(levels), cycles)


def _words(stream: str) -> str:
    """A stream's name in words."""
    return {
        "weights": "weights",
        "weight_sides": "weights' groups",
        "acts": "activations",
        "act_sides": "activations' groups",
        "channels": "channels",
    }[stream]


def _runs(first: int, states: Iterable[str]) -> tuple[tuple[int, int, str], ...]:
    """Intervals of equal states; empty ones are none."""
    found = []
    at = first
    for state, group in itertools.groupby(states):
        end = at + sum(1 for _ in group)
        if state:
            found.append((at, end, state))
        at = end
    return tuple(found)


def _changes(first: int, values: Sequence[int]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for place, value in enumerate(values):
        if not found or found[-1][1] != value:
            found.append((first + place, value))
    return tuple(found)


def chrome_trace(shown: Timeline, name: str = "accelerator") -> dict[str, Any]:
    """A timeline in Chrome's trace format, which Perfetto and chrome://tracing open: a cycle is a microsecond."""
    process = {"name": "process_name", "ph": "M", "pid": 1, "args": {"name": name}}
    events: list[dict[str, Any]] = [process]
    for number, track in enumerate(shown.tracks, 1):
        common = {"pid": 1, "tid": number}
        events.append({"name": "thread_name", "ph": "M", **common, "args": {"name": track.name}})
        events.append({"name": "thread_sort_index", "ph": "M", **common, "args": {"sort_index": number}})
        for begin, end, what in track.intervals:
            events.append({"name": what, "cat": track.name, "ph": "X", "ts": begin, "dur": end - begin, **common})
    for level in shown.levels:
        for at, value in level.changes:
            events.append({"name": level.name, "ph": "C", "pid": 1, "ts": at, "args": {"entries": value}})
    counts = {"cycles": shown.job.cycles, "waits": shown.job.waits, "shown": [shown.begin, shown.end]}
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": counts}
