"""Block diagrams of tiles: row, column, cell and post, with their logic in words, primitives and bus widths."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from hwgen.frame.parameters import family_doc
from hwgen.frame.place import place_submodule
from hwgen.pe import Block, TileSpec

__all__ = ["Box", "boxes", "diagram_svg"]

_COLOURS = {
    "pre": "#F3E3C3",
    "row": "#CFE3F1",
    "col": "#F6D5C1",
    "rowsum": "#DDEBF5",
    "cell": "#D2EADF",
    "post": "#EBD9E4",
}
_COPIES = {"row": "M", "col": "N", "rowsum": "M", "cell": "M·N"}
_FRAME_WORDS = {
    "row": "hands the activation codes on",
    "col": "hands the weight codes on",
    "rowsum": "adds up the row's activations",
    "cell": "multiplies and accumulates",
}
_METHODS = {"row": "build_row", "col": "build_col", "rowsum": "build_row_sum", "cell": "build_cell"}


@dataclass(frozen=True)
class Box:
    """One block of a diagram: its kind, how many copies there are, what it does, and its primitives."""

    kind: str
    copies: str
    words: str
    primitives: str


def _first_sentence(doc: str | None) -> str:
    text = " ".join((doc or "").split())
    return text.split(". ")[0].removesuffix(".")


def logic_words(family: type[TileSpec], kind: str) -> str:
    """What a block does: the first sentence of the docstring of the family's method that builds it."""
    method = getattr(family, _METHODS[kind])
    if method is getattr(TileSpec, _METHODS[kind]):
        return _FRAME_WORDS[kind]
    return _first_sentence(method.__doc__)


def _counts(primitives: Mapping[str, Any]) -> str:
    parts = [f"{name} {int(count):,}" for name, count in sorted(primitives.items()) if int(count)]
    return " · ".join(parts) if parts else "wires only"


def _post_box(spec: TileSpec, blocks: Mapping[str, Block]) -> Box:
    total: dict[str, int] = {}
    for name, block in blocks.items():
        if name.startswith("post_"):
            for primitive, count in block.primitives.items():
                total[primitive] = total.get(primitive, 0) + int(count) * int(block.count)
    lanes: Any = spec.post_block(place_submodule)
    # Only asked what it is: tell Amaranth that it need not be elaborated.
    lanes._MustUse__used = True
    kind = type(lanes)
    doc = family_doc(kind) if spec.scales_by_lanes else kind.__doc__
    return Box("post", f"{spec.lanes} lanes", _first_sentence(doc), _counts(total))


def boxes(spec: TileSpec) -> dict[str, Box]:
    """Blocks of a tile by kind, from its inventory."""
    found = type(spec).blocks(spec.p)
    result = {}
    for kind, letter in _COPIES.items():
        if kind in found:
            copies = f"{letter} = {int(found[kind].count)}"
            result[kind] = Box(kind, copies, logic_words(type(spec), kind), _counts(found[kind].primitives))
    pre = spec.pre()
    if pre is not None:
        row = found["pre_row"]
        result["pre"] = Box("pre", f"{int(row.count)} rows", pre.summary, _counts(row.primitives))
    if spec.lanes:
        result["post"] = _post_box(spec, found)
    return result


def _draw_box(axes: Axes, box: Box, x: float, y: float, width: float, height: float) -> None:
    if box.kind == "cell":
        for shift in (0.12, 0.06):
            axes.add_patch(_patch(x + shift, y - shift, width, height, _COLOURS["cell"]))
    axes.add_patch(_patch(x, y, width, height, _COLOURS[box.kind]))
    axes.text(x + 0.08, y + height - 0.1, f"{box.kind}  × {box.copies}", va="top", fontsize=10, weight="bold")
    wrapped = textwrap.wrap(box.words, int(width * 14.5))[:6]
    axes.text(x + 0.08, y + height - 0.36, "\n".join(wrapped), va="top", fontsize=8.5, linespacing=1.25)
    counts = textwrap.wrap(box.primitives, int(width * 16))[:3]
    axes.text(x + 0.08, y + 0.08, "\n".join(counts), va="bottom", fontsize=7.5, color="#444444", linespacing=1.2)


def _patch(x: float, y: float, width: float, height: float, colour: str) -> FancyBboxPatch:
    corner = "round,pad=0,rounding_size=0.07"
    return FancyBboxPatch((x, y), width, height, boxstyle=corner, facecolor=colour, edgecolor="#333333", linewidth=1)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], label: str) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "#333333", "linewidth": 1.2})
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    if start[0] == end[0]:
        axes.text(middle[0] + 0.08, middle[1], label, va="center", fontsize=8)
    else:
        axes.text(middle[0], middle[1] + 0.07, label, ha="center", va="bottom", fontsize=8)


def diagram_svg(spec: TileSpec) -> str:
    """SVG text of a tile's block diagram; the same for the same tile and versions."""
    found = boxes(spec)
    p = spec.p
    acts, act_bits = (int(value) for value in spec.act_port(p))
    weights, weight_bits = (int(value) for value in spec.weight_port(p))
    with matplotlib.rc_context({"svg.hashsalt": "hwgen", "svg.fonttype": "none", "font.family": "DejaVu Sans"}):
        bottom = 0.0 if "rowsum" in found else 1.2
        figure = Figure(figsize=(13, 5.4 - bottom))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, 13)
        axes.set_ylim(bottom, 5.4)
        axes.axis("off")
        width, height = 2.75, 1.75
        row_x, cell_x, post_x = 2.05 if "pre" not in found else 3.55, 6.35, 10.0
        if "pre" in found:
            _draw_box(axes, found["pre"], 0.55, 1.45, 2.35, height)
            _arrow(axes, (0.05, 2.3), (0.55, 2.3), "")
            axes.text(0.08, 2.42, "acts", fontsize=8)
            _arrow(axes, (2.9, 2.3), (row_x, 2.3), "")
            axes.text(2.93, 1.28, f"{acts} × {act_bits} bit a row", fontsize=8)
        else:
            _arrow(axes, (0.6, 2.3), (row_x, 2.3), f"{acts} × {act_bits} bit a row")
            axes.text(0.6, 2.12, "activations", fontsize=8, va="top")
        row_width = width if "pre" not in found else 2.25
        _draw_box(axes, found["row"], row_x, 1.45, row_width, height)
        _arrow(axes, (row_x + row_width, 2.3), (cell_x, 2.3), f"{int(spec.row_bus_bits(p)):,} bit")
        _draw_box(axes, found["col"], cell_x, 3.55, width, 1.55)
        _arrow(axes, (cell_x + 1.4, 5.38), (cell_x + 1.4, 5.1), "")
        axes.text(cell_x + 1.5, 5.2, f"weights, {weights} × {weight_bits} bit a column", fontsize=8, va="bottom")
        _arrow(axes, (cell_x + 1.4, 3.55), (cell_x + 1.4, 1.45 + height), f"{int(spec.col_bus_bits(p)):,} bit")
        _draw_box(axes, found["cell"], cell_x, 1.45, width, height)
        per_cell = int(spec.sums_of_cell(p))
        label = f"{per_cell} × {int(spec.acc_bits(p)):,} bit"
        _arrow(axes, (cell_x + width + 0.12, 2.3), (post_x, 2.3), label)
        if "post" in found:
            _draw_box(axes, found["post"], post_x, 1.45, 2.4, height)
            _arrow(axes, (post_x + 2.4, 2.3), (12.95, 2.3), "FP32")
        else:
            axes.text(post_x + 0.08, 2.3, f"raw {spec.sum_meaning}", va="center", fontsize=9)
        if "rowsum" in found:
            _draw_box(axes, found["rowsum"], row_x, 0.08, row_width, 1.05)
            _arrow(axes, (row_x + 0.9, 1.45), (row_x + 0.9, 1.13), "")
            end = (post_x + 0.6, 1.45 if "post" in found else 2.1)
            axes.plot([row_x + row_width, end[0]], [0.6, 0.6], color="#333333", linewidth=1.2)
            _arrow(axes, (end[0], 0.6), end, f"{int(spec.row_sum_bits(p))} bit a row")
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()
