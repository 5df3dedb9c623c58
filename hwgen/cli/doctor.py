"""List each tool, its version, what needs it and the command that installs it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hwgen.doctor import ToolStatus, tools

__all__ = ["command"]


def _table(found: Sequence[ToolStatus]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("tool", no_wrap=True)
    table.add_column("version", overflow="fold")
    table.add_column("for", overflow="fold")
    table.add_column("needed by", overflow="fold")
    for tool in found:
        version = Text(tool.found) if tool.found else Text("missing", style="bold red" if tool.required else "yellow")
        table.add_row(Text(tool.name), version, Text(tool.purpose), Text(tool.needed_by))
    return table


def _summary(found: Sequence[ToolStatus]) -> list[str]:
    """What is missing, each with its command, and last whether hwgen can work: lines that a terminal may not cut."""
    missing = [tool for tool in found if tool.found is None]
    lines = [f"{tool.name} is missing; install it with: {tool.install_command}" for tool in missing]
    required = [tool.name for tool in missing if tool.required]
    if required:
        lines.append(f"hwgen cannot work without {', '.join(required)}")
    elif missing:
        lines.append(f"every required tool is here; {len(missing)} optional missing")
    else:
        lines.append("every tool is here")
    return lines


@click.command(epilog="Example: hwgen doctor")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of the table.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """List each tool, its version, what needs it and the command that installs it.

    The exit status is 1 if a tool is missing that nothing works without.
    """
    found = tools()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(tool) for tool in found], indent=2))
    else:
        Console().print(_table(found))
        click.echo()
        for line in _summary(found):
            click.echo(line)
    if any(tool.required and tool.found is None for tool in found):
        context.exit(1)


command = doctor
