"""``python -m reports.stated_errors``: the errors that the cost model states of itself, from committed measurements.

They are those of the pages `reports.held_out_wide` (tiles, without those that are marked as extrapolated) and
`reports.accelerator_cost` (what is around them), as a table that `sim.held_out` reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from hwgen.accelerator.inventory import accelerator_blocks, geometry
from hwgen.files import write_atomic
from reports.accelerator_cost import totals
from reports.command_line import without_options
from reports.held_out_wide import TILES, tried
from sim.accelerator.activity import counts_of, switching_terms
from sim.accelerator.measure import QUANTITIES as OF_BLOCKS
from sim.accelerator.measure import Sample, parse_samples
from sim.accelerator.prices import MEASURED, block_numbers, block_values, switching_pj
from sim.held_out import AROUND, FILE, QUANTITIES
from sim.tech import CalibratedTech, load

__all__ = ["ACCELERATORS", "main", "stated", "text"]

ACCELERATORS = Path("reports/results/accelerator_cost.csv")

Errors = Mapping[str, float]


def stated(tech: CalibratedTech, families: Sequence[str] | None = None) -> Iterator[tuple[str, list[Errors]]]:
    """Errors of each design by quantity, by family (all where ``families`` is None) and of what is around tiles."""
    rows = json.loads(TILES.read_text())["libraries"].get(tech.name, [])
    names = sorted({row["family"] for row in rows}) if families is None else families
    for name in names:
        found = tried(tech, [row for row in rows if row["family"] == name])
        yield name, [one.errors for one in found if not one.outside]
    if tech.name == MEASURED and families is None:
        assert tech.default_clk_period_ns is not None
        designs: dict[int, list[Sample]] = {}
        for sample in parse_samples(ACCELERATORS.read_text(), ACCELERATORS.name):
            designs.setdefault(id(sample.design), []).append(sample)
        yield AROUND, [_around(tech, group, tech.default_clk_period_ns) for group in designs.values()]


def _around(tech: CalibratedTech, samples: Sequence[Sample], clk_period_ns: float) -> Errors:
    """Errors of what is around the tile of one accelerator, its blocks together."""
    first = samples[0]
    spec, p, d = type(first.design.tile), first.design.tile.p, first.design.p
    living = accelerator_blocks(spec, p, d, living=True)
    blocks = {name: block for name, block in living.items() if block.count}
    numbers = block_numbers(geometry(spec, p, d), d)
    terms = switching_terms(spec, p, d, counts_of(first.design, first.job, first.cycles), blocks)
    said = {name: block_values(tech, name, blocks, numbers) for name in OF_BLOCKS if name != "switching_pj"}
    said["switching_pj"] = switching_pj(tech, terms, blocks)
    own = {name: {sample.block: sample.values[name] for sample in samples} for name in OF_BLOCKS}
    predicted, measured = (totals(values, first.cycles, clk_period_ns) for values in (said, own))
    return {name: predicted[name] / measured[name] - 1 for name in QUANTITIES}


def text(tech: CalibratedTech, families: Sequence[str] | None = None) -> str:
    """The technology's part of the table."""
    lines = []
    for name, errors in stated(tech, families):
        if not errors:
            continue
        columns = {quantity: np.abs([one[quantity] for one in errors]) for quantity in QUANTITIES}
        shown = (f"{quantity} = [{np.median(c):.4f}, {c.max():.4f}]" for quantity, c in columns.items())
        lines += [f"[{tech.name}.{name}]", f"designs = {len(errors)}", *shown, ""]
    return "\n".join(lines)


def main() -> None:
    """Write the table."""
    parts = [
        "# Absolute relative errors (model over measurement - 1) on designs that no calibration measured: median and",
        "# largest. Written by `python -m reports.stated_errors` from the committed measurements of",
        "# reports.held_out_wide (tiles that are not marked as extrapolated) and reports.accelerator_cost (what is",
        "# around them).",
        "",
    ]
    for name in json.loads(TILES.read_text())["libraries"]:
        tech = load(name)
        assert isinstance(tech, CalibratedTech)
        parts.append(text(tech))
    write_atomic(FILE, "\n".join(parts).rstrip() + "\n", "stated errors")
    print(f"wrote {FILE}")


if __name__ == "__main__":
    without_options(main, __doc__)
