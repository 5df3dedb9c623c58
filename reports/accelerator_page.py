"""What docs/accelerator.md takes from the code: the block diagram, the streams of an example, the register map.

``python -m reports.accelerator_page`` writes the picture and the parts of the page between its marks.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from hwgen.accelerator import Design, emit_accelerator
from hwgen.accelerator.registers import accelerator_map, markdown
from hwgen.files import write_all
from hwgen.pe import family
from hwgen.provenance import ROOT
from hwgen.verify import accelerator_bench_files
from reports.command_line import without_options
from reports.plot import COLOURS, render

__all__ = ["PAGE", "PICTURE", "example", "figure", "main", "page"]

PAGE, PICTURE = ROOT / "docs" / "accelerator.md", ROOT / "docs" / "accelerator.svg"

_STREAM_WORDS = {
    "weights": "weights of a step",
    "weight_sides": "scales, zeros of a group",
    "acts": "activations of a step",
    "act_sides": "scales of a group",
    "channels": "bias, scale of channels",
}
_HEIGHT = 0.72


def example() -> Design:
    """The design that the page shows: every stream is there."""
    tile = family("mixpe").from_values({"m": 4, "n": 16, "k": 8, "bits": 4, "group": 64, "post_lanes": 4})
    return Design(tile=tile, bus_bits=256, weight_ring=512, act_ring=256, result="fp16", bias=True)


def _box(axes: Axes, x: float, y: float, width: float, title: str, words: str, colour: str) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x, y - _HEIGHT / 2),
            width,
            _HEIGHT,
            boxstyle="round,pad=0.02,rounding_size=0.08",
            facecolor=colour,
            edgecolor="#404040",
            linewidth=0.9,
            alpha=0.32,
        )
    )
    axes.text(x + width / 2, y + 0.13, title, ha="center", va="center", fontsize=8.5, weight="bold")
    axes.text(x + width / 2, y - 0.17, words, ha="center", va="center", fontsize=7.2)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], words: str = "") -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color="#404040", linewidth=0.9))
    if words:
        # Beside arrows that go up, above all others.
        right, up = (0.22, -0.05) if start[0] == end[0] else (0, 0.12)
        axes.text((start[0] + end[0]) / 2 + right, (start[1] + end[1]) / 2 + up, words, ha="center", fontsize=6.6)


def figure(design: Design) -> Figure:
    """The parts of an accelerator with the sizes of a design, from memory to memory."""
    drawn = Figure(figsize=(13.2, 5.6), layout="constrained")
    axes: Axes = drawn.add_subplot()
    axes.set_axis_off()
    streams = list(design.streams.values())
    rows = {stream.name: -1.05 * place for place, stream in enumerate(streams)}
    middle = (rows["weights"] + rows["act_sides" if "act_sides" in rows else "acts"]) / 2
    tile = design.tile
    _box(axes, 0, middle, 1.5, "read address", "one burst a cycle", COLOURS[0])
    for stream in streams:
        y = rows[stream.name]
        _box(axes, 2.2, y, 1.9, "read engine", f"bursts to {stream.burst}, {design.outstanding} in flight", COLOURS[0])
        _box(
            axes,
            4.9,
            y,
            2.0,
            f"{stream.name.replace('_', ' ')} ring",
            f"{stream.depth} × {stream.entry_bits} bits",
            COLOURS[1],
        )
        _arrow(axes, (1.5, middle), (2.2, y))
        _arrow(axes, (4.1, y), (4.9, y), f"{design.bus_bits}")
        axes.text(5.9, y - 0.49, _STREAM_WORDS[stream.name], ha="center", fontsize=6.6, style="italic")
    for name in ("weights", "acts"):
        y = (rows[name] + rows.get(f"{name[:-1]}_sides", rows[name])) / 2
        _box(axes, 7.6, y, 1.3, "feeder", "first, last, done", COLOURS[2])
        for part in (name, f"{name[:-1]}_sides"):
            if part in rows:
                _arrow(axes, (6.9, rows[part]), (7.6, y), f"{design.streams[part].bits}")
        _arrow(axes, (8.9, y), (9.5, middle))
    _box(axes, 9.5, middle, 1.9, f"{tile.family} tile", f"{tile.m} × {tile.n} cells, K = {tile.k}; streams", COLOURS[3])
    _box(axes, 12.0, middle, 1.5, "result unit", f"{design.result}{', bias' * design.bias}", COLOURS[4])
    _arrow(axes, (11.4, middle), (12.0, middle), f"{design.tile_result_bits}")
    if "channels" in rows:
        _arrow(axes, (6.9, rows["channels"]), (12.75, middle - _HEIGHT / 2), f"{design.streams['channels'].bits}")
    _box(
        axes, 12.0, rows["weights"], 1.5, "packer, buffer", f"{design.write_depth} × {design.bus_bits} bits", COLOURS[1]
    )
    _arrow(axes, (12.75, middle + _HEIGHT / 2), (12.75, rows["weights"] - _HEIGHT / 2), f"{design.result_bits}")
    _box(
        axes,
        9.5,
        rows["weights"] + 1.1,
        4.0,
        "write engine",
        f"bursts to {design.burst}, {design.outstanding} in flight",
        COLOURS[0],
    )
    _arrow(axes, (12.75, rows["weights"] + _HEIGHT / 2), (12.75, rows["weights"] + 1.1 - _HEIGHT / 2))
    _box(
        axes,
        2.2,
        1.1,
        4.7,
        "registers, two jobs",
        "what a job's counts mean for each part; counters, errors, irq",
        COLOURS[5],
    )
    _arrow(axes, (0.75, 1.1), (2.2, 1.1))
    axes.text(0.7, 1.1, "s_axi (AXI4-Lite)", ha="right", va="center", fontsize=8)
    axes.text(-0.1, middle, "m_axi\nread", ha="right", va="center", fontsize=8)
    _arrow(axes, (13.5, rows["weights"] + 1.1), (14.2, rows["weights"] + 1.1))
    axes.text(14.25, rows["weights"] + 1.1, "m_axi\nwrite", ha="left", va="center", fontsize=8)
    axes.set_xlim(-1.0, 14.9)
    axes.set_ylim(min(rows.values()) - 0.7, 1.7)
    return drawn


def _streams(design: Design) -> str:
    lines = [
        "| stream | id | word, bits | in memory | ring entry | entries | longest burst |",
        "|---|---|---|---|---|---|---|",
    ]
    for stream in design.streams.values():
        words, beats = stream.words_per_entry, stream.beats_per_entry
        entry = f"{words} words" if words > 1 else f"{beats} beat{'s' * (beats > 1)}"
        lines.append(
            f"| {stream.name} | {stream.index} | {stream.bits} | {stream.padded_bits} bits | {entry} | "
            f"{stream.depth} | {stream.burst} beats |"
        )
    return "\n".join(lines)


def _parameters() -> str:
    lines = ["| flag | default | what it is |", "|---|---|---|"]
    for one in Design.parameters().values():
        unit = f" {one.unit}" if one.unit else ""
        lines.append(f"| `{one.flag}` | {one.default}{unit} | {one.doc} |")
    return "\n".join(lines)


def _integration() -> str:
    """A small accelerator in cocotb, its registers by hand."""
    tile = family("int").from_values({"m": 2, "n": 4, "k": 4, "bits": 4, "group": 16})
    return accelerator_bench_files(emit_accelerator(Design(tile=tile), "core"))["core_cocotb.py"]


def page(text: str) -> str:
    """The page with its generated parts replaced."""
    design = example()
    parts = {
        "parameters": _parameters(),
        "streams": _streams(design),
        "integration": f"```text\n{_integration().strip()}\n```",
        "registers": markdown(accelerator_map(design.address_bits, design.count_bits)).strip(),
    }
    for name, part in parts.items():
        before, begin, rest = text.partition(f"<!-- {name}: generated -->\n")
        _, end, behind = rest.partition("<!-- end -->")
        if not end:
            raise ValueError(f"{PAGE.name}: no place for {name}")
        text = f"{before}{begin}\n{part}\n\n{end}{behind}"
    return text


def main() -> None:
    """Write the picture and the page."""
    drawn = [file for file in render(figure(example()), PICTURE) if file[0] == PICTURE]
    write_all([*drawn, (PAGE, page(PAGE.read_text(encoding="utf-8")))], "docs")


if __name__ == "__main__":
    without_options(main, __doc__)
