"""A job of an accelerator as a picture: what tile, memory and rings do over the cycles."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hwgen.accelerator.recording import TileState
from hwgen.accelerator.timeline import TILE_WORDS, Level, Timeline, Track
from hwgen.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["save_timeline", "timeline_figure"]

_COLOURS = {
    TILE_WORDS[TileState.BUSY]: "#009E73",
    TILE_WORDS[TileState.WAITS_WEIGHTS]: "#D55E00",
    TILE_WORDS[TileState.WAITS_ACTS]: "#E69F00",
    TILE_WORDS[TileState.WAITS_RESULTS]: "#CC79A7",
    TILE_WORDS[TileState.FOLDS]: "#999999",
    TILE_WORDS[TileState.DONE]: "#DDDDDD",
    "beats": "#0072B2",
    "burst": "#56B4E9",
}
"""Okabe and Ito's palette, as in the other plots."""
_BINS = 1400
"""Parts of the time axis: about the pixels that it has."""


def timeline_figure(shown: Timeline, title: str) -> Figure:
    """A figure of 1600 pixels' width at 100 dots an inch: tracks over cycles, below them how full the rings are.

    Where several cycles share a pixel, a track shows each state by its share of them.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    tracks = [track for track in shown.tracks if not track.name.startswith("asks")]
    heights = [1.0] * len(tracks) + [1.4] * len(shown.levels)
    figure = Figure(figsize=(16, 1.6 + 0.62 * sum(heights)), dpi=100, layout="constrained")
    every = figure.subplots(len(heights), 1, sharex=True, gridspec_kw={"height_ratios": heights})
    edges = np.linspace(shown.begin, shown.end, min(_BINS, shown.end - shown.begin) + 1)
    for axes, track in zip(every, tracks, strict=False):
        _draw_track(axes, track, edges)
    for axes, level in zip(every[len(tracks) :], shown.levels, strict=True):
        _draw_level(axes, level, shown.end)
    for axes in every:
        axes.set_xlim(shown.begin, shown.end)
        axes.spines[["top", "right"]].set_visible(False)
    every[-1].set_xlabel("cycle from the accepted start")
    used = {what for track in tracks for _, _, what in track.intervals}
    handles = [Patch(color=colour, label=what) for what, colour in _COLOURS.items() if what in used]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=10)
    part = "" if shown.end >= shown.job.cycles - 3 else f", the first {shown.end - shown.begin:,} of them"
    figure.suptitle(f"{title}: {shown.job.cycles:,} cycles{part}", fontsize=12)
    return figure


def _shares(intervals: list[tuple[int, int]], edges: np.ndarray) -> np.ndarray:
    """Share of each part of the axis that intervals cover."""
    if not intervals:
        return np.zeros(len(edges) - 1)
    begins, ends = np.array(intervals, dtype=float).T
    covered = np.concatenate([[0.0], np.cumsum(ends - begins)])

    def until(at: np.ndarray) -> np.ndarray:
        place = np.searchsorted(begins, at, side="right")
        last = np.maximum(place - 1, 0)
        over = np.where(place > 0, np.maximum(ends[last] - at, 0), 0)
        found: np.ndarray = covered[place] - over
        return found

    return np.diff(until(edges)) / np.diff(edges)


def _draw_track(axes: Axes, track: Track, edges: np.ndarray) -> None:
    bottom = np.zeros(len(edges) - 1)
    for what, colour in _COLOURS.items():
        some = [(begin, end) for begin, end, one in track.intervals if one == what]
        if some:
            top = bottom + _shares(some, edges)
            axes.fill_between(edges, np.append(bottom, 0), np.append(top, 0), step="post", color=colour, linewidth=0)
            bottom = top
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.set_ylabel(track.name, rotation=0, ha="right", va="center", fontsize=10)


def _draw_level(axes: Axes, level: Level, end: int) -> None:
    at, values = np.array([*level.changes, (end, level.changes[-1][1])]).T
    axes.fill_between(at, values, step="post", color="#56B4E9", alpha=0.6, linewidth=0)
    axes.axhline(level.most, color="#555555", linewidth=0.8, linestyle=":")
    axes.set_ylim(0, level.most * 1.08)
    axes.set_yticks([0, level.most])
    axes.tick_params(axis="y", labelsize=8)
    axes.set_ylabel(level.name, rotation=0, ha="right", va="center", fontsize=10, labelpad=18)


def save_timeline(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; the same figure gives the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    write_atomic(path, buffer.getvalue(), "timeline")
