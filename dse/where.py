"""Constraints of a sweep: conditions on columns that points have to meet.

``COLUMN OP VALUE`` with ``<=``, ``<``, ``>=``, ``>``, ``==`` or ``!=``. The value is a number (``1e6``), a name where
the column holds names (``bound == weights``), or what a baseline has: ``baseline``, ``0.9 baseline``. ``COLUMN within
5% of baseline`` asks for the same area, throughput, … to some per cent. The baseline is one point, evaluated on the
same layers in the same technology at the same clock. A value that is not known (NaN, a parameter that a family lacks)
meets nothing.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dse.level import TRUST, Chunk, Clock, Level, Missed
from dse.space import Space
from hwgen.errors import HwgenError, suggest
from hwgen.pe import Param
from hwgen.schedule import Layer
from sim.tech import Tech

__all__ = [
    "Baseline",
    "Condition",
    "check_conditions",
    "column_types",
    "constrained",
    "miss_sentence",
    "misses_of",
    "parse_condition",
    "with_conditions",
]

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
    "!=": operator.ne,
}
_NUMBER = r"[-+]?(?:\d+(?:_\d+)*\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?"
_COMPARED = re.compile(
    rf"(?P<column>[A-Za-z_]\w*)\s*(?P<op><=|>=|==|!=|<|>|=)\s*"
    rf"(?:(?P<number>{_NUMBER})(?:\s*\*?\s*(?P<of>baseline))?|(?P<baseline>baseline)|(?P<name>[A-Za-z_][\w.:+-]*))"
)
_WITHIN = re.compile(rf"(?P<column>[A-Za-z_]\w*)\s+within\s+(?P<share>{_NUMBER})\s*%\s+of\s+baseline")
_MOST_LETTERS = 200
_LEAST_MISS = 1e-12


@dataclass(frozen=True)
class Condition:
    """One constraint: ``text`` as given; ``op`` and ``value``, which is a factor where ``of_baseline``; ``within`` is a
    share of the baseline, None where the condition compares.
    """

    text: str
    column: str
    op: str = "=="
    value: float | str = 1.0
    of_baseline: bool = False
    within: float | None = None

    def limit(self, baseline: Mapping[str, float] | None) -> float | str:
        """What is compared with."""
        if not self.of_baseline:
            return self.value
        assert baseline is not None
        assert not isinstance(self.value, str)
        return self.value * baseline[self.column]

    def holds(self, values: np.ndarray, limit: float | str) -> np.ndarray:
        """Boolean [points]."""
        if self.within is not None and not isinstance(limit, str):
            return np.asarray(np.abs(values - limit) <= self.within * abs(limit))
        met = np.asarray(_OPERATORS[self.op](values, limit))
        # Of numbers only != would hold for NaN.
        return met & ~np.isnan(values) if values.dtype.kind == "f" else met

    def misses(self, values: np.ndarray, limit: float | str) -> np.ndarray:
        """By what share of the limit each point misses it, 0 where it does not; infinite for names and unknowns."""
        met = self.holds(values, limit)
        if isinstance(limit, str) or values.dtype.kind not in "fiu":
            return np.where(met, 0.0, np.inf)
        size = abs(limit) or 1.0
        beyond = np.abs(values - limit) / size - (self.within or 0.0)
        return np.where(met, 0.0, np.where(np.isnan(beyond), np.inf, np.maximum(beyond, 0.0)))


def parse_condition(text: str) -> Condition:
    """Condition of ``area_um2 <= 1e6``, ``latency_us <= 0.9 baseline``, ``area_um2 within 5% of baseline``.

    Raises `HwgenError` for any other text.
    """
    plain = " ".join(text.split())
    within = _WITHIN.fullmatch(plain) if len(plain) <= _MOST_LETTERS else None
    if within is not None:
        share = float(within["share"]) / 100
        if not 0 <= share < math.inf:
            raise HwgenError(f"constraint {plain!r}: a share must be 0% or more")
        return Condition(plain, within["column"], of_baseline=True, within=share)
    match = _COMPARED.fullmatch(plain) if len(plain) <= _MOST_LETTERS else None
    if match is None:
        shown = plain if len(plain) <= _MOST_LETTERS else plain[:40] + "…"
        raise HwgenError(
            f"constraint {shown!r}: must be COLUMN OP NUMBER with <=, <, >=, >, == or !=, e.g. 'area_um2 <= 1e6', or "
            "'area_um2 within 5% of baseline'"
        )
    op = "==" if match["op"] == "=" else match["op"]
    if match["name"]:
        return Condition(plain, match["column"], op, match["name"])
    if match["number"] and not math.isfinite(float(match["number"])):
        raise HwgenError(f"constraint {plain!r}: the number must be finite")
    factor = float(match["number"]) if match["number"] else 1.0
    return Condition(plain, match["column"], op, factor, of_baseline=bool(match["of"] or match["baseline"]))


def check_conditions(conditions: Sequence[Condition], columns: Mapping[str, type], *, baseline: bool = False) -> None:
    """Refuse conditions on columns that are not there, or that their values do not fit; ``columns``: type by name.

    Raises `HwgenError`.
    """
    for one in conditions:
        kind = columns.get(one.column)
        if kind is None:
            raise HwgenError(
                f"constraint {one.text!r}: no column {one.column!r}{suggest(one.column, columns)}; "
                f"columns: {', '.join(columns)}"
            )
        if one.of_baseline and not baseline:
            raise HwgenError(f"constraint {one.text!r}: needs a baseline, e.g. --baseline 'pe=int n=8 bits=8'")
        if one.of_baseline and kind not in (int, float):
            raise HwgenError(f"constraint {one.text!r}: {one.column} must be a number to be beside a baseline's")
        if isinstance(one.value, str) or kind is str:
            truth = kind is bool and one.value in ("true", "false")
            if kind in (int, float) or (kind is bool and not truth) or (kind is str and not isinstance(one.value, str)):
                wanted = {str: "a name", bool: "true or false"}.get(kind, "a number")
                raise HwgenError(f"constraint {one.text!r}: {one.column} is compared with {wanted}, not {one.value!r}")
            if one.op not in ("==", "!="):
                raise HwgenError(f"constraint {one.text!r}: {one.column} is no number, so it is compared by == or !=")


class Baseline:
    """The point that others are compared with: ``values`` by parameter, ``pe`` among them, as texts or values."""

    def __init__(self, values: Mapping[str, Any], level: Level) -> None:
        """Raises `HwgenError` for an unknown family or parameter, and for an illegal value."""
        self.values = dict(values)
        own = {name: value for name, value in self.values.items() if name != "pe"}
        if "pe" not in self.values:
            raise HwgenError("baseline: must name a family, e.g. pe=int n=8 bits=8")
        around = level.around.parameters if level.around else {}
        of_tile = {name: (value,) for name, value in own.items() if name not in around}
        spaces = Space.split(str(self.values["pe"]), of_tile)
        if len(spaces) != 1 or spaces[0].size != 1:
            raise HwgenError("baseline: must be one point")
        self.space = spaces[0]
        if level.around is not None:
            beside = {name: (value,) for name, value in own.items() if name in around}
            self.space = self.space.beside(level.around, beside)
        self._level = level
        self._known: dict[tuple[Any, ...], dict[str, float]] = {}

    def on(self, layers: Sequence[Layer], tech: Tech, clock: Clock) -> Mapping[str, float]:
        """Its numbers by column. Raises `HwgenError` where it is not legal."""
        key = (tuple(layers), tech.digest, clock)
        if key not in self._known:
            (p,) = self.space.chunks(1)
            chunk = self._level.evaluate(self.space, p, layers, tech, clock)
            if not chunk.columns:
                reasons = "; ".join(chunk.skipped)
                raise HwgenError(f"baseline: {self} is not legal here: {reasons}")
            self._known[key] = {
                name: float(np.asarray(values).reshape(-1)[0])
                for name, values in chunk.columns.items()
                if name not in chunk.texts
            }
        return self._known[key]

    def __str__(self) -> str:
        """As it is given."""
        return " ".join(f"{name}={value}" for name, value in self.values.items())


def _column(space: Space, chunk: Chunk, name: str, rows: int) -> np.ndarray:
    """A column of a block's points as numbers, truth values or names."""
    if name in chunk.texts:
        texts = np.array([str(word) for word in chunk.texts[name]], dtype=object)
        return np.asarray(texts[chunk.columns[name]])
    if name in chunk.columns:
        return np.asarray(chunk.columns[name])
    value = space.family if name == "pe" else chunk.fixed.get(name, math.nan)
    return np.broadcast_to(np.array(value, dtype=object if isinstance(value, str) else None), (rows,))


def with_conditions(level: Level, conditions: Sequence[Condition], baseline: Baseline | None = None) -> Level:
    """A level whose points meet conditions; the others are skipped with the first one that they do not meet.

    `check_conditions` says before whether the columns are there.
    """
    if not conditions:
        return level

    def evaluate(space: Space, p: Mapping[str, Any], layers: Sequence[Layer], tech: Tech, clock: Clock) -> Chunk:
        chunk = level.evaluate(space, p, layers, tech, clock)
        if not chunk.columns:
            return chunk
        found = baseline.on(layers, tech, clock) if baseline else None
        return constrained(space, chunk, conditions, [one.limit(found) for one in conditions])

    texts = tuple(one.text for one in conditions)
    of = (f"baseline {baseline}",) if baseline else ()
    sources = (*level.sources, "dse/where.py")
    return dataclasses.replace(level, evaluate=evaluate, constraints=(*texts, *of), sources=sources)


def constrained(space: Space, chunk: Chunk, conditions: Sequence[Condition], limits: Sequence[float | str]) -> Chunk:
    """A block's points that meet the conditions, and how near the others came where none does."""
    rows = len(chunk.columns["cycles"])
    kept = np.ones(rows, dtype=bool)
    skipped = dict(chunk.skipped)
    every = []
    met: list[int] = []
    nearest: list[tuple[float, float] | None] = []
    for one, limit in zip(conditions, limits, strict=True):
        values = _column(space, chunk, one.column, rows)
        wanted = _as_column(values, limit)
        holds = one.holds(values, wanted)
        if count := int(np.count_nonzero(kept & ~holds)):
            reason = f"{space.family}: constraint {one.text}"
            skipped[reason] = skipped.get(reason, 0) + count
            kept &= holds
        met.append(int(np.count_nonzero(holds)))
        # Misses are told of conditions that no point of the sweep meets: in a block that meets one they do not matter.
        nearest.append(None if met[-1] else _least(one.misses(values, wanted), values))
        every.append((one, values, wanted))
    if kept.all():
        return dataclasses.replace(chunk, missed=Missed(rows, tuple(met), tuple(nearest)))
    joint = None
    columns: dict[str, np.ndarray] = {}
    if kept.any():
        columns = {name: np.asarray(values)[kept] for name, values in chunk.columns.items()}
    else:
        misses = np.array([one.misses(values, wanted) for one, values, wanted in every])
        least = _least(misses.max(axis=0), np.arange(rows))
        if least is not None:
            which = int(np.argmax(misses[:, int(least[1])]))
            joint = (least[0], which, float(every[which][1][int(least[1])]))
    missed = Missed(rows, tuple(met), tuple(nearest), joint)
    return dataclasses.replace(chunk, columns=columns, skipped=skipped, missed=missed)


def misses_of(space: Space, chunk: Chunk, conditions: Sequence[Condition], limits: Sequence[float | str]) -> np.ndarray:
    """By what share of its limit each point of a block misses each condition, [conditions, points]: 0 where it meets
    it and only there, infinite where no share can be told.
    """
    rows = len(chunk.columns["cycles"])
    found = np.zeros((len(conditions), rows))
    for at, (one, limit) in enumerate(zip(conditions, limits, strict=True)):
        values = _column(space, chunk, one.column, rows)
        wanted = _as_column(values, limit)
        # A value that equals the limit misses it, too, where it has to be smaller.
        found[at] = np.where(one.holds(values, wanted), 0.0, np.maximum(one.misses(values, wanted), _LEAST_MISS))
    return found


def _as_column(values: np.ndarray, limit: float | str) -> float | str:
    """A limit as what the column holds: truth values are compared with one."""
    return limit == "true" if values.dtype == bool and isinstance(limit, str) else limit


def _least(misses: np.ndarray, values: np.ndarray) -> tuple[float, float] | None:
    """The smallest miss and the value that has it; None where no miss is a number."""
    at = int(np.argmin(misses))
    return (float(misses[at]), float(values[at])) if np.isfinite(misses[at]) else None


def miss_sentence(constraints: Sequence[str], missed: Missed) -> str | None:
    """Which constraint no legal point meets, and by how much the best one misses it; None where no point was legal.

    Where each constraint is met by some point, the one that is missed least by all together is told.
    """
    if not missed.legal:
        return None
    none = f"none of the {missed.legal:,} legal points meets"
    for text, met, nearest in zip(constraints, missed.met, missed.nearest, strict=False):
        if not met:
            return f"{none} the constraint {text!r}{_nearest(text, nearest)}"
    every = " and ".join(repr(text) for text in constraints[: len(missed.met)])
    if missed.joint is None:
        return f"{none} {every} together"
    share, which, value = missed.joint
    return f"{none} {every} together{_nearest(constraints[which], (share, value))}"


def _nearest(text: str, nearest: tuple[float, float] | None) -> str:
    if nearest is None:
        return ""
    share, value = nearest
    by = f"{share:.2%}" if share < 10 else f"a factor of {share + 1:.3g}"
    return f": the nearest has {parse_condition(text).column} {value:.6g}, which misses by {by}"


def column_types(parameters: Sequence[Mapping[str, Param]], level: Level) -> dict[str, type]:
    """Type of every column of rows: family, parameters (of each family), metrics, and what stands behind them."""
    kinds: dict[str, set[type]] = {}
    for known in parameters:
        for name, one in known.items():
            kinds.setdefault(name, set()).add(one.type)
    own = {name: next(iter(kind)) if len(kind) == 1 else str for name, kind in kinds.items()}
    return {"pe": str, **own, **level.metrics, **dict.fromkeys(TRUST, str)}
