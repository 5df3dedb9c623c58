"""Counts of carry-save trees over a sweep: such a count follows from shapes, not from a formula of arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwgen.frame.facts import Counts
from hwgen.frame.numbers import Num

__all__ = ["for_each"]


def for_each(counts: Callable[..., Counts], *numbers: Num) -> Counts:
    """``counts`` of numbers that may be arrays: one call for each distinct combination."""
    if not any(isinstance(number, np.ndarray) for number in numbers):
        return counts(*numbers)
    grids = np.broadcast_arrays(*numbers)
    points, inverse = np.unique(np.stack([grid.ravel() for grid in grids]), axis=1, return_inverse=True)
    found = [counts(*point) for point in points.T.tolist()]
    return {name: np.array([one[name] for one in found])[inverse].reshape(grids[0].shape) for name in found[0]}
