"""Predict a block's area, energy or clock period from what was measured on other blocks of its family.

A structural regression gives the trend: non-negative coefficients times the block's own counts (flip-flops, adder
bits, multiplier cells, multiplexers, gates), for periods times their logarithms. What it leaves, as a ratio, is
interpolated between the measured blocks by a Gaussian process over log2 of counts and of parameters, with names as
categories: a measured block is (nearly) met, and between distant ones the trend alone is left. Beyond the smallest and
the largest of a feature the ratio is what it is there. C. E. Rasmussen
and C. Williams, Gaussian Processes for Machine Learning, 2006, equations 2.22 to 2.26.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.formats import Format
from hwgen.frame.facts import Block
from hwgen.frame.inventory import ONCE, held_bits
from hwgen.frame.numbers import Num, ceil_div, maximum, where
from hwgen.frame.primitives import PRIMITIVES
from hwgen.frame.spec import TileSpec

__all__ = [
    "ACTIVITY",
    "LOOP",
    "PATH",
    "Features",
    "Kernel",
    "Regression",
    "block_features",
    "path_shares",
    "squares",
    "tile_numbers",
    "trend_term",
    "trend_value",
]

P = Mapping[str, Any]

_AT_ONCE = 1 << 18
"""Distances between points and measured blocks that are held at a time: 2 MB."""

ACTIVITY = ("steps", "act_quiet", "weight_quiet", "scheme")
"""What hardware is not made of, but what its energy at work follows: how often it starts anew, how seldom a code is
other than zero, and which codes weights have.
"""
_STEPS = 64
"""Steps of a group from which one more makes no difference."""
_CYCLES = 128
"""Cycles of a stream on which energies are measured, about (`sim.energy`): what shares a scale there is no longer."""
_MOST_LEVELS = 1 << 20
"""Largest value of a format in its smallest steps from which no code is zero."""
_ACT_QUIET, _ACT_GROWTH = 0.71, 0.373
_WEIGHT_QUIET, _WEIGHT_GROWTH = 0.5, 0.155
"""Of codes that share a scale so many are zero: with g of them and a largest value of L steps exp(-q) are not, q =
0.71 g^0.373 / L of activations and (0.5 + 0.155 log2 g) / L of weights. Counted on the three layers of `sim.energy`, g
1 to 512, L 1 to 511: within 0.1 of the share.
"""
_WIDTHS = ("acc_bits", "addend_bits", "row_bus_bits", "col_bus_bits", "row_sum_bits")
_FIXED = 3
"""Pieces of post lanes' logic without cuts in it: correct, multiply, round; the longest of them is about half of it."""
_NOT_IN_FORMATS = ("m", "n", "group", "depth", "stages", "post_lanes")
"""Parameters on which no format depends; nor does any on cuts."""


@dataclass(frozen=True)
class Features:
    """What the model knows of a block: ``counts`` by primitive, ``numbers`` (parameters) and ``names``.

    Values of counts and numbers are scalars or arrays that broadcast. ``whole`` blocks hold all copies of something, so
    that their counts depend on the tile's shape; they are interpolated over numbers and names alone. ``shares`` is what
    registers leave of the longest path (`path_shares`).
    """

    counts: Mapping[str, Num]
    numbers: Mapping[str, Num]
    names: Mapping[str, str]
    whole: bool = False
    shares: tuple[Num, Num, Num] = (1.0, 1.0, 1.0)


def block_features(
    spec: type[TileSpec],
    p: P,
    kind: str,
    block: Block,
    shared: tuple[dict[str, Num], dict[str, str]] | None = None,
) -> Features:
    """Features of one copy of a block of a tile; ``shared`` is its `tile_numbers`, where they are known already."""
    numbers, names = tile_numbers(spec, p) if shared is None else shared
    counts = {name: block.primitives.get(name, 0) for name in PRIMITIVES}
    cut = cut_numbers(spec, p, kind)
    own = cut | {"fp32_levels": spec.fp32_levels(p, kind), "fp32_loop": spec.fp32_loop(p, kind)}
    own["chains"] = spec.carry_chains(p, kind)
    own["held"] = held_bits(spec, p) if kind == "control" else 0
    left = path_shares(kind, p["stages"], cut["cuts"], cut["loop"])
    return Features(counts, numbers | own, names, kind in ONCE, left)


def cut_numbers(spec: type[TileSpec], p: P, kind: str) -> dict[str, Num]:
    """Registers within a block of a kind (``cuts``), and cycles of its loop (``loop``).

    What the tile itself holds grows with all of them: there ``cuts`` is their sum.
    """
    known = spec.cut_parameters()
    own = [name for name, one in known.items() if kind in one.cuts or kind == "control"]
    cuts = sum((p[name] for name in own if not known[name].loop), start=0)
    loop = sum((p[name] - 1 for name in own if known[name].loop), start=1)
    return {"cuts": cuts, "loop": loop}


def tile_numbers(spec: type[TileSpec], p: P) -> tuple[dict[str, Num], dict[str, str]]:
    """Numbers and names that all blocks of a tile share: what hardware is made of, no labels that it does not see."""
    numbers: dict[str, Num] = {}
    names: dict[str, str] = {}
    for name, param in spec.parameters().items():
        if (name in spec.NOT_IN_BLOCKS and name not in ACTIVITY) or param.cuts:
            continue
        if param.type is int:
            numbers[name] = p[name]
        else:
            names[name] = str(p[name])
    numbers |= {name: getattr(spec, name)(p) for name in _WIDTHS}
    numbers["cycles"] = spec.layer_cycles(p)
    group = spec.sum_group(p)
    numbers["steps"] = where(group > 0, np.minimum(ceil_div(group, spec.layer_k(p)), _STEPS), _STEPS)
    formats = _formats(spec, p)
    levels = {side: formats.pop(f"{side}_levels") for side in ("act", "weight")}
    longest = maximum(ceil_div(_CYCLES * spec.layer_k(p), numbers["cycles"]), 1)
    octaves = np.log2(where(p["group"] > 0, np.minimum(p["group"], longest), longest))
    numbers["act_quiet"] = _ACT_QUIET * 2 ** (_ACT_GROWTH * octaves) / levels["act"]
    numbers["weight_quiet"] = (_WEIGHT_QUIET + _WEIGHT_GROWTH * octaves) / levels["weight"]
    return numbers | formats, names


def _formats(spec: type[TileSpec], p: P) -> dict[str, Num]:
    """What the formats of a layer are made of: bits of a code, of its exponent, and of the rest, and its levels: how
    many of its smallest steps the largest value is.
    """

    def ask(tile: TileSpec) -> dict[str, int]:
        found = {}
        for side, form in zip(("act", "weight"), tile.mode_formats(tile.layer_mode), strict=True):
            exponent = int(getattr(form, "exponent_bits", getattr(form, "es", 0)))
            found[f"{side}_exponent_bits"] = exponent
            found[f"{side}_bits"] = form.code_bits // form.elements
            found[f"{side}_signed"] = int(form.signed)
            found[f"{side}_levels"] = _levels(form)
        if tile.quantization().scheme in _NEVER_QUIET:
            found["weight_levels"] = _MOST_LEVELS
        return found

    fixed = {*_NOT_IN_FORMATS, *spec.cut_parameters()}
    settled = {
        name: int(value.flat[0]) if name in fixed and isinstance(value, np.ndarray) else value
        for name, value in p.items()
    }
    return spec._facts(settled, ask)


_NEVER_QUIET = ("bipolar", "ternary")
"""Weights that have no zero, and those of which always the same share is."""


def _levels(form: Format) -> int:
    """Largest value of a signed format in steps of its smallest; codes without a sign are about a zero point."""
    if not form.signed:
        return _MOST_LEVELS
    return max(int(min(form.max_value / 2.0**form.lsb_exp, _MOST_LEVELS)), 1)


@dataclass(frozen=True)
class Kernel:
    """Squared-exponential kernel: ``spread`` is the standard deviation of the log ratio, ``noise`` that of one
    measurement, ``weights`` what a difference of one octave, or of a name, adds to the squared distance, by feature
    ("counts.add", "numbers.k", "names.acts"); a feature that is left out does not matter.
    """

    spread: float
    noise: float
    weights: Mapping[str, float]


def _log(value: Num) -> np.ndarray:
    return np.log2(1.0 + np.asarray(value, dtype=np.float64))


def _sections(features: Features) -> tuple[str, ...]:
    return ("numbers", "names") if features.whole else ("counts", "numbers", "names")


def _varying(blocks: Sequence[Features]) -> list[tuple[str, str]]:
    """Features (section, name) that differ between blocks: the others say nothing."""
    if not blocks:
        return []
    return [
        (section, name)
        for section in _sections(blocks[0])
        for name in getattr(blocks[0], section)
        if len({getattr(block, section)[name] for block in blocks}) > 1
    ]


def _value(features: Features, section: str, name: str) -> Any:
    value = getattr(features, section)[name]
    return value if section == "names" else _log(value)


def squares(blocks: Sequence[Features]) -> dict[str, np.ndarray]:
    """Squared differences between blocks by feature, [blocks, blocks]."""
    found: dict[str, np.ndarray] = {}
    for section, name in _varying(blocks):
        values = np.array([_value(block, section, name) for block in blocks])
        apart = values[:, None] != values[None, :] if section == "names" else (values[:, None] - values[None, :]) ** 2
        found[f"{section}.{name}"] = apart.astype(np.float64)
    return found


def covariance(apart: Mapping[str, np.ndarray], kernel: Kernel, count: int) -> np.ndarray:
    """Covariance of the measured log ratios, [count, count]."""
    square = np.zeros((count, count))
    for name, weight in kernel.weights.items():
        if name in apart:
            square += weight * apart[name]
    result: np.ndarray = kernel.spread**2 * np.exp(-square / 2) + kernel.noise**2 * np.eye(count)
    return result


class Regression:
    """One quantity of one kind of block of one family, fitted on measured blocks (on none: the trend alone)."""

    def __init__(
        self, blocks: Sequence[Features], values: np.ndarray, trend: Mapping[str, float], kernel: Kernel
    ) -> None:
        self.trend, self.kernel = dict(trend), kernel
        self._keys = [key for key in _varying(blocks) if kernel.weights.get(".".join(key))]
        self._measured = [np.array([_value(block, *key) for block in blocks]) for key in self._keys]
        # Beyond all that was measured the ratio stays what it is at the edge: one that faded away there could fall
        # faster than the trend grows.
        self._edges = [
            None if section == "names" else (float(values.min()), float(values.max()))
            for (section, _), values in zip(self._keys, self._measured, strict=True)
        ]
        expected = np.array([float(trend_value(self.trend, block)) for block in blocks])
        ratios = np.log(np.asarray(values, dtype=np.float64) / expected)
        matrix = covariance(squares(blocks), kernel, len(blocks))
        self._weights = kernel.spread**2 * np.linalg.solve(matrix, ratios) if len(blocks) else np.zeros(0)

    def predict(self, features: Features) -> np.ndarray:
        """The quantity, of the shape that the features broadcast to."""
        expected = np.asarray(trend_value(self.trend, features), dtype=np.float64)
        # One more axis, for the measured blocks.
        columns = [
            (values if edges is None else np.clip(values, *edges))[..., None]
            for values, edges in zip(
                (np.asarray(_value(features, *key)) for key in self._keys), self._edges, strict=True
            )
        ]
        size = int(np.prod(np.broadcast_shapes(*(column.shape for column in columns)))) if columns else 1
        at_once = max(1, _AT_ONCE // size)
        ratio: Any = 0.0
        for begin in range(0, len(self._weights), at_once):
            some = slice(begin, begin + at_once)
            square: Any = 0.0
            for (section, name), column, measured in zip(self._keys, columns, self._measured, strict=True):
                apart = column != measured[some] if section == "names" else (column - measured[some]) ** 2
                square = square + self.kernel.weights[f"{section}.{name}"] * apart
            ratio = ratio + (self._weights[some] * np.exp(-square / 2)).sum(axis=-1)
        result: np.ndarray = expected * np.exp(ratio)
        return result


def trend_value(trend: Mapping[str, float], features: Features) -> Num:
    """Structural value: coefficients times terms.

    Those of a ``path.`` through a block and of the ``loop.`` at its end make a clock period with what registers leave
    of them (`path_shares`).
    """
    sums: dict[str, Num] = dict.fromkeys(("", PATH, LOOP), 0.0)
    for term, coefficient in trend.items():
        part = next((one for one in (PATH, LOOP) if term.startswith(one)), "")
        sums[part] = sums[part] + coefficient * trend_term(term.removeprefix(part), features)
    if not any(term.startswith((PATH, LOOP)) for term in trend):
        return sums[""]
    of_path, of_loop, cycle = features.shares
    return sums[""] + maximum(sums[PATH] * of_path + sums[LOOP] * of_loop, sums[LOOP] * cycle)


PATH, LOOP = "path.", "loop."
"""Beginnings of terms of a path through a block, and of the loop at its end."""


def path_shares(kind: str, stages: Num, cuts: Num, loop: Num) -> tuple[Num, Num, Num]:
    """What registers leave of a block's longest path: the share of the path and of the loop in it, and the share of the
    loop in a cycle of its own, which may be longer.

    Cuts divide path and loop together where no register is between them (``stages`` below 2), so that the loop is what
    no cut makes shorter. A loop of several cycles takes what comes straight out of a register. Post lanes have
    registers before their adder, and within the path to it.
    """
    if kind == "post":
        return 1 / where(cuts > 0, cuts + _FIXED, _FIXED - 1), 0.0, 1 / loop
    straight = (loop > 1) & (cuts > 0) & (stages < 2)
    pieces = where(straight, maximum(cuts, 1), cuts + 1)
    joined = np.logical_not(straight | (stages >= 2))
    return 1 / pieces, where(joined, 1 / (loop * pieces), 0.0), 1 / loop


def trend_term(term: str, features: Features) -> Num:
    """One term of a structural regression: ``one``, a primitive's or parameter's number, or ``log.`` of it."""
    if term == "one":
        return 1.0
    name = term.removeprefix("log.")
    value = features.counts[name] if name in features.counts else features.numbers[name]
    return _log(value) if term.startswith("log.") else value
