"""Fit the prices of an accelerator's blocks to measured ones: non-negative coefficients of counts, by kind of block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import nnls

from hwgen.accelerator.inventory import KINDS, accelerator_blocks, geometry
from sim.accelerator.activity import counts_of, switching_terms
from sim.accelerator.measure import QUANTITIES, Sample
from sim.accelerator.prices import COUNTS, block_numbers, features_of
from sim.calibrate.fit import fit_trend
from sim.tech._model import Features, trend_value

__all__ = ["TERMS", "fit_blocks"]

_COUNTS = ("one", *COUNTS, "mul")
TERMS: Mapping[str, tuple[str, ...]] = {
    "area_um2": _COUNTS,
    "clock_pj": ("ff",),
    "leakage_uw": _COUNTS,
    "min_clk_period_ns": ("one", "log.ff", "count_bits", "address_bits", "held_bits", "length_bits"),
}
"""Terms of the regression by quantity; switching has those of `sim.accelerator.activity.switching_terms`."""

_ROUNDS, _LEAST = 20, 1e-3
"""Fits of a switching energy, and the share of a value that counts for less of it."""


def _blocks(samples: Sequence[Sample]) -> list[Features]:
    known: dict[int, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
    found = []
    for sample in samples:
        design = sample.design
        if id(design) not in known:
            spec, p, d = type(design.tile), design.tile.p, design.p
            known[id(design)] = (
                accelerator_blocks(spec, p, d, living=True),
                block_numbers(geometry(spec, p, d), d),
            )
        blocks, numbers = known[id(design)]
        found.append(features_of(blocks[sample.block].primitives, numbers[sample.block]))
    return found


def fit_blocks(samples: Sequence[Sample]) -> dict[str, dict[str, Any]]:
    """By kind and quantity: on how many different blocks it was measured, and the trend fitted to them."""
    models: dict[str, dict[str, Any]] = {}
    for kind in KINDS:
        own = [sample for sample in samples if sample.kind == kind and sample.values["area_um2"] > 0]
        features = _blocks(own)
        for quantity in QUANTITIES:
            if quantity == "switching_pj":
                models.setdefault(kind, {})[quantity] = _switching(own)
                continue
            different: dict[str, tuple[Features, float]] = {}
            for sample, feature in zip(own, features, strict=True):
                if sample.values[quantity] > 0:
                    different.setdefault(repr(feature), (feature, sample.values[quantity]))
            blocks = [feature for feature, _ in different.values()]
            values = np.array([value for _, value in different.values()])
            trend = fit_trend(blocks, values, TERMS[quantity])
            ratios = np.array([float(trend_value(trend, block)) for block in blocks]) / values
            models.setdefault(kind, {})[quantity] = {
                "measured": len(blocks),
                "median_error": float(f"{np.median(np.abs(ratios - 1)):.3g}"),
                "trend": trend,
            }
    return models


def _switching(samples: Sequence[Sample]) -> dict[str, Any]:
    rows = []
    for sample in samples:
        design = sample.design
        counts = counts_of(design, sample.job, sample.cycles)
        terms = switching_terms(type(design.tile), design.tile.p, design.p, counts)[sample.block]
        rows.append({name: float(value) for name, value in terms.items()})
    values = np.array([sample.values["switching_pj"] for sample in samples])
    there = values > 0
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = np.array([[row.get(name, 0.0) for name in names] for row in rows])[there]
    values = values[there]
    weights = np.ones(len(values))
    for _ in range(_ROUNDS):
        coefficients, _ = nnls(columns / values[:, None] * weights[:, None], weights)
        found = columns @ coefficients / values
        # As `sim.calibrate.fit`: half as much is as wrong as twice as much.
        weights = 1 / np.sqrt(np.maximum(found, _LEAST))
    return {
        "measured": len(values),
        "median_error": float(f"{np.median(np.abs(found - 1)):.3g}"),
        "trend": {
            name: float(f"{value:.5g}") for name, value in zip(names, coefficients, strict=True) if value > 1e-12
        },
    }
