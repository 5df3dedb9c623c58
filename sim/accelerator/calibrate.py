"""``python -m sim.accelerator.calibrate --liberty FILE``: measure accelerators and write the table of their blocks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from hwgen.accelerator import Design
from hwgen.files import write_atomic
from hwgen.provenance import commit
from hwgen.synth import Library, SynthOptions, read_library
from hwgen.synth.accelerator import AcceleratorResult, synthesise_accelerator
from sim.accelerator.fit import fit_blocks
from sim.accelerator.measure import Sample, measure_design, samples_text
from sim.accelerator.plan import CALIBRATED, designs
from sim.accelerator.prices import MEASURED, TABLES
from sim.calibrate import tool_versions
from sim.calibrate.measure import RECIPES, TARGET_NS
from sim.tables import read_toml

__all__ = ["flat_result", "flattening", "main", "measured", "table_text"]

DESIGNS = 12
FLAT = 3
"""Designs of the calibration that are also mapped in one piece."""


def measured(
    wanted: Mapping[int, Design], library: Library, seed: int, jobs: int, progress: Callable[[str], None]
) -> list[Sample]:
    """Measurements of designs by their places among those of a seed; what is done lies in the cache."""
    samples: list[Sample] = []
    for done, (index, design) in enumerate(wanted.items(), start=1):
        samples += measure_design(design, library, 100 * seed + index, jobs=jobs)
        progress(f"{done} of {len(wanted)} designs")
    return samples


def flat_result(design: Design, library: Library, jobs: int) -> AcceleratorResult:
    """A design with its tile, block by block and in one piece, mapped as calibrations map."""
    options = SynthOptions(
        clk_period_ns=TARGET_NS, smallest=True, flat=True, recipes=RECIPES, jobs=jobs, timeout_s=1800
    )
    return synthesise_accelerator(design, library, options)


def flattening(results: Sequence[AcceleratorResult]) -> dict[str, float]:
    """What one piece makes of the sum of areas and of the longest period of blocks: median factors."""
    areas, periods = [], []
    for result in results:
        assert result.flat is not None
        areas.append(result.flat.area / sum(block.area for block in result.blocks))
        periods.append(result.flat.min_clk_period_ns / max(block.min_clk_period_ns for block in result.blocks))
    return {
        "area_um2": float(f"{np.median(areas):.4g}"),
        "min_clk_period_ns": float(f"{np.median(periods):.4g}"),
        "designs": len(results),
    }


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        # Names of terms have dots.
        pairs = (f"{json.dumps(key) if '.' in key else key} = {_inline(inner)}" for key, inner in value.items())
        return f"{{ {', '.join(pairs)} }}"
    return json.dumps(value)


def table_text(
    models: Mapping[str, Mapping[str, Any]], flat: Mapping[str, float], facts: Mapping[str, Any], name: str
) -> str:
    """The TOML file of a table."""
    lines = [
        "# Prices of the blocks around a tile, written by `python -m sim.accelerator.calibrate`; measurements: .csv.",
        "# Areas in um2, energies in pJ, leakage in uW, periods in ns. Pre-layout.",
        f'name = "{name}"',
        f"flattening = {_inline(flat)}",
        "",
        "[calibration]",
        *(f"{key} = {_inline(value)}" for key, value in facts.items()),
    ]
    for kind, quantities in models.items():
        lines += ["", f"[models.{kind}]", *(f"{quantity} = {_inline(one)}" for quantity, one in quantities.items())]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--liberty", multiple=True, required=True, type=click.Path(path_type=Path), help="Liberty file")
@click.option("--name", default=MEASURED, show_default=True, help="technology that the table belongs to")
@click.option("--count", default=DESIGNS, show_default=True, help="designs")
@click.option(
    "--flat",
    default=FLAT,
    show_default=True,
    help="designs that are also mapped in one piece; 0 keeps what the table says of them",
)
@click.option("--jobs", default=1, show_default=True, help="child processes at a time")
def main(liberty: tuple[Path, ...], name: str, count: int, flat: int, jobs: int) -> None:
    """Measure designs and write table and measurements."""
    library = read_library(liberty)
    wanted = designs(count, CALIBRATED)
    samples = measured(dict(enumerate(wanted)), library, CALIBRATED, jobs, lambda text: click.echo(text, err=True))
    pieces = [flat_result(design, library, jobs) for design in wanted[:flat]]
    factors = flattening(pieces) if pieces else read_toml(TABLES / f"{name}.toml")["flattening"]
    facts = {
        "status": "measured: mapped by Yosys and ABC, toggles counted on a job that the whole netlist runs",
        "command": " --liberty ".join(["python -m sim.accelerator.calibrate", *(path.name for path in liberty)])
        + (f" --flat {flat}" if flat != FLAT else ""),
        "commit": commit(),
        "versions": tool_versions(),
        "library_sha256": library.sha256,
        "recipes": f"smallest of {', '.join(RECIPES)}, sized for {TARGET_NS:g} ns",
        "designs": count,
        "blocks_measured": len(samples),
        "operands": "normal distribution, quantised by the tile",
    }
    TABLES.mkdir(exist_ok=True)
    write_atomic(TABLES / f"{name}.csv", samples_text(samples), "accelerator table")
    write_atomic(TABLES / f"{name}.toml", table_text(fit_blocks(samples), factors, facts, name), "accelerator table")
    click.echo(f"wrote {TABLES / name}.toml and .csv")


if __name__ == "__main__":
    main()
