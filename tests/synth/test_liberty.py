"""Liberty files: the generic library, and what a file that is none is told."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.synth._characterised import characterised
from hwgen.synth.liberty import GENERIC, generic_library, read_library
from reports.generic_library import library_text

CELLS = """
library (tiny) {
  time_unit : "1ps";
  capacitive_load_unit (1, ff);
  nom_voltage : 0.7; nom_temperature : 25;
  cell (INV) {
    area : 2;
    pin (A) { direction : input; capacitance : 0.5; }
    pin (Y) { direction : output; function : "!A"; }
  }
  cell (FF) {
    area : 9;
    ff (IQ, IQN) { clocked_on : "C"; next_state : "D"; }
    pin (C) { direction : input; clock : true; capacitance : 0.5; }
    pin (D) { direction : input; capacitance : 1.0; timing () { related_pin : "C"; timing_type : setup_rising;
      rise_constraint (scalar) { values ("7.0"); } fall_constraint (scalar) { values ("8.0"); } } }
    pin (Q) { direction : output; function : "IQ"; timing () { related_pin : "C"; timing_type : rising_edge;
      cell_rise (t) { index_1 ("1, 10"); index_2 ("2, 6"); values ("10, 20", "30, 50"); }
      cell_fall (t) { index_1 ("1, 10"); index_2 ("2, 6"); values ("11, 21", "29, 45"); } } }
  }
}
"""


def write(folder: Path, text: str, name: str = "cells.lib") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_units_capacitances_and_flip_flop_times(tmp_path: Path) -> None:
    library = read_library([write(tmp_path, CELLS)])
    assert (library.name, library.voltage_v, library.temperature_c, library.area_unit) == ("tiny", 0.7, 25.0, "um2")
    assert library.cells["INV"].input_pf == {"A": pytest.approx(0.0005)}
    assert library.buffer.name == "INV"
    assert library.load_pf == pytest.approx(0.002)
    # Second slew, loaded with four data inputs (4 fF): halfway between 30 and 50 ps.
    flip_flop = library.cells["FF"].flip_flop
    assert flip_flop is not None
    assert flip_flop.clk_to_q_ns == pytest.approx(0.040)
    assert flip_flop.setup_ns == pytest.approx(0.008)


def test_gzip_and_several_files(tmp_path: Path) -> None:
    packed = tmp_path / "cells.lib.gz"
    packed.write_bytes(gzip.compress(CELLS.encode()))
    more = CELLS.replace("(tiny)", "(tinier)").replace("(INV)", "(INV2)").replace("(FF)", "(FF2)")
    library = read_library([packed, write(tmp_path, more, "more.lib")])
    assert set(library.cells) == {"INV", "FF", "INV2", "FF2"}
    assert library.name == "tin"


def test_the_generic_library() -> None:
    library = generic_library()
    assert library.area_unit == "GE"
    assert library.cells["NAND2_X1"].area == 1.0
    assert library.buffer.name.startswith("BUF")
    assert {name for name, cell in library.cells.items() if cell.flip_flop} == {"DFF_X1", "DFFE_X1"}


def test_the_generic_library_is_what_its_rules_give() -> None:
    assert GENERIC.read_text(encoding="utf-8") == library_text()


def test_energies_of_the_generic_library_are_those_of_its_rules() -> None:
    cells = characterised(generic_library(), ["INV_X2", "DFF_X1", "NAND2_X1"])
    here = (np.array([0.02]), np.array([0.004]))
    (arc,) = cells["INV_X2"].arcs["Y"]
    (energy,) = arc.energies
    # One inverter input (2 fF at drive 2) at 1 V.
    assert energy.rise.at(*here) == energy.fall.at(*here) == pytest.approx(0.001)
    (clock,) = cells["DFF_X1"].hidden["CK"]
    assert clock.rise.at(*here) + clock.fall.at(*here) == pytest.approx(0.007)
    assert cells["NAND2_X1"].leakage_nw == 68.0
    assert cells["DFF_X1"].leakage_nw == pytest.approx(5.33 * 68, abs=0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a Liberty file, not an empty one"),
        ("module x; endmodule\n", "must be a Liberty file with one complete library group, which it is not"),
        (CELLS[: CELLS.index("cell (FF)")], "must be a Liberty file with one complete library group, which it is not"),
        ("library (none) {\n  nom_voltage : 1;\n}\n", "cells.lib must have cells, not none"),
        (
            CELLS.replace("next_state", "other_state"),
            "cells.lib must have a flip-flop that a tile can use, which it has not: FF has no next_state",
        ),
        (CELLS.replace('function : "!A"', 'other : "!A"'), "cells.lib must have gates, not only flip-flops"),
        (CELLS.replace('"1ps"', '"1 fortnight"'), "must give its time_unit in fs, ps, ns or us, not '1 fortnight'"),
        (CELLS.replace("(1, ff)", "(1, kg)"), "must give its capacitive_load_unit in ff, pf or nf, not '1 kg'"),
    ],
)
def test_files_that_are_no_library(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        read_library([write(tmp_path, text)])
    assert str(caught.value).startswith("liberty: ")
    assert str(caught.value).endswith(message)


def test_a_missing_file_and_two_corners(tmp_path: Path) -> None:
    with pytest.raises(HwgenError) as caught:
        read_library([tmp_path / "none.lib"])
    assert str(caught.value).endswith("must be a readable Liberty file, plain or gzip (No such file or directory)")
    other = write(
        tmp_path, CELLS.replace("0.7", "0.8").replace("(INV)", "(INV2)").replace("(FF)", "(FF2)"), "other.lib"
    )
    with pytest.raises(HwgenError, match=r"must be of one corner, not 0\.7 V 25 °C, 0\.8 V 25 °C$"):
        read_library([write(tmp_path, CELLS), other])
