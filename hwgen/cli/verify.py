"""``hwgen verify``: does this tile equal its reference, cycle for cycle?"""

from __future__ import annotations

import json
import sys

import click

from hwgen.cli._family import FamilyCommand
from hwgen.cli._reset import reset_options
from hwgen.cli._values import SEED
from hwgen.emit import Reset
from hwgen.pe import TileSpec


@click.command(cls=FamilyCommand, epilog="Example: hwgen verify --pe int --m 1 --n 2 --k 4")
@click.option("--seed", type=SEED, default=1, show_default=True, help="seed of the random operands")
@click.option(
    "--engine",
    type=click.Choice(["auto", "amaranth", "verilator"]),
    default="auto",
    show_default=True,
    help="simulator: Amaranth's own (needs nothing), or the emitted Verilog compiled",
)
@reset_options
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(spec: TileSpec, seed: int, engine: str, reset: Reset, as_json: bool) -> None:
    """Check a tile against its reference: values and cycles, corners, random, idle cycles, cut-off groups.

    Exit status 1 when a check fails.
    """
    from rich.console import Console

    from hwgen.verify import check_contract, choose_engine

    console = Console(stderr=True)
    chosen = choose_engine(spec, engine)
    with console.status(f"{spec.family}: checking with {chosen}"):
        findings = check_contract(spec, seed, chosen, reset)
    failed = [finding for finding in findings if not finding.ok]
    if as_json:
        click.echo(json.dumps([{"check": f.check, "ok": f.ok, "detail": f.detail} for f in findings], indent=2))
    else:
        for finding in findings:
            click.echo(
                f"{'ok  ' if finding.ok else 'FAIL'} {finding.check}{': ' + finding.detail if finding.detail else ''}"
            )
        click.echo(
            f"{spec.family}: {len(findings) - len(failed)} of {len(findings)} checks hold ({chosen}, seed {seed})"
        )
    sys.exit(1 if failed else 0)
