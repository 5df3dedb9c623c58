"""``python -m reports.held_out``: the cost model against tiles that no calibration measured.

What was measured on them is committed (``held_out.json``), so that the page follows a change of the model or of a table
at once; with Liberty files the tiles of their technology are measured again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from hwgen.pe import TileSpec, families, family
from hwgen.synth import RECIPES, Library, SynthOptions, read_library, synthesise
from reports.provenance import provenance, write_result
from sim.calibrate.measure import RECIPES as MEASURED_WITH
from sim.calibrate.measure import TARGET_NS, measure_all
from sim.calibrate.plan import COUNTS_ALONE, held_out_tiles
from sim.tech import load
from sim.tech._calibrated import CalibratedTech, Measured, fitted_family, parse_row, tile_step, tile_values

__all__ = ["BOUNDS", "Checked", "checked", "label", "main", "merged", "new_value", "noise_floor", "page", "step_pj"]

RESULT = Path("reports/results/held_out.md")
MEASURED = RESULT.with_suffix(".json")

BOUNDS: Mapping[str, tuple[float, float]] = {"area": (0.05, 0.15), "energy": (0.10, 0.25), "period": (0.10, 0.25)}
"""Wanted: median and largest absolute error by quantity."""

_NOISE_RECIPES = tuple(RECIPES)[:4]
_NOISE_TARGETS_NS = (TARGET_NS,)


@dataclass(frozen=True)
class Checked:
    """One held-out tile: relative errors of the model by quantity, and whether a parameter has a value that no
    calibration tile has.
    """

    spec: TileSpec
    cells: int
    new_value: bool
    errors: Mapping[str, float]


def step_pj(values: Mapping[str, float | None], spec: TileSpec) -> float:
    """Energy of a step at the tile's own rate, without leakage (which is below a thousandth)."""
    return float(values["active_pj"] or 0) + float(values["clock_pj"] or 0) * float(spec.layer_cycles(spec.p))


def checked(tech: CalibratedTech, measured: Sequence[Measured], calibrated: Sequence[TileSpec]) -> list[Checked]:
    """The model's errors on measured whole tiles."""
    found = []
    for entry in measured:
        spec = entry.spec
        model = tile_step(spec, tile_values(type(spec), spec.p, fitted_family(tech.toml, spec.family)))
        area, period = entry.values["area_um2"], entry.values["min_clk_period_ns"]
        assert area is not None
        assert period is not None
        errors = {
            "area": model["area_um2"] / area - 1,
            "energy": step_pj(model, spec) / step_pj(entry.values, spec) - 1,
            "period": model["min_clk_period_ns"] / period - 1,
        }
        found.append(Checked(spec, entry.cells, new_value(spec, calibrated), errors))
    return found


def new_value(spec: TileSpec, calibrated: Sequence[TileSpec]) -> bool:
    """Whether a parameter, the tile's shape, group and lanes apart, has a value that no calibrated tile has."""
    mates = [one for one in calibrated if one.family == spec.family]
    return any(
        getattr(spec, name) not in {getattr(one, name) for one in mates}
        for name in spec.parameters()
        if name not in COUNTS_ALONE and name != "group"
    )


def noise_floor(
    specs: Sequence[TileSpec], library: Library, jobs: int, progress: Callable[[int, int], None]
) -> list[dict[str, Any]]:
    """Areas and periods of whole tiles by recipe: what mapping alone scatters."""
    rows = []
    for index, spec in enumerate(specs):
        tries = {}
        for recipe in (*_NOISE_RECIPES, "longer target"):
            name, target = (recipe, TARGET_NS) if recipe in RECIPES else (_NOISE_RECIPES[0], 1.0)
            result = synthesise(
                spec, library, options=SynthOptions(clk_period_ns=target, only_flat=True, recipes=[name], jobs=jobs)
            )
            assert result.flat is not None
            tries[recipe] = (result.flat.area, result.flat.min_clk_period_ns)
        areas, periods = (np.array([value[i] for value in tries.values()]) for i in (0, 1))
        rows.append(
            {
                "tile": label(spec),
                "area": (areas / areas.min() - 1).tolist(),
                "period": (periods / periods.min() - 1).tolist(),
            }
        )
        progress(index + 1, len(specs))
    return rows


def label(spec: TileSpec) -> str:
    """The parameters of a tile that differ from their defaults."""
    known = spec.parameters()
    return " ".join(f"{name}={value}" for name, value in spec.p.items() if value != known[name].default) or "defaults"


def summary(rows: Sequence[Checked]) -> list[str]:
    """Medians and largest errors by family and in all, as a Markdown table."""
    lines = [
        "| family | tiles | area median / max | energy median / max | period median / max |",
        "|---|---|---|---|---|",
    ]
    groups = [(name, [row for row in rows if row.spec.family == name]) for name in sorted(families())]
    for name, group in [*groups, ("all", list(rows))]:
        if group:
            cells = []
            for quantity in BOUNDS:
                errors = np.abs([row.errors[quantity] for row in group])
                cells.append(f"{np.median(errors):.1%} / {errors.max():.1%}")
            lines.append(f"| {name} | {len(group)} | " + " | ".join(cells) + " |")
    return lines


def verdicts(rows: Sequence[Checked]) -> list[str]:
    """One sentence a quantity: whether the bounds are met."""
    lines = []
    for quantity, (median, largest) in BOUNDS.items():
        errors = np.abs([row.errors[quantity] for row in rows])
        met = np.median(errors) <= median and errors.max() <= largest
        over = int((errors > largest).sum())
        lines.append(
            f"* {quantity}: median {np.median(errors):.1%} (bound {median:.0%}), max {errors.max():.1%} (bound "
            f"{largest:.0%}): {'met' if met else f'not met, {over} tiles above the bound'}."
        )
    return lines


def page(sections: Sequence[tuple[str, Sequence[Checked], Sequence[dict[str, Any]]]]) -> str:
    """Text of the result page."""
    parts = [
        "Whole tiles, flattened, mapped and sized in one piece, that no calibration measured: drawn at random over all "
        "families, any legal value between the sweep values. Both sides: the smallest of "
        f"{', '.join(MEASURED_WITH)}, ABC's timer, pre-layout, operands from layers of a real model. Error: model over "
        "measurement - 1. Energy is that of a step with its clock.",
    ]
    for name, rows, noise in sections:
        new = sum(row.new_value for row in rows)
        parts += [
            f"## {name}",
            f"{len(rows)} tiles of {min(r.cells for r in rows):,} to {max(r.cells for r in rows):,} cells; {new} of "
            "them have a parameter value that is in no calibration tile (tile shape and lanes not counted).",
            "\n".join(summary(rows)),
            "\n".join(verdicts(rows)),
        ]
        if noise:
            areas = np.concatenate([row["area"] for row in noise])
            periods = np.concatenate([row["period"] for row in noise])
            parts.append(
                f"Noise floor: {len(noise)} of these tiles by {len(_NOISE_RECIPES) + 1} recipes "
                f"({', '.join(_NOISE_RECIPES)}; the first with a target of 1 ns): area above the smallest, median "
                f"{np.median(areas):.1%}, max {areas.max():.1%}; period above the shortest, median "
                f"{np.median(periods):.1%}, max {periods.max():.1%}."
            )
        parts.append(
            "\n".join(
                ["| tile | parameters | cells | area | energy | period |", "|---|---|---|---|---|---|"]
                + [
                    f"| {row.spec.family} | {label(row.spec)} | {row.cells:,} | "
                    + " | ".join(f"{row.errors[quantity]:+.1%}" for quantity in BOUNDS)
                    + " |"
                    for row in rows
                ]
            )
        )
    return "\n\n".join(parts)


@click.command()
@click.option("--sky130hd", multiple=True, type=click.Path(path_type=Path), help="Liberty files of sky130hd")
@click.option("--asap7", multiple=True, type=click.Path(path_type=Path), help="Liberty files of ASAP7")
@click.option("--pe", multiple=True, help="measure these families alone and keep what was measured of others")
@click.option("--tiles", type=int, default=9, show_default=True, help="tiles of each family")
@click.option("--jobs", type=int, default=1, show_default=True, help="tiles at a time")
@click.option("--noise", type=int, default=0, show_default=True, help="tiles that the noise floor is measured on")
def main(
    sky130hd: tuple[Path, ...], asap7: tuple[Path, ...], pe: tuple[str, ...], tiles: int, jobs: int, noise: int
) -> None:
    """Write the page, from the committed measurements or new ones."""
    from rich.console import Console
    from rich.progress import Progress

    stored = json.loads(MEASURED.read_text()) if MEASURED.is_file() else {}
    with Progress(console=Console(stderr=True), transient=True) as bar:
        for name, files in (("sky130hd", sky130hd), ("asap7", asap7)):
            if not files:
                continue
            library = read_library(files)
            chosen_families = [family(one).family for one in pe] or sorted(families())
            specs = [spec for one in chosen_families for spec in held_out_tiles(one, tiles)]
            task = bar.add_task(f"{name}: held-out tiles", total=len(specs))
            rows, _ = measure_all(
                [(spec, True) for spec in specs],
                library,
                jobs=jobs,
                progress=lambda done, of, task=task: bar.update(task, completed=done),  # type: ignore[misc]
            )
            chosen = specs[:: max(1, len(specs) // noise)][:noise] if noise else []
            task = bar.add_task(f"{name}: noise floor", total=len(chosen))
            floor = noise_floor(
                chosen,
                library,
                jobs,
                lambda done, of, task=task: bar.update(task, completed=done),  # type: ignore[misc]
            )
            stored[name] = merged(stored.get(name), [row.row() for row in rows], floor, pe)
    MEASURED.write_text(json.dumps(stored, indent=1) + "\n")
    sections = []
    for name, entry in stored.items():
        tech = load(name)
        assert isinstance(tech, CalibratedTech)
        rows = [parse_row(row) for row in entry["tiles"]]
        sections.append((name, checked(tech, rows, calibrated_specs(tech)), entry["noise"]))
    said = ", ".join(
        f"{name} measured at commit {entry['commit']}"
        + "".join(f", {one} at {commit}" for one, commit in entry.get("later", {}).items())
        for name, entry in stored.items()
    )
    command = "python -m reports.held_out"
    title = "The cost model on tiles that it has not seen"
    write_result(RESULT, title, command, page(sections), {**provenance(), "measurements": said})
    click.echo(f"wrote {RESULT}")


def merged(
    before: Mapping[str, Any] | None, rows: list[dict[str, Any]], noise: list[dict[str, Any]], names: Sequence[str]
) -> dict[str, Any]:
    """What is stored of a technology once rows are measured: these alone, or beside those of other families than
    ``names`` where such are given. ``later`` says of these at which commit.
    """
    if not names or before is None:
        return {**provenance(), "tiles": rows, "noise": noise}
    kept = [row for row in before["tiles"] if row["family"] not in names]
    later = {**before.get("later", {}), **dict.fromkeys(names, provenance()["commit"])}
    return {**before, "later": later, "tiles": [*kept, *rows], "noise": before["noise"] + noise}


def calibrated_specs(tech: CalibratedTech) -> list[TileSpec]:
    """The tiles that a technology was calibrated on."""
    from sim.tech._calibrated import read_rows

    table = tech.toml.with_suffix(".csv")
    return list({repr(row.spec): row.spec for row in read_rows(table.read_text(), table.name)}.values())


if __name__ == "__main__":
    main()
