"""Picking points of a finished sweep: the knee, the best in one column under conditions, by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dse.pareto import column_of, magnitudes, objective_values, signs
from dse.stored import StoredSweep
from dse.where import Condition
from hwgen.errors import HwgenError, suggest

__all__ = ["best_in", "by_number", "each_workload", "knee", "meeting"]


def each_workload(points: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each workload: points of different ones are not compared."""
    if "workload" not in points:
        return [points]
    names = points["workload"].astype(str)
    return [points[names == name] for name in dict.fromkeys(names)]


def knee(front: pd.DataFrame, objectives: Sequence[str]) -> int:
    """Position of the point that lies farthest below the plane through the best points of each objective.

    Objectives are scaled so that the front spans 0 to 1 in each, in logarithms where all of its values are above 0.
    """
    scaled = magnitudes(objective_values(front, objectives), objectives)
    low, high = scaled.min(axis=0), scaled.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    return int(np.argmin(((scaled - low) / span).sum(axis=1)))


def meeting(points: pd.DataFrame, conditions: Sequence[Condition]) -> pd.DataFrame:
    """Rows that meet conditions. Raises `HwgenError` for an unknown column, and for a condition on a baseline."""
    kept = np.ones(len(points), dtype=bool)
    for one in conditions:
        _check_column(points, one.column, f"constraint {one.text!r}")
        if one.of_baseline:
            raise HwgenError(f"constraint {one.text!r}: a finished sweep has no baseline; give the number")
        column = points[one.column]
        if pd.api.types.is_bool_dtype(column):
            kept &= one.holds(column.to_numpy(), str(one.value) == "true" or one.value == 1.0)
        elif pd.api.types.is_numeric_dtype(column):
            if isinstance(one.value, str):
                raise HwgenError(f"constraint {one.text!r}: {one.column} is compared with a number, not {one.value!r}")
            kept &= one.holds(column.to_numpy(np.float64), one.value)
        else:
            if not isinstance(one.value, str) or one.op not in ("==", "!="):
                raise HwgenError(f"constraint {one.text!r}: {one.column} holds names, so it is compared by == or !=")
            kept &= one.holds(column.astype(str).to_numpy(object), one.value)
    return points[kept]


def best_in(points: pd.DataFrame, column: str) -> int:
    """Position of the row with the smallest value of a column, or, with a minus before it, the greatest.

    Raises `HwgenError` for an unknown column, and for one without a number.
    """
    name = column_of(column)
    _check_column(points, name, "pareto")
    if not pd.api.types.is_numeric_dtype(points[name]):
        raise HwgenError(f"pareto: {name} must be a column of numbers to be the cheapest in")
    values = points[name].to_numpy(np.float64) * signs([column])[0]
    if np.isnan(values).all():
        raise HwgenError(f"pareto: {name} is known of none of the points")
    return int(np.nanargmin(values))


def by_number(sweep: StoredSweep, number: int) -> pd.DataFrame:
    """The row of a point's number: its column ``point``; of a file that has none, its place among the rows.

    Raises `HwgenError` where it is not kept.
    """
    what = f"sweep {str(sweep.path)!r}: point must be"
    if sweep.axes is None:
        count = len(sweep.sample)
        if not 0 <= number < count:
            raise HwgenError(
                f"{what} from 0 to {count - 1:,}, as it has {count:,} points, not {number:,}; its front is "
                f"{_some(sweep.front.index)}"
            )
        return sweep.sample.iloc[[number]]
    for points in (sweep.front, sweep.sample):
        found = points[points["point"] == number]
        if len(found):
            return found
    every = sweep.points
    if every is None:
        raise HwgenError(
            f"{what} one that is kept, of the {len(sweep.front):,} on the front ({_some(sweep.front['point'])}) or of "
            f"the sample, not {number:,}; hwgen sweep --store all keeps all"
        )
    found = every[every["point"] == number]
    if not len(found):
        raise HwgenError(f"{what} one that is legal, not {number:,}; its front is {_some(sweep.front['point'])}")
    return found


def _some(numbers: pd.Index[Any] | pd.Series[Any]) -> str:
    shown = [str(one) for one in numbers[:8]]
    return ", ".join(shown) + (", …" if len(numbers) > 8 else "")


def _check_column(points: pd.DataFrame, name: str, what: str) -> None:
    if name not in points:
        known = list(points.columns)
        raise HwgenError(f"{what}: no column {name!r}{suggest(name, known)}; columns: {', '.join(known)}")
