"""A calibration in minutes: what libraries have in common is taken from those that were measured, the rest is measured.

Of what cells a block's netlist is made hardly changes between libraries, and what a library makes of it is a few
factors. So a few blocks of known tiles are measured on the new library, and every block of a known library is scaled by
the ratio of the two, which a Gaussian process interpolates: one factor, one for each kind of block, one for each kind
of a family, and a smooth one over what the block is made of (shares of primitives, size). Several known libraries are
averaged, each with the weight of how well it tells the measured blocks.

The scaled blocks stand in the table as measurements do, with the recipe `SCALED`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwgen.pe import TileSpec
from sim.calibrate.plan import GE, hardware, rough_ge, runs, spread_out
from sim.tech._calibrated import QUANTITIES, SCALED, TILE, Measured

__all__ = ["Reference", "quick_tiles", "scaled"]

_SMALL_GE = 6_000.0
"""Largest tiles that a quick calibration measures, in rough gate equivalents."""
_ONE, _KIND, _FAMILY, _SMOOTH, _NOISE = 1.0, 0.15, 0.08, 0.15, 0.03
"""Standard deviations of the logarithm of a ratio: what all blocks share, a kind, a kind of a family, the smooth part,
and a single measurement.
"""
_SHARE, _OCTAVES = 0.25, 3.0
"""Differences over which the smooth part changes: of a primitive's share, and of the size."""


@dataclass(frozen=True)
class Reference:
    """A library that was measured: its name, its blocks, and what flattening does to a family's tiles."""

    name: str
    blocks: Sequence[Measured]
    flattening: Mapping[str, Mapping[str, float]]


def quick_tiles(references: Sequence[Reference], name: str, count: int) -> list[TileSpec]:
    """``count`` small tiles of a family that references know, as far apart as there are in what blocks are made of."""
    known: dict[str, TileSpec] = {}
    for one in references:
        for entry in one.blocks:
            if entry.spec.family == name and entry.recipe != SCALED:
                known.setdefault(repr(entry.spec), entry.spec)
    # What was measured once may be no tile that one would build today.
    small = [spec for spec in known.values() if rough_ge(spec) <= _SMALL_GE and runs(spec)]
    with_lanes = [spec for spec in small if spec.lanes]
    first = spread_out(with_lanes, (), count // 4, hardware)
    others = [spec for spec in small if spec not in first]
    return first + spread_out(others, first, count - len(first), hardware)


def _key(entry: Measured) -> tuple[str, str]:
    return repr(entry.spec), entry.kind


def _position(entry: Measured) -> np.ndarray:
    """Shares of primitives in a block, and its size, in units of how far apart the smooth part knows them."""
    sizes = np.array([GE[name] * float(entry.features.counts[name]) for name in GE])
    whole = max(float(sizes.sum()), 1.0)
    return np.array([*(sizes / whole / _SHARE), np.log2(whole) / _OCTAVES])


def _covariance(ones: Sequence[Measured], others: Sequence[Measured]) -> np.ndarray:
    """Covariance of the logarithms of ratios of blocks, [ones, others]."""
    kinds = np.array([[a.kind == b.kind for b in others] for a in ones])
    families = np.array([[a.spec.family == b.spec.family for b in others] for a in ones])
    here, there = (np.array([_position(entry) for entry in listed]) for listed in (ones, others))
    square = ((here[:, None, :] - there[None, :, :]) ** 2).sum(axis=-1)
    result: np.ndarray = _ONE**2 + _KIND**2 * kinds + _FAMILY**2 * (kinds & families) + _SMOOTH**2 * np.exp(-square / 2)
    return result


def _ratios(known: Sequence[Measured], ratios: np.ndarray, wanted: Sequence[Measured]) -> tuple[np.ndarray, float]:
    """Logarithms of ratios of ``wanted`` blocks, and the mean square error of known ones, each left out."""
    inverse = np.linalg.inv(_covariance(known, known) + _NOISE**2 * np.eye(len(known)))
    weights = inverse @ ratios
    missed = weights / np.diag(inverse)
    found: np.ndarray = _covariance(wanted, known) @ weights
    return found, float(np.mean(missed**2))


def scaled(references: Sequence[Reference], measured: Sequence[Measured]) -> list[Measured]:
    """Blocks of all references as a library has them on which ``measured`` blocks are known; these among them."""
    own = {_key(entry): entry for entry in measured if entry.kind != TILE}
    values: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = {}
    blocks: dict[tuple[str, str], Measured] = {}
    for reference in references:
        there = [entry for entry in reference.blocks if entry.kind != TILE and entry.recipe != SCALED]
        for entry in there:
            blocks.setdefault(_key(entry), entry)
        for quantity in QUANTITIES:
            for key, value, weight in _of_reference(there, own, quantity):
                values.setdefault(key, {}).setdefault(quantity, []).append((value, weight))
    found = []
    for key, entry in blocks.items():
        if key in own:
            continue
        mean = {
            quantity: float(np.exp(np.average([v for v, _ in several], weights=[w for _, w in several])))
            for quantity, several in values.get(key, {}).items()
        }
        found.append(replace(entry, recipe=SCALED, values={quantity: mean.get(quantity) for quantity in QUANTITIES}))
    return [*own.values(), *found]


def _of_reference(
    blocks: Sequence[Measured], own: Mapping[tuple[str, str], Measured], quantity: str
) -> list[tuple[tuple[str, str], float, float]]:
    """Key, logarithm of the quantity on the new library, and weight, of every block of a reference."""
    there = [entry for entry in blocks if (entry.values[quantity] or 0.0) > 0]
    known = [entry for entry in there if _key(entry) in own and (own[_key(entry)].values[quantity] or 0.0) > 0]
    if not known:
        return []
    logs = {_key(entry): float(np.log(entry.values[quantity] or 1.0)) for entry in there}
    ratios = np.array([np.log(own[_key(entry)].values[quantity] or 1.0) - logs[_key(entry)] for entry in known])
    expected, error = _ratios(known, ratios, there)
    return [(_key(entry), logs[_key(entry)] + more, 1 / error) for entry, more in zip(there, expected, strict=True)]
