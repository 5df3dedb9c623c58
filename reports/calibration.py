"""``python -m reports.calibration``: the calibrated tables of the package, and the errors of their fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hwgen.pe import families
from reports.command_line import without_options
from reports.families import table
from reports.provenance import provenance, write_result
from sim.tables import read_toml
from sim.tech import CalibratedTech, load, names
from sim.tech._calibrated import QUANTITIES

__all__ = ["calibrated", "left_out_rows", "main", "page", "provenance_rows"]

RESULT = Path("reports/results/calibration.md")


def calibrated() -> list[CalibratedTech]:
    """The shipped technologies that were measured."""
    return [tech for tech in map(load, names()) if isinstance(tech, CalibratedTech)]


def provenance_rows(tech: CalibratedTech) -> list[list[object]]:
    """What a table says of itself."""
    said: dict[str, Any] = read_toml(tech.toml)["calibration"]
    return [[key, f"`{value}`" if key == "command" else value] for key, value in said.items()]


def left_out_rows(tech: CalibratedTech) -> list[list[object]]:
    """By family: cells that were measured, and the median error of cells that the fit leaves out, by quantity."""
    models = read_toml(tech.toml)["models"]
    rows: list[list[object]] = []
    for name in sorted(set(families()) & set(models)):
        cell = models[name]["blocks"]["cell"]
        errors = (cell[quantity].get("left_out_median") for quantity in QUANTITIES)
        shown = ("–" if error is None else f"{error:.1%}" for error in errors)
        rows.append([name, cell["area_um2"]["measured"], *shown])
    return rows


def page() -> str:
    """Text of the result page."""
    parts = [
        "Tables of measured blocks that the cost model interpolates between; they lie in sim/tech/tables, the "
        "measurements as CSV, the regressions and their origin as TOML. The command of each, at its commit, makes it "
        "again. Below each: the median error of the cells of a family when a cell is left out of the fit. Whole tiles "
        "that no calibration measured are in [held_out.md](held_out.md).",
    ]
    for tech in calibrated():
        parts += [
            f"## {tech.name}",
            table(["", ""], provenance_rows(tech)),
            table(["family", "cells", *QUANTITIES], left_out_rows(tech)),
        ]
        if left := sorted(set(families()) - set(read_toml(tech.toml)["models"])):
            parts.append(f"Not in this table, and priced by what all other families have in common: {', '.join(left)}.")
    return "\n\n".join(parts)


@click.command()
def main() -> None:
    """Write the page."""
    facts = provenance()
    write_result(RESULT, "Calibrated tables", "python -m reports.calibration", page(), facts)
    click.echo(f"wrote {RESULT}")


if __name__ == "__main__":
    without_options(main, __doc__)
