"""A part of a sweep, evaluated: its front, its share of the sample, what each value of each axis came to.

Rows are thrown away as they come unless they are on the part's front, in its sample, or all are stored. What is kept
does not depend on how parts are put together: the front holds the points that no other is better than (of equal ones
that of the smallest number), a stratum's sample those whose numbers have the smallest hashes.
"""

from __future__ import annotations

import dataclasses
import io
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dse.level import Chunk, Missed
from dse.pareto import column_of, front_mask, signs
from dse.plan import Plan
from dse.rows import plain_table, rows_table, taken
from dse.threads import one_blas_thread
from sim.clock import OWN

__all__ = ["AxisKey", "FrontRows", "Part", "SampleRows", "Tally", "axis_values", "evaluate_part", "hashed"]

AxisKey = tuple[str, str, str]
"""Workload, axis and value."""

SAMPLE_ROWS = 8192
"""Rows of the sample, about; each stratum has its share, and at least `_LEAST_ROWS`."""
_LEAST_ROWS = 64
_PIVOTS = 16
_FEW = 2048
"""Points that are not worth thinning out before the front is looked for."""


@dataclass
class Part:
    """What a part of a sweep came to.

    ``legal``: points that are legal and meet the constraints; ``unknown``: those of them of which an objective is not
    known, which are on no front; ``unmeasured``: those whose accuracy was not measured, where it is a column.
    ``axes``: for each value of each axis what `axis_values` adds up. ``points``: all rows as Parquet, where they are
    stored.
    """

    index: int
    front: pa.Table
    sample: pa.Table
    strata: dict[int, int] = field(default_factory=dict)
    axes: dict[AxisKey, np.ndarray] = field(default_factory=dict)
    looked_at: int = 0
    legal: int = 0
    unknown: int = 0
    unmeasured: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    missed: Missed = field(default_factory=Missed)
    seconds: float = 0.0
    points: bytes | None = None


def hashed(numbers: np.ndarray) -> np.ndarray:
    """A number as if drawn at random, from each number (SplitMix64, Steele, Lea and Flood, OOPSLA 2014)."""
    x = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: np.ndarray = x ^ (x >> np.uint64(31))
    return found


class _Rows:
    """Rows in several tables, of which some are still wanted."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._tables: list[pa.Table] = []
        self._count = 0
        self.at = np.zeros(0, np.int64)

    def _append(self, table: pa.Table) -> np.ndarray:
        """Places of the rows of a table."""
        places = np.arange(self._count, self._count + table.num_rows)
        self._tables.append(table)
        self._count += table.num_rows
        return places

    def _compact(self) -> None:
        if self._count > 4 * len(self.at) + 4 * SAMPLE_ROWS:
            self._tables = [self.table()]
            self._count = len(self.at)
            self.at = np.arange(self._count)

    def table(self) -> pa.Table:
        """The rows that are wanted."""
        if not self._tables:
            return self._schema.empty_table()
        return pa.concat_tables(self._tables).unify_dictionaries().combine_chunks().take(pa.array(self.at))


class FrontRows(_Rows):
    """Rows that no other is better than, of all that came by."""

    def __init__(self, schema: pa.Schema, objectives: Sequence[str]) -> None:
        super().__init__(schema)
        self._columns = [column_of(name) for name in objectives]
        self._signs = signs(objectives)
        self.values = np.zeros((0, len(objectives)))
        self.numbers = np.zeros(0, np.int64)

    def values_of(self, columns: Mapping[str, Any], rows: int) -> np.ndarray:
        """Objectives [points, objectives], smaller is better."""
        found = np.empty((rows, len(self._columns)))
        for place, name in enumerate(self._columns):
            found[:, place] = columns[name]
        return np.asarray(found * self._signs)

    def candidates(self, values: np.ndarray) -> np.ndarray:
        """Places of the points of a block that may be on the front."""
        places = np.flatnonzero(~np.isnan(values).any(axis=1))
        if len(self.values):
            step = max(len(self.values) // _PIVOTS, 1)
            places = _thinned(values, places, self.values[::step])
        if len(places) > _FEW:
            scale = np.abs(values[places]).mean(axis=0)
            scaled = values / np.where(scale > 0, scale, 1.0)
            weights = np.ones((1 + len(scale), len(scale)))
            weights[1:][np.diag_indices(len(scale))] = 8.0
            for weight in weights:
                best = places[int(np.argmin(scaled[places] @ weight))]
                places = _thinned(values, places, values[[best]])
        return np.asarray(places[front_mask(values[places])])

    def add(self, values: np.ndarray, numbers: np.ndarray, table: pa.Table) -> None:
        """Take in the rows of a table, whatever the order in which they come."""
        if not len(values):
            return
        places = np.concatenate([self.at, self._append(table)])
        values = np.concatenate([self.values, values])
        numbers = np.concatenate([self.numbers, numbers])
        order = np.argsort(numbers, kind="stable")
        kept = order[front_mask(values[order])]
        self.values, self.numbers, self.at = values[kept], numbers[kept], places[kept]
        self._compact()


def _thinned(values: np.ndarray, places: np.ndarray, pivots: np.ndarray) -> np.ndarray:
    """Places without those that one of a few points is better than; equal ones stay."""
    for pivot in pivots:
        if len(places) <= _FEW:
            break
        found = values[places]
        worse = (found >= pivot).all(axis=1) & (found > pivot).any(axis=1)
        places = places[~worse]
    return places


class SampleRows(_Rows):
    """Of each stratum the rows whose numbers have the smallest hashes, and how many there were."""

    def __init__(self, schema: pa.Schema, strata: int) -> None:
        super().__init__(schema)
        self.most = max(SAMPLE_ROWS // max(strata, 1), _LEAST_ROWS)
        self.counts: dict[int, int] = {}
        self.strata = np.zeros(0, np.int32)
        self.numbers = np.zeros(0, np.int64)
        self._limits: dict[int, np.uint64] = {}

    def candidates(self, stratum: int, numbers: np.ndarray) -> np.ndarray:
        """Places of those that may be in the sample, all of one stratum."""
        keys = hashed(numbers)
        limit = self._limits.get(stratum)
        places = np.arange(len(keys)) if limit is None else np.flatnonzero(keys < limit)
        if len(places) > self.most:
            places = np.sort(places[np.argpartition(keys[places], self.most)[: self.most]])
        return places

    def add(self, strata: np.ndarray, numbers: np.ndarray, table: pa.Table) -> None:
        """Take in the rows of a table."""
        if not len(numbers):
            return
        places = np.concatenate([self.at, self._append(table)])
        strata = np.concatenate([self.strata, strata]).astype(np.int32)
        numbers = np.concatenate([self.numbers, numbers])
        keys = hashed(numbers)
        order = np.lexsort((keys, strata))
        starts = np.searchsorted(strata[order], strata[order], side="left")
        kept = order[np.arange(len(order)) - starts < self.most]
        for stratum in np.unique(strata):
            own = keys[kept][strata[kept] == stratum]
            if len(own) == self.most:
                self._limits[int(stratum)] = own.max()
        self.strata, self.numbers, self.at = strata[kept], numbers[kept], places[kept]
        self._compact()


def axis_values(found: dict[AxisKey, np.ndarray], other: Mapping[AxisKey, np.ndarray]) -> None:
    """Add what some points came to, by value of an axis: [1 + 4 * objectives] their number, then the least, the
    greatest and the sum of the values that are known, and how many are.
    """
    for key, new in other.items():
        old = found.get(key)
        if old is None:
            found[key] = new.copy()
            continue
        old[0] += new[0]
        old[1::4] = np.minimum(old[1::4], new[1::4])
        old[2::4] = np.maximum(old[2::4], new[2::4])
        old[3::4] += new[3::4]
        old[4::4] += new[4::4]


class _Axes:
    """What each value of each axis comes to, block by block."""

    def __init__(self, plan: Plan) -> None:
        self.found: dict[AxisKey, np.ndarray] = {}
        self._columns = list(dict.fromkeys(map(column_of, plan.objectives)))
        self._swept = plan.swept

    def add(
        self,
        workload: str,
        fixed: Mapping[str, Any],
        axes: Mapping[str, Sequence[Any]],
        columns: Mapping[str, np.ndarray],
        places: np.ndarray | None,
    ) -> None:
        """Points of a block: ``fixed``: values of axes that are the same in all of them; ``axes``: values of its
        dimensions; ``places``: where its points lie in it.
        """
        shape = tuple(len(values) for values in axes.values())
        count = np.ones(shape) if places is None else _dense(np.ones(len(places)), shape, places, 0.0)
        dense: list[np.ndarray] = []
        for name in self._columns:
            values = np.asarray(columns[name], dtype=np.float64)
            known = None if not np.isnan(values).any() else ~np.isnan(values)
            for fill in (np.inf, -np.inf, 0.0):
                filled = values if known is None else np.where(known, values, fill)
                dense.append(_dense(filled, shape, places, fill))
            dense.append(count if known is None else _dense(known.astype(float), shape, places, 0.0))
        every = tuple(range(len(shape)))
        whole = self._reduced(count, dense, every).reshape(-1)
        own: dict[AxisKey, np.ndarray] = {}
        for name in self._swept:
            if name in axes:
                at = list(axes).index(name)
                table = self._reduced(count, dense, every[:at] + every[at + 1 :])
                for place, value in enumerate(axes[name]):
                    if table[0, place]:
                        own[workload, name, str(value)] = table[:, place]
            elif fixed.get(name) is not None:
                own[workload, name, str(fixed[name])] = whole
        axis_values(self.found, own)

    def add_scattered(
        self, workload: str, fixed: Mapping[str, Any], varying: Mapping[str, np.ndarray], columns: Mapping[str, Any]
    ) -> None:
        """Points that are no block: ``varying``: values of axes that differ among them [points]; others as in `add`."""
        rows = len(columns["cycles"])
        table = np.ones((1 + 4 * len(self._columns), rows))
        for at, name in enumerate(self._columns):
            values = np.broadcast_to(np.asarray(columns[name], dtype=np.float64), (rows,))
            known = ~np.isnan(values)
            for which, fill in enumerate((np.inf, -np.inf, 0.0)):
                table[1 + 4 * at + which] = np.where(known, values, fill)
            table[4 + 4 * at] = known
        own: dict[AxisKey, np.ndarray] = {}
        for name in self._swept:
            if name in varying:
                found, group = np.unique(varying[name], return_inverse=True)
                for place, value in enumerate(found.tolist()):
                    own[workload, name, str(value)] = _summed(table[:, group == place])
            elif fixed.get(name) is not None:
                own[workload, name, str(fixed[name])] = _summed(table)
        axis_values(self.found, own)

    def _reduced(self, count: np.ndarray, dense: Sequence[np.ndarray], others: tuple[int, ...]) -> np.ndarray:
        """[1 + 4 * objectives, values] of one dimension, the others reduced."""
        rows = [count.sum(axis=others)]
        for low, high, *totals in zip(*(dense[at::4] for at in range(4)), strict=True):
            rows += [low.min(axis=others), high.max(axis=others), *(total.sum(axis=others) for total in totals)]
        return np.stack([np.asarray(row) for row in rows])


def _summed(table: np.ndarray) -> np.ndarray:
    """What points [1 + 4 * objectives, points] come to, as `axis_values` adds it up."""
    found: np.ndarray = table.sum(axis=1)
    found[1::4], found[2::4] = table[1::4].min(axis=1), table[2::4].max(axis=1)
    return found


def _dense(values: np.ndarray, shape: tuple[int, ...], places: np.ndarray | None, fill: float) -> np.ndarray:
    """Values of some places of a block, ``fill`` in the others; None for all places."""
    if places is None:
        return np.broadcast_to(values, (math.prod(shape),)).reshape(shape)
    full = np.full(math.prod(shape), fill)
    full[places] = values
    return full.reshape(shape)


class Tally:
    """What points come to, block by block, until they are a part."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.counted = Part(0, plan.schema.empty_table(), plan.schema.empty_table())
        self.axes = _Axes(plan)
        self._fronts: dict[str, FrontRows] = {}
        self._sample = SampleRows(plan.schema, len(plan.strata))
        self._stored: list[pa.Table] = []

    def count(self, chunk: Chunk) -> None:
        """Count the points of a block, and why some of them are left out."""
        self.counted.looked_at += chunk.looked_at
        self.counted.missed += chunk.missed
        for reason, count in chunk.skipped.items():
            self.counted.skipped[reason] = self.counted.skipped.get(reason, 0) + count

    def add(self, scene_at: int, space_at: int, clock_at: int, chunk: Chunk, numbers: np.ndarray) -> np.ndarray:
        """Take in the legal points of a block, of which there are some; ``numbers``: theirs. Returns their objectives
        [points, objectives], smaller is better.
        """
        plan, part = self.plan, self.counted
        scene, space, level = plan.scenes[scene_at], plan.spaces[space_at], plan.levels[scene_at]
        rows = len(numbers)
        part.legal += rows
        outer = {"workload": scene.workload, "tech": scene.tech.name}
        every = dataclasses.replace(chunk, columns={**chunk.columns, "point": numbers})

        def made(places: np.ndarray | None) -> pa.Table:
            """Some of the points as rows, None for all."""
            some = every if places is None else taken(every, places)
            return rows_table(space, some, plan.schema, scene.tech, level, outer)

        best = self._fronts.setdefault(scene.workload, FrontRows(plan.schema, plan.objectives))
        values = best.values_of({**chunk.fixed, **chunk.columns}, rows)
        part.unknown += int(np.isnan(values).any(axis=1).sum())
        if "perplexity" in chunk.columns:
            part.unmeasured += int(np.isnan(chunk.columns["perplexity"]).sum())
        chosen = best.candidates(values)
        if len(chosen):
            best.add(values[chosen], numbers[chosen], made(chosen))
        stratum = plan.strata[scene_at, clock_at, space.family]
        self._sample.counts[stratum] = self._sample.counts.get(stratum, 0) + rows
        chosen = self._sample.candidates(stratum, numbers)
        if len(chosen):
            self._sample.add(np.full(len(chosen), stratum), numbers[chosen], made(chosen))
        if plan.keep:
            self._stored.append(made(None))
        return values

    def fixed(self, scene_at: int, space_at: int, clock_at: int, p: Mapping[str, Any]) -> dict[str, Any]:
        """Values of axes that are the same in all points of a block: ``p``, and what is around them."""
        scene = self.plan.scenes[scene_at]
        period = scene.clocks[clock_at].period_ns
        return {
            "workload": scene.workload,
            "tech": scene.tech.name,
            "pe": self.plan.spaces[space_at].family,
            "clk_period_ns": OWN if period is None else period,
            **p,
        }

    def part(self, index: int, seconds: float) -> Part:
        """All that was taken in as the part of a number."""
        part, fronts = self.counted, self._fronts
        part.index, part.seconds = index, seconds
        if fronts:
            part.front = pa.concat_tables([one.table() for one in fronts.values()]).unify_dictionaries()
        part.sample, part.strata, part.axes = self._sample.table(), self._sample.counts, self.axes.found
        if self.plan.keep:
            stored = self._stored
            whole = pa.concat_tables(stored).unify_dictionaries() if stored else self.plan.schema.empty_table()
            part.points = _parquet(plain_table(whole.sort_by("point")))
        return part


def evaluate_part(plan: Plan, index: int) -> Part:
    """Evaluate the points of a part."""
    with one_blas_thread():
        return _evaluated(plan, index)


def _evaluated(plan: Plan, index: int) -> Part:
    started = time.perf_counter()
    tally = Tally(plan)
    for scene_at, space_at, block_at in plan.blocks_of(index):
        scene, space, blocks = plan.scenes[scene_at], plan.spaces[space_at], plan.blocks[scene_at][space_at]
        level = plan.levels[scene_at]
        scene.tech.prepare(space.family)
        p = blocks[block_at]
        for clock_at, clock in enumerate(scene.clocks):
            chunk = level.evaluate(space, p, scene.layers, scene.tech, clock)
            tally.count(chunk)
            if not chunk.columns:
                continue
            places = blocks.places(block_at, chunk.columns, len(chunk.columns["cycles"]))
            numbers = blocks.numbers(block_at)
            numbers = numbers if places is None else numbers[places]
            numbers = plan.first_number(scene_at, space_at) + clock_at + numbers * len(scene.clocks)
            tally.add(scene_at, space_at, clock_at, chunk, numbers)
            fixed = tally.fixed(scene_at, space_at, clock_at, p)
            tally.axes.add(scene.workload, fixed, blocks.axes(block_at), {**chunk.fixed, **chunk.columns}, places)
            # No block is kept while the next one is evaluated.
            del chunk, fixed, numbers, places
    return tally.part(index, time.perf_counter() - started)


def _parquet(table: pa.Table) -> bytes:
    raw = io.BytesIO()
    pq.write_table(table, raw, compression="zstd", write_page_checksum=True)
    return raw.getvalue()
