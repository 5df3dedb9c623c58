"""Operators of pymoo on genomes whose genes are places in lists of values; imported when a search begins."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.config import Config
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair
from pymoo.core.termination import NoTermination
from pymoo.operators.crossover.ux import UniformCrossover
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

from dse.genome import Genomes

__all__ = ["nsga2"]

_STEP = 0.5
"""Share of mutated genes that go to a value nearby; the others to any value."""
_CROSSED = 0.9


def nsga2(problem: Problem, genomes: Genomes, first: np.ndarray, seen: set[int], population: int, seed: int) -> Any:
    """The algorithm, set up; ``first``: genomes of the first generation; ``seen``: numbers of points that no later
    generation holds again, to which the caller adds.
    """
    Config.warnings["not_compiled"] = False
    new = _New(genomes, seen)
    algorithm = NSGA2(
        pop_size=population,
        sampling=first,
        selection=TournamentSelection(func_comp=_better),
        crossover=UniformCrossover(prob=_CROSSED),
        mutation=_Places(genomes.sizes),
        repair=_Canonical(genomes),
        # Distances to the nearest neighbours spread points better where there are more than two objectives.
        survival=RankAndCrowding(crowding_func="cd" if problem.n_obj <= 2 else "mnn"),
        eliminate_duplicates=new,
        output=None,
    )
    algorithm.setup(problem, termination=NoTermination(), seed=seed)
    # What is drawn first has been evaluated before.
    algorithm.initialization.eliminate_duplicates = DuplicateElimination()
    return algorithm


def _better(pop: Any, P: np.ndarray, **_: Any) -> np.ndarray:
    """Of pairs [tournaments, 2] the one with the smaller violation, then rank, then the greater distance to others."""
    violation = pop.get("CV")[:, 0].astype(float)
    rank, crowding = (pop.get(name).astype(float) for name in ("rank", "crowding"))
    a, b = P.T
    order = np.zeros(len(P), np.int64)
    # Of two that are equally good neither is; pairs are drawn at random.
    for values, sign in ((violation, 1.0), (rank, 1.0), (crowding, -1.0)):
        first, second = sign * values[a], sign * values[b]
        order = np.where(order == 0, (first < second) - 1 * (first > second), order)
    return np.asarray(np.where(order < 0, b, a)[:, np.newaxis])


class _Places(Mutation):
    """At least one gene of each genome becomes another value: one nearby, or any."""

    def __init__(self, sizes: np.ndarray) -> None:
        super().__init__()
        self._sizes = sizes

    def _do(self, problem: Problem, X: np.ndarray, *args: Any, random_state: Any = None, **kwargs: Any) -> np.ndarray:
        rng, genes = random_state, X.shape[1]
        changed = rng.random(X.shape) < 1 / genes
        changed[np.arange(len(X)), rng.integers(0, genes, len(X))] = True
        steps = rng.geometric(0.5, X.shape) * rng.choice((-1, 1), X.shape)
        near = np.clip(X + steps, 0, self._sizes - 1)
        # Any value but its own.
        far = (X + rng.integers(1, self._sizes, X.shape)) % self._sizes
        return np.asarray(np.where(changed, np.where(rng.random(X.shape) < _STEP, near, far), X))


class _Canonical(Repair):
    def __init__(self, genomes: Genomes) -> None:
        super().__init__()
        self._genomes = genomes

    def _do(self, problem: Problem, X: np.ndarray, **kwargs: Any) -> np.ndarray:
        return self._genomes.canonical(X.astype(np.int64))


class _New(DuplicateElimination):
    """Keeps points that no generation held, each once."""

    def __init__(self, genomes: Genomes, seen: set[int]) -> None:
        super().__init__()
        self._genomes, self._seen = genomes, seen

    def _numbers(self, pop: Any) -> list[int]:
        numbers: list[int] = self._genomes.numbers(pop.get("X").astype(np.int64)).tolist()
        return numbers

    def _do(self, pop: Any, other: Any, is_duplicate: np.ndarray) -> np.ndarray:
        known = set() if other is None else set(self._numbers(other))
        for place, number in enumerate(self._numbers(pop)):
            is_duplicate[place] = number in known or number in self._seen
            if other is None:
                known.add(number)
        return is_duplicate
