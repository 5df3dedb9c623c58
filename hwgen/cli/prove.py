"""``hwgen prove``: is the emitted Verilog what its manifest says, for all inputs?"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hwgen.cli._level import LevelCommand, accelerator_level
from hwgen.cli._progress import bars
from hwgen.cli._tech import Clock
from hwgen.cli._values import Number, OutputFile, Whole
from hwgen.files import write_all
from hwgen.pe import TileSpec

OPEN = 3
"""Exit status where nothing is refuted, but not all is proved."""


def told(entries: list[dict[str, Any]]) -> None:
    """A line for each obligation."""
    for entry in entries:
        detail = f": {entry['detail']}" if entry["detail"] else ""
        click.echo(f"{entry['status']:<8}{entry['name']} ({entry['seconds']:.1f} s){detail}")


def counted(counts: dict[str, int]) -> str:
    """Numbers with what they count."""
    return ", ".join(f"{number} {what}" for what, number in counts.items() if number)


def status(counts: dict[str, int]) -> int:
    """Exit status: 0 all proved, 1 something refuted, 3 something open."""
    return 1 if counts["refuted"] else OPEN if counts["open"] else 0


def _tile(spec: TileSpec, clock: Clock, axi_stream: bool) -> tuple[str, dict[str, Any]]:
    """Verilog and manifest of a tile, behind AXI4-Stream or not."""
    from hwgen.emit import emit

    emission = emit(spec, axi_stream=axi_stream, clock=clock.document())
    return emission.verilog, emission.manifest


def _accelerator(spec: TileSpec, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Verilog and manifest of an accelerator."""
    from hwgen.accelerator import Design, emit_accelerator
    from hwgen.prove.accelerator import accelerator_manifest, accelerator_text

    emission = emit_accelerator(Design.from_values(spec, values))
    verilog = accelerator_text(emission)
    return verilog, accelerator_manifest(emission.design, emission.top, verilog)


@click.command(
    cls=LevelCommand,
    levels={"accelerator": accelerator_level(("axi_stream", "mutants"))},
    epilog="Example: hwgen prove --pe int --m 1 --n 2 --k 2 --bits 4 -o tile.v --certificate tile.json",
)
@click.option("-o", "--output", type=OutputFile("Verilog"), metavar="FILE", help="write the Verilog that is proved")
@click.option(
    "--certificate",
    type=OutputFile("JSON"),
    metavar="FILE",
    help="write what was proved, how and in how long, for `hwgen check`",
)
@click.option("--axi-stream", is_flag=True, help="also emit module TOP_axis, the tile behind AXI4-Stream, and prove it")
@click.option("--limit-s", type=Number(), default=900.0, show_default=True, help="most seconds for all proofs")
@click.option(
    "--mutants",
    type=Whole(0, 10_000),
    default=0,
    show_default=True,
    help="faults to seed for the proofs to refuse",
)
def command(
    spec: TileSpec,
    clock: Clock,
    values: Mapping[str, Any] | None,
    output: Path | None,
    certificate: Path | None,
    axi_stream: bool,
    limit_s: float,
    mutants: int,
) -> None:
    """Prove that the Verilog of a tile, read back, computes what its manifest says, for all inputs.

    With `--level accelerator` the engines around the tile, whose Verilog is that of `hwgen emit --level accelerator`.
    Exit status 0 when all is proved, 1 when something is refuted (the certificate holds a counterexample), 3 when
    something is open: proved neither way within --limit-s, or by no method known here.
    """
    from hwgen.prove import prove, summary

    verilog, manifest = _tile(spec, clock, axi_stream) if values is None else _accelerator(spec, values)
    with bars() as progress:
        task = progress.add_task(f"{spec.family}: proving", total=1)
        found = prove(
            verilog,
            manifest,
            limit_s=limit_s,
            mutants=mutants,
            told=lambda name, done, all_of: progress.update(
                task, completed=done, total=all_of, description=f"{spec.family}: {name}"
            ),
        )
    files: list[tuple[Path, str | bytes]] = []
    if output:
        files.append((output, verilog))
    if certificate:
        files.append((certificate, json.dumps(found, indent=2) + "\n"))
    write_all(files, spec.family)
    told(found["obligations"])
    counts = summary(found["obligations"])
    click.echo(
        f"{spec.family}: {', '.join(f'{n} {what}' for what, n in counts.items() if n)}, {found['seconds']:.1f} s"
    )
    if found["mutation"]:
        seeded = {what: number for what, number in found["mutation"].items() if what != "faults"}
        click.echo(f"{spec.family}: seeded faults: {counted(seeded)}")
    sys.exit(status(counts))
