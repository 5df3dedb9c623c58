"""Yosys in a child process: it ends its process on an error, so every script has one of its own."""

from __future__ import annotations

import re
import signal
import sys
import threading
from pathlib import Path

from hwgen.errors import HwgenError
from hwgen.simulators import _process

__all__ = ["finished", "yosys", "yosys_version"]

_CHILD = "import sys; from pyosys import libyosys as y; y.run_pass('script ' + sys.argv[1], y.Design())"


def yosys_version() -> str:
    """Version of the Yosys that is used, as the package names it."""
    from importlib.metadata import version

    return version("pyosys")


def finished(
    script: Path, what: str, timeout_s: float, stop: threading.Event | None = None, cwd: Path | None = None
) -> _process.Finished:
    """Run a script in ``cwd`` or its own folder to its end, whatever that is; ``what`` it maps is said in errors.

    The child and its ABC are killed when time is over, which raises `HwgenError`, and soon after ``stop`` is set.
    """
    command: list[str | Path] = [sys.executable, "-c", _CHILD, script]
    done = _process.run(command, cwd=cwd or script.parent, timeout_s=timeout_s, stop=stop)
    if done.returncode is None:
        raise HwgenError(f"synth: {what} must be mapped within {timeout_s:g} s, which it was not; raise --timeout-s")
    return done


def yosys(script: Path, what: str, timeout_s: float, stop: threading.Event | None = None) -> _process.Finished:
    """Run a script to its end as `finished`. Raises `HwgenError` with Yosys' own words when it stops by itself."""
    done = finished(script, what, timeout_s, stop)
    if done.returncode:
        raise HwgenError(f"synth: Yosys must map {what}, but stopped: {_cause(done.text, done.returncode)}")
    return done


_SAID = re.compile(
    r"^ABC: (?!\+|=|\*\*|Warning)(.*(?:[Ee]rror|cannot|[Ff]ault|failed|[Aa]ssert|not available|[Aa]bort).*)$", re.M
)
_STATUS = re.compile(r"ABC: .*return code (\d+)")


def _cause(text: str, status: int) -> str:
    """Why Yosys stopped: what ABC said, where ABC was it, whose output Yosys then misses; else Yosys' own words."""
    lines = [line.strip() for line in text.splitlines() if "ERROR" in line]
    if not lines:
        return f"exit status {status} without a message"
    if "ABC" not in lines[0]:
        return lines[0]
    of_last_run = text[max(text.rfind("Executing ABC pass"), 0) :]
    said = [line.strip().removeprefix("Error: ") for line in _SAID.findall(of_last_run)]
    ended = _STATUS.search(lines[0])
    if ended is not None and int(ended[1]) > 128:
        try:
            name = signal.strsignal(int(ended[1]) - 128) or "a signal"
        except ValueError:
            name = "a signal"
        first = next((line for line in said if "ault" not in line), "")
        return f"ABC crashed ({name.lower()}){f' after it said: {first}' if first else ''}"
    if said:
        return f"ABC said: {said[0]}"
    # The path of the file that is not there tells nobody anything.
    last = re.findall(r"^ABC: (.*\S)", of_last_run, re.M)
    return f"ABC ended without a result{f', last it said: {last[-1]}' if last else ''}"
