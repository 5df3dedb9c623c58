"""``hwgen show``: one tile in words."""

from __future__ import annotations

import json
import re
import textwrap

import click

from hwgen.cli._family import FamilyCommand
from hwgen.cli._table import Column, print_table, room
from hwgen.cli._tech import Clock
from hwgen.emit._manifest import manifest
from hwgen.frame.interface import tile_ports
from hwgen.frame.parameters import family_doc
from hwgen.pe import TileSpec

_WIDEST = 100
"""Longest lines of running text; longer ones are hard to read."""


@click.command(cls=FamilyCommand, epilog="Example: hwgen show lut --bits 4")
@click.option("--json", "as_json", is_flag=True, help="print the manifest without the Verilog's hash")
def command(spec: TileSpec, clock: Clock, as_json: bool) -> None:
    """Show a tile: formats, shape, timing, size, parameters, ports, and what it computes: `hwgen show lut --bits 4`."""
    if as_json:
        document = manifest(spec, f"{spec.family}_tile", "", clock=clock.document())
        del document["verilog_sha256"]
        click.echo(json.dumps(document, indent=2))
        return
    width = min(room(), _WIDEST)
    for line in _facts(spec):
        click.echo(_filled(line, width, "  "))
    click.echo()
    rows = [
        (p.flag, str(getattr(spec, name)), p.allowed.removeprefix("a whole number "), p.doc)
        for name, p in spec.parameters().items()
    ]
    print_table(_columns("parameter", "value", "allowed", "meaning"), rows)
    click.echo()
    ports = []
    for port in tile_ports(spec):
        late = f"; element (m, n) {port.delay} cycles after o_valid" if port.delay != "0" else ""
        ports.append((port.name, port.direction, str(port.width), port.meaning + late))
    print_table(_columns("port", "direction", "bits", "meaning"), ports)
    click.echo()
    click.echo(_paragraphs(family_doc(type(spec)), width))


def _columns(*titles: str) -> list[Column]:
    return [Column(title, right=title == "bits", fold=title in ("allowed", "meaning")) for title in titles]


def _facts(spec: TileSpec) -> list[str]:
    """What a user asks first."""
    p = spec.p
    blocks = spec.blocks(p)
    flip_flops = sum(int(block.count) * int(block.primitives.get("ff", 0)) for block in blocks.values())
    lines = [f"{spec.family}: {spec.title or spec.summary()}"]
    for mode in spec.modes():
        name = "" if len(spec.modes()) == 1 else f" {mode.name}"
        lines.append(
            f"mode{name}: {mode.acts} × {mode.weights}, {spec.m}×{spec.n}×{mode.k} products a step, "
            f"{mode.cycles_per_step} cycle{'s' if mode.cycles_per_step != 1 else ''} a step"
            if name
            else f"formats: {mode.acts} × {mode.weights}; shape: {spec.m}×{spec.n}×{mode.k} products a step"
        )
    first = spec.modes()[0]
    drain = int(spec.drain(p))
    lines.append(
        f"timing: {first.cycles_per_step} cycle{'s' if first.cycles_per_step != 1 else ''} a step, latency "
        f"{first.latency}, {drain} cycles from a group's last step to its last result"
    )
    lines.append(
        f"size: {spec.m * spec.n} cells, sums of {int(spec.acc_bits(p))} bits, {flip_flops:,} flip-flop bits "
        "(hwgen estimate has areas and energies)"
    )
    pre = spec.pre()
    if pre is not None:
        lines.append(f"before the activation buffer: {pre.summary} ({pre.passes} passes)")
    return lines


def _filled(text: str, width: int, indent: str = "") -> str:
    return textwrap.fill(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _paragraphs(doc: str, width: int) -> str:
    """Running text filled anew; items of lists keep their lines of their own."""
    found = []
    for paragraph in re.split(r"\n\s*\n", doc):
        items = re.split(r"\n(?=\* )", paragraph)
        found.append(
            "\n".join(_filled(" ".join(item.split()), width, "  " if item.startswith("* ") else "") for item in items)
        )
    return "\n\n".join(found)
