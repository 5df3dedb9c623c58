"""``hwgen accuracy``: what formats, methods and the arithmetic of tiles cost a language model."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwgen.cli._options import option_object
from hwgen.cli._table import Column, Sheet, format_option
from hwgen.cli._values import InputFile, OutputFile
from hwgen.errors import HwgenError
from hwgen.files import write_all
from hwgen.options import AccuracyOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.accuracy.language import Measured
    from sim.accuracy.run import Subject

__all__ = ["command"]


@click.command(epilog="Example: hwgen accuracy --weights int4 --text origin --window 64 --windows 1")
@option_object(AccuracyOptions)
@click.option(
    "--model",
    type=InputFile(folders=True),
    metavar="FILE",
    help="Llama-type model in GGUF or safetensors (default: SmolLM2-135M, `hwgen model fetch`)",
)
@click.option("--list", "listed", is_flag=True, help="list methods, their options and texts, and end")
@click.option("-o", "--output", type=OutputFile("CSV", "JSON", need_suffix=True), metavar="FILE", help=".csv or .json")
@click.option(
    "--plot", type=OutputFile("PNG", "SVG", need_suffix=True), metavar="FILE", help="perplexity against bits a weight"
)
@format_option
def command(
    options: AccuracyOptions, model: Path | None, listed: bool, output: Path | None, plot: Path | None, form: str
) -> None:
    """Measure a language model whose numbers are stored in formats of a tile: perplexity, KL divergence, agreement.

    FORMAT is a number format with its scheme, group and format of scales: int4, int4.asymmetric/64, int8/row, mxfp4,
    nvfp4, bitmod_fp3/128, nf4/64@bf16. Every --weights is measured by every --method; other roles are the same in all
    of them. What was measured once is kept and not measured again; an interrupted command goes on where it was.
    """
    sheet = Sheet(form)
    if listed:
        _list(sheet)
        return
    from sim.accuracy.run import measured, plan, subject

    tasks = plan(options)
    if len(tasks) == 1:
        raise HwgenError("accuracy: give a format, such as --weights int4, or a tile, such as --pe bitmod")
    found = subject(options, model, tasks)
    rows: list[Measured] = []
    with _Bars(len(tasks)) as bars:
        for task, one in measured(found, tasks, bars.watch):
            rows.append(one)
            bars.done(str(task.recipe) if task.recipe is not None else task.document()["pe"])
    _print(sheet, rows, found)
    files: dict[Path, bytes] = {}
    if output is not None:
        files[output] = _bytes(output, rows, found, options)
    if plot is not None:
        from reports.accuracy_plot import perplexity_picture

        files[plot] = perplexity_picture([one.row() for one in rows], plot.suffix, found.text.name)
    if files:
        write_all(files, "accuracy")


class _Bars:
    """Which measurement runs, what of it, and how long the rest may take."""

    def __init__(self, count: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._whole = self._bars.add_task("measurements", total=count)
        self._part = self._bars.add_task("", total=None)

    def __enter__(self) -> _Bars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def watch(self, what: str, done: int, of: int) -> None:
        """Progress of one measurement."""
        self._bars.update(self._part, description=what, completed=done, total=of)

    def done(self, what: str) -> None:
        """One measurement is there."""
        self._bars.update(self._whole, advance=1, description=f"measurements, last {what}")


def _list(sheet: Sheet) -> None:
    """Methods and texts."""
    from sim.accuracy.methods import methods
    from sim.accuracy.texts import TEXTS

    rows = []
    for name, cls in methods().items():
        about = (cls.__doc__ or "").strip().partition("\n")[0]
        options = ", ".join(
            f"{item.name}={item.default} ({item.metadata['doc']})" for item in dataclasses.fields(cls) if item.metadata
        )
        rows.append([name, "yes" if cls.calibrated else "no", about, options])
    columns = [Column("method", right=False), Column("calibrated", right=False)]
    sheet.table([*columns, Column("what it does", False, True), Column("options", False, True)], rows)
    if sheet.form == "text":
        texts = [[name, one.doc, one.licence] for name, one in TEXTS.items()]
        sheet.say()
        sheet.table([Column("text", False), Column("what it is", False, True), Column("terms", False, True)], texts)


_SHOWN = {
    "bits_per_weight": "{:.2f}",
    "perplexity": "{:.3f}",
    "kl_nats": "{:.4f}",
    "agreement": "{:.1%}",
    "tokens": "{:,}",
}


def _shown(name: str, value: object) -> str:
    if isinstance(value, float) and (math.isinf(value) or value >= 1e6):
        return f"{value:.3g}"
    return _SHOWN[name].format(value) if name in _SHOWN and value != "" else str(value)


def _print(sheet: Sheet, measured: Sequence[Measured], found: Subject) -> None:
    rows = [one.row() for one in measured]
    names = list(dict.fromkeys(name for row in rows for name in row))
    numbers = [name for name in names if name in _SHOWN]
    words = [name for name in names if name not in _SHOWN]
    columns = [*(Column(name, right=False, fold=True) for name in words), *(Column(name) for name in numbers)]
    sheet.table(columns, [[row.get(name, "") for name in (*words, *numbers)] for row in rows], _shown)
    windows = found.evaluation.windows
    learned = f"; methods learned from {found.learned_from.name}" if found.learned_from else ""
    sheet.say(
        f"{found.model.name} on {len(windows)} windows of {len(windows[0].tokens)} tokens of {found.text.name}, "
        f"no start token{learned}. Float model in the first row."
    )


def _bytes(path: Path, measured: Sequence[Measured], found: Subject, options: AccuracyOptions) -> bytes:
    rows = [one.row() for one in measured]
    if path.suffix == ".csv":
        import csv
        import io

        names = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    document: dict[str, Any] = {
        "command": " ".join(sys.argv[1:]),
        "model": found.model.name,
        "text": {"name": found.text.name, "sha256": found.text.sha256, "licence": found.text.licence},
        "calibration": found.learned_from.name if found.learned_from else None,
        "windows": {"tokens": options.window, "count": options.windows, "stride": options.stride or options.window},
        "measured": [{**row, "by_window": one.by_window} for row, one in zip(rows, measured, strict=True)],
    }
    return (json.dumps(document, indent=2) + "\n").encode()
