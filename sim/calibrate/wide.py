"""Tiles over the whole legal space, on which the cost model is judged: seeded draws, derived from the parameters.

Families share the tiles equally. A parameter takes any legal value: names and ranges of at most `_UNIFORM_TO` values
uniformly, longer ranges (tile shape, k, group, depth) uniformly in their logarithm. Combinations that a family refuses
are drawn again; so are tiles too large to be measured in one piece. Four things are settled so that anything is left
of a draw: a group becomes a multiple of the step (its own where a format has one), lanes are none in one of two and a
divisor of n otherwise, a depth is no shorter than a step, and cuts are none in one of two and `MOST_CUTS` at most.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwgen.errors import HwgenError
from hwgen.formats import block_format, block_names, names
from hwgen.frame.param import Param, Range
from hwgen.pe import TileSpec, family
from hwgen.pe._scaled import UNMEASURED_SCALES
from sim.calibrate.plan import MOST_CUTS, calibration_tiles, hardware, rough_ge, runs, spread_out, without_loop
from sim.tech._model import ACTIVITY

__all__ = [
    "LARGE_GE",
    "SMALL_GE",
    "WideTiles",
    "draws",
    "end_tiles",
    "large_tiles",
    "legal_tiles",
    "legal_values",
    "seldom_tiles",
    "wide_tiles",
]

SMALL_GE, LARGE_GE = 12_000.0, 48_000.0
"""Bounds on a tile's size in rough gate equivalents, about twice its cells: of most tiles, and of the large ones."""
LARGE_SHARE = 8
"""One of so many tiles of a family is a large one."""
_UNIFORM_TO = 64
_END_GE = 6_000.0
_CANDIDATES, _CANDIDATE_DRAWS = 200, 60_000
_LEGAL_DRAWS = 60_000
_LANES_SHARE = 6
_LARGEST_DRAWS = 400_000
_LEAST_OF_A_NAME, _SELDOM_DRAWS = 6, 20_000
"""Tiles that a calibration has of each name, and most draws to find those that are missing."""


@dataclass(frozen=True)
class WideTiles:
    """Tiles of one family, in the order of their draws: two independent sets, of which only ``development`` may be
    looked at before the model is settled. ``legal`` and ``fitting`` are the shares of draws that the family takes, and
    of those the shares that are small enough for ``SMALL_GE`` and for ``LARGE_GE``.
    """

    development: tuple[TileSpec, ...]
    blind: tuple[TileSpec, ...]
    legal: float
    fitting: tuple[float, float]


@functools.cache
def _formats() -> tuple[str, ...]:
    """Names of formats; those of minifloats are a pattern, here with a sign and at most 16 bits."""
    patterns = (f"e{exponent}m{mantissa}" for exponent in range(1, 9) for mantissa in range(15 - exponent + 1))
    return (*names(), *patterns)


@functools.cache
def legal_values(name: str, parameter: str) -> tuple[Any, ...] | Range:
    """Values that a parameter of a family may take by itself. Names that a family checks itself are formats, of which
    those count that it takes with defaults beside them; texts that it takes whatever they say are left as they are.
    FP32 scales of weights, which stored K-blocks need and which change post lanes alone, are not drawn.
    """
    spec = family(name)
    p: Param = spec.parameters()[parameter]
    if parameter == "weight_scale" and isinstance(p.legal, tuple):
        return tuple(value for value in p.legal if value not in UNMEASURED_SCALES)
    if p.legal is not None:
        return p.legal

    def taken(value: str) -> bool:
        named: dict[str, Any] = {parameter: value}
        try:
            spec(**named)
        except HwgenError:
            return False
        return True

    if taken("no format"):
        return (p.default,)
    return tuple(value for value in _formats() if taken(value)) or (p.default,)


def _value(legal: tuple[Any, ...] | Range, rng: random.Random) -> Any:
    if not isinstance(legal, Range):
        return rng.choice(legal)
    if legal.high - legal.low < _UNIFORM_TO:
        return rng.randint(legal.low, legal.high)
    # Uniform in the logarithm over whole numbers: [v, v + 1) is v; 0 counts as one more octave.
    shift = 1 if legal.low == 0 else 0
    low, high = legal.low + shift, legal.high + shift
    return min(int(low * ((high + 1) / low) ** rng.random()), high) - shift


def draws(
    name: str, seed: int, shapes: tuple[int, ...] = (), usual: float = 0.0, given: Mapping[str, Any] | None = None
) -> Iterator[TileSpec | None]:
    """Tiles of a family over its legal values, one after the other; None where a combination is refused.

    For calibrations, which have to find small tiles: ``shapes`` are rows and columns to choose from, ``usual`` is the
    probability of a default instead of a drawn name, ``given`` are names that are not drawn.
    """
    spec, given = family(name), given or {}
    about = f"wide {name} {seed} {shapes} {usual}" if shapes else f"wide {name} {seed}"
    rng = random.Random(f"{about} {given}" if given else about)
    while True:
        values = {parameter: _value(legal_values(name, parameter), rng) for parameter in spec.parameters()}
        if shapes:
            values |= {side: rng.choice(shapes) for side in ("m", "n")}
        for parameter, p in spec.parameters().items():
            if usual and p.type is not int and rng.random() < usual:
                values[parameter] = p.default
            if given and p.type is int and parameter not in ("m", "n") and rng.random() < 0.7:
                # Tiles with what goes together seldom are large by their numbers already.
                most, legal = min(values[parameter], p.default), legal_values(name, parameter)
                values[parameter] = rng.randint(min(legal.low, most), most) if isinstance(legal, Range) else most
        values |= given
        for parameter, p in spec.cut_parameters().items():
            more = rng.randint(0, MOST_CUTS)
            values[parameter] = p.default + more
            if rng.random() < 0.5 or without_loop(spec, values, p):
                values[parameter] = p.default
        lanes = rng.random(), rng.random()
        if "post_lanes" in values:
            divisors = [count for count in range(1, values["n"] + 1) if values["n"] % count == 0]
            some = divisors[int(lanes[1] * len(divisors))]
            none = legal_values(name, "post_lanes")
            always = isinstance(none, Range) and none.low > 0
            values["post_lanes"] = some if lanes[0] < 0.5 or always else 0
        try:
            yield spec(**_settled(spec, values))
        except HwgenError:
            yield None


def _settled(spec: type[TileSpec], values: dict[str, Any]) -> dict[str, Any]:
    own = [block_format(value) for value in values.values() if isinstance(value, str) and value in block_names()]
    fixed = next((form.block for form in own if form.scheme != "mx"), None)
    step = int(spec.layer_k(values))
    group = values["group"]
    if fixed is not None:
        group = fixed
        if group % step:
            raise HwgenError("a step must divide the format's block")
    elif group:
        group = max(group - group % step, step)
    settled = {**values, "group": group, "depth": max(values["depth"], step)}
    # Neither a group that no accumulator holds counts as legal, nor two sums that saturate apart and are then combined.
    if values["overflow"] == "refuse" and int(spec.sum_group(settled)) > int(spec.sum_depth(settled)):
        raise HwgenError("depth must hold a group")
    if values["overflow"] == "saturate" and spec.row_sum_range(settled) is not None:
        raise HwgenError("sums must not saturate beside activation sums")
    return settled


def wide_tiles(name: str, count: int, seed: int = 11) -> WideTiles:
    """``count`` tiles of a family, half of them for development, half of them blind; one of `LARGE_SHARE` is large."""
    large = count // LARGE_SHARE
    wanted = {False: count - large, True: large}
    found: dict[bool, dict[str, TileSpec]] = {False: {}, True: {}}
    tried = legal = small = fitting = 0
    for drawn in itertools.islice(draws(name, seed), _LARGEST_DRAWS):
        if all(len(found[size]) >= wanted[size] for size in found):
            break
        tried += 1
        if drawn is None:
            continue
        legal += 1
        size = rough_ge(drawn)
        small += size <= SMALL_GE
        fitting += size <= LARGE_GE
        if size <= LARGE_GE and len(found[size > SMALL_GE]) < wanted[size > SMALL_GE]:
            found[size > SMALL_GE].setdefault(repr(drawn), drawn)
    tiles = {size: list(specs.values()) for size, specs in found.items()}
    halves = [(*tiles[False][half::2], *tiles[True][1 - half :: 2]) for half in (0, 1)]
    shares = (small / max(legal, 1), fitting / max(legal, 1))
    return WideTiles(halves[0], halves[1], legal / max(tried, 1), shares)


@functools.cache
def _candidates(
    name: str,
    seed: int,
    shapes: tuple[int, ...],
    low: float,
    high: float,
    count: int = _CANDIDATES,
    usual: float = 0.6,
    most: int = _CANDIDATE_DRAWS,
    lanes: bool = False,
) -> tuple[TileSpec, ...]:
    found: dict[str, TileSpec] = {}
    for drawn in itertools.islice(draws(name, seed, shapes, usual), most):
        if drawn is not None and low < rough_ge(drawn) <= high and (drawn.lanes or not lanes):
            found.setdefault(repr(drawn), drawn)
        if len(found) == count:
            break
    return tuple(found.values())


def end_tiles(name: str, count: int, seed: int = 12) -> list[TileSpec]:
    """``count`` small tiles of a calibration at the ends of what is legal, rows and columns apart: two thirds have
    blocks that are as far as possible from those of the tiles over sweep values, the others are drawn.
    """
    candidates = _candidates(name, seed, (1, 2), 0.0, _END_GE)
    far = spread_out(candidates, calibration_tiles(name, 60), count - count // 3, hardware)
    known = {repr(spec) for spec in far}
    others = (spec for spec in candidates if repr(spec) not in known)
    return far + list(itertools.islice(others, count // 3))


def legal_tiles(name: str, count: int, seed: int = 13) -> list[TileSpec]:
    """``count`` small tiles of a calibration, drawn over all legal values as those are on which the model is judged,
    and one of `_LANES_SHARE` more with post lanes, which small tiles seldom have; fewer where the family has not as
    many in `_LEGAL_DRAWS` draws.
    """
    wanted = ((count, 0.0, _END_GE, False), (count // _LANES_SHARE, _END_GE, SMALL_GE, True))
    return [spec for many, low, high, lanes in wanted for spec in _legal(name, seed, low, high, many, lanes)]


def _legal(name: str, seed: int, low: float, high: float, count: int, lanes: bool) -> list[TileSpec]:
    """Tiles of a size: with any names, and where these refuse each other too often, with more and more defaults."""
    found: dict[str, TileSpec] = {}
    for usual in (0.0, 0.6, 0.8):
        if len(found) < count:
            more = _candidates(name, seed, (1, 2), low, high, count, usual, _LEGAL_DRAWS, lanes)
            found |= {repr(spec): spec for spec in more}
    return list(found.values())[:count]


def seldom_tiles(name: str, known: Sequence[TileSpec], least: int = _LEAST_OF_A_NAME, seed: int = 14) -> list[TileSpec]:
    """Small tiles of a calibration with names that fewer than ``least`` of the ``known`` tiles have, until each has so
    many: what goes together seldom, or takes many values beside it, draws and walks hardly meet.
    """
    found: list[TileSpec] = []
    for parameter, p in family(name).parameters().items():
        legal = legal_values(name, parameter)
        # Labels are told by their numbers.
        labels = family(name).NOT_IN_BLOCKS - set(ACTIVITY)
        if p.type is int or isinstance(legal, Range) or parameter in labels:
            continue
        for value in legal:
            missing = least - sum(getattr(spec, parameter) == value for spec in (*known, *found))
            drawn = draws(name, seed, (1, 2), 0.3, {parameter: value}) if missing > 0 else iter(())
            for spec in itertools.islice(drawn, _SELDOM_DRAWS):
                if missing <= 0:
                    break
                if spec is not None and rough_ge(spec) <= SMALL_GE and runs(spec) and spec not in found:
                    found.append(spec)
                    missing -= 1
    return found


def large_tiles(name: str, count: int, seed: int = 12) -> list[TileSpec]:
    """``count`` arrays of a calibration that are measured in one piece too: what flattening does may go with size."""
    return list(_candidates(name, seed, (4, 8), SMALL_GE, LARGE_GE * 0.75, count)) if count else []
