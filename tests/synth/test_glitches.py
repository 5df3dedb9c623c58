"""Glitches: against a simulator of one bit at a time, and against pulses of known length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.synth import generic_library, read_library
from hwgen.synth.gates import pack_streams, read_netlist
from hwgen.synth.glitches import BINS, GlitchSim
from hwgen.synth.power import loading
from tests.synth.slow import Slow, cells_of, flat_netlist

PULSE = """
module tile(clk, a, y, q);
  input clk;
  input a;
  output y;
  output q;
  wire n;
  INV v (.A(a), .Y(n));
  AND g (.A(a), .B(n), .Y(y));
  FF r (.C(clk), .D(y), .Q(q));
endmodule
"""


def cells(inverter_ps: float, gate_ps: float) -> str:
    def timing(pin: str, delay: float, kind: str = "combinational") -> str:
        tables = " ".join(
            f'{name} (scalar) {{ values ("{delay}"); }}'
            for name in ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
        )
        return f'timing () {{ related_pin : "{pin}"; timing_type : {kind}; {tables} }}'

    return f"""
library (pulses) {{
  time_unit : "1ps"; leakage_power_unit : "1pW"; capacitive_load_unit (1, ff);
  nom_voltage : 1; nom_temperature : 25;
  cell (INV) {{ area : 1; pin (A) {{ direction : input; capacitance : 1; }}
    pin (Y) {{ direction : output; function : "!A"; {timing("A", inverter_ps)} }} }}
  cell (AND) {{ area : 1; pin (A) {{ direction : input; capacitance : 1; }}
    pin (B) {{ direction : input; capacitance : 1; }}
    pin (Y) {{ direction : output; function : "A B"; {timing("A", gate_ps)} {timing("B", gate_ps)} }} }}
  cell (FF) {{ area : 1; ff (IQ, IQN) {{ clocked_on : "C"; next_state : "D"; }}
    pin (C) {{ direction : input; clock : true; capacitance : 1; }} pin (D) {{ direction : input; capacitance : 1; }}
    pin (Q) {{ direction : output; function : "IQ"; {timing("C", 10, "rising_edge")} }} }}
}}
"""


@pytest.mark.parametrize(("inverter_ps", "gate_ps", "timed"), [(30, 20, 2), (20, 30, 0), (20, 20, 2)])
def test_a_pulse_passes_a_gate_that_is_fast_enough(
    inverter_ps: float, gate_ps: float, timed: int, tmp_path: Path
) -> None:
    path = tmp_path / "pulses.lib"
    path.write_text(cells(inverter_ps, gate_ps))
    library = read_library([path])
    known = cells_of(PULSE, library)
    netlist = read_netlist(PULSE, known)
    sim = GlitchSim(netlist, known, 1, loading(netlist, known, library), every=1)
    # 10 ps from the register, the inverter, the gate, and once more the slower of both.
    whole_ps = 10 + inverter_ps + gate_ps + max(inverter_ps, gate_ps)
    assert sim.bin_ns == pytest.approx(whole_ps * 1e-3 / BINS, rel=0.05)
    for bit in (0, 1):
        sim.set("a", pack_streams(np.array([[bit]])))
        sim.settle()
        if not bit:
            sim.reset_counts()
        sim.clock()
    found = sim.glitches()
    (y,) = netlist.outputs["y"]
    assert (found.vectors, found.zero[y], found.unit[y], found.timed[y], found.timed_raw[y]) == (1, 0, 2, timed, 2)
    (a,) = netlist.inputs["a"]
    assert (found.zero[a], found.unit[a], found.timed[a]) == (1, 1, 1)


def test_unit_delays_are_those_of_a_simulation_of_one_bit_at_a_time(tmp_path: Path) -> None:
    flat = flat_netlist(tmp_path)
    library = generic_library()
    known = cells_of(flat, library)
    netlist = read_netlist(flat, known)
    streams, cycles = 2, 8
    sim = GlitchSim(netlist, known, streams, loading(netlist, known, library), every=1)
    rng = np.random.default_rng(3)
    ports = {name: len(nets) for name, nets in netlist.inputs.items() if name != "clk"}
    stimulus = {name: rng.integers(0, 2, (cycles, width, streams)) for name, width in ports.items()}
    stimulus["rst"][:] = 0
    stimulus["rst"][0] = 1
    settled = []
    for cycle in range(cycles):
        for name in ports:
            sim.set(name, pack_streams(stimulus[name][cycle]))
        if cycle == 1:
            sim.reset_counts()
        sim.settle()
        settled.append(sim.values.copy())
        sim.clock()
    found = sim.glitches()
    changes = 0
    for stream in range(streams):
        slow = Slow(flat)
        before: dict[str, bool] = {}
        for cycle in range(cycles):
            for name, width in ports.items():
                for bit in range(width):
                    slow.inputs[f"{name}[{bit}]" if width > 1 else name] = bool(stimulus[name][cycle, bit, stream])
            if cycle:
                changes += sum(slow.unit_delay(before).values())
            before = slow.settle()
            slow.clock()
    driven = np.zeros(netlist.nets, bool)
    for name, group in netlist.cells.items():
        for pin in known[name].functions:
            driven[group.nets[pin]] = True
    assert found.unit[driven].sum() == changes
    assert found.zero.sum() < found.timed.sum() < found.timed_raw.sum()
    # A net ends where it settles: an odd number of changes where the settled values differ, else an even one.
    assert ((found.unit - found.zero) % 2 == 0).all()
    assert ((found.timed - found.zero) % 2 == 0).all()
