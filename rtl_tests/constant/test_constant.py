"""The Verilog of constant matrices is numpy's W x, bit for bit, each result in the cycle that is said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hwgen.constant import ConstantEmission, ConstantUnit, emit_constant, verify_constant
from hwgen.constant.cost import constant_area, constant_fpga
from hwgen.constant.verify import stimuli
from hwgen.emit import Reset
from hwgen.simulators import lint
from hwgen.synth import SynthOptions

pytestmark = pytest.mark.rtl


def drawn(outputs: int, inputs: int, bits: int, seed: int = 1) -> np.ndarray:
    """Random weights with a row and a column of zeros, a row of negative ones, and one of powers of two."""
    most = (1 << (bits - 1)) - 1
    found = np.random.default_rng([seed, outputs, bits]).integers(-most, most + 1, (outputs, inputs))
    if outputs > 3:
        found[0], found[1], found[2] = 0, -abs(found[1]) - 1, np.resize([1 << (bits - 2), -1, 0], inputs)
    if inputs > 3:
        found[:, 1] = 0
    return found


UNITS = {
    "shared, a register a level": ConstantUnit.of(drawn(6, 7, 8), "int8", "shared", 1),
    "csd, unsigned": ConstantUnit.of(drawn(5, 9, 6), "uint5", "csd", 2),
    "shared, no registers within": ConstantUnit.of(drawn(8, 8, 3), "int4", "shared", 1000),
    "csd, one bit": ConstantUnit.of(drawn(4, 6, 4), "uint1", "csd", 1),
    "shared, wide": ConstantUnit.of(drawn(4, 4, 17), "int16", "shared", 4),
    "shared, least depth": ConstantUnit.of(drawn(12, 12, 8), "int8", "shared", 3, 0),
    "csd, signed bit": ConstantUnit.of(drawn(7, 5, 5), "int1", "csd", 3),
    "shared, one weight": ConstantUnit.of([[-96]], "uint8", "shared", 1),
    "shared, tall": ConstantUnit.of(drawn(24, 3, 8), "int6", "shared", 2),
    "shared, flat": ConstantUnit.of(drawn(2, 40, 4), "int8", "shared", 2),
    # Sides that are narrower than the shift of the other one: their sign fills the gap.
    "csd, narrow sides": ConstantUnit.of([[1, 64, 0], [-1, 64, 3], [64, 129, -1]], "int2", "csd", 2),
}


@pytest.mark.few(3)
@pytest.mark.parametrize("name", UNITS)
def test_equals_numpy(name: str) -> None:
    check = verify_constant(emit_constant(UNITS[name]), 600)
    assert check.ok, check.first


@pytest.mark.slow
@pytest.mark.parametrize("reset", [Reset("async"), Reset("sync", "low"), Reset("async", "low")], ids=str)
def test_every_reset(reset: Reset) -> None:
    check = verify_constant(emit_constant(UNITS["csd, unsigned"], "other", reset), 200)
    assert check.ok, check.first


def faulty(emission: ConstantEmission, old: str, new: str) -> ConstantEmission:
    assert old in emission.verilog
    return dataclasses.replace(emission, verilog=emission.verilog.replace(old, new, 1))


def test_faults_are_seen() -> None:
    unit = UNITS["csd, one bit"]
    emission = emit_constant(unit)
    wrong = verify_constant(faulty(emission, " + ", " - "), 100)
    assert wrong.wrong > 0
    assert wrong.late == 0
    assert "must be" in wrong.first


def test_a_wrong_latency_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = UNITS["csd, one bit"]
    emission = emit_constant(unit)
    monkeypatch.setattr(ConstantUnit, "latency", unit.latency + 1)
    check = verify_constant(emission, 100)
    assert check.late == 100
    assert f"must come after {unit.latency} cycles" in check.first


def test_corners_are_among_the_vectors() -> None:
    unit = UNITS["shared, tall"]
    x = stimuli(unit, 200, 1)
    y = unit.reference(x)
    low, high = unit.act_range
    assert x.min() == low
    assert x.max() == high
    ends = unit.matrix * np.array([[[low]], [[high]]])
    np.testing.assert_array_equal(y.max(axis=0), ends.max(axis=0).sum(axis=1))
    np.testing.assert_array_equal(y.min(axis=0), ends.min(axis=0).sum(axis=1))


@pytest.mark.few(2)
@pytest.mark.parametrize("name", UNITS)
def test_linter_has_nothing_to_say(name: str) -> None:
    emission = emit_constant(UNITS[name])
    found = [warning for warning in lint(emission.verilog, emission.top) if warning.code != "UNUSEDSIGNAL"]
    assert found == []


@pytest.mark.slow
def test_sharing_saves_luts() -> None:
    # Fewer than adders promise: Yosys makes one sum of adders whose results have one use, which sharing has less of.
    matrix = drawn(6, 6, 8)
    luts = [
        constant_fpga(emit_constant(ConstantUnit.of(matrix, "int6", method)), "xilinx").totals["lut"]
        for method in ("shared", "csd")
    ]
    assert luts[0] < 0.95 * luts[1]


def test_area_is_that_of_its_adders() -> None:
    small, large = ([[3, 5]], [[3, 5], [7, -11], [13, 9]])
    options = SynthOptions(clk_period_ns=5.0, recipes=("plain",))
    areas = [constant_area(emit_constant(ConstantUnit.of(one, "int4")), options=options).area for one in (small, large)]
    assert 2 * areas[0] < areas[1]
