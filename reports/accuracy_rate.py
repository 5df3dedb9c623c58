"""``python -m reports.accuracy_rate``: how long it takes to measure formats of which nothing is known, and after that.

Takes some 15 minutes on two cores; says what else the machine did.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from reports.accuracy import FORMATS
from reports.command_line import without_options
from reports.families import table
from reports.provenance import provenance, write_result
from sim.accuracy.fetchable import fetchable
from sim.models.fetch import DEFAULT_MODEL, fetch_members

__all__ = ["COUNT", "WINDOWS", "Took", "main", "page"]

RESULT = Path("reports/results/accuracy_rate.md")
COUNT = 20
"""Formats of weights, the first of `reports.accuracy.FORMATS`."""
WINDOWS = 3


@dataclass(frozen=True)
class Took:
    """Seconds of a run, processor seconds of all its processes, and the load average when it began."""

    what: str
    seconds: float
    cpu_s: float
    load: float


def command(formats: tuple[str, ...]) -> list[str]:
    """What a user types."""
    weights = [word for name in formats for word in ("--weights", name)]
    return [sys.executable, "-m", "hwgen", "accuracy", *weights, "--windows", str(WINDOWS)]


def timed(what: str, cache: Path, formats: tuple[str, ...]) -> Took:
    """One run with its own cache."""
    load = os.getloadavg()[0]
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "HWGEN_CACHE_DIR": str(cache)}
    subprocess.run(command(formats), check=True, stdout=subprocess.DEVNULL, env=environment)
    seconds, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(what, seconds, spent, load)


def page(runs: list[Took]) -> str:
    """Text of the result page."""
    rows = [[one.what, f"{one.seconds:,.0f}", f"{one.cpu_s:,.0f}", f"{one.load:.1f}"] for one in runs]
    return "\n\n".join(
        [
            f"`hwgen accuracy --windows {WINDOWS}` with {COUNT} `--weights` ({', '.join(FORMATS[:COUNT])}), each "
            "rounded to nearest: SmolLM2-135M reads the default text in windows of 1,024 tokens once for each, and "
            "once as it is. The model and the text are there, nothing else is kept. *Load* is the machine's load "
            "average of a minute when a run began.",
            table(["run", "seconds", "processor seconds", "load"], rows),
        ]
    )


def main() -> None:
    """Measure and write the page."""
    known = fetch_members([DEFAULT_MODEL, *fetchable()["lee"]])
    with tempfile.TemporaryDirectory() as name:
        cache = Path(name)
        for member, path in zip((DEFAULT_MODEL, *fetchable()["lee"]), known, strict=True):
            target = cache / member.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
        runs = [timed(what, cache, FORMATS[:COUNT]) for what in ("nothing is kept", "again")]
    write_result(RESULT, "How long formats take", "python -m reports.accuracy_rate", page(runs), provenance())


if __name__ == "__main__":
    without_options(main, __doc__)
