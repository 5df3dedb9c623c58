"""Accuracy as columns of a sweep: what a language model loses with the formats of each point.

``perplexity``, ``kl_nats`` and ``agreement`` are measurements of the default model with a tile's formats of weights and
activations (`sim.accuracy.tile.formats_of`), from the table that comes with the package or made on the spot. Nothing is
guessed: formats that were not measured have NaN, and such points are on no front of these columns. What the tile's own
arithmetic adds to its formats is not in them (`hwgen accuracy --pe`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dse.level import ACCURACY, Chunk, Clock, Level
from dse.space import Space
from hwgen.schedule import Layer
from sim.accuracy.recipe import Recipe
from sim.accuracy.table import Known
from sim.accuracy.tile import formats_of
from sim.tech import Tech

__all__ = ["Lookup", "with_accuracy"]

Lookup = Callable[[Recipe], Known | None]
"""The measurement of a recipe, or None where there is none."""
_COUNTS = ("m", "n", "k", "post_lanes")
"""Parameters that change no number; nor do cuts."""


def with_accuracy(level: Level, lookup: Lookup) -> Level:
    """A level whose rows have `ACCURACY` too."""

    def evaluate(space: Space, p: Mapping[str, Any], layers: Sequence[Layer], tech: Tech, clock: Clock) -> Chunk:
        chunk = level.evaluate(space, p, layers, tech, clock)
        return dataclasses.replace(chunk, columns={**chunk.columns, **_columns(space, chunk, lookup)})

    metrics = {**level.metrics, **dict.fromkeys(ACCURACY, float)}
    sources = (*level.sources, "dse/accuracy.py", "sim/accuracy")
    return dataclasses.replace(level, metrics=metrics, evaluate=evaluate, sources=sources)


def _columns(space: Space, chunk: Chunk, lookup: Lookup) -> dict[str, np.ndarray]:
    if not chunk.columns:
        return {}
    rows = len(chunk.columns["cycles"])
    own = space.spec.parameters()
    arrays = {name: chunk.columns[name] for name in own if name in chunk.columns}
    matter = [name for name in arrays if name not in _COUNTS and not own[name].cuts]
    if matter:
        _, first, place = np.unique(
            np.stack([arrays[name] for name in matter]), axis=1, return_index=True, return_inverse=True
        )
    else:
        first, place = np.zeros(1, np.int64), np.zeros(rows, np.int64)
    found = np.full((len(ACCURACY), len(first)), np.nan)
    for index, row in enumerate(first):
        values = {name: chunk.fixed[name] for name in own if name in chunk.fixed}
        values |= {name: array[row].item() for name, array in arrays.items()}
        known = lookup(formats_of(space.spec(**values)))
        if known is not None:
            found[:, index] = [getattr(known, name) for name in ACCURACY]
    return dict(zip(ACCURACY, found[:, place.reshape(-1)], strict=True))
