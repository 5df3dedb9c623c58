"""Cells that cannot be used here are left out of a library by name; the others are used as ever."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.synth import SynthOptions, read_library, synthesise
from hwgen.synth._slim import slimmed
from tests.synth.command import command
from tests.synth.minilib import GATES, HEAD, TEMPLATES, flip_flop, gate, mini

THREE = "input_net_transition, total_output_net_capacitance, related_out_total_output_net_capacitance"
DEEP = """  lu_table_template (deep) {
    variable_1 : input_net_transition;
    variable_2 : total_output_net_capacitance;
    variable_3 : related_out_total_output_net_capacitance;
    index_1 ("0.01, 0.2");
    index_2 ("0.001, 0.05");
    index_3 ("0.001, 0.05");
  }
  power_lut_template (deep_energy) {
    variable_1 : input_transition_time;
    variable_2 : total_output_net_capacitance;
    variable_3 : equal_or_opposite_output_net_capacitance;
    index_1 ("0.01, 0.2");
    index_2 ("0.001, 0.05");
    index_3 ("0.001, 0.05");
  }
"""
EIGHT = 'values ("1, 1", "1, 1", "1, 1", "1, 1")'


def deep_delays(cell: str) -> str:
    """A cell whose delays depend on the load of another output too."""
    return re.sub(r"(cell_rise|cell_fall) \(delay\) \{ values \([^)]*\)", rf"\1 (deep) {{ {EIGHT}", cell)


def deep_energies(cell: str) -> str:
    return re.sub(r"(rise_power|fall_power) \(energy\) \{ values \([^)]*\)", rf"\1 (deep_energy) {{ {EIGHT}", cell)


def falling(cell: str) -> str:
    there = cell.replace('clocked_on : "CK"', 'clocked_on : "!CK"').replace("rising_edge", "falling_edge")
    return there.replace("setup_rising", "setup_falling")


def enabled(name: str) -> str:
    return flip_flop(name, pins=["E"]).replace('next_state : "D"', 'next_state : "(D & E) | (IQ & !E)"')


def written(tmp_path: Path, gates: str = GATES, held: str | None = None) -> Path:
    path = tmp_path / "mini.lib"
    path.write_text(mini(gates, held, HEAD + TEMPLATES + DEEP))
    return path


def test_gates_and_flip_flops_with_tables_over_three_axes(tmp_path: Path) -> None:
    gates = GATES + deep_delays(gate("AND3", 1, "A & B & C", 0.01, 0.5))
    path = written(tmp_path, gates, flip_flop() + deep_energies(flip_flop("DFFQN")))
    library = read_library([path])
    assert library.left_out == {
        "AND3": f"has cell_rise over {THREE}",
        "DFFQN": "has rise_power over input_transition_time, total_output_net_capacitance, "
        "equal_or_opposite_output_net_capacitance",
    }
    made = slimmed(library)
    assert made.flip_flops == ("DFF",)
    text = made.cells.read_text()
    assert "cell (NAND2)" in text
    assert "AND3" not in text
    assert "DFFQN" not in text
    result = synthesise(family("int")(m=1, n=1, k=2), library, options=SynthOptions(recipes=["plain"]))
    used = {name for block in result.blocks for name in block.mapped.cell_types}
    assert "DFF" in used
    assert not used & {"AND3", "DFFQN"}


def test_a_flip_flop_at_the_falling_edge_is_not_taken_with_an_inverted_clock(tmp_path: Path) -> None:
    plain = slimmed(read_library([written(tmp_path, held=flip_flop() + falling(flip_flop("DFFN")))]))
    assert (plain.flip_flops, plain.left_out) == (("DFF",), ())
    library = read_library([written(tmp_path, held=flip_flop() + falling(enabled("EDFFN")))])
    assert library.left_out == {}
    made = slimmed(library)
    assert (made.flip_flops, made.left_out) == (("DFF",), ("EDFFN",))
    assert "EDFFN" not in made.shapes.read_text()
    assert slimmed(read_library([written(tmp_path, held=flip_flop() + enabled("EDFF"))])).flip_flops == ("DFF", "EDFF")


@pytest.mark.parametrize(
    ("gates", "held", "message"),
    [
        (
            GATES,
            falling(flip_flop("DFFN")),
            "must have a flip-flop that a tile can use, which it has not: DFFN takes data at the falling edge",
        ),
        (
            GATES,
            deep_delays(flip_flop()),
            f"must have a flip-flop that a tile can use, which it has not: DFF has cell_rise over {THREE}",
        ),
        (
            deep_delays(GATES),
            flip_flop(),
            f"must have gates whose tables are over slew and load, not none: INV has cell_rise over {THREE}",
        ),
    ],
)
def test_where_nothing_is_left(gates: str, held: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(HwgenError) as caught:
        read_library([written(tmp_path, gates, held)])
    assert str(caught.value) == f"liberty: mini.lib {message}"


def test_commands_say_what_is_left_out(tmp_path: Path) -> None:
    gates = GATES + "".join(deep_delays(gate(f"AND3X{size}", size, "A & B & C", 0.01, 0.5)) for size in (1, 2, 3))
    path = written(tmp_path, gates, flip_flop() + falling(enabled("EDFFN")))
    words = ["--pe", "int", "--m", "1", "--n", "1", "--k", "2", "--recipe", "plain", "--no-sta", "--liberty"]
    shown = command(*words, str(path))
    said = "; ".join(f"AND3X{size} has cell_rise over {THREE}" for size in (1, 2, 3))
    assert f"cells of mini that are left out: {said}; 1 more\n" in shown.stderr
