"""Yosys in a child process: it ends its process on an error, so every script has one of its own."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from hwgen.errors import HwgenError
from hwgen.simulators import _process

__all__ = ["yosys", "yosys_version"]

_CHILD = "import sys; from pyosys import libyosys as y; y.run_pass('script ' + sys.argv[1], y.Design())"


def yosys_version() -> str:
    """Version of the Yosys that is used, as the package names it."""
    from importlib.metadata import version

    return version("pyosys")


def yosys(script: Path, what: str, timeout_s: float, stop: threading.Event | None = None) -> _process.Finished:
    """Run a script in its folder; ``what`` it maps is said in errors.

    The child and its ABC are killed when time is over and soon after ``stop`` is set. Raises `HwgenError` then, and
    with Yosys' own words when it stops by itself.
    """
    done = _process.run([sys.executable, "-c", _CHILD, script], cwd=script.parent, timeout_s=timeout_s, stop=stop)
    if done.returncode is None:
        raise HwgenError(f"synth: {what} must be mapped within {timeout_s:g} s, which it was not; raise --timeout-s")
    if done.returncode:
        lines = [line for line in done.text.splitlines() if "ERROR" in line]
        reason = lines[0].strip() if lines else f"exit status {done.returncode} without a message"
        raise HwgenError(f"synth: Yosys must map {what}, but stopped: {reason}")
    return done
