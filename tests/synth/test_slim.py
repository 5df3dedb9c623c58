"""The cut-down library: smaller, and the same to ABC as the whole one."""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyosys
import pytest

from hwgen.pe import family
from hwgen.synth import SynthOptions, _slim, generic_library, read_library, synthesise
from hwgen.synth._slim import slimmed
from hwgen.synth._yosys import finished

POWER = """
    pg_pin (VDD) { pg_type : primary_power; voltage_name : "VDD"; }
    leakage_power () { when : "A"; value : 3; }
    leakage_power () { value : 2; }
"""
INTERNAL = 'internal_power () { related_pin : "A"; rise_power (t) { values ("1, 2", "3, 4"); } }'


def gate(name: str, function: str, more: str = "", delay: str = "1, 2", area: float = 2.0) -> str:
    pins = sorted(set(re.findall("[AB]", function)))
    inputs = "".join(f"    pin ({pin}) {{ direction : input; capacitance : 0.5; {INTERNAL} }}\n" for pin in pins)
    table = f'(t) {{ values ("{delay}", "5, 9"); }}'
    tables = " ".join(f"{kind} {table}" for kind in ("cell_rise", "cell_fall", "rise_transition", "fall_transition"))
    arcs = "".join(f'      timing () {{ related_pin : "{pin}"; {tables} }}\n' for pin in pins)
    output = (
        f'    pin (Y) {{ direction : output; max_capacitance : 40; function : "{function}"; {INTERNAL}\n{arcs}    }}\n'
    )
    return f"  cell ({name}) {{\n    area : {area};{more}{POWER}{inputs}{output}  }}\n"


FLIP_FLOP = """
  cell (FF) {
    area : 9;
    ff ("IQ","IQN") { clocked_on : "C"; next_state : "D"; }
    pin (C) { direction : input; clock : true; capacitance : 0.5; }
    pin (D) { direction : input; capacitance : 1.0; timing () { related_pin : "C"; timing_type : setup_rising;
      rise_constraint (scalar) { values ("7.0"); } fall_constraint (scalar) { values ("8.0"); } } }
    pin (Q) { direction : output; function : "IQ"; }
  }
"""


def library(name: str, axis: str, cells: str, unit: str = "1ps") -> str:
    return f"""
library ({name}) {{
  delay_model : table_lookup;
  time_unit : "{unit}";
  capacitive_load_unit (1, "ff");
  voltage_map (VDD, 0.7);
  default_max_transition : 320;
  nom_voltage : 0.7; nom_temperature : 25;
  lu_table_template (t) {{
    variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("1, 10"); index_2 ("{axis}");
  }}
{cells}}}
"""


def abc_dump(files: list[Path], folder: Path, left_out: str = "") -> list[str]:
    """What ABC has of a library after it read the files, without power, as lines."""
    dump = folder / "dump.lib"
    first, *rest = files
    commands = [f"read_lib {left_out} {first}", *(f"read_lib -m {path}" for path in rest), f"write_lib {dump}"]
    program = Path(pyosys.__file__).with_name("yosys-abc")
    done = subprocess.run([program, "-c", "; ".join(commands)], capture_output=True, text=True, check=True)
    assert dump.exists(), done.stdout
    return [line for line in dump.read_text().splitlines() if not line.startswith(("/*", "library"))]


def test_abc_sees_the_same_cells(tmp_path: Path) -> None:
    one, two = tmp_path / "one.lib", tmp_path / "two.lib"
    gates = gate("INV", "!A") + gate("BUF", "A") + gate("BUF2", "A", delay="1, 1.5")
    gates += gate("OLD", "(A * B)", more=" dont_use : true;") + gate("a__probe_1", "A") + gate("FILL", "1", area=0.0)
    one.write_text(library("one", "1, 30", gates + FLIP_FLOP))
    # The same name for a table with other axes.
    two.write_text(library("one_two", "2, 50", gate("NAND", "!(A B)") + gate("OR", "A + B", delay="3, 7")))
    whole = read_library([one, two])
    slim = slimmed(whole)
    text = slim.cells.read_text()
    assert re.findall(r"^  cell \((\w+)\)", text, re.M) == ["INV", "BUF", "BUF2", "FF", "NAND", "OR"]
    assert "internal_power" not in text
    assert "when" not in text
    assert "timing" not in text[text.index("cell (FF)") : text.index("cell (NAND)")]
    assert len(text) < 0.7 * len(one.read_text() + two.read_text())
    dumped = abc_dump([slim.cells], tmp_path)
    assert sum(line.lstrip().startswith("cell(") for line in dumped) == 5
    left_out = "-X OLD -X a__probe_1 -X FILL"
    full = abc_dump([one, two], tmp_path, left_out)
    powerless = re.compile(r"internal_power|rise_power|fall_power")
    assert not any(powerless.search(line) for line in dumped)
    # ABC dumps an empty pair of power tables in front of each pin that has any.
    assert delays(full) == delays(dumped)
    read_again = read_library([slim.cells])
    for name, cell in read_again.cells.items():
        assert (cell.area, cell.input_pf, cell.functions) == (
            whole.cells[name].area,
            whole.cells[name].input_pf,
            whole.cells[name].functions,
        )


def delays(dumped: list[str]) -> list[str]:
    """A dump without its power tables."""
    kept, depth = [], 0
    for line in dumped:
        if depth or ("_power" in line and "{" in line):
            depth += line.count("{") - line.count("}")
        else:
            kept.append(line)
    return kept


def test_shapes_have_no_delays(tmp_path: Path) -> None:
    path = tmp_path / "one.lib"
    path.write_text(library("one", "1, 30", gate("INV", "!A") + gate("BUF", "A") + gate("OR", "A + B") + FLIP_FLOP))
    text = slimmed(read_library([path])).shapes.read_text()
    assert "ff (IQ, IQN) {\n      clocked_on : C;\n      next_state : D;" in text
    assert "values" not in text


def test_files_of_two_units_are_one_library_of_the_first_ones(tmp_path: Path) -> None:
    one, two, three = tmp_path / "one.lib", tmp_path / "two.lib", tmp_path / "three.lib"
    gates = gate("INV", "!A") + gate("BUF", "A")
    one.write_text(library("one", "1, 30", gates + FLIP_FLOP))
    # The same numbers are times ten times as long.
    two.write_text(library("two", "1, 30", gate("NAND", "!(A B)"), unit="10ps"))
    long = gate("NAND", "!(A B)", delay="10, 20").replace('"5, 9"', '"50, 90"')
    three.write_text(library("two", "1, 30", long).replace('index_1 ("1, 10")', 'index_1 ("10, 100")'))
    dumps = [abc_dump([slimmed(read_library([one, more])).cells], tmp_path) for more in (two, three)]
    assert [line for line in dumps[0] if "max_transition" not in line] == [
        line for line in dumps[1] if "max_transition" not in line
    ]
    assert sum('values ("10' in line or "10.0" in line for line in dumps[0]) > 0


def test_the_copy_that_abc_reads_is_whole_before_anything_is_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path / "cache"))
    made: list[str] = []

    def counted(*given: Any, **more: Any) -> Any:
        made.append(given[1])
        return finished(*given, **more)

    monkeypatch.setattr(_slim, "finished", counted)
    with ThreadPoolExecutor(4) as pool:
        folders = {slim.folder for slim in pool.map(slimmed, [generic_library()] * 4)}
    assert len(made) == 1, "one of several that ask at once makes it"
    (folder,) = folders

    def copies() -> dict[str, tuple[int, bytes]]:
        return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.glob("*.scl")}

    before = copies()
    assert len(before) == 1
    spec = family("int").from_values({"m": 1, "n": 1, "k": 1, "group": 1, "bits": 2})
    synthesise(spec, generic_library(), options=SynthOptions(recipes=("plain",)))
    assert copies() == before, "mappings read it and write none"
