"""``python -m reports.generic_library``: writes ``hwgen/synth/generic.lib``, the library for when there is no other."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hwgen.files import write_atomic
from hwgen.synth.liberty import GENERIC
from reports.command_line import without_options

__all__ = ["CELLS", "Gate", "library_text", "main"]

TAU_NS = 0.00324
"""5 τ is the delay of an inverter with a fan-out of four: 360 ps per µm of gate length, at 45 nm."""
INVERTER_PF = 0.001
VOLTAGE_V = 1.0
NAND2_LEAKAGE_NW = 68.0

_LOADS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064)
_CLOCK_NODES, _STATE_NODES, _MUX_NODES = 7.0, 6.5, 4.0
"""Inverter inputs' worth of capacitance in a flip-flop that switches with each clock cycle, with each change of the
output, and with each change of a data pin that goes through a multiplexer."""

_ABOUT = (
    "hwgen generic library: a dozen cells to synthesise with before a real library is at hand. Written for hwgen, "
    "by python -m reports.generic_library.",
    "Areas are gate equivalents (a two-input NAND is 1), rounded values of the kind that the hardware-"
    "cryptography literature uses for standard cells (NOT 0.67, NAND 1, AND 1.33, MUX 2.33, XOR 2.67, D flip-flop "
    "5.33). Status: assumed; no layout stands behind them.",
    "Delays are logical effort (Sutherland, Sproull and Harris, Logical Effort, 1999): tau (p + load / Cin · g), "
    "g and p of the textbook for ideal static gates; AND, OR, BUF as two stages. tau = 3.240 ps from a fan-out- "
    "of-four delay of 5 tau = 360 ps per um of drawn gate length (Ho, Mai and Horowitz, The Future of Wires, "
    "Proc. IEEE 2001) at 45 nm. Input capacitance of the inverter 1 fF, times g for other gates; larger drives "
    "are 1 + 0.4 (drive - 1) times as large. Slews do not matter in the tables. Status: published rules, assumed "
    "for these cells; no silicon, no layout, no wires.",
    "Internal energy of an output's change is C V² / 2 of the capacitance that its delay without load stands for: "
    "p inverter inputs. Flip-flops: 7 inverter inputs switch with each clock cycle and 6.5 with each change of "
    "the output (by their tables sky130_fd_sc_hd__dfxtp_1 has 7.0 and 6.3 times its clock pin, DFFHQNx1 of ASAP7 "
    "5.2 and 4). Status: published rules, assumed for these cells.",
    "Leakage: 100 nA per um of width that is off, at 300 K and 1 V, and 1 fF per um of gate (Bulk45LVT of DSENT; "
    "Sun et al., DSENT, NOCS 2012: a process of low threshold, so at the high end). A two-input NAND of 2.67 um "
    "has 0.68 um off in the mean of its four states, two off in a row counted as a tenth of one: 68 nW; others in "
    "proportion to their areas. Status: published rule, assumed for these cells.",
)

_HEAD = """\
library (hwgen_generic) {
  delay_model : table_lookup;
  time_unit : "1ns";
  voltage_unit : "1V";
  current_unit : "1mA";
  leakage_power_unit : "1nW";
  pulling_resistance_unit : "1kohm";
  capacitive_load_unit (1, pf);
  nom_process : 1;
  nom_voltage : 1.0;
  nom_temperature : 25;
  operating_conditions (typical) { process : 1; voltage : 1.0; temperature : 25; }
  default_operating_conditions : typical;
  default_max_transition : 1;
  slew_lower_threshold_pct_rise : 20;
  slew_upper_threshold_pct_rise : 80;
  slew_lower_threshold_pct_fall : 20;
  slew_upper_threshold_pct_fall : 80;
  input_threshold_pct_rise : 50;
  input_threshold_pct_fall : 50;
  output_threshold_pct_rise : 50;
  output_threshold_pct_fall : 50;
  define (hwgen_area_unit, library, string);
  hwgen_area_unit : "GE";
  lu_table_template (delay) {
    variable_1 : input_net_transition;
    variable_2 : total_output_net_capacitance;
    index_1 ("0.001, 0.1, 1");
    index_2 ("0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064");
  }
  lu_table_template (constraint) {
    variable_1 : constrained_pin_transition;
    variable_2 : related_pin_transition;
    index_1 ("0.001, 1");
    index_2 ("0.001, 1");
  }
"""


@dataclass(frozen=True)
class Gate:
    """A gate of drive 1: area in GE, logical effort of its inputs, delay without load in τ; senses of its inputs."""

    name: str
    area: float
    effort: float
    parasitic: float
    function: str
    senses: dict[str, str]
    drives: tuple[int, ...] = (1, 2, 4)


def _all(pins: str, sense: str) -> dict[str, str]:
    return dict.fromkeys(pins, f"{sense}_unate")


CELLS = (
    Gate("INV", 0.67, 1, 1, "!A", _all("A", "negative")),
    Gate("BUF", 1.00, 1, 2.5, "A", _all("A", "positive")),
    Gate("NAND2", 1.00, 4 / 3, 2, "!(A&B)", _all("AB", "negative")),
    Gate("NOR2", 1.00, 5 / 3, 2, "!(A|B)", _all("AB", "negative")),
    Gate("AND2", 1.33, 1.5, 3.5, "A&B", _all("AB", "positive")),
    Gate("OR2", 1.33, 1.6, 3.8, "A|B", _all("AB", "positive")),
    Gate("NAND3", 1.33, 5 / 3, 3, "!(A&B&C)", _all("ABC", "negative"), (1,)),
    Gate("NOR3", 1.33, 7 / 3, 3, "!(A|B|C)", _all("ABC", "negative"), (1,)),
    Gate("AOI21", 1.33, 2, 7 / 3, "!((A&B)|C)", _all("ABC", "negative")),
    Gate("OAI21", 1.33, 2, 7 / 3, "!((A|B)&C)", _all("ABC", "negative")),
    Gate("XOR2", 2.67, 4, 4, "A^B", _all("AB", "non")),
    Gate("XNOR2", 2.67, 4, 4, "!(A^B)", _all("AB", "non")),
    Gate("MUX2", 2.33, 2, 4, "(A&!S)|(B&S)", {**_all("AB", "positive"), **_all("S", "non")}),
)
"""Gates in the order of the file."""

_FLIP_FLOPS = (("DFF_X1", 5.33, "D", ("D",)), ("DFFE_X1", 7.00, "(D&E)|(IQ&!E)", ("D", "E")))
_CLOCK_TO_Q, _SETUP = 8, 4


def _table(kind: str, values: list[str]) -> Iterator[str]:
    row = f'"{", ".join(values)}"'
    yield f"        {kind} (delay) {{"
    yield f"          values ({row}, \\"
    yield f"            {row}, \\"
    yield f"            {row});"
    yield "        }"


def _timing(related: str, how: str, drive: int, parasitic: float) -> Iterator[str]:
    yield "      timing () {"
    yield f'        related_pin : "{related}";'
    yield f"        {how};"
    stages = [load / INVERTER_PF / drive for load in _LOADS]
    delays = [f"{TAU_NS * (parasitic + stage):.5f}" for stage in stages]
    slews = [f"{TAU_NS * 1.2 * (1 + stage):.5f}" for stage in stages]
    for kind, values in (
        ("cell_rise", delays),
        ("cell_fall", delays),
        ("rise_transition", slews),
        ("fall_transition", slews),
    ):
        yield from _table(kind, values)
    yield "      }"


def _energy(inputs: float, indent: str, related: str = "") -> Iterator[str]:
    """Of one change: C V² / 2 of so many inverter inputs, whatever the slew and the load."""
    picojoule = f"{inputs * INVERTER_PF * VOLTAGE_V**2 / 2:.6f}"
    yield f"{indent}internal_power () {{"
    if related:
        yield f'{indent}  related_pin : "{related}";'
    for edge in ("rise", "fall"):
        yield f'{indent}  {edge}_power (scalar) {{ values ("{picojoule}"); }}'
    yield f"{indent}}}"


def _leakage(area: str) -> str:
    return f"    cell_leakage_power : {float(area) * NAND2_LEAKAGE_NW:.2f};"


def _gate(gate: Gate, drive: int) -> Iterator[str]:
    area = f"{gate.area * (1 + 0.4 * (drive - 1)):.2f}"
    yield f"  cell ({gate.name}_X{drive}) {{"
    yield f"    area : {area};"
    yield _leakage(area)
    for pin in gate.senses:
        yield f"    pin ({pin}) {{ direction : input; capacitance : {gate.effort * drive * INVERTER_PF:.6f}; }}"
    yield "    pin (Y) {"
    yield "      direction : output;"
    yield f'      function : "{gate.function}";'
    yield f"      max_capacitance : {_LOADS[-1] * drive:.3f};"
    for pin in gate.senses:
        yield from _energy(gate.parasitic * drive, "      ", pin)
    for pin, sense in gate.senses.items():
        yield from _timing(pin, f"timing_sense : {sense}", drive, gate.parasitic)
    yield "    }"
    yield "  }"


def _flip_flop(name: str, area: float, next_state: str, data: tuple[str, ...]) -> Iterator[str]:
    setup = f"{TAU_NS * _SETUP:.5f}"
    yield f"  cell ({name}) {{"
    yield f"    area : {area:.2f};"
    yield _leakage(f"{area:.2f}")
    yield "    ff (IQ, IQN) {"
    yield '      clocked_on : "CK";'
    yield f'      next_state : "{next_state}";'
    yield "    }"
    yield "    pin (CK) {"
    yield "      direction : input;"
    yield "      clock : true;"
    yield f"      capacitance : {INVERTER_PF:.6f};"
    # Half with the rising, half with the falling edge: together one charge and one discharge of the nodes.
    yield from _energy(_CLOCK_NODES, "      ")
    yield "    }"
    for pin in data:
        yield f"    pin ({pin}) {{"
        yield "      direction : input;"
        yield f"      capacitance : {4 / 3 * INVERTER_PF:.6f};"
        if len(data) > 1:
            yield from _energy(_MUX_NODES, "      ")
        yield "      timing () {"
        yield '        related_pin : "CK";'
        yield "        timing_type : setup_rising;"
        for edge in ("rise", "fall"):
            yield f"        {edge}_constraint (constraint) {{"
            yield f'          values ("{setup}, {setup}", "{setup}, {setup}");'
            yield "        }"
        yield "      }"
        yield "    }"
    yield "    pin (Q) {"
    yield "      direction : output;"
    yield '      function : "IQ";'
    yield f"      max_capacitance : {_LOADS[-1]:.3f};"
    yield from _energy(_STATE_NODES, "      ", "CK")
    yield from _timing("CK", "timing_type : rising_edge", 1, _CLOCK_TO_Q)
    yield "    }"
    yield "  }"


def library_text() -> str:
    """The whole file."""
    lines: list[str] = []
    for drive in (1, 2, 4):
        for gate in CELLS:
            if drive in gate.drives:
                lines += _gate(gate, drive)
    for name, area, next_state, data in _FLIP_FLOPS:
        lines += _flip_flop(name, area, next_state, data)
    about = "\n\n".join(
        textwrap.fill(part, 120, initial_indent="   ", subsequent_indent="   ", break_on_hyphens=False)
        for part in _ABOUT
    ).removeprefix("   ")
    return f"/* {about} */\n{_HEAD}" + "\n".join([*lines, "}", ""])


def main(path: Path = GENERIC) -> None:
    """Write the file."""
    write_atomic(path, library_text(), "generic library")


if __name__ == "__main__":
    without_options(main, __doc__)
