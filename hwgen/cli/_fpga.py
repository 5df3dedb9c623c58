"""``hwgen synth --fpga``: resources on an FPGA, and the clock frequency where nextpnr is installed."""

from __future__ import annotations

import json

import click

from hwgen.cli._progress import bars
from hwgen.cli._table import Column, print_table
from hwgen.emit import Reset
from hwgen.errors import HwgenError
from hwgen.pe import TileSpec
from hwgen.simulators import find
from hwgen.simulators.toolchain import TOOLS
from hwgen.synth import SynthOptions, VerilogUnit
from hwgen.synth.fpga import RESOURCES, VENDORS, FpgaResult, Placed, estimate, place

__all__ = ["run_fpga"]

_TITLES = {"lut": "LUT", "carry": "carry", "mux": "mux", "ff": "FF", "dsp": "DSP", "bram": "BRAM", "lutram": "LUT RAM"}


def run_fpga(
    spec: TileSpec | VerilogUnit,
    vendor: str,
    options: SynthOptions,
    dsp: bool,
    pnr: bool | None,
    reset: Reset,
    as_json: bool,
) -> None:
    """Estimate, place (``pnr`` None: where nextpnr is installed) and print; only the whole tile is placed."""

    if pnr and options.kinds:
        raise HwgenError("synth: --pnr places the whole tile and takes no --block")
    with bars() as bar:
        task = bar.add_task(
            f"mapping {spec.family if isinstance(spec, TileSpec) else spec.top} to {vendor}", total=None
        )
        result = estimate(
            spec,
            vendor,
            kinds=options.kinds,
            dsp=dsp,
            jobs=options.jobs,
            timeout_s=options.timeout_s,
            reset=reset,
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
    tool = f"nextpnr-{vendor}"
    wanted = pnr if pnr is not None else not options.kinds and tool in TOOLS and find(tool) is not None
    placed = place(result, options.clk_period_ns, options.timeout_s) if wanted else None
    if as_json:
        document = result.document() | {"nextpnr": None}
        if placed is not None:
            document["nextpnr"] = {
                "tool": placed.tool,
                "device": placed.device,
                "target_clk_period_ns": options.clk_period_ns,
                "max_frequency_mhz": placed.max_frequency_mhz,
                "complaint": placed.complaint,
            }
        click.echo(json.dumps(document, indent=2))
        return
    _table(result)
    if placed is not None:
        click.echo(_outcome(placed, options.clk_period_ns))
    elif tool not in TOOLS:
        click.echo(
            f"no clock frequency: nextpnr is for {' and '.join(n for n, v in VENDORS.items() if v.devices)} only"
        )
    elif pnr is None and not options.kinds:
        click.echo(f"no clock frequency: {tool} is not installed; install it with: {TOOLS[tool].install}")


def _outcome(placed: Placed, clk_period_ns: float) -> str:
    if placed.max_frequency_mhz is None:
        return f"{placed.tool} on {placed.device}: not routed: {placed.complaint}"
    verdict = "met" if placed.max_frequency_mhz >= 1000 / clk_period_ns else "not met"
    return (
        f"{placed.tool} on {placed.device}: {placed.max_frequency_mhz:,.1f} MHz, routed between shift registers; "
        f"target {clk_period_ns:g} ns ({1000 / clk_period_ns:,.1f} MHz) {verdict}"
    )


def _table(result: FpgaResult) -> None:
    totals = result.totals
    shown = [name for name in RESOURCES if name in _TITLES or totals[name]]
    columns = [Column("part", right=False), Column("copies"), *(Column(_TITLES.get(name, name)) for name in shown)]
    rows = []
    for part in result.parts:
        counts = result.resources(part)
        rows.append((part.kind, str(part.count), *(f"{counts[name]:,}" for name in shown)))
    if len(result.parts) > 1 or result.parts[0].count > 1:
        rows.append(("all", "", *(f"{totals[name]:,}" for name in shown)))
    vendor = VENDORS[result.vendor]
    blocks = "with" if result.dsp else "without"
    click.echo(f"{vendor.title}, {blocks} DSP blocks, {result.document()['basis']}")
    print_table(columns, rows)
    if result.from_cache:
        click.echo(f"{result.from_cache} of {len(result.parts)} mappings from the cache")
    click.echo(result.document()["versions"])
