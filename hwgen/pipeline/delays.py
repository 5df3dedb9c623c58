"""Delays of cells by kind and width, in gate delays: those of a two-input AND in the same library.

Measured with ABC on single cells mapped for speed (``delays.csv``; `tools/measure_delays.py` writes it). The libraries
agree on ratios to some 10 % while their gate delays differ sixfold, so a pipeline is one for all of them.
"""

from __future__ import annotations

import csv
import functools
from pathlib import Path

import numpy as np

__all__ = ["TABLE", "delay", "gate_delay_ns", "libraries"]

TABLE = Path(__file__).with_name("delays.csv")
"""Columns: primitive, width, and one for each library, in ns."""


@functools.cache
def _measured() -> dict[str, dict[str, dict[int, float]]]:
    """ns by library, primitive and width."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    with TABLE.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(line for line in lines if not line.startswith("#"))
        for row in rows:
            for name, value in row.items():
                if name not in ("primitive", "width"):
                    found.setdefault(name, {}).setdefault(row["primitive"], {})[int(row["width"])] = float(value)
    return found


def libraries() -> tuple[str, ...]:
    """Libraries on which delays were measured."""
    return tuple(_measured())


def gate_delay_ns(library: str) -> float:
    """Delay of a two-input AND in ns."""
    return _measured()[library]["and"][1]


@functools.cache
def _points(primitive: str) -> tuple[np.ndarray, np.ndarray]:
    """Widths, and delays in gates: the geometric mean of the libraries."""
    tables = [
        {width: ns / gate_delay_ns(library) for width, ns in found[primitive].items()}
        for library, found in _measured().items()
    ]
    widths = sorted(tables[0])
    return np.log2(widths), np.array([np.exp(np.mean([np.log(t[width]) for t in tables])) for width in widths])


@functools.cache
def delay(primitive: str, width: int) -> float:
    """Gate delays of a primitive of ``width`` bits; between measured widths, and beyond them, linear in log2(width)."""
    at, values = _points(primitive)
    where = float(np.log2(max(width, 1)))
    if where <= at[-1] or len(at) < 2:
        return float(np.interp(where, at, values))
    slope = (values[-1] - values[-2]) / (at[-1] - at[-2])
    return float(values[-1] + slope * (where - at[-1]))
