"""``hwgen estimate``: cycles, area and energy of a layer on a tile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from hwgen.cli._family import FamilyCommand
from hwgen.cli._layer import LAYER_HELP, parse_layer
from hwgen.pe import TileSpec

if TYPE_CHECKING:
    from sim.estimate import Report

__all__ = ["command"]


@click.command(cls=FamilyCommand)
@click.option("--layer", "layers", required=True, multiple=True, metavar="MxNxK", help=f"{LAYER_HELP}; may be repeated")
@click.option("--tech", metavar="TABLE", help="technology table, or a .toml file (default horowitz45)")
@click.option("--clk-period-ns", type=float, default=1.0, show_default=True, help="clock period; no timing is checked")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(spec: TileSpec, layers: tuple[str, ...], tech: str | None, clk_period_ns: float, as_json: bool) -> None:
    """Estimate layers on a tile: `hwgen estimate --pe lut --bits 2 --layer 8x1536x576`.

    Cycles are exact. Areas and energies are assumed, pre-layout numbers.
    """
    from sim.estimate import estimate
    from sim.tech import DEFAULT

    first, *others = (estimate(spec, parse_layer(text), tech or DEFAULT, clk_period_ns) for text in layers)
    report = sum(others, start=first)
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2))
        return
    _print(report)


def _print(report: Report) -> None:
    click.echo(f"tile: {report.tile}")
    click.echo(f"layers: {', '.join(report.layers)}; {report.macs:,} MACs")
    pre = f", {report.pre_cycles:,} of them before the activation buffer" if report.pre_cycles else ""
    click.echo(
        f"cycles: {report.cycles + report.pre_cycles:,}{pre} (exact); {report.latency_us:,.3f} µs at "
        f"{report.clk_period_ns:g} ns; utilisation {report.utilization:.1%}"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("block")
    for heading in ("area [GE]", "", "energy [pJ]", ""):
        table.add_column(heading, justify="right")
    area, energy = report.total_area_ge, report.total_energy_pj
    for name in dict.fromkeys([*report.area_ge, *report.energy_pj]):
        ge, pj = report.area_ge.get(name, 0.0), report.energy_pj.get(name, 0.0)
        if ge or pj:
            table.add_row(
                name, f"{ge:,.0f}" if ge else "", f"{ge / area:.1%}" if ge else "", f"{pj:,.0f}", f"{pj / energy:.1%}"
            )
    table.add_row("total", f"{area:,.0f}", "", f"{energy:,.0f}", "", style="bold")
    Console().print(table)
    click.echo(f"energy per MAC: {report.energy_pj_per_mac:.4g} pJ")
    click.echo(f"areas and energies are {report.status}, pre-layout ({report.tech}); cycles are exact")
