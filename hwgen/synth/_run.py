"""Synthesis of one module by Yosys and ABC in a child process: areas, cells, flip-flops and the longest path.

Yosys ends its process on an error, so every job has one of its own. Recipes are few and named; the result says which
one it is of. All figures are pre-layout: no wires, no clock tree.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError
from hwgen.simulators import _process
from hwgen.simulators.cache import cache_dir, digest
from hwgen.synth._parts import Part
from hwgen.synth._slim import Slim, slimmed
from hwgen.synth.liberty import Library

__all__ = ["RECIPES", "Job", "Mapped", "known_result", "netlist", "run_job", "yosys", "yosys_version"]

RECIPES: dict[str, str] = {
    "plain": "",
    "booth": "-booth",
    "noalumacc": "-noalumacc",
    "booth_noalumacc": "-booth -noalumacc",
}
"""Yosys ``synth`` options by recipe. The stock one merges products and sums into one ``$macc``; often larger."""

_CHILD = "import sys; from pyosys import libyosys as y; y.run_pass('script ' + sys.argv[1], y.Design())"
_DELAY = re.compile(r"ABC: WireLoad = .*?Delay =\s*([\d.]+) ps")


@dataclass(frozen=True)
class Job:
    """What one child does: synthesise a part by a recipe for a target."""

    part: Part
    recipe: str
    clk_period_ns: float
    timeout_s: float

    def key(self, library: Library, version: str) -> str:
        """Name of the result in the cache."""
        part = self.part
        return digest(["synth 2", part.rtlil, part.top, self.recipe, repr(self.clk_period_ns), library.sha256, version])


@dataclass(frozen=True)
class Mapped:
    """A mapped module. ``path_ns`` is ABC's longest path between registers and ports, after sizing, without
    clock-to-output and setup times; ``cell_types`` counts cells of the library by name.
    """

    top: str
    recipe: str
    area: float
    sequential_area: float
    cells: int
    path_ns: float
    cell_types: dict[str, int]


def yosys_version() -> str:
    """Version of the Yosys that is used, as the package names it."""
    from importlib.metadata import version

    return version("pyosys")


def _script(job: Job, cells: Slim, folder: Path) -> str:
    top = job.part.top
    return "\n".join(
        [
            f"read_rtlil {folder / 'design.il'}",
            f"hierarchy -top {top}",
            f"synth -flatten -top {top} {RECIPES[job.recipe]}",
            f"dfflibmap -liberty {cells.shapes}",
            f"libcache -scl -dir {cells.folder}",
            f"abc -liberty {cells.cells} -D {job.clk_period_ns * 1000:.0f} -constr {folder / 'constr'}",
            "opt_clean -purge",
            f"tee -o {folder / 'stat.json'} stat -liberty {cells.shapes} -json -top {top}",
            f"write_verilog -noattr -simple-lhs {folder / 'mapped.v'}",
            "",
        ]
    )


def _run(job: Job, library: Library, stop: threading.Event | None) -> tuple[Mapped, str]:
    top = job.part.top
    cells = slimmed(library)
    with tempfile.TemporaryDirectory(prefix="hwgen-synth-") as name:
        folder = Path(name)
        (folder / "design.il").write_text(job.part.rtlil)
        driver = library.buffer
        (folder / "constr").write_text(f"set_driving_cell {driver.name}\nset_load {library.load_pf * 1000:.4f}\n")
        (folder / "script.ys").write_text(_script(job, cells, folder))
        done = yosys(folder / "script.ys", top, job.timeout_s, stop)
        stat = json.loads((folder / "stat.json").read_text())["modules"][f"\\{top}"]
        boxed = sum(count for kind, count in stat["num_cells_by_type"].items() if kind in job.part.boxes)
        types = {kind: int(count) for kind, count in stat["num_cells_by_type"].items() if kind in library.cells}
        if sum(types.values()) + boxed != stat["num_cells"] + stat.get("num_submodules", 0):
            left = sorted(set(stat["num_cells_by_type"]) - set(library.cells) - set(job.part.boxes))
            raise HwgenError(f"synth: {library.name} must have cells for {', '.join(left)} of {top}, but has none")
        delays = [float(text) for text in _DELAY.findall(done.stdout)]
        mapped = Mapped(
            top=top,
            recipe=job.recipe,
            area=float(stat.get("area", 0.0)),
            sequential_area=float(stat.get("sequential_area", 0.0)),
            cells=sum(types.values()),
            path_ns=max(delays, default=0.0) / 1000,
            cell_types=dict(sorted(types.items())),
        )
        return mapped, (folder / "mapped.v").read_text()


def yosys(script: Path, what: str, timeout_s: float, stop: threading.Event | None = None) -> _process.Finished:
    """Run a Yosys script in a child process, in the script's folder.

    Raises `HwgenError` with Yosys' own words when it stops, when time is over, and when ``stop`` is set meanwhile.
    """
    done = _process.run([sys.executable, "-c", _CHILD, script], cwd=script.parent, timeout_s=timeout_s, stop=stop)
    if done.returncode is None:
        raise HwgenError(f"synth: {what} must be mapped within {timeout_s:g} s, which it was not; raise --timeout-s")
    if done.returncode:
        lines = [line for line in done.text.splitlines() if "ERROR" in line]
        reason = lines[0].strip() if lines else f"exit status {done.returncode}, no message"
        raise HwgenError(f"synth: Yosys must map {what}, but stopped: {reason}")
    return done


def run_job(job: Job, library: Library, stop: threading.Event | None = None) -> Mapped:
    """Result of a job, from the cache where it was done before; its netlist lies beside it (`netlist`).

    ``stop`` ends the child early. Raises `HwgenError` when Yosys stops, when the library lacks a cell, or when time is
    over.
    """
    known = known_result(job, library)
    if known is not None:
        return known
    mapped, verilog = _run(job, library, stop)
    from hwgen.emit import write_atomic

    found = _entry(job, library)
    found.mkdir(parents=True, exist_ok=True)
    write_atomic(found / "mapped.v", verilog, "synth cache")
    write_atomic(found / "mapped.json", json.dumps(asdict(mapped)), "synth cache")
    return mapped


def known_result(job: Job, library: Library) -> Mapped | None:
    """Result of a job that was done before, or None."""
    path = _entry(job, library) / "mapped.json"
    if not path.exists():
        return None
    document: dict[str, Any] = json.loads(path.read_text())
    return Mapped(**document)


def netlist(job: Job, library: Library) -> str:
    """Mapped Verilog of a job that `run_job` has done."""
    return (_entry(job, library) / "mapped.v").read_text()


def _entry(job: Job, library: Library) -> Path:
    return cache_dir() / "synth" / job.key(library, yosys_version())
