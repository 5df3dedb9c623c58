"""``hwgen sweep``: evaluate many tiles on layers and show the Pareto front."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from hwgen.cli._accuracy import accuracy_options, lookup
from hwgen.cli._layer import LAYER_HELP, needs, parse_layer
from hwgen.cli._level import Level, Leveled
from hwgen.cli._progress import bars
from hwgen.cli._table import Column, Sheet, format_option
from hwgen.cli._tech import OWN, clock_options
from hwgen.cli._values import OutputFile, Whole
from hwgen.cli._workload import PhaseOptions, asked, one_source, workload_option
from hwgen.errors import HwgenError, suggest
from hwgen.pe import family, family_names

if TYPE_CHECKING:
    from dse.level import Level as LevelOfSweeps
    from dse.space import Space
    from dse.sweep import Sweep
    from hwgen.schedule import Layer

__all__ = ["command"]

_SHAPE_AXES = ("m", "n", "k", "bits")
"""What a sweep varies unless an axis says otherwise: tile shape and weight width."""
_AROUND_AXES = ("bus_bits", "weight_ring", "act_ring")
"""What it varies of accelerators, too."""

_MOST_PRODUCTS = 1024
"""Most different products of a model in a sweep."""


@click.command(
    cls=Leveled,
    levels={"accelerator": Level("accelerator")},
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    epilog="Example: hwgen sweep --pe int --bits 2,4 --layer 8x1536x576 -o points.parquet",
)
@click.option(
    "--pe", "families", multiple=True, metavar="FAMILY", help=f"PE family, may be repeated: {', '.join(family_names())}"
)
@click.option("--layer", "layers", multiple=True, metavar="MxNxK", help=f"{LAYER_HELP}; may be repeated")
@workload_option
@click.option(
    "--axis",
    "axes",
    multiple=True,
    metavar="NAME=VALUES",
    help="values of a parameter: 2,3,4 or first:last:step or first:last:*factor; NAME alone: the family's sweep "
    "values; values of the same name add up",
)
@click.option("--full", is_flag=True, help="all sweep values of all parameters that no axis names")
@click.option(
    "--objective",
    "objectives",
    multiple=True,
    metavar="COLUMN",
    help="column to minimise, to maximise as -COLUMN (default area_um2, latency_us)",
)
@clock_options
@click.option(
    "-o",
    "--output",
    type=OutputFile("Parquet", "CSV", need_suffix=True),
    metavar="FILE",
    help="file of all points, .parquet or .csv; an interrupted sweep goes on from its parts",
)
@click.option(
    "--plot",
    type=OutputFile(
        "PNG",
        "SVG",
        need_suffix=True,
        bare=True,
        expand=lambda path: [path.with_suffix(end) for end in (".png", ".svg")],
    ),
    metavar="FILE",
    help="plot of the first two objectives, PNG and SVG",
)
@click.option(
    "--table",
    "table_file",
    type=OutputFile("Markdown", "CSV", need_suffix=True),
    metavar="FILE",
    help="table of the front, .md or .csv",
)
@accuracy_options(
    "columns perplexity, kl_nats and agreement: of a language model with each point's formats, where measured"
)
@click.option("--top", type=Whole(), default=10, show_default=True, help="points of the front to print")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@format_option
@click.pass_context
def command(
    context: click.Context,
    level: str,
    families: tuple[str, ...],
    layers: tuple[str, ...],
    workload: str | None,
    phase: PhaseOptions,
    dims: tuple[str, ...],
    axes: tuple[str, ...],
    full: bool,
    objectives: tuple[str, ...],
    tech: str,
    clk_period_ns: tuple[float, ...] | str | None,
    output: Path | None,
    plot: Path | None,
    table_file: Path | None,
    accurate: bool,
    measure: bool,
    top: int,
    as_json: bool,
    form: str,
) -> None:
    """Sweep tiles and print the Pareto front: `hwgen sweep --pe int --pe lut --bits 2,4,8 --layer 8x1536x576`.

    Every parameter of a family is also a flag that takes a list of values: `--n 8,16` is `--axis n=8,16`. Values of an
    axis that is named again are added to those before. Shape and weight width (m, n, k, bits) take the families' sweep
    values where no axis names them; other parameters keep their defaults. Points that are not legal, or that a layer
    does not fit, are counted with the reason. Off-chip memory is not counted. With `--workload smollm2-135m --phase
    decode` the layers are a model's products.

    With --level accelerator points are tiles with memory around them, each layer its best job: parameters of the
    accelerator (`hwgen emit --level accelerator --help`) and of its memory are axes, too, of which bus_bits,
    weight_ring and act_ring take their sweep values where no axis names them. Cycles are by closed form.

    --objective perplexity (or kl_nats, -agreement) asks for --accuracy.
    """
    one_source("sweep", layers, workload, phase, dims)
    needs("sweep", "dse", "pandas", "pyarrow", "moocore")
    from dse.level import ACCURACY
    from dse.sweep import run_sweep

    names = tuple(dict.fromkeys(families)) or family_names()
    made = _levels()[level]
    spaces = _spaces(names, _axes([*axes, *_flags(context.args)]), full, made, placed=clk_period_ns == OWN)
    if workload is None:
        shapes, title = [parse_layer(text) for text in layers], f"layer {', '.join(layers)}"
    else:
        shapes, title = _products(workload, phase, dims)
    wanted = tuple(dict.fromkeys(objectives)) or ("area_um2", "latency_us")
    if accurate or measure or {name.removeprefix("-") for name in wanted} & {*ACCURACY}:
        from dse.accuracy import with_accuracy

        made = with_accuracy(made, lookup(measure))
    _check_plot(plot, wanted)
    with bars(TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("evaluate", total=sum(space.size for space in spaces))
        result = run_sweep(
            spaces,
            shapes,
            objectives=wanted,
            tech=tech,
            clk_period_ns=clk_period_ns,
            output=output,
            level=made,
            command=shlex.join(["hwgen", *sys.argv[1:]]),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if not len(result.points):
        reasons = "; ".join(f"{count:,} × {reason}" for reason, count in result.skipped.items())
        raise HwgenError(f"sweep: none of the {result.looked_at:,} points is legal: {reasons}")
    written = [output] if output else []
    written += _reports(result, plot, table_file, title)
    if as_json:
        click.echo(json.dumps(_document(result, top), indent=2))
    else:
        _print(result, top, written, Sheet(form))


def _products(workload: str, phase: PhaseOptions, dims: Sequence[str]) -> tuple[list[Layer], str]:
    """Products of a model in a phase, equal ones once, and what they are in words.

    Raises `HwgenError` for more different products than a sweep is good for: every point is evaluated on each.
    """
    model, chosen = asked(workload, phase, dims)
    different = sum(1 if not run.grows else run.steps for run in model.runs(chosen))
    if different > _MOST_PRODUCTS:
        raise HwgenError(
            f"sweep: {model.name}, {chosen}, has {different:,} different products, more than {_MOST_PRODUCTS}; "
            "sweep --phase decode at the middle of the contexts, or `hwgen estimate` the generation on one tile"
        )
    layers = model.layers(chosen)
    if not layers:
        raise HwgenError(f"sweep: workload {model.name} holds no product")
    return layers, f"{model.name}, {chosen}"


def _axes(texts: Sequence[str]) -> dict[str, tuple[str, ...] | None]:
    """Values of each axis, those of all its mentions; None stands for the family's own and may be one of them."""
    from dse.space import OWN, parse_axis

    found: dict[str, tuple[str, ...] | None] = {}
    for text in texts:
        name, values = parse_axis(text)
        if name in found:
            values = tuple(dict.fromkeys([*(found[name] or (OWN,)), *(values or (OWN,))]))
        found[name] = values
    return found


def _flags(words: Sequence[str]) -> list[str]:
    """``--NAME VALUES`` and ``--NAME=VALUES`` that are no options of the command, as the axes NAME=VALUES."""
    found: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or word == "--":
            raise HwgenError(f"sweep: unexpected argument {word!r}; families are given as --pe FAMILY")
        if "=" not in word:
            if not rest or rest[0].startswith("--"):
                raise HwgenError(f"sweep: {word} needs values, e.g. {word} 2,4,8")
            word = f"{word}={rest.pop(0)}"
        found.append(word.removeprefix("--"))
    return found


def _levels() -> dict[str, LevelOfSweeps]:
    from dse.designs import ACCELERATORS
    from dse.tiles import TILES

    return {level.name: level for level in (TILES, ACCELERATORS)}


def _spaces(
    names: Sequence[str],
    axes: dict[str, tuple[str, ...] | None],
    full: bool,
    level: LevelOfSweeps,
    *,
    placed: bool,
) -> list[Space]:
    """One space a family, each with the axes that it has; ``placed``: full spaces place registers, as no clock does."""
    from dse.space import Space, axis_target
    from sim.clock import by_hand

    specs = {name: family(name) for name in names}
    around = level.around.parameters if level.around else {}
    for axis in axes:
        if axis not in around and all(axis_target(spec, axis) is None for spec in specs.values()):
            for other in _levels().values():
                if other.around and axis in other.around.parameters:
                    flag = other.around.parameters[axis].flag
                    raise HwgenError(f"sweep: {flag} goes with --level {other.name}, not with --level {level.name}")
            known = list(dict.fromkeys([*(key for spec in specs.values() for key in spec.parameters()), *around]))
            raise HwgenError(
                f"sweep: no parameter {axis!r} in {', '.join(names)}{suggest(axis, known)}; "
                f"they have {', '.join(known)}"
            )
    spaces = []
    for name, spec in specs.items():
        given = {axis: target for axis in axes if (target := axis_target(spec, axis)) is not None}
        every = [axis for axis in spec.parameters() if placed or not by_hand(spec, [axis])]
        swept = every if full else [axis for axis in _SHAPE_AXES if axis_target(spec, axis) is not None]
        # An axis takes the place of the parameter that it stands for.
        own: dict[str, tuple[str, ...] | None] = {
            axis: None for axis in swept if axis_target(spec, axis) not in given.values()
        }
        own |= {axis: axes[axis] for axis in given}
        spaces += Space.split(name, own, strict=len(specs) == 1)
    _refuse_values_of_no_family(spaces, axes)
    if level.around is None:
        return spaces
    beside: dict[str, tuple[str, ...] | None] = dict.fromkeys(around if full else _AROUND_AXES)
    beside |= {axis: values for axis, values in axes.items() if axis in around}
    return [space.beside(level.around, beside) for space in spaces]


def _refuse_values_of_no_family(spaces: Sequence[Space], axes: dict[str, tuple[str, ...] | None]) -> None:
    """A value that one family lacks is skipped there; a value that every family lacks is a mistake."""
    from dse.space import Space, axis_target

    for axis, values in axes.items():
        having = [space for space in spaces if axis_target(space.spec, axis) is not None]
        for value in values or () if having else ():
            messages = []
            for space in having:
                try:
                    Space.of(space.family, {axis: (value,)})
                except HwgenError as error:
                    messages.append(str(error))
                else:
                    break
            else:
                raise HwgenError(messages[0])


def _check_plot(plot: Path | None, objectives: Sequence[str]) -> None:
    """Refuse before the work what would fail after it."""
    if plot:
        needs("sweep --plot", "dse", "matplotlib")
        if len(objectives) < 2:
            raise HwgenError(f"sweep: --plot needs two objectives, not {', '.join(objectives)}")


def _reports(result: Sweep, plot: Path | None, table_file: Path | None, layers: str) -> list[Path]:
    from dse.pareto import choose
    from hwgen.files import write_all
    from reports import table

    files: list[tuple[Path, str | bytes]] = []
    if plot:
        from reports.plot import pareto_figure, render

        x, y = result.objectives[:2]
        title = f"{layers}; {result.metadata['tech']}; {len(result.points):,} points"
        figure = pareto_figure(
            result.points,
            result.front,
            x=x,
            y=y,
            title=title,
            basis=result.metadata["status"],
            chosen=choose(result.front, result.objectives),
        )
        files += render(figure, plot)
    if table_file:
        columns = table.columns_of(result.front, result.objectives)
        files.append((table_file, table.text(result.front, table_file, columns)))
    write_all(files, "sweep")
    return [path for path, _ in files]


def _document(result: Sweep, top: int) -> dict[str, object]:
    from dse.pareto import choose

    return {
        **result.metadata,
        "points": len(result.points),
        "points_per_second": result.points_per_second,
        "objectives": list(result.objectives),
        "front_points": len(result.front),
        "chosen": choose(result.front, result.objectives),
        "front": json.loads(result.front.head(top).to_json(orient="records")),
    }


def _print(result: Sweep, top: int, written: Sequence[Path], sheet: Sheet) -> None:
    import pandas as pd

    from dse.pareto import choose
    from reports.table import columns_of, format_cell

    columns = columns_of(result.front, result.objectives)
    chosen = choose(result.front, result.objectives)
    shown = sorted({*range(min(top, len(result.front))), chosen})
    rows = []
    for index in shown:
        row = result.front.iloc[index]
        rows.append(["*" if index == chosen else "", *(row[name] for name in columns)])
    heads = [Column("" if sheet.form == "text" else "chosen")]
    heads += [Column(name, right=pd.api.types.is_numeric_dtype(result.front[name])) for name in columns]
    sheet.table(heads, rows, lambda name, value: format_cell(name, value) if name else str(value))
    sheet.say(
        f"{len(result.front):,} of {len(result.points):,} points are on the front of {', '.join(result.objectives)}; "
        f"{len(shown)} shown, * has the smallest product of the objectives"
    )
    beyond = result.front["extrapolated"].astype(str)
    if (beyond != "").any():
        names = sorted({name for text in beyond for name in text.split()})
        sheet.say(
            f"{(beyond != '').sum():,} points of the front are extrapolated, beyond all measured tiles, in "
            f"{', '.join(names)}"
        )
    if "perplexity" in result.points and (unknown := result.points["perplexity"].isna()).any():
        sheet.say(f"{unknown.sum():,} points have formats whose accuracy was not measured; --measure measures them")
    if result.seconds:
        sheet.say(f"{result.looked_at:,} points looked at, {result.points_per_second:,.0f} a second")
    if result.resumed:
        sheet.say(f"{result.resumed:,} points taken from an earlier run")
    for reason, count in result.skipped.items():
        sheet.say(f"skipped {count:,}: {reason}")
    if "meets_clock" in result.front and (late := ~result.front["meets_clock"].astype(bool)).any():
        needed = result.front.loc[late, ["min_clk_period_ns", "memory_cycle_ns"]].max()
        parts = [f"{what} {ns:.3f} ns" for what, ns in zip(("logic", "memories"), needed, strict=True) if ns == ns]
        sheet.say(
            f"{late.sum():,} points of the front do not keep the clock: {' and '.join(parts)} are needed; with "
            "--clk-period-ns such points are left out"
        )
    about = result.metadata
    sheet.say(f"areas, energies and periods are {about['status']} ({about['tech']}); cycles are {about['cycles']}")
    sheet.say(f"off-chip memory is {about['off_chip_memory']}")
    for path in written:
        sheet.say(f"wrote {path}")
