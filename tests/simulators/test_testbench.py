from __future__ import annotations

import re

import pytest

from hwgen.errors import HwgenError
from hwgen.simulators import find, run_testbench

pytestmark = pytest.mark.rtl

BENCH = """\
`timescale 1ns/1ps
module bench;
    reg [7:0] memory [0:3];
    reg clk = 0;
    integer n = 0;
    always #5 clk = ~clk;
    initial $readmemh("data.hex", memory);
    always @(posedge clk) begin
        $display("%0d %h", n, memory[n]);
        if (memory[n] == 8'hff) $fatal(1, "bad word");
        n <= n + 1;
        if (n == 3) $finish;
    end
endmodule
"""
DATA = "0a\n1b\n2c\n3d\n"
SIMULATORS = [
    pytest.param("icarus", marks=pytest.mark.skipif(not find("iverilog"), reason="Icarus Verilog is not installed")),
    pytest.param("verilator", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_testbench_reads_its_data_and_prints(simulator: str) -> None:
    printed = run_testbench({"bench.v": BENCH, "data.hex": DATA}, "bench", simulator=simulator)
    assert re.findall(r"^(\d) (\w\w)$", printed, re.MULTILINE) == [("0", "0a"), ("1", "1b"), ("2", "2c"), ("3", "3d")]


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_fatal_testbench_is_told(simulator: str) -> None:
    with pytest.raises(HwgenError, match=r"^bench: the testbench stopped with status -?\d+: .*bad word"):
        run_testbench({"bench.v": BENCH, "data.hex": DATA.replace("2c", "ff")}, "bench", simulator=simulator)


@pytest.mark.skipif(not find("iverilog"), reason="Icarus Verilog is not installed")
def test_an_endless_testbench_is_stopped() -> None:
    endless = BENCH.replace("if (n == 3) $finish;", "")
    message = "bench: the testbench must end within timeout_s (1 s), but did not"
    with pytest.raises(HwgenError, match=f"^{re.escape(message)}$"):
        run_testbench({"bench.v": endless.replace("$display", "//"), "data.hex": DATA}, "bench", timeout_s=1)


@pytest.mark.skipif(not find("iverilog"), reason="Icarus Verilog is not installed")
def test_refused_verilog_is_told() -> None:
    with pytest.raises(HwgenError, match=r"^bench: Icarus Verilog refuses the testbench: bench\.v:\d: syntax error$"):
        run_testbench({"bench.v": "module bench;\nnonsense\nendmodule\n"}, "bench", simulator="icarus")


@pytest.mark.parametrize(
    ("files", "simulator", "message"),
    [
        ({"a.v": BENCH}, "vcs", "testbench: simulator must be auto, icarus or verilator, not 'vcs'"),
        ({"../a.v": BENCH}, "auto", "testbench: file names must not have folders, not '../a.v'"),
        ({"a.hex": DATA}, "auto", "testbench: files must hold at least one .v or .sv, not a.hex"),
    ],
)
def test_wrong_arguments_are_told(files: dict[str, str], simulator: str, message: str) -> None:
    with pytest.raises(HwgenError, match=f"^{re.escape(message)}$"):
        run_testbench(files, "bench", simulator=simulator)
