"""OpenSTA's propagation of activity, by hand and against OpenSTA itself where it is installed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from hwgen.simulators import find
from hwgen.synth import generic_library
from hwgen.synth.gates import Activity, read_netlist
from hwgen.synth.power import loading
from reports.opensta_power import gates_energy, gates_power, internal_factor, propagated, without_registers
from tests.synth.slow import cells_of, flat_netlist

SMALL = """
module small(clk, a, b, y, q);
  input clk;
  input a;
  input b;
  output y;
  output q;
  wire n;
  NAND2_X1 g (.A(a), .B(b), .Y(n));
  XOR2_X1 x (.A(n), .B(q), .Y(y));
  DFF_X1 r (.CK(clk), .D(y), .Q(q));
endmodule
"""


def activity(nets: int, known: dict[int, tuple[float, float]]) -> Activity:
    """Of nets with (probability of a one, changes per cycle)."""
    vectors = 100_000
    toggles, ones = np.zeros(nets, np.int64), np.zeros(nets, np.int64)
    for net, (duty, density) in known.items():
        ones[net], toggles[net] = round(duty * vectors), round(density * vectors)
    return Activity(vectors, toggles, ones, {})


def test_registers_become_ports_and_activity_passes_gates() -> None:
    library = generic_library()
    known = cells_of(SMALL, library)
    netlist = read_netlist(SMALL, known)
    gates = without_registers(netlist, known)
    (a,), (b,), (y,), (q,) = (netlist.inputs[p] if p in "ab" else netlist.outputs[p] for p in ("a", "b", "y", "q"))
    assert set(gates.cells) == {"NAND2_X1", "XOR2_X1"}
    assert gates.inputs["held"].tolist() == [q]
    # q is driven by the flip-flop alone; y is wanted by the port and by the flip-flop.
    assert gates.outputs["wanted"].tolist() == [y]
    found = propagated(gates, known, activity(netlist.nets, {a: (0.5, 0.2), b: (0.4, 0.3), q: (0.5, 0.1)}))
    (n,) = netlist.cells["NAND2_X1"].nets["Y"]
    # NAND: 0.2 · 0.4 + 0.3 · 0.5, one with probability 0.8.
    assert found.toggles[n] / found.vectors == pytest.approx(0.23)
    assert found.ones[n] / found.vectors == pytest.approx(0.8)
    # XOR as (n & !q) | (!n & q): each product changes 0.23 / 2 + 0.1 times its share, damped by the other one.
    left = 0.23 * 0.5 + 0.1 * 0.8
    right = 0.23 * 0.5 + 0.1 * 0.2
    assert found.toggles[y] / found.vectors == pytest.approx(left * (1 - 0.1) + right * (1 - 0.4), abs=1e-4)


@pytest.fixture
def installed() -> None:
    """Leave the test where OpenSTA is missing; fail where .ci/run has found it."""
    if find("opensta") is None:
        if os.environ.get("HWGEN_CI_OPENSTA"):
            pytest.fail("OpenSTA was there when .ci/run looked, but `sta` is not found on PATH now")
        pytest.skip("OpenSTA is not installed")


@pytest.mark.usefixtures("installed")
def test_opensta_agrees_when_activity_and_sums_are_its_own(tmp_path: Path) -> None:
    library = generic_library()
    flat = flat_netlist(tmp_path)
    known = cells_of(flat, library)
    netlist = read_netlist(flat, known)
    loaded = loading(netlist, known, library)
    gates = without_registers(netlist, known)
    rng = np.random.default_rng(1)
    entering = np.concatenate(list(gates.inputs.values())).tolist()
    given = activity(netlist.nets, {net: (rng.uniform(0.2, 0.8), rng.uniform(0.05, 0.4)) for net in entering})
    passed = propagated(gates, known, given)
    theirs = gates_power(gates, library, given, loaded, 10.0)
    internal, switching = gates_energy(gates, library, passed, loaded, as_opensta=True)
    assert theirs.combinational_pj[1] == pytest.approx(switching, rel=0.01)
    assert theirs.combinational_pj[0] == pytest.approx(internal, rel=0.1)
    leakage = sum(len(cells) * known[name].leakage_nw for name, cells in gates.cells.items())
    assert theirs.leakage_nw == pytest.approx(leakage, rel=1e-3)
    # Ours by Liberty's rule: one of rise and fall a toggle.
    assert gates_energy(gates, library, passed, loaded)[0] < 0.6 * internal
    assert internal_factor(library, "DFF_X1") == pytest.approx(2, rel=0.02)
