"""A family in a file of its own passes through every command untouched: nothing else has to be edited."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.frame.parameters import ROOMS
from hwgen.pe import _registry, family, family_names
from hwgen.schedule import Layer, Schedule, closed_cycles
from hwgen.verify import check_contract, covering_specs

TOY = Path(__file__).with_name("toy.py")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the toy family, registered by the environment variable alone."""
    target = tmp_path / "families"
    target.mkdir()
    shutil.copy(TOY, target / "toy.py")
    monkeypatch.setenv("HWGEN_PE_PATH", str(target))
    return target


FORMULAS = ("cycles_per_step", "act_port", "weight_port", "row_bus_bits", "col_bus_bits", "product_range")
LATER = {
    "formulas": (*FORMULAS, "addend_bits", "row_primitives", "cell_primitives"),
    "arithmetic": ("quantize_weights", "pack_acts", "pack_weights", "_fill", "terms"),
    "logic": ("build_row", "build_col", "build_cell"),
}
"""Methods of the toy by room; the first room, parameters, has the others."""


def in_rooms(source: str) -> dict[str, str]:
    """The toy of one file as a folder of rooms: text by file name."""
    lines = source.splitlines()
    toy = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "Toy")
    bodies: dict[str, list[str]] = {room: [] for room in ROOMS}
    for node in toy.body:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
        room = next((room for room, names in LATER.items() if getattr(node, "name", "") in names), ROOMS[0])
        bodies[room].append("\n".join(lines[first - 1 : node.end_lineno]))
    head = "\n".join(lines[: toy.lineno - 2])
    files = {"__init__.py": f'"""{head.split(chr(34) * 3)[1]}"""' + "\nfrom .logic import Toy\n"}
    base, last = "TileSpec", ""
    for room, body in bodies.items():
        name = "Toy" if room == ROOMS[-1] else f"Toy{room.title()}"
        more = f"\nfrom .{last} import {base}\n" if last else ""
        kind = f"\n\n@dataclass(frozen=True, kw_only=True)\nclass {name}({base}):\n"
        files[f"{room}.py"] = head + more + kind + "\n\n".join(body) + "\n"
        base, last = name, room
    return files


def test_a_folder_of_rooms_is_the_same_family(folder: Path, tmp_path: Path) -> None:
    one = [hwgen("emit", "--pe", "toy", *more, cwd=tmp_path) for more in ((), ("--k", "2", "--stages", "2"))]
    shown = hwgen("show", "toy", cwd=tmp_path)
    (folder / "toy.py").unlink()
    (folder / "toy").mkdir()
    for name, text in in_rooms(TOY.read_text()).items():
        (folder / "toy" / name).write_text(text)
    assert [hwgen("emit", "--pe", "toy", *more, cwd=tmp_path) for more in ((), ("--k", "2", "--stages", "2"))] == one
    assert hwgen("show", "toy", cwd=tmp_path) == shown
    toy = family("toy")
    assert toy.family == "toy"
    assert [kind.__module__.rpartition(".")[2] for kind in toy.__mro__[:4]] == list(reversed(ROOMS))
    assert all(finding.ok for finding in check_contract(toy(m=1, n=1)))


def hwgen(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "hwgen", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_list_show_emit_estimate_sweep(folder: Path, tmp_path: Path) -> None:
    entries = json.loads(hwgen("list", "--json", cwd=tmp_path))
    toy = next(entry for entry in entries if entry["family"] == "toy")
    assert toy["modes"] == ["full", "half"]
    shown = " ".join(hwgen("show", "toy", "--k", "2", cwd=tmp_path).split())
    assert "special value that a selector picks" in shown
    assert "i_col_selector" in shown
    assert "0 full, 1 half" in shown
    hwgen("emit", "--pe", "toy", "--n", "2", "-o", "toy.v", "--manifest", "toy.json", cwd=tmp_path)
    manifest = json.loads((tmp_path / "toy.json").read_text())
    assert [mode["cycles_per_step"] for mode in manifest["modes"]] == [2, 1]
    assert "module toy_tile_cell" in (tmp_path / "toy.v").read_text()
    estimate = json.loads(hwgen("estimate", "--pe", "toy", "--layer", "8,64,256", "--json", cwd=tmp_path))
    spec = family("toy")()
    assert estimate["cycles"] == Schedule(spec, Layer("layer", 8, 64, 256)).exact()
    hwgen(
        "sweep", "--pe", "toy", "--pe", "int", "--layer", "8,64,256", "-o", "s.parquet", "--plot", "s.png", cwd=tmp_path
    )
    assert (tmp_path / "s.parquet").stat().st_size > 0
    assert (tmp_path / "s.png").stat().st_size > 0


@pytest.mark.slow
def test_verify_over_its_sweep_values(folder: Path) -> None:
    specs, impossible = covering_specs(family("toy"), 1)
    assert not impossible
    for spec in specs:
        failed = [finding for finding in check_contract(spec) if not finding.ok]
        assert not failed, (spec, failed)


@pytest.mark.rtl
def test_run_on_a_real_layer(folder: Path, tmp_path: Path) -> None:
    from sim.run import run_layer

    rng = np.random.default_rng(5)
    weights, acts = rng.standard_normal((20, 320)).astype(np.float32), rng.standard_normal((5, 320)).astype(np.float32)
    run = run_layer(family("toy")(n=4), weights, acts, name="small")
    assert run.ok, run.detail
    assert run.cycles_counted == Schedule(family("toy")(n=4), Layer("small", 5, 20, 320)).exact()


def test_cycles_in_closed_form(folder: Path) -> None:
    toy = family("toy")
    for m, n, k in [(1, 1, 4), (3, 9, 64), (8, 64, 260)]:
        spec = toy(group=16)
        assert closed_cycles(toy, spec.p, m, n, k) == Schedule(spec, Layer("l", m, n, k)).exact()


def test_entry_points_register_a_family_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HWGEN_PE_PATH")
    assert "toy" not in family_names()
    monkeypatch.syspath_prepend(str(folder))
    shutil.copy(TOY, folder / "elsewhere.py")
    point = EntryPoint("elsewhere", "elsewhere", "hwgen.pe")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point] if group == "hwgen.pe" else [])
    assert "elsewhere" in family_names()
    assert family("elsewhere").family == "elsewhere"


def test_two_specs_in_one_file_are_refused(folder: Path) -> None:
    text = TOY.read_text()
    (folder / "double.py").write_text(text + "\n\nclass Another(Toy):\n    pass\n")
    with pytest.raises(HwgenError, match=r"^family double: it must define exactly one TileSpec subclass, not 2$"):
        family("double")
    assert _registry.PATH_VARIABLE == "HWGEN_PE_PATH"
