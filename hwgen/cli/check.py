"""``hwgen check``: is a certificate that of this Verilog, and do its proofs hold again?"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from hwgen.cli._progress import bars
from hwgen.cli._values import InputFile, Number
from hwgen.cli.prove import counted, status, told
from hwgen.errors import HwgenError, os_error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise os_error(f"check: {path}: cannot be read", error) from error
    except ValueError as error:
        raise HwgenError(f"check: {path} must be a text in UTF-8: {error}") from error


@click.command(epilog="Example: hwgen check tile.json tile.v")
@click.argument("certificate", type=InputFile(), metavar="CERTIFICATE")
@click.argument("verilog", type=InputFile(), metavar="VERILOG")
@click.option(
    "--obligation", "names", multiple=True, metavar="NAME", help="prove this one again (default: all that were proved)"
)
@click.option("--list", "only_list", is_flag=True, help="only compare the hash, and list what the certificate says")
@click.option("--limit-s", type=Number(), default=900.0, show_default=True, help="most seconds for all proofs")
def command(certificate: Path, verilog: Path, names: tuple[str, ...], only_list: bool, limit_s: float) -> None:
    """Check a certificate of `hwgen prove` against a Verilog file, and prove its obligations again.

    Exit status 0 when all of these are proved again, 1 when one is refuted, 3 when one is open; 2 for a certificate
    of another file.
    """
    from hwgen.prove import checked, rerun, summary

    text = _text(verilog)
    try:
        document = json.loads(_text(certificate))
    except ValueError as error:
        raise HwgenError(f"check: {certificate} must be a certificate, in JSON: {error}") from error
    stated = checked(document, text, str(certificate), str(verilog))
    if only_list:
        told(stated["obligations"])
        sys.exit(0)
    with bars() as progress:
        task = progress.add_task("checking", total=1)
        found = rerun(
            stated,
            text,
            names,
            limit_s=limit_s,
            told=lambda name, done, all_of: progress.update(task, completed=done, total=all_of, description=name),
        )
    told(found)
    counts = summary(found)
    click.echo(f"{stated['top']}: {counted(counts)}")
    sys.exit(status(counts))
