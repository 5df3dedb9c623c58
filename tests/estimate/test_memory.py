from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import HwgenError
from sim.memory import (
    Banks,
    Sram,
    banks,
    buffer,
    buffer_bit_pj,
    dram,
    dram_bit_pj,
    dram_types,
    library_bit_pj,
    library_buffer,
    library_memories,
    library_memory,
    sram,
)
from sim.memory._table import PORTS, QUANTITIES, TABLE, SramTable, load
from sim.memory.fit import Points, leave_one_out, main, read_points, regression, table_text
from sim.tables import STATUSES

# Lines of CACTI's output: node, capacity, width, ports; ns, ns, pJ, pJ, mW, mm².
PUBLISHED = {
    (22, 1024, 32, "1rw"): (0.0902, 0.0719, 0.2871, 0.4341, 0.3160, 0.000821),
    (22, 4194304, 1024, "1r1w"): (2.81, 0.7839, 662.5, 935.728, 1376.43, 8.667228),
    (28, 2048, 32, "1rw"): (0.1294, 0.1064, 0.7939, 0.8724, 1.1274, 0.0028),
    (45, 32768, 64, "1rw"): (0.4080, 0.4312, 14.9248, 12.6898, 37.0765, 0.094915),
    (65, 1048576, 256, "1rw"): (2.5757, 2.4864, 353.328, 334.498, 1122.92, 6.926596),
}
COLUMNS = ("access_ns", "cycle_ns", "read_pj", "write_pj", "leakage_mw", "area_mm2")


def said(call: object, *args: object, **kwargs: object) -> str:
    with pytest.raises(HwgenError) as caught:
        call(*args, **kwargs)  # type: ignore[operator]
    return str(caught.value)


@pytest.mark.parametrize("key", PUBLISHED)
def test_a_point_of_the_data_is_kept_exactly(key: tuple[int, int, int, str]) -> None:
    bank = sram(*key)
    assert tuple(getattr(bank, name) for name in COLUMNS) == PUBLISHED[key]
    assert bank.read_pj_per_bit == PUBLISHED[key][2] / key[2]
    assert bank.write_pj_per_bit == PUBLISHED[key][3] / key[2]
    assert (bank.node_nm, bank.capacity_bytes, bank.word_bits, bank.ports) == key
    assert bank.status == "published"
    assert "CACTI 7" in bank.source


def test_all_points_at_once_are_kept_exactly() -> None:
    table = load()
    for (node, ports), grid in table.grids.items():
        found = table.at(node, ports, table.capacities[:, None], table.widths)
        for name in QUANTITIES:
            assert np.array_equal(found[name], grid[name], equal_nan=True)


def test_the_table_holds_what_the_command_writes() -> None:
    table = load()
    points = {
        (node, int(capacity), int(width), ports): {name: float(grid[name][c, w]) for name in QUANTITIES}
        for (node, ports), grid in table.grids.items()
        for c, capacity in enumerate(table.capacities)
        for w, width in enumerate(table.widths)
        if not np.isnan(grid["read_pj"][c, w])
    }
    assert len(points) == table.points == 598
    assert table.fewest_words == 32
    assert table.nodes == (22, 28, 45, 65)
    assert table_text(Points(points, (2,), table.data_sha256)) == TABLE.read_text(encoding="utf-8")


@pytest.mark.parametrize("capacity", [32768, 33000, 40000, 50000, 65535, 65536])
def test_between_capacities_logarithms_are_interpolated(capacity: int) -> None:
    known = [sram(45, c, 64) for c in (32768, 65536)]
    bank = sram(45, capacity, 64)
    for name in COLUMNS:
        ends = [math.log(getattr(b, name)) for b in known]
        expected = math.exp(np.interp(math.log(capacity), np.log([32768, 65536]), ends))
        assert getattr(bank, name) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("width", [65, 96, 127])
def test_between_widths_logarithms_are_interpolated(width: int) -> None:
    ends = [math.log(sram(22, 8192, w, "1r1w").write_pj) for w in (64, 128)]
    expected = math.exp(np.interp(math.log(width), np.log([64, 128]), ends))
    assert sram(22, 8192, width, "1r1w").write_pj == pytest.approx(expected, rel=1e-12)


def test_inside_a_cell_three_corners_count() -> None:
    part = math.log2(1.5)
    low, high = sram(45, 32768, 64).read_pj, sram(45, 65536, 128).read_pj
    # Both half as much again: on the long side, where the number of words is that of the corners.
    assert sram(45, 49152, 96).read_pj == pytest.approx(low ** (1 - part) * high**part, rel=1e-12)
    # Deeper and wider than that side.
    more = math.log2(1.75)
    deep, wide = sram(45, 65536, 64).read_pj, sram(45, 32768, 128).read_pj
    expected = low ** (1 - more) * deep ** (more - part) * high**part
    assert sram(45, 57344, 96).read_pj == pytest.approx(expected, rel=1e-12)
    expected = low ** (1 - more) * wide ** (more - part) * high**part
    assert sram(45, 49152, 112).read_pj == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("ports", PORTS)
@pytest.mark.parametrize("node", [22, 28, 45, 65])
def test_every_bank_of_enough_words_is_in_the_table(node: int, ports: str) -> None:
    rng = np.random.default_rng(node)
    width = rng.integers(32, 1025, 2000)
    # 28 nm lacks two of the smallest banks.
    least = np.maximum(4 * width, 2048 if node == 28 else 1024)
    capacity = np.exp(rng.uniform(np.log(least), np.log(1 << 22))).astype(np.int64).clip(least, 1 << 22)
    capacity[:100] = least[:100]
    bank = sram(node, capacity, width, ports)
    grid = load().grid(node, ports)
    for name in QUANTITIES:
        assert getattr(bank, name).shape == (2000,)
        assert (getattr(bank, name) >= np.nanmin(grid[name]) * (1 - 1e-12)).all()
        assert (getattr(bank, name) <= np.nanmax(grid[name]) * (1 + 1e-12)).all()
    for index in range(0, 2000, 97):
        one = sram(node, int(capacity[index]), int(width[index]), ports)
        assert isinstance(one.read_pj, float)
        for name in QUANTITIES:
            assert getattr(one, name) == pytest.approx(getattr(bank, name)[index], rel=1e-12)


def test_arrays_broadcast() -> None:
    bank = sram(22, np.array([4096, 8192, 16384])[:, None], np.array([32, 64]))
    assert bank.read_pj.shape == bank.read_pj_per_bit.shape == (3, 2)
    assert bank.read_pj[1, 1] == sram(22, 8192, 64).read_pj
    assert bank.read_pj_per_bit[1, 1] == sram(22, 8192, 64).read_pj / 64


WHERE = (
    "sram: at 22 nm with 1rw ports the table has banks of 1024 to 4194304 bytes, of 32 to 1024-bit words and at least "
    "32 of them, not {} bytes of {}-bit words; sim.memory.buffer makes other sizes of several banks"
)


@pytest.mark.parametrize(
    ("capacity", "width"), [(1023, 32), (4194305, 32), (8192, 31), (8192, 1025), (1024, 512), (1200, 301)]
)
def test_a_bank_outside_the_table_is_an_error(capacity: int, width: int) -> None:
    assert said(sram, 22, capacity, width) == WHERE.format(capacity, width)
    assert said(sram, 22, np.array([8192, capacity]), np.array([64, width])) == WHERE.format(capacity, width)
    assert said(sram, 22, np.array([[8192], [capacity]]), width).startswith("sram: at 22 nm")


def test_what_is_at_the_edge_is_in_the_table() -> None:
    assert sram(22, 1200, 300).read_pj > 0
    assert sram(22, 2048, 512).read_pj == 6.0479


def test_a_point_that_the_data_lacks_is_an_error() -> None:
    assert said(sram, 28, 1024, 64) == (
        "sram: at 28 nm with 1rw ports the table has banks of 1024 to 4194304 bytes, of 32 to 1024-bit words and at "
        "least 32 of them but lacks 1024 bytes of 32-bit words and 1024 bytes of 64-bit words, not 1024 bytes of "
        "64-bit words; sim.memory.buffer makes other sizes of several banks"
    )
    assert sram(28, 1024, 64, "1r1w").read_pj > 0


def test_parameters_are_checked() -> None:
    assert said(sram, 40, 8192, 64) == (
        "sram: node_nm must be one of 22, 28, 45, 65, not 40; a library on another node has its entry in "
        "sim/memory/libraries.toml"
    )
    assert said(sram, 45, 8192, 64, "1r1") == "sram: ports must be 1rw or 1r1w, not '1r1'; did you mean '1r1w'?"
    whole = "must be a whole number of at least 1, or an array of them, not"
    assert said(sram, 45, 8192.0, 64) == f"sram: capacity_bytes {whole} 8192.0"
    assert said(sram, 45, 8192, 0) == f"sram: word_bits {whole} 0"
    assert said(sram, 45, np.array([8192, -1]), 64) == f"sram: capacity_bytes {whole} array([8192,   -1])"


@pytest.mark.parametrize(
    ("node", "capacity", "width", "layout"),
    [
        (45, 8192, 64, Banks(1, 1, 8192, 64)),
        # Wider than the widest bank: two side by side, half the capacity each.
        (45, 1 << 20, 2048, Banks(2, 1, 1 << 19, 1024)),
        (45, 1 << 20, 1025, Banks(2, 1, 1 << 19, 513)),
        # More than the largest bank holds.
        (45, 10 << 20, 64, Banks(1, 3, math.ceil((10 << 20) / 3), 64)),
        (45, 16 << 20, 2048, Banks(2, 2, 1 << 22, 1024)),
        # Smaller than the smallest bank, narrower than the narrowest.
        (45, 100, 8, Banks(1, 1, 1024, 32)),
        (45, 1024, 512, Banks(1, 1, 2048, 512)),
        (45, 1024, 1024, Banks(1, 1, 4096, 1024)),
        (45, 1024, 300, Banks(1, 1, 2048, 300)),
        (28, 100, 64, Banks(1, 1, 2048, 64)),
        (28, 100, 128, Banks(1, 1, 1024, 128)),
    ],
)
def test_layout_of_a_buffer(node: int, capacity: int, width: int, layout: Banks) -> None:
    assert banks(node, capacity, width) == layout
    whole, bank = buffer(node, capacity, width), sram(node, layout.capacity_bytes, layout.word_bits)
    count = layout.across * layout.deep
    assert whole.read_pj == layout.across * bank.read_pj
    assert whole.write_pj == layout.across * bank.write_pj
    assert whole.leakage_mw == count * bank.leakage_mw
    assert whole.area_mm2 == count * bank.area_mm2
    assert (whole.access_ns, whole.cycle_ns) == (bank.access_ns, bank.cycle_ns)
    assert whole.capacity_bytes == count * bank.capacity_bytes >= capacity
    assert whole.word_bits == max(width, 32)
    assert buffer_bit_pj(node, capacity, width, write=False) == whole.read_pj / max(width, 32)
    assert buffer_bit_pj(node, capacity, width, write=True) == whole.write_pj / max(width, 32)


@pytest.mark.parametrize("ports", PORTS)
@pytest.mark.parametrize("node", [22, 28, 45, 65])
def test_any_buffer_has_a_cost(node: int, ports: str) -> None:
    rng = np.random.default_rng(node)
    width = np.exp(rng.uniform(0, np.log(1 << 14), 3000)).astype(np.int64)
    capacity = np.exp(rng.uniform(0, np.log(1 << 28), 3000)).astype(np.int64)
    energy = buffer_bit_pj(node, capacity, width, False, ports)
    assert energy.shape == (3000,)
    assert ((energy > 0.004) & (energy < 10)).all()
    layout = banks(node, capacity, width, ports)
    assert (layout.across * layout.word_bits >= width).all()
    assert (layout.across * layout.deep * layout.capacity_bytes >= capacity).all()
    for index in range(0, 3000, 211):
        one = buffer_bit_pj(node, int(capacity[index]), int(width[index]), False, ports)
        assert one == pytest.approx(energy[index], rel=1e-12)


def power_law(tmp_path: Path, spoilt: float = 1.0) -> SramTable:
    """A table in which interpolation is exact, but for one point."""
    values = {
        (45, 1024 << c, 32 << w, ports): dict.fromkeys(
            QUANTITIES, (spoilt if (c, w) == (2, 1) else 1.0) * 3.0 * 2.0 ** (c + 0.5 * w)
        )
        for c in range(5)
        for w in range(3)
        for ports in PORTS
    }
    file = tmp_path / "table.toml"
    file.write_text(table_text(Points(values, (), "0")))
    return load(file)


def test_the_error_of_a_power_law_is_nothing(tmp_path: Path) -> None:
    table = power_law(tmp_path)
    for errors in (leave_one_out(table), leave_one_out(table, "width"), regression(table)):
        assert set(errors) == set(QUANTITIES)
        assert all(error.largest < 1e-9 for error in errors.values())
    # Three inner capacities of three widths, one inner width of five capacities, both kinds of ports.
    assert leave_one_out(table)["read_pj"].count == 2 * 3 * 3
    assert leave_one_out(table, "width")["read_pj"].count == 2 * 5
    assert regression(table)["read_pj"].count == 2 * 15


def test_a_spoilt_point_is_the_error(tmp_path: Path) -> None:
    table = power_law(tmp_path, 4.0)
    # Left out it is predicted four times too small; as one of two neighbours it makes the other predictions 2 times.
    assert leave_one_out(table, "width")["read_pj"].largest == pytest.approx(0.75)
    errors = leave_one_out(table)["read_pj"]
    assert errors.largest == pytest.approx(1.0)
    assert errors.median == pytest.approx(0.0, abs=1e-9)


def test_the_error_of_the_shipped_table() -> None:
    errors = leave_one_out()
    # By hand: 45 nm, 32 KiB of 64 bits between 9.9943 pJ and 28.9844 pJ.
    rest = load().without(capacity=32768)
    assert float(rest.at(45, "1rw", 32768, 64)["read_pj"]) == pytest.approx(math.sqrt(9.9943 * 28.9844), rel=1e-9)
    assert errors["read_pj"].count == 502
    assert 0.03 < errors["read_pj"].median < 0.05
    assert 0.15 < errors["read_pj"].p90 < 0.25
    assert 0.3 < errors["read_pj"].largest < 0.45
    other = regression()
    assert all(errors[name].median < other[name].median for name in QUANTITIES)


HEAD = "node_nm,capacity_bytes,word_bits,ports,access_ns,cycle_ns,read_pj,write_pj,leakage_mw,area_mm2"


def csv_file(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "points.csv"
    file.write_text("\r\n".join((HEAD, *lines)) + "\r\n", newline="")
    return file


def test_the_command_writes_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        f"45,{capacity},{width},{ports},0.1,0.2,{capacity * width},2,3,4"
        for capacity in (1024, 2048, 4096)
        for width in (32, 64, 128)
        for ports in PORTS
    ]
    file, out = csv_file(tmp_path, ".1872,0.4982,0.001394", *lines), tmp_path / "out.toml"
    main([str(file), "--out", str(out)])
    assert capsys.readouterr().out.splitlines()[:2] == [
        "18 points; lines dropped: 2",
        "read_pj: left out, errs 0.0% median, 0.0% p90, 0.0% max",
    ]
    table = load(out)
    assert (table.points, table.dropped_lines, table.nodes) == (18, 1, (45,))
    assert table.grid(45, "1r1w")["read_pj"][1, 2] == 2048 * 128
    assert read_points(file).dropped == (2,)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "45,1024,32,1rw,0.1,0.2,x,2,3,4",
            "line 2: must be numbers but for the ports: could not convert string to flo",
        ),
        (
            "45,1024,32,2rw,0.1,0.2,1,2,3,4",
            "line 2: must be numbers above 0 and ports 1rw or 1r1w, not 45,1024,32,2rw,",
        ),
        (
            "45,1024,32,1rw,0.1,0.2,0,2,3,4",
            "line 2: must be numbers above 0 and ports 1rw or 1r1w, not 45,1024,32,1rw,",
        ),
        ("45,1024,32,1rw,0.1,0.2,nan,2,3,4", "line 2: must be numbers above 0 and ports 1rw or 1r1w, not 45,1024,32,1"),
    ],
)
def test_a_wrong_value_is_an_error(tmp_path: Path, line: str, message: str) -> None:
    assert said(read_points, csv_file(tmp_path, line)).startswith(f"fit: points.csv: {message}")


def test_a_wrong_file_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "45,1024,32,1rw,0.1,0.2,1,2,3,4"
    assert said(read_points, csv_file(tmp_path, line, line)) == (
        "fit: points.csv: line 3: must be the only row of its bank, 45 nm 1024 bytes 32 bits"
    )
    (tmp_path / "points.csv").write_text("node_nm,ports\n")
    assert said(read_points, tmp_path / "points.csv") == (
        f"fit: points.csv: must have the columns node_nm, capacity_bytes, word_bits, ports, {', '.join(QUANTITIES)}; "
        f"no capacity_bytes"
    )
    absent = tmp_path / "absent.csv"
    with pytest.raises(SystemExit) as caught:
        main([str(absent)])
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"fit: {str(absent)!r} must be a readable CSV file: No such file or directory\n"


def test_dram_energies_are_those_of_the_sources() -> None:
    # pJ per 64 bits of Jouppi et al., ISCA 2021, Table 2.
    assert 64 * dram_bit_pj("ddr3") == 64 * dram_bit_pj("ddr4") == 1300
    for name, low, high in (("hbm2", 250, 450), ("gddr6", 350, 480)):
        kind = dram(name)
        assert kind.low is not None
        assert kind.high is not None
        assert (64 * kind.low, 64 * kind.high, 64 * kind.pj_per_bit) == (low, high, (low + high) / 2)
    assert (dram_bit_pj("gddr5"), dram_bit_pj("lpddr4"), dram_bit_pj("lpddr5x")) == (14.0, 8.0, 4.0)
    for name in dram_types():
        assert dram(name).status in STATUSES
        assert dram(name).source


def test_a_type_of_dram_without_a_source_is_an_error() -> None:
    assert said(dram_bit_pj, "lpddr5") == (
        "dram: type must be one of ddr3, ddr4, lpddr4, lpddr5x, hbm2, gddr5, gddr6, not 'lpddr5'; did you mean "
        "'lpddr5x'?"
    )


def test_the_generic_library_has_cactis_numbers() -> None:
    whole: Sram = library_buffer("generic45", 32768, 64)
    bank = sram(45, 32768, 64)
    assert whole == replace(bank, source="CACTI 7 at 45 nm")
    assert library_bit_pj("generic45", 32768, 64, True) == bank.write_pj / 64


def test_macros_make_a_buffer() -> None:
    # Two of 32 bits make a word, and eight rows of two the capacity; mW times ns, for a 1 and a 0.
    found = library_buffer("sky130hd", 32768, 64)
    assert (found.node_nm, found.ports, found.status) == (130, "1rw1r", "published")
    assert (found.capacity_bytes, found.word_bits) == (32768, 64)
    assert found.read_pj == pytest.approx(2 * 5.156 * (2.707046 + 2.420102) / 2, rel=1e-4)
    assert found.write_pj == pytest.approx(2 * 5.156 * (2.553973 + 2.79347) / 2, rel=1e-4)
    assert found.area_mm2 == pytest.approx(16 * 0.6831 * 0.41654, rel=1e-4)
    assert found.leakage_mw == pytest.approx(16 * 0.001379771)
    assert (found.access_ns, found.cycle_ns) == (pytest.approx(5.156 / 2 + 2.504, rel=1e-4), 5.156)
    assert "OpenRAM" in found.source


@pytest.mark.parametrize(
    ("capacity", "width", "banks", "bank_pj"),
    [
        (8192, 64, 1, 7.5),
        (32768, 64, 1, 8.5),
        (1 << 20, 64, 1, 14.0),
        # Halfway between 8 and 32 KiB in the logarithm.
        (16384, 64, 1, math.sqrt(7.5 * 8.5)),
        # Smaller ones cost what the smallest does, larger ones are several of the largest, wide words lie in several.
        (100, 8, 1, 7.5),
        (4 << 20, 64, 1, 14.0),
        (65536, 128, 2, 8.5),
    ],
)
def test_published_accesses_make_a_buffer(capacity: int, width: int, banks: int, bank_pj: float) -> None:
    found = library_buffer("asap7", capacity, width)
    assert found.read_pj == found.write_pj == pytest.approx(banks * bank_pj)
    assert (found.node_nm, found.status) == (7, "published")
    assert found.capacity_bytes >= capacity
    assert found.word_bits == 64 * banks
    assert found.leakage_mw is found.area_mm2 is found.access_ns is found.cycle_ns is None
    assert "ISCA 2021" in found.source


@pytest.mark.parametrize("name", library_memories())
def test_all_quantities_of_arrays_of_a_library(name: str) -> None:
    capacity, width = np.array([100, 8192, 1 << 24]), np.array([8, 64, 3000])
    whole = library_buffer(name, capacity, width)
    for index in range(3):
        one = library_buffer(name, int(capacity[index]), int(width[index]))
        for field in ("read_pj", "write_pj", "area_mm2", "capacity_bytes", "word_bits"):
            values = getattr(whole, field)
            if values is None:
                assert getattr(one, field) is None
            else:
                assert getattr(one, field) == pytest.approx(values[index], rel=1e-12)
    assert library_bit_pj(name, capacity, width, True) == pytest.approx(whole.write_pj_per_bit, rel=1e-12)
    assert library_bit_pj(name, capacity, width, False) == pytest.approx(whole.read_pj_per_bit, rel=1e-12)


def test_entries_of_libraries() -> None:
    assert library_memories() == ("generic45", "sky130hd", "asap7")
    for name in library_memories():
        assert library_memory(name).status in STATUSES
    assert said(library_buffer, "sky130", 8192, 64) == (
        "memory: library must be one of generic45, sky130hd, asap7, not 'sky130'; did you mean 'sky130hd'?"
    )
