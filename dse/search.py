"""Look for the front of a space that is too large to evaluate: NSGA-II of pymoo on points as genomes.

Generations are evaluated by the level's own array code, points of one family, clock and set of names at once; a point
is never evaluated twice. Points that are not legal, or whose objectives are not known, are worse than all others;
those that miss constraints are the worse the more they miss them. The front is that of all points that were evaluated,
not of the last generation alone.

K. Deb, A. Pratap, S. Agarwal, T. Meyarivan: A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE
Transactions on Evolutionary Computation 6 (2002).
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dse.genome import Genomes
from dse.level import Chunk, Level
from dse.part import Part, Tally
from dse.plan import Plan, Scene, Search
from dse.space import Space
from dse.threads import one_blas_thread
from dse.where import Baseline, Condition, constrained, misses_of

__all__ = ["METHOD", "Found", "Points", "method", "search_facts", "search_words", "searched"]

METHOD = "NSGA-II"
_ILLEGAL, _UNKNOWN, _MOST_MISS = 1e9, 1e6, 1e3
"""Violations of a point that is not legal, of one whose objectives are not known, and the greatest of a constraint."""
_BLOCK_POINTS = 1 << 10
"""Points that are evaluated at once: prices of points that share nothing take more than a proportional time."""
_PART_POINTS = 1 << 16
_INITIAL_SHARE = 2
"""At most one in so many evaluations goes to finding legal points to begin with."""

Progress = Callable[[int, int], None]
"""Called with (points done, points in all)."""


@dataclass(frozen=True)
class Found:
    """What points came to, in their order: ``values`` [points, objectives], smaller is better, NaN where nothing is
    known; ``violations`` [points, 1 + conditions], 0 where legal and met.
    """

    values: np.ndarray
    violations: np.ndarray


@dataclass
class Points:
    """Evaluates points by number, wherever they lie, and keeps count of them."""

    plan: Plan
    tally: Tally = field(init=False)

    def __post_init__(self) -> None:
        self.tally = Tally(self.plan)
        self._levels: dict[int | None, tuple[Level, list[Condition], Baseline | None]] = {}
        self._orders: dict[tuple[int, str], tuple[np.ndarray, np.ndarray]] = {}

    def evaluate(self, numbers: np.ndarray) -> Found:
        """Points of these numbers, no number twice."""
        plan = self.plan
        found = Found(
            np.full((len(numbers), len(plan.objectives)), np.nan),
            np.zeros((len(numbers), 1 + len(plan.kind.where))),
        )
        found.violations[:, 0] = _ILLEGAL
        scene, clock, space, place = plan.places(numbers)
        # Names are scalars of a block, so points that differ in one are of two blocks.
        key = np.stack([scene, clock, space, np.zeros_like(place)])
        for at in np.unique(space):
            own = space == at
            key[3, own] = self._names_of(int(at), place[own])
        order = np.lexsort((numbers, *key[::-1]))
        edges = np.flatnonzero((np.diff(key[:, order], axis=1) != 0).any(axis=0)) + 1
        with one_blas_thread():
            for group in np.split(order, edges):
                for start in range(0, len(group), _BLOCK_POINTS):
                    rows = group[start : start + _BLOCK_POINTS]
                    first = rows[0]
                    self._block(
                        int(scene[first]), int(clock[first]), int(space[first]), place[rows], rows, numbers, found
                    )
        return found

    def _names_of(self, space_at: int, place: np.ndarray) -> np.ndarray:
        """The part of places that stands for parameters that are no numbers."""
        space = self.plan.spaces[space_at]
        found = np.zeros_like(place)
        for name in space.varying:
            if space.parameters[name].type is not int:
                stride = space.strides[name]
                found += place // stride % len(space.axes[name]) * stride
        return found

    def _block(
        self,
        scene_at: int,
        clock_at: int,
        space_at: int,
        place: np.ndarray,
        rows: np.ndarray,
        numbers: np.ndarray,
        found: Found,
    ) -> None:
        """Points of one space at one clock on one scene that share all names."""
        plan = self.plan
        scene, space, clock = plan.scenes[scene_at], plan.spaces[space_at], plan.scenes[scene_at].clocks[clock_at]
        scalars: dict[str, Any] = {}
        arrays: dict[str, np.ndarray] = {}
        for name in space.parameters:
            listed = space.axes[name]
            at = place // space.strides[name] % len(listed)
            if space.parameters[name].type is int and len(listed) > 1:
                arrays[name] = np.array(listed, np.int64)[at]
            else:
                scalars[name] = listed[int(at[0])]
        scene.tech.prepare(space.family)
        level, conditions, baseline = self._level(scene)
        p = {name: arrays[name] if name in arrays else scalars[name] for name in space.parameters}
        chunk = level.evaluate(space, p, scene.layers, scene.tech, clock)
        if not chunk.columns:
            self.tally.count(chunk)
            return
        legal = self._legal(space_at, chunk, arrays, place)
        limit = baseline.on(scene.layers, scene.tech, clock) if baseline else None
        limits = [one.limit(limit) for one in conditions]
        misses = misses_of(space, chunk, conditions, limits)
        found.violations[rows[legal], 0] = 0.0
        found.violations[rows[legal], 1:] = np.minimum(misses, _MOST_MISS).T
        met = (misses == 0).all(axis=0)
        if conditions:
            chunk = constrained(space, chunk, conditions, limits)
        self.tally.count(chunk)
        if not met.any():
            return
        legal = legal[met]
        values = self.tally.add(scene_at, space_at, clock_at, chunk, numbers[rows[legal]])
        fixed = self.tally.fixed(scene_at, space_at, clock_at, scalars)
        varying = {name: one[legal] for name, one in arrays.items()}
        self.tally.axes.add_scattered(scene.workload, fixed, varying, {**chunk.fixed, **chunk.columns})
        found.values[rows[legal]] = values
        found.violations[rows[legal], 0] = np.where(np.isnan(values).any(axis=1), _UNKNOWN, 0.0)

    def _level(self, scene: Scene) -> tuple[Level, list[Condition], Baseline | None]:
        """The level of a scene without constraints, and these."""
        if scene.tokens not in self._levels:
            level = self.plan.kind.unconstrained(scene.tokens, self.plan.base)
            self._levels[scene.tokens] = level, *self.plan.kind.limits(level)
        return self._levels[scene.tokens]

    def _legal(self, space_at: int, chunk: Chunk, arrays: dict[str, np.ndarray], place: np.ndarray) -> np.ndarray:
        """Which of a block's points its rows are: parameters say so."""
        rows = len(chunk.columns["cycles"])
        if rows == len(place):
            return np.arange(rows)
        space = self.plan.spaces[space_at]
        whole, own = np.zeros(len(place), np.int64), np.zeros(rows, np.int64)
        for name, given in arrays.items():
            values, order = self._order(space_at, space, name)
            whole += order[np.searchsorted(values, given)] * space.strides[name]
            own += order[np.searchsorted(values, chunk.columns[name])] * space.strides[name]
        ascending = np.argsort(whole)
        return np.asarray(ascending[np.searchsorted(whole[ascending], own)])

    def _order(self, space_at: int, space: Space, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Values of an axis in their order, and the place of each."""
        if (space_at, name) not in self._orders:
            values = np.array(space.axes[name], np.int64)
            order = np.argsort(values)
            self._orders[space_at, name] = values[order], order
        return self._orders[space_at, name]


def searched(plan: Plan, progress: Progress | None = None) -> Iterator[Part]:
    """Points that a search evaluates, as parts: of each workload `Search.evaluations` at most.

    Fewer where crossing and mutating finds no new points any more. The same plan gives the same points.
    """
    search = plan.search
    assert search is not None
    workloads = list(plan.points_of_workloads)
    total = len(workloads) * search.evaluations
    points, done, index, started = Points(plan), 0, 0, time.perf_counter()
    for place, workload in enumerate(workloads):
        rng = np.random.default_rng([search.seed, place])
        for evaluated in _of_workload(points, Genomes(plan, workload), search, rng):
            done += evaluated
            if progress is not None:
                progress(done, total)
            if points.tally.counted.looked_at >= _PART_POINTS:
                yield points.tally.part(index, time.perf_counter() - started)
                points.tally, index, started = Tally(plan), index + 1, time.perf_counter()
    if points.tally.counted.looked_at or not index:
        yield points.tally.part(index, time.perf_counter() - started)


def _of_workload(points: Points, genomes: Genomes, search: Search, rng: np.random.Generator) -> Iterator[int]:
    """Search the front of one workload; yields how many points each generation evaluated."""
    # pymoo takes most of a second to import.
    from pymoo.core.evaluator import Evaluator
    from pymoo.core.problem import Problem
    from pymoo.problems.static import StaticProblem

    from dse.operators import nsga2

    first, found = yield from _initial(points, genomes, search, rng)
    spent, seen = len(first), set(genomes.numbers(first).tolist())
    scaled = _Scaled(found)
    objectives, violations = found.values.shape[1], found.violations.shape[1]
    sizes = genomes.sizes
    problem = Problem(n_var=len(sizes), n_obj=objectives, n_ieq_constr=violations, xl=0, xu=sizes - 1, vtype=int)
    evaluator = Evaluator()
    algorithm = nsga2(problem, genomes, first, seen, search.population, int(rng.integers(1 << 31)))
    generation = algorithm.ask()
    while generation is not None and len(generation):
        evaluator.eval(StaticProblem(problem, F=scaled(found), G=found.violations), generation)
        algorithm.tell(infills=generation)
        if spent >= search.evaluations:
            return
        generation = algorithm.ask()
        if generation is None or not len(generation):
            return
        generation = generation[: search.evaluations - spent]
        numbers = genomes.numbers(generation.get("X").astype(np.int64))
        found = points.evaluate(numbers)
        seen.update(numbers.tolist())
        spent += len(numbers)
        yield len(numbers)


def _initial(
    points: Points, genomes: Genomes, search: Search, rng: np.random.Generator
) -> Generator[int, None, tuple[np.ndarray, Found]]:
    """Genomes drawn at random until a population of them is legal and meets the constraints, and what they came to;
    yields as `_of_workload`.
    """
    drawn: list[np.ndarray] = []
    results: list[Found] = []
    seen: set[int] = set()
    feasible = 0
    while feasible < search.population:
        left = search.evaluations - len(seen)
        if drawn and len(seen) + search.population > search.evaluations // _INITIAL_SHARE:
            break
        new = _unseen(genomes.random(min(search.population, left), rng), genomes, seen)
        if not len(new):
            break
        numbers = genomes.numbers(new)
        seen.update(numbers.tolist())
        results.append(points.evaluate(numbers))
        drawn.append(new)
        feasible += int((results[-1].violations == 0).all(axis=1).sum())
        yield len(new)
    whole = Found(*(np.concatenate([getattr(one, name) for one in results]) for name in ("values", "violations")))
    return np.concatenate(drawn), whole


def _unseen(drawn: np.ndarray, genomes: Genomes, seen: set[int]) -> np.ndarray:
    """Genomes of points that are new, each once."""
    numbers, first = np.unique(genomes.numbers(drawn), return_index=True)
    new = [place for number, place in zip(numbers.tolist(), first.tolist(), strict=True) if number not in seen]
    return drawn[np.sort(np.array(new, np.int64))]


class _Scaled:
    """Objectives as the search compares them: as good as logarithms where they are far from 0, so that points spread
    over their magnitudes; the order is that of the values.
    """

    def __init__(self, found: Found) -> None:
        sizes = np.abs(found.values)
        sizes[~(sizes > 0)] = np.inf
        smallest = sizes.min(axis=0)
        self._unit = np.where(np.isfinite(smallest), smallest, 1.0)

    def __call__(self, found: Found) -> np.ndarray:
        # Of points that are not feasible objectives are not looked at, but they must be numbers.
        return np.nan_to_num(np.arcsinh(found.values / self._unit), nan=0.0)


def method() -> str:
    """What searches, with its version."""
    return f"{METHOD} of pymoo {importlib.metadata.version('pymoo')}"


def search_facts(plan: Plan, evaluated: int) -> dict[str, Any]:
    """What the manifest says of a search that evaluated so many points."""
    search = plan.search
    assert search is not None
    return {
        "method": method(),
        "exhaustive": False,
        "points": plan.size,
        "evaluations": evaluated,
        "evaluations_each_workload": search.evaluations,
        "population": search.population,
        "seed": search.seed,
    }


def search_words(about: Mapping[str, Any]) -> str | None:
    """What a sweep's metadata says of a search, in words; None where all points were evaluated."""
    found = about.get("search")
    if found is None:
        return None
    return (
        f"searched, not exhaustive: {found['evaluations']:,} of {found['points']:,} points evaluated by "
        f"{found['method']}, seed {found['seed']}, population {found['population']:,}"
    )
