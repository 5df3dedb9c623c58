"""One library said in other ways: comments, units, defaults, orders, lists; each must give the same library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.synth import Library, read_library
from hwgen.synth._characterised import Table, characterised
from hwgen.synth._slim import slimmed
from tests.synth.minilib import in_other_units, mini, said_otherwise


def written(folder: Path, text: str, name: str = "mini.lib") -> Library:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return read_library([path])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return written(tmp_path_factory.mktemp("plain"), mini())


def assert_same_tables(one: Table, other: Table) -> None:
    slew, load = np.meshgrid([0.0, 0.01, 0.1, 0.2], [0.0, 0.001, 0.02, 0.05])
    assert one.at(slew, load) == pytest.approx(other.at(slew, load), rel=1e-9)


def assert_same(one: Library, other: Library) -> None:
    """What timing, power and mapping read of two libraries is the same."""
    assert (one.voltage_v, one.temperature_c) == (pytest.approx(other.voltage_v), other.temperature_c)
    assert list(one.cells) == list(other.cells)
    for name, cell in one.cells.items():
        there = other.cells[name]
        assert (cell.area, cell.functions, cell.usable) == (there.area, there.functions, there.usable)
        assert cell.input_pf == pytest.approx(there.input_pf, rel=1e-9)
        if cell.flip_flop is not None:
            assert there.flip_flop is not None
            assert cell.flip_flop.clk_to_q_ns == pytest.approx(there.flip_flop.clk_to_q_ns, rel=1e-9)
            assert cell.flip_flop.setup_ns == pytest.approx(there.flip_flop.setup_ns, rel=1e-9)
    mine, theirs = characterised(one, list(one.cells)), characterised(other, list(other.cells))
    for name, powered in mine.items():
        assert powered.leakage_nw == pytest.approx(theirs[name].leakage_nw)
        assert powered.input_pf == pytest.approx(theirs[name].input_pf, rel=1e-9)
        for pin, arcs in powered.arcs.items():
            assert [arc.source for arc in arcs] == [arc.source for arc in theirs[name].arcs[pin]]
            for arc, there_arc in zip(arcs, theirs[name].arcs[pin], strict=True):
                # Several that name no input are averaged.
                for energy in arc.energies:
                    assert_same_tables(energy.rise, there_arc.energies[0].rise)
                    assert_same_tables(energy.fall, there_arc.energies[0].fall)
                for tables, there_tables in ((arc.delays, there_arc.delays), (arc.slews, there_arc.slews)):
                    for table, there_table in zip(tables, there_tables, strict=True):
                        assert_same_tables(table, there_table)


@pytest.mark.parametrize("seed", range(40))
def test_other_words(seed: int, plain: Library, tmp_path: Path) -> None:
    text = said_otherwise(mini(), seed)
    assert text != mini()
    assert_same(written(tmp_path, text), plain)


@pytest.mark.parametrize("seed", range(4))
def test_what_mapping_reads_is_the_same_library(seed: int, plain: Library, tmp_path: Path) -> None:
    slim = slimmed(written(tmp_path, said_otherwise(mini(), seed)))
    assert slim.flip_flops == ("DFF",)
    gates = [name for name, cell in plain.cells.items() if cell.flip_flop is None]
    again = read_library([slim.cells, _flip_flop_of(slim.shapes, tmp_path)])
    for name in gates:
        assert again.cells[name].input_pf == pytest.approx(plain.cells[name].input_pf, rel=1e-9)
        (arc, *_), (there, *_) = (characterised(library, [name])[name].arcs["Y"] for library in (again, plain))
        for table, there_table in zip(arc.delays + arc.slews, there.delays + there.slews, strict=True):
            assert_same_tables(table, there_table)


def _flip_flop_of(shapes: Path, folder: Path) -> Path:
    """A file with one more flip-flop, as that of the cut-down library has no times."""
    path = folder / "held.lib"
    text = shapes.read_text()
    head, held = text[: text.index("  cell (")], text[text.index("  cell (DFF)") :]
    path.write_text(head + held.replace("(DFF)", "(DFF2)"))
    return path


def test_files_of_other_units(tmp_path: Path) -> None:
    """The same gates in nanoseconds and in picoseconds, as one library: ABC is given one unit."""
    two = written(tmp_path, in_other_units(mini()).replace("cell (", "cell (P_"), "two.lib")
    one = tmp_path / "one.lib"
    one.write_text(mini())
    both = read_library([one, two.files[0]])
    read_again = read_library([slimmed(both).cells])
    for name in ("INV", "NAND2", "AOI21"):
        assert both.cells[f"P_{name}"].input_pf == pytest.approx(both.cells[name].input_pf)
        (arc, *_), (there, *_) = (characterised(read_again, [cell])[cell].arcs["Y"] for cell in (f"P_{name}", name))
        for table, there_table in zip(arc.delays + arc.slews, there.delays + there.slews, strict=True):
            assert_same_tables(table, there_table)


def test_include_file(tmp_path: Path, plain: Library) -> None:
    text = mini()
    begin, end = text.index("  cell (NAND2)"), text.index("  cell (NOR2)")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "nand.inc").write_text(text[begin:end])
    library = written(tmp_path, text[:begin] + "  include_file (parts/nand.inc);\n" + text[end:])
    assert_same(library, plain)
    whole = library.sha256
    (tmp_path / "parts" / "nand.inc").write_text(text[begin:end].replace("area : 3", "area : 5"))
    changed = read_library(library.files)
    assert (changed.cells["NAND2"].area, changed.sha256 != whole) == (5.0, True)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("include_file (none.inc);", "mini.lib line 2: include_file must name a file, not 'none.inc'"),
        ('include_file ("mini.lib");', "mini.lib line 2: include_file must not include mini.lib in itself"),
    ],
)
def test_include_file_that_cannot_be(statement: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(HwgenError) as caught:
        written(tmp_path, mini().replace("  delay_model : table_lookup;", f"  {statement}"))
    assert str(caught.value) == f"liberty: {message}"


@pytest.mark.parametrize("named", ["INV-X1", "INV.1", "INV/1", "A[0]"])
def test_escaped_names(named: str, tmp_path: Path) -> None:
    escaped = named.replace("[", r"\[").replace("]", r"\]")
    library = written(tmp_path, mini().replace("cell (INV)", f'cell ("{escaped}")'))
    assert named in library.cells
    assert named in slimmed(library).cells.read_text()
    assert characterised(library, [named])[named].name == named


def test_leakage_by_area_and_units_after_the_cells(tmp_path: Path) -> None:
    text = mini().replace("    cell_leakage_power : 0.300;\n", "")
    library = written(tmp_path, text.replace("nom_process : 1;", "default_leakage_power_density : 0.5;"))
    assert characterised(library, ["NAND2", "NOR2"])["NAND2"].leakage_nw == pytest.approx(0.5 * 3)
    later = text.replace('leakage_power_unit : "1nW";', "")[:-2] + 'leakage_power_unit : "1uW";\n}\n'
    cells = characterised(written(tmp_path, later, "later.lib"), ["INV"])
    assert cells["INV"].leakage_nw == pytest.approx(200.0)
