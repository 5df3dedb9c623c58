"""One point of a stored sweep, as what makes it again: family, parameters, clock, layers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dse.stored import StoredSweep, open_sweep
from hwgen.accelerator import Design
from hwgen.accelerator.use import Use
from hwgen.errors import HwgenError
from hwgen.frame.param import Param
from hwgen.pe import family
from hwgen.schedule import Layer

__all__ = ["LEVELS", "StoredPoint", "read_point"]

LEVELS = ("tile", "accelerator")
"""Levels whose points are hardware by themselves."""


@dataclass(frozen=True)
class StoredPoint:
    """A row of a sweep.

    ``values`` are the parameters of the tile, ``around`` those of accelerator and memory (none of a tile), by name.
    ``clk_period_ns`` is what the row ran at; ``predicted`` holds the row's columns that are numbers.
    """

    sweep: Path
    number: int
    level: str
    family: str
    values: Mapping[str, Any]
    around: Mapping[str, Any]
    clk_period_ns: float
    layers: tuple[Layer, ...]
    tech: str
    predicted: Mapping[str, float]

    def known(self) -> dict[str, Param]:
        """Declared parameters of all that the point has, by name."""
        beside = {**Design.parameters(), **Use.parameters()} if self.around else {}
        return {**family(self.family).parameters(), **beside}

    def flags(self) -> dict[str, tuple[str, Any]]:
        """Text and value of each flag that makes the point, cuts among them, so that no clock places registers."""
        found: dict[str, tuple[str, Any]] = {"--pe": (self.family, self.family), "--level": (self.level, self.level)}
        known = self.known()
        for name, value in {**self.values, **self.around}.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            found[known[name].flag] = text, value
        found["--clk-period-ns"] = repr(self.clk_period_ns), self.clk_period_ns
        return found


def read_point(path: str | Path, number: int) -> StoredPoint:
    """The point of a number as `hwgen pareto` lists it. Raises `HwgenError` as `open_sweep`, for a number that is none,
    and for points that are no hardware by themselves.
    """
    sweep = open_sweep(path)
    level = str(sweep.metadata["level"])
    if level not in LEVELS:
        raise HwgenError(f"sweep {str(path)!r}: point must be of level {' or '.join(LEVELS)}, not of {level}")
    row = _numbered(sweep, number)
    name = str(row["pe"])
    beside = {**Design.parameters(), **Use.parameters()} if level == "accelerator" else {}
    numbers = {key: float(value) for key, value in row.items() if isinstance(value, int | float)}
    layers = sweep.layers
    if "workload" in row:
        layers = tuple(Layer(**one) for one in sweep.metadata["workloads"][str(row["workload"])])
    return StoredPoint(
        sweep=Path(path),
        number=number,
        level=level,
        family=name,
        values={key: _value(row[key], one) for key, one in family(name).parameters().items()},
        around={key: _value(row[key], one) for key, one in beside.items()},
        clk_period_ns=float(row["clk_period_ns"]),
        layers=layers,
        tech=str(row.get("tech", sweep.metadata["tech"])),
        predicted={key: value for key, value in numbers.items() if math.isfinite(value)},
    )


def _numbered(sweep: StoredSweep, number: int) -> dict[str, Any]:
    """The row of a point's number: its column ``point``, or its place among the rows of a file."""
    if "point" not in sweep.sample:
        if not 0 <= number < len(sweep.sample):
            raise HwgenError(
                f"sweep {str(sweep.path)!r}: point must be from 0 to {len(sweep.sample) - 1:,}, as it has "
                f"{len(sweep.sample):,} points, not {number:,}; its front is {_some(sweep.front.index)}"
            )
        return _plain(sweep.sample.iloc[number])
    tables = [sweep.front, sweep.sample]
    if sweep.points is not None:
        tables.append(sweep.points)
    for rows in tables:
        found = rows[rows["point"] == number]
        if len(found):
            return _plain(found.iloc[0])
    raise HwgenError(
        f"sweep {str(sweep.path)!r}: point must be one that is kept, of the {len(sweep.front):,} on the front "
        f"({_some(sweep.front['point'])}) or of the sample, not {number:,}"
    )


def _plain(row: pd.Series[Any]) -> dict[str, Any]:
    return {str(key): value.item() if hasattr(value, "item") else value for key, value in row.items()}


def _some(numbers: pd.Index[Any] | pd.Series[Any]) -> str:
    shown = [str(one) for one in numbers[:8]]
    return ", ".join(shown) + (", …" if len(numbers) > 8 else "")


def _value(value: Any, known: Param) -> Any:
    if known.type is bool and isinstance(value, str):
        return value.lower() == "true"
    return known.type(value)
