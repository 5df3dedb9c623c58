"""Roofline of a workload on a system: parts below the chip's peak and the memory's rate."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports.plot import COLOURS
from sim.system import Report

__all__ = ["roofline_figure", "roofline_picture"]

_MARKERS = "os^Dv<>Ph*Xp8d"


def roofline_figure(report: Report) -> Figure:
    """Operations a second against operations a byte; a part's area is its share of the time. Work of the vector unit,
    which moves nothing, is left out.
    """
    peak = 2 * report.peak_macs * 1e9 / report.clk_period_ns
    rate = report.gb_per_s * 1e9
    parts = [part for part in report.parts if part.macs and part.total_bytes]
    x = np.array([2 * part.macs / part.total_bytes for part in parts])
    y = np.array([2 * part.macs / (part.cycles * report.clk_period_ns * 1e-9) for part in parts])
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    ends = np.geomspace(min(x.min(), peak / rate) / 4, max(x.max(), peak / rate) * 4, 200)
    axes.plot(ends, np.minimum(peak, ends * rate), color="0.3", linewidth=1.5)
    axes.annotate(f"{peak / 1e9:,.4g} Gop/s", (ends[-1], peak), ha="right", va="bottom", fontsize=8)
    axes.annotate(f"{report.gb_per_s:,.4g} GB/s", (ends[0], ends[0] * rate), ha="left", va="bottom", fontsize=8)
    for number, (part, at_x, at_y) in enumerate(zip(parts, x, y, strict=True)):
        name = part.role if len({one.part for one in parts}) == 1 else f"{part.part} {part.role}"
        axes.scatter(
            at_x,
            at_y,
            s=30 + 400 * part.cycles / report.cycles,
            color=COLOURS[number % len(COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)],
            label=f"{name}, {part.cycles / report.cycles:.1%} of the time",
            alpha=0.8,
            zorder=3,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("operations a byte of the memory outside the chip")
    axes.set_ylabel("operations a second, two a multiply-accumulate")
    axes.set_title(f"{report.workload}, {report.phase}\n{report.system}", fontsize=9)
    axes.grid(True, which="both", color="0.92")
    axes.set_axisbelow(True)
    axes.legend(fontsize=7, ncols=2)
    return figure


def roofline_picture(report: Report, suffix: str) -> bytes:
    """PNG or SVG by its suffix."""
    picture = io.BytesIO()
    roofline_figure(report).savefig(picture, format=suffix.removeprefix("."), dpi=130, metadata=None)
    return picture.getvalue()
