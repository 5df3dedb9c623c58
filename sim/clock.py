"""Tiles by their clock: the registers within their blocks that a clock period asks for, by a technology's model.

A family says what its logic is; parameters with `Param.cuts` say how many registers are put into which blocks, and how
many cycles loops take. A clock settles those that are not given: the fewest register bits with which every block keeps
the period as the smallest mapping, and, where none does, as one for speed.

The register between front-ends and cells (``stages`` 1) is never left out: buses cross the whole array,
and no model before layout knows what their wires cost.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.errors import HwgenError
from hwgen.frame.inventory import ONCE
from hwgen.frame.numbers import Num
from hwgen.frame.param import Param, Range
from hwgen.pe import TileSpec
from sim.tech import DEFAULT, CalibratedTech, Tech, load

__all__ = ["OWN", "Settled", "at_clock", "by_hand", "clock_of", "settle"]

P = Mapping[str, Any]

OWN = "own"
"""Clock of a tile that runs at its own shortest period, without registers that nobody asked for."""
_BY_HAND = ("stages",)
"""Parameters that place registers but that no clock settles."""
_COUNTS_ALONE = ("m", "n", "post_lanes")
"""Parameters of which one copy of a block knows nothing."""
_MOST = {False: 12, True: 8}
"""Most cuts, and most cycles of a loop, that are tried."""

_BOUND = {
    "row": "the front-end of a row",
    "col": "the front-end of a column",
    "cell": "the loop of the accumulator in a cell",
    "rowsum": "the loop of the activation sums",
    "post": "the loop of the FP32 adder in a post lane",
    "control": "the sequencing of the tile, which has no cuts",
    "pre_row": "the block before the activation buffer, which has no cuts",
    "pre_control": "the block before the activation buffer, which has no cuts",
}


@dataclass(frozen=True)
class Settled:
    """Parameters with their cuts settled (or those that are); scalars, or arrays that broadcast.

    ``min_clk_period_ns`` is the shortest period by kind of block that any number of cuts reaches, ``meets`` whether all
    of them keep the clock.
    """

    p: dict[str, Any]
    min_clk_period_ns: Mapping[str, Num]
    meets: Any

    @property
    def best_clk_period_ns(self) -> Num:
        """Shortest clock period that any number of cuts reaches."""
        best: Num = 0.0
        for value in self.min_clk_period_ns.values():
            best = np.maximum(best, value)
        return best


def by_hand(spec: type[TileSpec], given: Iterable[str]) -> list[str]:
    """Those of the given parameters that place registers: with one of them nothing is settled by a clock."""
    return [name for name in given if name in spec.cut_parameters() or name in _BY_HAND]


def clock_of(tech: Tech, clk_period_ns: float | str | None) -> float | None:
    """The period that is meant: None stands for the technology's default, and for none where the answer is None."""
    if clk_period_ns == OWN:
        return None
    if clk_period_ns is None:
        return tech.default_clk_period_ns
    return float(clk_period_ns)


def _groups(spec: type[TileSpec]) -> dict[tuple[str, ...], list[Param]]:
    """Parameters that cut the same blocks, by the kinds of these blocks."""
    found: dict[tuple[str, ...], list[Param]] = {}
    for one in spec.cut_parameters().values():
        shared = next((kinds for kinds in found if set(kinds) & set(one.cuts)), ())
        found[tuple(dict.fromkeys((*shared, *one.cuts)))] = [*found.pop(shared, []), one]
    return found


def _tried(one: Param) -> range:
    most = _MOST[one.loop]
    high = min(one.legal.high, most) if isinstance(one.legal, Range) else most
    return range(one.default, high + 1)


def _candidates(params: list[Param]) -> dict[str, np.ndarray]:
    """Values of the parameters of a group, [candidates]; fewer cycles of loops first, then fewer cuts."""
    ordered = sorted(params, key=lambda one: not one.loop)
    rows = np.array(list(itertools.product(*(_tried(one) for one in ordered))), dtype=np.int64)
    return {one.name: rows[:, column] for column, one in enumerate(ordered)}


def settle(
    spec: type[TileSpec], p: P, tech: CalibratedTech, clk_period_ns: float, fixed: Collection[str] = ()
) -> Settled:
    """Cuts of a tile, or of many, at a clock period.

    ``p``: every parameter; whole numbers may be integer arrays that broadcast, names are scalars. ``fixed``: names of
    those that stay as they are where a tile with longer loops would have others (`TileSpec.interleaved`).
    """
    chosen = {**p, **{name: value for name, value in spec.interleaved(p).items() if name not in fixed}}
    best: dict[str, Num] = {kind: tech.speed.period * value for kind, value in tech.periods(spec, chosen).items()}
    meets: Any = True
    for kinds, params in _groups(spec).items():
        found = _group(spec, chosen, tech, clk_period_ns, kinds, _candidates(params))
        if found is not None:
            chosen |= found.p
            best |= found.min_clk_period_ns
            meets = meets & found.meets
    for value in best.values():
        meets = meets & (value <= clk_period_ns)
    return Settled(chosen, best, meets)


def _group(
    spec: type[TileSpec],
    p: P,
    tech: CalibratedTech,
    clk_period_ns: float,
    kinds: Collection[str],
    candidates: Mapping[str, np.ndarray],
) -> Settled | None:
    """The parameters of ``candidates``, which cut blocks of ``kinds``; None where a tile has none of them."""
    if not set(kinds) & set(ONCE):
        # One copy is as long as another.
        p = {name: _first(value) if name in _COUNTS_ALONE else value for name, value in p.items()}
    depth = max((np.ndim(value) for value in p.values()), default=0)
    tried = {**p, **{name: values.reshape(-1, *[1] * depth) for name, values in candidates.items()}}
    periods = tech.periods(spec, tried, kinds)
    if not periods:
        return None
    legal: Any = functools.reduce(np.logical_and, (ok for ok, _ in spec.constraints(tried)), True)
    # Of a tile that is not legal anyhow it does not matter what it takes.
    legal = legal | ~np.any(legal, axis=0, keepdims=True) if np.ndim(legal) > depth else np.True_
    modules = spec.modules(tried)
    longest = functools.reduce(np.maximum, periods.values())
    bits = sum(modules[kind].primitives.get("ff", 0) for kind in periods)
    shape = np.broadcast_shapes(*map(np.shape, (legal, longest, bits, *(tried[name] for name in candidates))))
    longest = np.broadcast_to(np.where(legal, longest, np.inf), shape)
    bits = np.broadcast_to(bits, shape)
    speed = tech.speed.period
    small, fits = longest <= clk_period_ns, speed * longest <= clk_period_ns
    # Blocks that are mapped for speed are larger by more than registers are: only where no other keeps the clock.
    kept = np.where(small.any(axis=0), small, fits)
    fewest = np.where(kept, bits, np.inf).argmin(axis=0)
    place = np.where(fits.any(axis=0), fewest, longest.argmin(axis=0))
    return Settled(
        {name: values[place] if depth else int(values[place]) for name, values in candidates.items()},
        {kind: speed * _at(np.broadcast_to(value, shape), longest.argmin(axis=0)) for kind, value in periods.items()},
        fits.any(axis=0),
    )


def _at(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Values along the first axis where ``place`` says."""
    found: np.ndarray = np.take_along_axis(values, place[None, ...], axis=0)[0]
    return found


def _first(value: Any) -> Any:
    return int(value.flat[0]) if isinstance(value, np.ndarray) else value


def at_clock(
    spec: type[TileSpec],
    values: Mapping[str, Any],
    tech: Tech | str = DEFAULT,
    clk_period_ns: float | str | None = None,
) -> TileSpec:
    """The tile of a family with ``values`` at a clock period: the fewest register bits that keep it.

    Parameters
    ----------
    values: parameters by name, as `TileSpec.from_values` takes them. Where they place registers themselves (cuts,
        stages), and where the technology has no timing, the tile is what they say.
    clk_period_ns: the clock period; None is the technology's default, `OWN` settles nothing.

    Raises `HwgenError` as `TileSpec.from_values`, and for a period that no number of cuts reaches: it names the
    shortest one, and what bounds it.
    """
    table = load(tech) if isinstance(tech, str) else tech
    tile = spec.from_values(values)
    period = clock_of(table, clk_period_ns)
    if period is None or by_hand(spec, values) or not isinstance(table, CalibratedTech):
        return tile
    settled = settle(spec, tile.p, table, period, values)
    if not bool(np.all(settled.meets)):
        kind = max(settled.min_clk_period_ns, key=lambda kind: float(settled.min_clk_period_ns[kind]))
        best = float(settled.best_clk_period_ns)
        raise HwgenError(
            f"{spec.family}: clk_period_ns must be at least {np.ceil(best * 1000) / 1000:g} for this tile in "
            f"{table.name}, not {period:g}; {_bound(spec, tile, kind)} bounds it, and no number of cuts makes it "
            "shorter"
        )
    changed = {name: value for name, value in settled.p.items() if value != tile.p[name]}
    return spec.from_values({**values, **changed})


def _bound(spec: type[TileSpec], tile: TileSpec, kind: str) -> str:
    """What bounds the clock of a tile whose slowest block, with all the cuts that help, is of a kind."""
    bits = f" ({int(spec.acc_bits(tile.p))} bits)" if kind == "cell" else ""
    return _BOUND[kind] + bits
