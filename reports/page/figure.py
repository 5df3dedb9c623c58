"""A front for a paper: one or two columns wide, fonts inside, no title, families by colour and marker."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from dse.pareto import column_of, front_mask, objective_values
from dse.stored import StoredSweep
from hwgen.errors import HwgenError
from reports.page.columns import columns_of, unit_of
from reports.plot import COLOURS

__all__ = ["WIDTHS_IN", "front_figure", "picture"]

WIDTHS_IN = {1: 3.5, 2: 7.16}
"""Widths of one and two columns in inches, as IEEE's and ACM's journals have them."""
_HEIGHT_IN = {1: 2.7, 2: 3.2}
_MARKERS = "osDv^PX*<>"
_MOST = 3000
_SEED = 1
_STYLE: Any = {
    "font.size": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    # TrueType in PDF, outlines in SVG: printers and submission systems refuse what is not embedded.
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "hwgen",
}


def front_figure(sweep: StoredSweep, columns: int = 1) -> Figure:
    """The first two objectives of a sweep, logarithmic where they span more than a factor of four.

    ``columns``: of the page, 1 or 2. Hollow markers are extrapolated. Raises `HwgenError` for a sweep with one
    objective.
    """
    if len(sweep.objectives) < 2:
        raise HwgenError(f"report: --figure needs two objectives, not {', '.join(sweep.objectives)}; add --objective")
    objectives = sweep.objectives[:2]
    x, y = map(column_of, objectives)
    everything = sweep.sample if sweep.points is None else sweep.points
    points = _thin(everything.dropna(subset=[x, y]))
    best = sweep.front.sort_values([x, y], kind="stable")
    families = sorted(everything["pe"].astype(str).unique())
    look = {name: (COLOURS[at % len(COLOURS)], _MARKERS[at % len(_MARKERS)]) for at, name in enumerate(families)}
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTHS_IN[columns], _HEIGHT_IN[columns]), layout="constrained")
        FigureCanvasAgg(figure)
        axes: Axes = figure.add_subplot()
        for name, group in points.groupby(points["pe"].astype(str), sort=True):
            colour, marker = look[str(name)]
            axes.scatter(
                group[x], group[y], s=5, marker=marker, color=colour, alpha=0.25, linewidths=0, rasterized=True
            )
        edge = best[front_mask(objective_values(best, objectives))]
        steps = "steps-pre" if objectives[0].startswith("-") else "steps-post"
        axes.plot(edge[x], edge[y], color="#777777", linewidth=0.7, drawstyle=steps, zorder=2)
        beyond = best["extrapolated"].astype(str) != "" if "extrapolated" in best else pd.Series(False, best.index)
        for name, group in best.groupby(best["pe"].astype(str), sort=True):
            colour, marker = look[str(name)]
            fill = ["white" if beyond[row] else colour for row in group.index]
            edges = [colour if beyond[row] else "black" for row in group.index]
            axes.scatter(
                group[x], group[y], s=18, marker=marker, color=fill, edgecolors=edges, linewidths=0.5, zorder=3
            )
        known = {one.name: one for one in columns_of(everything, sweep.objectives)}
        for name, axis, log in ((x, axes.xaxis, axes.set_xscale), (y, axes.yaxis, axes.set_yscale)):
            one = known[name]
            size, unit = unit_of(one.unit, float(best[name].median()))
            axis.set_label_text(f"{one.label} [{unit}]" if unit else one.label)
            _scale(axis, log, everything[name], best[name], size)
        axes.grid(True, which="major", color="#e4e4e4", linewidth=0.5)
        axes.set_axisbelow(True)
        _legend(figure, look, columns, bool(beyond.any()))
        # Laid out once: each time that it is saved would move it by a hair.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


def _scale(axis: Any, log: Any, values: pd.Series[Any], best: pd.Series[Any], size: float) -> None:
    """A range that holds the front, and what lies within a factor of ten of it; numbers in units of ``size``."""
    low, high = float(best.min()), float(best.max())
    if float(values.min()) > 0 and float(values.max()) > 4 * float(values.min()):
        low, high = max(float(values.min()), low / 10), min(float(values.max()), high * 10)
        log("log")
        room = max(high / low, 1.1) ** 0.05
        axis.set_view_interval(low / room, high * room, ignore=True)
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 100 else (1.0,)))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / size:,.10g}"))


def _legend(figure: Figure, look: dict[str, tuple[str, str]], columns: int, hollow: bool) -> None:
    none: dict[str, Any] = {"linestyle": "none", "markersize": 4}
    handles = [
        Line2D([], [], marker=marker, color=colour, label=name, **none) for name, (colour, marker) in look.items()
    ]
    handles.append(
        Line2D([], [], color="#777777", linewidth=0.7, marker="o", markersize=4, markeredgecolor="black", label="front")
    )
    if hollow:
        handles.append(
            Line2D([], [], marker="o", color="#777777", markerfacecolor="white", label="extrapolated", **none)
        )
    place: Any = "outside upper center" if columns == 1 else "outside right upper"
    ncols = min(len(handles), 4) if columns == 1 else 1
    figure.legend(handles=handles, loc=place, ncols=ncols, frameon=False, handletextpad=0.4, columnspacing=1.0)


def _thin(points: pd.DataFrame) -> pd.DataFrame:
    if len(points) <= _MOST:
        return points
    chosen = np.random.default_rng(_SEED).choice(len(points), _MOST, replace=False)
    return points.iloc[np.sort(chosen)]


def picture(figure: Figure, path: str | Path, about: Sequence[str] = ()) -> bytes:
    """The file of a figure, as the suffix says: .pdf, .svg or .png (300 dpi). The same figure gives the same bytes.

    ``about``: where its numbers come from, kept inside where the format has room for it.
    """
    kind = Path(path).suffix.lower().removeprefix(".")
    words = "; ".join(about)
    metadata: dict[str, dict[str, Any]] = {
        "pdf": {"CreationDate": None, "ModDate": None, "Subject": words},
        "svg": {"Date": None, "Description": words},
        "png": {"Software": None, "Description": words},
    }
    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format=kind, dpi=300, metadata=metadata[kind])
    return buffer.getvalue()
