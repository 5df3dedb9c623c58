"""Costs of many jobs as forms of their counts: each design's prices are worked out once, and jobs only multiply them.

Energy and bytes of a job grow with its counts (`sim.accelerator.activity.JobCounts`), each by a factor that the design
alone has. The formulas are those of `sim.accelerator.cost`, which take `Linear` numbers in place of counts: what comes
out are the factors. A form is evaluated beside the closed form of the cycles by the compiled kernel, or here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.accelerator.best import DesignArrays
from hwgen.accelerator.closed import REGIMES
from hwgen.accelerator.compiled import JOB_COUNTS, MOST_SHOWN, Forms
from hwgen.accelerator.inventory import Geometry
from hwgen.accelerator.job import FLAGS
from hwgen.accelerator.stream import STREAMS
from hwgen.frame.numbers import Num
from sim.accelerator.activity import JobCounts, StreamCounts, job_counts

__all__ = [
    "FOUND",
    "Linear",
    "best_with_forms",
    "evaluated",
    "forms_of",
    "linear_counts",
    "summed",
    "totals",
    "values_of",
]

FOUND = ("cycles", "exact", "regime", *FLAGS)
"""What `best_with_forms` says of jobs beside forms."""


@dataclass(frozen=True)
class Linear:
    """A number that grows with counts of jobs that are not known yet: ``factors`` by the names of `JOB_COUNTS`."""

    factors: Mapping[str, Num]

    # Arrays leave arithmetic with such numbers to them.
    __array_ufunc__ = None

    def __add__(self, other: Linear | Num) -> Linear:
        if not isinstance(other, Linear):
            # What sums begin with.
            if np.ndim(other) == 0 and other == 0:
                return self
            other = Linear({"one": other})
        found = dict(self.factors)
        for name, factor in other.factors.items():
            found[name] = found[name] + factor if name in found else factor
        return Linear(found)

    __radd__ = __add__

    def __mul__(self, other: Num) -> Linear:
        return Linear({name: factor * other for name, factor in self.factors.items()})

    __rmul__ = __mul__

    def __truediv__(self, other: Num) -> Linear:
        return Linear({name: factor / other for name, factor in self.factors.items()})


def linear_counts(found: Geometry) -> JobCounts:
    """Counts of any job on designs with these widths and depths."""
    one = {name: Linear({name: 1.0}) for name in JOB_COUNTS}
    streams = {
        name: StreamCounts(*(one[f"{name}_{what}"] for what in ("beats", "bursts", "entries", "words")))
        for name in found.streams
    }
    return JobCounts(
        cycles=one["cycles"],
        steps=one["steps"],
        groups=one["groups"],
        streams=streams,
        results=one["results"],
        made=one["results"] * found.made,
        write_beats=one["write_beats"],
        write_bursts=one["write_bursts"],
    )


def values_of(counts: JobCounts) -> dict[str, Num]:
    """Counts by the names of `JOB_COUNTS`."""
    found = {name: getattr(counts, name) for name in JOB_COUNTS if hasattr(counts, name)}
    for stream in STREAMS:
        own = counts.streams.get(stream)
        for what in ("beats", "bursts", "entries", "words"):
            found[f"{stream}_{what}"] = 0.0 if own is None else getattr(own, what)
    return {**found, "one": 1.0}


_SIDES = {"weights": "weights", "weight": "weights", "channels": "weights", "acts": "acts", "act": "acts"}
"""What a block is of, by the first word of its name; all other blocks are of neither operand."""


def summed(values: Mapping[str, Num]) -> Num:
    """The sum of numbers of blocks by name, which broadcast: those of each operand first, and of the other blocks, as
    they depend on few parameters.

    The order does not depend on how many values a parameter has, nor do the last bits.
    """
    groups: dict[str, Any] = {}
    for name, value in values.items():
        side = _SIDES.get(name.partition("_")[0], "")
        groups[side] = groups[side] + value if side in groups else value
    return sum(groups.values(), start=0.0)


def forms_of(parts: Mapping[str, Mapping[str, Linear | Num]]) -> dict[str, dict[str, Num]]:
    """Forms by name, each the sum of numbers of several blocks; factors that are 0 everywhere are left out."""
    found: dict[str, dict[str, Num]] = {}
    for name, blocks in parts.items():
        own: dict[str, dict[str, Num]] = {}
        for block, value in blocks.items():
            for count, factor in (value.factors if isinstance(value, Linear) else {"one": value}).items():
                own.setdefault(count, {})[block] = factor
        sums = {count: summed(factors) for count, factors in own.items()}
        found[name] = {count: factor for count, factor in sums.items() if np.any(factor)}
    return found


def evaluated(forms: Forms, counts: JobCounts) -> dict[str, Num]:
    """Forms of the counts of jobs: what the compiled kernel finds, but for the order of sums."""
    known = values_of(counts)
    return {
        name: sum((factor * known[count] for count, factor in terms.items()), start=np.zeros(np.shape(counts.cycles)))
        for name, terms in forms.items()
    }


def best_with_forms(
    made: DesignArrays, m: Num, n: Num, k: Num, orders: Sequence[int], forms: Forms, threads: int | None = None
) -> dict[str, np.ndarray]:
    """Of the best jobs of layers on designs `FOUND` and ``forms`` by name, arrays [layers, designs].

    ``m``, ``n``, ``k``: [layers, 1] or [layers, designs]. ``forms`` are over the mesh of the designs, where they have
    one. ``threads`` of the compiled kernel: None are as many as there are cores.
    """
    fast = made.best_forms(m, n, k, orders, forms, FOUND, threads)
    if fast is not None:
        return fast | {"exact": fast["exact"] > 0}
    each = made.each
    best = each.best_of_sizes(m, n, k, orders)
    counts = job_counts(each.spec, each.p, each.d, best.job, best.cycles, each.inventory)
    if (points := made.points) is not None:
        forms = {name: points.of_all(terms) for name, terms in forms.items()}
    found = {"cycles": best.cycles, "exact": best.exact, "regime": best.regime}
    return found | {name: best.job[name] for name in FLAGS} | evaluated(forms, counts)


def totals(
    made: DesignArrays, m: Num, n: Num, k: Num, times: np.ndarray, orders: Sequence[int], forms: Forms
) -> dict[str, np.ndarray]:
    """What the best jobs of layers take together, ``times`` [layers] each, as
    `hwgen.accelerator.compiled.total_jobs` has it; arrays [designs].
    """
    fast = made.total_forms(m, n, k, times, orders, forms)
    if fast is not None:
        return fast | {"exact": fast["exact"] > 0}
    found = best_with_forms(made, m, n, k, orders, forms)

    def total(values: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.einsum("l,ld->d", times, values)
        return found

    took = times[:, np.newaxis] * found["cycles"]
    of_regimes = [np.where(found["regime"] == place, took, 0).sum(axis=0) for place in range(len(REGIMES))]
    choices = np.zeros(took.shape[1], np.int64)
    for layer in range(min(len(times), MOST_SHOWN)):
        for place, name in enumerate(reversed(FLAGS)):
            choices |= np.asarray(found[name][layer], np.int64) << (len(FLAGS) * layer + place)
    return {
        "cycles": took.sum(axis=0),
        "exact": found["exact"].all(axis=0),
        "regime": np.stack(of_regimes).argmax(axis=0),
        "choices": choices,
        **{name: total(found[name]) for name in forms},
    }
