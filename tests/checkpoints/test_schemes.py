"""Each scheme, read and run: the weights are the stored ones, the tile that holds them equals the golden layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.pe import family
from reports.checkpoint_cases import CASES, Case
from sim.hold import hold
from sim.models.checkpoint import stored_weights
from sim.models.weights import open_model
from sim.run import run_layer

SHAPE = {"m": 1, "n": 2}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_weights_are_the_stored_ones(case: Case, tmp_path: Path) -> None:
    made = case.make(tmp_path)
    stored = stored_weights(open_model(made.path), made.layer)
    assert np.array_equal(stored.float32(), made.weights.astype(np.float32))
    spec = family(case.family).from_values({**SHAPE, **case.tile})
    held = hold(spec, stored)
    values = held.dequantize()
    if stored.order is not None:
        values[:, stored.order] = values.copy()
    assert np.array_equal(values.astype(np.float32), made.weights.astype(np.float32))
    assert hold(spec, held) == held


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_layers_run(case: Case, tmp_path: Path) -> None:
    made = case.make(tmp_path)
    stored = stored_weights(open_model(made.path), made.layer)
    spec = family(case.family).from_values({**SHAPE, **case.tile})
    acts = np.random.default_rng(0).normal(size=(2, made.weights.shape[1])).astype(np.float32)
    run = run_layer(spec, stored, acts, name=made.layer)
    assert run.ok, run.detail
    assert run.weights.startswith("as stored, ")
    # Only the activations were rounded: the outputs are near those of the float layer.
    wanted = acts.astype(np.float64) @ made.weights.T
    assert np.linalg.norm(run.y - wanted) <= 0.3 * np.linalg.norm(wanted)
