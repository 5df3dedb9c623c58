"""What a sweep is, before it runs: which points there are, in which order, and in which parts they are evaluated.

A point is one of a space's product, on one scene (layers in a technology), at one clock. Points are numbered: scenes
one after the other, in them the spaces, in them the product of the axes with the last one fastest, the clocks of a
point side by side. A part is a run of blocks; its size depends on the plan alone, so whoever evaluates which part when,
the sums over parts in their order are the same.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import importlib.metadata
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from dse.derived import with_derived
from dse.level import ACCURACY, Clock, Level
from dse.pareto import column_of
from dse.provenance import content_hash, source_hash
from dse.rows import TEXT, rows_schema
from dse.space import Blocks, Space
from dse.threads import one_blas_thread
from dse.where import Baseline, Condition, check_conditions, column_types, parse_condition, with_conditions
from hwgen.errors import HwgenError, suggest
from hwgen.schedule import Layer
from sim.tech import Tech

__all__ = ["LevelSpec", "Plan", "Scene", "Search", "accurate", "levels", "make_plan"]

PART_PAIRS = 1 << 22
"""Pairs of a point and a layer of a part, about: a second of work, so that a lost one costs little."""
_MOST_ROWS = 1 << 20
_MOST_NUMBER = 1 << 62


def levels() -> dict[str, Level]:
    """Levels of sweeps by name."""
    from dse.designs import ACCELERATORS
    from dse.tiles import TILES

    return {level.name: level for level in (TILES, ACCELERATORS)}


@dataclass(frozen=True)
class LevelSpec:
    """How a level of a plan is made: what another process needs to make the same.

    ``accuracy``: with columns of `dse.accuracy`, of what was measured. ``where``: constraints as texts. ``baseline``:
    values of the point that they compare with, by parameter.
    """

    name: str = "tile"
    accuracy: bool = False
    where: tuple[str, ...] = ()
    baseline: tuple[tuple[str, str], ...] = ()

    def make(self, tokens: int | None = None, base: Level | None = None) -> Level:
        """The level, of layers that make or read so many tokens; ``base``: what takes the place of the named one.

        Raises `HwgenError` for a text that is no constraint, and for a baseline that is no point.
        """
        level = self.unconstrained(tokens, base)
        return with_conditions(level, *self.limits(level))

    def unconstrained(self, tokens: int | None = None, base: Level | None = None) -> Level:
        """The level as `make` makes it, without constraints."""
        level = levels()[self.name] if base is None else base
        if self.accuracy and base is None:
            from dse.accuracy import with_accuracy
            from sim.accuracy.table import known_of

            level = with_accuracy(level, known_of)
        return with_derived(level, tokens)

    def limits(self, level: Level) -> tuple[list[Condition], Baseline | None]:
        """Constraints, and the point that they compare with on a level. Raises `HwgenError` as `make`."""
        baseline = Baseline(dict(self.baseline), level) if self.baseline else None
        return [parse_condition(text) for text in self.where], baseline


@dataclass(frozen=True)
class Scene:
    """What points are evaluated on: layers of a workload, in a technology, at clocks.

    ``tokens``: of one pass over the layers, None where they are of no phase of a language model.
    """

    workload: str
    layers: tuple[Layer, ...]
    tech: Tech
    clocks: tuple[Clock, ...]
    tokens: int | None = None


@dataclass(frozen=True)
class Search:
    """How a front is looked for where the points are too many to evaluate all (`dse.search`).

    ``evaluations``: points of each workload that are evaluated, no point twice; ``population``: of a generation;
    ``seed``: of all that is drawn at random.
    """

    evaluations: int = 20_000
    population: int = 200
    seed: int = 0


@dataclass(frozen=True)
class _Run:
    """Parts that follow each other: ``count`` from the part ``first`` on, of the spaces ``low`` to ``high`` of a scene;
    several spaces are one part, one space is cut into parts of ``blocks`` blocks.
    """

    first: int
    count: int
    scene: int
    low: int
    high: int
    blocks: int


@dataclass(frozen=True)
class Plan:
    """A sweep as it is evaluated; `make_plan` makes it and refuses mistakes.

    ``base``: a level of the caller's own (with accuracies that are measured on the way, or of a test), which no other
    process can make. ``keep``: whether all rows are stored. ``search``: evaluate some of the points, None for all.
    """

    spaces: tuple[Space, ...]
    scenes: tuple[Scene, ...]
    objectives: tuple[str, ...]
    kind: LevelSpec = LevelSpec()
    keep: bool = False
    chunk_points: int | None = None
    part_pairs: int = PART_PAIRS
    base: Level | None = field(default=None, compare=False)
    search: Search | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Families are found by name where it is unpickled: their classes may come from a folder."""
        if self.base is not None or self.search is not None:
            raise TypeError("a plan with a level of its own, or of a search, stays in its process")
        spaces = tuple(
            (one.family, dict(one.axes), dict(one.dropped), one.named, one.around is not None) for one in self.spaces
        )
        rest = (self.objectives, self.kind, self.keep, self.chunk_points, self.part_pairs)
        return _unpickled, (spaces, self.scenes, *rest)

    @functools.cached_property
    def levels(self) -> tuple[Level, ...]:
        """The level of each scene: the same columns, other tokens."""
        known: dict[int | None, Level] = {}
        return tuple(known.setdefault(scene.tokens, self.kind.make(scene.tokens, self.base)) for scene in self.scenes)

    @property
    def level(self) -> Level:
        """What is the same in the levels of all scenes."""
        return self.levels[0]

    @functools.cached_property
    def schema(self) -> pa.Schema:
        """Columns of rows: number, workload and technology of the point, then those of its level."""
        own = rows_schema(self.spaces, self.level)
        first = [pa.field("point", pa.int64()), pa.field("workload", TEXT), pa.field("tech", TEXT)]
        return pa.schema([*first, *own])

    @functools.cached_property
    def blocks(self) -> tuple[tuple[Blocks, ...], ...]:
        """Blocks of each space, by scene: a level evaluates fewer points at once on more layers."""
        sizes = [
            self.chunk_points or one.block_points(s.layers) for s, one in zip(self.scenes, self.levels, strict=True)
        ]
        made = {size: tuple(Blocks(space, size) for space in self.spaces) for size in set(sizes)}
        return tuple(made[size] for size in sizes)

    @functools.cached_property
    def _before(self) -> tuple[int, ...]:
        """Points of a clock in the spaces before each one; the last is all."""
        found = [0]
        for space in self.spaces:
            found.append(found[-1] + space.size)
        return tuple(found)

    @functools.cached_property
    def _before_scene(self) -> tuple[int, ...]:
        found = [0]
        for scene in self.scenes:
            found.append(found[-1] + len(scene.clocks) * self._before[-1])
        return tuple(found)

    @property
    def size(self) -> int:
        """All points, legal or not, without values that a family does not have."""
        return self._before_scene[-1]

    @functools.cached_property
    def points_of_workloads(self) -> Mapping[str, int]:
        """Points of each workload, in all its technologies at all its clocks."""
        found: dict[str, int] = {}
        for scene in self.scenes:
            found[scene.workload] = found.get(scene.workload, 0) + len(scene.clocks) * self._before[-1]
        return found

    @functools.cached_property
    def dropped(self) -> dict[str, int]:
        """Points of values that a family does not have, by reason."""
        clocks = sum(len(scene.clocks) for scene in self.scenes)
        found: dict[str, int] = {}
        for space in self.spaces:
            for reason, count in space.dropped.items():
                found[reason] = found.get(reason, 0) + clocks * count
        return found

    def first_number(self, scene: int, space: int) -> int:
        """Number of a space's first point on a scene; the points of its product follow at a distance of the clocks."""
        return self._before_scene[scene] + len(self.scenes[scene].clocks) * self._before[space]

    def point(self, number: int) -> tuple[Scene, Clock, Space, dict[str, Any]]:
        """What a number stands for: scene, clock, space and the values of all parameters there.

        Raises `HwgenError` for a number that no point has.
        """
        if not 0 <= number < self.size:
            raise HwgenError(f"sweep: a point's number must be from 0 to {self.size - 1:,}, not {number:,}")
        at = bisect.bisect_right(self._before_scene, number) - 1
        scene = self.scenes[at]
        place, clock = divmod(number - self._before_scene[at], len(scene.clocks))
        index = bisect.bisect_right(self._before, place) - 1
        space = self.spaces[index]
        return scene, scene.clocks[clock], space, space.point(place - self._before[index])

    def places(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Scene, clock, space and place in the space's product of each number [points] of a point."""
        scene = np.searchsorted(self._before_scene, numbers, side="right") - 1
        clocks = np.array([len(one.clocks) for one in self.scenes], np.int64)[scene]
        place, clock = np.divmod(numbers - np.array(self._before_scene, np.int64)[scene], clocks)
        space = np.searchsorted(self._before, place, side="right") - 1
        return scene, clock, space, place - np.array(self._before, np.int64)[space]

    @functools.cached_property
    def _runs(self) -> tuple[_Run, ...]:
        found: list[_Run] = []
        first = 0

        def add(count: int, scene: int, low: int, high: int, blocks: int) -> None:
            nonlocal first
            found.append(_Run(first, count, scene, low, high, blocks))
            first += count

        for index, scene in enumerate(self.scenes):
            most = max(min(self.part_pairs // len(scene.layers), _MOST_ROWS) // len(scene.clocks), 1)
            low, points = 0, 0
            for place, blocks in enumerate(self.blocks[index]):
                size = self.spaces[place].size
                if points and points + size > most:
                    add(1, index, low, place, 0)
                    low, points = place, 0
                if size > most:
                    each = max(math.ceil(most * len(blocks) / size), 1)
                    add(math.ceil(len(blocks) / each), index, place, place + 1, each)
                    low = place + 1
                else:
                    points += size
            if points:
                add(1, index, low, len(self.spaces), 0)
        return tuple(found)

    @property
    def parts(self) -> int:
        """Parts of the sweep."""
        return self._runs[-1].first + self._runs[-1].count if self._runs else 0

    def blocks_of(self, part: int) -> Iterator[tuple[int, int, int]]:
        """Scene, space and block of all blocks of a part, in their order."""
        run = self._runs[bisect.bisect_right(self._runs, part, key=lambda run: run.first) - 1]
        if run.blocks:
            start = (part - run.first) * run.blocks
            for block in range(start, min(start + run.blocks, len(self.blocks[run.scene][run.low]))):
                yield run.scene, run.low, block
            return
        for space in range(run.low, run.high):
            for block in range(len(self.blocks[run.scene][space])):
                yield run.scene, space, block

    def prepare(self) -> None:
        """Read what prices need, so that the first part takes no longer than others."""
        with one_blas_thread():
            for scene in self.scenes:
                for name in dict.fromkeys(space.family for space in self.spaces):
                    scene.tech.prepare(name)

    @functools.cached_property
    def strata(self) -> Mapping[tuple[int, int, str], int]:
        """Number of each stratum of the sample: scene, clock and family."""
        families = dict.fromkeys(space.family for space in self.spaces)
        keys = [
            (scene, clock, name)
            for scene, one in enumerate(self.scenes)
            for clock in range(len(one.clocks))
            for name in families
        ]
        return {key: place for place, key in enumerate(keys)}

    @functools.cached_property
    def swept(self) -> tuple[str, ...]:
        """Names of what varies: of parameters, and of ``pe``, ``workload``, ``tech`` and ``clk_period_ns``."""
        found = dict.fromkeys(name for space in self.spaces for name in space.varying)
        # A parameter that is fixed within each space may differ between them.
        values: dict[str, set[Any]] = {}
        for space in self.spaces:
            for name, one in space.axes.items():
                values.setdefault(name, set()).update(one)
        found |= dict.fromkeys(name for name, several in values.items() if len(several) > 1)
        outer = {
            "pe": len({space.family for space in self.spaces}),
            "workload": len({scene.workload for scene in self.scenes}),
            "tech": len({scene.tech.name for scene in self.scenes}),
            "clk_period_ns": len({clock.period_ns for scene in self.scenes for clock in scene.clocks}),
        }
        return (*(name for name, count in outer.items() if count > 1), *found)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of all that the result depends on."""
        searched = {}
        if self.search is not None:
            made_by = [importlib.metadata.version("pymoo"), source_hash((), ("dse/genome.py", "dse/search.py"))]
            searched = {"search": [*dataclasses.astuple(self.search), *made_by]}
        return content_hash(
            {
                **searched,
                "level": [self.level.name, sorted(self.level.metrics), list(self.level.constraints)],
                "kind": [self.kind.name, self.kind.accuracy, self.kind.where, self.kind.baseline],
                "spaces": [
                    [space.family, {name: list(values) for name, values in space.axes.items()}, sorted(space.named)]
                    for space in self.spaces
                ],
                "scenes": [
                    [
                        scene.workload,
                        [[layer.name, layer.m, layer.n, layer.k, layer.count] for layer in scene.layers],
                        scene.tech.digest,
                        [[clock.period_ns, clock.named] for clock in scene.clocks],
                        scene.tokens,
                    ]
                    for scene in self.scenes
                ],
                "objectives": list(self.objectives),
                "blocks": [self.chunk_points, self.part_pairs],
                "source": source_hash((space.family for space in self.spaces), self.level.sources),
            }
        )


def _unpickled(spaces: Sequence[tuple[Any, ...]], scenes: tuple[Scene, ...], *rest: Any) -> Plan:
    kind: LevelSpec = rest[1]
    around = levels()[kind.name].around
    made = tuple(
        Space(name, axes, dropped, named, around if beside else None) for name, axes, dropped, named, beside in spaces
    )
    return Plan(made, scenes, *rest)


def make_plan(
    spaces: Sequence[Space],
    scenes: Sequence[Scene],
    objectives: Sequence[str] = ("area_um2", "latency_us"),
    kind: LevelSpec | None = None,
    *,
    keep: bool = False,
    chunk_points: int | None = None,
    part_pairs: int = PART_PAIRS,
    base: Level | None = None,
    search: Search | None = None,
) -> Plan:
    """Plan of a sweep; members as in `Plan`.

    Raises `HwgenError` for nothing to evaluate, for a clock that is none, an unknown objective, a constraint on an
    unknown column, and for more points than have numbers.
    """
    named: dict[str, tuple[Layer, ...]] = {}
    for scene in scenes:
        if named.setdefault(scene.workload, scene.layers) != scene.layers:
            raise HwgenError(f"sweep: two workloads must have two names, not both {scene.workload!r}")
        for layer in scene.layers:
            if not isinstance(layer, Layer):
                raise HwgenError(f"sweep: layers must be of the class hwgen.schedule.Layer, not {layer!r}")
        for clock in scene.clocks:
            if clock.period_ns is not None and not 0 < clock.period_ns < float("inf"):
                raise HwgenError(f"sweep: clk_period_ns must be above 0, not {clock.period_ns:g}")
    layers = min((len(scene.layers) for scene in scenes), default=0)
    if not spaces or not layers:
        raise HwgenError(f"sweep: needs at least one family and one layer, not {len(spaces)} and {layers}")
    plan = Plan(
        tuple(spaces),
        tuple(scenes),
        tuple(objectives),
        kind or LevelSpec(),
        keep,
        chunk_points,
        part_pairs,
        base,
        search,
    )
    for space in spaces:
        if space.around is not plan.level.around:
            raise HwgenError(f"sweep: spaces must be of the level {plan.level.name}, not that of {space.family}")
    columns = column_types([space.parameters for space in spaces], plan.level)
    _check_objectives(objectives, {name: kind for name, kind in columns.items() if kind in (int, float, bool)})
    conditions = [parse_condition(text) for text in plan.kind.where]
    check_conditions(conditions, columns, baseline=bool(plan.kind.baseline))
    if plan.size > _MOST_NUMBER:
        raise HwgenError(
            f"sweep: must have at most 2^62 points, not some 10^{len(str(plan.size)) - 1}; give fewer values"
        )
    if search is not None:
        _check_search(search, plan)
    return plan


def _check_search(search: Search, plan: Plan) -> None:
    if search.population < 4:
        raise HwgenError(f"sweep: --population must be at least 4, not {search.population}")
    if search.evaluations < search.population:
        raise HwgenError(
            f"sweep: --evaluations must be at least --population, {search.population:,}, not {search.evaluations:,}"
        )
    if not 0 <= search.seed < 1 << 64:
        raise HwgenError(f"sweep: --seed must be from 0 to {(1 << 64) - 1}, not {search.seed}")
    for name, size in plan.points_of_workloads.items():
        if size <= search.evaluations:
            raise HwgenError(
                f"sweep: --evaluations must be fewer than the points of the space, {size:,} on {name!r}, not "
                f"{search.evaluations:,}; without --search every point is evaluated"
            )


def _check_objectives(objectives: Sequence[str], numeric: Mapping[str, type]) -> None:
    if not objectives:
        raise HwgenError("pareto: objectives must name at least one column")
    for name in map(column_of, objectives):
        if name not in numeric:
            raise HwgenError(
                f"pareto: objective must be one of {', '.join(numeric)}, not {name!r}{suggest(name, numeric)}"
            )


def accurate(plan: Plan) -> list[str]:
    """Objectives that are accuracies, which not every point has."""
    return [name for name in map(column_of, plan.objectives) if name in ACCURACY]
