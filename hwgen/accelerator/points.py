"""Points of a mesh: what follows from few parameters is worked out once for each of their combinations, and taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hwgen.frame.numbers import Num, distinct, ranked

__all__ = ["Points"]

_MOST = 4
"""Mesh points for each of the points, at most: with more of them a mesh saves nothing."""


class Points:
    """Some points of a mesh in which each parameter, or several together, have a dimension.

    Numbers over the mesh broadcast: those that do not depend on a parameter have size 1 there, and are no longer than
    what they depend on.
    """

    def __init__(self, shape: tuple[int, ...], places: np.ndarray) -> None:
        """``places`` [points] in the mesh of this shape, in C order."""
        self.shape, self.places, self.count = shape, places, len(places)
        self._every = self.count == int(np.prod(shape)) and np.array_equal(places, np.arange(self.count))
        self._known: dict[tuple[int, ...], np.ndarray] = {}
        self._whole: tuple[Points, slice] | None = None

    def part(self, which: slice) -> Points:
        """Some of these points, which are looked up with them."""
        found = Points.__new__(Points)
        found.shape, found.places = self.shape, self.places[which]
        found.count, found._every, found._known, found._whole = len(found.places), False, {}, (self, which)
        return found

    @classmethod
    def where(cls, legal: np.ndarray) -> Points:
        """Those where an array over the mesh is true."""
        return cls(legal.shape, np.flatnonzero(legal))

    @classmethod
    def of(cls, together: Mapping[str, Num], alone: Mapping[str, Num]) -> tuple[Points, dict[str, Num], dict[str, Num]]:
        """Points that are given as numbers [points] or scalars, and the same numbers over their mesh.

        Combinations of those ``together`` have one dimension, each one ``alone`` its own. Where the mesh would be much
        larger than the points, these are a mesh of one dimension.
        """
        count = np.broadcast_shapes(*(np.shape(value) for value in (*together.values(), *alone.values())), (1,))[0]
        few, first = distinct(together)
        axes: list[np.ndarray] = [] if first is None else [np.broadcast_to(first, count)]
        sizes = [] if first is None else [max(np.size(value) for value in few.values())]
        values: dict[str, np.ndarray] = {}
        for name, value in alone.items():
            if np.ndim(value):
                values[name], own = ranked(np.broadcast_to(value, count))
                axes.append(own)
                sizes.append(len(values[name]))
        if np.prod(sizes, dtype=float) > _MOST * count or not sizes:
            return cls((count,), np.arange(count)), _rows(together, count), _rows(alone, count)
        shape = tuple(sizes)
        found = cls(shape, np.ravel_multi_index(axes, shape))

        def along(value: np.ndarray, place: int) -> np.ndarray:
            return value.reshape((-1,) + (1,) * (len(shape) - 1 - place))

        few = {name: along(value, 0) if np.ndim(value) else value for name, value in few.items()}
        start = len(sizes) - len(values)
        own_axes = {name: along(value, start + place) for place, (name, value) in enumerate(values.items())}
        return found, few, {**alone, **own_axes}

    @property
    def alone(self) -> bool:
        """Whether nothing is worked out for several points at once, as the mesh has one dimension."""
        return len(self.shape) == 1 and self._every and self.count > 1

    def index(self, shape: Sequence[int]) -> np.ndarray:
        """Where the points are in a flat array that broadcasts over the mesh; [points], 32 bits."""
        if self._whole is not None:
            whole, which = self._whole
            return whole.index(shape)[which]
        wide = (1,) * (len(self.shape) - len(shape)) + tuple(shape)
        if wide not in self._known:
            own = np.arange(np.prod(wide), dtype=np.int32).reshape(wide)
            mesh = np.broadcast_to(own, self.shape).reshape(-1)
            self._known[wide] = mesh if self._every else mesh[self.places]
        return self._known[wide]

    def __call__(self, value: Num) -> Num:
        """Numbers of the points, [points], of what broadcasts over the mesh; what all points share stays a scalar."""
        if np.ndim(value) == 0:
            return value
        value = np.asarray(value)
        if value.size == 1:
            return value.reshape(-1)[0]
        return value.reshape(-1)[self.index(value.shape)]

    def rows(self, value: Num) -> Num:
        """The same of what has a dimension before those of the mesh; [rows, points], or [rows, 1] where all share."""
        value = np.asarray(value)
        if value.ndim <= len(self.shape):
            return self(value)
        flat = value.reshape(value.shape[0], -1)
        return flat if flat.shape[1] == 1 else flat[:, self.index(value.shape[1:])]

    def of_all(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """`__call__` of several."""
        return {name: self(value) for name, value in values.items()}


def _rows(values: Mapping[str, Num], count: int) -> dict[str, Num]:
    return {name: np.broadcast_to(value, count) if np.ndim(value) else value for name, value in values.items()}
