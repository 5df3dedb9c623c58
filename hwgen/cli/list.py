"""``hwgen list``: the PE families."""

from __future__ import annotations

import json
from typing import Any

import click

from hwgen.pe import TileSpec, families


def _entry(spec: type[TileSpec]) -> dict[str, Any]:
    tile = spec()
    acts = spec.parameters().get("acts")
    choices = acts.legal if acts is not None and isinstance(acts.legal, tuple) else (tile.act_format.name,)
    return {
        "family": spec.family,
        "summary": spec.summary(),
        "acts": list(choices),
        "weights": tile.weight_format.name,
        "modes": [mode.name for mode in tile.modes()],
        "parameters": list(spec.parameters()),
    }


@click.command(epilog="Example: hwgen list --json")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(as_json: bool) -> None:
    """List the PE families."""
    entries = [_entry(spec) for spec in families().values()]
    if as_json:
        click.echo(json.dumps(entries, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("family", "what it is", "activations", "default weights", "parameters"):
        table.add_column(title, overflow="fold")
    for entry in entries:
        acts = entry["acts"]
        shown = f"{acts[0]} … {acts[-1]}" if len(acts) > 5 else ", ".join(acts)
        table.add_row(entry["family"], entry["summary"], shown, entry["weights"], str(len(entry["parameters"])))
    Console().print(table)
    click.echo("\nhwgen show FAMILY prints its parameters, ports and timing.")
