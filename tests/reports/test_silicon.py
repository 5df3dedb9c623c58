"""The pages of silicon and of published ratios: equal throughput, sums over blocks, and what each ratio divides."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.pe import families, family
from hwgen.synth import generic_library
from reports import ratios, silicon
from sim.energy import Operands


def measured(**changes: Any) -> silicon.Measured:
    made = silicon.Measured(
        family="int",
        bits=8,
        acts="int8",
        note="",
        library="sky130hd",
        tile="2×8×4",
        settings="",
        cuts="none",
        cells=10,
        cycles_per_step=1,
        macs_per_cycle=64,
        area_um2={"cell": 600.0, "row": 300.0, "control": 100.0},
        period_ns=2.0,
        min_clk_period_ns=1.7,
        limited_by="cell",
        recipes={},
        pj_per_mac={"cell": 0.5, "row": 0.25},
        commit="one",
    )
    return dataclasses.replace(made, **changes)


def test_every_design_does_as_many_multiply_accumulates_a_cycle() -> None:
    for design in silicon.TILES:
        spec = silicon.wide(design.values, design.family, "sky130hd")
        step = spec.m * spec.n * int(spec.layer_outputs(spec.p)) * int(spec.layer_k(spec.p))
        assert step == silicon.MACS * int(spec.layer_cycles(spec.p)), design
    assert {design.family for design in silicon.TILES} == set(families())
    for name in ("int", "lut", "mixpe"):
        assert {design.bits for design in silicon.TILES if design.family == name} == {2, 3, 4, 8}


def test_columns_must_be_whole() -> None:
    with pytest.raises(HwgenError) as caught:
        silicon.wide({"m": 2, "k": 4, "bits": 3}, "lut", "sky130hd", 2)
    assert str(caught.value) == "silicon: 2 MACs a cycle must be a whole number of columns of 8 MACs in 3 cycles"


def test_figures_of_a_design() -> None:
    one = measured()
    assert one.area == 1000
    # 64 MACs in 2 ns are 0.032 T a second, on 0.001 mm².
    assert one.tmacs_per_mm2 == pytest.approx(32)
    assert one.energy == 0.75
    assert one.document()["area_total_um2"] == 1000


def test_rows_go_by_width_then_area() -> None:
    small = measured(area_um2={"cell": 10.0}, pj_per_mac={})
    listed = silicon.rows([measured(), small, measured(bits=2)])
    assert [(row[0], row[6]) for row in listed] == [("W2", "1,000"), ("W8", "10"), ("W8", "1,000")]
    assert listed[1][-1] == "not measured"
    assert listed[2][7] == "cell 60%, row 30%, control 10%"


def test_the_plot_has_a_panel_a_library_and_no_dot_without_energy() -> None:
    found = [measured(), measured(library="asap7", period_ns=0.5), measured(family="lut", bits=2, pj_per_mac={})]
    drawn = silicon.figure(found)
    assert [axes.get_title() for axes in drawn.axes] == ["sky130hd", "asap7"]
    dots = [np.asarray(dot.get_offsets()).tolist() for dot in drawn.axes[0].collections]
    # Energy over µm² a MAC.
    assert dots == [[[0.75, 1000 / 64]]]
    assert len(silicon.figure(found[:1]).axes) == 1


def test_what_is_missing_is_said() -> None:
    every = [
        measured(family=one.family, bits=one.bits, acts=one.acts, note=one.note, library="asap7")
        for one in silicon.TILES
    ]
    assert silicon.missing(every, ["asap7"]) == ""
    assert silicon.missing(every[1:], ["asap7"]) == "Not measured yet, time was over: int W2 int8 in asap7."


def test_a_small_tile_is_mapped_and_its_energy_multiplied_by_columns() -> None:
    rng = np.random.default_rng(1)
    operands = [Operands("noise", rng.normal(size=(64, 256)), rng.normal(size=(8, 256)))]
    design = silicon.Design("int", 2, "int8", "", {"m": 1, "k": 1, "bits": 2})
    one = silicon.measure(design, generic_library(), "generic45", operands, macs=4, recipes=["plain"])
    two = silicon.measure(design, generic_library(), "generic45", operands, macs=2, recipes=["plain"])
    assert one.tile == "1×4×1"
    assert one.area_um2["cell"] == pytest.approx(2 * two.area_um2["cell"])
    assert one.area_um2["row"] == two.area_um2["row"]
    assert one.pj_per_mac["cell"] == pytest.approx(two.pj_per_mac["cell"], rel=1e-6)
    # One row for twice as many multiply-accumulates.
    assert one.pj_per_mac["row"] == pytest.approx(two.pj_per_mac["row"] / 2, rel=1e-6)


class Counted(ratios.Sizes):
    """Without synthesis: areas are flip-flops, energies of all tiles are alike."""

    def __init__(self) -> None:
        super().__init__(generic_library(), "generic")

    def tile(self, family_name: str, macs: int, even: bool = False, **values: Any) -> silicon.Measured:
        spec = silicon.wide({**values, "post_lanes": 0}, family_name, "sky130hd", macs)
        found = {kind: float(one.count * one.primitives["ff"]) for kind, one in spec.modules(spec.p).items()}
        return measured(area_um2=found, macs_per_cycle=macs, pj_per_mac={"cell": 2.0 if even else 1.0})

    def cell(self, family_name: str, **values: Any) -> float:
        spec = family(family_name).from_values(values)
        return float(spec.modules(spec.p)["cell"].primitives["ff"])


def test_every_ratio_can_be_made() -> None:
    rows = {(row.paper, row.compared): row.ours(Counted()) for row in ratios.ROWS}
    assert len(rows) == len(ratios.ROWS)
    assert all("×" in text or "%" in text for text in rows.values())


def test_ratios_are_of_equal_throughput() -> None:
    slow, fast = measured(macs_per_cycle=32), measured(pj_per_mac={"cell": 0.25})
    assert ratios._both(slow, fast) == "area 2.000×, energy 3×"
    assert ratios._both(measured(pj_per_mac={}), fast) == "area 1.000×"


def test_evenly_spread_weights_are_named_and_spread() -> None:
    given = Operands("layer", np.zeros((64, 256)), np.ones((8, 256)))
    even = ratios.evenly_spread(given)
    assert even.name == "layer by even weights"
    assert np.array_equal(even.acts, given.acts)
    shares = np.histogram(even.weights, bins=4, range=(-1, 1))[0] / even.weights.size
    assert np.allclose(shares, 0.25, atol=0.02)


def test_steps_of_the_ablation_build_on_each_other() -> None:
    specs = [family("lut").from_values(dict(values)) for values in (ratios._UNPU, *ratios._STEPS)]
    shown = [(spec.p["planes"], spec.p["symmetry"], spec.p["negation"], spec.p["precompute"]) for spec in specs]
    assert shown == [
        ("twos_complement", "none", "offline", "internal"),
        ("bipolar", "half", "runtime", "internal"),
        ("bipolar", "half", "offline", "internal"),
        ("bipolar", "half", "offline", "external"),
    ]


def test_a_library_must_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        ratios.main([])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "silicon: Liberty files must be given for sky130hd, asap7 or both\n"
