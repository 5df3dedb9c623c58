"""``hwgen emit``: Verilog of a tile or of an accelerator around it, and what goes with it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from hwgen.cli._accelerator import accelerator, quantiser, stream
from hwgen.cli._level import LevelCommand
from hwgen.cli._reset import reset_options
from hwgen.cli._tech import Clock
from hwgen.cli._values import OutputFile, OutputFolder
from hwgen.emit import Reset, emit
from hwgen.files import write_all
from hwgen.pe import TileSpec


@click.command(
    cls=LevelCommand,
    levels={"accelerator": accelerator, "stream": stream, "quantiser": quantiser},
    epilog="Example: hwgen emit --pe lut --bits 2 -o core.v",
)
@click.option(
    "-o", "--output", type=OutputFile("Verilog"), metavar="FILE", help="Verilog file; standard output if not given"
)
@click.option(
    "--manifest",
    "manifest_file",
    type=OutputFile("JSON"),
    metavar="FILE",
    help="also write the manifest: ports, packing, timing, versions",
)
@click.option("--top", metavar="NAME", help="name of the top module (default FAMILY_tile)")
@reset_options
@click.option(
    "--testbench",
    type=OutputFolder(),
    metavar="FOLDER",
    help="also write a self-checking Verilog bench with its vectors there",
)
@click.option(
    "--cocotb",
    type=OutputFolder(),
    metavar="FOLDER",
    help="also write a cocotb bench of the tile there, with Verilog, vectors, Makefile and runner",
)
@click.option(
    "--axi-stream", is_flag=True, help="also emit module TOP_axis: the tile behind AXI4-Stream, with back-pressure"
)
@click.option("--sdc", "sdc_file", type=OutputFile("SDC"), metavar="FILE", help="also write timing constraints")
def command(
    spec: TileSpec,
    clock: Clock,
    output: Path | None,
    manifest_file: Path | None,
    top: str | None,
    reset: Reset,
    testbench: Path | None,
    cocotb: Path | None,
    axi_stream: bool,
    sdc_file: Path | None,
) -> None:
    """Write the Verilog of a tile: `hwgen emit --pe lut --bits 2 > core.v`.

    Standard output carries Verilog and nothing else. `hwgen emit --pe FAMILY --help` lists the family's parameters.
    With `--level accelerator -o FOLDER` a folder gets an accelerator around the tile and all that puts it on a bus,
    with `--level stream` the same core between AXI4-Streams, with `--level quantiser` the engine that writes keys and
    values as weights of that accelerator.
    """
    emission = emit(spec, top, reset=reset, axi_stream=axi_stream, clock=clock.document())
    # Everything is made before anything is written.
    files: list[tuple[Path, str | bytes]] = []
    if manifest_file:
        files.append((manifest_file, json.dumps(emission.manifest, indent=2) + "\n"))
    if sdc_file:
        from hwgen.emit import sdc

        files.append((sdc_file, sdc(spec, emission.top, clock.target_ns, reset=reset)))
    if testbench:
        from hwgen.verify import bench_files

        files += [(testbench / name, text) for name, text in bench_files(emission).items()]
    if cocotb:
        from hwgen.verify import cocotb_files

        files += [(cocotb / name, text) for name, text in cocotb_files(emission).items()]
    if output:
        files.append((output, emission.verilog))
    write_all(files, spec.family, folders=[folder for folder in (testbench, cocotb) if folder])
    if not output:
        sys.stdout.write(emission.verilog)
