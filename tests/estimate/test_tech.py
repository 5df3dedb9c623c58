from __future__ import annotations

from pathlib import Path

import pytest

from hwgen.errors import HwgenError
from hwgen.frame.primitives import PRIMITIVES
from sim.tech import PrimitiveTech, load, names, published

TABLES = ("horowitz45", "tpuv4i7")


def test_the_tables() -> None:
    assert names() == ("asap7", "generic45", "horowitz45", "sky130hd", "tpuv4i7")


@pytest.mark.parametrize("name", TABLES)
def test_every_primitive_has_an_area_and_an_energy(name: str) -> None:
    tech = published(name)
    for primitive in PRIMITIVES:
        assert tech.area_ge(primitive) > 0
        assert tech.energy_pj(primitive) > 0
    assert {entry.unit for entry in tech.area.values()} == {"GE"}
    assert {entry.unit for entry in tech.energy.values()} == {"pJ"}


@pytest.mark.parametrize(("name", "add", "mul", "bit"), [("horowitz45", 0.1, 0.2, 20), ("tpuv4i7", 0.03, 0.07, 8.5)])
def test_energies_follow_from_the_published_operations(name: str, add: float, mul: float, bit: float) -> None:
    tech = published(name)
    assert tech.energy_pj("add") == add / 32
    assert tech.energy_pj("mul") == mul / 64
    assert tech.energy_pj("sram_bit") == bit / 64
    assert tech.energy_pj("ff") == pytest.approx(add / 32 * tech.area_ge("ff") / tech.area_ge("add"))


def test_the_published_column_for_45_nm() -> None:
    # Jouppi et al., ISCA 2021, Table 2, 45 nm.
    column = {
        "add_int8": 0.03,
        "add_int32": 0.1,
        "add_fp32": 0.9,
        "mul_int8": 0.2,
        "mul_int32": 3.1,
        "mul_fp32": 3.7,
    }
    assert {name: published("horowitz45").operation_pj(name) for name in column} == column


def test_a_missing_entry_is_an_error() -> None:
    tech = published("horowitz45")
    with pytest.raises(HwgenError) as caught:
        tech.area_ge("mux")
    assert str(caught.value) == (
        "technology horowitz45: no area entry 'mux'; did you mean 'mux2'?; it has add, and, ff, mul, mux2, xor"
    )
    with pytest.raises(HwgenError, match="technology horowitz45: no energy_rule entry 'dsp'"):
        tech.energy_pj("dsp")


def test_an_unknown_table_is_an_error() -> None:
    with pytest.raises(HwgenError) as caught:
        load("horowitz")
    assert str(caught.value) == (
        "no technology table 'horowitz'; did you mean 'horowitz45'?; "
        "tables: asap7, generic45, horowitz45, sky130hd, tpuv4i7, or a .toml file"
    )


def test_a_table_of_the_user(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'name = "mine"\ntitle = "t"\nnode_nm = 28\nnand2_um2 = 0.5\ninclude = "gate_equivalents"\n'
        '[area.ff]\nvalue = 9\nunit = "GE"\nstatus = "measured"\nsource = "here"\n'
        '[energy.add_int32]\nvalue = 0.32\nunit = "pJ"\nstatus = "published"\nsource = "paper"\n'
    )
    tech = load(str(file))
    assert isinstance(tech, PrimitiveTech)
    assert (tech.name, tech.node_nm, tech.area_ge("ff"), tech.area["ff"].status) == ("mine", 28, 9, "measured")
    assert tech.energy_pj("add") == 0.01
    # It brought no multiplier: the rule finds nothing to follow.
    with pytest.raises(HwgenError, match="technology mine: no energy entry 'mul_int8'"):
        tech.energy_pj("mul")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("value = 0", "technology bad: area.ff: value must be a number above 0, not 0"),
        ('value = "7"', "technology bad: area.ff: value must be a number above 0, not '7'"),
        ("value = 7\nunit = 'um2'", "technology bad: area.ff: unit must be GE, not 'um2'"),
        (
            "value = 7\nunit = 'GE'\nstatus = 'guessed'",
            "technology bad: area.ff: status must be measured or published or assumed, not 'guessed'",
        ),
        ("value = 7\nunit = 'GE'\nstatus = 'assumed'", "technology bad: area.ff: source must be a text, not None"),
    ],
)
def test_a_number_without_its_facts_is_an_error(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(f'name = "bad"\ntitle = "t"\nnode_nm = 1\nnand2_um2 = 1\n[area.ff]\n{line}\n')
    with pytest.raises(HwgenError) as caught:
        load(str(file))
    assert str(caught.value) == message


def test_a_file_that_is_no_table_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "no.toml").write_text("= 3")
    with pytest.raises(HwgenError, match="must be a readable TOML file"):
        load(str(tmp_path / "no.toml"))
    with pytest.raises(HwgenError, match="must be a readable TOML file: No such file"):
        load(str(tmp_path / "absent.toml"))
