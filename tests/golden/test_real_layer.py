"""A layer of a real language model on real text: the exact result within its bound of the float model, and of float."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from sim.golden import QuantLinear
from sim.models.smollm import capture
from sim.models.weights import open_model
from tests.golden.oracle import Formats

pytestmark = pytest.mark.model

LAYER, TOKENS = "blk.0.ffn_up", 8
SECONDS = 2.0
"""Processor time, which other processes do not lengthen."""


@pytest.fixture(scope="module")
def operands(real_model: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [1536, 576] and activations [8, 576]."""
    weight = torch.from_numpy(open_model(real_model).float32(f"{LAYER}.weight").copy())
    return weight, torch.from_numpy(capture(real_model, LAYER, tokens=TOKENS))


# The errors of the quantisers are those measured, rounded up: a wrong sign, scale or zero point gives 1 and more.
ALIGNED = {"acts": "fp16", "act_scale": "e8m0"}


@pytest.mark.few(4)
@pytest.mark.parametrize(
    ("q", "loss"),
    [
        (Formats(weights="int8", group=128), 0.05),
        (Formats(weights="uint4", scheme="asymmetric", group=128), 0.17),
        (Formats(weights="uint4", scheme="minimum", group=32), 0.09),
        (Formats(weights="bipolar4", scheme="bipolar", group=128), 0.18),
        # By the largest magnitude these were 4.3 and 0.95.
        (Formats(weights="bipolar1", scheme="bipolar", group=128), 0.91),
        (Formats(weights="int2", scheme="ternary", group=128), 0.61),
        (Formats(**ALIGNED, weights="int8", group=128, align="group", align_guard=3), 0.01),
        (Formats(**ALIGNED, weights="int8", group=128, align="step", align_guard=3), 0.01),
        (Formats(**ALIGNED, weights="int8", group=128, align="row", align_rounding="truncate"), 0.015),
        (Formats(acts="mxint8", weights="mxint8", scheme="mx", act_scale="e8m0", weight_scale="e8m0", group=32), 0.025),
        (Formats(acts="mxfp4", weights="mxfp4", scheme="mx", act_scale="e8m0", weight_scale="e8m0", group=32), 0.26),
    ],
    ids=lambda value: "-".join([value.acts, value.weights, str(value.align)]) if isinstance(value, Formats) else "",
)
def test_real_layer(operands: tuple[torch.Tensor, torch.Tensor], q: Formats, loss: float) -> None:
    weight, x = operands
    layer = QuantLinear.from_linear(weight, q)
    start = time.process_time()
    y = layer(x)
    seconds = time.process_time() - start
    bound = layer.bound(x)
    assert bool(torch.isfinite(bound).all())
    assert bool(((y.double() - layer(x, mode="fake").double()).abs() <= bound).all())
    ideal = x.double() @ weight.double().T
    assert float((y - ideal).norm() / ideal.norm()) < loss
    assert seconds < SECONDS
