"""What a sweep evaluates: tiles, or the accelerators around them; everything else of a sweep is the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dse.space import Around, Space
from hwgen.schedule import Layer
from sim.tech import Tech

__all__ = ["ACCURACY", "TRUST", "Chunk", "Clock", "Level", "Missed", "named_bits"]

TRUST = ("basis", "extrapolated")
"""What stands behind a row: where its numbers come from, and the parameters and widths in which the tile lies beyond
all measured ones (empty: in none).
"""

ACCURACY = ("perplexity", "kl_nats", "agreement")
"""Columns of a level with accuracy (`dse.accuracy`); NaN where nothing was measured."""


@dataclass(frozen=True)
class Clock:
    """A clock period of a sweep; None is each point's own shortest one. ``named``: whether it was asked for, or is the
    technology's default.
    """

    period_ns: float | None
    named: bool = True


@dataclass(frozen=True)
class Missed:
    """How near legal points came to the constraints of a sweep (`dse.where`), in the order of the constraints.

    Members
    -------
    legal: points before constraints.
    met: how many met each constraint, whatever they did with the others.
    nearest: of each constraint the value that misses it least, with its miss as a share of the limit; None where no
        point has a number.
    joint: of points none of which meets all: miss, constraint and value of the one whose greatest miss is smallest.
    """

    legal: int = 0
    met: tuple[int, ...] = ()
    nearest: tuple[tuple[float, float] | None, ...] = ()
    joint: tuple[float, int, float] | None = None

    def __add__(self, other: Missed) -> Missed:
        """Of the points of both."""
        if not (self.met and other.met):
            return self if self.met else other
        pairs = zip(self.nearest, other.nearest, strict=True)
        nearest = tuple(min((one for one in pair if one), default=None) for pair in pairs)
        joint = min((one for one in (self.joint, other.joint) if one), default=None)
        met = tuple(a + b for a, b in zip(self.met, other.met, strict=True))
        return Missed(self.legal + other.legal, met, nearest, joint)


@dataclass(frozen=True)
class Chunk:
    """Legal points of one block: ``columns`` [points], how many were looked at, and why others were skipped.

    A column in ``texts`` holds places in the texts that are there. ``fixed`` are parameters that all points share.
    ``missed``: what constraints made of the points, where there are any.
    """

    columns: dict[str, np.ndarray]
    looked_at: int
    skipped: dict[str, int]
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    missed: Missed = Missed()


@dataclass(frozen=True)
class Level:
    """Kind of what is swept.

    Members
    -------
    metrics: type of each column beside the parameters (float, int, bool or str), by name.
    evaluate: one block of `Space.chunks` on layers, in a technology, at a clock; columns are in C order of the block's
        legal points.
    around: parameters beside those of the family.
    basis: what stands behind the numbers of a family in a technology.
    about: what is said of all rows of families in a technology, for the metadata: JSON-serialisable.
    sources: files and folders that the numbers come from, beside those of tiles.
    constraints: what points have to meet beside being legal, as texts (`dse.where`).
    block_points: points that are evaluated at once: large enough that numpy dominates, small enough for the caches.
    """

    name: str
    metrics: Mapping[str, type]
    evaluate: Callable[[Space, Mapping[str, Any], Sequence[Layer], Tech, Clock], Chunk]
    basis: Callable[[Tech, str], str]
    about: Callable[[Tech, Sequence[str]], dict[str, Any]]
    block_points: Callable[[Sequence[Layer]], int]
    around: Around | None = None
    sources: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()


def named_bits(codes: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Codes with a bit for each name, as places in texts: the names of the bits."""
    found, places = np.unique(codes, return_inverse=True)
    texts = [" ".join(name for bit, name in enumerate(names) if int(code) >> bit & 1) for code in found]
    return places.reshape(np.shape(codes)), texts
