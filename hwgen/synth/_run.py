"""Synthesis of one module by Yosys and ABC: areas, cells, flip-flops and the longest path.

Recipes are few and named; the result says which one it is of. All figures are pre-layout: no wires, no clock tree.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from hwgen.errors import HwgenError
from hwgen.simulators.cache import cache_dir, digest, read_kept, write_kept
from hwgen.synth._parallel import in_parallel
from hwgen.synth._parts import Part
from hwgen.synth._slim import Slim, slimmed
from hwgen.synth._yosys import yosys, yosys_version
from hwgen.synth.liberty import Library

__all__ = [
    "FAST",
    "RECIPES",
    "SMALL",
    "VERSION",
    "Job",
    "Mapped",
    "Runs",
    "known_result",
    "netlist",
    "run_job",
    "version_for",
]

_ARITHMETIC = {
    "plain": "",
    "booth": "-booth",
    "noalumacc": "-noalumacc",
    "booth_noalumacc": "-booth -noalumacc",
}
"""Yosys ``synth`` options. The stock one merges products and sums into one ``$macc``; often larger."""

_MAPPING = {"": "amap", "fast": "map -B 0.9 -D {ps}"}
"""ABC's mapper by flag: for area, or for delay. Yosys' own script sweeps equal nodes by SAT first, which takes minutes
on adder trees, and its result is 1 to 17 % larger and 18 to 42 % slower than that of ``dch; amap``.
"""

RECIPES: dict[str, str] = {
    "_".join(filter(None, (name, flag))): f"{options} {flag}".strip()
    for flag in _MAPPING
    for name, options in _ARITHMETIC.items()
}
"""Flags by recipe: options of Yosys' ``synth``, and ``fast`` for a mapping that minds delay more than area."""

SMALL = tuple(name for name, flags in RECIPES.items() if "fast" not in flags.split())
"""Recipes that map for area."""
FAST = tuple(name for name in RECIPES if name not in SMALL)
"""Recipes that map for delay."""

VERSION = "synth 5"
"""Part of the names in the cache: to be raised with every change of what a recipe does, or of how a library is read."""

_STANDING = {
    "70a45bf9b5ea8f6a701dc34744b5c767b38e1af31b1d1f97309a97ec64603ecf": "synth 4",
    "ee1261154dedf410d2f568e6638ea72964f2769e2fce24b7442a37e5fbd8624d": "synth 4",
}
"""Libraries by their digest (sky130hd, the generic one) that are read as before, and whose results of that version
stand: what mapping reads of them was compared."""


def version_for(library: Library) -> str:
    """The version that results of a library have in the cache."""
    return _STANDING.get(library.sha256, VERSION)


_DELAY = re.compile(r"ABC: WireLoad = .*?Delay =\s*([\d.]+) ps")


@dataclass(frozen=True)
class Job:
    """What one child does: synthesise a part by a recipe, with ``aim_ns`` as the longest path that ABC works for."""

    part: Part
    recipe: str
    aim_ns: float
    timeout_s: float

    def key(self, library: Library, version: str) -> str:
        """Name of the result in the cache."""
        part = self.part
        return digest(
            [version_for(library), part.rtlil, part.top, self.recipe, repr(self.aim_ns), library.sha256, version]
        )


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


def _script(job: Job, cells: Slim, folder: Path) -> str:
    top = job.part.top
    flags = RECIPES[job.recipe].split()
    options = " ".join(flag for flag in flags if flag not in _MAPPING)
    ps = f"{max(job.aim_ns * 1000, 1):.0f}"
    mapper = _MAPPING["fast" if "fast" in flags else ""].format(ps=ps)
    steps = ["strash", "dch -f", mapper, "topo", "buffer -c", f"upsize -D {ps}", f"dnsize -D {ps}", "stime -p"]
    (folder / "abc").write_text("\n".join([*steps, ""]))
    return "\n".join(
        [
            f"read_rtlil {folder / 'design.il'}",
            f"hierarchy -top {top}",
            f"synth -noabc -flatten -top {top} {options}",
            # An enable is a multiplexer that ABC sees, buffers and times, not a pin of a cell that it cannot see.
            "dffunmap -ce-only",
            # Registers of equal functions become one only once their logic is hashed.
            "abc -g AND,XOR,MUX -script +strash;map",
            "opt_merge",
            "opt_clean",
            f"dfflibmap -liberty {cells.shapes}",
            f"libcache -scl -dir {cells.folder}",
            f"abc -liberty {cells.cells} -script {folder / 'abc'} -constr {folder / 'constr'}",
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


def run_job(job: Job, library: Library, stop: threading.Event | None = None) -> Mapped:
    """Result of a job, from the cache where it was done before; its netlist lies beside it (`netlist`).

    ``stop`` ends the child early. Raises `HwgenError` when Yosys stops, when the library lacks a cell, or when time is
    over.
    """
    known = known_result(job, library)
    if known is not None:
        return known
    mapped, verilog = _run(job, library, stop)
    found = _entry(job, library)
    # The netlist first: a result that is known has one.
    write_kept(found / "netlist.json", verilog)
    write_kept(found / "mapped.json", asdict(mapped))
    return mapped


class Runs:
    """Runs jobs, ``jobs`` at a time, and counts them: ``mappings`` in all, ``from_cache`` of them done before."""

    def __init__(self, library: Library, jobs: int, progress: Callable[[int, int], None]) -> None:
        self.library, self.jobs, self.progress = library, jobs, progress
        self.mappings = self.from_cache = 0

    def run(self, todo: Sequence[Job]) -> list[Mapped]:
        """Results in the order of ``todo``; each is in the cache as soon as it is there.

        An error or an interruption ends the children that run.
        """
        before = self.mappings
        self.mappings += len(todo)
        known = [known_result(job, self.library) for job in todo]
        self.from_cache += sum(mapped is not None for mapped in known)
        count = before + sum(mapped is not None for mapped in known)
        self.progress(count, self.mappings)

        def one_more() -> None:
            nonlocal count
            count += 1
            self.progress(count, self.mappings)

        tasks = [
            functools.partial(run_job, job, self.library)
            for job, mapped in zip(todo, known, strict=True)
            if mapped is None
        ]
        new = iter(in_parallel(tasks, self.jobs, one_more))
        return [next(new) if mapped is None else mapped for mapped in known]


def known_result(job: Job, library: Library) -> Mapped | None:
    """Result of a job that was done before, or None."""
    document = read_kept(_entry(job, library) / "mapped.json")
    if not isinstance(document, dict) or document.keys() != {entry.name for entry in fields(Mapped)}:
        return None
    return None if _kept_netlist(job, library) is None else Mapped(**document)


def _kept_netlist(job: Job, library: Library) -> str | None:
    entry = _entry(job, library)
    kept = read_kept(entry / "netlist.json")
    if kept is None and not (entry / "netlist.json").exists():
        # As earlier versions wrote it.
        with contextlib.suppress(OSError, UnicodeDecodeError):
            kept = (entry / "mapped.v").read_text()
    return kept if isinstance(kept, str) and kept.rstrip().endswith("endmodule") else None


def netlist(job: Job, library: Library) -> str:
    """Mapped Verilog of a job that `run_job` has done."""
    kept = _kept_netlist(job, library)
    if kept is None:
        # Damaged since the job was done.
        run_job(job, library)
        kept = _kept_netlist(job, library)
    assert kept is not None
    return kept


def _entry(job: Job, library: Library) -> Path:
    return cache_dir("synth") / job.key(library, yosys_version())
