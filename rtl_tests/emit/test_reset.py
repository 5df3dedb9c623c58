"""Resets of all four kinds: what resets, when, and that everything emitted beside the tile goes along."""

from __future__ import annotations

import itertools
import re

import pytest

from hwgen.emit import Emission, Reset, emit, sdc
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.reference import run_steps
from hwgen.simulators import run_testbench
from hwgen.verify import CompiledTile, bench_files, random_steps

pytestmark = pytest.mark.rtl

EVERY = [Reset(kind, active) for kind, active in itertools.product(("sync", "async"), ("high", "low"))]
KINDS = pytest.mark.parametrize("reset", EVERY, ids=[f"{reset.kind}-{reset.active}" for reset in EVERY])

# Two cycles a step: whether the phase was reset shows in when the next step is ready.
TILE = family("lut")(m=1, n=1, k=2, bits=2, group=2, depth=2)
BENCH = """
module reset_tb;
  reg clk = 0, rst = {on}, i_valid = 0;
  wire i_ready, o_valid;
  wire [{sums}:0] o_sums;
  integer cycles;
  core dut (.clk(clk), .{port}(rst), .i_valid(i_valid), .i_ready(i_ready), .o_valid(o_valid), .o_sums(o_sums),
            .i_acts({acts}'h5a3c), .i_weights(4'b0110), .i_first(1'b1), .i_last(1'b1));

  task tick; begin #5 clk = 1; #5 clk = 0; end endtask

  // Cycles until the step is accepted, and then until its sums.
  task step(input [8*8-1:0] name); begin
    i_valid = 1; cycles = 1; #1;
    while (!i_ready) begin tick; cycles = cycles + 1; #1; end
    $write("%0s ready %0d", name, cycles);
    tick; i_valid = 0; cycles = 1; #1;
    while (o_valid !== 1'b1 && cycles < 20) begin tick; cycles = cycles + 1; #1; end
    $display(" valid %0d sums %0d", cycles, $signed(o_sums));
  end endtask

  initial begin
    repeat (3) tick;
    rst = {off}; #1;
    step("first");
    // The sums are at the output and the clock stands still.
    rst = {on}; #3; $display("output %b", o_valid); rst = {off}; #3;
    tick;
    // Half a step, a pulse without a clock edge, and the step from its beginning.
    i_valid = 1; tick; i_valid = 0; #1;
    rst = {on}; #3; rst = {off}; #3;
    step("pulse");
    // Half a step and a reset with a clock edge.
    tick; i_valid = 1; tick; i_valid = 0; #1;
    rst = {on}; tick; rst = {off}; #1;
    step("edge");
    $finish;
  end
endmodule
"""


@KINDS
def test_in_the_middle_of_a_run_and_without_a_clock_edge(reset: Reset) -> None:
    emission = emit(TILE, "core", reset=reset)
    ports = {port["name"]: port["width"] for port in emission.manifest["ports"]}
    assert ports[reset.port] == 1
    bench = BENCH.format(
        on=reset.level,
        off=1 - reset.level,
        port=reset.port,
        sums=ports["o_sums"] - 1,
        acts=ports["i_acts"],
    )
    printed = run_testbench({"core.v": emission.verilog, "reset_tb.v": bench}, "reset_tb", simulator="icarus")
    found = dict(re.findall(r"^(\w+) (.*)$", printed, re.M))
    whole = re.fullmatch(r"ready 2 (valid 2 sums -?\d+)", found["first"])
    assert whole, printed
    asynchronous = reset.kind == "async"
    # A synchronous reset does not see a pulse between edges: the output stays, and half of the step is done.
    assert found["output"] == ("0" if asynchronous else "1")
    assert found["pulse"] == f"ready {2 if asynchronous else 1} {whole[1]}"
    assert found["edge"] == f"ready 2 {whole[1]}"


def _sensitive(verilog: str) -> set[str]:
    return set(re.findall(r"always @\((.*)\)", verilog))


@pytest.mark.few(3)
@KINDS
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lut", {"m": 2, "n": 2, "acts": "fp16", "precompute": "external", "depth": 16, "group": 16}),
        ("bitmod", {"m": 1, "n": 2, "k": 2, "post_lanes": 2}),
        ("mx", {"m": 1, "n": 2, "post_lanes": 1}),
    ],
)
def test_benches_and_constraints_go_along(name: str, values: dict[str, object], reset: Reset) -> None:
    emission = emit(family(name).from_values(values), "core", reset=reset)
    files = bench_files(emission)
    for bench in [file for file in files if file.endswith(".v")]:
        printed = run_testbench({"core.v": emission.verilog, **files}, bench.removesuffix(".v"), simulator="icarus")
        assert printed.startswith("PASS"), printed
    edges = {"posedge clk"}
    if reset.kind == "async":
        edges |= {f"posedge clk, {'posedge' if reset.active == 'high' else 'negedge'} {reset.port}"}
        # Within a tile with an inverted reset blocks have the plain one.
        edges |= {"posedge clk, posedge rst"} & _sensitive(emission.verilog)
    assert _sensitive(emission.verilog) == edges
    text = sdc(emission.spec, "core", 1.0, reset=reset)
    assert f"[get_ports {reset.port}]" in text
    assert ("asynchronous: its release is timed" in text) == (reset.kind == "async")
    manifest = emission.manifest
    assert manifest["reset"] == {"port": reset.port, "kind": reset.kind, "active": reset.active}
    modules = [manifest, *manifest.get("companions", {}).values(), *([manifest["pre"]] if "pre" in manifest else [])]
    for module in modules:
        head = re.search(rf"^module {module['top']}\((.*?)\);", emission.verilog, re.M | re.S)
        assert head, module["top"]
        assert {port["name"] for port in module["ports"]} == set(re.findall(r"\w+", head[1]))


@KINDS
def test_companions_are_reset(reset: Reset) -> None:
    emission = emit(family("bitmod")(m=1, n=1, k=2, post_lanes=1), "core", reset=reset)
    bench = f"""
module companion_tb;
  reg clk = 0, rst = {reset.level}, write = 0;
  wire [5:0] specials; wire error;
  core_specials dut (.clk(clk), .{reset.port}(rst), .write(write), .address(2'd1), .value(6'd10), .selectors(2'd1),
                     .specials(specials), .error(error));
  task tick; begin #5 clk = 1; #5 clk = 0; end endtask
  initial begin
    tick; rst = {1 - reset.level}; write = 1; tick; write = 0; #1 $display("%0d", specials);
    rst = {reset.level}; #1 $display("%0d", specials); tick; #1 $display("%0d", specials); $finish;
  end
endmodule
"""
    printed = run_testbench({"core.v": emission.verilog, "b.v": bench}, "companion_tb", simulator="icarus")
    assert printed.split()[:3] == ["10", "0" if reset.kind == "async" else "10", "0"]


@pytest.mark.few(2)
@KINDS
def test_compiled_simulation_drives_it(reset: Reset) -> None:
    emission = emit(TILE, reset=reset)
    steps = random_steps(TILE, 3)
    got = CompiledTile(TILE, emission).simulate(TILE, steps)
    assert (got.sums == run_steps(TILE, steps).sums).all()


def test_the_default_is_what_it_was() -> None:
    plain: Emission = emit(TILE)
    assert emit(TILE, reset=Reset()).verilog == plain.verilog
    assert plain.manifest["reset"] == {"port": "rst", "kind": "sync", "active": "high"}


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            ("async_low", "high"),
            "reset: kind must be sync or async, not 'async_low'; say --reset async --reset-active low",
        ),
        (("none", "high"), "reset: kind must be sync or async, not 'none'"),
        (("async", "negative"), "reset: active level must be high or low, not 'negative'"),
    ],
)
def test_what_is_none_is_refused(values: tuple[str, str], text: str) -> None:
    with pytest.raises(HwgenError) as error:
        Reset(*values)
    assert str(error.value) == text
