"""How far the front of a finished sweep depends on its costs: fronts under changed costs, and under the model's errors.

A cost is the area or the energy of a block of the points (the tile, what is around it, memories), or the shortest
clock period of logic: of all points, of one family, of one technology. `moves` changes one at a time by a factor and
looks for the front again. `standings` asks of each point of the front whether the errors that the model states of
itself (`sim.held_out`) can put another point before it, under two assumptions:

* independent: each point's costs err by themselves, within what was stated. A point that stands here is robust.
* common: costs of one kind err by the same factor, those of tiles in all points of a family in a technology, those
  of what is around them in all points of a technology. What is left are comparisons between kinds.

Both are bounds: where they cannot exclude that a point is beaten, it need not be. Blocks without a stated error count
as exact and are told; points that are marked as extrapolated have at least the largest stated error, and are told, too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dse.level import TRUST
from dse.pareto import column_of, front_mask, objective_values
from dse.picks import each_workload, knee
from dse.stored import StoredSweep, techs_of
from dse.where import Condition, parse_condition
from hwgen.errors import HwgenError
from sim.held_out import AROUND, HeldOut, held_out

__all__ = [
    "EFFECTS",
    "Change",
    "Move",
    "Standing",
    "changed",
    "changes",
    "known_points",
    "moves",
    "standings",
    "unstated",
]

EFFECTS: Mapping[str, tuple[int, int, int]] = {
    "area_um2": (1, 0, 0),
    "energy_pj": (0, 1, 0),
    "energy_pj_per_mac": (0, 1, 0),
    "latency_us": (0, 0, 1),
    "clk_period_ns": (0, 0, 1),
    "tokens_per_s": (0, 0, -1),
    "tops": (0, 0, -1),
    "edp_pj_us": (0, 1, 1),
    "power_mw": (0, 1, -1),
    "tops_per_w": (0, -1, 0),
    "tops_per_mm2": (-1, 0, -1),
}
"""Powers of area, energy and clock period in the columns that depend on them."""
Progress = Callable[[int, int], None]
"""Called with (points of a front done, points in all)."""
QUANTITIES = ("area", "energy", "period")
BLOCKS = ("tile", "around", "sram")
ALL = "all"
_LOGIC = "logic"
"""In place of a block: the shortest period itself, whatever clock a point runs at."""
_WORDS = {ALL: "", "tile": " of tiles", "around": " around tiles", "sram": " of memories"}
_UNITS = {"area": "area_um2", "energy": "energy_pj"}
_LOOKED_AT = ("point", "workload", "tech", "pe", "min_clk_period_ns", "memory_cycle_ns", TRUST[1])


@dataclass(frozen=True)
class Change:
    """One kind of cost times a factor: ``quantity`` of `QUANTITIES`, of a block (`BLOCKS`, or all), of the points of a
    family and of a technology (or all).
    """

    quantity: str
    factor: float
    block: str = ALL
    family: str = ALL
    tech: str = ALL

    @property
    def cost(self) -> str:
        """What is changed, in words."""
        what = _WORDS[self.block] if self.family == ALL else f" of {self.family} tiles"
        return f"{self.quantity}{what}{'' if self.tech == ALL else f' in {self.tech}'}"


@dataclass(frozen=True)
class Move:
    """What a change does to the front of a workload.

    ``left``, ``entered``: numbers of points that were on the front, and that are now. ``late``: points of the front
    that no longer keep their clock, among those that left. ``picks``: of the knee and of the best point by each
    objective its number before and after; None after where no point is left.
    """

    change: Change
    workload: str
    stayed: int
    left: tuple[int, ...]
    entered: tuple[int, ...]
    late: int
    picks: Mapping[str, tuple[int, int | None]]

    @property
    def changed_picks(self) -> dict[str, tuple[int, int | None]]:
        """Picks that are other points now."""
        return {name: pair for name, pair in self.picks.items() if pair[0] != pair[1]}


@dataclass(frozen=True)
class Standing:
    """A point of the front under the model's errors.

    Members
    -------
    independent, common: the point nearest to it that may be better in all objectives, under each assumption; None where
        none may.
    ranks: place along each objective among the points of the front, from 1, and the best and the worst that independent
        errors can make of it.
    extrapolated: beyond all measured tiles, where no error is stated. stated: whether errors of its tile, and of what
        is around it, are stated at all.
    clock: whether the error of the period can make it miss its clock.
    """

    point: int
    workload: str
    independent: int | None
    common: int | None
    ranks: Mapping[str, tuple[int, int, int]]
    extrapolated: bool
    stated: bool
    clock: bool

    @property
    def verdict(self) -> str:
        """``robust``, or what it takes to beat the point."""
        if self.independent is None:
            return "robust" if self.stated and not self.extrapolated else "not known"
        return "within independent errors" if self.common is None else "within common errors"


def _blocks(points: pd.DataFrame) -> tuple[str, ...]:
    """Blocks whose costs rows tell apart; of tiles there is one."""
    named = tuple(name for name in BLOCKS if f"{name}_area_um2" in points and f"{name}_energy_pj" in points)
    return named or BLOCKS[:1]


def _costs(points: pd.DataFrame, quantity: str) -> np.ndarray:
    """Area or energy [points, blocks]."""
    unit = _UNITS[quantity]
    names = [f"{name}_{unit}" for name in _blocks(points)]
    found: np.ndarray = points[names if names[0] in points else [unit]].to_numpy(np.float64)
    return found


def _numbers(points: pd.DataFrame) -> np.ndarray:
    """Numbers of points, as `hwgen pareto` knows them."""
    return np.asarray(points.get("point", points.index))


def _own_clock(points: pd.DataFrame, about: Mapping[str, Any]) -> np.ndarray:
    """Whether each point runs at its own shortest period [points]."""
    named = [period for period in about["clk_period_ns"] if period is not None]
    if None not in about["clk_period_ns"]:
        return np.zeros(len(points), bool)
    return ~np.isin(points["clk_period_ns"].to_numpy(np.float64), named)


def _shortest(points: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Shortest period of logic, and what memories take, 0 where no source gives it [points]."""
    logic = points["min_clk_period_ns"].to_numpy(np.float64)
    memory = points["memory_cycle_ns"].to_numpy(np.float64) if "memory_cycle_ns" in points else np.zeros(len(points))
    return logic, np.nan_to_num(memory, nan=0.0)


def changed(points: pd.DataFrame, change: Change, about: Mapping[str, Any]) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows with a changed cost in all columns that depend on it, and which of them no longer keep their clock [points].

    A point at a clock of its own runs at its changed period; one at a named clock keeps that or is late. ``about``: the
    sweep's metadata.
    """
    concerned = np.ones(len(points), bool)
    if change.family != ALL:
        concerned &= points["pe"].astype(str).to_numpy(object) == change.family
    if change.tech != ALL:
        concerned &= techs_of(points, about) == change.tech
    factor = np.where(concerned, change.factor, 1.0)
    ratios = dict.fromkeys(QUANTITIES, np.ones(len(points)))
    found = points.copy()
    late = np.zeros(len(points), bool)
    if change.quantity == "period":
        logic, memory = _shortest(points)
        ratio = np.maximum(logic * factor, memory) / np.maximum(logic, memory)
        own = _own_clock(points, about)
        ratios["period"] = np.where(own & ~np.isnan(ratio), ratio, 1.0)
        clock = points["clk_period_ns"].to_numpy(np.float64)
        late = ~own & (logic <= clock) & (logic * factor > clock)
        found["min_clk_period_ns"] = logic * factor
    else:
        costs, unit = _costs(points, change.quantity), _UNITS[change.quantity]
        after = costs.copy()
        for at, name in enumerate(_blocks(points)):
            if change.block in (ALL, name):
                after[:, at] *= factor
            if f"{name}_{unit}" in points:
                found[f"{name}_{unit}"] = after[:, at]
        whole = costs.sum(axis=1)
        ratios[change.quantity] = np.where(whole > 0, after.sum(axis=1) / np.where(whole > 0, whole, 1.0), 1.0)
    for name, powers in EFFECTS.items():
        if name in points:
            ratio = np.ones(len(points))
            for quantity, power in zip(QUANTITIES, powers, strict=True):
                ratio *= ratios[quantity] ** power
            found[name] = points[name].to_numpy(np.float64) * ratio
    return found, late


def changes(sweep: StoredSweep, share: float = 0.3) -> list[Change]:
    """Each cost that rows of a sweep tell apart, smaller and larger by a share.

    Raises `HwgenError` for a share that is not between 0 and 1.
    """
    if not 0 <= share < 1:
        raise HwgenError(f"sensitivity: --by must be from 0 to below 100 %, not {100 * share:g} %")
    front = sweep.front
    families = sorted({str(name) for name in front["pe"]} | {str(name) for name in sweep.sample["pe"]})
    techs = list(dict.fromkeys(map(str, [*techs_of(front, sweep.metadata), *techs_of(sweep.sample, sweep.metadata)])))
    blocks = _blocks(front)
    found: list[dict[str, str]] = [{}]
    found += [{"block": name} for name in blocks if len(blocks) > 1]
    found += [{"block": "tile", "family": name} for name in families if len(families) > 1]
    found += [{"tech": name} for name in techs if len(techs) > 1]
    return [
        Change(quantity, factor, **where)
        for quantity in QUANTITIES
        for where in found
        # A period is of the logic as a whole.
        if quantity != "period" or where.get("block", "tile") == "tile"
        if quantity != "period" or where != {"block": "tile"}
        for factor in (1 - share, 1 + share)
    ]


def known_points(sweep: StoredSweep) -> pd.DataFrame:
    """All rows that there are: of all points, or of the front and the sample. Those without all objectives are left
    out.
    """
    points = sweep.points
    if points is None:
        both = pd.concat([sweep.front, sweep.sample], ignore_index=True)
        points = both.loc[~both["point"].duplicated()]
    columns = [column_of(name) for name in sweep.objectives]
    return points.dropna(subset=columns)


def _conditions(about: Mapping[str, Any]) -> list[Condition]:
    """Constraints of a sweep on numbers that stand by themselves."""
    texts = [text for text in about.get("constraints", ()) if not text.startswith("baseline ")]
    found = [parse_condition(text) for text in texts]
    # Names are those of parameters or follow from cycles: costs do not change them.
    return [one for one in found if not one.of_baseline and not isinstance(one.value, str)]


def _effect(column: str) -> tuple[tuple[int, int, int], str]:
    """Powers of area, energy and period in a column, and the block whose cost it is, or all."""
    for quantity, unit in _UNITS.items():
        for block in BLOCKS:
            if column == f"{block}_{unit}":
                return (int(quantity == "area"), int(quantity == "energy"), 0), block
    if column == "min_clk_period_ns":
        return (0, 0, 1), _LOGIC
    return EFFECTS.get(column, (0, 0, 0)), ALL


def _meets(points: pd.DataFrame, conditions: Sequence[Condition]) -> np.ndarray:
    kept = np.ones(len(points), bool)
    for one in conditions:
        if one.column in points:
            kept &= one.holds(points[one.column].to_numpy(np.float64), one.value)
    return kept


def _picks(front: pd.DataFrame, objectives: Sequence[str]) -> dict[str, int]:
    """Number of the knee, and of the best point by each objective, by name."""
    numbers, values = _numbers(front), objective_values(front, objectives)
    found = {"knee": int(numbers[knee(front, objectives)])}
    found |= {name: int(numbers[int(np.argmin(values[:, at]))]) for at, name in enumerate(objectives)}
    return found


def moves(sweep: StoredSweep, share: float = 0.3) -> Iterator[Move]:
    """What each of `changes` does to the front of each workload, among the rows that are stored.

    Points that leave miss their clock or a constraint, or are no longer better than all others. What was left out for
    its constraints or its clock is not stored, and enters no front.
    """
    conditions, about = _conditions(sweep.metadata), sweep.metadata
    points = known_points(sweep)
    # Rows are copied for each change: only what is looked at.
    looked_at = {*EFFECTS, *_LOOKED_AT, *map(column_of, sweep.objectives), *(one.column for one in conditions)}
    looked_at |= {f"{block}_{unit}" for block in BLOCKS for unit in _UNITS.values()}
    points = points[[name for name in points if name in looked_at]]
    for own in each_workload(points):
        before = _front(own, sweep.objectives, np.ones(len(own), bool))
        picked = _picks(own.iloc[before], sweep.objectives)
        numbers = _numbers(own)
        name = str(own["workload"].iloc[0]) if "workload" in own else ""
        for change in changes(sweep, share):
            rows, late = changed(own, change, about)
            after = _front(rows, sweep.objectives, ~late & _meets(rows, conditions))
            left = np.setdiff1d(numbers[before], numbers[after])
            entered = np.setdiff1d(numbers[after], numbers[before])
            now = _picks(rows.iloc[after], sweep.objectives) if len(after) else {}
            yield Move(
                change,
                name,
                len(before) - len(left),
                tuple(left.tolist()),
                tuple(entered.tolist()),
                int(late[before].sum()),
                {pick: (number, now.get(pick)) for pick, number in picked.items()},
            )


def _front(points: pd.DataFrame, objectives: Sequence[str], kept: np.ndarray) -> np.ndarray:
    """Places of the non-dominated rows among those that are kept."""
    places = np.flatnonzero(kept)
    values = objective_values(points, objectives)[places]
    return np.asarray(places[front_mask(values)])


@dataclass(frozen=True)
class _Errors:
    """By what factors the truth may lie below and above what the model says: ``low`` and ``high`` [points, blocks] of
    areas and energies by quantity, [points, 1] of periods.
    """

    low: Mapping[str, np.ndarray]
    high: Mapping[str, np.ndarray]


@functools.cache
def _stated(tech: str, name: str) -> HeldOut | None:
    return held_out(tech, name)


def _error_of(name: str, tech: str, quantity: str, *, largest: bool) -> float:
    """Stated error, 0 where none is: what `unstated` tells."""
    stated = _stated(tech, name)
    if stated is None:
        return 0.0
    return (stated.largest if largest else stated.median)[quantity]


def _errors(points: pd.DataFrame, about: Mapping[str, Any], *, largest: bool) -> _Errors:
    blocks, techs = _blocks(points), techs_of(points, about)
    families = points["pe"].astype(str).to_numpy(object)
    beyond = _extrapolated(points)
    keys, group = np.unique(np.stack([families, techs]).astype(str), axis=1, return_inverse=True)
    group = group.reshape(-1)

    def of(quantity: str, block: str) -> np.ndarray:
        def each(largest: bool) -> np.ndarray:
            if block == "sram":
                return np.zeros(keys.shape[1])
            return np.array(
                [
                    _error_of(AROUND if block == "around" else family, tech, quantity, largest=largest)
                    for family, tech in keys.T
                ]
            )

        return np.where(beyond, each(True)[group], each(largest)[group])

    errors = {quantity: np.stack([of(quantity, block) for block in blocks], axis=1) for quantity in ("area", "energy")}
    # Which part of an accelerator is the slowest its rows do not say.
    errors["period"] = np.max([of("period", block) for block in blocks], axis=0)[:, np.newaxis]
    # Error: model over truth - 1.
    low = {quantity: 1 / (1 + error) for quantity, error in errors.items()}
    high = {quantity: 1 / np.maximum(1 - error, 1e-9) for quantity, error in errors.items()}
    return _Errors(low, high)


def _extrapolated(points: pd.DataFrame) -> np.ndarray:
    return np.asarray(points[TRUST[1]].astype(str) != "") if TRUST[1] in points else np.zeros(len(points), bool)


def _is_stated(points: pd.DataFrame, about: Mapping[str, Any]) -> list[bool]:
    """Whether errors of each point's tile, and of what is around it, are stated."""
    around = "around" in _blocks(points)
    return [
        _stated(tech, family) is not None and (not around or _stated(tech, AROUND) is not None)
        for family, tech in zip(points["pe"].astype(str), techs_of(points, about), strict=True)
    ]


def unstated(sweep: StoredSweep) -> list[str]:
    """Costs of which the model states no error, in words."""
    found: dict[str, None] = {}
    for block in _blocks(sweep.front):
        for family, tech in sorted(
            set(zip(sweep.front["pe"].astype(str), techs_of(sweep.front, sweep.metadata), strict=True))
        ):
            if block == "sram":
                found[f"memories of {tech}"] = None
            elif _stated(tech, AROUND if block == "around" else family) is None:
                what = "what is around tiles" if block == "around" else f"tiles of {family}"
                found[f"{what} in {tech}"] = None
    return list(found)


class _Compared:
    """Rows of one workload whose order errors may change."""

    def __init__(self, points: pd.DataFrame, objectives: Sequence[str], about: Mapping[str, Any], *, largest: bool):
        self.objectives = objectives
        self.values = objective_values(points, objectives)
        self._errors = _errors(points, about, largest=largest)
        families = pd.factorize(points["pe"].astype(str))[0]
        techs = pd.factorize(techs_of(points, about))[0]
        tile = families * (techs.max(initial=0) + 1) + techs
        # Which kind of cost a block of a point is: two of one kind have a common error.
        blocks = _blocks(points)
        self._kinds = {"period": tile[:, np.newaxis]}
        for quantity in ("area", "energy"):
            self._kinds[quantity] = np.stack([tile if name == "tile" else techs for name in blocks], axis=1)
        # At a named clock the period is what it is; whether it is kept is another question.
        self._own = _own_clock(points, about)
        self._blocks = blocks
        self._shares: dict[str, np.ndarray] = {}
        for quantity in ("area", "energy"):
            costs = _costs(points, quantity)
            whole = costs.sum(axis=1, keepdims=True)
            self._shares[quantity] = np.where(whole > 0, costs / np.where(whole > 0, whole, 1.0), 1 / costs.shape[1])

    def _share(self, quantity: str, block: str) -> np.ndarray:
        """Share of each block in a cost [points, blocks]."""
        if block not in self._blocks or quantity == "period":
            return self._shares.get(quantity, np.ones((len(self.values), 1)))
        found = np.zeros_like(self._shares[quantity])
        found[:, self._blocks.index(block)] = 1.0
        return found

    def _factors(self, quantity: str, block: str) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest factor of the truth [points, blocks]."""
        low, high = self._errors.low[quantity], self._errors.high[quantity]
        if quantity == "period" and block != _LOGIC:
            own = self._own[:, np.newaxis]
            return np.where(own, low, 1.0), np.where(own, high, 1.0)
        return low, high

    def nearest_to(self, at: int, rows: np.ndarray) -> int:
        """Of rows the one that is better or least worse than a row, in its worst objective."""
        own, other = self.values[at], self.values[rows]
        worse = (other - own) / np.where(own != 0, np.abs(own), 1.0)
        return int(rows[int(np.argmin(worse.max(axis=1)))])

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Objectives [points, objectives], smaller is better, where errors are at their best and at their worst."""
        low, high = np.empty_like(self.values), np.empty_like(self.values)
        for at, name in enumerate(self.objectives):
            best, worst = np.ones(len(self.values)), np.ones(len(self.values))
            sign = -1 if name.startswith("-") else 1
            powers, block = _effect(column_of(name))
            for quantity, power in zip(QUANTITIES, powers, strict=True):
                if not power:
                    continue
                shares, (least, most) = self._share(quantity, block), self._factors(quantity, block)
                small, large = (shares * least).sum(axis=1), (shares * most).sum(axis=1)
                ends = (small, large) if power * sign > 0 else (large, small)
                best *= ends[0] ** power
                worst *= ends[1] ** power
            low[:, at], high[:, at] = self.values[:, at] * best, self.values[:, at] * worst
        return low, high

    def margins(self, better: np.ndarray, worse: np.ndarray, *, common: bool) -> np.ndarray:
        """How far the rows ``better`` can come below the rows ``worse`` (one of them may be a single row) in each
        objective [pairs, objectives]: above 0, never; below 0, they may be better.

        Unit and size mean nothing.
        """
        better, worse = np.broadcast_arrays(better, worse)
        found = np.empty((len(better), len(self.objectives)))
        for at, name in enumerate(self.objectives):
            found[:, at] = self._margin(at, name, better, worse, common=common)
        return found

    def _margin(self, at: int, name: str, b: np.ndarray, a: np.ndarray, *, common: bool) -> np.ndarray:
        (area, energy, period), block = _effect(column_of(name))
        first, second = self.values[b, at], self.values[a, at]
        if not (area or energy or period):
            return np.asarray(first - second)
        # As costs above 0 that are to be small: of what is to be large the reciprocal.
        if name.startswith("-"):
            first, second = -1 / first, -1 / second
            area, energy, period = -area, -energy, -period
        if period:
            low, high = self._factors("period", block)
            fast, slow = (low, high) if period > 0 else (high, low)
            one, two = fast[b, 0] ** period, slow[a, 0] ** period
            if common:
                # Of two points at clocks of their own.
                same = (self._kinds["period"][b] == self._kinds["period"][a])[:, 0]
                same &= (block == _LOGIC) | (self._own[b] & self._own[a])
                one, two = np.where(same, 1.0, one), np.where(same, 1.0, two)
            first, second = first * one, second * two
        if not (area or energy):
            return np.asarray(first - second)
        quantity = "area" if area else "energy"
        if (area or energy) < 0:
            # 1 / first <= 1 / second is second <= first.
            first, second, b, a = 1 / second, 1 / first, a, b
        shares, (low, high) = self._share(quantity, block), self._factors(quantity, block)
        parts_b, parts_a = first[:, np.newaxis] * shares[b], second[:, np.newaxis] * shares[a]
        apart = parts_b * low[b] - parts_a * high[a]
        if common:
            difference = parts_b - parts_a
            together = np.where(difference > 0, difference * low[b], difference * high[b])
            apart = np.where(self._kinds[quantity][b] == self._kinds[quantity][a], together, apart)
        found: np.ndarray = apart.sum(axis=1)
        return found


def standings(
    sweep: StoredSweep, *, largest: bool = True, progress: Progress | None = None
) -> tuple[list[Standing], dict[str, tuple[int, int]]]:
    """Points of the front under the model's errors, ordered by the objectives, and, by workload, how many of the
    other points that are stored may be on the front if errors are independent, and if they are common.

    ``largest``: within the largest error that is stated, else within the median one.
    """
    found: list[Standing] = []
    entering: dict[str, tuple[int, int]] = {}
    for points in each_workload(known_points(sweep)):
        name = str(points["workload"].iloc[0]) if "workload" in points else ""
        own, counts = _of_workload(points, sweep, name, progress, largest=largest)
        found += own
        entering[name] = counts
    return found, entering


def _of_workload(
    points: pd.DataFrame, sweep: StoredSweep, name: str, progress: Progress | None, *, largest: bool
) -> tuple[list[Standing], tuple[int, int]]:
    objectives, about = sweep.objectives, sweep.metadata
    on_front = np.zeros(len(points), bool)
    on_front[_front(points, objectives, np.ones(len(points), bool))] = True
    low, high = _Compared(points, objectives, about, largest=largest).bounds()
    # What a point of the front is better than for certain beats no point that this one does not.
    kept = on_front.copy()
    rest = np.flatnonzero(~on_front)
    for pivot in high[on_front]:
        beaten = (low[rest] >= pivot).all(axis=1) & (low[rest] > pivot).any(axis=1)
        rest = rest[~beaten]
    kept[rest] = True
    some = points.loc[kept]
    on_front = on_front[kept]
    compared = _Compared(some, objectives, about, largest=largest)
    numbers, beyond, places = _numbers(some), _extrapolated(some), np.arange(len(some))
    error = _errors(some, about, largest=largest).high["period"][:, 0]
    logic, _ = _shortest(some)
    clock = some["clk_period_ns"].to_numpy(np.float64)
    late = ~_own_clock(some, about) & (logic <= clock) & (logic * error > clock)
    stated = _is_stated(some, about)
    front = np.flatnonzero(on_front)
    front = front[np.lexsort(compared.values[front].T[::-1])]
    may = {common: np.ones(len(some), bool) for common in (False, True)}
    values = compared.values[front]
    found = []
    for place, at in enumerate(front.tolist()):
        if progress is not None:
            progress(place, len(front))
        beats: dict[bool, int | None] = {}
        for common in (False, True):
            margins = compared.margins(places, np.array([at]), common=common)
            better = (margins <= 0).all(axis=1) & (margins < 0).any(axis=1) & (places != at)
            beats[common] = int(numbers[compared.nearest_to(at, places[better])]) if better.any() else None
            may[common] &= (margins < 0).any(axis=1) | (places == at)
            if not common:
                passing = (margins[front] < 0) & (front != at)[:, np.newaxis]
        ahead = values < values[place]
        unreached = ahead & (compared.margins(np.array([at]), front, common=False) > 0)
        ranks = {}
        for index, objective in enumerate(objectives):
            counts = (ahead[:, index], unreached[:, index], ahead[:, index] | passing[:, index])
            own, best, worst = (1 + int(count.sum()) for count in counts)
            ranks[objective] = (own, best, worst)
        found.append(
            Standing(
                int(numbers[at]), name, beats[False], beats[True], ranks, bool(beyond[at]), stated[at], bool(late[at])
            )
        )
    others = ~on_front
    return found, (int((may[False] & others).sum()), int((may[True] & others).sum()))
