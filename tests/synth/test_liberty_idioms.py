"""Idioms of libraries that processes come with, in small: how their files say what ours say otherwise."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.synth import Library, read_library
from hwgen.synth._characterised import characterised
from hwgen.synth._slim import slimmed
from tests.synth.minilib import GATES, HEAD, TEMPLATES, flip_flop, mini

_OSU = (
    TEMPLATES.replace("variable_1 : input_net_transition", "variable_1 : X")
    .replace("variable_2 : total_output_net_capacitance", "variable_2 : input_net_transition")
    .replace("variable_1 : X", "variable_1 : total_output_net_capacitance")
    .replace("0.01, 0.2", "0.001, 0.05", 1)
    .replace('index_2 ("0.001, 0.05")', 'index_2 ("0.01, 0.2")', 1)
)
"""Load first, as in the OSU libraries (gscl45nm)."""


def in_osu_style() -> str:
    """Units without quotes, a number in front, load as the first axis."""
    head = HEAD.replace('"1ns"', "1.0ns").replace('"1V"', "1V").replace('"1nW"', "1nW").replace("(1, pf)", "(1.0, pf)")
    number = r"([\d.]+)"
    found = rf'\(delay\) {{ values \("{number}, {number}", "{number}, {number}"\)'
    return re.sub(found, r'(delay) { values ("\1, \3", "\2, \4")', mini(head=head + _OSU))


def in_sky130_style() -> str:
    """Quoted names everywhere, indices at every table, capacitances of edges beside the mean."""
    text = re.sub(r"(cell|pin|lu_table_template|power_lut_template) \((\w+)\)", r'\1 ("\2")', mini())
    text = re.sub(r"variable_(\d) : (\w+);", r'variable_\1 : "\2";', text)
    text = text.replace("(delay)", '("delay")').replace("(1, pf)", '(1.0000000000, "pf")')
    indices = r'\1index_1 ("0.01, 0.2"); index_2 ("0.001, 0.05"); values'
    text = re.sub(r'(\("delay"\) \{ )values', indices, text)
    edges = r"capacitance : \1; rise_capacitance : \1; fall_capacitance : \1;"
    return re.sub(r"[^_]capacitance : ([\d.]+);", rf" {edges}", text)


def in_ihp_style() -> str:
    """Two outputs and a reset at every flip-flop, conditions with the reset, inversion by an apostrophe."""
    held = flip_flop(
        more='clear : "RESET_B\'";',
        pins=["RESET_B"],
        outputs='    pin (Q_N) { direction : output; function : "IQN"; }\n',
    )
    text = mini(GATES.replace('"!A"', '"A\'"'), held)
    return text.replace("nom_voltage : 1.0;", "nom_voltage : 1.0; voltage_map (VDD, 1.0); voltage_map (VSS, 0);")


def in_gf180_style() -> str:
    """Backslashes at the ends of lines, one statement over several, comments between sections."""
    text = re.sub(r'values \("([^"]*)", "([^"]*)"\)', r'values ( \\\n "\1", \\\n "\2" \\\n )', mini())
    text = text.replace("  cell (", "  /* ---- */\n  cell (").replace(
        "capacitive_load_unit (1, pf);", "capacitive_load_unit(1,pf);"
    )
    return text.replace("default_", "default_").replace("area : ", "area : \\\n ")


def in_nangate_style() -> str:
    """Banner of stars, a leakage for each state, conditions that name both outputs."""
    clock = 'internal_power () { when : "!D & !Q & QN"; power (scalar) { values (0.001); } }'
    held = flip_flop(clock=clock, outputs='    pin (QN) { direction : output; function : "IQN"; }\n')
    leaks = 'leakage_power () { when : "!A"; value : 1; } leakage_power () { when : "A"; value : 3; } area'
    banner = '/* \n* ******* \n* All "rights" // reserved { */\n'
    return banner + mini(GATES.replace("area", leaks), held)


STYLES = {
    "osu": in_osu_style,
    "sky130": in_sky130_style,
    "ihp": in_ihp_style,
    "gf180": in_gf180_style,
    "nangate": in_nangate_style,
}


def read(folder: Path, text: str) -> Library:
    path = folder / "cells.lib"
    path.write_text(text)
    return read_library([path])


@pytest.mark.parametrize("style", STYLES)
def test_a_style_gives_the_same_numbers(style: str, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    plain, library = read(tmp_path / "plain", mini()), read(tmp_path, STYLES[style]())
    assert list(library.cells) == list(plain.cells)
    here = (np.array(0.15), np.array(0.03))
    for name in plain.cells:
        one, there = characterised(library, [name])[name], characterised(plain, [name])[name]
        assert {pin: one.input_pf[pin] for pin in there.input_pf} == pytest.approx(there.input_pf)
        for pin, arcs in there.arcs.items():
            for arc, there_arc in zip(one.arcs[pin], arcs, strict=True):
                for table, there_table in zip(arc.delays + arc.slews, there_arc.delays + there_arc.slews, strict=True):
                    assert table.at(*here) == pytest.approx(there_table.at(*here))
    held, there_held = library.cells["DFF"].flip_flop, plain.cells["DFF"].flip_flop
    assert held is not None
    assert there_held is not None
    assert (held.clk_to_q_ns, held.setup_ns) == pytest.approx((there_held.clk_to_q_ns, there_held.setup_ns))
    assert slimmed(library).flip_flops == ("DFF",)


def test_axes_by_their_variables_matter(tmp_path: Path) -> None:
    """Read in a fixed order, the flip-flop of a library with load first is three times as slow as it is."""
    library = read(tmp_path, in_osu_style())
    held = library.cells["DFF"].flip_flop
    assert held is not None
    # 0.1 + 0.2 * 0.2 + 2 * 0.008: second slew, four data inputs.
    assert held.clk_to_q_ns == pytest.approx(0.156)
    assert held.setup_ns == pytest.approx(0.08)


@pytest.mark.parametrize(
    "statement",
    [
        "active_input_ccb(INV:d, \\\n   INV:d);",
        "input_ccb(INV:a) { is_needed : true ; miller_cap_rise : 1e-05 ; }",
        "power_down_function : !a+b ;",
        "input_signal_level : baz[0] ;",
        "define_cell_area(bond_pads,pad_slots)\n input_voltage(cmos) { vil : 0.3 * VDD ; vimax : VDD + 0.5 ; }",
        'date : "Thu, 1 Jan 2026 10:20:30 // not a comment /* nor this";',
        "type (bus2) { base_type : array; bit_width : 2; downto : true; };",
        "technology (cmos) ;",
        'table : "L L : - : L , \\\n H - : - : N" ;',
        "driver_waveform_rise : preDrv:0 ;",
        'voltage_map ("VBB", -0.1);',
        "user_note : a\\;b ;",
    ],
)
def test_statements_that_nobody_reads(statement: str, tmp_path: Path) -> None:
    """As the tests of Yosys and OpenSTA have them, in the library and in a pin."""
    (tmp_path / "plain").mkdir()
    plain = read(tmp_path / "plain", mini())
    text = mini().replace("  nom_process : 1;", f"  {statement}\n  nom_process : 1;")
    text = text.replace("direction : output;", f"{statement}\n direction : output;", 1)
    assert read(tmp_path, text).cells == plain.cells


YOSYS_EXAMPLE = """library(demo) {
  cell(BUF) { area: 6; pin(A) { direction: input; } pin(Y) { direction: output; function: "A"; } }
  cell(NOT) { area: 3; pin(A) { direction: input; } pin(Y) { direction: output; function: "A'"; } }
  cell(NAND) { area: 4; pin(A) { direction: input; } pin(B) { direction: input; }
    pin(Y) { direction: output; function: "(A*B)'"; } }
  cell(DFF) { area: 18; ff(IQ, IQN) { clocked_on: C; next_state: D; }
    pin(C) { direction: input; clock: true; } pin(D) { direction: input; }
    pin(Q) { direction: output; function: "IQ"; } }
}
"""
"""The kind of library that Yosys comes with: shapes only."""


def test_a_library_of_shapes_is_refused_for_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(HwgenError) as caught:
        read(tmp_path, YOSYS_EXAMPLE)
    assert str(caught.value) == (
        "liberty: cells.lib must have delay tables of its gates (cell_rise and cell_fall), not none"
    )


def test_flip_flops_alone_are_refused(tmp_path: Path) -> None:
    """As the libraries of Yosys' programmable devices."""
    held = flip_flop().replace("    area : 20;\n", "    area : 1;\n")
    with pytest.raises(HwgenError) as caught:
        read(tmp_path, mini("", held))
    assert str(caught.value) == "liberty: cells.lib must have gates, not only flip-flops"
