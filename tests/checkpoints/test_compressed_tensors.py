"""Checkpoints that compressed-tensors 0.20.1 itself wrote (tools/compressed_tensors_fixtures.py), random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from hwgen.pe import family
from sim.hold import tile_for
from sim.models.checkpoint import stored_weights
from sim.models.weights import open_model

FOLDER = Path(__file__).parent / "compressed_tensors"
LAYER = "model.layers.0.mlp.up_proj"
TILES = {
    "pack4": "--bits 4 --group 32 --weight-scale fp32",
    "pack4_asym": "--bits 4 --scheme asymmetric --group 32 --weight-scale fp32",
    "pack3": "--bits 3 --group 0",
    "int8": "--group 0",
    "fp8": "--pe minifloat --weights fp8_e4m3 --group 0",
    "fp8_block": "--pe minifloat --weights fp8_e4m3 --group 32 --weight-scale fp32",
    "nvfp4": "--pe mx --weights nvfp4",
    "mxfp4": "--pe mx --weights mxfp4",
    "mxfp6": "--pe mx --weights mxfp6_e2m3",
    "mxfp8": "--pe mx --weights mxfp8_e4m3",
}


@pytest.mark.parametrize("name", TILES)
def test_values_are_those_of_the_package(name: str) -> None:
    stored = stored_weights(open_model(FOLDER / name / "model.safetensors"), LAYER)
    wanted = load_file(FOLDER / name / "decompressed.safetensors")["weight"].float().numpy()
    assert np.array_equal(stored.float32(), wanted)
    # A scale of a row is a second-level one: no wider scales of groups are asked for.
    assert tile_for(family("int").from_values({"group": 64}), stored.tensor) == TILES[name]


def test_every_checkpoint_is_looked_at() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(TILES)
