"""``python -m reports.mx_modes --sky130hd FILE``: what run-time modes cost a tile of block formats.

Cells and front-ends of tiles with one format beside those of tiles with several, of the same K, one mapping each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.formats import block_format, block_names
from hwgen.pe import family
from hwgen.pe.mx.parameters import MODE_SETS
from hwgen.synth import Library, SynthOptions, synthesise
from reports.families import table
from reports.silicon import clock_of, parser, write_by_library

__all__ = ["Mapped", "designs", "main", "map_design", "page"]

RESULT = Path("reports/results/mx_modes.md")
SHAPE = {"m": 1, "n": 1, "k": 4, "post_lanes": 1}
_KINDS = ("cell", "row", "col")


@dataclass(frozen=True)
class Mapped:
    """One design in one library: areas in µm² of one copy by block, and the cell's shortest clock period in ns."""

    name: str
    formats: tuple[str, ...]
    bits: int
    areas: Mapping[str, float]
    period_ns: float

    @property
    def area(self) -> float:
        """Of a cell with a row's and a column's front-end, µm²."""
        return sum(self.areas.values())


def designs() -> dict[str, dict[str, Any]]:
    """Parameters by name: each MX format alone, then each set of run-time modes."""
    alone = [name for name in block_names() if block_format(name).scheme == "mx"]
    found: dict[str, dict[str, Any]] = {name: {"weights": name, "acts": name} for name in alone}
    for name, formats in MODE_SETS.items():
        found[f"modes {name}"] = {"mode_set": name}
        if "mxint8" in formats:
            found[f"modes {name}, MXINT8 in parts"] = {"mode_set": name, "int8_products": "parts"}
    return found


def map_design(name: str, library: Library, clk_period_ns: float) -> Mapped:
    """Cell, row and column of one of `designs`, by the recipe ``plain``."""
    spec = family("mx").from_values({**SHAPE, **designs()[name]})
    result = synthesise(spec, library, SynthOptions(clk_period_ns=clk_period_ns, kinds=_KINDS, recipes=("plain",)))
    found = {block.kind: block for block in result.blocks}
    formats = tuple(mode.weights for mode in spec.modes())
    areas = {kind: found[kind].mapped.area for kind in _KINDS}
    return Mapped(name, formats, int(spec.acc_bits(spec.p)), areas, found["cell"].min_clk_period_ns)


def _rows(found: Sequence[Mapped]) -> list[list[object]]:
    alone = {one.formats[0]: one for one in found if len(one.formats) == 1}
    rows: list[list[object]] = []
    for one in found:
        parts = [alone[name] for name in one.formats]
        largest, all_of_them = max(part.area for part in parts), sum(part.area for part in parts)
        several = len(parts) > 1
        rows.append(
            [
                one.name,
                len(parts),
                one.bits,
                *(f"{one.areas[kind]:,.0f}" for kind in _KINDS),
                f"{one.period_ns:.2f}",
                f"{one.area / largest:.2f}" if several else "",
                f"{one.area / all_of_them:.2f}" if several else "",
            ]
        )
    return rows


def page(found: Mapping[str, Sequence[Mapped]], clocks: Mapping[str, float]) -> str:
    """Text of the result page, by library."""
    header = ["tile", "formats", "sum, bit", "cell, µm²", "row, µm²", "column, µm²", "cell's period, ns"]
    header += ["over its largest format", "over all its formats"]
    shape = ", ".join(f"{name} {value}" for name, value in SHAPE.items())
    parts = [
        f"Tiles of family `mx` with {shape} and no registers within blocks; pre-layout, recipe `plain` alone. Every "
        f"mode of a tile takes the same K, but MXINT8 in parts (`--int8-products parts`) a fourth of it. The last two "
        f"columns compare a cell with one row's and one column's front-end: with the largest of the tiles for one of "
        f"its formats, and with all of these side by side. Sets of modes are those of `--mode-set`; all but the narrow "
        f"ones have E5M2, whose sums are widest. A tile that mixes formats (`--mode-pairs any`) has the same cells.",
    ]
    for library, mapped in found.items():
        parts += [f"## {library}, sized for {clocks[library]:g} ns", table(header, _rows(mapped))]
    return "\n\n".join(parts)


def run(libraries: Mapping[str, Library], tell: Callable[[str], None]) -> dict[str, list[Mapped]]:
    """All designs in all libraries, one after the other."""
    found: dict[str, list[Mapped]] = {}
    for library, cells in libraries.items():
        found[library] = []
        for name in designs():
            one = map_design(name, cells, clock_of(library))
            tell(f"{library} {name}: {one.area:,.0f} um2, {one.period_ns:.2f} ns")
            found[library].append(one)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Map all designs and write the page."""
    options = parser("reports.mx_modes", "what run-time modes cost a tile of block formats").parse_args(arguments)
    write_by_library(RESULT, "Run-time modes of `mx`", "reports.mx_modes", options, run, page)


if __name__ == "__main__":
    main()
