"""Pareto plots: families by colour, formats by marker, the front highlighted, labelled and with the model's error."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox, BboxBase

from dse.pareto import front_mask, objective_values
from hwgen.errors import HwgenError
from hwgen.files import write_all

__all__ = [
    "AXIS_LABELS",
    "COLOURS",
    "MARKERS",
    "colours_of",
    "formats_of",
    "pareto_figure",
    "point_label",
    "render",
    "save",
]

AXIS_LABELS = {
    "area_um2": "area of the tile [µm²]",
    "latency_us": "latency [µs]",
    "energy_pj": "energy [pJ]",
    "energy_pj_per_mac": "energy per MAC [pJ]",
    "power_mw": "power [mW]",
    "tops_per_mm2": "throughput of an area [TOPS/mm², two operations a MAC]",
    "cycles": "cycles",
    "pre_cycles": "cycles of the pre block",
    "utilization": "utilisation",
    "perplexity": "perplexity of the default model",
    "weight_bits": "bits per weight",
    "tile_area_um2": "area of the tile [µm²]",
    "around_area_um2": "area around the tile [µm²]",
    "sram_area_um2": "area of memories [µm²]",
    "wait_cycles": "cycles more than the tile alone",
    "read_bytes": "bytes read",
    "write_bytes": "bytes written",
    "tops": "throughput [TOPS, two operations a MAC]",
}
"""Axis titles by column."""
_OF_ACCELERATORS = {"area_um2": "area of the accelerator [µm²]"}

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito's palette, for every common colour blindness; yellow left out, which vanishes on white."""

MORE_COLOURS = ("#8C6D1F", "#7F7F7F", "#6A3D9A", "#B2DF8A", "#A50026", "#17BECF", "#FB9A99", "#1B4F2A", "#BCBD22")
"""For what comes after `COLOURS`; with so many, colours alone tell nothing apart for every eye."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h", "p")
_MOST_DOMINATED = 4000
_MOST_LABELS = 9
_SEED = 1
_MARGIN = 6
"""Pixels between a label and the frame."""


def colours_of(count: int) -> list[str]:
    """So many colours: `COLOURS` first, then `MORE_COLOURS`, over again where these do not do."""
    known = [*COLOURS, *MORE_COLOURS]
    return [known[index % len(known)] for index in range(count)]


def formats_of(points: pd.DataFrame) -> pd.Series[str]:
    """Formats of each point, weights × activations, by the family's own names where it has them."""

    def column(name: str) -> pd.Series[Any]:
        return points[name].astype(object) if name in points else pd.Series(None, points.index, dtype=object)

    named = column("weights").where(column("weights").notna(), column("operands"))
    width = points["weight_bits"].map(lambda bits: f"W{bits:g}")
    weights = named.where(named.notna(), width).astype(str)
    acts = column("acts")
    return weights.where(acts.isna(), weights + " × " + acts.astype(str))


def point_label(row: pd.Series[Any]) -> str:
    """Short name of a point: family, formats and tile shape; of an accelerator its bus and rings, too."""
    shape = "×".join(str(int(row[name])) for name in ("m", "n", "k"))
    around = f", {row['bus_bits']} bits, {row['weight_ring']}/{row['act_ring']}" if "bus_bits" in row else ""
    return f"{row['pe']} {formats_of(row.to_frame().T).iloc[0].replace(' ', '')}, {shape}{around}"


def _thin(points: pd.DataFrame) -> pd.DataFrame:
    """At most as many points as a plot can show, the same ones each time."""
    if len(points) <= _MOST_DOMINATED:
        return points
    chosen = np.random.default_rng(_SEED).choice(len(points), _MOST_DOMINATED, replace=False)
    return points.iloc[np.sort(chosen)]


def _labelled(best: pd.DataFrame, y: str, marked: Any) -> list[Any]:
    """Rows of the front that get a name: the chosen one, then of each family and formats the one in the middle."""
    groups = [group for _, group in best.groupby([best["pe"].astype(str), formats_of(best)], sort=False)]
    groups.sort(key=len, reverse=True)
    middle = [group.sort_values(y, kind="stable").index[len(group) // 2] for group in groups]
    others = [row for row in middle if marked is None or _kind(best, row) != _kind(best, marked)]
    return [*([] if marked is None else [marked]), *others[:_MOST_LABELS]]


def _kind(best: pd.DataFrame, row: Any) -> str:
    return f"{best.loc[row, 'pe']} {formats_of(best.loc[[row]]).iloc[0]}"


def pareto_figure(
    points: pd.DataFrame,
    front: pd.DataFrame,
    *,
    x: str,
    y: str,
    title: str,
    basis: str = "measured, pre-layout",
    chosen: int | None = None,
    errors: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Plot of two columns on logarithmic axes.

    Parameters
    ----------
    points: all points, columns ``pe``, ``weight_bits``, ``m``, ``n``, ``k`` and ``x``, ``y``.
    front: the non-dominated rows. chosen: position in ``front`` of the point to mark.
    x, y: columns, smaller is better; with a minus in front of it larger is.
    title: what was swept; basis: what stands behind areas, energies and periods, for the second line.
    errors: relative errors of x and of y by family, drawn as bars of the front's points.

    Raises `HwgenError` for a column that is missing or not above 0.
    """
    objectives = (x, y)
    x, y = (name.removeprefix("-") for name in objectives)
    for name in (x, y):
        if name not in points.columns or not (len(points) and (points[name] > 0).all()):
            raise HwgenError(f"plot: axis {name!r} must be a column of numbers above 0")
    best = front.sort_values([x, y], kind="stable")
    position = None if chosen is None else best.index.get_indexer([front.index[chosen]])[0]
    kinds = formats_of(points)
    families, formats = sorted(points["pe"].astype(str).unique()), sorted(kinds.unique(), key=_by_width)
    colour = dict(zip(families, colours_of(len(families)), strict=True))
    marker = {name: MARKERS[index % len(MARKERS)] for index, name in enumerate(formats)}

    figure = Figure(figsize=(10.5, 6.0), layout="constrained")
    axes: Axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_yscale("log")
    for (name, kind), group in points.groupby([points["pe"].astype(str), kinds], sort=True):
        shown = _thin(group)
        axes.scatter(
            shown[x],
            shown[y],
            s=14,
            marker=marker[str(kind)],
            color=colour[str(name)],
            alpha=0.25,
            linewidths=0,
            rasterized=True,
        )
    edge = best[front_mask(objective_values(best, objectives))]
    steps = "steps-pre" if objectives[0].startswith("-") else "steps-post"
    axes.plot(edge[x], edge[y], color="#777777", linewidth=0.9, drawstyle=steps, zorder=2)
    if errors:
        across, along = np.array([errors.get(str(name), (0.0, 0.0)) for name in best["pe"]]).T
        axes.errorbar(
            best[x], best[y], xerr=best[x] * across, yerr=best[y] * along, fmt="none", ecolor="#555555", elinewidth=0.9
        )
    # Hollow: what the model was not measured on.
    beyond = best["extrapolated"].astype(str) != "" if "extrapolated" in best else pd.Series(False, best.index)
    for (name, kind), group in best.groupby([best["pe"].astype(str), formats_of(best)], sort=True):
        axes.scatter(
            group[x],
            group[y],
            s=46,
            marker=marker[str(kind)],
            color=["white" if beyond[row] else colour[str(name)] for row in group.index],
            edgecolors=[colour[str(name)] if beyond[row] else "black" for row in group.index],
            linewidths=0.8,
            zorder=3,
        )
    if position is not None:
        row = best.iloc[position]
        axes.scatter([row[x]], [row[y]], s=260, facecolors="none", edgecolors="black", linewidths=1.6, zorder=4)
    labels = AXIS_LABELS | (_OF_ACCELERATORS if "tile_area_um2" in points else {})
    axes.set_xlabel(labels.get(x, x))
    axes.set_ylabel(labels.get(y, y))
    axes.set_title(f"{title}\nareas, energies and periods: {basis}", fontsize=10)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    _limits(axes, points, best, x, y)
    marked = None if position is None else best.index[position]
    _legend(axes, colour, marker, position is not None, bool(beyond.any()), bool(errors))
    _label(axes, best, _labelled(best, y, marked), objectives, marked)
    return figure


def _by_width(formats: str) -> tuple[str, ...]:
    """Order of formats: numbers in their names by value."""
    return tuple(part.zfill(4) if part.isdigit() else part for part in re.split(r"(\d+)", formats))


def _limits(axes: Axes, points: pd.DataFrame, best: pd.DataFrame, x: str, y: str) -> None:
    """Axes that hold the front, with a decade around it where there are points: far ones would stretch them."""
    for name, set_limits in ((x, axes.set_xlim), (y, axes.set_ylim)):
        first, last = float(best[name].min()), float(best[name].max())
        low, high = max(float(points[name].min()), first / 10), min(float(points[name].max()), last * 10)
        room = (high / low) ** 0.06 if high > low else 1.3
        set_limits(low / room, high * room)
        axis = axes.xaxis if name == x else axes.yaxis
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 1000 else (1.0,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


_AROUND = tuple((right, up) for right in (-1, 1, 0) for up in (1, -1, 0) if right or up)
"""Sides of a point on which its name may stand."""


def _label(axes: Axes, best: pd.DataFrame, labels: Iterable[Any], objectives: tuple[str, str], marked: Any) -> None:
    """Names beside points, each where it covers no other name and no point of the front, the first ones first."""
    x, y = (name.removeprefix("-") for name in objectives)
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    frame = axes.get_window_extent()
    taken = [Bbox.from_bounds(px - 5, py - 5, 10, 10) for px, py in axes.transData.transform(best[[x, y]].to_numpy())]
    # Nothing is better than the edge of a front: its side is tried first.
    better = tuple(1 if name.startswith("-") else -1 for name in objectives)
    sides = sorted(_AROUND, key=lambda side: side != better)
    for label in labels:
        row = best.loc[label]
        text = axes.annotate(
            ("chosen: " if label == marked else "") + point_label(row),
            (row[x], row[y]),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=8,
            fontweight="bold" if label == marked else "normal",
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
            arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.6, "shrinkB": 5},
            zorder=5,
        )
        tries: list[tuple[float, int, int, int, float]] = []
        for far, (right, up) in itertools.product((10, 22, 38, 58), sides):
            box = _moved(text, right, up, far, canvas.get_renderer()).padded(_MARGIN)
            hidden = sum(_shared(box, other) for other in taken)
            outside = box.width * box.height - _shared(box, frame)
            # A name far from its point is hard to follow: ten pixels of another name are worth one of way.
            tries.append((hidden + 3 * outside + 10 * far, len(tries), right, up, far))
        taken.append(_moved(text, *min(tries)[2:], canvas.get_renderer()).padded(2))


def _moved(text: Annotation, right: int, up: int, far: float, renderer: Any) -> Bbox:
    """Put a name on a side of its point, so many points away; its box in pixels."""
    text.set_position((right * far, up * far))
    text.set(ha={-1: "right", 0: "center", 1: "left"}[right], va={-1: "top", 0: "center", 1: "bottom"}[up])
    text.update_positions(renderer)
    return Text.get_window_extent(text, renderer)


def _shared(one: BboxBase, other: BboxBase) -> float:
    """Area in pixels that two boxes share."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(width, 0.0) * max(height, 0.0)


def _legend(
    axes: Axes, colour: dict[str, str], marker: dict[str, str], chosen: bool, hollow: bool, errors: bool
) -> None:
    none: dict[str, Any] = {"linestyle": "none", "markersize": 7}
    handles = [Line2D([], [], marker="o", color=value, label=name, **none) for name, value in colour.items()]
    handles += [Line2D([], [], marker=value, color="#777777", label=kind, **none) for kind, value in marker.items()]
    handles.append(
        Line2D(
            [],
            [],
            color="#555555",
            marker="o",
            markeredgecolor="black",
            markersize=7,
            label="Pareto front; bars: median error of the model" if errors else "Pareto front",
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
