"""Pictures of what formats cost a model."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox, BboxBase

from hwgen.pe import TileSpec
from reports.plot import AXIS_LABELS, colours_of
from sim.accuracy.methods import methods
from sim.accuracy.tile import energy_pj_per_mac
from sim.tech import load

__all__ = ["energy_picture", "perplexity_picture"]

_MARKERS = "os^Dv<>Ph*Xp8d"
_OFFSETS = [
    (side * out, up * step)
    for out, step in ((6, 0), (6, 6), (6, 12), (12, 18), (18, 26), (26, 36), (36, 48), (52, 60), (70, 72), (90, 90))
    for up in (1, -1)
    for side in (1, -1)
]
"""Where names are tried, in points from theirs; a line leads to those that are not beside their point."""
_BESIDE = 6
_APART = 1.5
"""Pixels around a name."""
_CUT = 30.0
"""Perplexities so many times the float model's are drawn at the upper edge: what is beyond has lost the language."""


def perplexity_picture(
    rows: Sequence[Mapping[str, Any]],
    suffix: str,
    text: str,
    x: str = "bits_per_weight",
    label: str = "bits per weight",
) -> bytes:
    """Perplexity against bits a weight (or another column ``x``); the float model is a line.

    Colours are methods and formats of activations.

    ``rows`` are those of `sim.accuracy.language.Measured.row`, the float model's first. Returns PNG or SVG.
    """
    whole, *others = rows
    base = float(whole["perplexity"])
    limit = base * _CUT
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.axhline(base, color="0.5", linewidth=1, linestyle="--", label=f"float model, {base:.2f}")
    by = [_series(row) for row in others]
    series = list(dict.fromkeys(by))
    for number, (name, colour) in enumerate(zip(series, colours_of(len(series)), strict=True)):
        mine = [row for row, method in zip(others, by, strict=True) if method == name and row.get(x) is not None]
        axes.scatter(
            [row[x] for row in mine],
            [min(row["perplexity"], limit) for row in mine],
            color=colour,
            marker=_MARKERS[number % len(_MARKERS)],
            s=34,
            label=name,
            zorder=3,
        )
    axes.set_yscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel(f"perplexity on {text}, {whole['tokens']:,} tokens")
    axes.grid(True, which="both", color="0.9")
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    # Beside the picture: points and their names are everywhere in it.
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
    drawn = [(row[x], min(row["perplexity"], limit)) for row in others if row.get(x) is not None]
    names = [(row[x], min(row["perplexity"], limit), _name(row, limit)) for row in _labelled(others, x)]
    _label(figure, axes, names, drawn)
    picture = io.BytesIO()
    figure.savefig(picture, format=suffix.removeprefix("."), dpi=130, metadata=None)
    return picture.getvalue()


def _series(row: Mapping[str, Any]) -> str:
    """What a colour stands for: tiles, or the method and what the activations are stored in."""
    if row.get("pe"):
        return f"tile, {row['arithmetic']}" if "arithmetic" in row else "tile"
    method, acts = str(row.get("method", "rtn")), row.get("acts")
    return f"{method}, activations {str(acts).partition('/')[0]}" if acts else method


def energy_picture(
    whole: Mapping[str, Any], tiles: Sequence[tuple[TileSpec, Mapping[str, Any]]], suffix: str, text: str
) -> bytes:
    """Perplexity against energy of a multiply-accumulate: tiles with their rows, families by colour.

    Energies are of the default technology at its default clock (`sim.accuracy.tile.energy_pj_per_mac`).
    """
    x = "energy_pj_per_mac"
    rows = [{**row, x: energy_pj_per_mac(spec), "method": spec.family, "pe": None} for spec, row in tiles]
    rows = [{**row, "weights": _pair(row, spec), "acts": None} for row, (spec, _) in zip(rows, tiles, strict=True)]
    tech = load()
    label = f"{AXIS_LABELS[x]}, {tech.name} at {tech.default_clk_period_ns:g} ns, buffers included"
    return perplexity_picture([whole, *rows], suffix, text, x, label)


def _pair(row: Mapping[str, Any], spec: TileSpec) -> str:
    """Formats of a tile, as short as they can be said."""
    said = spec.quantization()
    return f"{row.get('weights', said.weights)} × {row.get('acts', said.acts)}".replace("/128", "").replace("/row", "")


def _name(row: Mapping[str, Any], limit: float) -> str:
    """Formats or tile; groups of 128, which most have, are not said."""
    high = row["perplexity"] > limit or not math.isfinite(row["perplexity"])
    return str(row.get("weights") or row.get("pe")).removesuffix("/128") + (" (off the scale)" if high else "")


def _label(
    figure: Figure, axes: Axes, names: Sequence[tuple[float, float, str]], drawn: Sequence[tuple[float, float]]
) -> None:
    """Names beside points, the best first, where they cover neither points nor names; what finds no room has none."""
    figure.draw_without_rendering()
    reach = 4 * figure.dpi / 72
    taken: list[BboxBase] = [
        Bbox.from_extents(px - reach, py - reach, px + reach, py + reach) for px, py in axes.transData.transform(drawn)
    ]
    for at_x, at_y, name in sorted(names, key=lambda point: point[1]):
        for dx, dy in _OFFSETS:
            ends = "left" if dx > 0 else "right"
            far = abs(dy) > _BESIDE
            text = axes.annotate(
                name,
                (at_x, at_y),
                xytext=(dx, dy),
                textcoords="offset points",
                fontsize=7,
                ha=ends,
                va="center",
                arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "0.4", "shrinkB": 2} if far else None,
            )
            text.get_window_extent()  # settles where the text is
            # Of the text alone: the line may cross what it has to.
            box = Text.get_window_extent(text).padded(_APART)
            inside = axes.bbox.x0 < box.x0 and box.x1 < axes.bbox.x1 and axes.bbox.y0 < box.y0 and box.y1 < axes.bbox.y1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()


def _labelled(rows: Sequence[Mapping[str, Any]], x: str) -> list[Mapping[str, Any]]:
    """Of every format the best point: its name stands there once. What stores other codes than a format's has none."""
    best: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        known = methods().get(str(row.get("method", "rtn")).partition("(")[0])
        if known is not None and known.own_codes:
            continue
        name = str(row.get("weights") or row.get("pe"))
        if row.get(x) is not None and (name not in best or row["perplexity"] < best[name]["perplexity"]):
            best[name] = row
    return list(best.values())
