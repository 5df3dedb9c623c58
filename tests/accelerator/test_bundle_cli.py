"""`hwgen emit --level accelerator`, `stream`, `quantiser`: files, options of the design, refusals in one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hwgen.accelerator import Design
from hwgen.accelerator.quantiser import QuantiserDesign
from hwgen.pe import family

TILE = "--m 2 --n 2 --k 2 --bits 4 --group 8 --clk-period-ns 20"


def hwgen(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hwgen", "emit", *text.split()]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_a_folder_with_everything(tmp_path: Path) -> None:
    done = hwgen(f"--pe int {TILE} --level accelerator --bus-bits 64 --act-ring 16 --top core -o a/b", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    folder = tmp_path / "a" / "b"
    document = json.loads((folder / "core.json").read_text())
    assert document["design"]["bus_bits"] == 64
    assert document["design"]["act_ring"] == 16
    assert "create_clock -name clk -period 20 " in (folder / "core.sdc").read_text()
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == {*document["sha256"], "core.json"}
    assert "core_tb.v" in written


def test_the_core_between_streams(tmp_path: Path) -> None:
    done = hwgen(f"--pe int {TILE} --level stream --bus-bits 64 --top core -o a", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    document = json.loads((tmp_path / "a" / "core.json").read_text())
    ports = {port["name"]: port for port in document["ports"]}
    assert ports["s_axis_acts_tdata"]["width"] == 64
    assert ports["m_axis_result_tlast"]["role"] == "stream"
    assert not any(name.startswith("m_axi_") for name in ports)
    written = {path.name for path in (tmp_path / "a").iterdir()}
    assert written == {*document["sha256"], "core.json"}
    assert {"core.v", "core_sram.v", "core.rdl", "core.h"} <= written


def test_a_quantiser_for_the_same_accelerator(tmp_path: Path) -> None:
    level = "--bus-bits 64 --act-ring 16 --top kv -o a"
    done = hwgen(f"--pe int {TILE} --level quantiser --elements 32 {level}", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    folder = tmp_path / "a"
    document = json.loads((folder / "kv.json").read_text())
    made = Design.from_values(
        family("int").from_values(document["tile"]["parameters"]), {"bus_bits": 64, "act_ring": 16}
    )
    assert document["design_hash"] == f"{made.digest:08x}"
    assert document["parameters"] == {**made.p, "elements": 32}
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == {*document["sha256"], "kv.json"}
    of_accelerators = {"v", "f", "core", "rdl", "h", "sdc", "xml", "json"}
    assert {f"kv.{end}" for end in of_accelerators} | {"kv_tb.v", "kv_cocotb.py", "kv_sram.v"} <= written
    assert not any("driver" in name for name in written)


def test_help_shows_the_parameters_of_the_design(tmp_path: Path) -> None:
    shown = " ".join(hwgen("--pe int --level accelerator --help", tmp_path).stdout.split())
    for p in Design.parameters().values():
        assert f"{p.flag} " in shown
        assert f"default {str(p.default).lower() if p.type is bool else p.default})" in shown
    assert "[beats]" in shown
    around = " ".join(hwgen("--pe int --level quantiser --help", tmp_path).stdout.split())
    for p in QuantiserDesign.parameters().values():
        assert f"{p.flag} " in around
    assert set(QuantiserDesign.parameters()) == {*Design.parameters(), "elements"}
    assert "--elements" not in shown
    assert "--testbench" not in shown
    assert "--bus-bits" not in hwgen("--pe int --help", tmp_path).stdout
    assert set(family("int").parameters()) & set(Design.parameters()) == set()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--level accelerator -o x --sdc y", "emit: --sdc goes with --level tile, not with --level accelerator"),
        (
            "--level accelerator -o x --reset async",
            "emit: --reset goes with --level tile, not with --level accelerator",
        ),
        ("--bus-bits 64", "emit: --bus-bits goes with --level accelerator, not with --level tile"),
        ("--level chip -o x", "emit: --level must be tile or accelerator or stream or quantiser, not 'chip'"),
        ("--level=accelerator -o x --bus-bits 96", "accelerator: bus_bits must be 64, 128, 256 or 512, not 96"),
        ("--level accelerator -o x --burst 4 --burst 5", "accelerator: --burst must be given once, not as 4 and 5"),
        (
            "--level accelerator -o x --burst 99 --bus-bits 512",
            "accelerator: burst must be at most the beats of 4096 bytes",
        ),
        ("--level quantiser -o x --elements 1", "quantiser: elements must be a whole number from 2 to 65535, not 1"),
        ("--level quantiser -o x --bits 3", "quantiser: weights must have 4 or 8 bits, not 3"),
        (
            "--level quantiser -o x --count-bits 8 --elements 300",
            "quantiser: elements must be at most 255, which count_bits (8) hold, not 300",
        ),
        ("--level quantiser -o x --elements 4 --elements 5", "quantiser: --elements must be given once, not as 4 and"),
        ("--elements 64", "emit: --elements goes with --level quantiser, not with --level tile"),
        (
            "--level accelerator -o x --elements 64",
            "emit: --elements goes with --level quantiser, not with --level accelerator",
        ),
        ("--level accelerator", "emit: Missing option '-o' / '--output'."),
    ],
)
def test_refusals(text: str, message: str, tmp_path: Path) -> None:
    done = hwgen(f"--pe int {text}", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"hwgen: {message}")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_where_something_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "x" / "core_driver.c").mkdir(parents=True)
    done = hwgen(f"--pe int {TILE} --level accelerator --top core -o x", tmp_path)
    assert done.returncode == 2
    assert "core_driver.c" in done.stderr
    assert [path.name for path in (tmp_path / "x").rglob("*")] == ["core_driver.c"]
