"""Each scheme is read as it is stored, and the tile of the table holds exactly that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.pe import family
from rtl_tests.checkpoints.cases import CASES, Case
from sim.hold import hold
from sim.models.checkpoint import stored_weights
from sim.models.weights import open_model

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
