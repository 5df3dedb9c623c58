"""Constraints: what is a condition, which points meet it, and what is said where none does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dse.explore import explore
from dse.level import Missed
from dse.plan import LevelSpec
from dse.sweep import run_sweep
from dse.where import Condition, miss_sentence, parse_condition
from hwgen.errors import HwgenError
from sim.estimate import estimate
from tests.dse.sweeps import LAYERS, plan, spaces


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("area_um2 <= 1e6", Condition("area_um2 <= 1e6", "area_um2", "<=", 1e6)),
        ("  area_um2<1_000 ", Condition("area_um2<1_000", "area_um2", "<", 1000.0)),
        ("bits = 4", Condition("bits = 4", "bits", "==", 4.0)),
        ("bound == weights", Condition("bound == weights", "bound", "==", "weights")),
        ("latency_us <= baseline", Condition("latency_us <= baseline", "latency_us", "<=", 1.0, of_baseline=True)),
        ("a > 0.9 baseline", Condition("a > 0.9 baseline", "a", ">", 0.9, of_baseline=True)),
        ("a > 2 * baseline", Condition("a > 2 * baseline", "a", ">", 2.0, of_baseline=True)),
        ("a within 5% of baseline", Condition("a within 5% of baseline", "a", of_baseline=True, within=0.05)),
    ],
)
def test_conditions(text: str, condition: Condition) -> None:
    assert parse_condition(text) == condition


@pytest.mark.parametrize(
    "text",
    ["", "area_um2", "area_um2 <=", "<= 5", "a <= b c", "a => 5", "a <= 5; b <= 6", "a <= __import__('os')", "x" * 999],
)
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(HwgenError, match=r"constraint .*: must be COLUMN OP NUMBER with <=, <, >=, >, == or !="):
        parse_condition(text)


def test_numbers_without_end_are_refused() -> None:
    for text in ("a <= 1e999", "a within 1e999% of baseline", "a within -1% of baseline"):
        with pytest.raises(HwgenError, match="constraint"):
            parse_condition(text)


def test_points_meet_them() -> None:
    every = run_sweep(spaces(), LAYERS, tech="tpuv4i7", clk_period_ns=(1.5, 3.0)).points
    limit = float(every["area_um2"].median())
    texts = (f"area_um2 <= {limit!r}", "weight_bits > 2", "pe == lut")
    found = explore(plan(kind=LevelSpec(where=texts)))
    kept = every[(every["area_um2"] <= limit) & (every["weight_bits"] > 2) & (every["pe"] == "lut")]
    assert found.legal == len(kept) > 3
    assert sorted(found.sample["area_um2"]) == sorted(kept["area_um2"])
    small = every["area_um2"] <= limit
    counts = {
        f"int: constraint {texts[0]}": (~small & (every["pe"] == "int")).sum(),
        f"int: constraint {texts[1]}": (small & (every["weight_bits"] <= 2) & (every["pe"] == "int")).sum(),
        f"lut: constraint {texts[0]}": (~small & (every["pe"] == "lut")).sum(),
    }
    assert {name: found.skipped[name] for name in counts} == counts


def test_a_baseline_is_a_point_at_the_same_clock() -> None:
    values = {"pe": "int", "m": "2", "n": "8", "k": "4", "bits": "3", "post_lanes": "1"}
    kind = LevelSpec(
        where=("area_um2 within 10% of baseline", "latency_us <= 0.9 baseline"), baseline=tuple(values.items())
    )
    found = explore(plan(kind=kind)).sample
    every = run_sweep(spaces(), LAYERS, tech="tpuv4i7", clk_period_ns=(1.5, 3.0)).points
    total = 0
    for clock in (1.5, 3.0):
        tile = spaces()[0].spec.from_values({name: int(one) for name, one in values.items() if name != "pe"})
        report = sum(estimate(tile, layer, "tpuv4i7", clock) for layer in LAYERS)
        own = every[every["clk_period_ns"] == clock]
        near = (own["area_um2"] / report.total_area_um2 - 1).abs() <= 0.1
        kept = own[near & (own["latency_us"] <= 0.9 * report.latency_us)]
        assert sorted(found[found["clk_period_ns"] == clock]["area_um2"]) == sorted(kept["area_um2"])
        total += len(kept)
    assert total


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            ("aera_um2 <= 5",),
            "constraint 'aera_um2 <= 5': no column 'aera_um2'; did you mean 'area_um2'?; columns: ",
        ),
        (("pe <= 5",), "constraint 'pe <= 5': pe is compared with a name, not 5.0"),
        (("pe < int",), "constraint 'pe < int': pe is no number, so it is compared by == or !="),
        (("area_um2 <= big",), "constraint 'area_um2 <= big': area_um2 is compared with a number, not 'big'"),
        (("area_um2 <= baseline",), "constraint 'area_um2 <= baseline': needs a baseline, e.g. --baseline"),
        (
            ("area_um2 <= 1",),
            "sweep: none of the 240 legal points meets the constraint 'area_um2 <= 1': the ",
        ),
    ],
)
def test_mistakes(where: tuple[str, ...], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        explore(plan(kind=LevelSpec(where=where)))
    assert str(caught.value).startswith(message)


def test_a_baseline_that_is_no_point() -> None:
    for values, message in (
        ({"pe": "int", "bitz": "4"}, "int: no parameter 'bitz'; did you mean 'bits'"),
        ({"pe": "int", "bits": "99"}, "int: bits must be a whole number from 1 to 16, not 99"),
        ({"pe": "int", "group": "64", "k": "128"}, "baseline: pe=int group=64 k=128 is not legal here: "),
    ):
        with pytest.raises(HwgenError) as caught:
            explore(plan(kind=LevelSpec(where=("area_um2 <= baseline",), baseline=tuple(values.items()))))
        assert str(caught.value).startswith(message)


def test_the_nearest_miss_is_told() -> None:
    """Of each alone where one is met by none; else of all together."""
    every = run_sweep(spaces(), LAYERS, tech="tpuv4i7", clk_period_ns=(1.5, 3.0)).points
    least = float(every["area_um2"].min())
    with pytest.raises(HwgenError) as caught:
        explore(plan(kind=LevelSpec(where=("weight_bits >= 2", f"area_um2 <= {least / 2!r}"))))
    assert str(caught.value).endswith(f": the nearest has area_um2 {least:.6g}, which misses by 100.00%")
    fast = float(every["latency_us"].min())
    where = (f"area_um2 <= {least * 1.01!r}", f"latency_us <= {fast * 1.01!r}")
    misses = pd.DataFrame(
        {
            "area_um2": np.maximum(every["area_um2"] / (least * 1.01) - 1, 0),
            "latency_us": np.maximum(every["latency_us"] / (fast * 1.01) - 1, 0),
        }
    )
    at = misses.max(axis=1).idxmin()
    name = misses.loc[at].idxmax()
    share = misses.loc[at].max()
    by = f"{share:.2%}" if share < 10 else f"a factor of {share + 1:.3g}"
    with pytest.raises(HwgenError) as caught:
        explore(plan(kind=LevelSpec(where=where)))
    assert str(caught.value).endswith(
        f"together: the nearest has {name} {every.loc[at, name]:.6g}, which misses by {by}"
    )


def test_values_that_are_not_known_meet_nothing() -> None:
    nan = np.array([1.0, np.nan])
    for op in ("<=", ">=", "==", "!="):
        assert not parse_condition(f"a {op} 1").holds(nan, 1.0)[1]
    # A parameter that a family lacks.
    found = explore(plan(kind=LevelSpec(where=("planes_per_cycle != 7",))))
    assert set(found.sample["pe"]) == {"lut"}


def test_misses_add_up() -> None:
    one = Missed(3, (0, 2), ((0.5, 7.0), None), (0.5, 0, 7.0))
    other = Missed(2, (0, 0), ((0.25, 6.0), (2.0, 1.0)), (3.0, 1, 9.0))
    assert one + Missed() == Missed() + one == one
    assert one + other == Missed(5, (0, 2), ((0.25, 6.0), (2.0, 1.0)), (0.5, 0, 7.0))
    assert miss_sentence(("a <= 1", "b <= 1"), Missed()) is None
    said = miss_sentence(("a <= 1", "b <= 1"), one + other)
    assert (
        said == "none of the 5 legal points meets the constraint 'a <= 1': the nearest has a 6, which misses by 25.00%"
    )


def test_rows_of_a_file_meet_them_too() -> None:
    level = LevelSpec(where=("weight_bits > 2",)).make()
    found = run_sweep(spaces(), LAYERS, tech="tpuv4i7", clk_period_ns=1.5, level=level)
    assert found.points["weight_bits"].min() > 2
    assert found.skipped["int: constraint weight_bits > 2"] > 0
    assert found.metadata["constraints"] == ["weight_bits > 2"]
