"""Rates of the closed form over (layer x design) pairs: array code beside the compiled kernel, and memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.accelerator import Design
from hwgen.accelerator.best import BestJobs, DesignArrays
from hwgen.errors import HwgenError
from hwgen.pe import family

__all__ = ["COUNTS", "PairRates", "pair_rates"]

COUNTS = (1 << 12, 1 << 14, 1 << 16)
"""Designs; each with all of the layers."""
_LAYERS = ((1, 1536, 576), (128, 1536, 576), (128, 576, 1536), (128, 576, 576))
"""Rows, outputs and K: of the default model, a token and a prompt."""
_DRAWN = {
    "bus_bits": (64, 128, 256),
    "weight_ring": (32, 128, 512, 2048),
    "act_ring": (32, 128, 512, 2048),
    "burst": (4, 8, 16),
    "outstanding": (1, 4, 8),
}
_ARRAYS = 1 << 12
"""Designs that the array code is asked for at once: with more its arrays leave the cache."""


@dataclass(frozen=True)
class PairRates:
    """Of so many ``pairs`` a second: ``arrays`` on one core, ``compiled`` on all; ``alone`` on one, by its own time.

    ``more_mib``: by how much the largest memory of the process grew, results included, which take ``result_mib``.
    """

    pairs: int
    arrays: float
    compiled: float
    alone: float
    more_mib: float
    result_mib: float


def _designs(count: int) -> DesignArrays:
    rng = np.random.default_rng(1)
    tile = family("int").from_values({"bits": 4, "post_lanes": 2, "depth": 1024})
    p = {**tile.p, "m": rng.choice((1, 2, 4, 8), count), "n": rng.choice((4, 8, 16, 32), count)}
    d = {**Design(tile=tile).p, **{name: rng.choice(choices, count) for name, choices in _DRAWN.items()}}
    return DesignArrays(type(tile), p, d, rng.choice((5, 20, 60), count), 1, 1)


def _best_of(times: int, evaluate: Callable[[], BestJobs]) -> tuple[float, float, BestJobs]:
    """Seconds, seconds of processors, and what was found."""
    seconds, spent = [], []
    for _ in range(times):
        begin, own = time.perf_counter(), time.process_time()
        found = evaluate()
        seconds.append(time.perf_counter() - begin)
        spent.append(time.process_time() - own)
    return min(seconds), min(spent), found


def _largest_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def pair_rates(count: int) -> PairRates:
    """Rates over ``count`` designs. Raises `HwgenError` where both do not say the same."""
    m, n, k = np.array(_LAYERS).T[..., np.newaxis]
    some, made = _designs(min(count, _ARRAYS)), _designs(count)
    sizes: tuple[Any, ...] = (m, n, k)
    some.best_of_sizes(*sizes)
    # Widths and depths, as sweeps have them anyway.
    _ = made.geometry
    before = _largest_mib()
    seconds, spent, found = _best_of(3, lambda: made.best_of_sizes(*sizes))
    more = _largest_mib() - before
    own = sum(value.nbytes for value in (found.cycles, found.exact, found.regime, *found.job.values()))
    slow, _, wanted = _best_of(1, lambda: some.best_by_arrays(*sizes))
    fast = some.best_of_sizes(*sizes)
    if any((getattr(wanted, name) != getattr(fast, name)).any() for name in ("cycles", "exact", "regime")):
        raise HwgenError("bench: the compiled closed form must be equal to the array code")
    pairs = found.cycles.size
    return PairRates(
        pairs=pairs,
        arrays=wanted.cycles.size / slow,
        compiled=pairs / seconds,
        alone=pairs / spent,
        more_mib=more,
        result_mib=own / (1 << 20),
    )
