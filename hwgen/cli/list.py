"""``hwgen list``: the PE families."""

from __future__ import annotations

import json
from typing import Any

import click

from hwgen.cli._table import Column, Sheet, format_option
from hwgen.formats import read_format
from hwgen.formats.file import example_names
from hwgen.pe import TileSpec, families


def _entry(spec: type[TileSpec]) -> dict[str, Any]:
    tile = spec()
    acts = spec.parameters().get("acts")
    choices = acts.legal if acts is not None and isinstance(acts.legal, tuple) else (tile.act_format.name,)
    return {
        "family": spec.family,
        "title": spec.title or spec.summary(),
        "summary": spec.summary(),
        "acts": list(choices),
        "weights": tile.weight_format.name,
        "modes": [mode.name for mode in tile.modes()],
        "parameters": list(spec.parameters()),
    }


@click.command(epilog="Example: hwgen list --json")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@format_option
def command(as_json: bool, form: str) -> None:
    """List the PE families."""
    entries = [_entry(spec) for spec in families().values()]
    if as_json:
        click.echo(json.dumps(entries, indent=2))
        return
    sheet = Sheet(form)
    titles = ("family", "what it is", "activations", "weights")
    columns = [Column(title, right=False, fold=title == "what it is") for title in titles]
    rows = []
    for entry in entries:
        acts = entry["acts"]
        shown = f"{acts[0]} … {acts[-1]}" if len(acts) > 2 else ", ".join(acts)
        rows.append((entry["family"], entry["title"], shown, entry["weights"].partition("(")[0]))
    sheet.table(columns, rows)
    sheet.say("\nhwgen show FAMILY prints its formats, timing, size, parameters and ports.")
    sheet.say("Number formats in files that come with hwgen (--format NAME or FILE.toml):")
    for name in example_names():
        sheet.say(f"  {name}: {read_format(name).about}")
