"""Synthesis of one module by Yosys and ABC in a child process: areas, cells, flip-flops and the longest path.

Yosys ends its process on an error, so every job has one of its own. Recipes are few and named; the result says which
one it is of. All figures are pre-layout: no wires, no clock tree.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError
from hwgen.simulators.cache import cache_dir, digest
from hwgen.synth.liberty import Library, unpacked

__all__ = ["RECIPES", "Job", "Mapped", "netlist", "run_job", "yosys_version"]

RECIPES: dict[str, str] = {
    "plain": "",
    "booth": "-booth",
    "noalumacc": "-noalumacc",
    "booth_noalumacc": "-booth -noalumacc",
}
"""Yosys ``synth`` options by recipe. The stock one merges products and sums into one ``$macc``; often larger."""

_CHILD = "import sys; from pyosys import libyosys as y; y.run_pass('script ' + sys.argv[1], y.Design())"
_DELAY = re.compile(r"ABC: WireLoad = .*?Delay =\s*([\d.]+) ps")
_LEFT_OUT = "*lpflow* *probe* *macro_sparecell*"
"""Cells that no design should use by itself: power switches and isolation of sky130."""


@dataclass(frozen=True)
class Job:
    """What one child does: synthesise ``top`` of ``rtlil`` with the modules in ``others`` left as boxes."""

    rtlil: str
    top: str
    others: tuple[str, ...]
    recipe: str
    clk_period_ns: float
    timeout_s: float

    def key(self, library: Library, version: str) -> str:
        """Name of the result in the cache."""
        parts = [self.rtlil, self.top, *self.others, self.recipe, repr(self.clk_period_ns), library.sha256, version]
        return digest(["synth 1", *parts])


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


def _script(job: Job, library: Library, folder: Path) -> str:
    liberty = " ".join(f"-liberty {folder / f'lib{index}.lib'}" for index in range(len(library.files)))
    boxes = [f"blackbox {name}" for name in job.others]
    return "\n".join(
        [
            f"read_rtlil {folder / 'design.il'}",
            *boxes,
            f"hierarchy -top {job.top}",
            f"synth -flatten -top {job.top} {RECIPES[job.recipe]}",
            f"dfflibmap {liberty}",
            f"abc {liberty} -D {job.clk_period_ns * 1000:.0f} -constr {folder / 'constr'} "
            + " ".join(f"-dont_use {pattern}" for pattern in _LEFT_OUT.split()),
            "opt_clean -purge",
            f"tee -o {folder / 'stat.json'} stat {liberty} -json -top {job.top}",
            f"write_verilog -noattr -simple-lhs {folder / 'mapped.v'}",
            "",
        ]
    )


def _run(job: Job, library: Library) -> tuple[Mapped, str]:
    with tempfile.TemporaryDirectory(prefix="hwgen-synth-") as name:
        folder = Path(name)
        for index, path in enumerate(library.files):
            (folder / f"lib{index}.lib").write_bytes(unpacked(path))
        (folder / "design.il").write_text(job.rtlil)
        driver = library.buffer
        (folder / "constr").write_text(f"set_driving_cell {driver.name}\nset_load {library.load_pf * 1000:.4f}\n")
        (folder / "script.ys").write_text(_script(job, library, folder))
        try:
            done = subprocess.run(
                [sys.executable, "-c", _CHILD, str(folder / "script.ys")],
                capture_output=True,
                text=True,
                timeout=job.timeout_s,
                check=False,
                cwd=folder,
            )
        except subprocess.TimeoutExpired as error:
            raise HwgenError(
                f"synth: {job.top} must be mapped within {job.timeout_s:g} s, which it was not; raise --timeout-s"
            ) from error
        if done.returncode:
            lines = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line] or ["no message"]
            raise HwgenError(f"synth: Yosys must map {job.top}, but stopped: {lines[0].strip()}")
        stat = json.loads((folder / "stat.json").read_text())["modules"][f"\\{job.top}"]
        boxed = sum(count for kind, count in stat["num_cells_by_type"].items() if kind in job.others)
        types = {kind: int(count) for kind, count in stat["num_cells_by_type"].items() if kind in library.cells}
        if sum(types.values()) + boxed != stat["num_cells"] + stat.get("num_submodules", 0):
            left = sorted(set(stat["num_cells_by_type"]) - set(library.cells) - set(job.others))
            raise HwgenError(f"synth: {library.name} must have cells for {', '.join(left)} of {job.top}, but has none")
        delays = [float(text) for text in _DELAY.findall(done.stdout)]
        mapped = Mapped(
            top=job.top,
            recipe=job.recipe,
            area=float(stat.get("area", 0.0)),
            sequential_area=float(stat.get("sequential_area", 0.0)),
            cells=sum(types.values()),
            path_ns=max(delays, default=0.0) / 1000,
            cell_types=dict(sorted(types.items())),
        )
        return mapped, (folder / "mapped.v").read_text()


def run_job(job: Job, library: Library) -> Mapped:
    """Result of a job, from the cache where it was done before; its netlist lies beside it (`netlist`).

    Raises `HwgenError` when Yosys stops, when the library lacks a cell, or when time is over.
    """
    found = cache_dir() / "synth" / job.key(library, yosys_version())
    if (found / "mapped.json").exists():
        return _load(found / "mapped.json")
    mapped, verilog = _run(job, library)
    from hwgen.emit import write_atomic

    found.mkdir(parents=True, exist_ok=True)
    write_atomic(found / "mapped.v", verilog, "synth cache")
    write_atomic(found / "mapped.json", json.dumps(asdict(mapped)), "synth cache")
    return mapped


def _load(path: Path) -> Mapped:
    document: dict[str, Any] = json.loads(path.read_text())
    return Mapped(**document)


def netlist(job: Job, library: Library) -> str:
    """Mapped Verilog of a job that `run_job` has done."""
    return (cache_dir() / "synth" / job.key(library, yosys_version()) / "mapped.v").read_text()
