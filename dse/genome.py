"""Points of a plan as genomes: one place in a list of values for each axis, whatever the family.

Genes are technology, clock, space (family, and what a width brings along) and each parameter that varies in a space.
A parameter's gene runs through the values of all spaces; in a space without the gene's value it stands for the nearest
value that the space has, so that what two families share is handed on between them. `Genomes.canonical` writes each
genome of a point the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dse.plan import Plan

__all__ = ["Genomes"]

_Key = tuple[str, Any]
_FIRST = 3
"""Genes before those of parameters: technology, clock, space."""


class Genomes:
    """Genomes [points, genes] of the points of one workload.

    ``sizes``: how many values each gene has. Genes of one value are none.
    """

    def __init__(self, plan: Plan, workload: str) -> None:
        self.plan = plan
        self._scenes = np.array([at for at, one in enumerate(plan.scenes) if one.workload == workload], np.int64)
        periods = [[clock.period_ns for clock in plan.scenes[at].clocks] for at in self._scenes]
        clocks = _union(periods)
        self._clocks = np.array([len(several) for several in periods], np.int64)
        self._clock_of, self._clock_gene = _tables(clocks, periods)
        names = list(dict.fromkeys(name for space in plan.spaces for name in space.varying))
        self._parameters: list[tuple[np.ndarray, np.ndarray]] = []
        sizes = [len(self._scenes), len(clocks), len(plan.spaces)]
        for name in names:
            listed = [space.axes[name] if len(space.axes.get(name, ())) > 1 else () for space in plan.spaces]
            every = _union(listed)
            own, gene = _tables(every, listed)
            stride = np.array([space.strides.get(name, 0) for space in plan.spaces], np.int64)
            # Places of values become distances between points.
            self._parameters.append((own * stride[:, np.newaxis], gene))
            sizes.append(len(every))
        self._sizes = np.array(sizes, np.int64)
        self._moving = np.flatnonzero(self._sizes > 1)
        self._first = np.array(
            [[plan.first_number(int(scene), at) for at in range(len(plan.spaces))] for scene in self._scenes], np.int64
        )

    @property
    def sizes(self) -> np.ndarray:
        """Values of each gene [genes]."""
        found: np.ndarray = self._sizes[self._moving]
        return found

    def random(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Canonical genomes [count, genes], every value of a gene as likely as the others."""
        return self.canonical(rng.integers(0, self.sizes, (count, len(self._moving))))

    def _whole(self, genomes: np.ndarray) -> np.ndarray:
        found = np.zeros((len(genomes), len(self._sizes)), np.int64)
        found[:, self._moving] = genomes
        return found

    def canonical(self, genomes: np.ndarray) -> np.ndarray:
        """The genome of each point that all genomes of that point become."""
        whole = self._whole(genomes)
        scene, space = whole[:, 0], whole[:, 2]
        whole[:, 1] = self._clock_gene[scene, whole[:, 1]]
        for at, (_, gene) in enumerate(self._parameters, _FIRST):
            whole[:, at] = gene[space, whole[:, at]]
        found: np.ndarray = whole[:, self._moving]
        return found

    def numbers(self, genomes: np.ndarray) -> np.ndarray:
        """Number [points] of each point in the plan."""
        whole = self._whole(genomes)
        scene, clock, space = whole[:, :_FIRST].T
        place = np.zeros(len(whole), np.int64)
        for at, (distance, _) in enumerate(self._parameters, _FIRST):
            place += distance[space, whole[:, at]]
        found: np.ndarray = self._first[scene, space] + self._clock_of[scene, clock] + self._clocks[scene] * place
        return found


def _key(value: Any) -> _Key:
    """True is not 1, and two is two."""
    return ("bool" if isinstance(value, bool) else "", value)


def _union(lists: Iterable[Iterable[Any]]) -> list[Any]:
    """Values of all lists, each once: numbers in their order, so that neighbours are near, others as they come."""
    found = list({_key(value): value for values in lists for value in values}.values())
    return sorted(found) if all(map(_is_number, found)) else found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _tables(every: Sequence[Any], lists: Sequence[Sequence[Any]]) -> tuple[np.ndarray, np.ndarray]:
    """For each list and each of ``every`` value: the place in the list of that value or of the nearest one, and where
    that one is in ``every``; zeros for an empty list.
    """
    own = np.zeros((len(lists), max(len(every), 1)), np.int64)
    gene = np.zeros_like(own)
    places = {_key(value): at for at, value in enumerate(every)}
    for row, values in enumerate(lists):
        if not values:
            continue
        known = {_key(value): at for at, value in enumerate(values)}
        for at, value in enumerate(every):
            own[row, at] = known.get(_key(value), _nearest(value, at, values))
            gene[row, at] = places[_key(values[own[row, at]])]
    return own, gene


def _nearest(value: Any, at: int, values: Sequence[Any]) -> int:
    """Place of the value that is nearest; of names there is none, and all are as likely."""
    if _is_number(value) and all(map(_is_number, values)):
        return min(range(len(values)), key=lambda place: abs(values[place] - value))
    return at % len(values)
