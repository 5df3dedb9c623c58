"""The points of a page as one JSON document: columns, parts, commands, and where it all comes from."""

from __future__ import annotations

import itertools
import json
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from dse.level import TRUST
from dse.pareto import choose
from dse.provenance import commit, versions
from dse.search import search_words
from dse.stored import StoredSweep, techs_of
from hwgen.errors import HwgenError
from hwgen.schedule import Layer
from reports.page.breakdown import LEVELS, Breakdown, break_down
from reports.page.choose import Shown, choose_points
from reports.page.columns import LARGER, Column, columns_of, direction, key_metrics
from reports.page.commands import point_flags, templates
from reports.plot import formats_of
from sim.tech import Tech, load

__all__ = ["MOST_LAYERS", "dumps", "page_model"]

MOST_LAYERS = 16
"""Most layers that are told apart; the smallest of more are one."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is, and how much there is."""

_DIGITS, _DIGITS_OF_PARTS = 9, 5


def page_model(
    sweep: StoredSweep,
    *,
    most: int,
    command: str = "",
    title: str | None = None,
    techs: Sequence[Tech] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """What a page knows of a sweep; JSON-serialisable.

    Parameters
    ----------
    most: points that are shown, at most. command: how the page was made. title: in place of what was swept.
    techs: where the prices come from, if it is not the technologies of the sweep's names.

    Raises `HwgenError` for a technology that is not known by its name, and for one in ``techs`` that is none of the
    sweep's.
    """
    say = progress or (lambda what, done, of: None)
    about = sweep.metadata
    everything, best = _population(sweep)
    formats = formats_of(everything).astype(str)
    strata = everything["pe"].astype(str) + "\0" + formats
    keys = key_metrics(everything, sweep.objectives)
    shown = choose_points(
        everything,
        best,
        sweep.objectives,
        [_objective(name, sweep.objectives) for name in keys],
        pd.factorize(strata)[0],
        most,
        complete=sweep.points is not None,
        progress=lambda done, of: say("fronts", done, of),
    )
    points = everything.iloc[shown.places].reset_index(drop=True)
    columns = columns_of(points, sweep.objectives)
    layers, merged = _fewer(sweep.layers)
    own_clock = all(period is None for period in about["clk_period_ns"])
    parts: Mapping[str, Breakdown] = {}
    flags: list[dict[str, str]] = []
    if about["level"] in LEVELS:
        names = techs_of(points, about)
        prices = _prices(list(dict.fromkeys(names.tolist())), techs)
        parts = break_down(
            points,
            sweep.layers,
            about["level"],
            names,
            prices,
            own_clock=own_clock,
            progress=lambda done, of: say("parts", done, of),
        )
        flags = _all_flags(points, parts, names, prices, own_clock, say)
    drift = max((one.drift for one in parts.values()), default=0.0)
    return {
        "title": title or _title(sweep),
        "level": about["level"],
        "larger": LARGER,
        "columns": [asdict(one) for one in columns],
        "data": {one.name: _column(points[one.name], one) for one in columns},
        "formats": _texts(formats.iloc[shown.places]),
        "objectives": list(sweep.objectives),
        "keys": keys,
        "front": shown.front.tolist(),
        "chosen": _chosen(points, shown, sweep.objectives),
        "whole": [[list(one) for one in sets] for sets in (shown.whole, shown.whole_by_group)],
        "counts": {
            "points": sweep.count,
            "looked_at": int(about["looked_at"]),
            "shown": len(points),
            "front": shown.front_points,
        },
        "layers": [_layer_words(layer) for layer in layers],
        "parts": {name: _parts(one, merged) for name, one in parts.items()},
        "drift": _short(drift, 2),
        "commands": templates(about["level"], sweep.layers),
        "flags": _flag_columns(flags),
        "provenance": _provenance(sweep, command, drift),
        "status": about["status"],
        "cycles": about.get("cycles", ""),
    }


def _population(sweep: StoredSweep) -> tuple[pd.DataFrame, np.ndarray]:
    """All rows that there are, by place, and the places of the front in its order."""
    if sweep.points is not None:
        # Rows of a folder have numbers; those of a file keep their index.
        own, front = (
            (pd.Index(rows["point"]) if "point" in rows else rows.index) for rows in (sweep.points, sweep.front)
        )
        return sweep.points, own.get_indexer(front)
    both = pd.concat([sweep.front, sweep.sample], ignore_index=True)
    # A sample may hold points of the front; for how many of the others a row stands tells no points apart.
    told = both.drop(columns="stands_for", errors="ignore").astype(str)
    kept = both.loc[~told.duplicated()].reset_index(drop=True)
    return kept, np.arange(len(sweep.front))


def _objective(name: str, objectives: Sequence[str]) -> str:
    return f"-{name}" if direction(name, objectives) > 0 else name


def _prices(names: Sequence[str], given: Sequence[Tech]) -> dict[str, Tech]:
    """Technologies by the names that points have. One that is given is that of the only name, whatever it is called."""
    if len(names) == 1 and len(given) == 1:
        return {names[0]: given[0]}
    found = {tech.name: tech for tech in given}
    if foreign := [name for name in found if name not in names]:
        raise HwgenError(f"report: --tech must be of one of {', '.join(names)}, not {foreign[0]!r}")
    try:
        return {name: found.get(name) or load(name) for name in names}
    except HwgenError as error:
        raise HwgenError(f"report: {error}; --tech names the file that the sweep was given") from error


def _chosen(points: pd.DataFrame, shown: Shown, objectives: Sequence[str]) -> int:
    """Point that is open at first: the balanced one of the front, or its first."""
    best = points.iloc[shown.front]
    try:
        return int(shown.front[choose(best, objectives)])
    except HwgenError:
        return int(shown.front[0])


def _title(sweep: StoredSweep) -> str:
    """What was swept, in a few words."""
    if sweep.workload is not None:
        return sweep.workload
    words = shlex.split(sweep.metadata["command"])
    said = {one: after for one, after in itertools.pairwise(words) if one in ("--workload", "--phase")}
    if "--workload" in said:
        return ", ".join(said.values())
    names = [_layer_words(layer)["text"] for layer in sweep.layers]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more layers" if len(names) > 3 else "")


def _layer_words(layer: Layer) -> dict[str, Any]:
    size = f"{layer.m}×{layer.n}×{layer.k}" if layer.k else ""
    named = "" if layer.name == f"{layer.m}x{layer.n}x{layer.k}" else f"{layer.name} "
    count = f" ×{layer.count}" if layer.count > 1 else ""
    return {"name": named.strip() or size, "size": size, "count": layer.count, "text": f"{named}{size}{count}".strip()}


def _fewer(layers: Sequence[Layer]) -> tuple[list[Layer], list[list[int]]]:
    """Layers that are told apart, and the places of those that each of them stands for."""
    if len(layers) <= MOST_LAYERS:
        return list(layers), [[place] for place in range(len(layers))]
    largest = sorted(range(len(layers)), key=lambda place: -layers[place].macs)[: MOST_LAYERS - 1]
    kept = sorted(largest)
    rest = [place for place in range(len(layers)) if place not in set(kept)]
    others = Layer.__new__(Layer)
    for name, value in (("name", f"{len(rest)} smaller ones"), ("m", 0), ("n", 0), ("k", 0), ("count", 1)):
        object.__setattr__(others, name, value)
    return [*(layers[place] for place in kept), others], [*([place] for place in kept), rest]


def _all_flags(
    points: pd.DataFrame,
    parts: Mapping[str, Breakdown],
    techs: np.ndarray,
    prices: Mapping[str, Tech],
    own_clock: bool,
    say: Progress,
) -> list[dict[str, str]]:
    settled = np.zeros(len(points), dtype=bool)
    for one in parts.values():
        settled[one.rows] = one.settled
    found = []
    for place, row in enumerate(points.to_dict("records")):
        name = techs[place]
        found.append(point_flags(row, name, prices[name], own_clock=own_clock, settled=bool(settled[place])))
        if place % 64 == 0 or place == len(points) - 1:
            say("commands", place + 1, len(points))
    return found


def _flag_columns(flags: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    names = list(flags[0]) if flags else []
    return {name: _texts(pd.Series([one[name] for one in flags])) for name in names}


def _texts(values: pd.Series[Any]) -> dict[str, Any]:
    places, texts = pd.factorize(values.astype(str))
    return {"texts": [str(text) for text in texts], "places": places.tolist()}


def _column(values: pd.Series[Any], column: Column) -> dict[str, Any]:
    """Values of a column: one where all are the same, numbers, or names as places in a list."""
    known = values.dropna()
    if len(known) == len(values) and known.nunique() == 1:
        return {"same": _number(known.iloc[0]) if column.numeric else str(known.iloc[0])}
    if column.numeric:
        return {"numbers": [None if value != value else _number(value) for value in values.tolist()]}
    places, texts = pd.factorize(values.astype(object).where(values.notna(), None))
    return {"texts": [str(text) for text in texts], "places": places.tolist()}


def _number(value: Any) -> float | int:
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 1e15 else _short(number, _DIGITS)


def _short(value: float, digits: int = _DIGITS_OF_PARTS) -> float:
    """A number with so many digits; JSON knows no other than finite ones."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else 0.0


def _shorts(values: np.ndarray, digits: int = _DIGITS_OF_PARTS) -> list[float | int]:
    short = (_short(value, digits) for value in values.astype(float).tolist())
    return [int(value) if value.is_integer() and abs(value) < 1e15 else value for value in short]


def _parts(one: Breakdown, merged: Sequence[Sequence[int]]) -> dict[str, Any]:
    """A family's parts; layers that are one have the bottleneck of most of their cycles."""

    def summed(values: np.ndarray, digits: int = _DIGITS_OF_PARTS) -> list[list[float | int]]:
        return [_shorts(values[list(places)].sum(axis=0), digits) for places in merged]

    busy = one.cycles * one.utilization
    bound = []
    for places in merged:
        which, cycles = one.bound[list(places)], one.cycles[list(places)]
        share = [np.where(which == place, cycles, 0).sum(axis=0) for place in range(len(one.bounds))]
        bound.append(np.argmax(share, axis=0).tolist())
    found: dict[str, Any] = {
        "rows": one.rows.tolist(),
        "area_um2": {name: _shorts(value) for name, value in one.area_um2.items() if np.any(value)},
        "energy_pj": {name: _shorts(value) for name, value in one.energy_pj.items() if np.any(value)},
        "cycles": summed(one.cycles, _DIGITS),
        "energy": summed(one.energy),
        "busy": summed(busy),
        "bound": bound,
        "bounds": list(one.bounds),
        "peak": _shorts(one.peak_ops_per_ns),
    }
    if one.moved_bytes is not None and one.bytes_per_ns is not None:
        found |= {"moved": summed(one.moved_bytes), "rate": _shorts(one.bytes_per_ns)}
    return found


def _provenance(sweep: StoredSweep, command: str, drift: float) -> list[list[str]]:
    """What stands at the foot of the page: name and text."""
    about = sweep.metadata

    def words(of: Mapping[str, str]) -> str:
        return ", ".join(f"{name} {number}" for name, number in of.items())

    clocks = ["own shortest period" if period is None else f"{period:g} ns" for period in about["clk_period_ns"]]
    found = [
        ["Sweep", about["command"] or "from Python"],
        ["Page", command or "from Python"],
        ["Commits", f"sweep {about['commit']}, page {commit()}"],
        ["Versions of the sweep", words(about["versions"])],
        ["Versions of the page", words(versions())],
        ["Technology", f"{about['tech']}, clock {', '.join(clocks)}"],
        ["Areas, energies, periods", about["status"]],
        ["Cycles", about.get("cycles", "–")],
        ["Off-chip memory", about.get("off_chip_memory", "–")],
        ["Not counted", "; ".join(about.get("not_counted", [])) or "–"],
        ["Skipped", "; ".join(f"{count:,} × {reason}" for reason, count in about.get("skipped", {}).items()) or "none"],
        ["Layers", "; ".join(_layer_words(layer)["text"] for layer in sweep.layers)],
        ["Sweep's hash", about.get("sweep_sha256", "–")],
    ]
    if (searched := search_words(about)) is not None:
        found.insert(1, ["Points", searched])
    if TRUST[1] in sweep.front:
        beyond = int((sweep.front[TRUST[1]].astype(str) != "").sum())
        found.append(["Extrapolated", f"{beyond:,} of the front's points, beyond all measured tiles"])
    if drift > 1e-6:
        found.append(
            ["Parts", f"prices have changed since the sweep: parts are up to {drift:.2%} off the totals beside them"]
        )
    return [one for one in found if one[1] != "–"]


def dumps(model: Mapping[str, Any]) -> str:
    """A model as JSON that may stand in a script element."""
    text = json.dumps(model, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
