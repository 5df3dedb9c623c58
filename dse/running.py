"""A sweep so far: parts merged in their order, and as it is kept between two runs.

Parts may come in any order; they are merged in that of their numbers, so that sums have the same last bit whoever
evaluated what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from dse.level import Missed
from dse.pareto import column_of
from dse.part import AxisKey, FrontRows, Part, SampleRows, axis_values
from dse.plan import Plan
from dse.rows import TEXT, plain_table

__all__ = ["Running"]

_COUNTS = ("parts", "looked_at", "legal", "unknown", "unmeasured", "seconds")


@dataclass
class Running:
    """What the first ``parts`` parts of a plan came to; members as in `dse.part.Part`."""

    plan: Plan
    parts: int = 0
    looked_at: int = 0
    legal: int = 0
    unknown: int = 0
    unmeasured: int = 0
    seconds: float = 0.0
    skipped: dict[str, int] = field(default_factory=dict)
    missed: Missed = field(default_factory=Missed)
    axes: dict[AxisKey, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fronts: dict[str, FrontRows] = {}
        self.sample = SampleRows(self.plan.schema, len(self.plan.strata))

    def add(self, part: Part) -> None:
        """Merge the next part."""
        assert part.index == self.parts
        self.parts += 1
        self.looked_at += part.looked_at
        self.legal += part.legal
        self.unknown += part.unknown
        self.unmeasured += part.unmeasured
        self.seconds += part.seconds
        for reason, count in part.skipped.items():
            self.skipped[reason] = self.skipped.get(reason, 0) + count
        self.missed += part.missed
        axis_values(self.axes, part.axes)
        for stratum, count in part.strata.items():
            self.sample.counts[stratum] = self.sample.counts.get(stratum, 0) + count
        self._add_front(part.front)
        self._add_sample(part.sample)

    def _add_front(self, table: pa.Table) -> None:
        workloads = table["workload"].cast(pa.string())
        for name in workloads.unique().to_pylist():
            own = table.filter(pa.compute.equal(workloads, name))
            rows = self.fronts.setdefault(name, FrontRows(self.plan.schema, self.plan.objectives))
            columns = {column: own[column].to_numpy() for column in map(column_of, self.plan.objectives)}
            rows.add(rows.values_of(columns, own.num_rows), own["point"].to_numpy(), own)

    def _add_sample(self, table: pa.Table) -> None:
        numbers = table["point"].to_numpy()
        self.sample.add(self._strata_of(numbers), numbers, table)

    def _strata_of(self, numbers: np.ndarray) -> np.ndarray:
        """Stratum of each point."""
        found = np.zeros(len(numbers), np.int32)
        families = [space.family for space in self.plan.spaces]
        for scene, one in enumerate(self.plan.scenes):
            clocks = len(one.clocks)
            first = [self.plan.first_number(scene, space) for space in range(len(families) + 1)]
            own = (numbers >= first[0]) & (numbers < first[-1])
            places = np.searchsorted(first, numbers[own], side="right") - 1
            clock = (numbers[own] - first[0]) % clocks
            found[own] = [self.plan.strata[scene, int(c), families[int(s)]] for c, s in zip(clock, places, strict=True)]
        return found

    def front_table(self) -> pa.Table:
        """The front, workload by workload, ordered by the objectives."""
        order = dict.fromkeys(scene.workload for scene in self.plan.scenes)
        tables = []
        for name in order:
            rows = self.fronts.get(name)
            if rows is not None and len(rows.values):
                # lexsort takes the most significant key last.
                places = np.lexsort(rows.values.T[::-1])
                tables.append(rows.table().take(pa.array(places)))
        if not tables:
            return self.plan.schema.empty_table()
        return plain_table(pa.concat_tables(tables).unify_dictionaries())

    def sample_table(self) -> pa.Table:
        """The sample by number, with ``stands_for``: how many points of its stratum each row stands for."""
        sample = self.sample
        kept = {
            int(stratum): int(count)
            for stratum, count in zip(*np.unique(sample.strata, return_counts=True), strict=True)
        }
        weights = np.array([sample.counts[int(one)] / kept[int(one)] for one in sample.strata], dtype=np.float64)
        table = sample.table().append_column("stands_for", pa.array(weights, pa.float64()))
        return plain_table(table.sort_by("point"))

    def axes_table(self) -> pa.Table:
        """Points, and the least, mean and greatest value of each objective that is known, by value of each axis."""
        columns = list(dict.fromkeys(map(column_of, self.plan.objectives)))
        order = {name: place for place, name in enumerate(self.plan.swept)}
        workloads = {name: place for place, name in enumerate(dict.fromkeys(s.workload for s in self.plan.scenes))}
        values: dict[str, dict[str, int]] = {name: {} for name in order}
        for space in self.plan.spaces:
            for name, own in space.axes.items():
                for value in own if name in values else ():
                    values[name].setdefault(str(value), len(values[name]))

        def place(key: AxisKey) -> tuple[int, int, int, str]:
            workload, name, value = key
            return workloads[workload], order[name], values[name].get(value, 0), value

        keys = sorted(self.axes, key=place)
        found: dict[str, Any] = {
            name: pa.array([key[at] for key in keys], pa.string()).dictionary_encode()
            for at, name in enumerate(("workload", "axis", "value"))
        }
        table = np.array([self.axes[key] for key in keys]).reshape(len(keys), 1 + 4 * len(columns))
        found["points"] = pa.array(table[:, 0].astype(np.int64))
        for at, name in enumerate(columns):
            least, greatest, total, known = (table[:, 1 + 4 * at + which] for which in range(4))
            none = known == 0
            found |= {
                f"{name}_min": pa.array(np.where(none, np.nan, least)),
                f"{name}_mean": pa.array(np.where(none, np.nan, total / np.where(none, 1.0, known))),
                f"{name}_max": pa.array(np.where(none, np.nan, greatest)),
            }
        return pa.table(found)

    def state(self) -> tuple[dict[str, Any], dict[str, pa.Table]]:
        """What `resumed` makes the same from: a JSON value, and tables."""
        counted = {
            **{name: getattr(self, name) for name in _COUNTS},
            "skipped": self.skipped,
            "missed": [self.missed.legal, self.missed.met, self.missed.nearest, self.missed.joint],
            "strata": [[stratum, count] for stratum, count in self.sample.counts.items()],
        }
        keys = list(self.axes)
        width = 1 + 4 * len(set(map(column_of, self.plan.objectives)))
        flat = np.array([self.axes[key] for key in keys]).reshape(-1)
        axes = pa.table(
            {
                **{name: pa.array([key[at] for key in keys], TEXT.value_type) for at, name in enumerate("wav")},
                "numbers": pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float64()), width),
            }
        )
        fronts = [rows.table() for rows in self.fronts.values()]
        front = pa.concat_tables(fronts).unify_dictionaries() if fronts else self.plan.schema.empty_table()
        return counted, {"front": front, "sample": self.sample.table(), "axes": axes}

    @classmethod
    def resumed(cls, plan: Plan, counted: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> Running:
        """What `state` was made from."""
        found = cls(plan, **{name: counted[name] for name in _COUNTS})
        found.skipped = dict(counted["skipped"])
        legal, met, nearest, joint = counted["missed"]
        near = tuple(None if one is None else (one[0], one[1]) for one in nearest)
        found.missed = Missed(legal, tuple(met), near, None if joint is None else (joint[0], joint[1], joint[2]))
        found.sample.counts = dict(counted["strata"])
        axes = tables["axes"]
        names = (axes[name].to_pylist() for name in "wav")
        numbers = axes["numbers"].combine_chunks().flatten().to_numpy().reshape(axes.num_rows, -1)
        found.axes = {key: row.copy() for key, row in zip(zip(*names, strict=True), numbers, strict=True)}
        found._add_front(tables["front"])
        found._add_sample(tables["sample"])
        return found
