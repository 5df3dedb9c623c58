"""List each tool, its version, what needs it and the command that installs it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import click

from hwgen.cli._table import Column, print_table
from hwgen.doctor import ToolStatus, tools

__all__ = ["command"]


def _rows(found: Sequence[ToolStatus]) -> list[tuple[str, ...]]:
    return [(tool.name, tool.found or "missing", tool.purpose, tool.needed_by) for tool in found]


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
        columns = [Column(name, right=False, fold=name != "tool") for name in ("tool", "version", "for", "needed by")]
        print_table(columns, _rows(found))
        click.echo()
        for line in _summary(found):
            click.echo(line)
    if any(tool.required and tool.found is None for tool in found):
        context.exit(1)


command = doctor
