"""Accumulators one bit too narrow: groups of ``depth`` products at the ends of their ranges show every one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from hwgen.pe import TileSpec, families, family
from hwgen.reference import run_steps
from hwgen.verify import check_contract, simulate
from hwgen.verify._contract import compare
from hwgen.verify._stimuli import full_steps

SMALL: Mapping[str, Any] = {"m": 1, "n": 2, "k": 2, "group": 8, "depth": 12}
UNITS: Mapping[str, Any] = {**SMALL, "k": 1, "brick_acts": 4, "brick_weights": 4}
ZEROS: Mapping[str, Any] = {"scheme": "asymmetric"}
BLOCK: Mapping[str, Any] = {"m": 1, "n": 1, "k": 8, "post_lanes": 1}

# Tiles whose sums are narrowest, by the width that is made narrower: (family, parameters, class method).
TILES: Mapping[str, tuple[str, Mapping[str, Any], str]] = {
    "int": ("int", SMALL, "acc_bits"),
    "int, k does not divide depth": ("int", {**SMALL, "k": 8, "depth": 13}, "acc_bits"),
    "int, saturating": ("int", {**SMALL, "overflow": "saturate"}, "acc_bits"),
    "int, wrapping": ("int", {**SMALL, "overflow": "wrap"}, "acc_bits"),
    "int, unsigned": ("int", {**SMALL, **ZEROS}, "acc_bits"),
    "int, row sums": ("int", {**SMALL, **ZEROS}, "row_sum_bits"),
    "int, row sums in lanes": ("int", {**SMALL, **ZEROS, "post_lanes": 1}, "row_sum_bits"),
    "lut": ("lut", SMALL, "acc_bits"),
    "lut, row sums": ("lut", SMALL, "row_sum_bits"),
    "lut, bipolar weights": ("lut", {**SMALL, "scheme": "bipolar", "bits": 1}, "acc_bits"),
    "lut, plain bits": ("lut", {**SMALL, "planes": "twos_complement", "symmetry": "none"}, "acc_bits"),
    "lut, signed plain bits": (
        "lut",
        {**SMALL, "planes": "twos_complement", "symmetry": "none", "scheme": "symmetric"},
        "acc_bits",
    ),
    "lut, aligned steps": ("lut", {**SMALL, "acts": "fp16", "align_scope": "step"}, "acc_bits"),
    "mixpe": ("mixpe", {**SMALL, **ZEROS}, "acc_bits"),
    "mixpe, row sums": ("mixpe", {**SMALL, **ZEROS}, "row_sum_bits"),
    "mixpe, signed": ("mixpe", {**SMALL, "scheme": "symmetric"}, "acc_bits"),
    "mixpe, before": ("mixpe", {**SMALL, "dequant": "before", "scheme": "symmetric"}, "acc_bits"),
    "bitserial": ("bitserial", SMALL, "acc_bits"),
    "bitserial, row sums": ("bitserial", {**SMALL, **ZEROS}, "row_sum_bits"),
    "bitserial, odd integers": ("bitserial", {**SMALL, "scheme": "bipolar"}, "acc_bits"),
    "bitserial, cycle": ("bitserial", {**SMALL, "planes": 2}, "_sum_bits"),
    "bitplane": ("bitplane", {**SMALL, "acts": "int4"}, "acc_bits"),
    "bitplane, row sums": ("bitplane", {**SMALL, **ZEROS, "acts": "int4"}, "row_sum_bits"),
    "bitplane, odd integers": ("bitplane", {**SMALL, "scheme": "bipolar"}, "acc_bits"),
    "bitplane, cycle": ("bitplane", {**SMALL, "acts": "int4", "weight_planes": 2, "act_planes": 2}, "_sum_bits"),
    "shiftadd": ("shiftadd", SMALL, "acc_bits"),
    "shiftadd, apot": ("shiftadd", {**SMALL, "scheme": "apot", "exponent_bits": 2}, "acc_bits"),
    "shiftadd, count of ones": ("shiftadd", SMALL, "_count_bits"),
    "bitfusion": ("bitfusion", UNITS, "acc_bits"),
    "bitfusion, unsigned": ("bitfusion", {**UNITS, **ZEROS}, "acc_bits"),
    "bitfusion, row sums": ("bitfusion", {**UNITS, **ZEROS}, "row_sum_bits"),
    "bitfusion, a row's part": ("bitfusion", UNITS, "_row_part_bits"),
    "bitfusion, a column's part": ("bitfusion", UNITS, "_col_part_bits"),
    "codebook": ("codebook", SMALL, "acc_bits"),
    "codebook, aligned steps": ("codebook", {**SMALL, "acts": "fp16", "align_scope": "step"}, "acc_bits"),
    "complex": ("complex", SMALL, "acc_bits"),
    "complex, conjugates": ("complex", {**SMALL, "mapping": "widely"}, "acc_bits"),
    "complex, count of ones": ("complex", {**SMALL, "mapping": "widely"}, "_count_bits"),
    "minifloat": ("minifloat", SMALL, "acc_bits"),
    "minifloat, fp16": ("minifloat", {**SMALL, "acts": "fp16", "weights": "bf16"}, "acc_bits"),
    "lmul": ("lmul", SMALL, "acc_bits"),
    "ant": ("ant", SMALL, "acc_bits"),
    "ant, integers": ("ant", {**SMALL, "bits": 8}, "acc_bits"),
    "olive": ("olive", SMALL, "acc_bits"),
    "mx": ("mx", BLOCK, "acc_bits"),
    "mx, integers": ("mx", {**BLOCK, "acts": "mxint8", "weights": "mxint8"}, "acc_bits"),
    "bitmod, integers": ("bitmod", {**SMALL, "acts": "int8", "post_lanes": 0}, "acc_bits"),
    "bitmod, exact": ("bitmod", {**SMALL, "accumulator": "exact", "post_lanes": 0}, "acc_bits"),
    # One exponent bit less: the largest exponents are just beyond it.
    "bitmod, normalised": ("bitmod", {**SMALL, "post_lanes": 0}, "_acc_exponent_bits"),
    "posit": ("posit", {**SMALL, "format": "posit", "posit_bits": 8, "es": 0}, "acc_bits"),
    "posit, fp4": ("posit", {**SMALL, "format": "fp4"}, "acc_bits"),
    "posit, quarters": ("posit", {**SMALL, "k": 1}, "_segment_bits"),
    "posit, along n": ("posit", {**SMALL, "k": 1, "simd_along": "n"}, "_segment_bits"),
}


def narrower(spec: TileSpec, method: str) -> TileSpec:
    """The same tile with one bit less, and the same reference."""
    kind = type(spec)

    def less(cls: Any, p: Mapping[str, Any]) -> Any:
        return getattr(kind, method)(p) - 1

    made = type(kind.__name__, (kind,), {"__module__": kind.__module__, method: classmethod(less)})
    return made(**spec.p)  # type: ignore[no-any-return]


def test_every_family_with_a_depth_is_here() -> None:
    assert {kind for kind, _, _ in TILES.values()} == set(families())


@pytest.mark.few(8)
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name.startswith(("bitmod", "posit")) else ()) for name in TILES],
)
def test_one_bit_less_is_caught(name: str) -> None:
    kind, values, method = TILES[name]
    spec = family(kind).from_values(values)
    found = check_contract(narrower(spec, method))
    caught = {finding.check.partition(": ")[2] for finding in found if not finding.ok}
    assert "full groups: values" in caught, [finding for finding in found if not finding.ok]


@pytest.mark.few(3)
@pytest.mark.parametrize("name", TILES)
def test_full_groups_alone_hold(name: str) -> None:
    """Not only does the fault show: the tile as it is agrees in every mode."""
    kind, values, _ = TILES[name]
    spec = family(kind).from_values(values)
    for mode in range(len(spec.modes())):
        steps = full_steps(spec, 3, mode)
        assert not compare(spec, steps, run_steps(spec, steps), simulate(spec, steps))


def test_full_groups_have_every_combination_of_ends() -> None:
    spec = family("int").from_values({**SMALL, **ZEROS, "k": 8, "depth": 13, "post_lanes": 1, "n": 1})
    steps = full_steps(spec, 1)
    assert steps.first.sum() == 8
    assert len(steps) == 16
    acts, weights = spec.act_format.fixed(steps.acts), spec.weight_format.fixed(steps.weights)
    products = (acts[:, 0] != 0).reshape(8, -1).sum(axis=1)
    assert (products == 13).all()
    combinations = {
        (int(acts[at, 0, 0]), int(weights[at, 0, 0]), int(steps.col["zero"][at, 0]))
        for at in np.flatnonzero(steps.first)
    }
    assert combinations == {(a, w, z) for a in (-128, 127) for w in (0, 255) for z in (0, 255)}
