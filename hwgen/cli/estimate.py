"""``hwgen estimate``: cycles, area and energy of a layer on a tile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from hwgen.cli._family import FamilyCommand
from hwgen.cli._layer import LAYER_HELP, parse_layer
from hwgen.cli._table import Column, print_table
from hwgen.cli._tech import Clock
from hwgen.pe import TileSpec

if TYPE_CHECKING:
    from sim.estimate import Report

__all__ = ["command"]


@click.command(cls=FamilyCommand, epilog="Example: hwgen estimate --pe lut --bits 2 --layer 8x1536x576")
@click.option("--layer", "layers", required=True, multiple=True, metavar="MxNxK", help=f"{LAYER_HELP}; may be repeated")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(spec: TileSpec, clock: Clock, layers: tuple[str, ...], as_json: bool) -> None:
    """Estimate layers on a tile: `hwgen estimate --pe lut --bits 2 --layer 8x1536x576`.

    Cycles are exact. Areas, energies and clock periods are pre-layout, measured on blocks of the family (`--tech`).
    Off-chip memory is not counted.
    """
    from sim.estimate import estimate
    from sim.tech import DEFAULT

    first, *others = (estimate(spec, parse_layer(text), clock.tech or DEFAULT, clock.period_ns) for text in layers)
    report = sum(others, start=first)
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2))
        return
    _print(report, clock.words(spec))


def _print(report: Report, registers: str) -> None:
    from sim.estimate import OFF_CHIP

    if report.meets_clock is False:
        click.echo(
            f"the clock of {report.clk_period_ns:g} ns cannot be met: the tile needs {report.min_clk_period_ns:.3f} ns"
        )
    click.echo(f"tile: {report.tile}")
    click.echo(registers)
    click.echo(f"layers: {', '.join(report.layers)}; {report.macs:,} MACs")
    pre = f", {report.pre_cycles:,} of them before the activation buffer" if report.pre_cycles else ""
    click.echo(
        f"cycles: {report.cycles + report.pre_cycles:,}{pre} (exact); {report.latency_us:,.3f} µs at "
        f"{report.clk_period_ns:.4g} ns; utilisation {report.utilization:.1%}"
    )
    columns = [Column("block", right=False), *map(Column, ("area [µm²]", "", "energy [pJ]", ""))]
    rows = []
    area, energy = report.total_area_um2, report.total_energy_pj
    for name in dict.fromkeys([*report.area_um2, *report.energy_pj]):
        um2, pj = report.area_um2.get(name, 0.0), report.energy_pj.get(name, 0.0)
        if um2 or pj:
            shown = (f"{um2:,.5g}", f"{um2 / area:.1%}") if um2 else ("", "")
            rows.append((name, *shown, f"{pj:,.0f}", f"{pj / energy:.1%}"))
    rows.append(("total", f"{area:,.5g}", "", f"{energy:,.0f}", ""))
    print_table(columns, rows, bold_last=True)
    click.echo(
        f"energy per MAC: {report.energy_pj_per_mac:.4g} pJ; power {report.power_mw:.4g} mW; area "
        f"{report.total_area_ge:,.0f} gate equivalents"
    )
    click.echo(f"areas, energies and periods are {report.status}, pre-layout ({report.tech}); cycles are exact")
    if report.extrapolated:
        click.echo(f"extrapolated, beyond all measured tiles: {'; '.join(report.extrapolated)}")
    click.echo(f"energies of buffers (sram) are {report.buffer_status}")
    click.echo(f"off-chip memory is {OFF_CHIP}")
