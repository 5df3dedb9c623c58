"""``python -m reports.memory [CSV]``: what the memory tables hold, how far they err, and what node scaling does.

With the CSV file from which the SRAM table was made, its points are checked against the table and drawn into the plot.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hwgen.errors import HwgenError
from reports.families import table
from reports.plot import COLOURS, save
from reports.provenance import provenance, write_result
from sim import tech
from sim.memory import dram, dram_types, library_buffer, library_memories, library_memory, sram
from sim.memory._table import QUANTITIES, load
from sim.memory.fit import Error, Points, leave_one_out, read_points, regression
from sim.tech.scaling import METHOD, factor, nodes, nominal_volts

__all__ = ["dram_rows", "error_rows", "figure", "main", "page", "published_rows", "scaling_rows", "sram_rows"]

RESULT = Path("reports/results/memory.md")

_WIDTHS = (64, 256)
"""Widths of the two plots."""

_SHOWN = (8 << 10, 32 << 10, 256 << 10, 1 << 20, 4 << 20)
"""Capacities of the tables, in bytes."""

_SCALED_FROM = (("sky130hd", 65, 1.1), ("asap7", 45, 1.0))
"""Libraries whose node CACTI lacks, the nearest node that it and the scaling method have, and CACTI's supply there."""

_NAMES = {
    "read_pj": "energy of a read",
    "write_pj": "energy of a write",
    "leakage_mw": "leakage",
    "area_mm2": "area",
    "access_ns": "access time",
    "cycle_ns": "cycle time",
}


def _bytes(count: float) -> str:
    """A capacity for people."""
    return f"{count / 2**20:g} MiB" if count >= 2**20 else f"{count / 2**10:g} KiB"


def _check(points: Points) -> None:
    """Raise `HwgenError` unless the table holds exactly these points."""
    held = load()
    same = held.points == len(points.values) and all(
        value == float(held.at(node, ports, capacity, width)[name])
        for (node, capacity, width, ports), values in points.values.items()
        for name, value in values.items()
    )
    if not same:
        raise HwgenError(
            "memory: sim/memory/sram.toml must hold the points of the CSV file; `python -m sim.memory.fit CSV` makes it"
        )


def _panel(axes: Axes, width: int, points: Points | None) -> None:
    held = load()
    for node, colour in zip(reversed(held.nodes), COLOURS, strict=False):
        capacities = np.geomspace(held.capacities[0], held.capacities[-1], 400).round().astype(np.int64)
        energy = held.at(node, "1rw", capacities, width)["read_pj"] / width
        axes.plot(capacities, energy, color=colour, linewidth=1.2, label=f"{node} nm")
        raw = [
            (key[1], values["read_pj"] / width)
            for key, values in (points.values if points else {}).items()
            if key[0] == node and key[2:] == (width, "1rw")
        ]
        if raw:
            x, y = zip(*sorted(raw), strict=True)
            axes.scatter(x, y, s=16, color=colour, edgecolors="black", linewidths=0.4, zorder=3)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(held.capacities[::2].tolist()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _bytes(value)))
    axes.set_xlabel("capacity of the bank")
    axes.set_title(f"{width}-bit words", fontsize=10)
    axes.grid(True, which="both", color="#dddddd", linewidth=0.5)
    axes.set_axisbelow(True)


def figure(points: Points | None = None) -> Figure:
    """Read energy per bit over capacity for every node: the table as lines, the CSV file's points as dots."""
    drawn = Figure(figsize=(10.5, 4.8), layout="constrained")
    panels = drawn.subplots(1, len(_WIDTHS), sharey=True)
    for axes, width in zip(panels, _WIDTHS, strict=True):
        _panel(axes, width, points)
    panels[0].set_ylabel("read energy per bit [pJ]")
    panels[0].legend(fontsize=8, frameon=False, loc="upper left")
    dots = "; dots: CACTI's points" if points else ""
    drawn.suptitle(f"SRAM banks with one port, CACTI 7, published model, not silicon{dots}", fontsize=10)
    return drawn


def _percent(error: Error) -> str:
    return f"{error.median:.1%} / {error.p90:.1%} / {error.largest:.1%}"


def error_rows() -> list[list[object]]:
    """Errors by quantity: interpolation with a capacity left out, with a width left out, and a regression."""
    kinds = (leave_one_out(axis="capacity"), leave_one_out(axis="width"), regression())
    return [[_NAMES[name], *(_percent(kind[name]) for kind in kinds)] for name in QUANTITIES]


def sram_rows() -> list[list[object]]:
    """Banks of 64-bit words by capacity: read / write energy per bit in pJ, then leakage and area, a column a node."""
    rows: list[list[object]] = []
    for capacity in _SHOWN:
        banks = [sram(node, capacity, 64) for node in reversed(load().nodes)]
        rows.append(
            [
                _bytes(capacity),
                *(f"{bank.read_pj_per_bit:.3f} / {bank.write_pj_per_bit:.3f}" for bank in banks),
                *(f"{bank.leakage_mw:.3g} mW, {bank.area_mm2:.3g} mm²" for bank in (banks[1], banks[-1])),
            ]
        )
    return rows


def _three(value: object) -> str:
    return "none" if value is None else f"{value:.3g}"


def library_rows() -> list[list[object]]:
    """SRAM of the libraries: node, a buffer of 32 KiB of 64-bit words, status and source."""
    rows: list[list[object]] = []
    for name in library_memories():
        entry, shown = library_memory(name), library_buffer(name, 32 << 10, 64)
        rows.append(
            [
                f"`{name}`",
                f"{entry.node_nm} nm, {entry.volts:g} V",
                f"{shown.read_pj_per_bit:.3g} / {shown.write_pj_per_bit:.3g}",
                *map(_three, (shown.area_mm2, shown.cycle_ns, shown.leakage_mw)),
                entry.status,
                entry.source,
            ]
        )
    return rows


def scaled_rows() -> list[list[object]]:
    """What CACTI's nearest node that the scaling method has would say of other libraries: the same buffer, scaled."""
    rows: list[list[object]] = []
    for name, nearest_nm, volts in _SCALED_FROM:
        entry, bank, used = library_memory(name), sram(nearest_nm, 32 << 10, 64), library_buffer(name, 32 << 10, 64)
        by = factor("energy", nearest_nm, entry.node_nm, from_volts=volts, to_volts=entry.volts)
        read, write = bank.read_pj_per_bit * by, bank.write_pj_per_bit * by
        rows.append(
            [
                f"`{name}`",
                f"{nearest_nm} nm, energy × {by:.3g}",
                f"{read:.3g} / {write:.3g}",
                f"{read / used.read_pj_per_bit:.3g} / {write / used.write_pj_per_bit:.3g}",
            ]
        )
    return rows


def dram_rows() -> list[list[object]]:
    """Types of DRAM: energy per bit, range of the source, status, source, other sources."""
    rows: list[list[object]] = []
    for kind in map(dram, dram_types()):
        span = "" if kind.low is None else f"{kind.low:.3g} to {kind.high:.3g}"
        rows.append([kind.title, f"{kind.pj_per_bit:.3g}", span, kind.status, kind.source, "; ".join(kind.others)])
    return rows


def scaling_rows() -> list[list[object]]:
    """The method's factors from 45 nm to every node at nominal voltages."""
    return [
        [nm, f"{nominal_volts(nm):g}", *(f"{factor(kind, 45, nm):.3g}" for kind in ("area", "energy", "delay"))]
        for nm in nodes()
    ]


def published_rows() -> list[list[object]]:
    """Energies of the two published tables, 45 and 7 nm: their ratio, beside the method's."""
    old, new = tech.published("horowitz45"), tech.published("tpuv4i7")
    method = factor("energy", 45, 7)
    rows: list[list[object]] = []
    for name in (name for name in old.energy if name in new.energy and not name.startswith("dram")):
        before, after = old.operation_pj(name), new.operation_pj(name)
        rows.append(
            [name, before, after, f"{before / after:.1f}", f"{1 / method:.1f}", f"{after / before / method:.1f}"]
        )
    return rows


def cacti_rows() -> list[list[object]]:
    """CACTI's own step from 65 to 45 nm over all banks, beside the method's."""
    held = load()
    rows: list[list[object]] = []
    for name, kind in (("read_pj", "energy"), ("write_pj", "energy"), ("area_mm2", "area"), ("access_ns", "delay")):
        both = [(held.grid(65, ports)[name], held.grid(45, ports)[name]) for ports in ("1rw", "1r1w")]
        ratio = np.concatenate([(after / before).ravel() for before, after in both])
        low, middle, high = np.nanpercentile(ratio, (0, 50, 100))
        rows.append([_NAMES[name], f"{middle:.2f} ({low:.2f} to {high:.2f})", f"{factor(kind, 65, 45):.2f}"])
    return rows


def page(points: Points | None) -> str:
    """Text of the result page below its head."""
    held = load()
    same = ", all of them equal to those of the CSV file, which the plot shows as dots" if points else ""
    lacking = "; ".join(
        f"{node} nm {ports}, {_bytes(capacity)} of {width}-bit words"
        for node, ports in held.grids
        for capacity, width in held.lacks(node, ports)
    )
    parts: list[Any] = [
        "## SRAM",
        f"Source: {held.source}. Status: {held.status}. {held.points} banks{same}. "
        f"The CSV file (SHA-256 {held.data_sha256[:16]}…) had {held.dropped_lines} damaged line(s), left out. "
        f"No points: {lacking or 'none'}. Nodes {', '.join(map(str, held.nodes))} nm, "
        f"{_bytes(held.capacities[0])} to {_bytes(held.capacities[-1])}, words of {held.widths[0]} to "
        f"{held.widths[-1]} bits, at least {held.fewest_words} of them; 1rw: one port, 1r1w: one to read and one to "
        f"write. At those points the table is CACTI's number. Between them logarithms are interpolated.",
        "![Read energy per bit over capacity](memory.png)",
        "### Error of interpolation",
        "Relative error, median / 9 in 10 below / largest. Left out: the table forgets one capacity (or width) and "
        "interpolates over a gap twice as wide as its own; between points it should err less. Regression: a quadratic "
        "in log capacity and log width for each node and ports, at points left out of the fit, only to compare. Cycle "
        "times jump with the organisation that CACTI chooses: between points they are a rough guide.",
        table(["", "a capacity left out", "a width left out", "regression (not used)"], error_rows()),
        "### Banks of 64-bit words, one port",
        "Read / write energy per bit in pJ; leakage and area of the bank.",
        table(
            [
                "capacity",
                *(f"{node} nm" for node in reversed(held.nodes)),
                *(f"{node} nm: leakage, area" for node in (held.nodes[-2], held.nodes[0])),
            ],
            sram_rows(),
        ),
        "## Which SRAM goes with which library",
        "Each from one source of its own node, nothing scaled. Energies in pJ per bit (read / write), area in mm², "
        "cycle in ns, leakage in mW: 32 KiB of 64-bit words.",
        table(["library", "node", "energy", "area", "cycle", "leakage", "status", "source"], library_rows()),
        "CACTI's one bank of that size, scaled by the method below, would say otherwise. Not used: a buffer of small "
        "macros works in two of them at a time, and the method was made for logic.",
        table(["library", "CACTI scaled from", "energy", "times what is used"], scaled_rows()),
        "## DRAM",
        "pJ per bit moved. Sources count differently; types compare only within a source.",
        table(["type", "pJ per bit", "range", "status", "source", "other sources, not used"], dram_rows()),
        "## Node scaling",
        f"One method, only where it is called: {METHOD}. Factors from 45 nm, at nominal voltages.",
        table(["node [nm]", "V", "area", "energy", "delay"], scaling_rows()),
        "### Against published energies",
        "45 nm: Horowitz, ISSCC 2014; 7 nm: Jouppi et al., ISCA 2021, Table 2. The method and these tables are never "
        "mixed.",
        table(
            ["operation", "45 nm [pJ]", "7 nm [pJ]", "ratio", "ratio of the method", "disagreement"], published_rows()
        ),
        "### Against CACTI",
        "The one step that both make, 65 to 45 nm: median over all banks (smallest to largest).",
        table(["", "CACTI", "method"], cacti_rows()),
    ]
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page and its plot; a mistake is told in a sentence, with exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m reports.memory", description="Write reports/results/memory.md.")
    parser.add_argument("csv", type=Path, nargs="?", help="the points from which the SRAM table was made")
    options = parser.parse_args(arguments)
    # Before any file of the tree is written, which would make it dirty.
    facts = provenance()
    try:
        points = read_points(options.csv) if options.csv else None
        if points:
            _check(points)
        save(figure(points), RESULT.with_suffix(".png"))
        command = f"python -m reports.memory{' CSV' if points else ''}"
        write_result(RESULT, "Memory costs and node scaling", command, page(points), facts)
    except HwgenError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
