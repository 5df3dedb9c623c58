"""Verilator's lint as data."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hwgen.errors import HwgenError
from hwgen.simulators._verilator import run_verilator

__all__ = ["LintWarning", "lint"]

_MESSAGE = re.compile(r"^%(Warning|Error)(?:-(\w+))?: (?:[^:\n]*design\.v:(\d+):\d+: )?(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class LintWarning:
    """One warning: code such as ``WIDTHEXPAND``, line (0 where the message names none), first line of the text."""

    code: str
    line: int
    text: str


def lint(verilog: str, top: str, *, disabled: Sequence[str] = ()) -> list[LintWarning]:
    """Return what ``verilator --lint-only -Wall`` says about a module, in its order.

    Args:
        verilog: Complete Verilog source.
        top: Name of the top module.
        disabled: Codes not to report.

    Raises:
        HwgenError: Verilator is missing, knows a code of ``disabled`` not, or cannot read the Verilog at all.
    """
    with tempfile.TemporaryDirectory(prefix="hwgen-lint-") as folder:
        (Path(folder) / "design.v").write_text(verilog)
        # A file named otherwise than its module is a warning about our own temporary name.
        off = [f"-Wno-{code}" for code in ("DECLFILENAME", *disabled)]
        finished = run_verilator(
            ["--lint-only", "-Wall", "-Wno-fatal", *off, "--top-module", top, "design.v"], Path(folder)
        )
    found = []
    for kind, code, line, text in _MESSAGE.findall(finished.text):
        if kind == "Error":
            where = f"line {line}: " if line else ""
            raise HwgenError(f"{top}: Verilator cannot read the Verilog: {where}{text}")
        found.append(LintWarning(code, int(line or 0), text))
    if finished.returncode != 0:
        raise HwgenError(f"{top}: Verilator's lint stopped with status {finished.returncode} and no message")
    return found
