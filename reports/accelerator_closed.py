"""``python -m reports.accelerator_closed``: a job's cycles in closed form beside the cycle model, on 100,000 points."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwgen.accelerator.closed import REGIMES, ClosedCycles, closed_job_cycles
from hwgen.accelerator.geometry import Geometry, job_arrays
from reports.accelerator_points import Point, points
from reports.command_line import without_options
from reports.provenance import provenance, write_result

__all__ = ["Compared", "compared", "main", "page"]

RESULT = Path("reports/results/accelerator_closed.md")
CHUNK, SWEPT, ANY = 1000, 60, 40
LONG = 300
"""Cycles from which on a job is long: fill and drain no longer count most."""

_WHAT = {
    "compute": "the tile",
    "channel": "beats of the read channel",
    "flight": "a stream's bursts in flight",
    "ring": "room in a ring",
    "write": "the write channel",
}


@dataclass(frozen=True)
class Compared:
    """Points as text, their cycles by the cycle model and by the closed form; ``unit``: whether results pass a unit
    behind the tile.
    """

    texts: list[str]
    unit: np.ndarray
    wanted: np.ndarray
    found: ClosedCycles

    @property
    def errors(self) -> np.ndarray:
        """Relative differences."""
        errors: np.ndarray = (self.found.cycles - self.wanted) / self.wanted
        return errors

    @classmethod
    def joined(cls, parts: Sequence[Compared]) -> Compared:
        """Several as one."""
        arrays = ((one.found.cycles, one.found.exact, one.found.regime) for one in parts)
        found = ClosedCycles(*(np.concatenate(list(column)) for column in zip(*arrays, strict=True)))
        unit, wanted = (np.concatenate([getattr(one, name) for one in parts]) for name in ("unit", "wanted"))
        return cls([text for one in parts for text in one.texts], unit, wanted, found)


def compared(some: Sequence[Point]) -> Compared:
    """The closed form of points, as arrays."""
    geometries = {id(point.design): Geometry.of(point.design) for point in some}
    geometry = Geometry.stack([geometries[id(point.design)] for point in some])
    memory = (
        np.array([point.memory.latency for point in some]),
        *np.array([point.memory.beats for point in some]).T,
    )
    found = closed_job_cycles(geometry, job_arrays([point.job for point in some]), *memory)
    cycles = np.array([point.cycles for point in some])
    return Compared([_text(point) for point in some], np.asarray(geometry.unit) > 0, cycles, found)


def _text(point: Point) -> str:
    design, job, memory = point.design, point.job, point.memory
    rings = ", ".join(
        f"{name} {stream.depth} entries × {stream.beats_per_entry} beats" for name, stream in design.streams.items()
    )
    form = "".join(f" {name}" for name in ("outer", "bias") if getattr(design, name))
    return (
        f"{design.tile.family} | {design.result}{form} | {design.bus_bits} bits, burst {design.burst}, "
        f"{design.outstanding} in flight; {rings} | {job.m_blocks}×{job.n_blocks}×{job.k_steps}, "
        f"order {job.order}, held {job.hold_weights}{job.hold_acts} | {memory.latency}, "
        f"{memory.beats[0]}/{memory.beats[1]}"
    )


def _chunk(seed: int) -> Compared:
    return compared(list(points(CHUNK, seed, swept=seed < SWEPT)))


def _row(name: str, some: Compared, chosen: np.ndarray) -> str:
    errors = np.abs(some.errors[chosen])
    if not len(errors):
        return f"| {name} | 0 | – | – | – | – | – | – |"
    marked = some.found.exact[chosen]
    quantiles = " | ".join(f"{np.quantile(errors, q):.2%}" for q in (0.5, 0.9, 0.99, 1))
    return f"| {name} | {len(errors):,} | {np.mean(marked):.1%} | {np.mean(errors == 0):.1%} | {quantiles} |"


def _table(some: Compared) -> str:
    lines = [
        "| points | number | marked exact | equal | median difference | 90 % | 99 % | largest |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    every, long = np.ones(len(some.wanted), bool), some.wanted >= LONG
    lines += [_row("all", some, every), _row(f"of at least {LONG} cycles", some, long)]
    lines.append(_row("of these with results of another form than the tile's", some, long & some.unit))
    for place, name in enumerate(REGIMES):
        lines.append(_row(f"of these bound by {_WHAT[name]}", some, long & (some.found.regime == place)))
    return "\n".join(lines)


def _worst(some: Compared, count: int) -> str:
    long = np.flatnonzero(some.wanted >= LONG)
    worst = long[np.argsort(-np.abs(some.errors[long]), kind="stable")][:count]
    lines = [
        "| family | results | bus and rings | job: blocks of M × N × steps | memory | cycles | closed | difference "
        "| by |",
        "|---|---|---|---|---|---:|---:|---:|---|",
    ]
    for place in worst:
        name = REGIMES[some.found.regime[place]]
        numbers = f"{some.wanted[place]:,} | {some.found.cycles[place]:,} | {some.errors[place]:+.1%} | {name}"
        lines.append(f"| {some.texts[place]} | {numbers} |")
    return "\n".join(lines)


def page(swept: Compared, any_: Compared) -> str:
    """The body of the result page."""
    marked = [some.found.exact for some in (swept, any_)]
    wrong = sum(int((some.errors[one] != 0).sum()) for some, one in zip((swept, any_), marked, strict=True))
    return "\n\n".join(
        [
            f"`closed_job_cycles` beside `exact` on {len(swept.wanted) + len(any_.wanted):,} random points: "
            "accelerators around small tiles of all families, results of all forms, jobs of all orders and "
            "residencies, memories of any speed. Points that the closed form marks as exact: "
            f"{sum(int(one.sum()) for one in marked):,}, of which {wrong} differ. "
            "Differences are relative to `exact`.",
            "## Designs with the values that sweeps take",
            _table(swept),
            "## Any legal design: rings from 2 entries, bursts from 1 beat",
            _table(any_),
            "## Largest differences, sweep values",
            _worst(swept, 10),
            "## Largest differences, any legal design",
            _worst(any_, 10),
            "What the closed form leaves out: how bursts of several streams fall together when none of them fills the "
            "channel (a burst of one stream that comes between those of another one; a ring of two or three entries "
            "that falls out of step with the other operand's and stays so), and in which order bursts of different "
            "lengths meet the limit of those in flight.",
        ]
    )


def main() -> None:
    """Draw and compare all points and write the page; raises `SystemExit` with status 1 where a marked one differs."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        parts = []
        for part in pool.map(_chunk, range(SWEPT + ANY)):
            parts.append(part)
            print(f"{len(parts)} of {SWEPT + ANY}", flush=True)
    swept, any_ = Compared.joined(parts[:SWEPT]), Compared.joined(parts[SWEPT:])
    title = "Cycles of accelerators in closed form"
    write_result(RESULT, title, "python -m reports.accelerator_closed", page(swept, any_), provenance())
    if any((some.errors[some.found.exact] != 0).any() for some in (swept, any_)):
        raise SystemExit(1)


if __name__ == "__main__":
    without_options(main, __doc__)
