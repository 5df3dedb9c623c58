"""The Verilog of a bundle is clean, its bench passes, also around macros, and sees faults."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hwgen.accelerator import AcceleratorEmission, emit_accelerator
from hwgen.accelerator.bundle import bundle_files
from hwgen.accelerator.bundle._fusesoc import STYLE
from hwgen.accelerator.bundle._macros import MACRO, macro_instances
from hwgen.simulators import find, lint, run_testbench
from hwgen.verify import accelerator_bench_files
from rtl_tests.accelerator.cases import CASES, Case

pytestmark = pytest.mark.rtl

SMALL = Case("int", {"m": 2, "n": 2, "k": 2, "bits": 4, "group": 8, "post_lanes": 1}, {"bus_bits": 64, "burst": 4})
RAW = Case("int", {"m": 2, "n": 2, "k": 2, "bits": 4, "group": 8}, {"weight_ring": 8, "act_ring": 8, "burst": 2})
# Activations in memory are FP16, and become blocks before their ring.
PRE = Case("mx", {"m": 2, "n": 2, "k": 4, "group": 16, "post_lanes": 1}, {"bus_bits": 64, "act_ring": 8, "pre": "mx"})
# One that has rings of several hundred words, so that macros lie below each other, too.
DEEP = Case("int", {"m": 1, "n": 2, "k": 2, "bits": 4, "group": 8}, {"bus_bits": 64, "weight_ring": 2048, "burst": 2})

# What OpenRAM's macro does that is not promised: the word is undefined before the next rising edge's is there.
MACRO_MODEL = f"""
module {MACRO} (clk0, csb0, web0, wmask0, addr0, din0, dout0, clk1, csb1, addr1, dout1);
  input clk0, csb0, web0, clk1, csb1;
  input [3:0] wmask0;
  input [7:0] addr0, addr1;
  input [31:0] din0;
  output reg [31:0] dout0, dout1;
  reg [31:0] words [0:255];
  integer lane;
  always @(posedge clk0) begin
    dout0 <= 32'bx;
    if (!csb0 && !web0)
      for (lane = 0; lane < 4; lane = lane + 1)
        if (wmask0[lane]) words[addr0][8 * lane +: 8] <= din0[8 * lane +: 8];
  end
  always @(posedge clk1) dout1 <= csb1 ? 32'bx : words[addr1];
endmodule
"""

simulators = pytest.mark.parametrize(
    "simulator",
    [
        pytest.param("icarus", marks=pytest.mark.skipif(find("iverilog") is None, reason="no Icarus Verilog")),
        pytest.param("verilator", marks=pytest.mark.slow),
    ],
)
icarus = pytest.mark.skipif(find("iverilog") is None, reason="Icarus Verilog is not installed")


def sources(emission: AcceleratorEmission, memories: str = "sram") -> dict[str, str]:
    files = bundle_files(emission, 5.0)
    names = (f"{emission.top}.v", f"{emission.top}_{memories}.v")
    return {name: str(files[name]) for name in names}


def outcome(emission: AcceleratorEmission, files: dict[str, str], simulator: str = "icarus") -> str:
    bench = accelerator_bench_files(emission)
    return run_testbench({**files, **bench}, f"{emission.top}_tb", simulator=simulator).strip()


@simulators
@pytest.mark.parametrize("case", [SMALL, RAW, pytest.param(PRE, marks=pytest.mark.slow)], ids=lambda case: case.name)
def test_bench_passes(case: Case, simulator: str) -> None:
    emission = emit_accelerator(case.build(), "dut")
    printed = outcome(emission, sources(emission), simulator)
    found = re.match(r"PASS: dut: 2 jobs, (\d+) beats of results, (\d+) cycles", printed)
    assert found, printed
    assert int(found[1]) > 4
    assert int(found[2]) > 100


@pytest.mark.slow
@icarus
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bench_passes_for_every_family(case: Case) -> None:
    emission = emit_accelerator(case.build(), "dut")
    assert outcome(emission, sources(emission)).startswith("PASS: dut: 2 jobs")


# Where a fault is put, and what the bench then says.
FAULTS: dict[str, tuple[str, str, str, str]] = {
    "wrong product": ("dut_tile_cell", r" \+ ", " - ", r"FAIL: dut: job 0, beat \d+ of the results: got .*"),
    "wrong address": ("dut_acts_engine", r" \+ ", " - ", r"FAIL: dut: .*"),
    "no strobes": ("dut", r"m_axi_wstrb = \S+;", "m_axi_wstrb = 16'h7fff;", r"FAIL: dut: beat 0 of the write .*"),
    "another design": ("dut_registers", r"32'd\d{6,}", "32'd1234567", r"FAIL: dut: register 00[08]: .*"),
}


@icarus
@pytest.mark.few(2)
@pytest.mark.parametrize("fault", FAULTS)
def test_bench_sees_a_fault(fault: str) -> None:
    module, pattern, replacement, wanted = FAULTS[fault]
    emission = emit_accelerator(RAW.build(), "dut")
    files = sources(emission)
    head, body, tail = re.split(rf"(?ms)(^module {module}\b.*?^endmodule)", files["dut.v"], maxsplit=1)
    changed, count = re.subn(pattern, replacement, body, count=1)
    assert count == 1
    assert re.match(wanted, outcome(emission, {**files, "dut.v": head + changed + tail}))


@icarus
@pytest.mark.parametrize("fault", ["none", "wrong product"])
def test_a_job_by_hand_in_cocotb(fault: str, tmp_path: Path) -> None:
    emission = emit_accelerator(RAW.build(), "dut")
    files = {**sources(emission), **accelerator_bench_files(emission)}
    if fault != "none":
        head, body, tail = re.split(r"(?ms)(^module dut_tile_cell\b.*?^endmodule)", files["dut.v"], maxsplit=1)
        files["dut.v"] = head + body.replace(" + ", " - ", 1) + tail
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "dut_cocotb.py"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode == 0) == (fault == "none"), done.stdout + done.stderr
    assert ("FAIL=0" in done.stdout) == (fault == "none")


@icarus
def test_macros_take_the_place_of_the_memories() -> None:
    emission = emit_accelerator(DEEP.build(), "dut")
    instances = macro_instances(emission)
    assert any("bank_1_" in name for name in instances)
    files = {**sources(emission, "sram_sky130"), "macro.v": MACRO_MODEL}
    assert outcome(emission, files).startswith("PASS: dut: 2 jobs")
    # Without the register that keeps the word, what the macro gives is not enough.
    bare, count = re.subn(r"fresh \? (word\S+) : kept", r"\1", files["dut_sram_sky130.v"])
    assert count
    assert outcome(emission, {**files, "dut_sram_sky130.v": bare}).startswith("FAIL: dut: ")


def yosys_check(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`check -assert` ends its process where it finds something: it has one of its own."""
    (folder / "dut.v").write_text(text)
    passes = ["read_verilog dut.v", "hierarchy -check -top dut", "proc", "check -assert"]
    lines = ["from pyosys import libyosys", "design = libyosys.Design()"]
    lines += [f"libyosys.run_pass({one!r}, design)" for one in passes]
    return subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=folder, capture_output=True, text=True)


def check_clean(case: Case, folder: Path) -> None:
    emission = emit_accelerator(case.build(), "dut")
    files = sources(emission)
    assert "lint_off" not in "".join(files.values())
    assert {found.code for found in lint("\n".join(files.values()), "dut")} <= set(STYLE)
    memories = {f"dut_sram_{depth}x{bits}" for depth, bits in emission.memories}
    assert set(re.findall(r"^module (\w+)", files["dut_sram.v"], re.M)) == memories
    assert not memories & set(re.findall(r"^module (\w+)", files["dut.v"], re.M))
    checked = yosys_check("\n".join(files.values()), folder)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_verilog_is_clean(tmp_path: Path) -> None:
    check_clean(SMALL, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verilog_of_every_family_is_clean(case: Case, tmp_path: Path) -> None:
    check_clean(case, tmp_path)


def test_check_of_yosys_can_fail(tmp_path: Path) -> None:
    twice = "reg w; always @(posedge clk) w <= a; always @(posedge clk) w <= ~a;"
    checked = yosys_check(f"module dut(input a, input clk, output y); {twice} assign y = w; endmodule\n", tmp_path)
    assert checked.returncode == 1
    assert "Found 1 problems" in checked.stderr


def test_black_boxes_have_the_ports_of_the_memories(tmp_path: Path) -> None:
    emission = emit_accelerator(SMALL.build(), "dut")
    files = bundle_files(emission, 5.0)
    checked = yosys_check(f"{files['dut.v']}{files['orfs/sram_blackbox.v']}", tmp_path)
    assert (checked.returncode, checked.stderr) == (0, "")
