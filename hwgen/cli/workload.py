"""``hwgen workload``: models as matrix products."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from hwgen.cli._table import Column, Sheet, format_option
from hwgen.cli._values import Number
from hwgen.cli._workload import PhaseOptions, asked, dim_option, phase_options, span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.workload import Phase, Workload
    from sim.workload.formats import Rule
    from sim.workload.table import Row

__all__ = ["command"]


@click.group()
def command() -> None:
    """Look at models as the matrix products that they are."""


@command.command("list", epilog="Example: hwgen workload list")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@format_option
def list_command(as_json: bool, form: str) -> None:
    """List the models that come with hwgen: phases, parameters, context, where the sizes come from."""
    from sim.workload import builtin, builtin_names

    models = [builtin(name) for name in builtin_names()]
    if as_json:
        entries = [
            {
                "name": one.name,
                "phases": list(one.phases),
                "parameters": one.parameters,
                "context": one.context,
                "source": one.source,
            }
            for one in models
        ]
        click.echo(json.dumps(entries, indent=2))
        return
    sheet = Sheet(form)
    columns = [Column("model", right=False), Column("parameters"), Column("context"), Column("source", False, True)]
    rows = [(one.name, one.parameters, one.context or "", one.source) for one in models]
    sheet.table(columns, rows, _shown)
    sheet.say("\nhwgen workload show NAME prints its products in a phase.")


@command.command(epilog="Example: hwgen workload show llama-2-7b --phase decode --context 2048 --batch 8")
@click.argument("what", metavar="NAME|FILE")
@phase_options
@dim_option
@click.option(
    "--set",
    "rules",
    multiple=True,
    metavar="RULE",
    help='number formats, e.g. "role=attn.* phase=decode weights=int4 kv=int8"; may be repeated, later ones win',
)
@click.option(
    "--weight-bits", type=Number(most=64), metavar="BITS", help="bits of a weight (default: as the file says, else 16)"
)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@format_option
def show(
    what: str,
    phase: PhaseOptions,
    dims: tuple[str, ...],
    rules: tuple[str, ...],
    weight_bits: float | None,
    as_json: bool,
    form: str,
) -> None:
    """Show the products of a model in a phase: role, M tokens, N outputs, K inputs, how many, MACs, weights.

    NAME|FILE: a model of `hwgen workload list`; a config.json of Hugging Face, a .gguf, .safetensors or .onnx file, or
    a folder with one.
    """
    from sim.workload import parse_rule
    from sim.workload.table import rows

    parsed = [parse_rule(text) for text in rules]
    workload, chosen = asked(what, phase, dims)
    found = rows(workload, chosen, parsed, weight_bits)
    if as_json:
        click.echo(json.dumps(_document(workload, chosen, found, parsed), indent=2))
        return
    _print(workload, chosen, found, Sheet(form))


def _document(workload: Workload, phase: Phase, found: Sequence[Row], rules: Sequence[Rule]) -> dict[str, Any]:
    from sim.workload.table import kv_elements

    return {
        "workload": workload.name,
        "source": workload.source,
        "phase": {"name": phase.name, **vars(phase)},
        "rules": [str(rule) for rule in rules],
        "operators": [row.as_dict() for row in found],
        "macs": sum(row.macs for row in found),
        "weight_bytes": sum(row.weight_bytes for row in found),
        "kv_cache_elements": kv_elements(workload, phase),
        "parameters": workload.parameters,
        "parameters_in_no_product": dict(workload.others),
        "not_a_product_or_not_understood": [vars(one) for one in workload.beside],
    }


def _print(workload: Workload, phase: Phase, found: Sequence[Row], sheet: Sheet) -> None:
    from sim.workload.table import kv_elements

    sheet.say(f"{workload.name}: {phase}")
    parts = len({row.part for row in found}) > 1
    columns = [Column("part", right=False)] * parts
    columns += [Column("role", right=False), *map(Column, ("M", "N", "K", "count", "MACs"))]
    columns += [Column("operand", right=False), Column("weight bytes")]
    stored = any(row.stored for row in found)
    formats = any(row.formats for row in found)
    columns += [Column("stored", right=False)] * stored + [Column("formats", right=False)] * formats
    lines = []
    for row in found:
        n, k = span(row.n, row.n_last), span(row.k, row.k_last)
        line: list[object] = [
            *([row.part] * parts),
            row.role,
            row.m,
            n,
            k,
            row.count,
            row.macs,
            row.operand,
            round(row.weight_bytes),
        ]
        line += [row.stored] * stored
        line += [" ".join(f"{operand}={name}" for operand, name in row.formats.items())] * formats
        lines.append(line)
    sheet.table(columns, lines, _shown)
    macs, held = sum(row.macs for row in found), sum(row.weight_bytes for row in found)
    sheet.say(f"total: {macs:,} MACs; {held:,.0f} bytes of weights, scales not counted")
    kv = kv_elements(workload, phase)
    if kv:
        sheet.say(f"KV cache at the end: {kv:,} elements")
    others = "".join(f", {count:,} {name}" for name, count in workload.others.items())
    if others:
        sheet.say(f"parameters: {workload.parameters:,}, of which in no product:{others[1:]}")
    if workload.beside:
        listed = ", ".join(
            f"{one.what} × {one.count}" + (f" ({one.macs:,} MACs)" if one.macs else "") for one in workload.beside
        )
        sheet.say(f"no product, or not understood: {listed}")
    sheet.say(f"source: {workload.source}")


def _shown(name: str, value: object) -> str:
    """Numbers with commas, zero weights empty."""
    if isinstance(value, int):
        return f"{value:,}" if value or name != "weight bytes" else ""
    return str(value)
