"""Which tiles a calibration measures, and which ones it is checked on: seeded lists, derived from the parameters.

Both are chosen by the same walk: draw legal tiles at random, then take again and again the one that is farthest from
all that were taken, in the space in which the model interpolates. That fills corners and leaves the middle, where users
are, thin: a third of a calibration is drawn at random instead. Calibration tiles take sweep values only, and cuts up to
`MOST_CUTS`; held-out tiles take any legal value between them.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from hwgen.errors import HwgenError
from hwgen.frame.inventory import ONCE
from hwgen.frame.param import Param, Range
from hwgen.frame.spec import TileSpec
from hwgen.pe import family
from hwgen.schedule import Layer, Schedule

__all__ = [
    "COUNTS_ALONE",
    "GE",
    "MOST_CUTS",
    "calibration_tiles",
    "hardware",
    "held_out_tiles",
    "rough_ge",
    "spread_out",
]

_SMALL_GE, _LARGE_GE, _HUGE_GE = 9_000.0, 16_000.0, 32_000.0
"""Bounds of tiles that are measured, in rough gate equivalents (about twice their cells): for most of a calibration;
for tiles with post lanes, held-out ones, and values that no smaller tile has; and for values that none of those has.
"""
_DRAWN_SHARE = 3
"""One of so many calibration tiles is drawn at random, not spread out."""
_LANES_SHARE = 8
"""One of so many spread tiles has post lanes at least, where the family has them."""
_HARDWARE_SHARE = 3
"""One of so many spread tiles is chosen for its blocks, the others for their parameters."""
_UNSEEN_SHARE = 4
"""For values that no other tile has there are as many tiles more, at most, as one of so many."""
GE = {"ff": 7.0, "add": 6.0, "mux2": 2.25, "xor": 2.25, "and": 1.25, "mul": 7.25}
"""Rough gate equivalents of a primitive."""
_DRAWS = 400
_SHAPES = {"m": (1, 2, 3), "n": (1, 2, 4)}
"""Tiles of a calibration are small: their shape enters the model by counts alone."""
MOST_CUTS = 6
"""Most cuts in a block, and most cycles of a loop beyond one, of tiles that are measured; half of them have none."""
_CUTS = (0, 1, 2, 4, MOST_CUTS)
COUNTS_ALONE = {*_SHAPES, "post_lanes"}


def rough_ge(spec: TileSpec) -> float:
    """Size of a tile from its inventory, in rough gate equivalents."""
    return float(
        sum(
            block.count * sum(GE[name] * number for name, number in block.primitives.items())
            for block in spec.blocks(spec.p).values()
        )
    )


def _axes(spec: type[TileSpec], between: bool) -> dict[str, tuple[Any, ...]]:
    """Values of every parameter that a tile may take."""
    axes: dict[str, tuple[Any, ...]] = {}
    for name, p in spec.parameters().items():
        if name in _SHAPES:
            axes[name] = _SHAPES[name]
        elif p.cuts and p.sweep:
            axes[name] = tuple(p.default + more for more in (range(MOST_CUTS + 1) if between else _CUTS))
        elif between and p.type is int and isinstance(p.legal, Range) and len(p.sweep) > 1:
            axes[name] = tuple(range(min(p.sweep), max(p.sweep) + 1))
        else:
            axes[name] = p.sweep or (p.default,)
    return axes


def position(spec: TileSpec) -> dict[str, Any]:
    """Where a tile lies: log2 of numbers, names as they are."""
    values = {}
    for name, p in spec.parameters().items():
        value = getattr(spec, name)
        values[name] = float(np.log2(value + 1)) if p.type is int else value
    return values


def _distance(one: dict[str, Any], other: dict[str, Any]) -> float:
    total = 0.0
    # In the order of the dictionaries: a set's order, and with it the last bit of the sum, differs between processes.
    for name in one | other:
        mine, others = one.get(name, 0.0), other.get(name, 0.0)
        if isinstance(mine, float) and isinstance(others, float):
            total += (mine - others) ** 2
        else:
            total += mine != others
    return total


def without_loop(spec: type[TileSpec], values: dict[str, Any], p: Param) -> bool:
    """Whether a parameter is of a loop that tiles with such values do not have."""
    return p.loop and "cell" in p.cuts and not spec.loops(values)


def _draw(
    spec: type[TileSpec],
    axes: dict[str, tuple[Any, ...]],
    rng: random.Random,
    fixed: tuple[str, Any] | None = None,
) -> TileSpec | None:
    """A tile, or None where the values contradict each other; ``fixed`` is a parameter and the value it keeps."""
    values = {name: rng.choice(options) for name, options in axes.items()}
    for name, p in spec.cut_parameters().items():
        if rng.random() < 0.5 or without_loop(spec, values, p):
            values[name] = p.default
    if rng.random() < 0.5:
        # Many combinations contradict each other: half of the draws stay close to the defaults.
        for name, p in spec.parameters().items():
            if name not in _SHAPES and rng.random() < 0.6:
                values[name] = p.default
    if fixed is not None:
        values[fixed[0]] = fixed[1]
    if values.get("post_lanes"):
        values["post_lanes"] = rng.choice([lanes for lanes in (1, 2, 4) if values["n"] % lanes == 0])
    if values["overflow"] == "refuse" and values["group"] > values["depth"]:
        # A longer group would be refused.
        values["group"] = values["depth"] - values["depth"] % values["k"]
    try:
        drawn = spec(**values)
    except HwgenError:
        return None
    return drawn if runs(drawn) else None


def runs(spec: TileSpec) -> bool:
    """Whether a tile takes a group of a layer, which measuring its energy needs."""
    k = spec.group or int(spec.layer_k(spec.p))
    try:
        Schedule(spec, Layer("one group", spec.m, spec.n * int(spec.layer_outputs(spec.p)), k))
    except HwgenError:
        return False
    return True


def spread_out(
    candidates: Sequence[TileSpec],
    first: Iterable[TileSpec],
    count: int,
    place: Callable[[TileSpec], dict[str, Any]] = position,
) -> list[TileSpec]:
    """``count`` of the candidates, each as far as possible from ``first`` and from those before it."""
    positions = [place(spec) for spec in candidates]
    taken = [place(spec) for spec in first]
    nearest = [min((_distance(p, t) for t in taken), default=np.inf) for p in positions]
    chosen: list[TileSpec] = []
    while len(chosen) < min(count, len(candidates)):
        index = int(np.argmax(nearest))
        chosen.append(candidates[index])
        nearest = [min(old, _distance(p, positions[index])) for old, p in zip(nearest, positions, strict=True)]
    return chosen


@functools.cache
def _candidates(name: str, seed: int, between: bool, max_ge: float, lanes: bool = False) -> tuple[TileSpec, ...]:
    spec = family(name)
    axes = _axes(spec, between)
    rng = random.Random(f"{name} {seed} {between} {lanes}")
    found: dict[str, TileSpec] = {}
    for _ in range(_DRAWS * 40):
        drawn = _draw(spec, axes, rng)
        if drawn is not None and (drawn.lanes or not lanes) and rough_ge(drawn) <= max_ge:
            found.setdefault(repr(drawn), drawn)
        if len(found) == _DRAWS:
            break
    return tuple(found.values())


def hardware(spec: TileSpec) -> dict[str, Any]:
    """What a tile's blocks are made of and fed with: log2 of the counts, formats, and the pace of a layer."""
    found: dict[str, Any] = {}
    for kind, block in spec.modules(spec.p).items():
        if kind not in ONCE:
            found |= {f"{kind}.{name}": float(np.log2(1 + count)) for name, count in block.primitives.items()}
    formats = spec.mode_formats(spec.layer_mode)
    found |= {"acts": formats[0].name, "weights": formats[1].name}
    found |= {"k": float(spec.layer_k(spec.p)), "cycles": float(spec.layer_cycles(spec.p))}
    return found


def _values(spec: TileSpec) -> set[tuple[str, Any]]:
    return {(name, getattr(spec, name)) for name in spec.parameters() if name not in COUNTS_ALONE}


def _unseen(name: str, seed: int, chosen: Iterable[TileSpec]) -> list[TileSpec]:
    """Tiles that have a sweep value which none of ``chosen`` has, as small as there are for each value."""
    parameters = family(name).parameters().items()
    wanted = {(name, value) for name, p in parameters if name not in COUNTS_ALONE for value in p.sweep}
    known = set().union(*(_values(spec) for spec in chosen))
    found: list[TileSpec] = []
    for bound in (_SMALL_GE, _LARGE_GE, _HUGE_GE):
        if wanted <= known:
            break
        new = [spec for spec in _candidates(name, seed, False, bound) if not _values(spec) <= known]
        known = known.union(*(_values(spec) for spec in new))
        found += new
    for value in sorted(wanted - known, key=repr):
        # Few of all combinations allow such a value: draw with it alone.
        if value not in known and (alone := _smallest_with(name, seed, value)) is not None:
            known |= _values(alone)
            found.append(alone)
    return found


def _smallest_with(name: str, seed: int, value: tuple[str, Any]) -> TileSpec | None:
    """The smallest of some drawn tiles that have a value of a parameter; None where that is refused every time."""
    spec = family(name)
    axes, rng = _axes(spec, False), random.Random(f"{name} {seed} {value}")
    drawn = (_draw(spec, axes, rng, value) for _ in range(_DRAWS * 10))
    return min((tile for tile in drawn if tile is not None), key=rough_ge, default=None)


def _covering(candidates: Sequence[TileSpec], chosen: Sequence[TileSpec], count: int) -> list[TileSpec]:
    """At most ``count`` of the candidates: first those with most values that no other has, then the farthest ones."""
    known = set().union(*(_values(spec) for spec in chosen))
    left, taken = list(candidates), list[TileSpec]()
    while left and len(taken) < count:
        best = max(left, key=lambda spec: len(_values(spec) - known))
        if _values(best) <= known:
            break
        taken.append(best)
        left.remove(best)
        known |= _values(best)
    return taken + spread_out(left, [*chosen, *taken], count - len(taken))


def calibration_tiles(name: str, count: int, seed: int = 1) -> list[TileSpec]:
    """``count`` small tiles of a family over its sweep values, and up to a quarter more for values these leave out.

    Two thirds are spread out. Some of them have post lanes; most are far apart in their parameters; since not every
    parameter matters in every tile, the rest are tiles whose blocks no other one has. The last third is drawn.
    """
    drawn = count // _DRAWN_SHARE
    spread = count - drawn
    lanes = -(-spread // _LANES_SHARE)
    others = spread // _HARDWARE_SHARE
    with_lanes = spread_out(_candidates(name, seed, False, _LARGE_GE, lanes=True), (), lanes)
    small = _candidates(name, seed, False, _SMALL_GE)
    chosen = with_lanes + spread_out(small, with_lanes, spread - len(with_lanes) - others)
    taken = {repr(hardware(spec)) for spec in chosen}
    new = list({repr(hardware(spec)): spec for spec in small if repr(hardware(spec)) not in taken}.values())
    chosen += spread_out(new, chosen, others, hardware)
    chosen += _covering(_unseen(name, seed, chosen), chosen, spread // _UNSEEN_SHARE)
    known = {repr(spec) for spec in chosen}
    any_of_them = (spec for spec in _candidates(name, seed, False, _LARGE_GE) if repr(spec) not in known)
    return chosen + list(itertools.islice(any_of_them, drawn))


def held_out_tiles(name: str, count: int, seed: int = 2) -> list[TileSpec]:
    """``count`` tiles of a family that no calibration measures: values between sweep values are legal here.

    Drawn at random, not spread out: the model has to hold where users are, not only at corners.
    """
    known = {repr(spec) for lanes in (False, True) for spec in _candidates(name, 1, False, _LARGE_GE, lanes)}
    drawn = [spec for spec in _candidates(name, seed, True, _LARGE_GE) if repr(spec) not in known]
    return drawn[:count]
