"""Cuts by a clock: against a search over all of them, one by one, and for arrays of tiles at once."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.frame.param import Range
from hwgen.pe import TileSpec, families, family
from sim.clock import OWN, at_clock, settle
from sim.tech import CalibratedTech, load

TECH = load("sky130hd")
assert isinstance(TECH, CalibratedTech)

TILES: list[tuple[str, dict[str, Any]]] = [
    ("int", {"k": 8}),
    ("lut", {"bits": 2}),
    ("mixpe", {"bits": 4}),
    ("mx", {"post_lanes": 1}),
    ("bitmod", {"post_lanes": 1}),
    ("minifloat", {"bits": 16, "accumulator": "fp32"}),
    ("minifloat", {"bits": 8}),
    ("posit", {"k": 2}),
]
SMALL = {"m": 1, "n": 1}


def fastest(spec: type[TileSpec], values: dict[str, Any]) -> float:
    """Shortest clock period that cuts reach, from the sentence that refuses a shorter one."""
    with pytest.raises(HwgenError, match="no number of cuts makes it shorter") as refused:
        at_clock(spec, {**SMALL, **values}, TECH, 0.01)
    words = str(refused.value).split()
    return float(words[words.index("least") + 1])


def bits(tile: TileSpec, kinds: tuple[str, ...]) -> int:
    return sum(int(block.primitives.get("ff", 0)) for kind, block in tile.modules(tile.p).items() if kind in kinds)


def every(tile: TileSpec, kinds: tuple[str, ...]) -> list[TileSpec]:
    """Tiles with all legal cuts of blocks of some kinds."""
    known = {name: one for name, one in tile.cut_parameters().items() if set(one.cuts) & set(kinds)}
    axes = []
    for one in known.values():
        assert isinstance(one.legal, Range)
        axes.append(range(one.default, one.legal.high + 1))
    found = []
    for values in itertools.product(*axes):
        try:
            found.append(type(tile)(**{**tile.p, **dict(zip(known, values, strict=True))}))
        except HwgenError:
            continue
    return found


@pytest.mark.parametrize(("name", "values"), TILES)
@pytest.mark.parametrize("slower", [1.02, 1.5, 3.0])
def test_no_tile_with_fewer_registers_keeps_the_clock(name: str, values: dict[str, Any], slower: float) -> None:
    clock = slower * fastest(family(name), values)
    tile = at_clock(family(name), {**SMALL, **values}, TECH, clock)
    period = TECH.structure(type(tile), tile.p, clock).min_clk_period_ns
    assert period is not None
    assert float(period) <= clock
    for kinds in (("row", "col"), ("cell", "rowsum"), ("post",)):
        there = tuple(kind for kind in kinds if kind in tile.modules(tile.p))
        if not there:
            continue
        periods = [
            (max(map(float, TECH.periods(type(other), other.p, there).values())), other) for other in every(tile, there)
        ]
        # As the smallest mapping, and where none keeps the clock as one for speed.
        others = [other for longest, other in periods if longest <= clock]
        others = others or [other for longest, other in periods if longest * TECH.speed.period <= clock]
        assert bits(tile, there) == min(bits(other, there) for other in others)


@pytest.mark.parametrize(("name", "values"), TILES)
def test_the_clock_that_a_refusal_names_is_kept(name: str, values: dict[str, Any]) -> None:
    spec = family(name)
    best = fastest(spec, values)
    at_clock(spec, {**SMALL, **values}, TECH, best)
    with pytest.raises(HwgenError, match="bounds it"):
        at_clock(spec, {**SMALL, **values}, TECH, best * 0.97)


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        ("int", {"k": (2, 4, 8, 16), "depth": (128, 4096), "n": (1, 8)}),
        ("mx", {"k": (4, 8), "n": (1, 2, 4), "post_lanes": (1,)}),
        ("minifloat", {"k": (1, 2, 4), "m": (1, 2)}),
    ],
)
@pytest.mark.parametrize("clock", [3.0, 6.0])
def test_arrays_are_settled_as_single_tiles(name: str, axes: dict[str, tuple[int, ...]], clock: float) -> None:
    spec = family(name)
    fixed = {"bits": 16, "accumulator": "fp32"} if name == "minifloat" else {}
    p = spec.from_values({**SMALL, **fixed}).p
    for index, (axis, numbers) in enumerate(axes.items()):
        p[axis] = np.array(numbers).reshape(-1, *[1] * (len(axes) - 1 - index))
    found = settle(spec, p, TECH, clock)
    shape = tuple(len(numbers) for numbers in axes.values())
    meets = np.broadcast_to(found.meets, shape)
    best = np.broadcast_to(found.best_clk_period_ns, shape)
    for place in np.ndindex(*shape):
        values = {axis: numbers[index] for (axis, numbers), index in zip(axes.items(), place, strict=True)}
        if not meets[place]:
            with pytest.raises(HwgenError, match=f"at least {np.ceil(best[place] * 1000) / 1000:g}"):
                at_clock(spec, {**SMALL, **fixed, **values}, TECH, clock)
            continue
        tile = at_clock(spec, {**SMALL, **fixed, **values}, TECH, clock)
        for cut in spec.cut_parameters():
            assert np.broadcast_to(found.p[cut], shape)[place] == tile.p[cut], (cut, values)


@pytest.mark.parametrize("name", sorted(families()))
def test_who_places_registers_gets_these(name: str) -> None:
    spec = family(name)
    plain = spec.from_values(SMALL)
    assert at_clock(spec, SMALL, TECH, OWN) == plain
    assert at_clock(spec, {**SMALL, "cell_cuts": 0}, TECH, 1.0) == plain
    assert at_clock(spec, {**SMALL, "stages": 2}, TECH, 1.0) == spec.from_values({**SMALL, "stages": 2})


def test_loops_of_several_cycles_keep_an_update_a_cycle() -> None:
    spec = family("minifloat")
    values = {**SMALL, "bits": 16, "accumulator": "fp32"}
    tile = at_clock(spec, values, TECH, 1.1 * fastest(spec, {"bits": 16, "accumulator": "fp32"}))
    assert tile.p["adder_stages"] > 1
    assert tile.p["interleave"] == "ring"
    assert int(tile.step_cycles(tile.p)) == 1
    waiting = at_clock(spec, {**values, "interleave": "none"}, TECH, 8.0)
    assert waiting.p["interleave"] == "none"


def test_without_timing_no_clock_places_anything() -> None:
    tech = load("horowitz45")
    assert tech.default_clk_period_ns is None
    assert at_clock(family("int"), SMALL, tech, 0.001) == family("int")(m=1, n=1)


def test_default_clocks_are_choices_of_the_same_kind() -> None:
    """Between 30 and 37 gate delays."""
    from hwgen.pipeline.delays import gate_delay_ns

    for name in ("sky130hd", "asap7"):
        clock = load(name).default_clk_period_ns
        assert clock is not None
        assert 30 <= clock / gate_delay_ns(name) <= 37
