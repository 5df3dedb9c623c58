"""``python -m reports.realised --liberty FILE``: points of four families made real, predicted beside measured.

Each family is swept over a few shapes and widths on a layer of a real model, and the balanced point of its front is
emitted, verified, mapped, run with that layer and compared: what ``hwgen realise SWEEP --point N`` does. Mappings,
simulations and toggles lie in the cache, so that a run that was interrupted goes on.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dse.designs import ACCELERATORS, AROUND
from dse.pareto import choose
from dse.point import StoredPoint, read_point
from dse.space import Space
from dse.sweep import run_sweep
from dse.tiles import TILES
from hwgen.accelerator import Design
from hwgen.accelerator.use import Use
from hwgen.cli.realise import row_cells
from hwgen.errors import HwgenError
from hwgen.files import write_atomic
from hwgen.pe import family
from hwgen.synth import Library, generic_library, read_library
from reports.provenance import provenance, write_result
from sim.inputs import layer_operands
from sim.realise import Asked, LayerData, Realised, Watch, realise_accelerator, realise_tile
from sim.tech import CalibratedTech, calibrated_on, load

__all__ = ["LAYER", "POINTS", "Swept", "main", "page", "swept"]

RESULT = Path("reports/results/realised.md")
LAYER, TOKENS = "blk.0.attn_k", 8
OBJECTIVES = ("area_um2", "latency_us", "energy_pj", "-weight_bits")

_SHAPES = {"m": (1, 2), "n": (1, 2), "group": (64,)}


@dataclass(frozen=True)
class Swept:
    """A sweep of one family: axes of the tile, and of what is around it (none: tiles alone)."""

    family: str
    axes: Mapping[str, Sequence[Any]]
    around: Mapping[str, Sequence[Any]] | None = None


POINTS = (
    Swept("lut", {**_SHAPES, "k": (4,), "bits": (2, 3, 4), "acts": ("int8",)}),
    Swept("bitmod", {**_SHAPES, "k": (2, 4), "bits": (3, 4), "post_lanes": (1,)}),
    Swept(
        "mx",
        {
            **_SHAPES,
            "group": (32,),
            "k": (4, 8),
            "weights": ("mxfp4",),
            "acts": ("mxfp4", "mxint8"),
            "post_lanes": (1,),
        },
    ),
    Swept(
        "int",
        {**_SHAPES, "k": (4, 8), "bits": (2, 4)},
        {"bus_bits": (64,), "weight_ring": (32, 64), "act_ring": (32, 64)},
    ),
)
"""Three families as tiles, one as an accelerator."""


def swept(one: Swept, data: LayerData, tech: CalibratedTech, folder: Path) -> tuple[StoredPoint, int, int]:
    """The point of the front with the smallest product of the objectives, as it is read back from the sweep's file;
    points in all, and on the front.
    """
    space, level = Space.of(one.family, one.axes), TILES
    if one.around is not None:
        space, level = space.beside(AROUND, one.around), ACCELERATORS
    path = folder / f"{one.family}.parquet"
    found = run_sweep([space], [data.layer], objectives=OBJECTIVES, tech=tech.name, level=level, output=path)
    number = int(found.front.index[choose(found.front, OBJECTIVES)])
    return read_point(path, number), len(found.points), len(found.front)


def realised(point: StoredPoint, data: LayerData, tech: CalibratedTech, library: Library, watch: Watch) -> Realised:
    """A point, at the clock that it was swept at."""
    tile = family(point.family).from_values(point.values)
    asked = Asked(tech, library, point.clk_period_ns, point.clk_period_ns, watch=watch)
    if point.level == "tile":
        return realise_tile(tile, data, asked)
    values = point.around
    design = Design.from_values(tile, {name: values[name] for name in Design.parameters()})
    use = Use.from_values({name: values[name] for name in Use.parameters()})
    return realise_accelerator(design, use, data, asked)


def _settings(known: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """What differs from the defaults."""
    found = (f"{name}={value}" for name, value in values.items() if value != known[name].default)
    return " ".join(found) or "defaults"


def section(point: StoredPoint, counts: tuple[int, int], found: Realised) -> str:
    """One point: what it is, its table, what stands behind it."""
    tile = _settings(family(point.family).parameters(), point.values)
    around = "" if found.design is None else f"; around it {_settings(Design.parameters(), found.design)}"
    every, front = counts
    layer = found.layer
    failed = [one.check for one in found.findings if not one.ok]
    lines = [
        f"## {found.family}, {found.level}",
        f"Point {point.number} of {every} ({front} on the front): {tile}{around}; clock {found.clk_period_ns:g} ns. "
        f"{len(found.findings) - len(failed)} of {len(found.findings)} checks of the tile's contract hold; outputs of "
        f"{layer.m}×{layer.n}×{layer.k} and {found.compared}: "
        f"{'equal, all bits' if not found.values else f'DIFFERENT ({found.values})'}. Mapped {found.mapping}. Toggles "
        f"of {found.energy}.",
    ]
    if found.extrapolated:
        lines.append(f"Extrapolated: {'; '.join(found.extrapolated)}.")
    head = ["quantity", "predicted", "measured", "difference", "held out: median / largest", "", "prediction is"]
    table = [f"| {' | '.join(head)} |", "|---|---:|---:|---:|---:|---|---|"]
    table += [f"| {' | '.join(row_cells(row))} |" for row in found.rows]
    return "\n\n".join([*lines, "\n".join(table)])


def page(sections: Sequence[str], results: Sequence[Realised], words: str) -> str:
    """Body of the result page."""
    judged = [row for found in results for row in found.rows if row.within is not None]
    beyond = [
        f"{found.family}, {row.quantity} {row.difference:+.1%}"
        for found in results
        for row in found.rows
        if row.within is False
    ]
    exact = [row for found in results for row in found.rows if row.exact]
    verdict = (
        f"{sum(row.agrees for row in exact)} of {len(exact)} counts of cycles and beats are those predicted. Of "
        f"{len(judged)} costs for which the model states an error, {len(judged) - len(beyond)} are within the largest "
        f"one{': beyond are ' + '; '.join(beyond) if beyond else ''}."
    )
    return "\n\n".join(
        [
            f"Each family is swept over a few shapes and widths on {LAYER} of SmolLM2-135M ({words}), and of its front "
            f"of {', '.join(OBJECTIVES)} the point with the smallest product is made real, as `hwgen realise SWEEP "
            "--point N` does it. Predicted is what `hwgen estimate` says; measured is the emitted Verilog: cycles "
            "counted by the bench, areas and periods of the mapped netlist, energy by its toggles on this layer. "
            "Difference: prediction over measurement − 1. Held out: errors that the model states of itself, on designs "
            "that no calibration measured. Pre-layout, no glitches; memories are no logic, and have nothing to be "
            "compared with here. No coefficient was fitted to these points.",
            verdict,
            *sections,
        ]
    )


def _cells(liberty: Sequence[Path]) -> tuple[Library, CalibratedTech]:
    """Cells, and the technology that was calibrated on them."""
    library = read_library(liberty) if liberty else generic_library()
    name = calibrated_on(library.sha256)
    if name is None:
        raise HwgenError(f"realised: no technology was calibrated on {library.name}")
    tech = load(name)
    assert isinstance(tech, CalibratedTech)
    return library, tech


def _made(task: tuple[Swept, LayerData, Sequence[Path]]) -> tuple[str, Realised]:
    """A family: its part of the page, and what was realised."""
    one, data, liberty = task
    library, tech = _cells(liberty)
    with tempfile.TemporaryDirectory() as folder:
        point, every, front = swept(one, data, tech, Path(folder))
    click.echo(f"{one.family}: point {point.number} of {every:,}", err=True)
    watch = Watch(lambda step, words: click.echo(f"{one.family}: {step}: {words}", err=True))
    try:
        found = realised(point, data, tech, library, watch)
    except HwgenError as error:
        # The others go on meanwhile, and it is told when they are done: say at once what it was.
        click.echo(f"{one.family}: {error}", err=True)
        raise
    return section(point, (every, front), found), found


@click.command()
@click.option("--liberty", multiple=True, type=click.Path(path_type=Path), help="Liberty files (default: generic)")
def main(liberty: tuple[Path, ...]) -> None:
    """Sweep, realise and write the page; raises `SystemExit` with status 1 where a value or a cycle differs."""
    library, tech = _cells(liberty)
    words = f"{TOKENS} tokens of real text"
    data = LayerData(LAYER, *layer_operands(None, LAYER, TOKENS), words)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        made = list(pool.map(_made, [(one, data, liberty) for one in POINTS]))
    sections, results = [text for text, _ in made], [found for _, found in made]
    command = "python -m reports.realised" + " --liberty FILE" * bool(liberty)
    facts = {**provenance(), "library": f"{library.name}, technology {tech.name}"}
    write_result(RESULT, "Points made real", command, page(sections, results, words), facts)
    document = json.dumps([found.document() for found in results], indent=1) + "\n"
    write_atomic(RESULT.with_suffix(".json"), document, "realised")
    click.echo(f"wrote {RESULT}")
    if not all(found.ok for found in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
