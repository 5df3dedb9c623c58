"""Which points a page shows: whole fronts first, then a sample of the others; the same ones each time.

A page draws fronts of any axes from the points that it has. Of axes, and of groups of points (a family with a pair of
formats), whose fronts are all among them it may say so; `Shown` says of which.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dse.pareto import front_mask

__all__ = ["Shown", "choose_points"]

_SEED = 1
_SLICE = 1 << 17
_FOR_FRONTS = 0.7
"""Share of the points that fronts beside the sweep's may take."""

Progress = Callable[[int, int], None]
"""Called with (fronts found, fronts in all)."""


@dataclass(frozen=True)
class Shown:
    """Places of the shown points, ascending, and those of the sweep's front among them, in the front's order.

    ``whole``: sets of objectives whose fronts over all points are shown; ``whole_by_group``: those whose fronts of
    every group are, so that the front of any union of groups is, too. ``front_points``: points of the sweep's front,
    shown or not.
    """

    places: np.ndarray
    front: np.ndarray
    front_points: int
    whole: tuple[tuple[str, ...], ...]
    whole_by_group: tuple[tuple[str, ...], ...]


def choose_points(
    points: pd.DataFrame,
    best: np.ndarray,
    objectives: Sequence[str],
    candidates: Sequence[str],
    kinds: np.ndarray,
    most: int,
    *,
    complete: bool = True,
    progress: Progress | None = None,
) -> Shown:
    """At most ``most`` of the points.

    Parameters
    ----------
    best: places of the sweep's front by ``objectives``, in its order.
    candidates: further objectives (a minus maximises); fronts of each two and three of them are shown as far as there
        is room, those of fewer first.
    kinds: group of each point, as whole numbers.
    complete: whether these are all points of the sweep; otherwise no front but the sweep's can be whole.
    """
    shown = np.zeros(len(points), dtype=bool)
    kept = _thinned(best, most)
    shown[kept] = True
    whole: list[tuple[str, ...]] = [tuple(objectives)] if len(kept) == len(best) else []
    by_group: list[tuple[str, ...]] = []
    room = max(int(_FOR_FRONTS * most), len(kept))
    if complete and whole:
        values, groups = _Values(points), _groups(kinds)
        sets = [tuple(objectives), *_sets(objectives, candidates)]
        for number, names in enumerate(sets):
            if progress is not None:
                progress(number, len(sets))
            more = shown.copy()
            # Fronts of groups hold the front of all of them.
            if len(names) == 2 or names == tuple(objectives):
                for places in groups:
                    more[values.front(places, names)] = True
                if more.sum() <= room:
                    shown = more
                    by_group.append(names)
                    continue
                more = shown.copy()
            more[values.front(np.arange(len(points)), names)] = True
            if more.sum() <= room:
                shown = more
                whole.append(names)
        if progress is not None:
            progress(len(sets), len(sets))
    shown[_sample(kinds, shown, most - int(shown.sum()))] = True
    places = np.flatnonzero(shown)
    whole = [names for names in dict.fromkeys(whole) if names not in by_group]
    return Shown(places, np.searchsorted(places, kept), len(best), tuple(whole), tuple(by_group))


def _sets(objectives: Sequence[str], candidates: Sequence[str]) -> list[tuple[str, ...]]:
    """Twos, then threes, of objectives and candidates, those of objectives first."""
    names = list(dict.fromkeys([*objectives, *candidates]))
    found = [pair for size in (2, 3) for pair in itertools.combinations(names, size)]
    return [one for one in found if one != tuple(objectives)]


class _Values:
    """Objectives of all points, smaller is better: each is read from the table once."""

    def __init__(self, points: pd.DataFrame) -> None:
        self._points = points
        self._known: dict[str, np.ndarray] = {}

    def _column(self, name: str) -> np.ndarray:
        if name not in self._known:
            values = self._points[name.removeprefix("-")].to_numpy(np.float64, na_value=np.nan)
            self._known[name] = -values if name.startswith("-") else values
        return self._known[name]

    def front(self, places: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Places of the front of some points, of those whose objectives are known: slice by slice, then overall."""
        values = np.stack([self._column(name)[places] for name in names], axis=1)
        known = ~np.isnan(values).any(axis=1)
        places, values = places[known], values[known]
        kept = [
            start + np.flatnonzero(front_mask(values[start : start + _SLICE]))
            for start in range(0, len(values), _SLICE)
        ]
        left = np.concatenate(kept) if kept else np.zeros(0, np.int64)
        found: np.ndarray = places[left[front_mask(values[left])]]
        return found


def _groups(kinds: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(kinds, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1) if len(kinds) else []


def _thinned(best: np.ndarray, most: int) -> np.ndarray:
    """A front that is too long, evenly thinned along its order; its ends stay."""
    if len(best) <= most:
        return best
    return best[np.unique(np.linspace(0, len(best) - 1, most).round().astype(np.int64))]


def _sample(kinds: np.ndarray, shown: np.ndarray, most: int) -> np.ndarray:
    """Of the points that are not shown as many of each group as there is room for; small groups leave theirs."""
    generator = np.random.default_rng(_SEED)
    left = [places[~shown[places]] for places in _groups(kinds)]
    found: list[np.ndarray] = []
    for number, places in enumerate(sorted(left, key=len)):
        share = max(most, 0) // (len(left) - number)
        taken = places if len(places) <= share else np.sort(generator.choice(places, share, replace=False))
        found.append(taken)
        most -= len(taken)
    return np.concatenate(found) if found else np.zeros(0, np.int64)
