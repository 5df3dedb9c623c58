"""``hwgen show``: one tile in words."""

from __future__ import annotations

import inspect
import json

import click

from hwgen.cli._family import FamilyCommand
from hwgen.emit._manifest import manifest
from hwgen.emit._ports import tile_ports
from hwgen.pe import TileSpec


@click.command(cls=FamilyCommand, epilog="Example: hwgen show lut --bits 4")
@click.option("--json", "as_json", is_flag=True, help="print the manifest without the Verilog's hash")
def command(spec: TileSpec, as_json: bool) -> None:
    """Show a tile: what it computes, its parameters, ports and timing: `hwgen show lut --bits 4`."""
    if as_json:
        document = manifest(spec, f"{spec.family}_tile", "")
        del document["verilog_sha256"]
        click.echo(json.dumps(document, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(inspect.getdoc(inspect.getmodule(type(spec))), highlight=False, markup=False)
    table = Table(title="parameters", title_justify="left", box=None, pad_edge=False, header_style="bold")
    for title in ("flag", "value", "allowed", "meaning"):
        table.add_column(title, overflow="fold")
    for name, p in spec.parameters().items():
        table.add_row(p.flag, str(getattr(spec, name)), p.allowed.removeprefix("a whole number "), p.doc)
    console.print()
    console.print(table)
    ports = Table(title="ports", title_justify="left", box=None, pad_edge=False, header_style="bold")
    for title in ("port", "direction", "bits", "meaning"):
        ports.add_column(title, overflow="fold")
    for port in tile_ports(spec):
        late = f"; element (m, n) {port.delay} cycles after o_valid" if port.delay != "0" else ""
        ports.add_row(port.name, port.direction, str(port.width), port.meaning + late)
    console.print()
    console.print(ports)
    console.print()
    for mode in spec.modes():
        console.print(
            f"mode {mode.name}: {mode.acts} × {mode.weights}, {spec.m}×{spec.n}×{mode.k} products a step, "
            f"{mode.cycles_per_step} cycles a step, latency {mode.latency}, drain {int(spec.drain(spec.p))} cycles",
            highlight=False,
        )
    pre = spec.pre()
    if pre is not None:
        console.print(f"before the activation buffer: {pre.summary} ({pre.passes} passes)", highlight=False)
