"""``python -m reports.held_out_wide``: the cost model on tiles over the whole legal space, none of them calibrated.

The tiles and what was measured on them are committed (``held_out_wide_tiles.json``), so that the page follows a change
of the model or of a table at once; ``--measure`` measures the same tiles again, or those that are drawn of the families
that ``--pe`` names.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib.figure import Figure

from hwgen.files import write_atomic
from hwgen.pe import TileSpec, families, family
from hwgen.synth import read_library
from reports.held_out import label, step_pj
from reports.plot import MARKERS, colours_of
from reports.provenance import provenance, write_result
from sim.calibrate.measure import measure_all
from sim.calibrate.wide import wide_tiles
from sim.tech import load
from sim.tech._calibrated import QUANTITIES, CalibratedTech, fitted_family, tile_step, tile_values

__all__ = ["BOUNDS", "Tried", "draw", "main", "page", "tried"]

RESULT = Path("reports/results/held_out_wide.md")
TILES = Path("reports/results/held_out_wide_tiles.json")

BOUNDS: Mapping[str, tuple[float, float]] = {"area": (0.03, 0.15), "energy": (0.06, 0.25), "period": (0.08, 0.25)}
"""Wanted of tiles that are not marked: median and largest absolute error by quantity."""
SETS = ("development", "blind")


@dataclass(frozen=True)
class Tried:
    """One tile: the model's relative errors by quantity, what of it lies outside of all that was measured."""

    spec: TileSpec
    part: str
    cells: int
    errors: Mapping[str, float]
    outside: tuple[str, ...]


def tried(tech: CalibratedTech, rows: Sequence[Mapping[str, Any]]) -> list[Tried]:
    """The model against measured tiles."""
    found = []
    for row in rows:
        spec = family(row["family"])(**row["tile"])
        fitted = fitted_family(tech.toml, spec.family)
        model = tile_step(spec, tile_values(type(spec), spec.p, fitted))
        errors = {
            "area": model["area_um2"] / row["area_um2"] - 1,
            "energy": step_pj(model, spec) / step_pj(row, spec) - 1,
            "period": model["min_clk_period_ns"] / row["min_clk_period_ns"] - 1,
        }
        outside = tuple(str(one) for one in fitted.known.outside(type(spec), spec.p))
        found.append(Tried(spec, row["set"], row["cells"], errors, outside))
    return found


def _table(rows: Sequence[Tried]) -> str:
    lines = [
        "| family | tiles | marked | area median / max | energy median / max | period median / max |",
        "|---|---|---|---|---|---|",
    ]
    groups = [(name, [row for row in rows if row.spec.family == name]) for name in sorted(families())]
    for name, group in [*groups, ("all", list(rows))]:
        inside = [row for row in group if not row.outside]
        cells = []
        for quantity in BOUNDS:
            errors = np.abs([row.errors[quantity] for row in inside])
            cells.append(f"{np.median(errors):.1%} / {errors.max():.1%}" if inside else "–")
        if group:
            lines.append(f"| {name} | {len(group)} | {len(group) - len(inside)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdicts(rows: Sequence[Tried]) -> list[str]:
    """One sentence a quantity: whether the bounds are met on the tiles that are not marked, and who is above them."""
    inside = [row for row in rows if not row.outside]
    lines = []
    for quantity, (median, largest) in BOUNDS.items():
        errors = np.abs([row.errors[quantity] for row in inside])
        above = [row for row in inside if abs(row.errors[quantity]) > largest]
        names = ", ".join(sorted({row.spec.family for row in above}))
        met = "met" if np.median(errors) <= median else "not met"
        most = "met" if not above else f"not met by {len(above)} of {len(inside)} tiles ({names})"
        lines.append(
            f"* {quantity}: median {np.median(errors):.1%} (bound {median:.0%}): {met}; largest {errors.max():.1%} "
            f"(bound {largest:.0%}): {most}.{_behind(inside, quantity, median)}"
        )
    return lines


def _behind(rows: Sequence[Tried], quantity: str, median: float) -> str:
    """Families whose own median is above the bound, in words."""
    own = {
        name: float(np.median([abs(row.errors[quantity]) for row in rows if row.spec.family == name]))
        for name in sorted({row.spec.family for row in rows})
    }
    above = [f"{name} {value:.1%}" for name, value in own.items() if value > median]
    return f" By itself the median is above it for {', '.join(above)}." if above else ""


def page(results: Mapping[str, Sequence[Tried]], shares: Mapping[str, Mapping[str, Any]]) -> str:
    """Text of the result page."""
    legal = ", ".join(f"{name} {share['legal']:.1%}" for name, share in sorted(shares.items()))
    small, large = ([share["small_and_large"][which] for share in shares.values()] for which in (0, 1))
    parts = [
        "Whole tiles over the whole legal space, mapped and sized in one piece, none of which is in a calibration. "
        "Families share them about equally; names and ranges of at most 64 values are drawn uniformly, longer ranges "
        "(shape, k, group, depth) uniformly in their logarithm, combinations that a family refuses again, and tiles "
        f"too large to be measured in one piece too (`sim.calibrate.wide`). Legal at the first draw: {legal}. "
        f"Size is what bounds this page: of the legal draws {min(small):.1%} to {max(small):.1%} a family have up to "
        f"12,000 gate equivalents, {min(large):.1%} to {max(large):.1%} up to 48,000; larger ones have the same "
        "blocks more often. Tiles "
        "that a later rule refuses are left out: groups that saturate or wrap beside a correction for zero points.",
        "Error: model over measurement − 1; energy is that of a step with its clock. *Marked* tiles lie outside of all "
        "that was measured, in a width or a parameter, and `estimate` and `sweep` say so (`extrapolated`): the tables "
        "count them and leave them out. The *development* tiles were looked at while features were chosen, *blind* "
        "ones once, after features and plan were settled; five tiles of bitmod with k from 8 to 16 joined the "
        "calibration later, and the number of lanes left the features, both for other reasons than these tiles. Tiles "
        "of families that came after the model was settled are blind.",
        "In the last round nobody was blind: the errors of all tiles were on this page. What it brought was found by "
        "leaving calibration blocks out, and kept where that got better: registers and FP32 adders on a path, enables, "
        "codes that are zero, one path through front-end and cell only up to the first cut. Two things were noticed "
        "here: that the calibration had one tile with entry rule max127 (it now has six of each name), and that "
        "entries of lut's plain tables, and of int4 as bytes, were wider on the row bus than their sums, which the "
        "hardware has changed. No coefficient was fitted to these tiles.",
        f"![Model against measurement]({RESULT.stem}.png)",
    ]
    for name, rows in results.items():
        parts.append(f"## {name}")
        if name == "sky130hd":
            for part in SETS:
                parts += [f"{part.capitalize()}:", _table([row for row in rows if row.part == part])]
            parts.append("All:")
        else:
            parts.append("This table is scaled from that of sky130hd by some measured tiles.")
        parts += [_table(rows), "\n".join(verdicts(rows))]
    parts += [
        "## Every tile of sky130hd",
        "| tile | set | parameters | cells | area | energy | period | extrapolated |",
    ]
    lines = ["|---|---|---|---|---|---|---|---|"]
    for row in results["sky130hd"]:
        errors = " | ".join(f"{row.errors[quantity]:+.1%}" for quantity in BOUNDS)
        about = f"{row.spec.family} | {row.part} | {label(row.spec)} | {row.cells:,}"
        lines.append(f"| {about} | {errors} | {'; '.join(row.outside)} |")
    parts[-1] += "\n" + "\n".join(lines)
    return "\n\n".join(parts)


def figure(rows: Sequence[Tried], title: str) -> bytes:
    """Errors of every tile by its size, a panel a quantity, families by colour, marked tiles hollow; PNG."""
    drawing = Figure(figsize=(12, 4.2), layout="constrained")
    names = sorted({row.spec.family for row in rows})
    colours = colours_of(len(names))
    panels = drawing.subplots(1, 3)
    for axes, (quantity, (_, largest)) in zip(panels, BOUNDS.items(), strict=True):
        axes.axhspan(-100 * largest, 100 * largest, color="#EEEEEE", zorder=0)
        axes.axhline(0, color="#777777", linewidth=0.8)
        for index, name in enumerate(names):
            for hollow in (False, True):
                some = [row for row in rows if row.spec.family == name and bool(row.outside) == hollow]
                axes.scatter(
                    [row.cells for row in some],
                    [100 * row.errors[quantity] for row in some],
                    s=26,
                    marker=MARKERS[index % len(MARKERS)],
                    facecolors="none" if hollow else colours[index],
                    edgecolors=colours[index],
                    label=None if hollow else name,
                )
        axes.set_xscale("log")
        axes.set_xlabel("cells of the tile")
        axes.set_ylabel(f"error of the {quantity} [%]")
    drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    drawing.suptitle(f"{title}: model over measurement; grey: the bound, hollow: marked as extrapolated", fontsize=10)
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def draw(shares: dict[str, Any], name: str, count: int) -> list[dict[str, Any]]:
    """Rows of tiles of a family, nothing measured yet; ``shares`` learns how much of its space is legal and small."""
    found = wide_tiles(name, count)
    shares[name] = {"legal": found.legal, "small_and_large": list(found.fitting)}
    tiles = (*found.development, *found.blind)
    return [{"set": SETS[1], "family": name, "tile": dict(spec.p)} for spec in tiles]


@click.command()
@click.option("--measure", type=(str, click.Path(path_type=Path)), multiple=True, help="technology and a Liberty file")
@click.option("--pe", multiple=True, help="draw tiles of these families, measure them alone, keep those of others")
@click.option("--tiles", type=int, default=16, show_default=True, help="tiles to draw of each family, with --pe")
@click.option("--jobs", type=int, default=1, show_default=True, help="tiles at a time")
def main(measure: Sequence[tuple[str, Path]], pe: Sequence[str], tiles: int, jobs: int) -> None:
    """Write the page, from the committed measurements or new ones."""
    stored = json.loads(TILES.read_text())
    drawn = [row for one in pe for row in draw(stored["shares"], family(one).family, tiles)]
    for name in dict.fromkeys(name for name, _ in measure):
        library = read_library([file for one, file in measure if one == name])
        known = stored["libraries"].get(name, [])
        rows = [dict(row) for row in drawn] if pe else known
        wanted = [(family(row["family"])(**row["tile"]), True) for row in rows]
        for row, entry in zip(rows, measure_all(wanted, library, jobs=jobs)[0], strict=True):
            row |= {"cells": entry.cells, **{quantity: entry.values[quantity] for quantity in QUANTITIES}}
        if pe:
            stored["libraries"][name] = [*(row for row in known if row["family"] not in pe), *rows]
        write_atomic(TILES, json.dumps(stored, indent=0), "held-out tiles")
    results = {}
    for name, rows in stored["libraries"].items():
        tech = load(name)
        assert isinstance(tech, CalibratedTech)
        results[name] = tried(tech, rows)
    command = "python -m reports.held_out_wide"
    title = "The cost model over the whole legal space"
    write_result(RESULT, title, command, page(results, stored["shares"]), provenance())
    write_atomic(RESULT.with_suffix(".png"), figure(results["sky130hd"], "sky130hd"), "held_out_wide")
    click.echo(f"wrote {RESULT}")


if __name__ == "__main__":
    main()
