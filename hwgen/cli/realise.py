"""``hwgen realise``: a point as hardware, what was predicted of it beside what is measured."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwgen.cli._accelerator import write_folder
from hwgen.cli._layer import needs, parse_layer
from hwgen.cli._level import Level
from hwgen.cli._liberty import MappedLevelCommand, liberty_option, say_left_out
from hwgen.cli._progress import bars
from hwgen.cli._table import Column, print_table
from hwgen.cli._tech import Clock
from hwgen.cli._values import SEED, OutputFolder, Text, Whole
from hwgen.errors import HwgenError
from hwgen.pe import TileSpec, family_names

if TYPE_CHECKING:
    from dse.point import StoredPoint
    from hwgen.synth import Library
    from sim.realise import LayerData, Realised, Row
    from sim.tech import CalibratedTech

__all__ = ["command", "row_cells"]

_REPORT = "realised.json"
_SHAPE = re.compile(r"(?:[^:]+:)?\d+[x,].*")
"""Whatever tries to be sizes of a layer, and is no layer's name in a model."""


def _declared() -> Sequence[Any]:
    from hwgen.accelerator import Design
    from hwgen.accelerator.use import Use

    return Design, Use


class _RealiseCommand(MappedLevelCommand):
    """A point as flags, or a stored one, whose flags are those of its row."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args = list(args)
        if args and not args[0].startswith("-") and _is_sweep(args[0]):
            point = self._stored(args[0], args[1:])
            if point is not None:
                ctx.meta["hwgen.point"] = point
                args = _words(point, args[1:])
        elif any(word == "--point" or word.startswith("--point=") for word in args):
            raise HwgenError("realise: --point goes with a sweep, as in hwgen realise points.parquet --point 17")
        return super().parse_args(ctx, args)

    def _stored(self, sweep: str, rest: Sequence[str]) -> StoredPoint | None:
        """The point that ``--point`` names; None where only help is wanted."""
        text = _given(rest, "--point")
        if text is None:
            if {"-h", "--help"} & set(rest):
                return None
            raise HwgenError(
                f"realise: a sweep must come with --point N, the number of a point; hwgen pareto {sweep} lists them"
            )
        if not text.isdecimal() or len(text) > 18:
            raise HwgenError(f"realise: --point must be the number of a point, not {text!r}")
        needs("realise", "dse", "pandas", "pyarrow", "moocore")
        from dse.point import read_point

        return read_point(sweep, int(text))


def _is_sweep(word: str) -> bool:
    return word not in family_names() and (Path(word).exists() or bool(Path(word).suffix) or "/" in word)


def _given(words: Sequence[str], flag: str) -> str | None:
    """The value of an option, None where it is not there."""
    for index, word in enumerate(words):
        if word == flag and index + 1 < len(words):
            return words[index + 1]
        if word.startswith(f"{flag}="):
            return word.removeprefix(f"{flag}=")
    return None


def _words(point: StoredPoint, rest: Sequence[str]) -> list[str]:
    """The flags of a point and what is given beside them.

    Raises `HwgenError` for one that says something else than the point.
    """
    flags = point.flags()
    known = {one.flag: one for one in point.known().values()}
    kept: list[str] = []
    words = list(rest)
    while words:
        word = words.pop(0)
        flag, equals, value = word.partition("=")
        if flag not in flags:
            kept.append(word)
            continue
        if not equals:
            if not words:
                kept.append(word)
                break
            value = words.pop(0)
        text, wanted = flags[flag]
        if not _same(value, text, wanted, known.get(flag)):
            raise HwgenError(
                f"realise: {flag} of point {point.number} is {text}, and must not be {value!r}; leave it out, or give "
                "a point of your own by --pe"
            )
    if _given(kept, "--layer") is None:
        layer = point.layers[0]
        kept += ["--layer", f"{layer.name.replace(':', '_')}:{layer.m}x{layer.n}x{layer.k}"]
    return [word for flag, (text, _) in flags.items() for word in (flag, text)] + kept


def _same(value: str, text: str, wanted: Any, known: Any) -> bool:
    if value == text:
        return True
    if isinstance(wanted, float):
        try:
            return float(value) == wanted
        except ValueError:
            return False
    if known is None:
        return False
    try:
        return bool(known.parse(value) == wanted)
    except HwgenError:
        return False


@click.command(
    cls=_RealiseCommand,
    levels={"accelerator": Level("accelerator", declares=_declared, without=("whole",))},
    options_metavar="[--pe FAMILY | SWEEP --point N] [OPTIONS]",
    epilog="Example: hwgen realise --pe int --m 1 --n 1 --k 4 --layer 2x2x64 --no-energy -o int_point",
)
@click.option(
    "--point",
    "number",
    type=Whole(0, 2**62),
    metavar="N",
    help="with a sweep (.parquet, or a folder): the number of a point, as hwgen pareto lists them",
)
@click.option(
    "--layer",
    "layer",
    type=Text(),
    metavar="MxNxK|NAME",
    help="layer that is run: sizes, with random operands, or a layer of the default model (default: the sweep's first)",
)
@click.option("--tokens", type=Whole(), default=8, show_default=True, help="tokens of real text, for a layer by name")
@click.option("--seed", type=SEED, default=1, show_default=True, help="seed of random operands")
@liberty_option
@click.option(
    "--whole/--by-block",
    "whole",
    default=None,
    help="map the tile as one netlist, or each block by itself (default: as one up to 12,000 gate equivalents)",
)
@click.option("--energy/--no-energy", default=True, help="count toggles of the mapped netlist (default: yes)")
@click.option("--jobs", type=Whole(most=4096), default=1, show_default=True, help="child processes at a time")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.option(
    "-o",
    "--output",
    type=OutputFolder(make_parents=True),
    required=True,
    metavar="FOLDER",
    help=f"folder of Verilog, manifest, mapped netlist and {_REPORT}; made if missing",
)
@click.pass_context
def command(
    context: click.Context,
    spec: TileSpec,
    values: dict[str, Any] | None,
    clock: Clock,
    number: int | None,
    layer: str | None,
    tokens: int,
    seed: int,
    files: tuple[Path, ...],
    whole: bool | None,
    energy: bool,
    jobs: int,
    as_json: bool,
    output: Path,
) -> None:
    """Make a point real: `hwgen realise --pe bitmod --bits 4 --m 2 --n 2 --layer 8x64x576 -o FOLDER`, or `hwgen realise
    points.parquet --point 17 -o FOLDER`.

    Its Verilog is emitted, verified, mapped to cells and run with a layer; cycles, area, energy and clock period are
    shown as predicted and as measured, with the error that the model states of itself. Exit status 1 when a value or a
    cycle differs; costs may.

    Cells are those of the project's generic library, or of --liberty; what is predicted is by the technology that was
    calibrated on them. Pre-layout. With --level accelerator, or a point of one: the tile with memory around it.
    """
    needs("realise", "sim", "torch")
    from hwgen.synth import generic_library, read_library
    from sim.realise import Asked, realise_accelerator, realise_tile

    point: StoredPoint | None = context.meta.get("hwgen.point")
    if point is not None and spec.p != point.values:
        changed = [name for name, value in spec.p.items() if value != point.values[name]]
        raise HwgenError(
            f"realise: {changed[0]} of point {point.number} is {point.values[changed[0]]}; leave out flags"
        )
    if layer is None:
        raise HwgenError(
            "realise: --layer must be given, as MxNxK with random operands, e.g. 8x64x576, or as a layer of the "
            "default model, e.g. blk.0.attn_k"
        )
    library = read_library(files) if files else generic_library()
    say_left_out(library)
    tech = _technology(clock.tech, library, bool(files))
    data = _data(layer, tokens, seed, context)
    with bars() as bar:
        asked = Asked(
            tech=tech,
            library=library,
            clk_period_ns=clock.period_ns,
            target_ns=clock.target_ns,
            clock=clock.document(),
            whole=whole,
            energy=energy,
            jobs=jobs,
            watch=_watch(bar),
        )
        if values is None:
            found = realise_tile(spec, data, asked)
        else:
            from hwgen.accelerator import Design
            from hwgen.accelerator.use import Use

            of_use = Use.parameters()
            design = Design.from_values(spec, {name: one for name, one in values.items() if name not in of_use})
            use = Use.from_values({name: one for name, one in values.items() if name in of_use})
            found = realise_accelerator(design, use, data, asked)
    document = _document(found, point)
    write_folder({**found.files, _REPORT: json.dumps(document, indent=2) + "\n"}, output, "realise")
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _print(found, point, clock.words(spec), output)
    sys.exit(0 if found.ok else 1)


def _technology(name: str | None, library: Library, given: bool) -> CalibratedTech:
    """The technology that was calibrated on the library. Raises `HwgenError` where there is none, and for another."""
    from sim.tables import read_toml
    from sim.tech import CalibratedTech, load

    if name is None:
        raise HwgenError(
            f"realise: no technology was calibrated on {library.name}, so that nothing is predicted of its cells; "
            "hwgen calibrate makes one, for --tech FILE"
        )
    tech = load(name)
    if not isinstance(tech, CalibratedTech):
        raise HwgenError(
            f"realise: --tech must be a technology that was calibrated on a library, not {name}, of published figures"
        )
    known = read_toml(tech.toml)["calibration"]
    if known.get("library_sha256") != library.sha256:
        wanted = f"--liberty with {known.get('library_files', 'its library')}"
        what = f"{library.name}, another library" if given else "the project's generic library"
        raise HwgenError(f"realise: --tech {name} needs {wanted}, on which it was calibrated, not {what}")
    return tech


def _data(text: str, tokens: int, seed: int, context: click.Context) -> LayerData:
    """Operands of a layer by its sizes or by its name in the default model."""
    from sim.inputs import layer_operands
    from sim.operands import random_operands
    from sim.realise import LayerData

    by_sizes = _SHAPE.fullmatch(text) is not None
    other, why = ("tokens", "a layer by name") if by_sizes else ("seed", "a layer by sizes, whose operands are random")
    if context.get_parameter_source(other) is click.core.ParameterSource.COMMANDLINE:
        raise HwgenError(f"realise: --{other} goes with {why}")
    if by_sizes:
        layer = dataclasses.replace(parse_layer(text), count=1)
        weights, acts, words = random_operands(layer, "normal", seed)
        return LayerData(layer.name, weights, acts, words)
    weights, acts = layer_operands(None, text, tokens)
    return LayerData(text, weights, acts, f"the default model's {text}, {tokens} tokens of real text")


def _watch(bar: Any) -> Any:
    """A line a step on standard error, and a bar on a terminal."""
    from sim.realise import STEPS, Watch

    task = bar.add_task("", total=None)

    def done(step: str, words: str) -> None:
        bar.console.print(f"[{STEPS.index(step) + 1}/{len(STEPS)}] {step}: {words}", markup=False, soft_wrap=True)

    def doing(step: str, words: str, count: int, of: int) -> None:
        bar.update(task, description=f"{step}: {words}", completed=count, total=of or None)

    return Watch(done, doing)


def _document(found: Realised, point: StoredPoint | None) -> dict[str, Any]:
    from hwgen.provenance import commit
    from hwgen.version import __version__

    stored = None
    if point is not None:
        stored = {
            "sweep": str(point.sweep),
            "point": point.number,
            "tech": point.tech,
            "layers": len(point.layers),
            "predicted": dict(point.predicted),
        }
    return {"point": stored, **found.document(), "hwgen": __version__, "commit": commit()}


_UNITS = {"_um2": "µm²", "_ns": "ns", "_pj": "pJ", "_us": "µs"}


def _name(quantity: str) -> str:
    """A quantity with its unit in words."""
    for end, unit in _UNITS.items():
        if quantity.endswith(end):
            return f"{quantity.removesuffix(end).replace('_', ' ')} [{unit}]"
    return quantity.replace("_", " ")


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.5g}"


def row_cells(row: Row) -> list[str]:
    """A row of the table as text."""
    difference = row.difference
    if row.exact:
        shown, bound = ("equal" if row.agrees else "DIFFERENT"), "exact"
    else:
        shown = "" if difference is None else f"{difference:+.1%}"
        bound = "" if row.error is None else "{:.1%} / {:.1%}".format(*row.error)
    within = {True: "within", False: "beyond", None: ""}[row.within]
    return [_name(row.quantity), _cell(row.predicted), _cell(row.measured), shown, bound, within, row.status]


def _print(found: Realised, point: StoredPoint | None, registers: str, output: Path) -> None:
    layer = found.layer
    if point is not None:
        others = f", the first of {len(point.layers)}" if len(point.layers) > 1 else ""
        click.echo(f"point {point.number} of {point.sweep}, swept in {point.tech}{others and f'; its layer{others}'}")
        if point.tech != found.tech:
            click.echo(f"predicted and measured in {found.tech}, as no library of {point.tech} was given (--liberty)")
    click.echo(f"{found.level}: {found.family} {' '.join(f'{name}={one}' for name, one in found.parameters.items())}")
    if found.design is not None:
        click.echo(f"around it: {' '.join(f'{name}={one}' for name, one in found.design.items())}")
    click.echo(f"clock: {found.clk_period_ns:.4g} ns; {registers}")
    click.echo(f"layer: {layer.m} tokens x {layer.n} outputs x {layer.k} inputs; {found.operands}")
    held = sum(one.ok for one in found.findings)
    click.echo(f"contract of the tile: {held} of {len(found.findings)} checks hold")
    click.echo(
        f"outputs and {found.compared}, bit for bit: {'equal' if not found.values else f'DIFFERENT ({found.values})'}"
    )
    columns = [Column("quantity", right=False), *map(Column, ("predicted", "measured", "difference"))]
    columns += [
        Column("held out: median / largest"),
        Column("", right=False),
        Column("prediction is", right=False, fold=True),
    ]
    print_table(columns, [row_cells(row) for row in found.rows])
    words = {True: "kept", False: "not kept", None: "unknown"}
    if found.meets["measured"] is not None:
        said, seen = (words[found.meets[side]] for side in ("predicted", "measured"))
        click.echo(f"clock of {found.clk_period_ns:.4g} ns: {said} as predicted, {seen} as measured")
    click.echo(f"mapped to {found.library} ({found.tech}) {found.mapping}")
    if found.energy:
        click.echo(f"toggles counted on {found.energy}")
    if found.extrapolated:
        click.echo(f"extrapolated, beyond all measured tiles: {'; '.join(found.extrapolated)}")
    if any(row.error is not None for row in found.rows):
        click.echo("held out: the model's own errors on designs that no calibration measured (reports.held_out_wide)")
    basis = "pre-layout: no wires, no clock tree, no glitches"
    click.echo(f"difference: prediction over measurement - 1; {basis}; {found.versions}")
    for text in found.failed:
        click.echo(f"FAIL {text}")
    click.echo(f"wrote {output}/: {len(found.files) + 1} files, {_REPORT} among them")
