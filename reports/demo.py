"""The main job on real input: from a language model's layer to a Pareto front to Verilog that computes that layer."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dse.pareto import choose
from dse.pareto import front as pareto_front
from dse.space import Space
from dse.sweep import run_sweep
from hwgen.emit import emit
from hwgen.errors import HwgenError
from hwgen.files import make_folder, write_atomic
from hwgen.pe import TileSpec, family
from hwgen.schedule import Layer
from reports import plot, table
from reports.provenance import facts_text
from sim.accuracy.recipe import Recipe
from sim.accuracy.run import as_the_table
from sim.accuracy.table import Known, known_of, provenance_of
from sim.accuracy.texts import text
from sim.accuracy.tile import formats_of
from sim.inputs import layer_operands
from sim.models.fetch import default_model
from sim.run import LayerRun, run_layer
from sim.tech import DEFAULT, Tech, load

__all__ = ["DemoOptions", "Formats", "perplexities", "run_demo"]

Say = Callable[[str], None]
Watch = Callable[[str, int, int], None]
"""Called with (what, done, all) while something long runs."""

SHAPES: Mapping[str, list[int]] = {"m": [1, 2, 4, 8, 16], "n": list(range(4, 132, 4))}
"""Tile shapes of the sweep; K is the family's own."""

FORMATS: Mapping[str, list[dict[str, Any]]] = {
    "int": [{"bits": bits, "scheme": "asymmetric", "acts": "int8"} for bits in (2, 3, 4, 8)],
    "lut": [
        {"bits": bits, "scheme": scheme, "acts": acts}
        for acts in ("int8", "fp16")
        for bits, scheme in ((1, "bipolar"), (2, "ternary"), *((bits, "asymmetric") for bits in (2, 3, 4, 8)))
    ],
    "mx": [
        *({"weights": w, "acts": a} for w in ("mxfp4", "mxint8") for a in ("mxfp4", "mxint8")),
        {"weights": "nvfp4", "acts": "nvfp4"},
    ],
    "bitmod": [{"bits": bits, "acts": "fp16"} for bits in (3, 4, 6)],
    "mixpe": [{"bits": 4, "acts": acts} for acts in ("int8", "fp16")],
    "posit": [{"operands": "p8"}],
    "minifloat": [{"weights": name, "acts": name} for name in ("fp8_e4m3", "fp16")],
}
"""Formats of the sweep, by family."""

FREE: Mapping[str, dict[str, list[Any]]] = {
    "int": {"k": [4, 8, 16, 32]},
    "lut": {"k": [2, 4, 8], "planes_per_cycle": [1, 2, 4]},
    "mx": {"k": [4, 8, 16, 32], "post_lanes": [1, 2, 4, 8, 16, 32]},
    "bitmod": {"k": [2, 4, 8], "post_lanes": [1, 2, 4, 8, 16, 32, 64]},
    "mixpe": {"k": [2, 4, 8, 16]},
    "posit": {"k": [1, 2, 4, 8]},
    "minifloat": {"k": [2, 4, 8, 16]},
}
"""Other axes, by family."""


OBJECTIVES = ("energy_pj_per_mac", "-tops_per_mm2", "perplexity")
"""What the front is made of; the first two are the axes of the plot."""

_SAME = 1e-3
"""Relative difference of perplexities between machines: torch's sums of float32 are in an order of each one's own."""


@dataclass(frozen=True)
class DemoOptions:
    """What the demo runs on and where it leaves its files."""

    layer: str = "blk.0.ffn_up"
    tokens: int = 8
    folder: Path = Path("out/demo")
    max_perplexity: float = 50.0
    model: Path | None = None
    tech: str = DEFAULT
    max_cells: int = 64
    measure: bool = True


@dataclass(frozen=True)
class Formats:
    """A pair of formats on a family, and what was measured of the default model with them; None: nothing was."""

    pe: str
    settings: dict[str, Any]
    label: str
    known: Known | None

    @property
    def perplexity(self) -> float:
        """NaN where nothing was measured."""
        return math.nan if self.known is None else self.known.perplexity


def perplexities() -> list[Formats]:
    """Every pair of formats with its row of the table that comes with hwgen (`sim.accuracy.table`)."""
    found = []
    for name, choices in FORMATS.items():
        for settings in choices:
            spec = family(name).from_values(settings)
            said = spec.quantization()
            # By the family's own names where it has them: block formats share their elements, ternary shares int2.
            weights = "ternary" if said.scheme == "ternary" else settings.get("weights", said.weights)
            label = f"{weights} × {settings.get('acts', said.acts)}"
            found.append(Formats(name, settings, label, known_of(formats_of(spec))))
    return found


def _sweep(
    kept: list[Formats], layer: Layer, folder: Path, tech: str, watch: Watch
) -> tuple[pd.DataFrame, int, float, Mapping[str, int]]:
    spaces = [
        Space.of(
            form.pe,
            {**SHAPES, **FREE[form.pe], **{name: [value] for name, value in form.settings.items()}},
            strict=False,
        )
        for form in kept
    ]
    sweep = run_sweep(
        spaces,
        [layer],
        tech=tech,
        output=folder / "sweep.parquet",
        command="hwgen demo",
        progress=lambda done, of: watch("sweeping", done, of),
    )
    points = sweep.points
    points["perplexity"] = _perplexity_column(points, kept)
    return points, sweep.looked_at, sweep.points_per_second, sweep.skipped


def _perplexity_column(points: pd.DataFrame, kept: list[Formats]) -> np.ndarray:
    perplexity = np.full(len(points), np.nan)
    for form in kept:
        mask = (points["pe"] == form.pe).to_numpy(copy=True)
        for name, value in form.settings.items():
            mask &= (points[name].astype(object) == value).to_numpy()
        perplexity[mask] = form.perplexity
    return perplexity


def _figure(perplexity: float) -> str:
    return f"{perplexity:.2f}" if perplexity < 1e5 else f"{perplexity:.1e}"


def _measure(spec: TileSpec, perplexity: float, model: Path | None, say: Say, watch: Watch) -> None:
    """Perplexity of the chosen formats on this machine, beside the table's.

    Raises `HwgenError` where both should be the same and are not.
    """
    recipe = formats_of(spec)
    found, one = as_the_table(recipe, model)
    kept = found.evaluation.known(one.document(), "") is not None
    made = one.measure(found, lambda what, done, of: watch(f"reading {found.text.name}", done, of))
    how = "measured before" if kept else f"measured in {made.seconds:.0f} s"
    words = f"      {recipe}: {made.perplexity:.3f}, {how}"
    if model is not None:
        say(f"{words} with {model.name}; {perplexity:.3f} in the table, of another model")
        return
    say(f"{words}; {perplexity:.3f} in the table")
    if abs(made.perplexity / perplexity - 1) > _SAME:
        raise HwgenError(
            f"demo: perplexity of {recipe} must be the table's, {perplexity:.3f}, not {made.perplexity:.3f}; please "
            "report it with your versions of torch and numpy"
        )


def _model_errors(tech: Tech, names: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Relative errors of both objectives by family, from cells that its fit left out."""
    found = {}
    for name in names:
        known = tech.left_out_errors(name)
        # Throughput of an area has the errors of period and area, which have nothing to do with each other.
        found[name] = (
            known.get("active_pj", 0.0),
            math.hypot(known.get("area_um2", 0.0), known.get("min_clk_period_ns", 0.0)),
        )
    return found


def _lines(front: pd.DataFrame) -> list[str]:
    """A table of points that fits 80 columns."""
    rows = [("family", "formats", "tile", "pJ/MAC", "TOPS/mm²", "mm²", "perplexity")]
    for (_, row), formats in zip(front.iterrows(), plot.formats_of(front), strict=True):
        tile = "×".join(str(int(row[name])) for name in ("m", "n", "k"))
        numbers = f"{row['energy_pj_per_mac']:.3g}", f"{row['tops_per_mm2']:.3f}", f"{row['area_um2'] / 1e6:.3f}"
        rows.append((str(row["pe"]), formats, tile, *numbers, f"{row['perplexity']:.2f}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < 3 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _cuts(points: pd.DataFrame) -> set[str]:
    """Columns of the registers that the clock put into tiles."""
    names = {name for pe in points["pe"].astype(str).unique() for name in family(pe).cut_parameters()}
    return {name for name in names if points[name].nunique() > 1}


def spec_of_row(row: pd.Series[Any]) -> TileSpec:
    """The tile of a row of a sweep."""
    cls = family(str(row["pe"]))
    values = {}
    for name, p in cls.parameters().items():
        value = row[name]
        values[name] = p.type(value)
    return cls.from_values(values)


def run_demo(options: DemoOptions, say: Say, watch: Watch) -> LayerRun:
    """Run the demo; returns the run of the chosen point's Verilog. Raises `HwgenError` as its parts do."""
    tech = load(options.tech)
    say("[1/6] real input")
    model = options.model or default_model(download=True, progress=say)
    if options.measure:
        try:
            text(str(provenance_of()["text"]), download=True, progress=say)
        except HwgenError as error:
            raise HwgenError(f"{error}; --no-measure does without") from error
    weights, acts = layer_operands(model, options.layer, options.tokens)
    # No earlier: what is refused leaves no folder behind.
    for parent in reversed(options.folder.parents):
        make_folder(parent, "demo")
    folder = make_folder(options.folder, "demo")
    n, k = weights.shape
    layer = Layer(options.layer, len(acts), n, k)
    say(f"      {options.layer}: {n} x {k} weights, activations of {layer.m} tokens of real text")

    about = provenance_of()
    whole = known_of(Recipe())
    say(f"[2/6] formats: perplexity of {about['model']} (kept up to {options.max_perplexity:g})")
    read = f"{about['windows']} windows of {about['window_tokens']:,} tokens of {about['text']}"
    base = math.nan if whole is None else whole.perplexity
    say(f"      table of commit {about['commit']}, {read}; float: {base:.2f}")
    forms = perplexities()
    kept = [form for form in forms if form.perplexity <= options.max_perplexity]
    for form in forms:
        verdict = "kept" if form in kept else "dropped" if form.known else "not measured, dropped"
        say(f"      {form.pe:9s} {form.label:24s} {_figure(form.perplexity):>9s}  {verdict}")
    if not kept:
        best = min(form.perplexity for form in forms if form.known)
        raise HwgenError(
            f"demo: max_perplexity must leave a format, the best has {best:.2f}, not {options.max_perplexity:g}"
        )

    say("[3/6] sweep PE families, formats and tile shapes")
    clock = tech.default_clk_period_ns
    pace = "each at its own clock" if clock is None else f"all at {clock:g} ns"
    say(f"      costs {tech.status} on {tech.title}; {pace}")
    points, looked_at, speed, skipped = _sweep(kept, layer, folder, options.tech, watch)
    # Energy and throughput are of a MAC and of an area: a larger array is hardly another point, a small one runs soon.
    small = points[points["m"].astype(int) * points["n"].astype(int) <= options.max_cells]
    best_points = pareto_front(small, OBJECTIVES)
    say(f"      {looked_at:,} points, {speed:,.0f} a second: {len(points):,} legal, {sum(skipped.values()):,} skipped")
    say(f"      front of pJ/MAC, TOPS/mm² and perplexity, up to {options.max_cells} cells: {len(best_points)} points")
    position = choose(best_points, OBJECTIVES[:2])
    columns = [
        "pe",
        "weight_bits",
        "acts",
        "m",
        "n",
        "k",
        "energy_pj_per_mac",
        "tops_per_mm2",
        "area_um2",
        "latency_us",
        "power_mw",
        "perplexity",
        "clk_period_ns",
        *(name for name in best_points.columns if name in _cuts(best_points)),
    ]
    for line in _lines(best_points.iloc[:: max(1, len(best_points) // 12)]):
        say(f"      {line}")
    table.save(best_points, folder / "front.csv", columns)
    table.save(best_points, folder / "front.md", columns)
    figure = plot.pareto_figure(
        points,
        best_points,
        x=OBJECTIVES[0],
        y=OBJECTIVES[1],
        title=f"SmolLM2-135M {options.layer}, {layer.m} tokens, "
        f"perplexity up to {options.max_perplexity:g}, {options.tech}, {pace}",
        basis=f"{tech.status}, pre-layout",
        chosen=position,
        errors=_model_errors(tech, points["pe"].astype(str).unique()),
    )
    plot.save(figure, folder / "front.png")

    spec = spec_of_row(best_points.iloc[position])
    if options.measure:
        say("[4/6] measure the formats of the point with the smallest pJ/MAC over TOPS/mm²")
        _measure(spec, best_points["perplexity"].iloc[position], options.model, say, watch)
    else:
        say("[4/6] measure nothing: perplexities are the table's")
    say("[5/6] emit the Verilog of that point")
    emission = emit(spec, clock=None if clock is None else {"tech": tech.name, "clk_period_ns": clock})
    write_atomic(folder / f"{emission.top}.v", emission.verilog, "demo")
    write_atomic(folder / f"{emission.top}.json", json.dumps(emission.manifest, indent=2) + "\n", "demo")
    say(f"      {spec.family} {spec.m}x{spec.n}x{spec.k}, {len(emission.verilog.splitlines()):,} lines of Verilog")

    say("[6/6] run the layer through that Verilog and compare with the golden PyTorch layer")
    run = run_layer(spec, weights, acts, name=options.layer, progress=lambda line: say(f"      {line}"))
    from hwgen.cli.run import report

    for line in report(run):
        say("      " + line)
    write_atomic(folder / "run.json", json.dumps({**run.document(), **facts_text()}, indent=2) + "\n", "demo")
    say(f"look at {folder}/front.png, front.md, sweep.parquet, {emission.top}.v, {emission.top}.json, run.json")
    return run
