"""Yosys in this process: passes over text, and nothing on stdout."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["run_passes"]


@contextlib.contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Send file descriptor 1 to nowhere: Yosys echoes each pass there, and stdout may be the Verilog file."""
    sys.stdout.flush()
    saved = os.dup(1)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(sink)


def run_passes(text: str, passes: Iterable[str], *, read: str = "read_rtlil", write: str) -> str:
    """What ``write`` makes of a design after passes over it.

    ``read`` and ``write`` are Yosys' commands for its formats, with their options.
    """
    from pyosys import libyosys as yosys

    with tempfile.TemporaryDirectory() as folder, _quiet_stdout():
        source, result = Path(folder, "design.in"), Path(folder, "design.out")
        source.write_text(text, encoding="utf-8")
        design = yosys.Design()
        for command in (f"{read} {source}", *passes, f"{write} {result}"):
            yosys.run_pass(f"tee -q {command}", design)
        return result.read_text(encoding="utf-8")
