"""Pareto plots: families by colour, weight width by marker, the front highlighted and labelled."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dse.pareto import front_mask
from hwgen.emit import write_all
from hwgen.errors import HwgenError

__all__ = ["AXIS_LABELS", "COLOURS", "pareto_figure", "point_label", "render", "save"]

AXIS_LABELS = {
    "area_um2": "area of the tile [µm²]",
    "latency_us": "latency [µs]",
    "energy_pj": "energy [pJ]",
    "energy_pj_per_mac": "energy per MAC [pJ]",
    "cycles": "cycles",
    "pre_cycles": "cycles of the pre block",
    "utilization": "utilisation",
    "weight_bits": "bits per weight",
}
"""Axis titles by column."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito's palette, for every common colour blindness; yellow left out, which vanishes on white."""

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h", "p")
_MOST_DOMINATED = 4000
_MOST_LABELS = 7
_SEED = 1


def point_label(row: pd.Series[Any]) -> str:
    """Short name of a point: family, weight width and tile shape."""
    shape = "×".join(str(int(row[name])) for name in ("m", "n", "k"))
    return f"{row['pe']} W{row['weight_bits']:g} {shape}"


def _thin(points: pd.DataFrame) -> pd.DataFrame:
    """At most as many points as a plot can show, the same ones each time."""
    if len(points) <= _MOST_DOMINATED:
        return points
    chosen = np.random.default_rng(_SEED).choice(len(points), _MOST_DOMINATED, replace=False)
    return points.iloc[np.sort(chosen)]


def _labelled(front: pd.DataFrame, x: str, chosen: int | None) -> list[int]:
    """Positions of the labels: the chosen point, then the ends, then points spread evenly over log x."""
    count = len(front)
    if count <= _MOST_LABELS:
        return list(range(count))
    place = np.log(front[x].to_numpy(dtype=np.float64))
    targets = np.linspace(place[0], place[-1], _MOST_LABELS)
    spread = {int(np.argmin(np.abs(place - target))) for target in targets}
    if chosen is not None:
        # Its neighbours' labels would cover its own.
        gap = abs(place[-1] - place[0]) / _MOST_LABELS / 1.5
        spread = {index for index in spread if abs(place[index] - place[chosen]) > gap} | {chosen}
    return sorted(spread)


def pareto_figure(
    points: pd.DataFrame,
    front: pd.DataFrame,
    *,
    x: str,
    y: str,
    title: str,
    basis: str = "measured, pre-layout",
    chosen: int | None = None,
) -> Figure:
    """Plot of two columns on logarithmic axes.

    Parameters
    ----------
    points: all points, columns ``pe``, ``weight_bits``, ``m``, ``n``, ``k`` and ``x``, ``y``.
    front: the non-dominated rows. chosen: position in ``front`` of the point to mark.
    title: what was swept; basis: what stands behind areas, energies and periods, for the second line.

    Raises `HwgenError` for a column that is missing or not above 0.
    """
    for name in (x, y):
        if name not in points.columns or not (len(points) and (points[name] > 0).all()):
            raise HwgenError(f"plot: axis {name!r} must be a column of numbers above 0")
    best = front.sort_values([x, y], kind="stable")
    position = None if chosen is None else best.index.get_indexer([front.index[chosen]])[0]
    families = sorted(points["pe"].astype(str).unique())
    widths = sorted(points["weight_bits"].unique())
    colour = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(families)}
    marker = {width: _MARKERS[index % len(_MARKERS)] for index, width in enumerate(widths)}

    figure = Figure(figsize=(9.5, 6.0), layout="constrained")
    axes: Axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_yscale("log")
    for (name, width), group in points.groupby([points["pe"].astype(str), "weight_bits"], sort=True):
        shown = _thin(group)
        axes.scatter(
            shown[x],
            shown[y],
            s=14,
            marker=marker[width],
            color=colour[str(name)],
            alpha=0.25,
            linewidths=0,
            rasterized=True,
        )
    for width, group in best.groupby("weight_bits", sort=True):
        edge = group[front_mask(group[[x, y]].to_numpy(dtype=np.float64))]
        axes.plot(edge[x], edge[y], color="#777777", linewidth=0.9, drawstyle="steps-post", zorder=2)
        if best["weight_bits"].nunique() > 1:
            row = edge.iloc[-1]
            text: dict[str, Any] = {"fontsize": 7, "color": "#555555", "va": "center", "zorder": 5}
            axes.annotate(f"{width:g}-bit", (row[x], row[y]), xytext=(8, 0), textcoords="offset points", **text)
    # Hollow: what the model was not measured on.
    beyond = best["extrapolated"].astype(str) != "" if "extrapolated" in best else pd.Series(False, best.index)
    for (name, width), group in best.groupby([best["pe"].astype(str), "weight_bits"], sort=True):
        axes.scatter(
            group[x],
            group[y],
            s=46,
            marker=marker[width],
            color=["white" if beyond[row] else colour[str(name)] for row in group.index],
            edgecolors=[colour[str(name)] if beyond[row] else "black" for row in group.index],
            linewidths=0.8,
            zorder=3,
        )
    if position is not None:
        row = best.iloc[position]
        axes.scatter([row[x]], [row[y]], s=260, facecolors="none", edgecolors="black", linewidths=1.6, zorder=4)
    edge = best[front_mask(best[[x, y]].to_numpy(dtype=np.float64))]
    marked = None if position is None else best.index[position]
    place = list(edge.index).index(marked) if marked is not None and marked in edge.index else None
    labels = [edge.index[index] for index in _labelled(edge, x, place)]
    for label in dict.fromkeys([*labels, *([] if marked is None else [marked])]):
        row = best.loc[label]
        mark = "chosen: " if label == marked else ""
        # Nothing lies below and to the left of the edge of a front.
        axes.annotate(
            mark + point_label(row),
            (row[x], row[y]),
            xytext=(-8, -8) if not mark else (-12, -12),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=8,
            fontweight="bold" if mark else "normal",
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
            zorder=5,
        )
    axes.set_xlabel(AXIS_LABELS.get(x, x))
    axes.set_ylabel(AXIS_LABELS.get(y, y))
    axes.set_title(f"{title}\nareas, energies and periods: {basis}", fontsize=10)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(0.08)
    # Room for the labels.
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    axes.set_xlim(left / (right / left) ** 0.22, right)
    axes.set_ylim(bottom / (top / bottom) ** 0.08, top)
    _legend(axes, colour, marker, position is not None, bool(beyond.any()))
    return figure


def _legend(axes: Axes, colour: dict[str, str], marker: dict[float, str], chosen: bool, hollow: bool) -> None:
    none: dict[str, Any] = {"linestyle": "none", "markersize": 7}
    handles = [Line2D([], [], marker="o", color=value, label=name, **none) for name, value in colour.items()]
    handles += [
        Line2D([], [], marker=value, color="#777777", label=f"{width:g}-bit weights", **none)
        for width, value in marker.items()
    ]
    handles.append(
        Line2D(
            [],
            [],
            color="#555555",
            marker="o",
            markeredgecolor="black",
            markersize=7,
            label="Pareto front; lines: one weight width",
        )
    )
    if hollow:
        handles.append(
            Line2D([], [], marker="o", color="#777777", markerfacecolor="white", label="extrapolated", **none)
        )
    if chosen:
        handles.append(
            Line2D(
                [],
                [],
                marker="o",
                color="black",
                markerfacecolor="none",
                linestyle="none",
                markersize=13,
                label="chosen point",
            )
        )
    axes.legend(handles=handles, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)


def save(figure: Figure, path: str | Path) -> tuple[Path, Path]:
    """Write PNG and SVG side by side; the suffix of ``path`` may be either, or missing. Returns both paths.

    The same figure gives the same bytes. Raises `HwgenError` for another suffix and for a path that cannot be written.
    """
    (png, one), (svg, two) = render(figure, path)
    write_all({png: one, svg: two}, "plot")
    return png, svg


def render(figure: Figure, path: str | Path) -> list[tuple[Path, bytes]]:
    """The files that `save` writes, and what is in them."""
    target = Path(path)
    if target.suffix not in ("", ".png", ".svg"):
        raise HwgenError(f"plot: output must end in .png or .svg, not {target.name!r}")
    FigureCanvasAgg(figure)
    made = []
    for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
        buffer = io.BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "hwgen"}):
            figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
        made.append((target.with_suffix(f".{kind}"), buffer.getvalue()))
    return made
