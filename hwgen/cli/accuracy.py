"""``hwgen accuracy``: what formats, methods and the arithmetic of tiles cost a language model."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwgen.cli._options import option_object
from hwgen.cli._progress import bars
from hwgen.cli._table import Column, Sheet, forms_option, split_forms
from hwgen.cli._values import InputFile, OutputFile
from hwgen.errors import HwgenError
from hwgen.files import write_all
from hwgen.options import AccuracyOptions, MixedOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sim.accuracy.language import Measured
    from sim.accuracy.mixed import Comparison
    from sim.accuracy.run import Subject

__all__ = ["command"]


@click.command(epilog="Example: hwgen accuracy --weights int4 --text origin --window 64 --windows 1")
@option_object(AccuracyOptions)
@option_object(MixedOptions, "mix")
@click.option(
    "--model",
    type=InputFile(folders=True),
    metavar="FILE",
    help="Llama-type model or GPT-2 in GGUF or safetensors (default: SmolLM2-135M, `hwgen model fetch`)",
)
@click.option("--list", "listed", is_flag=True, help="list methods, their options and texts, and end")
@click.option("-o", "--output", type=OutputFile("CSV", "JSON", need_suffix=True), metavar="FILE", help=".csv or .json")
@click.option(
    "--plot", type=OutputFile("PNG", "SVG", need_suffix=True), metavar="FILE", help="perplexity against bits a weight"
)
@click.option(
    "--plot-energy",
    type=OutputFile("PNG", "SVG", need_suffix=True),
    metavar="FILE",
    help="perplexity against energy of a multiply-accumulate, of the tiles (--pe)",
)
@forms_option("weights in it, as --weights FILE")
def command(
    options: AccuracyOptions,
    mix: MixedOptions,
    model: Path | None,
    listed: bool,
    output: Path | None,
    plot: Path | None,
    plot_energy: Path | None,
    forms: tuple[str, ...],
) -> None:
    """Measure a language model whose numbers are stored in formats of a tile: perplexity, KL divergence, agreement.

    FORMAT is a number format with its scheme, group and format of scales: int4, int4.asymmetric/64, int8/row, mxfp4,
    nvfp4, bitmod_fp3/128, nf4/64@bf16; or a .toml file, which says them all (docs/formats_from_files.md). Every
    --weights is measured by every --method; other roles are the same in all of them. --mix gives single layers formats
    under a budget. What was measured once is kept and not measured again; an interrupted command goes on where it was.
    """
    form, files_of_formats = split_forms("accuracy", forms)
    if files_of_formats:
        wanted = (*options.weights, *(one.operand for one in files_of_formats))
        options = dataclasses.replace(options, weights=wanted)
    sheet = Sheet(form)
    if listed:
        _list(sheet)
        return
    if model is not None:
        # What is no model is told before torch is there.
        from sim.models.weights import open_model

        open_model(model)
    from sim.accuracy.run import measured, mixed, plan, subject

    if options.tasks:
        _tasks(sheet, options, model, mix, output, plot or plot_energy)
        return
    tasks = plan(options)
    if len(tasks) == 1 and not mix.formats:
        raise HwgenError("accuracy: give a format, such as --weights int4, or a tile, such as --pe bitmod")
    if plot_energy is not None and not options.tiles:
        raise HwgenError("accuracy: --plot-energy shows tiles; give one, such as --pe bitmod")
    found = subject(options, model, tasks, mix if mix.formats else None)
    rows: list[Measured] = []
    with _Bars(len(tasks)) as shown:
        for task, one in measured(found, tasks, shown.watch):
            rows.append(one)
            shown.done(str(task.recipe) if task.recipe is not None else task.document()["pe"])
        compared = mixed(found, options, mix, shown.watch) if mix.formats else None
    _print(sheet, rows, found)
    if compared is not None:
        _print_mixed(sheet, compared)
    files: dict[Path, bytes] = {}
    if output is not None:
        files[output] = _bytes(output, rows, found, options)
    if plot is not None:
        from reports.accuracy_plot import perplexity_picture

        files[plot] = perplexity_picture([one.row() for one in rows], plot.suffix, found.text.name)
    if plot_energy is not None:
        from reports.accuracy_plot import energy_picture

        tiles = [(task.tile, one.row()) for task, one in zip(tasks, rows, strict=True) if task.tile and task.exact]
        files[plot_energy] = energy_picture(rows[0].row(), tiles, plot_energy.suffix, found.text.name)
    if files:
        write_all(files, "accuracy")


class _Bars:
    """Which measurement runs, what of it, and how long the rest may take."""

    def __init__(self, count: int | None) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

        self._bars = bars(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
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


def _print_mixed(sheet: Sheet, compared: Comparison) -> None:
    """Assignments under the budget, and what they are worth."""
    if sheet.form != "text":
        return
    shown = ("assign", "formats", "bits_per_weight", "predicted", "perplexity", "kl_nats", "agreement")
    rows = [[row[name] for name in shown] for row in compared.rows()]
    sheet.say()
    columns = [Column("assign", False), Column("formats", False, True), *map(Column, shown[2:])]
    sheet.table(columns, rows, lambda name, value: f"{value:.4g}" if name == "predicted" else _shown(name, value))
    for verdict in compared.verdicts:
        sheet.say(verdict)


def _tasks(
    sheet: Sheet,
    options: AccuracyOptions,
    model: Path | None,
    mix: MixedOptions,
    output: Path | None,
    plot: Path | None,
) -> None:
    """Tasks with models of their own."""
    from sim.accuracy.run import other_tasks

    wrong = {"--model": model, "--pe": options.tiles, "--mix": mix.formats, "--plot": plot}
    for flag, given in wrong.items():
        if given:
            raise HwgenError(f"accuracy: {flag} goes with a language model, not with --task")
    rows: list[dict[str, Any]] = []
    with _Bars(None) as shown:
        for row in other_tasks(options, shown.watch):
            rows.append(row)
            shown.done(f"{row['task']} {row.get('weights', 'float32')}")
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [Column(name, right=isinstance(rows[0].get(name), float)) for name in names]
    sheet.table(columns, [[row.get(name, "") for name in names] for row in rows], _figure)
    if output is not None:
        document = json.dumps({"command": " ".join(sys.argv[1:]), "measured": rows}, indent=2) + "\n"
        write_all({output: _csv(rows) if output.suffix == ".csv" else document.encode()}, "accuracy")


def _figure(_name: str, value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _bytes(path: Path, measured: Sequence[Measured], found: Subject, options: AccuracyOptions) -> bytes:
    rows = [one.row() for one in measured]
    if path.suffix == ".csv":
        return _csv(rows)
    document: dict[str, Any] = {
        "command": " ".join(sys.argv[1:]),
        "model": found.model.name,
        "text": {"name": found.text.name, "sha256": found.text.sha256, "licence": found.text.licence},
        "calibration": found.learned_from.name if found.learned_from else None,
        "windows": {"tokens": options.window, "count": options.windows, "stride": options.stride or options.window},
        "measured": [{**row, "by_window": one.by_window} for row, one in zip(rows, measured, strict=True)],
    }
    return (json.dumps(document, indent=2) + "\n").encode()
