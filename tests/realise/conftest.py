"""A small sweep on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from dse.space import Space
from dse.sweep import run_sweep
from hwgen.schedule import Layer

SMALL = {"m": (1,), "n": (1, 2), "k": (4,), "bits": (2, 4)}


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight tiles of two families on two layers, in the technology of the generic library."""
    path = tmp_path_factory.mktemp("sweep") / "points.parquet"
    spaces = [Space.of(name, SMALL) for name in ("int", "lut")]
    layers = [Layer("up", 2, 4, 64), Layer("down", 2, 4, 128)]
    run_sweep(spaces, layers, tech="generic45", output=path, command="hwgen sweep")
    return path
