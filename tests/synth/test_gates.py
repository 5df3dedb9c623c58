"""Gate simulation and energy of netlists: against a simulator of one bit at a time, and against hand calculation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.synth import Library, generic_library, read_library
from hwgen.synth._characterised import characterised
from hwgen.synth._logic import function, probability
from hwgen.synth.gates import GateSim, pack_streams, read_netlist, unpack_streams
from hwgen.synth.power import loading, power
from tests.synth.slow import Slow, cells_of, flat_netlist

TWO_BLOCKS = """
module top_row(clk, a, q);
  input clk;
  wire clk;
  input [1:0] a;
  wire [1:0] a;
  output [1:0] q;
  wire [1:0] q;
  wire n;
  NAND2_X1 g (.A(a[0]), .B(a[1]), .Y(n));
  DFF_X1 r (.CK(clk), .D(n), .Q(q[1]));
  assign q[0] = q[1];
endmodule
module top(clk, i, x, y);
  input clk;
  input [3:0] i;
  input x;
  output [2:0] y;
  wire [1:0] first;
  wire [1:0] second;
  top_row one (.clk(clk), .a(i[1:0]), .q(first));
  top_row two (.clk(clk), .a({ i[3], 1'h1 }), .q(second));
  XOR2_X1 g (.A(first[0]), .B(second[1]), .Y(y[0]));
  MUX2_X1 m (.A(x), .B(second[0]), .S(i[2]), .Y(y[1]));
  assign y[2] = first[1];
endmodule
"""


def simulator(verilog: str, library: Library, streams: int) -> GateSim:
    cells = cells_of(verilog, library)
    return GateSim(read_netlist(verilog, cells), cells, streams)


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> str:
    return flat_netlist(tmp_path_factory.mktemp("cache"))


def test_every_net_toggles_as_in_a_simulation_of_one_bit_at_a_time(flat: str) -> None:
    streams, cycles = 3, 12
    fast = simulator(flat, generic_library(), streams)
    rng = np.random.default_rng(1)
    ports = {name: len(nets) for name, nets in fast.netlist.inputs.items() if name != "clk"}
    stimulus = {name: rng.integers(0, 2, (cycles, width, streams)) for name, width in ports.items()}
    stimulus["rst"][:] = 0
    stimulus["rst"][0] = 1
    for cycle in range(cycles):
        for name in ports:
            fast.set(name, pack_streams(stimulus[name][cycle]))
        fast.settle()
        if cycle:
            fast.count()
        fast.clock()
    toggles = 0
    ones = 0
    for stream in range(streams):
        slow = Slow(flat)
        before: dict[str, bool] = {}
        for cycle in range(cycles):
            for name, width in ports.items():
                for bit in range(width):
                    slow.inputs[f"{name}[{bit}]" if width > 1 else name] = bool(stimulus[name][cycle, bit, stream])
            values = slow.settle()
            if cycle:
                toggles += sum(values[net] != before[net] for net in values)
                ones += sum(values.values())
            before = values
            slow.clock()
    activity = fast.activity()
    driven = np.zeros(fast.netlist.nets, bool)
    for name, cells in fast.netlist.cells.items():
        for pin in fast.known[name].functions:
            driven[cells.nets[pin]] = True
    assert activity.vectors == streams * (cycles - 1)
    assert (activity.toggles[driven].sum(), activity.ones[driven].sum()) == (toggles, ones)
    assert toggles > 500


def test_a_netlist_of_blocks() -> None:
    sim = simulator(TWO_BLOCKS, generic_library(), 70)
    netlist = sim.netlist
    assert netlist.blocks == (("control", ""), ("row", "one"), ("row", "two"))
    assert netlist.size == 6
    assert netlist.cells["NAND2_X1"].block.tolist() == [1, 2]
    rng = np.random.default_rng(2)
    held = np.zeros((2, 70), bool)
    for _ in range(8):
        bits = rng.integers(0, 2, (5, 70)).astype(bool)
        sim.set("i", pack_streams(bits[:4]))
        sim.set("x", pack_streams(bits[4:]))
        sim.settle()
        y = unpack_streams(sim.get("y"), 70).astype(bool)
        assert np.array_equal(y[0], held[0] ^ held[1])
        assert np.array_equal(y[1], np.where(bits[2], held[1], bits[4]))
        assert np.array_equal(y[2], held[0])
        sim.count()
        sim.clock()
        held = np.stack([~(bits[0] & bits[1]), ~bits[3]])
    assert sim.activity().vectors == 8 * 70


CELLS = """
library (three) {
  time_unit : "1ps"; voltage_unit : "1V"; leakage_power_unit : "1pW";
  capacitive_load_unit (1, ff);
  nom_voltage : 0.5; nom_temperature : 25;
  power_lut_template (one) { variable_1 : input_transition_time; index_1 ("1, 2"); }
  cell (INV) {
    area : 2;
    leakage_power () { value : 1.0; when : "A"; }
    leakage_power () { value : 3.0; when : "!A"; }
    pin (A) { direction : input; capacitance : 2.0; }
    pin (Y) { direction : output; function : "!A";
      internal_power () { related_pin : "A"; related_pg_pin : VDD;
        rise_power (scalar) { values ("0.5"); } fall_power (scalar) { values ("0.1"); } }
      internal_power () { related_pin : "A"; related_pg_pin : VSS;
        rise_power (scalar) { values ("0.1"); } fall_power (scalar) { values ("0.5"); } }
      timing () { related_pin : "A"; cell_rise (scalar) { values ("1"); } cell_fall (scalar) { values ("1"); }
        rise_transition (scalar) { values ("2"); } fall_transition (scalar) { values ("2"); } } }
  }
  cell (XOR) {
    area : 4;
    cell_leakage_power : 10;
    pin (A) { direction : input; capacitance : 1.0;
      internal_power () { when : "!B"; power (one) { values ("0.2, 0.4"); } } }
    pin (B) { direction : input; capacitance : 3.0; }
    pin (Y) { direction : output; function : "(A & !B) | (!A & B)";
      internal_power () { related_pin : "A"; power (scalar) { values ("1.0"); } }
      internal_power () { related_pin : "B"; when : "A"; power (scalar) { values ("2.0"); } }
      internal_power () { related_pin : "B"; when : "!A"; power (scalar) { values ("6.0"); } } }
  }
  cell (FF) {
    area : 9;
    cell_leakage_power : 100;
    ff (IQN, IQNN) { clocked_on : "C"; next_state : "!D"; }
    pin (C) { direction : input; clock : true; capacitance : 1.5;
      internal_power () { when : "D * !QN";
        rise_power (scalar) { values ("0.3"); } fall_power (scalar) { values ("0.7"); } }
      internal_power () { when : "!D * QN";
        rise_power (scalar) { values ("0.4"); } fall_power (scalar) { values ("0.8"); } }
      internal_power () { when : "D * QN";
        rise_power (scalar) { values ("0"); } fall_power (scalar) { values ("2.0"); } }
      internal_power () { when : "!D * !QN";
        rise_power (scalar) { values ("0"); } fall_power (scalar) { values ("3.0"); } } }
    pin (D) { direction : input; capacitance : 1.0; }
    pin (QN) { direction : output; function : "IQN";
      internal_power () { related_pin : "C"; power (scalar) { values ("5.0"); } } }
  }
}
"""

THREE = """
module tile(clk, a, b, y);
  input clk;
  input a;
  input b;
  output y;
  wire x;
  wire n;
  XOR g (.A(a), .B(b), .Y(x));
  FF r (.C(clk), .D(x), .QN(n));
  INV v (.A(n), .Y(y));
endmodule
"""


def test_the_energy_of_three_cells_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "three.lib"
    path.write_text(CELLS)
    library = read_library([path])
    sim = simulator(THREE, library, 1)
    assert unpack_streams(sim.get("y"), 1).tolist() == [[0]]
    # x = 0 1 1 0; n = 0 (as at first), then !x of the cycle before: 1 0 0; y = !n.
    for a, b in ((0, 0), (1, 0), (0, 1), (1, 1)):
        sim.set("a", pack_streams(np.array([[a]])))
        sim.set("b", pack_streams(np.array([[b]])))
        sim.settle()
        sim.count()
        sim.clock()
    # At first everything is 0, y too: nothing has settled yet.
    ports = {**sim.netlist.inputs, **sim.netlist.outputs}
    toggles = {name: int(sim.activity().toggles[nets[0]]) for name, nets in ports.items()}
    assert toggles == {"clk": 0, "a": 3, "b": 1, "y": 3}
    loaded = loading(sim.netlist, sim.known, library)
    result = power(sim.netlist, library, sim.activity(), loaded)
    (tile,) = result.blocks
    half = 0.5**2 / 2
    # The register: D toggles twice (1 fF), QN twice (5 fJ a toggle); the clock has two edges of 1.5 fF in each cycle.
    assert tile.register_pj == pytest.approx((2 * half * 1.0 + 2 * 5.0) / 4 / 1000)
    # (D, QN) = (0,0) (1,1) (1,0) (0,0).
    assert tile.clock_pj == pytest.approx(2 * half * 1.5 / 1000 + (3.0 + 2.0 + 1.0 + 3.0) / 4 / 1000)
    # INV: input toggles twice at 2 fF, output three times at (0.5 + 0.1 + 0.1 + 0.5) / 2. XOR: pins 3 x 1 fF, 1 x 3 fF;
    # its A is hidden while B is 0, half of the time, 0.4 fJ at a slow slew; its output toggles twice, three quarters
    # of it by A (1 fJ) and a quarter by B (A is 1 half of the time: 4 fJ).
    inverter = 2 * half * 2.0 + 3 * 0.6
    xor = 3 * half * 1.0 + half * 3.0 + 3 * 0.5 * 0.4 + 2 * (0.75 * 1.0 + 0.25 * 4.0)
    assert tile.combinational_pj == pytest.approx((inverter + xor) / 4 / 1000)
    assert tile.leakage_nw == pytest.approx((2.0 + 10 + 100) / 1000)
    assert (tile.kind, tile.count, tile.cells, tile.flip_flops) == ("flat", 1, 3, 1)
    assert result.output_load_pj == pytest.approx(3 * half * 4 * 2.0 / 4 / 1000)
    assert result.input_port_pj == pytest.approx((3 * half * 1.0 + half * 3.0) / 4 / 1000)
    assert loaded.load_pf[sim.netlist.outputs["y"][0]] == pytest.approx(0.008)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("XOR g", "XNOR g", "netlist tile: the library must have the cell XNOR, which it has not"),
        (".D(x)", ".D(z)", "netlist tile: the net z must be declared, which it is not"),
        (".QN(n)", ".QN(x)", "netlist tile: every net must have one driver; 1 have more"),
        (".A(n)", ".X(n)", "netlist tile: the cell INV must have the pin X, which it has not"),
        (".Y(x)", "", "netlist tile: every net that is read must have a driver; 1 have none"),
        (".C(clk)", ".C(a)", "netlist tile: every flip-flop must be clocked by clk, which some of FF are not"),
        (".A(a)", ".A(x)", "netlist tile: gates must not form a loop, which they do"),
        (".A(a)", ".A(a + b)", "netlist tile: an expression must be made of nets and constants, not 'a + b'"),
        ("module tile", "entity tile", "netlist: the text must have a Verilog module, which it has not"),
    ],
)
def test_netlists_that_are_none(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "three.lib"
    path.write_text(CELLS)
    cells = characterised(read_library([path]), ["INV", "XOR", "FF"])
    with pytest.raises(HwgenError) as caught:
        GateSim(read_netlist(THREE.replace(old, new), cells), cells, 1)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("A B'+C", lambda a, b, c: (a and not b) or c),
        ("!(A ^ B) C", lambda a, b, c: (a == b) and c),
        ("(A&B)|(A&C)|(B&C)", lambda a, b, c: a + b + c > 1),
        ("(A * B * !C) + (A * !B * C) + (!A * B * C) + (!A * !B * !C)", lambda a, b, c: (a + b + c) % 2 == 0),
        ("A B C + 0", lambda a, b, c: a and b and c),
        ("!A!B!C 1", lambda a, b, c: not (a or b or c)),
    ],
)
def test_functions_as_liberty_writes_them(text: str, truth: object) -> None:
    found = function(text)
    assert set(found.inputs) == {"A", "B", "C"}
    table = found.truth()
    for a in (0, 1):
        for b in (0, 1):
            for c in (0, 1):
                values = {"A": a, "B": b, "C": c}
                place = tuple(values[pin] for pin in found.inputs)
                assert bool(table[place]) == bool(truth(a, b, c))  # type: ignore[operator]


def test_functions_that_are_none_and_probabilities() -> None:
    with pytest.raises(HwgenError) as caught:
        function("A -> B")
    assert str(caught.value) == (
        "liberty: a function must be made of pins, !, ', &, *, |, +, ^ and parentheses, not 'A -> B'"
    )
    ones = {"A": np.array([0.25]), "B": np.array([0.5])}
    assert probability(function("A & !B"), ones, {}) == pytest.approx(0.125)
    # Y is no pin of its own: !A & Y is !A.
    assert probability(function("!A * Y"), ones, {"Y": function("!(A & B)")}) == pytest.approx(0.75)
