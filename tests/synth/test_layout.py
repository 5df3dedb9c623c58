"""Files for users who go to layout: constraints, and a design folder for OpenROAD-flow-scripts."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from hwgen.emit import emit, sdc
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.synth import generic_library
from hwgen.synth._layout import layout_files, platform
from tests.synth.command import command
from tests.synth.minilib import in_other_units, mini

SPEC = family("int")(m=1, n=1, k=1, bits=2)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("sky130_fd_sc_hd__tt_025C_1v80", ("sky130hd", "ns")),
        ("asap7sc7p5t", ("asap7", "ps")),
        ("asap7sc7p5t_SIMPLE_RVT_TT_nldm_211120", ("asap7", "ps")),
        ("NangateOpenCellLibrary", ("nangate45", "ns")),
        ("hwgen_generic", None),
    ],
)
def test_platforms_by_name(name: str, found: tuple[str, str] | None) -> None:
    assert platform(dataclasses.replace(generic_library(), name=name)) == found


def test_a_design_folder_for_a_known_platform(tmp_path: Path) -> None:
    library = dataclasses.replace(generic_library(), name="asap7sc7p5t")
    files = layout_files(SPEC, library, 0.45)
    assert list(files) == ["config.mk", "constraint.sdc", "int_tile.v"]
    assert files["int_tile.v"] == emit(SPEC).verilog
    # The flow's first asap7 library is in ps.
    assert "create_clock -name clk -period 450 [get_ports clk]" in files["constraint.sdc"]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    # As make reads it, from another folder.
    show = "include $(DESIGN_CONFIG)\nall: ; @echo '$(PLATFORM)|$(DESIGN_NAME)|$(VERILOG_FILES)|$(SDC_FILE)'\n"
    done = subprocess.run(
        ["make", "-s", "-f", "-", f"DESIGN_CONFIG={tmp_path / 'config.mk'}"],
        input=show,
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert done.stdout == f"asap7|int_tile|{tmp_path}/int_tile.v|{tmp_path}/constraint.sdc\n"
    assert done.stderr == ""


def test_an_unknown_library_leaves_the_platform_to_the_user() -> None:
    config = layout_files(SPEC, generic_library(), 1.0)["config.mk"]
    assert "# No platform of the flow is known for the library hwgen_generic: name one here" in config
    assert "\nexport PLATFORM" not in config


def test_times_in_ps() -> None:
    text = sdc(SPEC, "int_tile", 0.5, time_unit="ps")
    assert text.startswith("# Timing constraints of int_tile; times in ps, which the reading tool's unit must be.\n")
    assert "-period 500 " in text
    assert "set_input_delay -clock clk 100 " in text


@pytest.mark.parametrize(
    ("unit_ns", "unit", "period"), [(1.0, "ns", "0.5"), (1e-3, "ps", "500"), (1e-2, "10ps", "50"), (0.1, "100ps", "5")]
)
def test_constraints_in_the_unit_of_the_library(unit_ns: float, unit: str, period: str) -> None:
    library = dataclasses.replace(generic_library(), time_unit_ns=unit_ns)
    assert library.time_unit == unit
    written = layout_files(SPEC, library, 0.5)
    assert f"create_clock -name clk -period {period} [get_ports clk]" in written["constraint.sdc"]
    assert f"(it is in {unit}, this one's)" in written["config.mk"]


@pytest.mark.parametrize("unit", ["minutes", "", "ms", "ps10"])
def test_a_unit_that_is_none(unit: str) -> None:
    with pytest.raises(HwgenError) as caught:
        sdc(SPEC, "int_tile", 0.5, time_unit=unit)
    assert str(caught.value) == f"int: time_unit must be fs, ps, ns or us, with a number or without, not {unit!r}"


def test_the_command_writes_them_in_picoseconds(tmp_path: Path) -> None:
    path = tmp_path / "ps.lib"
    path.write_text(in_other_units(mini()))
    done = command(
        *("int", "--m", "1", "--n", "1", "--k", "1", "--bits", "2", "--recipe", "plain", "--no-sta", "--block", "cell"),
        *("--liberty", str(path), "--clk-period-ns", "0.5", "--sdc", str(tmp_path / "tile.sdc")),
    )
    assert done.returncode == 0, done.stderr
    assert "create_clock -name clk -period 500 [get_ports clk]" in (tmp_path / "tile.sdc").read_text()


def test_the_command_writes_them(tmp_path: Path) -> None:
    paths = {name: str(tmp_path / name) for name in ("netlist.v", "tile.sdc", "flow")}
    done = command(
        *("int", "--m", "1", "--n", "1", "--k", "1", "--bits", "2", "--recipe", "plain", "--no-sta"),
        *("--clk-period-ns", "1.5", "--netlist", paths["netlist.v"], "--sdc", paths["tile.sdc"]),
        *("--orfs", paths["flow"]),
    )
    assert done.returncode == 0, done.stderr
    assert "module int_tile(" in (tmp_path / "netlist.v").read_text()
    assert (tmp_path / "tile.sdc").read_text() == sdc(SPEC, "int_tile", 1.5)
    assert sorted(path.name for path in (tmp_path / "flow").iterdir()) == ["config.mk", "constraint.sdc", "int_tile.v"]
    lost = command("int", "--m", "1", "--n", "1", "--k", "1", "--recipe", "plain", "--orfs", "/nowhere/flow")
    assert lost.returncode == 2
    assert lost.stderr == "hwgen: synth: --orfs: cannot write '/nowhere/flow': No such file or directory\n"
