from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.frame.numbers import bits_for, bits_for_multiple, unsigned_bits
from hwgen.pe import TileSpec, families, family
from hwgen.schedule import Layer, Schedule, closed_pre_cycles
from sim.estimate import estimate, estimate_arrays
from sim.tech import published

LAYER = Layer("up", 5, 96, 320)
COLUMNS = (
    *("cycles", "pre_cycles", "latency_us", "utilization"),
    *("area_um2", "energy_pj", "energy_pj_per_mac", "power_mw", "tops_per_mm2"),
)


def random_specs(name: str, count: int, seed: int) -> list[TileSpec]:
    """Legal tiles of sweep values that the layer fits."""
    rng = np.random.default_rng(seed)
    spec = family(name)
    found: list[TileSpec] = []
    while len(found) < count:
        values = {
            key: p.sweep[rng.integers(len(p.sweep))] if p.sweep else p.default for key, p in spec.parameters().items()
        }
        values["group"] = [0, 32, 64, 128][rng.integers(4)]
        values["depth"] = [128, 1024][rng.integers(2)]
        try:
            tile = spec.from_values(values)
            Schedule(tile, LAYER)
        except HwgenError:
            continue
        found.append(tile)
    return found


@pytest.mark.few(3)
@pytest.mark.parametrize("name", sorted(families()))
def test_cycles_are_those_of_the_schedule(name: str) -> None:
    for tile in random_specs(name, 25, 1):
        report = estimate(tile, LAYER)
        assert report.cycles == Schedule(tile, LAYER).exact(), tile
        pre = tile.pre()
        assert report.pre_cycles == (0 if pre is None else pre.cycles(LAYER.m, LAYER.k)), tile
        assert 0 < report.utilization <= 1


@pytest.mark.parametrize("name", sorted(families()))
def test_arrays_equal_scalars(name: str) -> None:
    spec = family(name)
    known = spec.parameters()
    tiles = random_specs(name, 40, 2)
    # One call takes whole numbers as arrays and names as scalars: group the tiles by their names.
    groups: dict[tuple[Any, ...], list[TileSpec]] = {}
    for tile in tiles:
        groups.setdefault(tuple(tile.p[key] for key, p in known.items() if p.type is not int), []).append(tile)
    for group in groups.values():
        p = {key: np.array([t.p[key] for t in group]) if known[key].type is int else group[0].p[key] for key in known}
        columns = estimate_arrays(name, p, LAYER.m, LAYER.n, LAYER.k, "tpuv4i7", 0.8)
        for index, tile in enumerate(group):
            report = estimate(tile, LAYER, "tpuv4i7", 0.8)
            want = {
                **report.as_dict(),
                "area_um2": report.total_area_um2,
                "energy_pj": report.total_energy_pj,
            }
            for column in COLUMNS:
                assert columns[column][index] == pytest.approx(want[column], rel=1e-12), (column, tile)


@pytest.mark.parametrize("name", sorted(families()))
def test_side_information_and_modes_equal_those_of_the_instances(name: str) -> None:
    for tile in random_specs(name, 30, 3):
        row, col = tile.side_bits(tile.p)
        assert {key: bits for key, bits in row.items() if bits} == {
            key: side.bits for key, side in tile.row_side().items()
        }
        assert {key: bits for key, bits in col.items() if bits} == {
            key: side.bits for key, side in tile.col_side().items()
        }
        assert tile.mode_count(tile.p) == len(tile.modes())
        assert tile.longest_step(tile.p) == tile.step_cycles_max
        pre, counts = tile.pre(), tile.pre_counts(tile.p)
        assert (pre is None) == (counts is None)
        if pre is not None and counts is not None:
            assert (pre.source, pre.passes, pre.latency) == (counts.source, counts.passes, counts.latency)


def test_arrays_broadcast() -> None:
    p = {**family("int")().p, "n": np.array([4, 8, 16])[:, None], "bits": np.array([2, 4])}
    columns = estimate_arrays("int", p, 8, 64, 128)
    assert {name: value.shape for name, value in columns.items()} == dict.fromkeys(
        (*COLUMNS, "min_clk_period_ns"), (3, 2)
    )
    assert (np.diff(columns["area_um2"], axis=0) > 0).all()
    assert (np.diff(columns["area_um2"], axis=1) > 0).all()


def test_power_and_throughput_by_hand() -> None:
    """A pJ each ns is a mW; 1000 MACs in 1 µs on 1 mm² are 0.002 TOPS/mm²."""
    report = estimate(family("int")(m=1, n=1, k=1), Layer("l", 1, 1, 1000), "tpuv4i7", 1.0)
    assert report.power_mw == pytest.approx(report.total_energy_pj / ((report.cycles + report.pre_cycles) * 1.0))
    a_million = 1e6 / report.total_area_um2
    assert report.tops_per_mm2 == pytest.approx(0.002 * a_million * 1000 / report.cycles)


def test_energy_by_hand() -> None:
    # One cell, one product: nothing is left out and nothing is counted twice.
    tile = family("int").from_values(
        {"m": 1, "n": 1, "k": 1, "bits": 4, "acts": "int4", "group": 4, "depth": 4, "stages": 0}
    )
    tech = published("horowitz45")
    report = estimate(tile, Layer("l", 1, 1, 8), tech, 1.0)
    # 4-bit operands, products from -56 to 64, four of them: a 10-bit accumulator.
    assert int(tile.acc_bits(tile.p)) == 10
    made = tile.modules(tile.p)["cell"].primitives
    # Products and accumulator are one tree: at least an adder a bit of both products' rows and of the sum.
    assert made["ff"] == 10
    cell = sum(number * tech.energy_pj(name) for name, number in made.items())
    assert report.energy_pj["cell"] == pytest.approx(8 * cell)
    bit = 20 / 64
    assert report.energy_pj["sram_acts"] == report.energy_pj["sram_weights"] == 8 * 4 * bit
    assert report.energy_pj["sram_results"] == 2 * 10 * bit
    assert report.area_um2["control"] == tech.area_ge("ff") * 0.798
    assert report.cycles == 8 + int(tile.drain(tile.p))


def test_post_lanes_write_results_instead_of_sums() -> None:
    layer = Layer("l", 2, 8, 256)
    raw, lanes = (estimate(family("int").from_values({"post_lanes": d}), layer, "horowitz45", 1.0) for d in (0, 2))
    assert raw.energy_pj["sram_results"] == pytest.approx(2 * 16 * 23 * 20 / 64)
    assert lanes.energy_pj["sram_results"] == pytest.approx(16 * 32 * 20 / 64)
    assert lanes.total_area_um2 > raw.total_area_um2
    assert {"post"} == set(lanes.area_um2) - set(raw.area_um2)


def test_reports_add_up() -> None:
    tile = family("lut").from_values({"bits": 2})
    a, b = estimate(tile, LAYER), estimate(tile, Layer("down", 5, 320, 96 * 4))
    both = a + b
    assert both == sum([a, b])
    assert (both.cycles, both.macs, both.layers) == (a.cycles + b.cycles, a.macs + b.macs, ("up", "down"))
    assert both.total_energy_pj == pytest.approx(a.total_energy_pj + b.total_energy_pj)
    assert both.total_area_um2 == a.total_area_um2
    assert both.latency_us == pytest.approx(a.latency_us + b.latency_us)
    assert min(a.utilization, b.utilization) <= both.utilization <= max(a.utilization, b.utilization)


def test_runs_count() -> None:
    tile = family("int")()
    once, thrice = estimate(tile, LAYER), estimate(tile, Layer("up", LAYER.m, LAYER.n, LAYER.k, 3))
    assert thrice.cycles == 3 * once.cycles
    assert thrice.utilization == pytest.approx(once.utilization)
    assert thrice.energy_pj_per_mac == pytest.approx(once.energy_pj_per_mac)
    assert thrice.total_energy_pj == pytest.approx(3 * once.total_energy_pj)
    assert thrice.total_area_um2 == once.total_area_um2


def test_reports_of_different_tiles_do_not_add() -> None:
    spec = family("int")
    with pytest.raises(
        HwgenError, match=r"report: clk_period_ns must be the same in reports that are added, not 1.0 and 2.0"
    ):
        estimate(spec(), LAYER, clk_period_ns=1.0) + estimate(spec(), LAYER, clk_period_ns=2.0)
    with pytest.raises(HwgenError, match=r"report: tech must be the same .* not 'sky130hd' and 'tpuv4i7'"):
        estimate(spec(), LAYER, clk_period_ns=1.0) + estimate(spec(), LAYER, "tpuv4i7", 1.0)
    with pytest.raises(HwgenError, match="report: tile must be the same"):
        estimate(spec(), LAYER) + estimate(spec.from_values({"n": 4}), LAYER)


def test_a_layer_that_does_not_fit_is_refused() -> None:
    with pytest.raises(HwgenError, match=r"layer long: a group of 200 products must fit depth \(128\) of the int tile"):
        estimate(family("int")(group=0), Layer("long", 1, 8, 200))
    with pytest.raises(HwgenError) as caught:
        estimate(family("int")(), LAYER, clk_period_ns=0)
    assert str(caught.value) == "estimate: clk_period_ns must be above 0, not 0"


def test_a_family_with_an_unpriced_pre_block_is_refused() -> None:
    class Unpriced(family("minifloat")):  # type: ignore[misc]
        def pre(self) -> Any:
            return object()

    with pytest.raises(HwgenError, match="a family with a pre block must define pre_counts, which prices it"):
        closed_pre_cycles(Unpriced, Unpriced().p, 1, 128)


def test_facts_of_instances_where_a_family_has_no_formula() -> None:
    class Sided(family("int")):  # type: ignore[misc]
        side_bits = classmethod(TileSpec.side_bits.__func__)  # type: ignore[attr-defined]

        def row_side(self) -> Any:
            from hwgen.pe import Side

            return {"selector": Side(self.bits + 1, "test")} if self.bits > 2 else {}

        def col_side(self) -> Any:
            return {}

    p = {**family("int")().p, "bits": np.array([[2], [3], [8]]), "n": np.array([4, 8])}
    row, col = Sided.side_bits(p)
    assert row["selector"].tolist() == [[0], [4], [9]]
    assert col == {}


def test_widths_beyond_53_bits_are_exact() -> None:
    edges = [2**j + d for j in range(1, 63) for d in (-1, 0, 1)]
    assert unsigned_bits(np.array(edges, dtype=np.int64)).tolist() == [value.bit_length() for value in edges]


def test_multiples_beyond_64_bits_are_exact() -> None:
    rng = np.random.default_rng(5)
    low = -np.concatenate([2 ** rng.integers(0, 60, 60), rng.integers(1, 2**60, 60)])
    high = np.concatenate([-low[:60] - 1, rng.integers(0, 2**60, 60)])
    times = np.concatenate([2 ** rng.integers(0, 20, 60), rng.integers(1, 2**20, 60)])
    found = bits_for_multiple(low, high, times)
    for index in range(len(low)):
        exact = bits_for(int(low[index]) * int(times[index]), int(high[index]) * int(times[index]))
        assert found[index] == exact == bits_for_multiple(int(low[index]), int(high[index]), int(times[index]))
