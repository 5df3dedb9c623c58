"""``hwgen estimate``: cycles, area and energy of a layer on a tile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwgen.cli._accuracy import accuracy_options, lookup, words
from hwgen.cli._layer import LAYER_HELP, parse_layer
from hwgen.cli._level import Level, LevelCommand
from hwgen.cli._system import SYSTEM, Asked, run_system
from hwgen.cli._table import Column, print_table
from hwgen.cli._tech import Clock
from hwgen.cli._values import OutputFile
from hwgen.cli._workload import PhaseOptions, asked, one_source, span, workload_option
from hwgen.errors import HwgenError
from hwgen.pe import TileSpec
from hwgen.schedule import Layer

if TYPE_CHECKING:
    from sim.accuracy.recipe import Recipe
    from sim.accuracy.table import Known
    from sim.estimate import Report
    from sim.workload import Phase, Run, Workload

__all__ = ["command"]


def _design() -> Sequence[Any]:
    from hwgen.accelerator import Design
    from hwgen.accelerator.use import Use

    return Design, Use


_ACCELERATOR = Level(
    "accelerator",
    declares=_design,
    params=[
        click.Option(
            ["--all", "every"], is_flag=True, help="list every legal order and residency, not the best one alone"
        ),
        click.Option(
            ["--timeline", "timeline_file"],
            type=OutputFile("PNG", "JSON", need_suffix=True),
            metavar="FILE",
            help="write what tile, rings and memory do in the first cycles: a picture (.png) or a trace for Perfetto "
            "(.json)",
        ),
    ],
)


@click.command(
    cls=LevelCommand,
    levels={"accelerator": _ACCELERATOR, "system": SYSTEM},
    epilog="Example: hwgen estimate --pe lut --bits 2 --layer 8x1536x576",
)
@click.option("--layer", "layers", multiple=True, metavar="MxNxK", help=f"{LAYER_HELP}; may be repeated")
@workload_option
@accuracy_options("what a language model loses with the tile's formats, where that was measured")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(
    spec: TileSpec,
    clock: Clock,
    layers: tuple[str, ...],
    workload: str | None,
    phase: PhaseOptions,
    dims: tuple[str, ...],
    accurate: bool,
    measure: bool,
    as_json: bool,
    values: dict[str, Any] | None,
    level: str,
    every: bool = False,
    timeline_file: Path | None = None,
    **asked_for: Any,
) -> None:
    """Estimate layers or a model on a tile: `hwgen estimate --pe lut --bits 2 --layer 8x1536x576` or `hwgen estimate
    --pe int --workload smollm2-135m --phase decode --context 1024`.

    Cycles are exact. Areas, energies and clock periods are pre-layout, measured on blocks of the family (`--tech`).
    Off-chip memory is not counted. Products of a model run one after the other; those with the same sizes are
    evaluated once.

    `--level accelerator` puts memory around the tile: for each layer its best job, cycles, what the tile waits for and
    what is moved; then area and energy of all parts.

    `--level system` is a model on several of them that share a memory: a tree of its parts with cycles, waits, bytes,
    energies and mappings; tokens a second, joules a token. Its options imply it: `hwgen estimate --pe bitmod --workload
    llama-2-7b --cores 16 --kv int8`.

    `--accuracy` adds perplexity, KL divergence and agreement of a language model that is stored in the tile's formats.
    """
    from sim.estimate import estimate
    from sim.tech import DEFAULT

    one_source("estimate", layers, workload, phase, dims)
    accuracy = _accuracy(spec, measure) if accurate or measure else None
    if level == "system" and values is not None:
        model, chosen = asked(workload or "", phase, dims)
        run_system(
            spec, clock, values, model, chosen, Asked(_document(accuracy), every=every, as_json=as_json, **asked_for)
        )
        if accuracy is not None and not as_json:
            click.echo(words(*accuracy))
        return
    if values is not None:
        products = [parse_layer(text) for text in layers] if workload is None else _products(workload, phase, dims)
        _accelerator(spec, clock, products, values, as_json, every, timeline_file, accuracy)
        return
    tech = clock.tech or DEFAULT
    if workload is None:
        first, *others = (estimate(spec, parse_layer(text), tech, clock.period_ns) for text in layers)
        report = sum(others, start=first)
        if as_json:
            click.echo(json.dumps({**report.as_dict(), **_document(accuracy)}, indent=2))
            return
        _print(report, clock.words(spec), accuracy)
        return
    from sim.workload.cost import estimate_runs

    model, chosen = asked(workload, phase, dims)
    parts = estimate_runs(spec, model.runs(chosen), tech, clock.period_ns)
    if not parts:
        raise HwgenError(f"estimate: workload {model.name} holds no product")
    report = sum((one for _, one in parts[1:]), start=parts[0][1])
    if as_json:
        found = {"workload": model.name, "phase": {"name": chosen.name, **vars(chosen)}, **report.as_dict()}
        found |= _document(accuracy)
        click.echo(json.dumps({**found, "operators": [_operator(*part) for part in parts]}, indent=2))
        return
    _print_parts(model, chosen, parts, report)
    _print(report, clock.words(spec), accuracy)


Accuracy = tuple["Known | None", "Recipe"]


def _accuracy(spec: TileSpec, measure: bool) -> Accuracy:
    """What a language model loses with a tile's formats; None where that was not measured."""
    from sim.accuracy.tile import formats_of

    asked = formats_of(spec)
    return lookup(measure)(asked), asked


def _document(accuracy: Accuracy | None) -> dict[str, Any]:
    """For JSON: nothing where nobody asked, null where nothing was measured."""
    if accuracy is None:
        return {}
    known, asked = accuracy
    from sim.accuracy.table import provenance_of

    names = ("model", "text", "windows", "window_tokens")
    about = {name: provenance_of()[name] for name in names}
    found = None if known is None else {**vars(known), **about}
    return {"accuracy": {"formats": asked.document()["formats"], "measured": found}}


def _products(workload: str, phase: PhaseOptions, dims: tuple[str, ...]) -> list[Layer]:
    """Products of a model, equal ones once. Raises `HwgenError` where there is none."""
    model, chosen = asked(workload, phase, dims)
    found = model.layers(chosen)
    if not found:
        raise HwgenError(f"estimate: workload {model.name} holds no product")
    return found


def _accelerator(
    spec: TileSpec,
    clock: Clock,
    layers: Sequence[Layer],
    values: Mapping[str, Any],
    as_json: bool,
    every: bool,
    timeline_file: Path | None,
    accuracy: Accuracy | None,
) -> None:
    from hwgen.accelerator import Design
    from hwgen.accelerator.use import Use
    from hwgen.cli._job_costs import job_costs, print_costs
    from hwgen.cli._jobs import as_dict, found_jobs, print_jobs, write_timeline

    if timeline_file is not None and len(layers) > 1:
        raise HwgenError(f"estimate: --timeline shows one layer, not {len(layers)}; give one --layer")
    known = Use.parameters()
    design = Design.from_values(spec, {name: value for name, value in values.items() if name not in known})
    use = Use.from_values({name: value for name, value in values.items() if name in known})
    found = [found_jobs(design, layer, use, every) for layer in layers]
    if timeline_file is not None:
        write_timeline(found[0], timeline_file)
    costs = job_costs(found, clock.tech, clock.period_ns)
    if as_json:
        document = as_dict(found, every)
        document = {**document, "cost": None if costs is None else costs.as_dict(), **_document(accuracy)}
        click.echo(json.dumps(document, indent=2))
        return
    print_jobs(found, every, clock.period_ns)
    click.echo()
    if costs is None:
        click.echo("no area or energy: the block before the ring of activations is not measured")
    else:
        print_costs(costs)
    if accuracy is not None:
        click.echo(words(*accuracy))


def _operator(run: Run, report: Report) -> dict[str, object]:
    """One product for JSON; ``n_last`` and ``k_last`` are those of the last step where the context grows."""
    return {
        "roles": run.role.split("+"),
        "m": run.m,
        "n": run.n,
        "k": run.k,
        "n_last": run.largest.n,
        "k_last": run.largest.k,
        "count": run.total_count,
        "macs": report.macs,
        "cycles": report.cycles + report.pre_cycles,
        "latency_us": report.latency_us,
        "utilization": report.utilization,
        "energy_pj": report.total_energy_pj,
    }


def _print_parts(model: Workload, phase: Phase, parts: Sequence[tuple[Run, Report]], whole: Report) -> None:
    click.echo(f"{model.name}: {phase}")
    columns = [Column("roles", right=False, fold=True)]
    columns += [Column(name) for name in ("M", "N", "K", "count", "cycles", "", "utilisation", "energy [pJ]", " ")]
    rows = []
    every = whole.cycles + whole.pre_cycles
    for run, report in parts:
        n, k = (span(a, b) for a, b in ((run.n, run.largest.n), (run.k, run.largest.k)))
        cycles, energy = report.cycles + report.pre_cycles, report.total_energy_pj
        shares = f"{cycles / every:.1%}", f"{energy / whole.total_energy_pj:.1%}"
        line = [f"{run.role}", f"{run.m:,}", n, k, f"{run.total_count:,}", f"{cycles:,}", shares[0]]
        rows.append([*line, f"{report.utilization:.1%}", f"{energy:,.0f}", shares[1]])
    print_table(columns, rows)
    held = [run.role for run, _ in parts if set(run.operand.split("+")) - {"weights"}]
    if held:
        click.echo(
            f"evaluated with the second operand in the tile's weight format, though no weights: {', '.join(held)}"
        )
    if model.beside:
        click.echo(f"not counted: {', '.join(f'{one.what} × {one.count}' for one in model.beside)}")
    click.echo()


def _print(report: Report, registers: str, accuracy: Accuracy | None) -> None:
    from sim.estimate import OFF_CHIP

    if report.meets_clock is False:
        click.echo(
            f"the clock of {report.clk_period_ns:g} ns cannot be met: the tile needs {report.min_clk_period_ns:.3f} ns"
        )
    click.echo(f"tile: {report.tile}")
    click.echo(registers)
    click.echo(f"layers: {', '.join(dict.fromkeys(report.layers))}; {report.macs:,} MACs")
    pre = f", {report.pre_cycles:,} of them before the activation buffer" if report.pre_cycles else ""
    click.echo(
        f"cycles: {report.cycles + report.pre_cycles:,}{pre} (exact); {report.latency_us:,.3f} µs at "
        f"{report.clk_period_ns:.4g} ns; utilisation {report.utilization:.1%}"
    )
    columns = [Column("block", right=False), *map(Column, ("area [µm²]", "", "energy [pJ]", ""))]
    rows = []
    area, energy = report.total_area_um2, report.total_energy_pj
    for name in dict.fromkeys([*report.area_um2, *report.energy_pj]):
        um2, pj = report.area_um2.get(name, 0.0), report.energy_pj.get(name, 0.0)
        if um2 or pj:
            shown = (f"{um2:,.5g}", f"{um2 / area:.1%}") if um2 else ("", "")
            rows.append((name, *shown, f"{pj:,.0f}", f"{pj / energy:.1%}"))
    rows.append(("total", f"{area:,.5g}", "", f"{energy:,.0f}", ""))
    print_table(columns, rows, bold_last=True)
    click.echo(
        f"energy per MAC: {report.energy_pj_per_mac:.4g} pJ; power {report.power_mw:.4g} mW; area "
        f"{report.total_area_ge:,.0f} gate equivalents"
    )
    click.echo(f"areas, energies and periods are {report.status}, pre-layout ({report.tech}); cycles are exact")
    if report.extrapolated:
        click.echo(f"extrapolated, beyond all measured tiles: {'; '.join(report.extrapolated)}")
    click.echo(f"energies of buffers (sram) are {report.buffer_status}")
    click.echo(f"off-chip memory is {OFF_CHIP}")
    if accuracy is not None:
        click.echo(words(*accuracy))
