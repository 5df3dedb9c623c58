"""A layer of every scheme of quantised checkpoints through the Verilog, with the weights that are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.pe import family
from rtl_tests.checkpoints.cases import CASES, Case
from rtl_tests.checkpoints.report import SHAPE, run_case
from sim.hold import hold
from sim.models.checkpoint import StoredWeights, stored_weights
from sim.models.weights import open_model
from sim.run import run_layer

pytestmark = [pytest.mark.rtl]


@pytest.mark.few(6)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_layers_run(case: Case, tmp_path: Path) -> None:
    row = run_case(case, tmp_path)
    assert row.same
    assert row.run.ok, row.run.detail
    assert row.run.weights.startswith("as stored, ")
    # Only the activations were rounded: the outputs are near those of the float layer.
    wanted = row.acts.astype(np.float64) @ row.weights.T
    assert np.linalg.norm(row.run.y - wanted) <= 0.3 * np.linalg.norm(wanted)


@pytest.mark.model
def test_a_real_layer(real_model: Path) -> None:
    stored = stored_weights(open_model(real_model), "blk.0.attn_k")
    acts = np.random.default_rng(1).normal(size=(1, 576))
    spec = family("int").from_values({**SHAPE, "bits": 4, "scheme": "minimum", "group": 32})
    run = run_layer(spec, stored, acts, name="blk.0.attn_k")
    assert run.ok, run.detail
    assert run.layer.n == 192
    assert hold(spec, stored) == stored.tensor
    # What is read is what the default path has, before it quantises again.
    assert np.array_equal(stored.float32(), open_model(real_model).float32("blk.0.attn_k"))
    assert isinstance(stored, StoredWeights)
