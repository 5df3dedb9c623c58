"""``python -m reports.large_sweep``: the space ``llama``, some 4e8 evaluations, whole, and killed twice on its way.

Takes some minutes on two cores. Both runs must leave the same bytes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from dse.picks import each_workload, knee
from dse.stored import StoredSweep, open_sweep
from reports.command_line import without_options
from reports.families import table
from reports.provenance import provenance, write_result
from reports.timed import Took, timed

__all__ = ["RESULT", "main", "page"]

RESULT = Path("reports/results/large_sweep.md")
SPACE = "llama"


def command(folder: Path) -> list[str]:
    """What a user types."""
    return [sys.executable, "-m", "hwgen", "sweep", "--space", SPACE, "-o", str(folder)]


def whole(folder: Path) -> Took:
    """A run that nothing happens to."""
    return timed(command(folder))


def killed(folder: Path, seconds: float) -> list[str]:
    """A run whose worker is killed after a third of the time, which is killed itself after two, and is started again.

    Returns what was done.
    """
    done = []
    with subprocess.Popen(
        command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as run:
        # Somewhere in the midst: whatever is done by then, what is left must be the same.
        time.sleep(seconds / 3)
        workers = list(_workers(run.pid))
        if workers:
            os.kill(workers[-1], signal.SIGKILL)
            done.append(f"one of {len(workers)} workers killed after {seconds / 3:.0f} s")
        time.sleep(seconds / 3)
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            done.append(f"all processes killed after {2 * seconds / 3:.0f} s")
    took = whole(folder)
    done.append(f"started again, ended {took.seconds:.0f} s later")
    return done


def _workers(parent: int) -> Iterator[int]:
    """Processes that evaluate: forks of the one that was started."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(fields[2]) == parent and int(folder.name) != parent and b"hwgen" in words:
            yield int(folder.name)


def digests(folder: Path) -> dict[str, Any]:
    """SHA-256 of every file of a sweep, as its manifest has them."""
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
    return found


_SHOWN = ("pe", "weight_bits", "m", "n", "k", "clk_period_ns", "bus_bits", "weight_ring", "act_ring")
_FIGURES = ("area_um2", "tokens_per_s", "energy_pj_per_mac")


def knees(sweep: StoredSweep) -> str:
    """The balanced point of each workload's front, by width of weights."""
    shown = [name for name in _SHOWN if name in sweep.front]
    figures = [name for name in _FIGURES if name in sweep.front and sweep.front[name].notna().any()]
    wanted = [name for name in sweep.objectives if name.removeprefix("-") in figures]
    rows = []
    for front in each_workload(sweep.front):
        for _, own in front.groupby("weight_bits", observed=True):
            row: pd.Series[Any] = own.iloc[knee(own, wanted)]
            cells = [row[name] if name == "pe" else f"{row[name]:g}" for name in shown]
            rows.append([str(row["workload"]), *cells, *(f"{float(row[name]):.4g}" for name in figures), str(len(own))])
    return table(["workload", *shown, *figures, "on the front"], rows)


def page(sweep: StoredSweep, took: Took, done: list[str], same: bool) -> str:
    """Body of the page."""
    about = sweep.metadata
    points, legal = int(about["looked_at"]), int(about["rows"])
    layers = [len(one) for one in about["workloads"].values()]
    pairs = points * sum(layers) // len(layers)
    skipped = "\n".join(f"- {count:,}: {reason}" for reason, count in about["skipped"].items())
    sizes = table(
        [
            "points",
            "legal",
            "layers of each",
            "(design × layer)",
            "seconds",
            "a second",
            "processor",
            "largest process",
        ],
        [
            [
                f"{points:,}",
                f"{legal:,}",
                " and ".join(map(str, layers)),
                f"{pairs:,}",
                f"{took.seconds:.0f}",
                f"{pairs / took.seconds / 1e6:.2f} M",
                f"{took.cpu_s:.0f} s",
                f"{took.most_mib:.0f} MiB",
            ]
        ],
    )
    return "\n\n".join(
        [
            f"`hwgen sweep --space {SPACE} -o {SPACE}`, with all that a sweep does: cycles of every layer by the best "
            "of its jobs, areas, energies, periods, legality, the front, a sample and what each axis came to. Points "
            "that are not legal are counted as looked at.",
            sizes,
            f"Skipped:\n\n{skipped}" if skipped else "No point was skipped.",
            f"{len(sweep.front):,} points are on the fronts of {', '.join(sweep.objectives)}. The balanced one of each "
            "width of weights:",
            knees(sweep),
            f"Run again: {'; '.join(done)}. Files of both: {'equal, byte for byte' if same else 'DIFFERENT'}.",
            f"The page of it: `hwgen report {SPACE} -o {SPACE}.html`.",
        ]
    )


def main() -> None:
    """Run, and write the page."""
    with tempfile.TemporaryDirectory() as name:
        first, second = Path(name, "first"), Path(name, "second")
        took = whole(first)
        print(f"{took.seconds:.0f} s, {took.most_mib:.0f} MiB", file=sys.stderr, flush=True)
        done = killed(second, took.seconds)
        print("; ".join(done), file=sys.stderr, flush=True)
        sweep = open_sweep(first)
        body = page(sweep, took, done, digests(first) == digests(second))
        write_result(RESULT, "A large sweep", "python -m reports.large_sweep", body, provenance())


if __name__ == "__main__":
    without_options(main, __doc__)
