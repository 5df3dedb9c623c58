"""The plain Verilog benches that go with a tile pass on it, and fail on a tile with a fault."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from hwgen.emit import Emission, emit
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.schedule import Steps
from hwgen.simulators import find, run_testbench
from hwgen.verify import bench_files, random_steps
from hwgen.verify._contract import timeline

pytestmark = pytest.mark.rtl

icarus = pytest.mark.skipif(find("iverilog") is None, reason="Icarus Verilog is not installed")

TILES: list[tuple[str, dict[str, Any]]] = [
    ("int", {"m": 2, "n": 2}),
    ("int", {"m": 1, "n": 4, "scheme": "asymmetric", "post_lanes": 2, "stages": 2}),
    ("int", {"m": 3, "n": 4, "bits": 4, "scheme": "asymmetric", "transport": "systolic"}),
    ("lut", {"m": 2, "n": 2, "bits": 1}),
    ("lut", {"m": 2, "n": 2, "bits": 2, "planes_per_cycle": 2, "stages": 0}),
    ("lut", {"m": 2, "n": 2, "bits": 3, "stages": 3}),
    ("lut", {"m": 2, "n": 3, "bits": 2, "transport": "systolic"}),
    ("lut", {"m": 2, "n": 2, "bits": 2, "tables": 2, "precompute": "external", "acts": "int16", "entries": "int8"}),
    ("lut", {"m": 2, "n": 2, "bits": 2, "acts": "fp16", "align_scope": "group", "group": 32}),
    ("lut", {"m": 2, "n": 2, "bits": 2, "acts": "fp16", "align_scope": "step"}),
    ("lut", {"m": 2, "n": 2, "bits": 2, "acts": "fp16", "align_scope": "row", "precompute": "external"}),
    ("lut", {"m": 2, "n": 2, "bits": 2, "acts": "bf16", "align_scope": "row", "precompute": "external", "pre_cuts": 5}),
    ("mixpe", {"m": 2, "n": 2, "acts": "fp16", "group": 32, "pre_cuts": 2}),
    ("mx", {"m": 2, "n": 4, "k": 4}),
    ("mx", {"m": 1, "n": 4, "k": 4, "acts": "mxint8", "weights": "mxfp4"}),
    ("mx", {"m": 1, "n": 2, "k": 4, "group": 16, "mode_set": "mx_narrow", "int8_products": "parts"}),
]


def run(emission: Emission, verilog: str, bench: str, simulator: str = "icarus") -> str:
    return run_testbench({f"{emission.top}.v": verilog, **bench_files(emission)}, bench, simulator=simulator).strip()


@pytest.mark.few(6)
@icarus
@pytest.mark.parametrize(("name", "values"), TILES)
def test_bench_passes(name: str, values: dict[str, Any]) -> None:
    spec = family(name).from_values(values)
    emission = emit(spec, "dut")
    files = bench_files(emission)
    steps = len(files["dut_tb_in.hex"].splitlines())
    beats = len(files["dut_tb_out.hex"].splitlines())
    printed = run(emission, emission.verilog, "dut_tb")
    found = re.fullmatch(rf"PASS: dut: {beats} beats, (\d+) cycles", printed)
    assert found, printed
    assert int(found[1]) > steps * int(spec.step_cycles(spec.p))
    assert steps > 60
    assert ("dut_pre_tb.v" in files) == (spec.pre() is not None)
    if spec.pre() is not None:
        assert run(emission, emission.verilog, "dut_pre_tb").startswith("PASS: dut_pre: ")


def seeded(verilog: str, module: str, pattern: str, replacement: str) -> str:
    """Verilog with a fault in one module: the first match of a pattern replaced."""
    head, body, tail = re.split(rf"(?ms)(^module {module}\(.*?^endmodule)", verilog, maxsplit=1)
    changed, count = re.subn(pattern, replacement, body, count=1)
    assert count == 1
    assert changed != body
    return head + changed + tail


# Each fault with the line that the bench must print.
FAULTS = {
    "wrong value": ("dut_cell", r" \+ ", " - ", r"FAIL: dut: beat 0, o_sums: got [0-9a-f]+, expected [0-9a-f]+"),
    "beat too early": ("dut", r"o_valid <= _\w+_", "o_valid <= step_last", r"FAIL: dut: beat \d+, .*"),
    "no beat": (
        "dut",
        r"o_valid <= _\w+_",
        "o_valid <= 1'b0",
        r"FAIL: dut: 0 beats, expected \d+; \d+ of \d+ steps .*",
    ),
    "a beat in every cycle": ("dut", r"o_valid <= _\w+_", "o_valid <= 1'b1", r"FAIL: dut: beat 0, .*"),
    "unknown valid": (
        "dut",
        r"o_valid <= _\w+_",
        "o_valid <= 1'bx",
        r"FAIL: dut: cycle \d+, o_valid: got x, expected 0 or 1",
    ),
    "never ready": ("dut", r"assign i_ready = [^;]*", "assign i_ready = 1'b0", r"FAIL: dut: beat \d+, .*"),
    "no clear": ("dut_cell", r"clear \?", "1'b0 ?", r"FAIL: dut: beat \d+, o_sums: got [0-9a-fx]+, expected .*"),
}


@icarus
@pytest.mark.parametrize("fault", FAULTS)
def test_bench_fails_on_a_fault(fault: str) -> None:
    module, pattern, replacement, message = FAULTS[fault]
    emission = emit(family("lut")(m=2, n=2, bits=2), "dut")
    printed = run(emission, seeded(emission.verilog, module, pattern, replacement), "dut_tb")
    assert re.fullmatch(message, printed), printed


@icarus
def test_bench_fails_when_the_right_value_comes_in_the_wrong_cycle() -> None:
    emission = emit(family("int")(m=1, n=2), "dut")
    files = bench_files(emission)
    lines = files["dut_tb_out.hex"].splitlines()
    # The cycle stands above the value: let the last beat be expected one cycle later.
    bits = next(port["width"] for port in emission.manifest["ports"] if port["name"] == "o_sums")
    value = int(lines[-1], 16)
    cycle = value >> bits
    late = f"{value + (1 << bits):0{len(lines[-1])}x}"
    files["dut_tb_out.hex"] = "\n".join([*lines[:-1], late]) + "\n"
    printed = run_testbench({"dut.v": emission.verilog, **files}, "dut_tb", simulator="icarus").strip()
    assert printed == f"FAIL: dut: beat {len(lines) - 1}, cycle: got {cycle}, expected {cycle + 1}"


@icarus
def test_systolic_bench_fails_when_one_cell_is_not_late() -> None:
    emission = emit(family("int")(m=2, n=2, bits=4, transport="systolic"), "dut")
    broken = seeded(emission.verilog, "dut", r"(?s)(dut_cell cell1_1 \(.*?\.col\()\w+", r"\1cell0_1_col")
    assert run(emission, emission.verilog, "dut_tb").startswith("PASS")
    assert run(emission, broken, "dut_tb").startswith("FAIL: dut: beat ")


@icarus
def test_pre_bench_fails_on_a_fault() -> None:
    emission = emit(family("lut")(m=2, n=2, acts="fp16", group=32, depth=64), "dut")
    broken = seeded(emission.verilog, "dut_pre_row", r"\(posedge clk\)\n    if \(\w+\)", "(posedge clk)\n    if (1'b0)")
    printed = run(emission, broken, "dut_pre_tb")
    assert re.fullmatch(r"FAIL: dut_pre: beat 0, o_\w+: got [0-9a-fx]+, expected [0-9a-f]+", printed), printed


@icarus
def test_own_runs_are_driven_and_counted() -> None:
    spec = family("lut")(m=2, n=2, bits=2)
    steps = random_steps(spec, 9, groups=3)
    emission = emit(spec, "dut")
    files = bench_files(emission, steps)
    assert len(files["dut_tb_in.hex"].splitlines()) == len(steps)
    idle = np.array([int(line, 16) >> _payload_bits(emission) for line in files["dut_tb_in.hex"].splitlines()])
    assert idle[1:].any()
    last = timeline(spec, steps, idle)[1][-1]
    printed = run_testbench({"dut.v": emission.verilog, **files}, "dut_tb", simulator="icarus").strip()
    assert printed == f"PASS: dut: {int(steps.last.sum())} beats, {last + 1} cycles"


def _payload_bits(emission: Emission) -> int:
    ports = emission.manifest["ports"]
    return sum(p["width"] for p in ports if p["direction"] == "input" and p["name"] not in ("clk", "rst", "i_valid"))


def test_runs_without_an_output_are_refused() -> None:
    spec = family("int")(m=1, n=2)
    steps = random_steps(spec, 1, groups=2)
    silent = np.zeros(len(steps), bool)
    runs = Steps(steps.acts, steps.weights, steps.row, steps.col, steps.first, silent, silent)
    with pytest.raises(HwgenError) as error:
        bench_files(emit(spec), runs)
    assert str(error.value) == "int: each run of a bench must end at least one output, not none"


def test_a_deep_tile_gets_a_short_bench() -> None:
    files = bench_files(emit(family("int")(m=1, n=2, depth=1 << 20), "dut"))
    assert len(files["dut_tb_in.hex"].splitlines()) < 1000


@icarus
def test_bench_is_verilog_2005(tmp_path: Any) -> None:
    import subprocess

    emission = emit(family("int")(m=2, n=2, bits=4, scheme="asymmetric", transport="systolic"), "dut")
    for name, text in {"dut.v": emission.verilog, **bench_files(emission)}.items():
        (tmp_path / name).write_text(text)
    command = ["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-s", "dut_tb", "-o", "dut_tb.vvp", "dut.v", "dut_tb.v"]
    compiled = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert compiled.stderr == ""
    printed = subprocess.run(
        ["vvp", "-n", "dut_tb.vvp"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert printed.startswith("PASS: dut: ")


@pytest.mark.slow
def test_bench_passes_on_verilator() -> None:
    emission = emit(family("lut")(m=2, n=2, bits=2, transport="systolic"), "dut")
    assert run(emission, emission.verilog, "dut_tb", "verilator").splitlines()[0].startswith("PASS: dut: ")
