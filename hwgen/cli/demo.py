"""``hwgen demo``: the main job on a layer of a real language model."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hwgen.cli._tech import tech_option
from hwgen.cli._values import InputFile, Number, OutputFolder, Whole


@click.command(epilog="Example: hwgen demo --layer blk.0.attn_k --tokens 2 -o demo")
@click.option("--layer", default="blk.0.ffn_up", show_default=True, help="linear layer of the model")
@click.option("--tokens", type=Whole(), default=8, show_default=True, help="tokens of real text")
@click.option(
    "--model",
    type=InputFile(),
    metavar="FILE",
    help="GGUF file; SmolLM2-135M (fetched once, 93 MB, with a text of 28 MB) if not given",
)
@click.option(
    "--max-perplexity",
    type=Number(),
    default=50.0,
    show_default=True,
    help="largest perplexity of the model with a pair of formats",
)
@click.option("--no-measure", is_flag=True, help="do not measure the chosen formats on the model: the table's are told")
@tech_option
@click.option(
    "-o",
    "--output",
    type=OutputFolder(make_parents=True),
    metavar="FOLDER",
    default="out/demo",
    show_default=True,
    help="where the files go",
)
def command(
    layer: str, tokens: int, model: Path | None, max_perplexity: float, no_measure: bool, tech: str, output: Path
) -> None:
    """From what formats cost a language model to Verilog that computes a layer of it.

    Formats are kept by the model's perplexity with them, from a table of measurements that comes with hwgen; families,
    formats and tile shapes are swept, the chosen point's formats measured again here, its Verilog emitted, and a whole
    layer run through it. A plot and tables stay behind.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from reports.demo import DemoOptions, run_demo

    options = DemoOptions(layer, tokens, output, max_perplexity, model, tech, measure=not no_measure)
    bars = Progress(
        TextColumn("      {task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} of {task.total:,}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bars:
        tasks: dict[str, object] = {}

        def watch(what: str, done: int, of: int) -> None:
            task = tasks.setdefault(what, bars.add_task(what, total=of))
            bars.update(task, completed=done, total=of)  # type: ignore[arg-type]

        run = run_demo(options, click.echo, watch)
    sys.exit(0 if run.ok else 1)
