"""``python -m reports.constant --sky130hd FILE --asap7 FILE...``: adders, LUTs and area of matrices of constants.

Adders of random matrices beside those of da4ml's table 2, drawn as the authors draw them; a random matrix and parts of
a layer of the default model, mapped, beside an integer tile with the same multiply-accumulates a cycle.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwgen.constant import ConstantUnit, emit_constant
from hwgen.constant.cost import constant_area, constant_fpga
from hwgen.constant.csd import csd_graph
from hwgen.constant.layer import quantised_block
from hwgen.constant.shared import shared_graph
from hwgen.pe import family
from hwgen.synth import Library, SynthOptions, generic_library, synthesise
from reports.families import table
from reports.provenance import provenance, write_result
from reports.silicon import RESULT as SILICON
from reports.silicon import clock_of, command_of, libraries_of, parser

__all__ = ["PUBLISHED", "Counted", "Mapped", "counted", "main", "matrices", "page", "random_matrix"]

RESULT = SILICON.with_name("constant.md")
DRAWN = 100
"""Matrices of each size; the authors take 1,000."""
DEPTHS: Mapping[str, int | None] = {"any": None, "2 more": 2, "least": 0}
"""Adders on the longest way beyond the least, as ``--extra-levels``."""

PUBLISHED: Mapping[int, Mapping[str, tuple[float, float, float, float]]] = {
    2: {"any": (8.6, 3.3, 8.2, 4.4), "2 more": (8.7, 3.3, 8.2, 3.7), "least": (9.1, 3.1, 8.8, 3.1)},
    4: {"any": (29.2, 6.0, 27.6, 7.8), "2 more": (29.6, 5.9, 28.1, 5.7), "least": (34.3, 4.1, 32.1, 4.1)},
    6: {"any": (59.0, 8.3, 57.3, 10.0), "2 more": (62.4, 6.7, 58.2, 7.0), "least": (73.3, 5.0, 66.8, 5.0)},
    8: {"any": (98.1, 9.3, 96.3, 11.9), "2 more": (101.8, 7.0, 99.5, 7.1), "least": (124.9, 5.1, 117.2, 5.1)},
    10: {"any": (146.5, 10.8, 143.5, 13.2), "2 more": (152.2, 7.8, 146.9, 8.0), "least": (188.5, 6.0, 157.7, 6.0)},
    12: {"any": (203.5, 11.7, 200.4, 14.6), "2 more": (214.6, 8.0, 206.8, 8.0), "least": (263.5, 6.0, 241.6, 6.0)},
    14: {"any": (269.3, 12.2, 264.3, 15.5), "2 more": (278.6, 8.0, 274.8, 8.0), "least": (349.7, 6.0, 324.0, 6.0)},
    16: {"any": (343.2, 12.9, 338.3, 16.3), "2 more": (357.3, 8.0, 353.3, 8.0), "least": (446.9, 6.0, 423.2, 6.0)},
}
"""By size and depth: adders and depth of da4ml, adders and depth of Hcmvm (Aksoy et al.), which it is compared with.

Table 2 of arXiv 2507.04535, as cell 15 of ``table2.ipynb`` prints it in the authors' artefact,
github.com/calad0i/da4ml-ae.
"""


def random_matrix(rng: np.random.Generator, size: int) -> npt.NDArray[np.int64]:
    """A matrix as the artefact draws it: whole numbers from 129 to 255, which have 8 bits."""
    return np.floor(rng.random((size, size)) * 127).astype(np.int64) + 129


@dataclass(frozen=True)
class Counted:
    """Means over matrices of a size: adders and depth of da4ml's graph as ours, and adders that share nothing."""

    size: int
    depth: str
    adders: float
    levels: float
    plain: float


@functools.cache
def counted(size: int, depth: str, count: int = DRAWN) -> Counted:
    """`Counted` of ``count`` matrices, the same for every depth."""
    rng = np.random.default_rng([1, size])
    drawn = [random_matrix(rng, size) for _ in range(count)]
    graphs = [shared_graph(one, -128, 127, DEPTHS[depth]) for one in drawn]
    adders = float(np.mean([len(one.sums) for one in graphs]))
    levels = float(np.mean([one.depth for one in graphs]))
    return Counted(size, depth, adders, levels, float(np.mean([len(csd_graph(one).sums) for one in drawn])))


@dataclass(frozen=True)
class Mapped:
    """A unit, or the tile beside it: costs of its graph, LUTs of a Xilinx FPGA, area and period by library."""

    matrix: str
    method: str
    adders: int
    adder_bits: int
    latency: int
    luts: int
    areas: Mapping[str, tuple[float, float]]


def matrices() -> dict[str, tuple[npt.NDArray[np.int64], int]]:
    """Matrices that are mapped, by name, and the bits of an integer tile for them."""
    from sim.inputs import read_weights

    weights = read_weights(None, "blk.0.attn_k")
    part = slice(0, 16), slice(0, 32)
    return {
        "random, 8 x 8, 8 bits": (random_matrix(np.random.default_rng(1), 8) - 192, 8),
        "blk.0.attn_k[:16, :32], 4 bits": (quantised_block(weights, *part, 4, group=32), 4),
        "blk.0.attn_k[:16, :32], ternary": (quantised_block(weights, *part, 2, "ternary", 32), 2),
    }


def mapped(
    name: str, matrix: npt.NDArray[np.int64], bits: int, libraries: Mapping[str, Library], tell: Callable[[str], None]
) -> list[Mapped]:
    """Both methods, one recipe, and the tile that multiplies by any weights of so many bits."""
    clocks = {key: 1.0 if key == "generic" else clock_of(key) for key in libraries}
    found = []
    for method in ("shared", "csd"):
        unit = ConstantUnit.of(matrix, "int8", method)
        emission, costs = emit_constant(unit), unit.costs()
        areas = {}
        for key, library in libraries.items():
            result = constant_area(emission, library, SynthOptions(clk_period_ns=clocks[key], recipes=("plain",)))
            areas[key] = (result.area, result.min_clk_period_ns)
        luts = constant_fpga(emission, "xilinx").totals["lut"]
        found.append(Mapped(name, method, costs["adders"], costs["adder_bits"], unit.latency, luts, areas))
        tell(f"{found[-1]}")
    outputs, inputs = matrix.shape
    spec = family("int").from_values({"m": 1, "n": outputs, "k": inputs, "bits": bits, "post_lanes": 0})
    areas = {}
    for key, library in libraries.items():
        tile = synthesise(spec, library, SynthOptions(clk_period_ns=clocks[key], recipes=("plain",)))
        areas[key] = (tile.area, tile.min_clk_period_ns)
    found.append(Mapped(name, "tile", 0, 0, 0, 0, areas))
    tell(f"{found[-1]}")
    return found


def page(counts: Sequence[Counted], maps: Sequence[Mapped], units: Mapping[str, str]) -> str:
    """Text of the result page; ``units`` of areas by library."""
    rows = []
    for one in counts:
        theirs = PUBLISHED[one.size][one.depth]
        rows.append(
            [
                f"{one.size} x {one.size}",
                one.depth,
                *(f"{value:.1f}" for value in (*theirs, one.adders, one.levels, one.plain)),
                f"{one.adders / theirs[0] - 1:+.1%}",
                f"{1 - one.adders / one.plain:.0%}",
            ]
        )
    count_header = ["matrix", "depth", "da4ml adders", "depth", "Hcmvm adders", "depth", "ours", "depth", "csd adders"]
    count_header += ["ours to da4ml", "saved by sharing"]
    parts = [
        "`hwgen constant` makes a matrix-vector unit of a matrix; [constant.md](../../docs/constant.md) says how.",
        "## Random matrices, as published",
        "Table 2 of da4ml (arXiv 2507.04535): N x N whole numbers from 129 to 255, adders and adders on the longest "
        "way (depth), means. Hcmvm is the best earlier algorithm, whose numbers that table takes from its paper. "
        f"Comparable: adders are counted alike, and matrices drawn alike ({DRAWN} here, 1,000 there). Ours come from "
        "da4ml 0.6 with its defaults, which search over decompositions; the artefact turns that search off. "
        "`csd` shares nothing.",
        table(count_header, rows),
        "Not comparable: LUTs and latency of tables 3 and 4 (random matrices by HLS) and of the jet tagging networks "
        "(tables 5, 6, 10, 11) are Vivado's after HLS or place and route on a VU13P, which needs a licence; the "
        "networks' weights are Keras files of their artefact.",
        "## Mapped",
        "Inputs of 8 bits, registers behind every 3 adders, a vector a cycle; one mapping each (recipe `plain`) at the "
        "technology's default clock. LUTs are Yosys' estimate for Xilinx. The tile is family `int` of the same "
        "multiply-accumulates a cycle for weights of the same bits that are not constant: with its registers and sums, "
        "without the memory that its weights come from.",
    ]
    libraries = list(units)
    header = ["matrix", "method", "adders", "bits of adders", "latency", "LUTs"]
    header += [f"{name}, {units[name]} (period, ns)" for name in libraries]
    header += [f"of the tile, {name}" for name in libraries]
    tiles = {one.matrix: one for one in maps if one.method == "tile"}
    rows = []
    for shown in maps:
        plain = shown.method == "tile"
        counts_of = (shown.adders, shown.adder_bits, shown.latency, shown.luts)
        tile = tiles[shown.matrix]
        rows.append(
            [
                shown.matrix,
                shown.method,
                *("" if plain else f"{value:,}" for value in counts_of),
                *(f"{shown.areas[name][0]:,.0f} ({shown.areas[name][1]:.2f})" for name in libraries),
                *("" if plain else f"{shown.areas[name][0] / tile.areas[name][0]:.2f}" for name in libraries),
            ]
        )
    parts += [
        table(header, rows),
        "Sharing saves fewer LUTs and less area than adders: Yosys merges adders whose results have one use into one "
        "carry-save sum with one carry chain, and there are more of those where nothing is shared.",
    ]
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, map and write the page."""
    options = parser("reports.constant", "adders, LUTs and area of matrices of constants").parse_args(arguments)

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    given = any(getattr(options, name) for name in ("sky130hd", "asap7"))
    libraries = libraries_of(options) if given else {"generic": generic_library()}
    counts = [counted(size, depth) for size in PUBLISHED for depth in DEPTHS]
    tell(f"{len(counts)} sizes and depths counted")
    maps = [one for name, (matrix, bits) in matrices().items() for one in mapped(name, matrix, bits, libraries, tell)]
    units = {name: {"um2": "µm²", "GE": "GE"}[library.area_unit] for name, library in libraries.items()}
    command = command_of("python -m reports.constant", options)
    write_result(RESULT, "Matrices of constants", command, page(counts, maps, units), provenance())


if __name__ == "__main__":
    main()
