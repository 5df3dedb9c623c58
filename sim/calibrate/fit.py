"""Fit the regressions of `sim.tech._model`: non-negative least squares, then the kernel by leaving blocks out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy.optimize import nnls
from threadpoolctl import threadpool_limits

from sim.tech._calibrated import (
    PLAIN,
    QUANTITIES,
    TILE,
    FittedFamily,
    Known,
    Measured,
    samples,
    tile_step,
    tile_values,
)
from sim.tech._model import (
    ACTIVITY,
    LOOP,
    PATH,
    Features,
    Kernel,
    Regression,
    squares,
    trend_term,
    trend_value,
)

__all__ = ["fit_any", "fit_family", "fit_kernel", "fit_trend", "left_out"]

_COUNTS = ("one", "ff", "add", "mux2", "xor", "and", "mul")
_WIDTHS = ("k", "acc_bits", "addend_bits", "act_bits", "weight_bits")
_LONGEST = tuple(
    f"{PATH}{name}"
    for name in ("one", "fp32_levels", "chains", *(f"log.{n}" for n in (*_WIDTHS, "add", "mul", "mux2", "ff")))
)
_LOOPS = tuple(f"{LOOP}{name}" for name in ("one", "fp32_loop", "log.acc_bits", "log.addend_bits"))
_WITH_LOOPS = ("cell", "rowsum", "post")
"""Kinds of blocks with sums in them."""
_WITH_HELD = ("area_um2", "active_pj", "leakage_uw")
"""Quantities to which a flip-flop's enable adds; of a tile's own logic alone it is known how many have one."""
TERMS: Mapping[str, tuple[str, ...]] = {
    "area_um2": _COUNTS,
    "clock_pj": ("ff",),
    "active_pj": _COUNTS,
    "leakage_uw": _COUNTS,
    "min_clk_period_ns": ("one", *_LONGEST),
}
"""Terms of the structural regression, by quantity."""

_LEAST = 1e-3
"""Share of a value that its trend must have."""
SPREAD = 0.2
"""Standard deviation of the log ratio of values and their trend: an upper one, three in four fits have less."""
_WEIGHTS = (0.03, 0.1, 0.4, 1.5)
_STEPS = (0.0, 0.25, 4.0)
"""Small steps: with all weights to choose from, what is left out in turn is met better, and other tiles worse."""
_NOISE = (0.01, 0.03, 0.1)
_AKAIKE = 2.0
"""A change of the kernel has to bring down the logarithm of the mean square of left-out errors by so much over the
number of blocks: Akaike's price of a parameter. Cheaper ones fit the noise of forty blocks.
"""
_ROUNDS = 20
"""Most fits of a longest path, of which the best counts."""
_FEW = 4
"""With fewer different blocks of a kind the trend of all kinds of the family stands in."""


def fit_trend(blocks: Sequence[Features], values: np.ndarray, terms: Sequence[str]) -> dict[str, float]:
    """Coefficients >= 0 that minimise what values are above and below, each as a ratio: half as much is as wrong as
    twice as much.
    """
    columns, coefficients = _coefficients(blocks, values, terms)
    missed = columns @ coefficients < _LEAST * values
    if missed.any():
        # A block without any of the chosen terms costs something all the same: a ratio to nothing is none.
        terms, coefficients = (*terms, "one"), np.append(coefficients, float(values.min()))
    found: dict[str, float] = {}
    for term, value in zip(terms, coefficients, strict=True):
        if value > 1e-12:
            found[term] = float(f"{found.get(term, 0.0) + value:.5g}")
    return found


def _coefficients(
    blocks: Sequence[Features], values: np.ndarray, terms: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the terms, and their coefficients.

    Where a period is the longer of two sums, which of them it is follows from the coefficients: each is fitted to those
    blocks of which it is the longer one, from the first on, until none changes.
    """
    part = np.array([[term.startswith(one) for term in terms] for one in (PATH, LOOP)])
    plain = np.array(
        [[float(trend_term(term.removeprefix(PATH).removeprefix(LOOP), block)) for term in terms] for block in blocks]
    )
    of = np.array([[float(share) for share in block.shares] for block in blocks])
    one = np.where(part[0], plain * of[:, [0]], np.where(part[1], plain * of[:, [1]], plain))
    other = np.where(part[0], 0.0, np.where(part[1], plain * of[:, [2]], plain))
    best, least = np.zeros(len(terms)), np.inf
    # From all blocks with their path, and from those with their loop that have more of it in a cycle: where registers
    # are before a loop no path tells anything of it.
    for columns in (one, np.where((of[:, 2] > of[:, 0])[:, None], other, one)):
        weights = np.ones(len(blocks))
        for _ in range(_ROUNDS):
            coefficients, _ = nnls(columns / values[:, None] * weights[:, None], weights)
            chosen = np.where((other @ coefficients > one @ coefficients)[:, None], other, one)
            ratio = np.maximum(chosen @ coefficients / values, _LEAST)
            # (r - 1)^2 / r = r + 1 / r - 2: squares with the weights of the round before.
            missed = float(np.sum(ratio + 1 / ratio - 2))
            if missed < least:
                best, least = coefficients, missed
            weights, before = 1 / np.sqrt(ratio), weights
            if np.array_equal(chosen, columns) and np.allclose(weights, before, rtol=1e-3):
                break
            columns = chosen
    return np.where((other @ best > one @ best)[:, None], other, one), best


def left_out(ratios: np.ndarray, square: np.ndarray, noise: float) -> np.ndarray:
    """Log ratio of value and prediction of each block when it is left out, with the trend as it is.

    ``square`` holds the squared distances of blocks. The closed form of Rasmussen and Williams, equation 5.12.
    """
    inverse = np.linalg.inv(SPREAD**2 * np.exp(-square / 2) + noise**2 * np.eye(len(ratios)))
    result: np.ndarray = inverse @ ratios / np.diag(inverse)
    return result


def fit_kernel(
    blocks: Sequence[Features], values: np.ndarray, trend: Mapping[str, float], without: Sequence[str] = ()
) -> tuple[Kernel, np.ndarray]:
    """The kernel with small left-out errors, and these errors: the best of a small grid with one weight for all counts,
    all numbers and all names, then each feature once, raised, lowered or left out where that helps. Numbers and names
    in ``without`` do not matter.
    """
    # Thousands of small matrices: with several threads each waits for the others, on a busy machine most of the time.
    with threadpool_limits(1, "blas"):
        return _fit_kernel(blocks, values, trend, without)


def _fit_kernel(
    blocks: Sequence[Features], values: np.ndarray, trend: Mapping[str, float], without: Sequence[str]
) -> tuple[Kernel, np.ndarray]:
    expected = np.array([float(trend_value(trend, block)) for block in blocks])
    ratios, apart = np.log(values / expected), squares(blocks)
    apart = {key: value for key, value in apart.items() if key.partition(".")[2] not in without}
    nothing = np.zeros((len(blocks), len(blocks)))
    sections = {
        section: sum((value for key, value in apart.items() if key.startswith(section)), nothing)
        for section in ("counts", "numbers", "names")
    }

    def score(square: np.ndarray, noise: float) -> float:
        return float(np.mean(left_out(ratios, square, noise) ** 2))

    least, noise, shared = min(
        (
            score(sum((w * sections[name] for w, name in zip(weights, sections, strict=True)), nothing), noise),
            noise,
            weights,
        )
        for *weights, noise in itertools.product((0.0, *_WEIGHTS), _WEIGHTS, (0.0, *_WEIGHTS), _NOISE)
    )
    weights = {key: dict(zip(sections, shared, strict=True))[key.split(".")[0]] for key in apart}
    square = sum((weights[key] * value for key, value in apart.items()), nothing)
    gain = float(np.exp(-_AKAIKE / len(blocks)))
    for (key, value), step in itertools.product(apart.items(), _STEPS):
        weight = (weights[key] or _WEIGHTS[0] / 4) * step
        moved = square + (weight - weights[key]) * value
        found = score(moved, noise)
        if found < gain * least:
            square, weights[key], least = moved, weight, found
    kept = {key: float(f"{weight:.4g}") for key, weight in weights.items() if weight}
    return Kernel(SPREAD, noise, kept), left_out(ratios, square, noise)


def _terms(kind: str, quantity: str) -> tuple[str, ...]:
    """Terms of a kind of block's own regression."""
    terms = TERMS[quantity]
    if quantity == "min_clk_period_ns" and kind in _WITH_LOOPS:
        return (*terms, *_LOOPS)
    return (*terms, "held") if quantity in _WITH_HELD and kind == "control" else terms


def fit_family(
    entries: Sequence[Measured], kinds: Sequence[str], flattening: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Regressions of one family as its section of the table: ``blocks`` by kind and quantity, and ``flattening``, which
    whole tiles tell where it is not given.

    Every one of ``kinds`` gets one for every quantity; those that were measured too seldom take the trend of all kinds.
    """
    blocks: dict[str, dict[str, Any]] = {}
    models: dict[tuple[str, str], Regression] = {}
    parts = [entry for entry in entries if entry.kind != TILE]
    for quantity, terms in TERMS.items():
        pooled = fit_trend(*samples(parts, quantity), terms)
        for kind in kinds:
            found, values = samples([entry for entry in parts if entry.kind == kind], quantity)
            own = _terms(kind, quantity)
            if len(found) < _FEW:
                found, values, trend, kernel, errors = [], np.zeros(0), pooled, PLAIN, np.zeros(0)
            else:
                trend = fit_trend(found, values, own)
                kernel, errors = fit_kernel(found, values, trend, () if quantity == "active_pj" else ACTIVITY)
            models[kind, quantity] = Regression(found, values, trend, kernel)
            blocks.setdefault(kind, {})[quantity] = {
                "measured": len(found),
                # No error is known of what has no measurement to leave out.
                **({"left_out_median": float(f"{np.median(np.abs(np.expm1(errors))):.3g}")} if len(errors) else {}),
                "trend": trend,
                "kernel": asdict(kernel),
            }
    if flattening is None:
        flattening = _flattening(models, [entry for entry in entries if entry.kind == TILE])
    return {"blocks": blocks, "flattening": dict(flattening)}


def fit_any(entries: Sequence[Measured], kinds: Sequence[str]) -> dict[str, Any]:
    """Trends over the blocks of all families, for families that were not measured; a section as `fit_family` gives."""
    parts = [entry for entry in entries if entry.kind != TILE]
    kernel = asdict(PLAIN)
    blocks: dict[str, dict[str, Any]] = {kind: {} for kind in kinds}
    for quantity, terms in TERMS.items():
        # Parameters differ between families; those in the terms are of every one.
        trend = fit_trend(*samples(parts, quantity), terms)
        for kind in kinds:
            blocks[kind][quantity] = {"measured": 0, "trend": trend, "kernel": kernel}
    return {"blocks": blocks, "flattening": dict.fromkeys(QUANTITIES, 1.0)}


def _flattening(models: Mapping[tuple[str, str], Regression], tiles: Sequence[Measured]) -> dict[str, float]:
    """Median ratio of a flat tile to what its blocks predict, by quantity."""
    plain = FittedFamily(models, dict.fromkeys(QUANTITIES, 1.0), Known({}, {}, frozenset()))
    ratios: dict[str, list[float]] = {name: [] for name in QUANTITIES}
    for tile in tiles:
        expected = tile_step(tile.spec, tile_values(type(tile.spec), tile.spec.p, plain))
        for name in QUANTITIES:
            value = tile.values[name]
            if value and expected[name]:
                ratios[name].append(np.log(value / expected[name]))
    return {name: float(f"{np.exp(np.median(found)):.4g}") if found else 1.0 for name, found in ratios.items()}
