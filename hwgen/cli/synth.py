"""``hwgen synth``: area and timing of a tile, or of Verilog of one's own, with a Liberty library."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwgen.cli._fpga import run_fpga
from hwgen.cli._level import accelerator_level
from hwgen.cli._liberty import MappedLevelCommand, liberty_option, say_left_out
from hwgen.cli._options import option_object
from hwgen.cli._progress import bars
from hwgen.cli._reset import RESET, reset_options
from hwgen.cli._table import Column, print_table
from hwgen.cli._tech import Clock, asked_clock
from hwgen.cli._values import InputFile, OutputFile, OutputFolder, Text
from hwgen.emit import Reset
from hwgen.errors import HwgenError
from hwgen.pe import TileSpec, family, family_names
from hwgen.synth import NOISE, Library, Result, SynthOptions, TileResult, UnitResult, VerilogUnit
from hwgen.synth._sta import TimedTile
from hwgen.synth.fpga import VENDORS

if TYPE_CHECKING:
    from hwgen.synth.accelerator import AcceleratorResult

__all__ = ["command"]


class _SynthCommand(MappedLevelCommand):
    """A command of a family's tile, with ``--level accelerator`` of an accelerator, or with ``--verilog`` of none."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not any(word == "--verilog" or word.startswith("--verilog=") for word in args):
            return super().parse_args(ctx, args)
        if not args[0].startswith("-") or any(word == "--pe" or word.startswith("--pe=") for word in args):
            raise HwgenError("synth: --verilog maps a unit of your own and --pe a tile; give one of them")
        if any(word == "--format" or word.startswith("--format=") for word in args):
            raise HwgenError("synth: --verilog maps a unit of your own and --format a tile; give one of them")
        ctx.meta["hwgen.verilog"] = True
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name in _tile_flags():
                raise HwgenError(
                    f"synth: {error.option_name} is of tiles and cannot be given with --verilog; "
                    "parameters of a unit are set by --chparam NAME=VALUE"
                ) from error
            raise

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params = super().get_params(ctx)
        if not ctx.meta.get("hwgen.verilog"):
            return params
        return [one for one in params if one.name not in ("pe", "number_format")]

    def invoke(self, ctx: click.Context) -> Any:
        if not ctx.meta.get("hwgen.verilog"):
            return super().invoke(ctx)
        ctx.params.pop("level")
        ctx.params["spec"], ctx.params["values"] = None, None
        ctx.params["clock"] = asked_clock(self.tech(ctx, ctx.params.pop("tech")), ctx.params.pop("clk_period_ns"))
        return click.Command.invoke(self, ctx)


def _tile_flags() -> set[str]:
    """Flags of the parameters of all families."""
    return {"--bits", *(one.flag for name in family_names() for one in family(name).parameters().values())}


class _Pair(click.ParamType[tuple[str, str]]):
    """A name and a value with = between them."""

    name = "pair"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equal, rest = str(value).partition("=")
        if not name or not equal or not rest:
            self.fail(f"must be NAME=VALUE, not {value!r}.", param, ctx)
        return name, rest


_OF_TILES = ("fpga", "no_dsp", "pnr", "sta", "sdc_file", "orfs")
"""Options that whole accelerators do not have."""
_OF_UNITS = ("verilog", "top", "chparam", "define", "include")
"""Options of Verilog of one's own."""


@click.command(
    cls=_SynthCommand,
    levels={"accelerator": accelerator_level(without=(*_OF_TILES, *_OF_UNITS, *RESET))},
    epilog="Example: hwgen synth --pe int --m 1 --n 1 --k 4 --recipe plain --no-sta",
)
@liberty_option
@click.option(
    "--verilog",
    multiple=True,
    type=InputFile(),
    metavar="FILE",
    help="map this Verilog instead of a tile (SystemVerilog as far as Yosys reads it); may be repeated",
)
@click.option("--top", type=Text(), metavar="MODULE", help="with --verilog: the module to map")
@click.option(
    "--chparam",
    multiple=True,
    type=_Pair(),
    metavar="NAME=VALUE",
    help="with --verilog: a parameter of the top, a Verilog constant; may be repeated",
)
@click.option("--define", multiple=True, metavar="NAME[=VALUE]", help="with --verilog: define a macro; may be repeated")
@click.option(
    "--include",
    multiple=True,
    type=InputFile(folders=True),
    metavar="FOLDER",
    help="with --verilog: look for included files here; may be repeated",
)
@option_object(SynthOptions)
@reset_options
@click.option("--strict", is_flag=True, help="exit status 2 when the target is not met")
@click.option("--sta/--no-sta", default=None, help="also time with OpenSTA (default: where it is installed)")
@click.option("--netlist", type=OutputFile("Verilog"), metavar="FILE", help="write the mapped Verilog")
@click.option(
    "--sdc",
    "sdc_file",
    type=OutputFile("SDC"),
    metavar="FILE",
    help="write timing constraints, in the library's time unit",
)
@click.option(
    "--orfs",
    type=OutputFolder(),
    metavar="FOLDER",
    help="write a design folder for OpenROAD-flow-scripts: config.mk, constraint.sdc, Verilog",
)
@click.option("--fpga", metavar="NAME", help=f"estimate for an FPGA instead: {', '.join(VENDORS)}")
@click.option("--no-dsp", is_flag=True, help="with --fpga: multipliers in LUTs, not in DSP blocks")
@click.option(
    "--pnr/--no-pnr", default=None, help="with --fpga: place and route with nextpnr (default: where installed)"
)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(
    spec: TileSpec | None,
    values: dict[str, Any] | None,
    clock: Clock,
    files: tuple[Path, ...],
    verilog: tuple[Path, ...],
    top: str | None,
    chparam: tuple[tuple[str, str], ...],
    define: tuple[str, ...],
    include: tuple[Path, ...],
    options: SynthOptions,
    reset: Reset,
    strict: bool,
    sta: bool | None,
    netlist: Path | None,
    sdc_file: Path | None,
    orfs: Path | None,
    fpga: str | None,
    no_dsp: bool,
    pnr: bool | None,
    as_json: bool,
) -> None:
    """Synthesise a tile: `hwgen synth --pe lut --bits 2 --liberty cells.lib.gz`.

    Areas, flip-flops and the longest path of each block, the best of several recipes; pre-layout. What is done is
    kept: the same again is read from the cache, and a run that was interrupted goes on.

    With --verilog and --top: a unit of your own as one netlist, by the same recipes, to put beside a tile mapped with
    --flat: `hwgen synth --verilog mac.v --top mac`.

    With --level accelerator: the tile with engines, rings, queues and registers around it. Memories are no logic and
    are left out; what they cost is said beside, where it is known.

    With --fpga ecp5, ice40 or xilinx: LUTs, carries, flip-flops, DSP blocks and memories of the whole tile (or of each
    --block), and the clock frequency after place and route where nextpnr is installed.
    """

    from hwgen.files import write_all
    from hwgen.simulators import find, require
    from hwgen.synth import generic_library, read_library, synthesise, synthesise_unit, tile_netlist
    from hwgen.synth._sta import opensta

    options = replace(options, clk_period_ns=clock.target_ns)
    unit = spec if spec is not None else _unit(verilog, top, chparam, define, include, options)
    if isinstance(unit, TileSpec):
        alone = {"--top": top, "--chparam": chparam, "--define": define, "--include": include}
        for name, value in alone.items():
            if value:
                raise HwgenError(f"synth: {name} must come with --verilog")
    elif reset != Reset():
        raise HwgenError(
            "synth: --reset is of tiles and cannot be given with --verilog, which says itself how it is reset"
        )
    given = {
        "--liberty": files,
        "--fmax": options.fastest,
        "--strict": strict,
        "--flat": options.flat,
        "--recipe": options.recipes,
        "--sta": sta,
        "--netlist": netlist,
        "--sdc": sdc_file,
        "--orfs": orfs,
    }
    if fpga is not None:
        refused = [name for name, value in given.items() if value]
        if refused:
            raise HwgenError(f"synth: --fpga maps to a vendor's own cells and takes no {', '.join(refused)}")
        run_fpga(unit, fpga, options, not no_dsp, pnr, reset, as_json)
        return
    if no_dsp or pnr is not None:
        raise HwgenError(f"synth: {'--no-dsp' if no_dsp else '--pnr and --no-pnr'} must come with --fpga")
    if sta:
        require("opensta")

    library = read_library(files) if files else generic_library()
    say_left_out(library)
    with bars() as bar:
        name = unit.family if isinstance(unit, TileSpec) else unit.top
        task = bar.add_task(f"mapping {name} to {library.name}", total=None)

        def progress(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        result: Result
        if values is not None and spec is not None:
            result = _accelerator(spec, values, library, options, progress)
        elif isinstance(unit, TileSpec):
            result = synthesise(unit, library, options, reset=reset, progress=progress)
        else:
            result = synthesise_unit(unit, library, options, progress=progress)
    timed = None
    if values is None and (sta or (sta is None and find("opensta"))):
        timed = opensta(result, options.timeout_s)
    # Constraints ask for the target, or for what the search found.
    period_ns = result.min_clk_period_ns if options.fastest else options.clk_period_ns
    written: list[tuple[Path, str | bytes]] = []
    if netlist is not None:
        written.append((netlist, tile_netlist(result)))
    if sdc_file is not None:
        written.append((sdc_file, _constraints(unit, period_ns, library.time_unit, reset)))
    if orfs is not None:
        written += [(orfs / name, text) for name, text in _layout(unit, library, period_ns, reset).items()]
    write_all(written, "synth", folders=[orfs] if orfs else [])
    if as_json:
        click.echo(json.dumps(result.document() | {"opensta": timed.document() if timed else None}, indent=2))
    else:
        _print(result, timed)
        _memories(result)
    if strict and not result.meets:
        raise HwgenError(
            f"synth: {result.title} must meet {options.clk_period_ns:g} ns, but its best clock period is "
            f"{result.min_clk_period_ns:.3f} ns ({result.slowest.kind})"
        )


def _accelerator(
    spec: TileSpec,
    values: dict[str, Any],
    library: Library,
    options: SynthOptions,
    progress: Callable[[int, int], None],
) -> AcceleratorResult:
    from hwgen.accelerator import Design
    from hwgen.synth.accelerator import synthesise_accelerator

    return synthesise_accelerator(Design.from_values(spec, values), library, options, progress=progress)


def _memories(result: Result) -> None:
    """What the memories of an accelerator cost, which are beside the netlist, where a technology was calibrated on the
    library.
    """
    from hwgen.synth.accelerator import AcceleratorResult

    if not isinstance(result, AcceleratorResult):
        return
    from sim.accelerator.cost import cost
    from sim.tech import calibrated_on

    sizes = ", ".join(f"{name} {depth} x {bits}" for name, depth, bits in result.memories)
    click.echo(f"memories, words x bits, not mapped: {sizes}")
    tech = calibrated_on(result.library.sha256)
    if tech is None:
        return
    said = cost(result.design, tech)
    areas = [area for name, area in said.area_um2.items() if name.endswith("_sram")]
    if areas:
        cycle = f", cycle {said.memory_cycle_ns:.3f} ns" if said.memory_cycle_ns is not None else ""
        click.echo(f"memories: {sum(areas):,.1f} µm²{cycle} ({said.memory_status})")


def _unit(
    verilog: tuple[Path, ...],
    top: str | None,
    chparam: tuple[tuple[str, str], ...],
    define: tuple[str, ...],
    include: tuple[Path, ...],
    options: SynthOptions,
) -> VerilogUnit:
    """The unit that ``--verilog`` names."""
    from hwgen.synth import read_unit

    if top is None:
        raise HwgenError("synth: --verilog must come with --top MODULE")
    for name, value in (("--block", options.kinds), ("--flat", options.flat)):
        if value:
            raise HwgenError(f"synth: --verilog maps a unit as one netlist and takes no {name}")
    names = [name for name, _ in chparam]
    for name in names:
        if names.count(name) > 1:
            raise HwgenError(f"synth: --chparam {name} must be given once, not {names.count(name)} times")
    return read_unit(
        verilog,
        top,
        include=include,
        defines=define,
        parameters=dict(chparam),
        timeout_s=options.timeout_s,
    )


def _constraints(design: TileSpec | VerilogUnit, period_ns: float, time_unit: str, reset: Reset) -> str:
    from hwgen.emit import sdc
    from hwgen.synth._layout import unit_sdc

    if isinstance(design, TileSpec):
        return sdc(design, f"{design.family}_tile", period_ns, time_unit=time_unit, reset=reset)
    return unit_sdc(design, period_ns, time_unit=time_unit)


def _layout(design: TileSpec | VerilogUnit, library: Library, period_ns: float, reset: Reset) -> dict[str, str]:
    from hwgen.synth._layout import layout_files, unit_files

    if isinstance(design, TileSpec):
        return layout_files(design, library, period_ns, reset)
    return unit_files(design, library, period_ns)


def _print(result: Result, timed: TimedTile | None) -> None:
    library, period = result.library, result.min_clk_period_ns
    if not result.meets:
        click.echo(
            f"the clock of {result.target_clk_period_ns:g} ns cannot be met: the best is {period:.3f} ns "
            f"({result.slowest.kind})"
        )
    corner = f"{library.voltage_v:g} V, {library.temperature_c:g} °C"
    click.echo(f"library: {library.name} ({corner}, {len(library.cells)} cells)")
    unit = {"um2": "µm²", "GE": "GE"}[library.area_unit]
    _table(result, unit)
    if timed is not None and timed.parts:
        _timed_table(timed, isinstance(result, UnitResult))
    tile = "tile" if isinstance(result, TileResult) else result.title
    what = tile if not result.kinds else ", ".join(result.kinds)
    equivalents = result.gate_equivalents if library.area_unit != "GE" else None
    gates = f" ({equivalents:,.0f} GE)" if equivalents is not None else ""
    click.echo(f"{what}: {result.area:,.1f} {unit}{gates}, {result.flip_flops:,} flip-flop bits")
    if isinstance(result, UnitResult) and result.unit.initial:
        click.echo(f"initial values are left out, as cells have none: {', '.join(result.unit.initial)}")
    if result.from_cache:
        click.echo(f"{result.from_cache} of {result.mappings} mappings from the cache")
    click.echo(f"pre-layout, timed by ABC; mapping moves areas and periods by some {NOISE:.0%}; {result.versions}")
    if result.max_frequency_mhz is not None:
        tried = len({(one.kind, one.aim_ns) for one in result.tries})
        click.echo(f"highest frequency: {result.max_frequency_mhz:,.0f} MHz ({period:.3f} ns), {tried} targets tried")
    frequency = f" ({1000 / period:,.0f} MHz)" if period else ""
    verdict = "met" if result.meets else f"not met, best is {period:.3f} ns ({result.slowest.kind})"
    target = f"{result.target_clk_period_ns:g} ns"
    if result.clock is None:
        click.echo(f"longest path: {period:.3f} ns, no flip-flops and no clock; target {target} {verdict}")
        return
    click.echo(f"clock: {period:.3f} ns{frequency}; target {target} {verdict}")


_TIMED = ("part", "clock [ns]", "from", "to")


def _timed_table(timed: TimedTile, alone: bool) -> None:
    """OpenSTA's figures, in a table of their own; of one netlist where it is ``alone``."""
    which = "netlist" if alone else "netlists"
    more = "" if alone else ", the tile with all its blocks"
    click.echo(f"\nthe same {which} timed by OpenSTA {timed.version}{more}; no wires")
    columns = [Column(name, right=name.startswith("clock"), fold=name in ("from", "to")) for name in _TIMED]
    print_table(
        columns,
        [(part.kind, f"{part.min_clk_period_ns:.3f}", part.startpoint, part.endpoint) for part in timed.parts],
    )
    click.echo("")


def _table(result: Result, unit: str) -> None:
    numbers = ("copies", f"each [{unit}]", "all", "cells", "FF bits", "clock [ns]")
    columns = [Column("block", right=False), *map(Column, numbers), Column("recipe", right=False)]
    rows = []
    whole = sum(block.area for block in result.blocks) or 1.0
    for block in [*result.blocks, *([result.flat] if result.flat else [])]:
        cells = (
            block.kind,
            str(block.count),
            f"{block.mapped.area:,.1f}",
            f"{block.area / whole:.1%}",
            f"{block.mapped.cells:,}",
            f"{block.flip_flops(result.library) // block.count:,}",
            f"{block.min_clk_period_ns:.3f}",
            block.mapped.recipe,
        )
        rows.append(cells)
    print_table(columns, rows)
