"""Libraries that cannot be used: one sentence that names the place or what is lacking, before Yosys runs."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from hwgen.errors import HwgenError
from hwgen.synth import read_library
from hwgen.synth._characterised import characterised
from hwgen.synth._slim import slimmed
from hwgen.synth._yosys import _cause
from tests.synth.minilib import GATES, flip_flop, gate, mini

USABLE = "must have a flip-flop that a tile can use, which it has not: DFF"
UNTIMED = re.sub(r"      timing \(\) \{.*?\n      \}\n", "", mini(), flags=re.S)


def without(text: str, *names: str) -> str:
    for name in names:
        text = re.sub(rf"  cell \({name}\) \{{\n.*?\n  \}}\n", "", text, flags=re.S)
    return text


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        (
            mini().replace("area : 3;", "area : 3,5;", 1),
            "area : 3,5",
            "mini.lib line {}, cell INVX2: area must be a number, not '3,5'",
        ),
        (
            mini().replace("capacitance : 0.002", "capacitance : O.002", 1),
            "capacitance : O.002",
            "mini.lib line {}, cell INV, pin A: capacitance must be a number, not 'O.002'",
        ),
        (
            mini().replace("0.023500", "nan", 1),
            "nan",
            "mini.lib line {}, cell INV, pin Y, timing, cell_rise: values must be numbers, not 'nan'",
        ),
        (
            mini().replace('"0.023500, 0.097000", ', "", 1),
            'cell_rise (delay) { values ("0',
            "mini.lib line {}, cell INV, pin Y, timing, cell_rise: values must be 2 × 2 numbers, not '2 numbers'",
        ),
        (
            mini().replace('index_2 ("0.001, 0.05")', 'index_2 ("0.05, 0.001")', 1),
            'index_2 ("0.05, 0.001")',
            "mini.lib line {}, lu_table_template delay: index_2 must grow from point to point, not '0.05 0.001'",
        ),
        (
            mini().replace("total_output_net_capacitance", "output_voltage", 1),
            "",
            f"mini.lib {USABLE} has cell_rise over input_net_transition, output_voltage",
        ),
        (
            mini().replace("(delay) { values", "(dealy) { values", 1),
            "dealy",
            "mini.lib line {}, cell INV, pin Y, timing, cell_rise must have a template or indices; 'dealy' "
            "is not defined",
        ),
        (
            mini().replace('related_pin : "A";', "", 1),
            "timing ()",
            "mini.lib line {}, cell INV, pin Y, timing: a delay of pin Y must have a related_pin, not none",
        ),
        (
            mini(GATES + gate("NAND2", 3, "!(A & B)", 0.03, 1.8)),
            "cell (NAND2)",
            "cell NAND2 must be defined once, not twice: mini.lib line {}, cell NAND2 and mini.lib line {}, cell NAND2",
        ),
        (
            mini().replace("direction : output;", "direction : out;", 1),
            "direction : out;",
            "mini.lib line {}, cell INV, pin Y: direction must be one of input, output, inout, internal, not 'out'",
        ),
        (
            mini().replace(" capacitance : 0.002;", "", 1),
            "cell (INV)",
            "mini.lib line {}, cell INV: pin A must have a capacitance, its own or default_input_pin_cap, not none",
        ),
        (mini().replace("nom_voltage : 1.0", "nom_voltage : 0"), "", "mini.lib must be of a voltage above 0, not 0 V"),
        (
            mini().replace("nom_voltage : 1.0;", ""),
            "",
            "mini.lib must give a voltage (nom_voltage, operating_conditions or voltage_map), not none",
        ),
        (
            re.sub(r" capacitance : [\d.]+", " capacitance : 0.0", mini()),
            "",
            "mini.lib must have capacitances above 0 at the inputs of its gates, not all 0",
        ),
        (UNTIMED, "", "mini.lib must have delay tables of its gates (cell_rise and cell_fall), not none"),
        (mini(held=""), "", "mini.lib must have a flip-flop, not only other cells"),
        (mini().replace("    area : 20;\n", ""), "", f"mini.lib {USABLE} has no area above 0"),
        (mini().replace("area : 20;", "area : 20; dont_use : true;"), "", f"mini.lib {USABLE} is marked dont_use"),
        (
            mini(held=flip_flop(pins=["SE", "SI"]).replace('"D"; ', '"(SE & SI) | (!SE & D)"; ')),
            "",
            f"mini.lib {USABLE} takes (SE & SI) | (!SE & D), not one data pin",
        ),
        (mini().replace("ff (IQ, IQN)", "ff_bank (IQ, IQN, 2)"), "", f"mini.lib {USABLE} holds several bits"),
        (
            mini().replace("  nom_process : 1;", "  nom_process 1;"),
            "nom_process 1",
            "mini.lib line {} must be a Liberty statement, not 'nom_process 1;'",
        ),
    ],
)
def test_what_a_library_lacks(text: str, where: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mini.lib"
    path.write_text(text)
    with pytest.raises(HwgenError) as caught:
        slimmed(read_library([path]))
    places = [str(1 + text[: one.start()].count("\n")) for one in re.finditer(re.escape(where), text)] if where else []
    assert str(caught.value) == f"liberty: {message.format(*places)}"


@pytest.mark.parametrize(
    ("gone", "what"),
    [
        (("BUF", "BUFX2"), "a buffer"),
        (("INV", "INVX2"), "an inverter"),
        (("NAND2", "NOR2"), "an AND, NAND, OR or NOR of two inputs"),
    ],
)
def test_gates_that_mapping_needs(gone: tuple[str, ...], what: str, tmp_path: Path) -> None:
    path = tmp_path / "mini.lib"
    path.write_text(without(mini(), *gone))
    with pytest.raises(HwgenError) as caught:
        slimmed(read_library([path]))
    assert str(caught.value) == f"liberty mini: the library must have {what} that may be used, which it has not"


@pytest.mark.parametrize(
    "more",
    [
        "clock_gating_integrated_cell : latch_posedge;",
        "is_level_shifter : true;",
        "bus (B) { bus_type : b4; direction : input; }",
        "dont_use : TRUE;",
        'statetable ("A", "IQ") { table : "L : - : H"; }',
    ],
)
def test_cells_that_are_no_gates_are_left_out(more: str, tmp_path: Path) -> None:
    path = tmp_path / "mini.lib"
    cheap = gate("CHEAP", 0.1, "!(A & B)", 0.001, 0.1).replace("area : 0.1;", f"area : 0.1; {more}")
    path.write_text(mini(GATES + cheap))
    slim = slimmed(read_library([path]))
    assert "CHEAP" not in slim.cells.read_text() + slim.shapes.read_text()
    assert "AOI21" in slim.cells.read_text()


def test_three_states_and_retention_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "mini.lib"
    driver = gate("TBUF", 0.1, "A", 0.001, 0.1).replace("max_cap", 'three_state : "!B"; max_cap')
    keeper = flip_flop("KEEPER").replace("area : 20;", 'area : 1; latch (L, LN) { enable : "SAVE"; data_in : "IQ"; }')
    path.write_text(mini(GATES + driver, flip_flop() + keeper))
    slim = slimmed(read_library([path]))
    assert slim.flip_flops == ("DFF",)
    assert "TBUF" not in slim.cells.read_text()


def test_a_file_that_is_given_twice(tmp_path: Path) -> None:
    path = tmp_path / "mini.lib"
    path.write_text(mini())
    with pytest.raises(HwgenError) as caught:
        read_library([path, tmp_path / "." / "mini.lib"])
    assert str(caught.value) == f"liberty: mini.lib must be given once, not twice ({path.resolve()})"


def test_a_failing_abc_is_reported_by_what_it_said() -> None:
    told = "9. Executing ABC pass\nABC: + read_lib x\nABC: Library with only 2 cell classes cannot be used.\n"
    told += "ABC: Error: Mapping has failed.\nERROR: Can't open ABC output file `/tmp/yosys-abc-1/output.blif'.\n"
    assert _cause(told, 1) == "ABC said: Library with only 2 cell classes cannot be used."
    crashed = 'ERROR: ABC: execution of script "/tmp/a/abc.script" failed: return code 139 (errno=0).\n'
    assert _cause(f"Executing ABC pass\nABC: Segmentation fault\n{crashed}", 1) == "ABC crashed (segmentation fault)"
    gone = "ERROR: Can't open ABC output file `/tmp/yosys-abc-1/output.blif'.\n"
    told = f"Executing ABC pass\nABC: + read_blif input.blif\n{gone}"
    assert _cause(told, 1) == "ABC ended without a result, last it said: + read_blif input.blif"
    assert _cause("ERROR: No such module\n", 1) == "ERROR: No such module"
    assert _cause("", 3) == "exit status 3 without a message"


def test_a_driver_has_delays(tmp_path: Path) -> None:
    """A smaller buffer without any is neither the driver of inputs nor a cell to map to."""
    path = tmp_path / "mini.lib"
    bare = "".join(
        f"  cell ({name}) {{ area : 1; pin (A) {{ direction : input; capacitance : 0.9; }}"
        ' pin (Y) { direction : output; function : "A"; } }\n'
        for name in ("B1", "B2")
    )
    path.write_text(mini(GATES + bare))
    library = read_library([path])
    assert library.buffer.name == "BUFX2"
    assert "B1" not in slimmed(library).shapes.read_text()


@pytest.mark.parametrize("seed", range(30))
def test_damaged_text_is_read_or_refused(seed: int, tmp_path: Path) -> None:
    """Characters and lines lost, changed or doubled: a library, or a sentence about it."""
    draw = random.Random(seed)
    text = mini()
    for _ in range(draw.choice([1, 1, 2, 4])):
        place = draw.randrange(len(text))
        drop, add = draw.choice(
            [(1, ""), (0, draw.choice('{}();:",/*!\n 0a.-')), (1, draw.choice('{}();:",/*!\n 0a.-'))]
        )
        text = text[:place] + add + text[place + drop :]
        lines = text.split("\n")
        line = draw.randrange(len(lines))
        text = "\n".join([*lines[:line], *draw.choice([[], [lines[line]], [lines[line]] * 2]), *lines[line + 1 :]])
    path = tmp_path / "mini.lib"
    path.write_text(text)
    said = complaint(path)
    assert said is None or re.fullmatch(r"liberty.* must .*", said)


def complaint(path: Path) -> str | None:
    try:
        library = read_library([path])
        characterised(library, library.cells)
    except HwgenError as error:
        return str(error)
    return None
