"""Whole layers of codebook weights through the emitted Verilog: golden layer, reference and cycles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.pe import family
from sim.run import run_layer

pytestmark = pytest.mark.rtl

LAYERS: list[dict[str, Any]] = [
    {"weights": "any4", "group": 32, "post_lanes": 1},
    {"weights": "razer_fp4", "group": 32},
    {"weights": "sherry", "group": 64, "acts": "fp16", "cell_cuts": 2},
    {"weights": "trit_planes", "acts": "fp16", "align_scope": "step", "post_lanes": 2},
    {"weights": "nf4", "stages": 3, "front_cuts": 1, "transport": "systolic", "weight_scale": "fp32"},
    {"weights": "bitmod_fp3", "acts": "bf16", "weight_scale": "e8m0", "group": 0},
]


@pytest.mark.few(1)
@pytest.mark.parametrize("values", LAYERS, ids=lambda values: values["weights"])
def test_layer(values: dict[str, Any]) -> None:
    """Ten outputs and a last group that is shorter: rows and columns beyond the layer's edges are padded."""
    rng = np.random.default_rng(1)
    weights, acts = (rng.standard_normal((rows, 132)).astype(np.float32) for rows in (10, 5))
    spec = family("codebook").from_values({"m": 2, "n": 2, "k": 4, "depth": 256, **values})
    run = run_layer(spec, weights, acts)
    assert run.golden_equal, run.detail
    assert run.reference_equal, run.detail
    assert run.cycles_counted == run.cycles_predicted
    assert np.count_nonzero(run.y) > 0.9 * run.y.size
