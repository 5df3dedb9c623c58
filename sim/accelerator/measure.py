"""Measurements of the blocks of accelerators: areas and periods from synthesis, energies from jobs that were run."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwgen.accelerator import Design, Job
from hwgen.accelerator.inventory import kind_of
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.simulators.cache import cache_dir, digest, read_kept, write_kept
from hwgen.synth import Library, SynthOptions
from hwgen.synth._run import version_for
from hwgen.synth._yosys import yosys_version
from hwgen.synth.accelerator import accelerator_parts, synthesise_accelerator
from sim.accelerator.energy import drawn_job, measure_random_job
from sim.calibrate.measure import RECIPES, TARGET_NS

__all__ = ["COLUMNS", "QUANTITIES", "Sample", "measure_design", "parse_samples", "samples_text"]

QUANTITIES = ("area_um2", "min_clk_period_ns", "clock_pj", "switching_pj", "leakage_uw")
"""``clock_pj`` is spent in every cycle, ``switching_pj`` beside it in the whole job."""
COLUMNS = ("family", "tile", "design", "job", "cycles", "block", "recipe", "cells", "flip_flops", *QUANTITIES)

_VERSION = "1"
"""Part of the names in the cache: to be raised with every change of what is measured."""


@dataclass(frozen=True)
class Sample:
    """One measured block of a design in a job of so many cycles."""

    design: Design
    job: Job
    cycles: int
    block: str
    recipe: str
    cells: int
    flip_flops: int
    values: Mapping[str, float]

    @property
    def kind(self) -> str:
        """Kind of the block."""
        return kind_of(self.block)

    def row(self) -> dict[str, str]:
        """Its row in a table."""
        tile = self.design.tile
        known = tile.parameters()
        changed = {name: value for name, value in tile.p.items() if value != known[name].default}
        job = {field.name: getattr(self.job, field.name) for field in dataclasses.fields(Job)}
        return {
            "family": tile.family,
            "tile": json.dumps(changed),
            "design": json.dumps(self.design.p),
            "job": json.dumps({name: value for name, value in job.items() if value}),
            "cycles": str(self.cycles),
            "block": self.block,
            "recipe": self.recipe,
            "cells": str(self.cells),
            "flip_flops": str(self.flip_flops),
            **{name: f"{self.values[name]:.6g}" for name in QUANTITIES},
        }


def samples_text(samples: Sequence[Sample]) -> str:
    """A table of measurements, CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sample.row() for sample in samples)
    return out.getvalue()


def parse_samples(text: str, label: str) -> list[Sample]:
    """Measurements of a table. Raises `HwgenError` for one that cannot be read."""
    designs: dict[tuple[str, str, str], Design] = {}
    found = []
    for line, row in enumerate(csv.DictReader(io.StringIO(text)), start=2):
        try:
            key = (row["family"], row["tile"], row["design"])
            if key not in designs:
                spec = family(row["family"])
                values = {name: one.default for name, one in spec.parameters().items()} | json.loads(row["tile"])
                designs[key] = Design.from_values(spec(**values), json.loads(row["design"]))
            found.append(
                Sample(
                    design=designs[key],
                    job=Job(**json.loads(row["job"])),
                    cycles=int(row["cycles"]),
                    block=row["block"],
                    recipe=row["recipe"],
                    cells=int(row["cells"]),
                    flip_flops=int(row["flip_flops"]),
                    values={name: float(row[name]) for name in QUANTITIES},
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise HwgenError(f"{label}: line {line}: a measurement must have {', '.join(COLUMNS)}: {error}") from error
    return found


def measure_design(
    design: Design,
    library: Library,
    seed: int,
    *,
    jobs: int = 1,
    timeout_s: float = 600,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[Sample]:
    """Measurements of all blocks of a design, its tile's left out; kept in the cache.

    Operands are drawn from a normal distribution, quantised by the tile. Raises `HwgenError` as
    `synthesise_accelerator` and `measure_random_job` do.
    """
    schedule, job = drawn_job(design, seed)
    parts = accelerator_parts(design)
    how = [_VERSION, version_for(library), yosys_version(), *RECIPES, str(TARGET_NS), repr(design), repr(job)]
    key = digest([*how, repr(schedule.layer), library.sha256, *(part.rtlil for part in parts)])
    path = cache_dir("accelerator") / f"{key}.json"
    kept = read_kept(path)
    if isinstance(kept, str):
        return parse_samples(kept, path.name)
    options = SynthOptions(clk_period_ns=TARGET_NS, smallest=True, recipes=RECIPES, jobs=jobs, timeout_s=timeout_s)
    result = synthesise_accelerator(design, library, options, progress=progress)
    energy = measure_random_job(result, seed)
    samples = []
    for block in result.blocks:
        if block.kind.startswith("tile_"):
            continue
        spent = energy.blocks.get(block.kind)
        values: dict[str, Any] = {
            "area_um2": block.mapped.area * library.unit_um2,
            "min_clk_period_ns": block.min_clk_period_ns,
            "clock_pj": spent.clock_pj if spent else 0.0,
            "switching_pj": spent.switching_pj if spent else 0.0,
            "leakage_uw": spent.leakage_uw if spent else 0.0,
        }
        samples.append(
            Sample(
                design=design,
                job=job,
                cycles=energy.cycles.cycles,
                block=block.kind,
                recipe=block.mapped.recipe,
                cells=block.mapped.cells,
                flip_flops=block.flip_flops(library),
                values=values,
            )
        )
    text = samples_text(samples)
    write_kept(path, text)
    return parse_samples(text, path.name)
