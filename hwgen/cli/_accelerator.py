"""``hwgen emit --level``: accelerator, stream and quantiser, their options and what they do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from hwgen.cli._level import ALL, Level
from hwgen.cli._tech import Clock
from hwgen.cli._values import OutputFolder
from hwgen.files import write_all
from hwgen.pe import TileSpec

__all__ = ["accelerator", "quantiser", "stream", "write_folder"]


def _design() -> Sequence[Any]:
    from hwgen.accelerator import Design

    return (Design,)


def _quantiser_design() -> Sequence[Any]:
    from hwgen.accelerator.quantiser import QuantiserDesign

    return (QuantiserDesign,)


def _level(
    callback: Callable[..., None], declares: Callable[[], Sequence[Any]] = _design, block: str = "accelerator"
) -> Level:
    """A level whose files go into a folder, with the parameters of the design as options."""
    options = (
        click.option(
            "-o",
            "--output",
            type=OutputFolder(make_parents=True),
            required=True,
            metavar="FOLDER",
            help="folder of the files; made if missing",
        ),
        click.option("--top", metavar="NAME", help=f"name of the top module (default FAMILY_{block})"),
        click.option("--html", is_flag=True, help="also pages about the registers"),
    )
    for option in reversed(options):
        callback = option(callback)
    return click.command(cls=Level, declares=declares, without=ALL)(callback)


@_level
def accelerator(
    spec: TileSpec, clock: Clock, values: Mapping[str, Any], output: Path, top: str | None, html: bool
) -> None:
    """Write an accelerator with everything that puts it on a bus."""
    from hwgen.accelerator import Design, emit_accelerator
    from hwgen.accelerator.bundle import bundle_files
    from hwgen.verify import accelerator_bench_files

    emission = emit_accelerator(Design.from_values(spec, values), top)
    bench = accelerator_bench_files(emission)
    files = bundle_files(emission, clock.target_ns, clock=clock.document(), html=html, bench=bench)
    write_folder(files, output, emission.top)


@_level
def stream(spec: TileSpec, clock: Clock, values: Mapping[str, Any], output: Path, top: str | None, html: bool) -> None:
    """Write the core of an accelerator with AXI4-Stream in and out."""
    from hwgen.accelerator import Design, emit_accelerator
    from hwgen.accelerator.bundle import streamed_files

    emission = emit_accelerator(Design.from_values(spec, values), top, streamed=True)
    write_folder(streamed_files(emission, clock=clock.document(), html=html), output, emission.top)


@functools.partial(_level, declares=_quantiser_design, block="quantiser")
def quantiser(
    spec: TileSpec, clock: Clock, values: Mapping[str, Any], output: Path, top: str | None, html: bool
) -> None:
    """Write the quantiser that puts keys and values where an accelerator of the same parameters reads its weights."""
    from hwgen.accelerator.bundle import quantiser_files
    from hwgen.accelerator.quantiser import QuantiserDesign, emit_quantiser
    from hwgen.verify import quantiser_bench_files

    made = QuantiserDesign.from_values(spec, values)
    emission = emit_quantiser(made.design, top, made.elements)
    files = quantiser_files(emission, clock.target_ns, html=html, bench=quantiser_bench_files(emission))
    write_folder(files, output, emission.top)


def write_folder(files: Mapping[str, str | bytes], output: Path, what: str) -> None:
    """Files by their names in a folder: all of them, or none. Raises `HwgenError` as `hwgen.files.write_all`."""
    targets = {output / name: content for name, content in files.items()}
    folders = {folder for target in targets for folder in target.parents if not folder.exists() or folder == output}
    write_all(targets, what, folders=sorted(folders, key=lambda folder: len(folder.parts)))
