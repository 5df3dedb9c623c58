"""Columns of a sweep as people read them: label, unit, which way is better, and which of them are worth an axis."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from dse import designs, tiles
from dse.level import ACCURACY, TRUST
from dse.pareto import column_of
from hwgen.accelerator import Design
from hwgen.accelerator.use import Use
from hwgen.frame.param import Param
from hwgen.pe import family
from reports.plot import AXIS_LABELS

__all__ = ["LARGER", "METRICS", "Column", "columns_of", "direction", "key_metrics", "unit_of"]

METRICS: Mapping[str, type] = {**tiles.METRICS, **designs.METRICS, **dict.fromkeys(ACCURACY, float)}
"""Columns that are no parameters, of any level."""

_HIGHER = ("tops", "tops_per_mm2", "utilization", "agreement")
_NEITHER = ("weight_bits", "clk_period_ns", "cycles_exact", "meets_clock", "bound", "jobs")
_SHARES = ("utilization", "agreement")
_UNITS = {"um2": "µm²", "ns": "ns", "us": "µs", "pj": "pJ", "mw": "mW", "bytes": "bytes", "nats": "nats"}
_LABELS = {
    "pe": "family",
    "tops": "throughput",
    "tops_per_mm2": "area efficiency",
    "area_um2": "area",
    "perplexity": "perplexity",
    "agreement": "agreement with float",
    "kl_nats": "KL divergence",
    "clk_period_ns": "clock period",
    "min_clk_period_ns": "shortest period of logic",
    "memory_cycle_ns": "shortest period of memories",
    "cycles_exact": "cycles are exact",
    "meets_clock": "keeps the clock",
    "wait_cycles": "cycles waited",
    "weight_bits": "bits per weight",
    "extrapolated": "extrapolated in",
    "basis": "basis",
    "tile_energy_pj": "energy of the tile",
    "around_energy_pj": "energy around the tile",
    "sram_energy_pj": "energy of memories",
    "m": "rows M",
    "n": "columns N",
    "k": "depth K",
}
"""Shorter than `AXIS_LABELS`: units stand beside them."""
_OTHER_UNITS = {"tops": "TOPS", "tops_per_mm2": "TOPS/mm²", **dict.fromkeys(_SHARES, "%")}
_PER_MAC = "energy_pj_per_mac"
_KEY = ("area_um2", "latency_us", _PER_MAC, "power_mw", "tops_per_mm2", "perplexity")
"""Metrics that are offered first: as limits, and as pairs whose fronts are whole."""


LARGER: Mapping[str, tuple[tuple[float, str], ...]] = {
    "µm²": ((1e6, "mm²"),),
    "pJ": ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ")),
    "µs": ((1e6, "s"), (1e3, "ms")),
    "mW": ((1e3, "W"),),
    "bytes": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")),
}
"""Larger units, and how many of a column's own they are; one is used for numbers of ten of it and more."""


@dataclass(frozen=True)
class Column:
    """One column: ``better`` is 1 where more is, -1 where less is, 0 where neither; ``metric``: no parameter."""

    name: str
    label: str
    unit: str
    better: int
    metric: bool
    numeric: bool
    doc: str = ""


def _unit(name: str) -> str:
    found = re.search(r"_(um2|ns|us|pj|mw|bytes|nats)(_per_mac)?$", name)
    return _OTHER_UNITS.get(name) or (_UNITS[found[1]] if found else "")


def _label(name: str) -> str:
    said = re.sub(r" \[.*\]| of the default model", "", AXIS_LABELS[name]) if name in AXIS_LABELS else ""
    return _LABELS.get(name) or said or name.replace("_", " ")


def unit_of(unit: str, number: float) -> tuple[float, str]:
    """How many of a unit are one of that which suits a number, and its name."""
    return next(((size, name) for size, name in LARGER.get(unit, ()) if number >= 10 * size), (1.0, unit))


def direction(name: str, objectives: Sequence[str] = ()) -> int:
    """Which way a column is better: as an objective says, or else as it is meant."""
    for one in objectives:
        if column_of(one) == name:
            return 1 if one.startswith("-") else -1
    if name not in METRICS or name in _NEITHER:
        return 0
    return 1 if name in _HIGHER else -1


def _parameters(families: Sequence[str]) -> dict[str, Param]:
    found: dict[str, Param] = {**Design.parameters(), **Use.parameters()}
    for name in families:
        found = {**family(name).parameters(), **found}
    return found


def columns_of(points: pd.DataFrame, objectives: Sequence[str]) -> list[Column]:
    """All columns but those that are empty, parameters with what they mean."""
    known = _parameters(sorted(points["pe"].astype(str).unique()))
    found = []
    for name in points.columns:
        if points[name].isna().all():
            continue
        dtype = points[name].dtype
        numeric = pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
        metric = name in METRICS or name in TRUST
        doc = known[name].doc if name in known and not metric else ""
        found.append(Column(name, _label(name), _unit(name), direction(name, objectives), metric, numeric, doc))
    return found


def key_metrics(points: pd.DataFrame, objectives: Sequence[str], most: int = 6) -> list[str]:
    """Objectives, then the usual metrics that differ from point to point and have a better way."""
    found = [column_of(name) for name in objectives]
    for name in _KEY:
        # Energy and energy a MAC are one metric twice.
        twice = name == _PER_MAC and "energy_pj" in found
        if name in points and name not in found and not twice and points[name].nunique() > 1:
            found.append(name)
    return found[: max(most, len(objectives))]
