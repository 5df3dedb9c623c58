"""Non-dominated points. An objective is a column that is minimised, or, with a leading minus sign, maximised."""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np
import pandas as pd

from hwgen.errors import HwgenError, suggest

__all__ = [
    "choose",
    "column_of",
    "front",
    "front_mask",
    "hypervolume_ratio",
    "magnitudes",
    "objective_values",
    "signs",
]

_BEYOND = 0.1
"""How far beyond the worst values of a front, as a share of its span, the volumes that are compared end."""


def front_mask(values: np.ndarray) -> np.ndarray:
    """Boolean [points]: no other point is as good in every objective and better in one; of equal points the first.

    Parameters
    ----------
    values: [points, objectives], smaller is better. Raises `HwgenError` when a value is NaN.
    """
    table = np.ascontiguousarray(values, dtype=np.float64)
    if np.isnan(table).any():
        raise HwgenError("pareto: objectives must be numbers, not NaN")
    if not len(table):
        return np.zeros(0, dtype=bool)
    if table.shape[1] == 1:
        # moocore wants two objectives or more; one has a single best value.
        best = np.zeros(len(table), dtype=bool)
        best[int(np.argmin(table[:, 0]))] = True
        return best
    return np.asarray(moocore.is_nondominated(table, maximise=False, keep_weakly=False), dtype=bool)


def column_of(objective: str) -> str:
    """Column that an objective names: ``-weight_bits`` maximises ``weight_bits``."""
    return objective.removeprefix("-")


def signs(objectives: Sequence[str]) -> np.ndarray:
    """1 for each objective that is minimised, -1 for one that is maximised."""
    return np.array([-1.0 if name.startswith("-") else 1.0 for name in objectives])


def objective_values(points: pd.DataFrame, objectives: Sequence[str]) -> np.ndarray:
    """Objectives [points, objectives] as float64, those to be maximised negated.

    Raises `HwgenError` for a column that is missing or not a number.
    """
    if not objectives:
        raise HwgenError("pareto: objectives must name at least one column")
    numeric = [name for name in points.columns if pd.api.types.is_numeric_dtype(points[name])]
    for name in map(column_of, objectives):
        if name not in numeric:
            raise HwgenError(
                f"pareto: objective must be one of {', '.join(numeric)}, not {name!r}{suggest(name, numeric)}"
            )
    values = points[[column_of(name) for name in objectives]].to_numpy(dtype=np.float64)
    signed: np.ndarray = values * signs(objectives)
    return signed


def front(points: pd.DataFrame, objectives: Sequence[str], slice_points: int = 1 << 17) -> pd.DataFrame:
    """The non-dominated rows, ordered by the objectives, with their index; found slice by slice, then overall."""
    values = objective_values(points, objectives)
    starts = range(0, len(values), slice_points)
    left = [start + np.flatnonzero(front_mask(values[start : start + slice_points])) for start in starts]
    candidates = np.concatenate(left) if left else np.zeros(0, np.int64)
    best = candidates[front_mask(values[candidates])]
    # lexsort takes the most significant key last; equal points do not occur.
    return points.iloc[best[np.lexsort(values[best].T[::-1])]]


def magnitudes(values: np.ndarray, objectives: Sequence[str]) -> np.ndarray:
    """Objectives [points, objectives], smaller is better, in logarithms where all of a column's are above 0, or, of
    those that are maximised, were before they were negated.
    """
    sizes = values * signs(objectives)
    positive = (sizes > 0).all(axis=0)
    found: np.ndarray = np.where(positive, np.log(np.where(positive, sizes, 1.0)), sizes) * signs(objectives)
    return found


def hypervolume_ratio(
    found: pd.DataFrame, reference: pd.DataFrame, objectives: Sequence[str], *, logarithmic: bool = False
) -> float:
    """Volume of what is dominated by the points of ``found`` as a share of that of ``reference``, the best front there
    is: 1 where they are the same, 0 where nothing comes near.

    Objectives are scaled to the span of the reference, as `magnitudes` if ``logarithmic``; volumes end a tenth of it
    beyond its worst values. Raises `HwgenError` as `objective_values`, and for no points.
    """
    if not len(found) or not len(reference):
        raise HwgenError("pareto: hypervolumes are of fronts of at least one point")
    both = np.concatenate([objective_values(one, objectives) for one in (found, reference)])
    if np.isnan(both).any():
        raise HwgenError("pareto: objectives must be numbers, not NaN")
    if logarithmic:
        both = magnitudes(both, objectives)
    own, best = both[: len(found)], both[len(found) :]
    low, high = best.min(axis=0), best.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    volumes = [_volume((one - low) / span) for one in (own, best)]
    return volumes[0] / volumes[1]


def _volume(values: np.ndarray) -> float:
    """Volume between points [points, objectives] and 1 + `_BEYOND` in each objective."""
    end = 1 + _BEYOND
    if values.shape[1] == 1:
        return max(end - float(values.min()), 0.0)
    return float(moocore.hypervolume(np.ascontiguousarray(values), ref=np.full(values.shape[1], end)))


def choose(points: pd.DataFrame, objectives: Sequence[str]) -> int:
    """Position of the row with the smallest product of the objectives (divided by those to be maximised): a balanced
    point.

    Raises `HwgenError` when there are no rows, or an objective is not above 0.
    """
    values = objective_values(points, objectives) * signs(objectives)
    if not len(values):
        raise HwgenError("pareto: a point can only be chosen among at least one")
    if not (values > 0).all():
        raise HwgenError(f"pareto: objectives must be above 0 to choose by their product: {', '.join(objectives)}")
    return int(np.argmin((np.log(values) * signs(objectives)).sum(axis=1)))
