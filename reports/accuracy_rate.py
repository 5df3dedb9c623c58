"""``python -m reports.accuracy_rate``: how long it takes to measure formats of which nothing is known, and after that.

Takes some 15 minutes on two cores; says what else the machine did.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from reports.accuracy import FORMATS
from reports.command_line import without_options
from reports.families import table
from reports.provenance import provenance, write_result
from reports.timed import Took, timed
from sim.accuracy.fetchable import fetchable
from sim.models.fetch import DEFAULT_MODEL, fetch_members

__all__ = ["COUNT", "WINDOWS", "main", "page"]

RESULT = Path("reports/results/accuracy_rate.md")
COUNT = 20
"""Formats of weights, the first of `reports.accuracy.FORMATS`."""
WINDOWS = 3


def command(formats: tuple[str, ...]) -> list[str]:
    """What a user types."""
    weights = [word for name in formats for word in ("--weights", name)]
    return [sys.executable, "-m", "hwgen", "accuracy", *weights, "--windows", str(WINDOWS)]


def page(runs: Mapping[str, tuple[float, Took]]) -> str:
    """Text of the result page; ``runs`` are what each is, the load average when it began, and what it took."""
    rows = [[what, f"{took.seconds:,.0f}", f"{took.cpu_s:,.0f}", f"{load:.1f}"] for what, (load, took) in runs.items()]
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
    members = (DEFAULT_MODEL, *fetchable()["lee"])
    with tempfile.TemporaryDirectory() as name:
        cache = Path(name)
        for member, path in zip(members, fetch_members(members), strict=True):
            target = cache / member.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
        runs = {
            what: (os.getloadavg()[0], timed(command(FORMATS[:COUNT]), {"HWGEN_CACHE_DIR": name}))
            for what in ("nothing is kept", "again")
        }
    write_result(RESULT, "How long formats take", "python -m reports.accuracy_rate", page(runs), provenance())


if __name__ == "__main__":
    without_options(main, __doc__)
