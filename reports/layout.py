"""The picture of docs/layout.md: the way of a tile from flags to Verilog, and of a point from a space to the front.

``python -m reports.layout`` writes it. Every box names a file or folder; a name that is gone is an error.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from hwgen.errors import HwgenError
from hwgen.files import write_all
from hwgen.provenance import ROOT
from reports.command_line import without_options
from reports.plot import COLOURS, render

__all__ = ["PICTURE", "WAYS", "figure", "main"]

PICTURE = ROOT / "docs" / "layout.svg"

Box = tuple[str, str]
WAYS: dict[str, tuple[tuple[Box, ...], ...]] = {
    "a tile, from flags to Verilog": (
        (("hwgen/cli/_family.py", "flags become values"),),
        (
            ("hwgen/pe", "parameters, formulas,\narithmetic, logic of a family"),
            ("hwgen/frame", "what every tile has"),
        ),
        (("hwgen/frame/assembly.py", "rows, columns, cells,\npost lanes"),),
        (("hwgen/emit/_rtlil.py", "each block once"), ("hwgen/emit/_manifest.py", "what drives it")),
        (("hwgen/emit/_emit.py", "Verilog"),),
        (("hwgen/verify", "equal to the reference\nin every beat"),),
    ),
    "a point, from a space to the front": (
        (("dse/space.py", "values of every parameter,\nas arrays"),),
        (("hwgen/frame/legality.py", "which go together"),),
        (("hwgen/schedule.py", "cycles, closed form"), ("hwgen/frame/inventory.py", "blocks and primitives")),
        (("sim/tech", "what a block costs"), ("sim/memory", "what a buffer costs")),
        (("sim/estimate.py", "latency, energy, area"),),
        (("dse/sweep.py", "rows, kept and resumed"),),
        (("dse/pareto.py", "the front"), ("reports/plot.py", "shown")),
    ),
}
"""Title → steps from left to right; the boxes of a step stand above each other."""

_WIDTH, _HEIGHT, _GAP = 2.5, 0.72, 0.45


def figure() -> Figure:
    """Both ways, one above the other. Raises `HwgenError` for a box that names nothing."""
    longest = max(len(steps) for steps in WAYS.values())
    drawn = Figure(figsize=(longest * (_WIDTH + _GAP) * 0.62, 4.6), layout="constrained")
    axes: Axes = drawn.add_subplot()
    axes.set_axis_off()
    for number, (title, steps) in enumerate(WAYS.items()):
        _way(axes, title, steps, -3.4 * number, COLOURS[number])
    axes.set_xlim(-0.2, longest * (_WIDTH + _GAP))
    axes.set_ylim(-4.9, 1.9)
    return drawn


def _way(axes: Axes, title: str, steps: tuple[tuple[Box, ...], ...], middle: float, colour: str) -> None:
    axes.text(0, middle + 1.45, title, fontsize=11, fontweight="bold", color=colour)
    for index, boxes in enumerate(steps):
        left = index * (_WIDTH + _GAP)
        for place, (path, what) in enumerate(boxes):
            if not (ROOT / path).exists():
                raise HwgenError(f"layout: {path} must be a file or folder of the project, which it is not")
            bottom = middle + (len(boxes) - 1 - 2 * place) * 0.62 - _HEIGHT / 2
            axes.add_patch(
                FancyBboxPatch(
                    (left, bottom),
                    _WIDTH,
                    _HEIGHT,
                    "round,pad=0.05",
                    facecolor="white",
                    edgecolor=colour,
                    linewidth=1.2,
                )
            )
            axes.text(
                left + _WIDTH / 2, bottom + 0.55, path, fontsize=7.5, ha="center", va="center", family="monospace"
            )
            axes.text(left + _WIDTH / 2, bottom + 0.22, what, fontsize=7, ha="center", va="center", color="#555555")
        if index + 1 < len(steps):
            axes.annotate(
                "",
                (left + _WIDTH + _GAP - 0.05, middle),
                (left + _WIDTH + 0.06, middle),
                arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.4},
            )


def main() -> None:
    """Write the picture."""
    write_all([file for file in render(figure(), PICTURE) if file[0] == PICTURE], "layout")


if __name__ == "__main__":
    without_options(main, __doc__)
