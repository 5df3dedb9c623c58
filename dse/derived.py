"""Columns that follow from others of a row: products and rates that designs are often compared by."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dse.level import Chunk, Clock, Level
from dse.space import Space
from hwgen.schedule import Layer
from sim.tech import Tech

__all__ = ["DERIVED", "with_derived"]

DERIVED = ("edp_pj_us", "tops_per_w", "tokens_per_s")
"""Energy times latency; 10^12 operations a second and watt, two a MAC; tokens of the phase a second, NaN where the
layers are of no phase of a language model.
"""


def with_derived(level: Level, tokens: int | None = None) -> Level:
    """A level whose rows have `DERIVED` too; ``tokens``: that one pass over the layers makes or reads."""

    def evaluate(space: Space, p: Mapping[str, Any], layers: Sequence[Layer], tech: Tech, clock: Clock) -> Chunk:
        chunk = level.evaluate(space, p, layers, tech, clock)
        if not chunk.columns:
            return chunk
        macs = sum(layer.macs for layer in layers)
        energy, latency = (np.asarray(chunk.columns[name]) for name in ("energy_pj", "latency_us"))
        found = {
            "edp_pj_us": energy * latency,
            "tops_per_w": 2.0 * macs / energy,
            "tokens_per_s": (math.nan if tokens is None else 1e6 * tokens) / latency,
        }
        return dataclasses.replace(chunk, columns={**chunk.columns, **found})

    metrics = {**level.metrics, **dict.fromkeys(DERIVED, float)}
    return dataclasses.replace(level, metrics=metrics, evaluate=evaluate, sources=(*level.sources, "dse/derived.py"))
