"""Evaluate all points of a plan in constant memory, and keep the front, a sample and what each axis value came to; or,
of a plan with a search, the points that it chooses (`dse.search`).

`dse.sweep.run_sweep` holds every row in memory and is good for some millions of points; this is good for any number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from dse.engines import Engine, Here
from dse.part import Part
from dse.plan import Plan, accurate
from dse.provenance import commit, versions
from dse.running import Running
from dse.search import search_facts, searched
from dse.store import TABLES, Store, read_table
from dse.where import miss_sentence
from hwgen.errors import HwgenError

__all__ = ["Explored", "explore"]

Progress = Callable[[int, int], None]
"""Called with (points done, points in all)."""
_KEEP_S = 20.0
"""Seconds between two times that what is done is written."""


@dataclass(frozen=True)
class Explored:
    """What a sweep came to.

    Members
    -------
    front: non-dominated points of each workload, ordered by the objectives.
    sample: points of each stratum (workload, technology, clock, family), each ``stands_for`` so many of it.
    axes: points, and least, mean and greatest objectives, by value of each axis.
    looked_at: points of the spaces; legal: those of them that are legal and meet the constraints; unknown: of those,
        points of which an objective is not known, on no front; unmeasured: points whose accuracy was not measured,
        where it is a column. skipped: the others, by reason.
    seconds: spent in evaluation, all processes together, in this run. wall_seconds: of this run. resumed: points taken
        from an earlier run.
    """

    front: pd.DataFrame
    sample: pd.DataFrame
    axes: pd.DataFrame
    objectives: tuple[str, ...]
    skipped: Mapping[str, int]
    looked_at: int
    legal: int
    unknown: int
    unmeasured: int
    seconds: float
    wall_seconds: float
    resumed: int
    metadata: Mapping[str, Any]

    @property
    def points_per_second(self) -> float:
        """Points looked at per second of this run; 0 when nothing was evaluated."""
        new = self.looked_at - self.resumed
        return new / self.wall_seconds if new and self.wall_seconds else 0.0


def explore(
    plan: Plan,
    output: str | Path | None = None,
    *,
    engine: Engine | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Explored:
    """Evaluate every point of a plan, or those that its search chooses.

    Parameters
    ----------
    output: folder of the result (`dse.store`); the same sweep goes on from there after an interruption, and a finished
        one is read instead of evaluated again. Without one nothing is written.
    engine: who evaluates; this process by default. The result is the same, bit for bit.
    command: how the sweep was started, for the manifest.

    Raises `HwgenError` where no point is legal or meets the constraints, with the reasons; and for an output that
    cannot be written.
    """
    engine = engine or Here()
    plan.prepare()
    if output is None:
        running = Running(plan)
        started = time.perf_counter()
        if plan.search:
            for part in searched(plan, progress):
                running.add(part)
        else:
            _merge(plan, running, engine, progress)
        tables = _tables(running)
        return _explored(plan, tables, _metadata(plan, running, command), 0, 0.0, time.perf_counter() - started)
    with Store.opened(Path(output), plan) as store:
        return _stored(plan, store, engine, command, progress)


def _stored(plan: Plan, store: Store, engine: Engine, command: str, progress: Progress | None) -> Explored:
    started = time.perf_counter()
    known = store.finished()
    damaged = store.damaged() if known is not None else []
    # Parts of a search follow from those before, so it is done again as a whole.
    if known is not None and not (damaged and plan.search):
        tables = {name: read_table(store.folder / f"{name}.parquet") for name in TABLES}
        if damaged:
            _again(plan, store, engine, damaged)
            unchanged = ("kind", "schema_version", "stored", "files", "parts")
            about = {name: value for name, value in known.items() if name not in unchanged}
            known = store.write(tables, about)
        return _explored(plan, tables, known, known["looked_at"], known["seconds"], time.perf_counter() - started)
    if plan.search:
        return _searched(plan, store, command, progress)
    running = store.resumed()
    resumed, earlier = running.looked_at, running.seconds
    try:
        _again(plan, store, engine, store.damaged())
        _merge(plan, running, engine, progress, store, command)
        tables = _tables(running)
    except HwgenError:
        if running.parts == plan.parts:
            # Whoever runs it again would be told the same.
            store.abandon()
        raise
    about = _metadata(plan, running, command)
    manifest = store.write(tables, about)
    return _explored(plan, tables, manifest, resumed, earlier, time.perf_counter() - started)


def _searched(plan: Plan, store: Store, command: str, progress: Progress | None) -> Explored:
    """A search: from its beginning, and nothing is left of one that is interrupted."""
    started = time.perf_counter()
    store.points = {}
    running = Running(plan)
    try:
        for part in searched(plan, progress):
            if part.points is not None:
                store.write_points(part.index, part.points)
            running.add(part)
        tables = _tables(running)
    except BaseException:
        store.abandon()
        raise
    manifest = store.write(tables, _metadata(plan, running, command))
    return _explored(plan, tables, manifest, 0, 0.0, time.perf_counter() - started)


def _again(plan: Plan, store: Store, engine: Engine, parts: Iterable[int]) -> None:
    """Write the points of parts whose files are damaged; what they came to is merged already."""
    listed = list(parts)
    for part in engine.evaluate(plan, listed) if listed else ():
        assert part.points is not None
        store.write_points(part.index, part.points)


def _in_order(parts: Iterable[Part], first: int) -> Iterator[Part]:
    """Parts in the order of their numbers; those that come early wait."""
    early: dict[int, Part] = {}
    for part in parts:
        early[part.index] = part
        while first in early:
            yield early.pop(first)
            first += 1


def _merge(
    plan: Plan,
    running: Running,
    engine: Engine,
    progress: Progress | None,
    store: Store | None = None,
    command: str = "",
) -> None:
    """Evaluate and merge the parts that are left."""
    saved = time.monotonic()
    unsaved = False
    try:
        if running.parts < plan.parts:
            for part in _in_order(engine.evaluate(plan, range(running.parts, plan.parts)), running.parts):
                if store is not None and part.points is not None:
                    store.write_points(part.index, part.points)
                running.add(part)
                unsaved = True
                if store is not None and time.monotonic() - saved > _KEEP_S:
                    store.keep(running, command)
                    saved, unsaved = time.monotonic(), False
                if progress is not None:
                    progress(running.looked_at, plan.size)
    except BaseException:
        # Whatever ended it, what is done is kept.
        if store is not None and unsaved:
            store.keep(running, command)
        raise


def _tables(running: Running) -> dict[str, pa.Table]:
    """Front, sample and axes. Raises `HwgenError` where no point is left, with the reasons."""
    plan = running.plan
    if not running.legal:
        sentence = miss_sentence(plan.level.constraints, running.missed)
        if sentence is not None:
            raise HwgenError(f"sweep: {sentence}")
        skipped, looked_at = _skipped(running), _looked_at(running)
        reasons = "; ".join(f"{count:,} × {reason}" for reason, count in skipped.items())
        which = "points that were evaluated" if plan.search else "points"
        raise HwgenError(f"sweep: none of the {looked_at:,} {which} is legal: {reasons}")
    if running.unknown == running.legal:
        asked = accurate(plan)
        if asked:
            raise HwgenError(
                f"sweep: {asked[0]} was measured of no point's formats; --measure measures them, or leave the "
                "objective out"
            )
        raise HwgenError("pareto: objectives must be numbers, not NaN")
    return {"front": running.front_table(), "sample": running.sample_table(), "axes": running.axes_table()}


def _looked_at(running: Running) -> int:
    """Points that were looked at, those among them that a family does not have."""
    return running.looked_at + (0 if running.plan.search else sum(running.plan.dropped.values()))


def _skipped(running: Running) -> dict[str, int]:
    found = dict(running.skipped)
    if running.plan.search:
        return found
    for reason, count in running.plan.dropped.items():
        found[reason] = found.get(reason, 0) + count
    return found


def _one_or_each(texts: Mapping[str, str]) -> str:
    """Words about several things, once where they are the same."""
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{name}: {text}" for name, text in texts.items())


def _metadata(plan: Plan, running: Running, command: str) -> dict[str, Any]:
    families = list(dict.fromkeys(space.family for space in plan.spaces))
    techs = {scene.tech.name: scene.tech for scene in plan.scenes}
    about = {name: plan.level.about(tech, families) for name, tech in techs.items()}
    first = next(iter(about.values()))
    words = {
        key: _one_or_each({name: one[key] for name, one in about.items()}) if isinstance(value, str) else value
        for key, value in first.items()
    }
    layers = {scene.workload: scene.layers for scene in plan.scenes}
    return {
        "sweep_sha256": plan.digest,
        "command": command,
        "commit": commit(),
        "versions": versions(("pymoo",) if plan.search else ()),
        "level": plan.level.name,
        **words,
        "tech": ", ".join(techs),
        "clk_period_ns": list(dict.fromkeys(clock.period_ns for scene in plan.scenes for clock in scene.clocks)),
        "objectives": list(plan.objectives),
        "constraints": list(plan.level.constraints),
        "layers": [vars(layer) for several in layers.values() for layer in several],
        "workloads": {name: [vars(layer) for layer in several] for name, several in layers.items()},
        "spaces": [
            {
                "pe": space.family,
                "points": space.size,
                "placed": space.placed,
                "axes": {name: list(space.axes[name]) for name in space.varying},
            }
            for space in plan.spaces
        ],
        "skipped": _skipped(running),
        "looked_at": _looked_at(running),
        "rows": running.legal,
        "unknown": running.unknown,
        "unmeasured": running.unmeasured,
        "seconds": running.seconds,
        **({"search": search_facts(plan, running.looked_at)} if plan.search else {}),
    }


def _explored(
    plan: Plan,
    tables: Mapping[str, pa.Table],
    about: Mapping[str, Any],
    resumed: int,
    earlier: float,
    wall_seconds: float,
) -> Explored:
    front, sample, axes = (tables[name].to_pandas() for name in TABLES)
    return Explored(
        front,
        sample,
        axes,
        plan.objectives,
        about["skipped"],
        about["looked_at"],
        about["rows"],
        about["unknown"],
        about["unmeasured"],
        about["seconds"] - earlier,
        wall_seconds,
        resumed,
        about,
    )
