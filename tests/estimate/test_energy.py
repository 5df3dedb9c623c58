"""Energy of tiles from switching: the netlist is the reference, and the parts add up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import numpy as np
import pytest

import sim.energy
from hwgen.cli import main
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.synth import SynthOptions, TileResult, synthesise
from sim.energy import Operands, measure_energy, measure_glitches

LUT = {"m": 1, "n": 2, "k": 2, "bits": 2, "depth": 16, "group": 16}
INT = {"m": 2, "n": 2, "k": 2, "bits": 4, "depth": 16, "group": 16, "scheme": "asymmetric"}


def operands(seed: int = 1) -> list[Operands]:
    rng = np.random.default_rng(seed)
    return [
        Operands(name, rng.normal(size=(40, 64)).astype(np.float32), rng.normal(size=(10, 64)).astype(np.float32))
        for name in ("one", "two", "three")
    ]


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWGEN_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def lut(own_cache: None) -> TileResult:
    return synthesise(family("lut")(**LUT), options=SynthOptions(recipes=["booth_noalumacc"]))


def test_parts_add_up(lut: TileResult) -> None:
    report = measure_energy(lut.spec, result=lut, operands=operands(), streams=96, cycles=40)
    assert report.layers == ("one", "two", "three")
    # 8 rows of 4 columns for each of the layers; two groups of 16 / 2 steps, of two cycles each.
    assert (report.streams, report.steps, report.beats, report.cycles_per_step) == (96, 16, 2, 2.0)
    assert report.macs_per_step == 1 * 2 * 2
    assert report.vectors >= report.streams * report.steps * 2
    assert [block.kind for block in report.blocks] == ["control", "cell", "col", "row", "rowsum"]
    assert [block.count for block in report.blocks] == [1, 2, 2, 1, 1]
    assert sum(block.flip_flops for block in report.blocks) == lut.flip_flops
    parts = (
        report.clock_pj_per_step
        + report.register_pj_per_step
        + report.combinational_pj_per_step
        + report.leakage_pj_per_step
    )
    assert parts == pytest.approx(report.pj_per_step)
    assert report.pj_per_mac == pytest.approx(report.pj_per_step / 4)
    assert 0 < report.input_port_pj_per_step < report.pj_per_step
    document = json.loads(json.dumps(report.document()))
    assert document["pj_per_step"] == report.pj_per_step
    assert document["basis"] == "pre-layout: no wires, no clock tree; zero-delay: no glitches"


def test_an_idle_cycle_costs_the_clock_and_leakage(lut: TileResult) -> None:
    report = measure_energy(lut.spec, result=lut, operands=operands(), streams=96, cycles=40)
    assert all(block.idle_switching_pj_per_cycle == 0 for block in report.blocks)
    clock = sum(block.idle_clock_pj_per_cycle for block in report.blocks)
    leakage = sum(block.leakage_nw for block in report.blocks) * report.clk_period_ns * 1e-6
    assert 0 < clock <= report.idle_pj_per_cycle == pytest.approx(clock + leakage)


def test_activations_of_zero_cost_less(lut: TileResult) -> None:
    def cost(given: list[Operands]) -> float:
        report = measure_energy(lut.spec, result=lut, operands=given, streams=64, cycles=40)
        return report.register_pj_per_step + report.combinational_pj_per_step

    nothing = [Operands(one.name, one.weights, np.zeros_like(one.acts)) for one in operands()]
    assert cost(nothing) < 0.7 * cost(operands())


SWAPPED = {"NAND2": "NOR2", "NOR2": "NAND2", "XOR2": "XNOR2", "XNOR2": "XOR2", "AND2": "OR2", "OR2": "AND2"}


@pytest.mark.parametrize("which", [0.0, 0.3, 0.6, 0.9])
def test_a_netlist_with_a_fault_is_no_measurement(
    lut: TileResult, which: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = sim.energy.tile_netlist(lut)
    gates = list(re.finditer(rf"^  ({'|'.join(SWAPPED)})_X", right[right.index("module lut_tile_cell") :], re.M))
    gate = gates[int(which * len(gates))]
    place = right.index("module lut_tile_cell") + gate.start(1)
    wrong = right[:place] + SWAPPED[gate[1]] + right[place + len(gate[1]) :]
    monkeypatch.setattr(sim.energy, "tile_netlist", lambda result: wrong)
    with pytest.raises(HwgenError, match=r"^energy: (the mapped|all streams of the mapped) lut tile must "):
        measure_energy(lut.spec, result=lut, operands=operands(), streams=96, cycles=40)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("int", {**INT, "m": 1, "post_lanes": 2}),
        ("lut", {**LUT, "m": 2, "transport": "systolic", "stages": 3}),
    ],
)
def test_tiles_with_zero_points_lanes_and_hops(name: str, values: dict[str, object]) -> None:
    spec = family(name)(**values)
    result = synthesise(spec, options=SynthOptions(recipes=["booth_noalumacc"]))
    report = measure_energy(spec, result=result, operands=operands(), streams=48, cycles=40)
    assert report.beats == (1 if spec.lanes else report.steps // 8)
    assert report.pj_per_step > 0


def test_the_pre_block_is_measured_beside_the_tile(lut: TileResult) -> None:
    spec = family("lut")(**{**LUT, "acts": "fp16", "n": 1})
    result = synthesise(spec, options=SynthOptions(recipes=["booth_noalumacc"]))
    report = measure_energy(spec, result=result, operands=operands(), streams=24, cycles=40)
    assert [block.kind for block in report.pre_blocks] == ["pre_control", "pre_row"]
    assert report.pre_blocks[1].step_pj(1, 1.0) > report.pre_blocks[1].idle_pj(1.0) > 0
    assert all(block.idle_switching_pj_per_cycle == 0 for block in report.pre_blocks)
    assert sum(b.flip_flops for b in (*report.blocks, *report.pre_blocks)) == result.flip_flops
    plain = measure_energy(lut.spec, result=lut, operands=operands(), streams=24, cycles=40)
    assert plain.pre_blocks == ()


def test_a_tile_that_takes_no_step(lut: TileResult, monkeypatch: pytest.MonkeyPatch) -> None:
    right = sim.energy.tile_netlist(lut)
    top = right.index("module lut_tile(")
    head = right[top:].replace("output i_ready;", "output i_ready;\n  wire other;\n  assign i_ready = 1'h0;")
    stuck = right[:top] + head.replace("(i_ready)", "(other)")
    monkeypatch.setattr(sim.energy, "tile_netlist", lambda result: stuck)
    with pytest.raises(HwgenError) as caught:
        measure_energy(lut.spec, result=lut, operands=operands(), streams=96, cycles=40)
    assert str(caught.value) == "energy: the mapped lut tile must take 16 steps in 96 cycles, which it does not"


def test_glitches_cost_what_the_runs_count(lut: TileResult) -> None:
    given = operands()
    report = measure_energy(lut.spec, result=lut, operands=given, streams=24, cycles=20)
    found = measure_glitches(lut.spec, result=lut, operands=given, streams=24, cycles=20, every=1)
    assert found.combinational_pj_per_step["zero"] == pytest.approx(report.combinational_pj_per_step)
    assert found.register_pj_per_step["zero"] == pytest.approx(report.register_pj_per_step)
    assert found.clock_pj_per_step == pytest.approx(report.clock_pj_per_step)
    assert found.vectors == report.vectors
    assert 1 == found.factor("zero") < found.factor("timed") < found.factor("timed_raw")
    assert found.factor("unit") > 1
    assert json.loads(json.dumps(found.document()))["combinational_factor"]["unit"] == found.factor("unit")


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sim.energy, "layer_operands", {one.name: one for one in operands()}.__getitem__)
    flags = [f"--{name}={value}" for name, value in LUT.items()]
    arguments = ["energy", "--pe", "lut", *flags, "--layer", "one", "--layer", "two", "--recipe", "booth_noalumacc"]
    small = ["--streams", "16", "--cycles", "16"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, *small])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "operands: one, two; 16 streams of 8 steps" in text
    assert "outputs equal the reference in every beat" in text
    assert "pJ/MAC" in text
    with pytest.raises(SystemExit):
        main([*arguments, *small, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["glitches"] is None
    assert f"{document['pj_per_step']:.4g} pJ, " in text
