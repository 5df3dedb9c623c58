"""What the cost model knows of a block beside its counts: paths, loops, enables, and how often codes are zero."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.frame.inventory import held_bits
from hwgen.pe import TileSpec, family
from sim.calibrate import refit, write_tables
from sim.calibrate.fit import fit_trend
from sim.calibrate.wide import legal_values, seldom_tiles
from sim.tech import load
from sim.tech._calibrated import CalibratedTech, Measured, _rows, fitted_family, longest_path, read_rows
from sim.tech._model import ACTIVITY, Features, block_features, tile_numbers, trend_value


def features(spec: TileSpec, kind: str) -> Features:
    return block_features(type(spec), spec.p, kind, spec.modules(spec.p)[kind])


def tile(name: str, **values: Any) -> TileSpec:
    return family(name).from_values({"m": 1, "n": 1, "group": 64, "depth": 64, **values})


def test_a_trend_of_lanes_finds_the_loop_behind_registers() -> None:
    """No path tells anything of it: a fit that begins with paths alone would never see it."""
    found, values = [], []
    for cuts, stages in itertools.product(range(4), (1, 2, 3, 5)):
        one = features(tile("int", k=4, post_lanes=1, post_cuts=cuts, post_adder_stages=stages), "post")
        pieces = cuts + 3 if cuts else 2
        assert one.shares == (1 / pieces, 0.0, 1 / stages)
        found.append(one)
        values.append(0.4 + max(20.0 / pieces, 11.0 / stages))
    trend = fit_trend(found, np.array(values), ("one", "path.one", "loop.one"))
    assert [trend[term] for term in ("one", "path.one", "loop.one")] == pytest.approx([0.4, 20, 11], rel=1e-3)
    assert [float(trend_value(trend, one)) for one in found] == pytest.approx(values)


@pytest.mark.parametrize(
    ("values", "period"),
    [
        ({"stages": 1}, 5.0),
        ({"stages": 0}, 2.0 + 5.0),
        # Half of a front-end with cuts, two thirds of a cell with cuts; but neither is shorter than by itself.
        ({"stages": 0, "front_cuts": 1}, 1.0 + 5.0),
        ({"stages": 0, "cell_cuts": 2}, 2.0 + 0.65 * 5.0),
        ({"stages": 0, "front_cuts": 1, "cell_cuts": 2}, 5.0),
    ],
)
def test_what_is_one_path_without_a_register_between(values: dict[str, int], period: float) -> None:
    spec = tile("int", k=4, **values)
    periods = {"row": 2.0, "col": 1.0, "cell": 5.0, "control": 0.5}
    assert float(longest_path(spec.p, periods)) == pytest.approx(period)
    # Lanes have registers before them.
    assert float(longest_path(spec.p, {**periods, "post": 9.0})) == 9.0


def test_fp32_adders_on_a_path() -> None:
    fp32 = {"accumulator": "fp32"}
    levels = {k: features(tile("minifloat", k=k, **fp32), "cell").numbers["fp32_levels"] for k in (1, 2, 4, 8)}
    assert levels == {1: 0, 2: 1, 4: 2, 8: 3}
    exact, rounded = (features(tile("minifloat", k=4, **more), "cell").numbers for more in ({}, fp32))
    assert (exact["fp32_levels"], exact["fp32_loop"], rounded["fp32_loop"]) == (0, 0, 1)
    assert features(tile("minifloat", k=4, **fp32), "row").numbers["fp32_levels"] == 0
    tables = {"cell": "fp_add", "scheme": "bipolar", "acts": "bf16", "k": 4, "bits": 4, "planes_per_cycle": 4}
    inside = tile("lut", **tables)
    assert [features(inside, kind).numbers["fp32_levels"] for kind in ("row", "cell", "col")] == [2, 2, 0]
    outside = tile("lut", **tables, precompute="external")
    assert [features(outside, kind).numbers["fp32_levels"] for kind in ("row", "pre_row", "cell")] == [0, 2, 2]


def quiet(name: str, **values: Any) -> tuple[float, float]:
    spec = family(name).from_values({"m": 1, "n": 1, "depth": 1024, **values})
    numbers, _ = tile_numbers(type(spec), spec.p)
    return float(numbers["act_quiet"]), float(numbers["weight_quiet"])


def test_the_more_codes_share_a_scale_the_more_are_zero() -> None:
    by_group = [quiet("int", k=4, bits=2, group=group)[1] for group in (4, 16, 64, 256)]
    assert by_group == sorted(by_group)
    assert by_group[0] < by_group[-1]
    by_bits = [quiet("int", k=4, bits=bits, group=64)[1] for bits in (2, 3, 4, 8)]
    assert by_bits == sorted(by_bits, reverse=True)
    # 64 of them, the largest 3: e^-0.143 of the weights are not zero.
    assert by_bits[1] == pytest.approx((0.5 + 0.155 * 6) / 3)
    acts = [quiet("int", k=4, acts=f"int{bits}", group=64)[0] for bits in (2, 4, 8)]
    assert acts == pytest.approx([0.71 * 64**0.373 / largest for largest in (1, 7, 127)])
    # Without a sign codes are about a zero point, odd integers have no zero, and of ternary weights the share is one.
    for more in ({"scheme": "asymmetric"}, {"scheme": "bipolar"}, {"scheme": "ternary"}):
        assert quiet("int", k=4, bits=2, group=64, **more)[1] < 1e-4
    assert max(quiet("bitmod", group=64, acts="fp16")) < 0.5


def test_quiet_codes_of_arrays_are_those_of_single_tiles() -> None:
    spec = family("mixpe")
    p = spec.from_values({"m": 1, "n": 1, "k": 4, "depth": 1024, "group": 64, "scheme": "symmetric"}).p
    groups, bits = np.array([4, 64, 256]), np.array([2, 4, 8])
    numbers, _ = tile_numbers(spec, {**p, "group": groups, "bits": bits})
    single = [tile_numbers(spec, {**p, "group": int(g), "bits": int(b)})[0] for g, b in zip(groups, bits, strict=True)]
    for name in ("act_quiet", "weight_quiet"):
        assert np.broadcast_to(numbers[name], 3).tolist() == pytest.approx([float(one[name]) for one in single])


def test_how_often_codes_are_zero_marks_no_tile() -> None:
    known = load("sky130hd")
    assert isinstance(known, CalibratedTech)
    found = fitted_family(known.toml, "int").known
    assert "steps" in found.numbers
    assert not {"act_quiet", "weight_quiet"} & found.numbers.keys()
    assert {"act_quiet", "weight_quiet"} < set(ACTIVITY)


def test_enables_of_the_inputs_and_of_what_waits() -> None:
    plain = {"m": 2, "n": 3, "k": 4, "bits": 3, "acts": "int8"}
    assert [held_bits(family("int"), tile("int", **plain, stages=stages).p) for stages in (2, 3)] == [
        0,
        2 * 32 + 3 * 12,
    ]
    # A bf16 scale a row and an fp16 one a column, at the inputs and beside the sums.
    lanes = tile("int", **plain, stages=3, post_lanes=1)
    assert held_bits(family("int"), lanes.p) == 2 * 32 + 3 * 12 + 2 * (2 * 16 + 3 * 16)
    assert features(lanes, "control").numbers["held"] == held_bits(family("int"), lanes.p)
    assert features(lanes, "cell").numbers["held"] == 0


def rows_of(name: str, count: int) -> list[Measured]:
    known = load("sky130hd")
    assert isinstance(known, CalibratedTech)
    rows = _rows(known.toml.with_suffix(".csv"))[name]
    specs = list(dict.fromkeys(repr(row.spec) for row in rows))[:count]
    return [row for row in rows if repr(row.spec) in specs]


def test_a_table_is_fitted_anew_with_and_without_tiles(tmp_path: Path) -> None:
    rows = rows_of("int", 10)
    specs = list({repr(row.spec): row.spec for row in rows}.values())
    table = tmp_path / "mine.toml"
    kept = [row for row in rows if row.spec != specs[-1]]
    facts = {"name": "mine", "title": "mine", "node_nm": 130.0}
    write_tables(kept, table, facts, {"status": "measured"})
    more = [row for row in rows if row.spec in specs[-2:]]
    refit(table, more, "one more, one again", lambda spec: spec == specs[-2])
    again = read_rows(table.with_suffix(".csv").read_text(), "mine")
    assert {repr(row.spec) for row in again} == {repr(spec) for spec in specs}
    # The one that was measured again comes after the others.
    assert [row.spec for row in again][-1] in specs[-2:]
    assert sorted(map(str, (row.row() for row in again))) == sorted(map(str, (row.row() for row in rows)))
    assert 'more = "one more, one again"' in table.read_text()


@pytest.mark.slow
def test_every_name_has_some_tiles_of_a_calibration() -> None:
    known = list({repr(row.spec): row.spec for row in rows_of("posit", 40)}.values())
    found = [*known, *seldom_tiles("posit", known, least=3)]
    for parameter in ("transport", "format", "readout", "simd_along"):
        for value in legal_values("posit", parameter):
            assert sum(getattr(spec, parameter) == value for spec in found) >= 3, (parameter, value)
