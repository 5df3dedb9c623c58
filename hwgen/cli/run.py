"""``hwgen run``: a layer of a real model through the Verilog of a tile."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from hwgen.cli._family import FamilyCommand
from hwgen.cli._values import InputFile, OutputFile, Whole
from hwgen.errors import HwgenError
from hwgen.pe import TileSpec


@click.command(
    cls=FamilyCommand, epilog="Example: hwgen run --pe int --m 1 --n 4 --k 4 --layer blk.0.attn_k --tokens 1"
)
@click.option(
    "--model", type=InputFile(), metavar="FILE", help="GGUF or safetensors file; the default model if not given"
)
@click.option(
    "--layer", required=True, metavar="NAME", help="linear layer, e.g. blk.0.ffn_up (hwgen model layers lists them)"
)
@click.option("--tokens", type=Whole(), default=8, show_default=True, help="tokens of real text")
@click.option(
    "--text",
    "text_file",
    type=InputFile(),
    metavar="FILE",
    help="text whose activations are used; a public-domain one if not given",
)
@click.option(
    "--save", type=OutputFile("NumPy", need_suffix=True), metavar="FILE", help="write the outputs [tokens, N] as .npy"
)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(
    spec: TileSpec,
    model: Path | None,
    layer: str,
    tokens: int,
    text_file: Path | None,
    save: Path | None,
    as_json: bool,
) -> None:
    """Run a whole layer through the emitted Verilog and compare it with the golden PyTorch layer, bit for bit.

    The activations are captured by running the model on real text. Exit status 1 when a value or a cycle count differs.
    """
    from rich.console import Console

    from sim.inputs import layer_operands
    from sim.run import run_layer

    console = Console(stderr=True)
    with console.status(f"reading {layer}") as status:
        weights, acts = layer_operands(model, layer, tokens, _text(text_file))
        run = run_layer(spec, weights, acts, name=layer, progress=lambda line: status.update(line))
    if save:
        import io

        import numpy as np

        from hwgen.emit import write_atomic

        buffer = io.BytesIO()
        np.save(buffer, run.y)
        write_atomic(save, buffer.getvalue(), "run")
    if as_json:
        click.echo(json.dumps(run.document(), indent=2))
    else:
        for line in report(run):
            click.echo(line)
    sys.exit(0 if run.ok else 1)


def _text(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HwgenError(f"run: --text must be a readable UTF-8 file, not {str(file)!r}: {error}") from error


def report(run: object) -> list[str]:
    """What a run says, line by line."""
    from sim.run import LayerRun

    assert isinstance(run, LayerRun)
    layer = run.layer
    equal = (
        "equal" if run.golden_equal and run.reference_equal else f"DIFFERENT ({run.mismatches} outputs; {run.detail})"
    )
    lines = [
        f"{layer.name}: {layer.m} tokens x {layer.n} outputs x {layer.k} inputs, "
        f"{layer.macs:,} MACs in {run.steps:,} steps",
        f"outputs and golden PyTorch layer, bit for bit: {equal}",
        f"cycles: {run.cycles_counted:,} counted, {run.cycles_predicted:,} predicted",
    ]
    if run.pre_cycles_predicted:
        lines.append(
            f"cycles before the buffer: {run.pre_cycles_counted:,} counted, {run.pre_cycles_predicted:,} predicted"
        )
    lines.append(f"error of quantisation against float: {100 * run.relative_error:.2f} % (relative L2)")
    lines.append(
        f"simulation: {run.macs_per_second / 1e6:.1f} million MAC/s ({run.run_seconds:.2f} s; "
        f"build or cache {run.build_seconds:.1f} s)"
    )
    return lines
