"""``hwgen sweep``: evaluate many designs on layers and show the Pareto front."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from hwgen.cli._accuracy import accuracy_options, lookup
from hwgen.cli._layer import LAYER_HELP, needs
from hwgen.cli._level import Level, Leveled
from hwgen.cli._progress import bars
from hwgen.cli._scenes import of_file, of_layers, of_model, scenes
from hwgen.cli._sweep_options import (
    OutputSweep,
    engine_of,
    engine_options,
    parse_baseline,
    search_of,
    search_options,
    space_options,
)
from hwgen.cli._table import Column, Sheet, forms_option, split_forms
from hwgen.cli._tech import OWN, clock_options
from hwgen.cli._values import OutputFile, Whole
from hwgen.cli._workload import PhaseOptions, one_source, workload_option
from hwgen.errors import HwgenError, HwgenWarning, suggest
from hwgen.formats import FormatFile, read_format
from hwgen.pe import family, family_names, family_of_file

if TYPE_CHECKING:
    from dse.explore import Explored
    from dse.level import Level as LevelOfSweeps
    from dse.plan import LevelSpec, Plan, Scene
    from dse.space import Space
    from dse.space_file import Axes, SpaceFile
    from dse.sweep import Sweep

__all__ = ["command"]

_SHAPE_AXES = ("m", "n", "k", "bits")
"""What a sweep varies unless an axis says otherwise: tile shape and weight width."""
_AROUND_AXES = ("bus_bits", "weight_ring", "act_ring")
"""What it varies of accelerators, too."""
_ENUMERABLE = 10**9
"""Points from which on evaluating all of them takes minutes to hours."""


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
@space_options
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
    type=OutputSweep("Parquet", "CSV", need_suffix=True),
    metavar="FOLDER|FILE",
    help="folder (no suffix) of the front, a sample and what each axis value came to, or file of all points, .parquet "
    "or .csv; an interrupted sweep goes on where it stopped",
)
@engine_options
@search_options
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
@forms_option("designs with it")
@click.pass_context
def command(
    context: click.Context,
    level: str,
    families: tuple[str, ...],
    layers: tuple[str, ...],
    workload: str | None,
    phase: PhaseOptions,
    dims: tuple[str, ...],
    space_file: Path | None,
    print_space: bool,
    conditions: tuple[str, ...],
    baseline: str | None,
    axes: tuple[str, ...],
    full: bool,
    objectives: tuple[str, ...],
    tech: str,
    clk_period_ns: tuple[float, ...] | str | None,
    output: Path | None,
    store: str | None,
    engine: str,
    scheduler: str | None,
    jobs: int | None,
    look: bool,
    evaluations: int | None,
    population: int | None,
    seed: int | None,
    plot: Path | None,
    table_file: Path | None,
    accurate: bool,
    measure: bool,
    top: int,
    as_json: bool,
    forms: tuple[str, ...],
) -> None:
    """Sweep designs and print the Pareto front: `hwgen sweep --pe int --pe lut --bits 2,4,8 --layer 8x1536x576`.

    Every parameter of a family is also a flag that takes a list of values: `--n 8,16` is `--axis n=8,16`. Values of an
    axis that is named again are added to those before. Shape and weight width (m, n, k, bits) take the families' sweep
    values where no axis names them; other parameters keep their defaults. Points that are not legal, that a layer does
    not fit, or that do not meet --where are counted with the reason. Off-chip memory is not counted. With `--workload
    smollm2-135m --phase decode` the layers are a model's products.

    With --level accelerator points are tiles with memory around them, each layer its best job: parameters of the
    accelerator (`hwgen emit --level accelerator --help`) and of its memory are axes, too, of which bus_bits,
    weight_ring and act_ring take their sweep values where no axis names them. Cycles are by closed form.

    Any number of points, in constant memory, on all cores, is a folder, which `hwgen query` and `hwgen pareto` read:

    \b
      hwgen sweep --pe int --pe lut --bits 2,4,8 --n 8:64:8 --k 4,8,16 \\
        --workload smollm2-135m --phase decode --clk-period-ns 4,8 \\
        --objective area_um2 --objective=-tokens_per_s --where "area_um2 <= 1e6" -o edge
      hwgen pareto edge --knee
      hwgen query "select bits, min(energy_pj) from front group by bits" edge

    The same as a file, which also holds several workloads and technologies: `hwgen sweep --space decode --print-space >
    mine.toml`, then `hwgen sweep mine.toml -o mine`.

    Of a space too large for that, --search evaluates some points and looks for the front among them:

    \b
      hwgen sweep --space decode --full --search --evaluations 20000 --seed 1 -o large

    --objective perplexity (or kl_nats, -agreement) asks for --accuracy. With --format a.toml --format b.toml designs
    have number formats from files, each in the family that takes it.
    """
    needs("sweep", "dse", "pandas", "pyarrow", "moocore", "threadpoolctl")
    from dse.plan import make_plan
    from dse.space_file import SpaceFile, read_space, space_path

    form, files = split_forms("sweep", forms)
    words, named = _space_word(context.args)
    if named is not None and space_file is not None:
        raise HwgenError(f"sweep: one space must be given, not --space {str(space_file)!r} and {named!r}")
    source = space_file or (Path(named) if named else None)
    if print_space:
        if source is None:
            raise HwgenError("sweep: --print-space goes with --space NAME, e.g. --space decode")
        read_space(source)
        click.echo(space_path(source).read_text(encoding="utf-8"), nl=False)
        return
    given = SpaceFile() if source is None else read_space(source)
    if layers or workload or not given.workloads:
        one_source("sweep", layers, workload, phase, dims)
        works = [of_layers(layers) if workload is None else of_model(workload, phase, dims)]
    else:
        works = of_file(given.workloads)
    level_name = _level_of(context, level, given)
    files = files or tuple(read_format(file) for file in given.formats)
    names, flags = tuple(dict.fromkeys(families)) or given.families, _axes([*axes, *_flags(words)])
    # A format is a space of its own: what it says of groups and scales goes with no other.
    every = [_with_format(one, names, flags, given) for one in files] or [
        (tuple(names or family_names()), flags, given)
    ]
    spaces = [
        space
        for some, own, of_file in every
        for space in _spaces(
            some,
            own,
            of_file,
            full or given.full,
            _levels()[level_name],
            placed=(clk_period_ns or given.clk_period_ns) == OWN,
        )
    ]
    explicit = context.get_parameter_source("tech") is click.core.ParameterSource.COMMANDLINE
    techs = _listed(tech) if explicit or not given.techs else given.techs
    stage = scenes(works, techs, clk_period_ns or given.clk_period_ns)
    wanted = tuple(dict.fromkeys(objectives)) or given.objectives or ("area_um2", "latency_us")
    kind, base = _kind(level_name, given, (*given.where, *conditions), baseline, wanted, accurate, measure)
    _check_plot(plot, wanted)
    _check_store(output, store, engine, scheduler, jobs, stage)
    search = search_of(look, evaluations, population, seed, output, engine, jobs)
    # What a search evaluated is kept: it is no part of the space that a second look would find again.
    keep = store == "all" or (search is not None and output is not None and store is None)
    plan = make_plan(spaces, stage, wanted, kind, keep=keep, base=base, search=search)
    result = _evaluated(plan, output, engine=engine, scheduler=scheduler, jobs=jobs)
    written = [output] if output else []
    written += _reports(result, plot, table_file, "; ".join(title for title, _, _ in works))
    if as_json:
        click.echo(json.dumps(_document(result, top), indent=2))
    else:
        _print(result, top, written, Sheet(form), numbered=output is not None and not output.suffix)


def _evaluated(
    plan: Plan, output: Path | None, *, engine: str, scheduler: str | None, jobs: int | None
) -> Sweep | Explored:
    """All rows of a file in memory, anything else part by part."""
    from dse.explore import explore
    from dse.sweep import run_sweep
    from dse.where import miss_sentence

    in_parts = output is None or _is_folder(output)
    if in_parts and plan.search is None and engine == "local" and plan.size > _ENUMERABLE:
        warnings.warn(
            f"sweep: all {plan.size:,} points are evaluated, which takes long; --search looks for their front",
            HwgenWarning,
            stacklevel=2,
        )
    command = shlex.join(["hwgen", *sys.argv[1:]])
    with bars(TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        points = plan.size if plan.search is None else plan.search.evaluations * len(plan.points_of_workloads)
        task = bar.add_task("evaluate", total=points)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        if in_parts:
            who = None if plan.search else engine_of(plan, engine, scheduler, jobs)
            return explore(plan, output, engine=who, command=command, progress=progress)
        (scene,) = plan.scenes
        result = run_sweep(
            plan.spaces,
            scene.layers,
            objectives=plan.objectives,
            tech=scene.tech,
            clk_period_ns=[OWN if clock.period_ns is None else clock.period_ns for clock in scene.clocks]
            if any(clock.named for clock in scene.clocks)
            else None,
            output=output,
            level=plan.level,
            command=command,
            progress=progress,
        )
    if not result.legal:
        sentence = miss_sentence(plan.level.constraints, result.missed)
        reasons = "; ".join(f"{count:,} × {reason}" for reason, count in result.skipped.items())
        raise HwgenError(f"sweep: {sentence or f'none of the {result.looked_at:,} points is legal: {reasons}'}")
    return result


def _is_folder(output: Path) -> bool:
    return output.is_dir() or not output.suffix


def _level_of(context: click.Context, level: str, given: SpaceFile) -> str:
    """The level of the flags, else of the space's file."""
    if "hwgen.level" in context.meta or given.level is None:
        return level
    names = list(_levels())
    if given.level not in names:
        raise HwgenError(f"space: level must be {' or '.join(names)}, not {given.level!r}{suggest(given.level, names)}")
    return given.level


def _listed(tech: str) -> tuple[str, ...]:
    """Technologies with commas, unless that is the name of a file."""
    return (tech,) if Path(tech).exists() else tuple(tech.split(","))


def _kind(
    level: str,
    given: SpaceFile,
    conditions: Sequence[str],
    baseline: str | None,
    objectives: Sequence[str],
    accurate: bool,
    measure: bool,
) -> tuple[LevelSpec, LevelOfSweeps | None]:
    """How the level is made, and, where accuracies are measured on the way, what it is made from."""
    from dse.level import ACCURACY
    from dse.plan import LevelSpec
    from dse.where import parse_condition

    needed = {name.removeprefix("-") for name in objectives} | {parse_condition(text).column for text in conditions}
    accurate = accurate or given.accuracy or bool(needed & {*ACCURACY})
    compared = given.baseline if baseline is None else parse_baseline(baseline)
    kind = LevelSpec(level, accurate or measure, tuple(conditions), tuple(compared.items()))
    if not measure:
        return kind, None
    from dse.accuracy import with_accuracy

    return kind, with_accuracy(_levels()[level], lookup(measure))


def _check_store(
    output: Path | None,
    store: str | None,
    engine: str,
    scheduler: str | None,
    jobs: int | None,
    stage: Sequence[Scene],
) -> None:
    """Refuse what a file of all points cannot hold, and what goes with something that is not asked for."""
    if scheduler is not None and (engine != "dask" or not scheduler.strip()):
        raise HwgenError(f"sweep: --scheduler goes with --engine dask, as an address, not {scheduler!r} with {engine}")
    if output is None:
        if store is not None:
            raise HwgenError("sweep: --store goes with -o FOLDER")
        return
    if _is_folder(output):
        return
    hint = f"name a folder: -o {output.with_suffix('')}"
    if len(stage) > 1:
        raise HwgenError(f"sweep: a file holds one workload in one technology, not {len(stage)} of them; {hint}")
    for flag, is_given in (
        ("--store", store == "front"),
        ("--engine", engine != "local"),
        ("--jobs", jobs is not None),
    ):
        if is_given:
            raise HwgenError(f"sweep: {flag} goes with a folder, as a file is made of rows in one process; {hint}")


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


def _space_word(words: Sequence[str]) -> tuple[list[str], str | None]:
    """Words without the file of a space, and that file: the first word that ends in .toml and is no flag's value."""
    for place, word in enumerate(words):
        value = place and words[place - 1].startswith("--") and "=" not in words[place - 1]
        if word.endswith(".toml") and not word.startswith("-") and not value:
            return [*words[:place], *words[place + 1 :]], word
    return list(words), None


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


def _levels() -> Mapping[str, LevelOfSweeps]:
    from dse.plan import levels

    return levels()


def _spaces(
    names: Sequence[str],
    flags: Axes,
    given: SpaceFile,
    full: bool,
    level: LevelOfSweeps,
    *,
    placed: bool,
) -> list[Space]:
    """One space a family, each with the axes that it has; ``placed``: full spaces place registers, as no clock does.

    Axes of ``flags`` take the place of those of a space's file, whose axes of one family take that of its others.
    """
    from dse.space import Space, axis_target
    from sim.clock import by_hand

    specs = {name: family(name) for name in names}
    around = level.around.parameters if level.around else {}
    axes = {**given.axes, **flags}
    _check_axes(axes, specs, around, level, ", ".join(names))
    for name, own_axes in given.axes_of.items():
        _check_axes(own_axes, {name: family(name)}, {}, level, name)
    spaces = []
    for name, spec in specs.items():
        shared = {axis: values for axis, values in axes.items() if axis_target(spec, axis) is not None}
        alone = {axis: values for axis, values in given.axes_of.get(name, {}).items() if axis not in flags}
        targets = {axis_target(spec, axis) for axis in alone}
        chosen = {axis: values for axis, values in shared.items() if axis_target(spec, axis) not in targets} | alone
        every = [axis for axis in spec.parameters() if placed or not by_hand(spec, [axis])]
        swept = every if full else [axis for axis in _SHAPE_AXES if axis_target(spec, axis) is not None]
        # An axis takes the place of the parameter that it stands for.
        taken = {axis_target(spec, axis) for axis in chosen}
        own: dict[str, tuple[str, ...] | None] = {axis: None for axis in swept if axis_target(spec, axis) not in taken}
        own |= chosen
        spaces += Space.split(name, own, strict=len(specs) == 1)
    _refuse_values_of_no_family(spaces, axes)
    if level.around is None:
        return spaces
    beside: dict[str, tuple[str, ...] | None] = dict.fromkeys(around if full else _AROUND_AXES)
    beside |= {axis: values for axis, values in axes.items() if axis in around}
    return [space.beside(level.around, beside) for space in spaces]


def _with_format(
    form: FormatFile, names: Sequence[str], flags: Axes, given: SpaceFile
) -> tuple[tuple[str, ...], Axes, SpaceFile]:
    """Families that have a file's format, and axes with its parameters. Raises `HwgenError` where no family has it, or
    an axis says what it says.
    """
    taking = {}
    for name in names or family_names():
        values = family(name).values_of_file(form)
        if values is not None:
            taking[name] = values
    if not taking:
        spec, _ = family_of_file(form)
        raise HwgenError(f"sweep: --pe must be {spec.family} for the format of {form.path}, not {', '.join(names)}")
    said = {axis for values in taking.values() for axis in (*values, "bits")}
    for axis in (*flags, *given.axes, *(axis for own in given.axes_of.values() for axis in own)):
        if axis in said:
            raise HwgenError(f"sweep: {axis} must be no axis beside --format {form.path}, which says it")
    own = {
        name: {**given.axes_of.get(name, {}), **{key: (one,) for key, one in values.items()}}
        for name, values in taking.items()
    }
    return tuple(taking), flags, dataclasses.replace(given, axes_of=own)


def _check_axes(
    axes: Axes, specs: Mapping[str, Any], around: Mapping[str, Any], level: LevelOfSweeps, names: str
) -> None:
    """Refuse an axis that no family has, nor what is around its tiles."""
    from dse.space import axis_target

    for axis in axes:
        if axis in around or any(axis_target(spec, axis) is not None for spec in specs.values()):
            continue
        for other in _levels().values():
            if other is not level and other.around and axis in other.around.parameters:
                flag = other.around.parameters[axis].flag
                raise HwgenError(f"sweep: {flag} goes with --level {other.name}, not with --level {level.name}")
        known = list(dict.fromkeys([*(key for spec in specs.values() for key in spec.parameters()), *around]))
        raise HwgenError(f"sweep: no parameter {axis!r} in {names}{suggest(axis, known)}; they have {', '.join(known)}")


def _refuse_values_of_no_family(spaces: Sequence[Space], axes: Axes) -> None:
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


def _reports(result: Sweep | Explored, plot: Path | None, table_file: Path | None, layers: str) -> list[Path]:
    from dse.pareto import choose
    from hwgen.files import write_all
    from reports import table

    files: list[tuple[Path, str | bytes]] = []
    if plot:
        from reports.plot import pareto_figure, render

        x, y = result.objectives[:2]
        title = f"{layers}; {result.metadata['tech']}; {result.legal:,} points"
        figure = pareto_figure(
            _shown(result),
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


def _shown(result: Sweep | Explored) -> Any:
    """Points that are shown for all."""
    from dse.sweep import Sweep

    return result.points if isinstance(result, Sweep) else result.sample


def _document(result: Sweep | Explored, top: int) -> dict[str, object]:
    from dse.pareto import choose

    return {
        **result.metadata,
        "points": result.legal,
        "points_per_second": result.points_per_second,
        "objectives": list(result.objectives),
        "front_points": len(result.front),
        "chosen": choose(result.front, result.objectives),
        "front": json.loads(result.front.head(top).to_json(orient="records")),
    }


def _print(result: Sweep | Explored, top: int, written: Sequence[Path], sheet: Sheet, *, numbered: bool) -> None:
    """``numbered``: with the numbers of points, by which `hwgen pareto` knows them."""
    import pandas as pd

    from dse.pareto import choose
    from dse.search import search_words
    from reports.table import columns_of, format_cell

    columns = [*(["point"] if numbered else []), *columns_of(result.front, result.objectives)]
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
        f"{len(result.front):,} of {result.legal:,} points are on the front of {', '.join(result.objectives)}; "
        f"{len(shown)} shown, * has the smallest product of the objectives"
    )
    beyond = result.front["extrapolated"].astype(str)
    if (beyond != "").any():
        names = sorted({name for text in beyond for name in text.split()})
        sheet.say(
            f"{(beyond != '').sum():,} points of the front are extrapolated, beyond all measured tiles, in "
            f"{', '.join(names)}"
        )
    if result.unmeasured:
        sheet.say(f"{result.unmeasured:,} points have formats whose accuracy was not measured; --measure measures them")
    if words := search_words(result.metadata):
        sheet.say(words)
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
