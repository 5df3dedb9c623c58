"""``python -m reports.accelerator_cost``: the prices of accelerators against designs that no calibration measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from hwgen.accelerator import Design
from hwgen.accelerator.inventory import KINDS, accelerator_blocks, geometry, kind_of
from hwgen.accelerator.results import unit_registers
from hwgen.files import write_atomic
from hwgen.frame.facts import Block
from hwgen.synth import read_library
from hwgen.synth.accelerator import AcceleratorResult
from reports.provenance import provenance, write_result
from sim.accelerator.activity import JobCounts, counts_of, switching_terms
from sim.accelerator.calibrate import flat_result, measured
from sim.accelerator.cost import cost
from sim.accelerator.measure import QUANTITIES, Sample, samples_text
from sim.accelerator.plan import CALIBRATED, CHOICES, JUDGED, designs
from sim.accelerator.prices import block_numbers, block_values, features_of, read_table, switching_pj, trend_over_tiles
from sim.tech import PJ_PER_UW_NS, CalibratedTech, load
from sim.tech._model import trend_value

__all__ = ["Judged", "by_design", "judged", "main", "shipped"]

RESULT = Path("reports/results/accelerator_cost.md")
FLAT = 4
"""Designs that are also mapped in one piece."""
BOUND = 0.10
"""Largest error in total that is wanted."""

Values = Mapping[str, Mapping[str, float]]
"""By quantity and block."""


@dataclass(frozen=True)
class Judged:
    """A design: what was measured, what the accelerators' own prices say, and what the trends over tiles say."""

    design: Design
    cycles: int
    cells: int
    measured: Values
    priced: Values
    shipped: Values


def shipped(tech: CalibratedTech, blocks: Mapping[str, Block], counts: JobCounts) -> dict[str, dict[str, float]]:
    """The blocks by the technology's trends over the blocks of all tiles; a block works once for each word or beat."""
    quantities = ("area_um2", "min_clk_period_ns", "clock_pj", "leakage_uw", "active_pj")
    trends = {quantity: trend_over_tiles(tech, quantity) for quantity in quantities}
    found: dict[str, dict[str, float]] = {name: {} for name in QUANTITIES}
    for name, block in blocks.items():
        features = features_of(block.primitives)
        there = sum(block.primitives.values()) > 0
        values = {one: float(trend_value(trend, features)) if there else 0.0 for one, trend in trends.items()}
        found["switching_pj"][name] = values.pop("active_pj") * _turns(name, counts)
        for quantity, value in values.items():
            found[quantity][name] = value
    return found


def _turns(name: str, counts: JobCounts) -> float:
    """Cycles at work of a block, about."""
    stream = counts.streams.get(name.rpartition("_")[0])
    if stream is not None and name.endswith("engine"):
        return float(stream.bursts)
    if stream is not None and name.endswith("ring"):
        return float(max(stream.beats, stream.words))
    if name.startswith("write"):
        return float(counts.write_beats)
    if name in ("packer", "result_unit"):
        return float(counts.made)
    if name == "stream_result":
        return float(counts.results)
    if name in ("control", "registers"):
        return 1.0
    return float(counts.cycles if name == "glue" else counts.steps)


def judged(tech: CalibratedTech, samples: Sequence[Sample]) -> list[Judged]:
    """Measured designs beside both models."""
    found = []
    grouped: dict[int, list[Sample]] = {}
    for sample in samples:
        grouped.setdefault(id(sample.design), []).append(sample)
    for group in grouped.values():
        design, first = group[0].design, group[0]
        spec, p, d = type(design.tile), design.tile.p, design.p
        counts = counts_of(design, first.job, first.cycles)
        blocks = {name: block for name, block in accelerator_blocks(spec, p, d, living=True).items() if block.count}
        plain = {name: block for name, block in accelerator_blocks(spec, p, d).items() if block.count}
        priced: dict[str, Mapping[str, float]] = {
            quantity: block_values(tech, quantity, blocks, block_numbers(geometry(spec, p, d), d))
            for quantity in QUANTITIES
            if quantity != "switching_pj"
        }
        priced["switching_pj"] = switching_pj(tech, switching_terms(spec, p, d, counts, blocks), blocks)
        own = {quantity: {sample.block: sample.values[quantity] for sample in group} for quantity in QUANTITIES}
        cells = sum(sample.cells for sample in group)
        found.append(Judged(design, first.cycles, cells, own, priced, shipped(tech, plain, counts)))
    return found


def energies(values: Values, cycles: int, period_ns: float) -> dict[str, float]:
    """Energy of each block in a job in pJ."""
    return {
        name: switching + cycles * (values["clock_pj"][name] + values["leakage_uw"][name] * period_ns * PJ_PER_UW_NS)
        for name, switching in values["switching_pj"].items()
    }


def totals(values: Values, cycles: int, period_ns: float) -> dict[str, float]:
    """Area, period and energy of the job of all blocks, and the part of the energy that is no clock's."""
    return {
        "area": sum(values["area_um2"].values()),
        "period": max(values["min_clk_period_ns"].values()),
        "energy": sum(energies(values, cycles, period_ns).values()),
        "switching": sum(values["switching_pj"].values()),
    }


def by_design(rows: Sequence[Judged], period_ns: float) -> list[dict[str, Any]]:
    """Relative errors in total of both models by design."""
    found = []
    for row in rows:
        true = totals(row.measured, row.cycles, period_ns)
        found.append(
            {
                "row": row,
                "true": true,
                **{
                    name: {key: value / true[key] - 1 for key, value in totals(values, row.cycles, period_ns).items()}
                    for name, values in (("priced", row.priced), ("shipped", row.shipped))
                },
            }
        )
    return found


def _errors(rows: Sequence[Judged], kind: str, which: str, period_ns: float) -> dict[str, np.ndarray]:
    found: dict[str, list[float]] = {"area": [], "period": [], "energy": []}
    for row in rows:
        values = getattr(row, which)
        true, said = (energies(one, row.cycles, period_ns) for one in (row.measured, values))
        for name, area in row.measured["area_um2"].items():
            # Wires alone, and a single gate, have no error that means something.
            if kind_of(name) != kind or not area or not row.measured["clock_pj"][name]:
                continue
            found["area"].append(values["area_um2"][name] / area - 1)
            found["energy"].append(said[name] / true[name] - 1)
            found["period"].append(values["min_clk_period_ns"][name] / row.measured["min_clk_period_ns"][name] - 1)
    return {name: np.abs(errors) for name, errors in found.items()}


def _cell(errors: np.ndarray) -> str:
    return f"{np.median(errors):.1%} / {errors.max():.1%}" if len(errors) else ""


def kinds_table(rows: Sequence[Judged], which: str, period_ns: float) -> str:
    """Errors of blocks by kind, and the share of the measured area that a kind has."""
    whole = sum(sum(row.measured["area_um2"].values()) for row in rows)
    lines = [
        "| kind | blocks | share of area | area median / max | period median / max | energy median / max |",
        "|---|---|---|---|---|---|",
    ]
    for kind in KINDS:
        errors = _errors(rows, kind, which, period_ns)
        own = [area for row in rows for name, area in row.measured["area_um2"].items() if kind_of(name) == kind]
        cells = " | ".join(_cell(errors[name]) for name in ("area", "period", "energy"))
        lines.append(f"| {kind} | {len(errors['area'])} | {sum(own) / whole:.1%} | {cells} |")
    return "\n".join(lines)


def _named(design: Design) -> str:
    """Family and what is drawn, and what else is not as it is where nothing is said."""
    known = Design.parameters()
    shown = {key: value for key, value in design.p.items() if key in CHOICES or value != known[key].default}
    return " ".join([design.tile.family, *(f"{key}={value}" for key, value in shown.items())])


def totals_table(found: Sequence[Mapping[str, Any]]) -> str:
    """Errors in total by design."""
    lines = [
        "| design | cells | area [µm²] | energy [pJ] | area | period | energy | by tiles' trends: area | energy |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        row, true = one["row"], one["true"]
        design = row.design
        own = " | ".join(f"{one['priced'][key]:+.1%}" for key in ("area", "period", "energy"))
        tiles = " | ".join(f"{one['shipped'][key]:+.1%}" for key in ("area", "energy"))
        lines.append(
            f"| {_named(design)} | {row.cells:,} | {true['area']:,.0f} | {true['energy']:,.0f} | {own} | {tiles} |"
        )
    return "\n".join(lines)


def verdicts(found: Sequence[Mapping[str, Any]]) -> str:
    """One sentence a quantity."""
    lines = []
    for which, text in (("priced", "own prices"), ("shipped", "trends over tiles")):
        for key in ("area", "period", "energy", "switching"):
            errors = np.abs([one[which][key] for one in found])
            over = int((errors > BOUND).sum())
            what = "energy beside the clock" if key == "switching" else key
            lines.append(
                f"* {what}, {text}: median {np.median(errors):.1%}, max {errors.max():.1%}; "
                f"{over} of {len(errors)} designs beyond {BOUND:.0%}."
            )
    return "\n".join(lines)


def flat_table(results: Sequence[AcceleratorResult], tech: CalibratedTech) -> str:
    """Whole accelerators with their tiles, in one piece, beside `sim.accelerator.cost`."""
    lines = ["| design | cells | area | period | slowest block, measured by itself |", "|---|---|---|---|---|"]
    for result in results:
        assert result.flat is not None
        design, flat = result.design, result.flat
        said = cost(design, tech)
        area = sum(value for name, value in said.area_um2.items() if not name.endswith("_sram"))
        slowest = max(result.blocks, key=lambda block: block.min_clk_period_ns)
        assert said.min_clk_period_ns is not None
        lines.append(
            f"| {_named(design)} | {flat.mapped.cells:,} | {area / (flat.area * result.library.unit_um2) - 1:+.1%} | "
            f"{said.min_clk_period_ns / flat.min_clk_period_ns - 1:+.1%} ({flat.min_clk_period_ns:.2f} ns) | "
            f"{slowest.kind} {slowest.min_clk_period_ns / flat.min_clk_period_ns - 1:+.1%} |"
        )
    return "\n".join(lines)


def _scaled(files: Sequence[Path], count: int, wanted: Sequence[Design], jobs: int) -> list[str]:
    """Some of the designs in ASAP7, whose prices are scaled."""
    tech = load("asap7")
    assert isinstance(tech, CalibratedTech)
    assert tech.default_clk_period_ns is not None
    plain = {index: design for index, design in enumerate(wanted) if not design.tile.lanes}
    chosen = dict(list(plain.items())[:count])
    samples = measured(chosen, read_library(files), JUDGED, jobs, lambda text: click.echo(f"asap7: {text}", err=True))
    rows = judged(tech, samples)
    return [
        "## ASAP7",
        "No accelerator of the calibration was mapped to it: prices are those of sky130hd, each block by the ratio of "
        f"both technologies' trends over all tiles. Clock period {tech.default_clk_period_ns:g} ns.",
        totals_table(by_design(rows, tech.default_clk_period_ns)),
    ]


@click.command()
@click.option("--sky130hd", required=True, type=click.Path(path_type=Path), help="Liberty file of sky130hd")
@click.option("--asap7", multiple=True, type=click.Path(path_type=Path), help="Liberty files of ASAP7")
@click.option("--asap7-count", default=3, show_default=True, help="designs without post lanes that ASAP7 is judged by")
@click.option("--count", default=12, show_default=True, help="designs")
@click.option("--flat", default=FLAT, show_default=True, help="designs that are also mapped in one piece")
@click.option("--jobs", default=1, show_default=True, help="child processes at a time")
def main(sky130hd: Path, asap7: tuple[Path, ...], asap7_count: int, count: int, flat: int, jobs: int) -> None:
    """Measure the designs and write the page."""
    tech = load("sky130hd")
    assert isinstance(tech, CalibratedTech)
    assert tech.default_clk_period_ns is not None
    library = read_library([sky130hd])
    wanted = designs(count, JUDGED)
    samples = measured(dict(enumerate(wanted)), library, JUDGED, jobs, lambda text: click.echo(text, err=True))
    rows = judged(tech, samples)
    found = by_design(rows, tech.default_clk_period_ns)
    results = [flat_result(design, library, jobs) for design in wanted[:flat]]
    period, table = tech.default_clk_period_ns, read_table()
    units = sum(unit_registers(row.design.p) > 0 for row in rows)
    parts = [
        f"{len(rows)} accelerators around small tiles, {units} of them with results of another form than the tile's, "
        "drawn over bus width, addresses, counts, rings, bursts and outstanding bursts, none of which the prices were "
        f"fitted to (those are {table.designs} others, "
        f"`sim.accelerator.plan`, seeds {CALIBRATED} and {JUDGED}). Each block was mapped by itself, memories left "
        "out, as calibrations of tiles map; then the netlist of all of it, tile included, ran a drawn job in "
        "64 streams with memories around it, its cycles equal to the cycle model's and its results to the reference's. "
        "What is compared is everything but tile and memories, which have prices of their own. Error: model over "
        f"measurement − 1. Energy is that of the job, clock and leakage at {period:g} ns included.",
        "## In total",
        verdicts(found),
        totals_table(found),
        "The last two columns price the inventory by the trends over the blocks of all tiles, as the shipped table has "
        "them for families that it does not know.",
        "## By kind of block, own prices",
        kinds_table(rows, "priced", period),
        "## By kind of block, trends over tiles",
        kinds_table(rows, "shipped", period),
    ]
    if results:
        parts += [
            "## In one piece",
            "The whole accelerator with its tile as one flat netlist, beside `sim.accelerator.cost`: area without "
            f"memories; the period is that of the slowest block times {table.flattening['min_clk_period_ns']:g}, the "
            "median over the designs of the calibration that were mapped in one piece, for paths that cross blocks. "
            "Where a block of the tile is the slowest, its period is that of the tile's own table.",
            flat_table(results, tech),
        ]
    if asap7:
        parts += _scaled(asap7, asap7_count, wanted, jobs)
    write_result(
        RESULT,
        "What accelerators cost, and what the model says",
        "python -m reports.accelerator_cost --sky130hd FILE"
        + " --asap7 FILE …" * bool(asap7)
        + (f" --flat {flat}" if flat != FLAT else ""),
        "\n\n".join(parts),
        provenance(),
    )
    write_atomic(RESULT.with_suffix(".csv"), samples_text(samples), "measurements")
    click.echo(f"wrote {RESULT}")


if __name__ == "__main__":
    main()
