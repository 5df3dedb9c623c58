"""Complex weights: two sums a cell, each proved of the text, and the reference against the family's own."""

from __future__ import annotations

import itertools
import random
from functools import cache
from typing import Any

import numpy as np
import pytest

from hwgen.emit import Emission, emit
from hwgen.pe import family
from hwgen.prove import Subject
from hwgen.prove.bench import BENCH, counterexample_bench
from hwgen.prove.mutants import refuting
from hwgen.prove.netlist import Netlist
from hwgen.prove.reference import lane_table
from hwgen.simulators import run_testbench

SMALL = {"m": 1, "n": 2, "k": 4, "group": 8, "depth": 8, "acts": "int4"}
TILES: dict[str, dict[str, Any]] = {
    "linear": SMALL,
    "widely": SMALL | {"mapping": "widely"},
    "stages": SMALL | {"mapping": "widely", "stages": 2},
    "systolic": SMALL | {"m": 2, "transport": "systolic"},
    "saturate": SMALL | {"overflow": "saturate"},
    "wrap": SMALL | {"mapping": "widely", "overflow": "wrap"},
}


@cache
def emitted(name: str) -> Emission:
    return emit(family("complex").from_values(TILES[name]))


def subject_of(name: str) -> Subject:
    emission = emitted(name)
    return Subject(emission.verilog, emission.manifest)


@pytest.mark.parametrize("name", TILES)
def test_small_tiles_are_proved(name: str) -> None:
    subject = subject_of(name)
    found = {one.name: one.proved(60) for one in subject.obligations()}
    assert {result.status for result in found.values()} == {"proved"}, found
    sums = TILES[name]["m"] * TILES[name]["n"] * 2
    assert found["step.sums"].detail.startswith(f"{sums} sums ")
    assert ("range.sums" in found) == (TILES[name].get("overflow") is None)


@pytest.mark.parametrize("mapping", ["linear", "widely"])
def test_the_reference_is_the_familys(mapping: str) -> None:
    """All pairs of activations and weights, of four bits each."""
    spec = family("complex").from_values(SMALL | {"n": 1, "k": 2, "mapping": mapping})
    manifest = emit(spec).manifest
    table, bits = lane_table(manifest, 0), manifest["encodings"][manifest["operands"][0]["weights"]["encoding"]]["bits"]
    assert table.shape == (2, 1 << 8 + bits)
    codes = np.array(list(itertools.product(range(1 << bits), range(16), range(16))))
    totals = spec.terms(codes[:, None, :0:-1], codes[:, None, :1], {}, {}, 0)
    for part in range(2):
        assert (totals[0, :, 0, 0, part] == table[part][np.arange(len(codes))]).all()


def test_multiples_of_i_by_python() -> None:
    manifest = emitted("widely").manifest
    table = lane_table(manifest, 0)
    for a, b, code in itertools.product(range(-8, 8), range(-8, 8), range(16)):
        first, second = (1j ** (code >> lsb & 3) for lsb in (0, 2))
        wanted = first * complex(a, b) + second * complex(a, -b)
        at = (code << 4 | b & 15) << 4 | a & 15
        assert abs(wanted - complex(table[0][at], table[1][at])) < 1e-9


def test_activations_of_sixteen_bits_are_open() -> None:
    """Two activations of sixteen bits and a weight are more than is run through: open, and it says so."""
    emission = emit(family("complex").from_values(SMALL | {"acts": "int16"}))
    listed = {one.name: one for one in Subject(emission.verilog, emission.manifest).obligations()}
    found = listed["step.sums"].proved(20)
    assert (found.status, found.detail) == ("open", "products of 34 bits of codes")
    assert listed["idle.sums"].proved(20).status == "proved"


FAULTS = {
    "swap": ("assign part0_0 = _00_ ^ ", "assign part0_0 = row[3:0] ^ "),
    "clear": ("acc1_base = clear ?", "acc1_base = ~clear ?"),
    "sign": ("^ { col[1], col[1], col[1], col[1] }", "^ { col[2], col[2], col[2], col[2] }"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_text_is_refuted_by_an_example_that_runs(fault: str) -> None:
    emission = emitted("linear")
    verilog, manifest = emission.verilog, emission.manifest
    old, new = FAULTS[fault]
    begin = verilog.index("module complex_tile_cell(")
    assert old in verilog[begin:]
    wrong = verilog[:begin] + verilog[begin:].replace(old, new, 1)
    subject = Subject(wrong, manifest)
    found = next(one for one in subject.obligations() if one.name == "step.sums").proved(60)
    assert found.status == "refuted"
    assert found.counterexample is not None
    bench = counterexample_bench(subject.netlist, manifest, found.counterexample.document())
    assert run_testbench({"tile.v": wrong, "tb.v": bench}, BENCH).strip() == "DIFFERS"
    assert run_testbench({"tile.v": verilog, "tb.v": bench}, BENCH).strip() == "AGREES"


@pytest.mark.parametrize("name", ["linear", "widely"])
def test_seeded_faults_are_refused(name: str) -> None:
    subject = subject_of(name)
    names = [one.name for one in subject.obligations()]
    refused = 0
    for cell in _some(subject.netlist, 12):
        results = dict(refuting(subject, cell, names, 20))
        statuses = {result.status for result in results.values()}
        assert "refuted" in statuses or statuses == {"proved"}, cell
        refused += "refuted" in statuses
        for result in results.values():
            if result.counterexample is not None and refused <= 2:
                bench = counterexample_bench(subject.netlist, subject.manifest, result.counterexample.document())
                assert run_testbench({"tile.v": subject.verilog, "tb.v": bench}, BENCH).strip() == "AGREES"
    assert refused >= 8


def _some(netlist: Netlist, count: int) -> list[Any]:
    cells = [one for one in netlist.cells if one.kind in ("$and", "$or", "$xor", "$mux", "$add", "$dff", "$not")]
    return random.Random(5).sample(cells, count)


def test_the_default_tile_is_proved() -> None:
    emission = emit(family("complex").from_values({}))
    found = [one.proved(300) for one in Subject(emission.verilog, emission.manifest).obligations()]
    assert {result.status for result in found} == {"proved"}
