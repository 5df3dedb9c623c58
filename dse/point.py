"""One point of a stored sweep, as what makes it again: family, parameters, clock, layers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dse.command import value_of
from dse.picks import by_number
from dse.stored import open_sweep
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
    row = _plain(by_number(sweep, number).iloc[0])
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
        values={key: value_of(row[key], one) for key, one in family(name).parameters().items()},
        around={key: value_of(row[key], one) for key, one in beside.items()},
        clk_period_ns=float(row["clk_period_ns"]),
        layers=layers,
        tech=str(row.get("tech", sweep.metadata["tech"])),
        predicted={key: value for key, value in numbers.items() if math.isfinite(value)},
    )


def _plain(row: pd.Series[Any]) -> dict[str, Any]:
    return {str(key): value.item() if hasattr(value, "item") else value for key, value in row.items()}
