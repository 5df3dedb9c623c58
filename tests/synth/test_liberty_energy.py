"""Energy of flip-flops by their library: conditions on several outputs, set and reset, energies without a pin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.pe import family
from hwgen.synth import Library, SynthOptions, read_library, synthesise, tile_netlist
from hwgen.synth._characterised import characterised
from hwgen.synth.gates import Activity, GateNetlist, GateSim, pack_streams, read_netlist
from hwgen.synth.power import power
from tests.synth.minilib import GATES, flip_flop, mini

ENERGIES = {"!D & !Q & QN": 1.0, "!D & Q & !QN": 2.0, "D & !Q & QN": 4.0, "D & Q & !QN": 8.0}
"""Of a rise and of a fall of the clock in fJ, by its conditions: as Nangate's library has them."""


def by_condition(rail: str = "") -> str:
    entry = 'internal_power () {{ when : "{}"; {} power (scalar) {{ values ({}); }} }}'
    return " ".join(entry.format(when, rail, value / 1000) for when, value in ENERGIES.items())


QN = 'pin (QN) { direction : output; function : "IQN"; }\n'

ONE_BIT = """
module top(clk, d, q);
  input clk;
  input d;
  output q;
  DFF r (.CK(clk), .D(d), .Q(q));
endmodule
"""


def library_of(folder: Path, held: str) -> Library:
    path = folder / "mini.lib"
    path.write_text(mini(GATES, held))
    return read_library([path])


def run(verilog: str, library: Library, ports: dict[str, np.ndarray]) -> tuple[GateNetlist, Activity, np.ndarray]:
    """Netlist, counts and output q [cycles, streams] of bits by port [cycles, streams]."""
    known = characterised(library, ["DFF", "INV"])
    netlist = read_netlist(verilog, known)
    cycles, streams = next(iter(ports.values())).shape
    sim = GateSim(netlist, known, streams)
    seen = []
    for cycle in range(cycles):
        for port, bits in ports.items():
            sim.set(port, pack_streams(bits[cycle][None]))
        sim.settle()
        sim.count()
        words = sim.get("q")[0]
        seen.append([int(words[stream // 64]) >> stream % 64 & 1 for stream in range(streams)])
        sim.clock()
    return netlist, sim.activity(), np.array(seen)


@pytest.mark.parametrize("probability", [0.5, 0.1])
def test_conditions_that_name_both_outputs(probability: float, tmp_path: Path) -> None:
    library = library_of(tmp_path, flip_flop(clock=by_condition(), outputs=QN))
    rng = np.random.default_rng(3)
    bits = (rng.random((200, 64)) < probability).astype(np.uint8)
    netlist, activity, out = run(ONE_BIT, library, {"d": bits})
    held = np.concatenate([np.zeros((1, 64), np.uint8), bits[:-1]])
    assert np.array_equal(out, held)
    # Counted cycle by cycle: the energy of the condition that holds, for the clock's rise and its fall.
    weights = {(0, 0): 1.0, (0, 1): 2.0, (1, 0): 4.0, (1, 1): 8.0}
    counted = sum(energy * float(((bits == d) & (held == q)).mean()) for (d, q), energy in weights.items())
    pin = 0.002  # pF at 1 V, up and down
    assert power(netlist, library, activity).blocks[0].clock_pj == pytest.approx(pin + 2 * counted / 1000, rel=1e-6)


@pytest.mark.parametrize("state", ["IQ", "IQN"])
def test_an_output_that_shows_the_complement(state: str, tmp_path: Path) -> None:
    """One output only, of either sense: what the other would be follows."""
    energies = 'internal_power () { when : "D & Q"; power (scalar) { values (0.004); } }'
    held = flip_flop(clock=energies).replace('function : "IQ"', f'function : "{state}"')
    library = library_of(tmp_path, held)
    rng = np.random.default_rng(4)
    bits = (rng.random((100, 64)) < 0.3).astype(np.uint8)
    netlist, activity, out = run(ONE_BIT, library, {"d": bits})
    counted = 2 * 0.004 * float((bits & out).mean())
    assert power(netlist, library, activity).blocks[0].clock_pj == pytest.approx(0.002 + counted, rel=1e-6)


RESET = """
module top(clk, d, r, q);
  input clk;
  input d;
  input r;
  output q;
  wire n;
  INV i (.A(r), .Y(n));
  DFF f (.CK(clk), .D(d), .RN(n), .SN(1'h1), .Q(q));
endmodule
"""


def test_reset_without_the_clock(tmp_path: Path) -> None:
    held = flip_flop(more='clear : "!RN"; preset : "!SN";', pins=("RN", "SN"))
    rng = np.random.default_rng(5)
    bits = rng.integers(0, 2, (60, 64)).astype(np.uint8)
    reset = (rng.random((60, 64)) < 0.2).astype(np.uint8)
    _, _, out = run(RESET, library_of(tmp_path, held), {"d": bits, "r": reset})
    state = np.zeros(64, np.uint8)
    for cycle in range(60):
        state = np.where(reset[cycle], 0, state)
        assert np.array_equal(out[cycle], state)
        state = np.where(reset[cycle], 0, bits[cycle])


@pytest.mark.parametrize(
    ("more", "pins", "tied"),
    [
        ('clear : "RESET_B\'";', ["RESET_B"], ".RESET_B(1'h1)"),
        ('preset : "SET";', ["SET"], ".SET(1'h0)"),
        ('clear : "!R"; preset : "!S"; clear_preset_var1 : L; clear_preset_var2 : H;', ["R", "S"], ".R(1'h1)"),
    ],
)
def test_a_library_whose_flip_flops_all_have_reset_or_set(
    more: str, pins: list[str], tied: str, tmp_path: Path
) -> None:
    """As IHP's sg13g2: mapping ties them off, and the tile costs what it does with a plain one of the same numbers."""
    spec = family("int")(m=1, n=1, k=1, bits=2, depth=16, group=16)
    results = []
    for index, held in enumerate([flip_flop(), flip_flop(more=more, pins=pins)]):
        (tmp_path / str(index)).mkdir()
        results.append(
            synthesise(
                spec, library_of(tmp_path / str(index), held), options=SynthOptions(kinds=["cell"], recipes=["plain"])
            )
        )
    plain, reset = results
    assert tied in tile_netlist(reset)
    assert reset.flip_flops == plain.flip_flops > 0
    assert (reset.area, reset.min_clk_period_ns) == (plain.area, plain.min_clk_period_ns)


def test_energies_that_name_no_pin_are_of_all(tmp_path: Path) -> None:
    library = library_of(
        tmp_path, flip_flop().replace('internal_power () { related_pin : "CK";', "internal_power () {")
    )
    (arc,) = characterised(library, ["DFF"])["DFF"].arcs["Q"]
    assert arc.source == "CK"
    assert float(arc.energies[0].rise.at(np.array(0.2), np.array(0.0))) == pytest.approx(0.005)
