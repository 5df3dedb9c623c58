"""What a golden layer refuses, in one sentence each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from hwgen.formats import QTensor, get
from hwgen.quantize import integer
from sim.golden import QuantLinear
from tests.golden.operands import K, weights
from tests.golden.oracle import Formats


def layer(q: Formats | None = None) -> QuantLinear:
    return QuantLinear.from_linear(weights(1), q or Formats())


def not_finite() -> Any:
    q = Formats(acts="fp16", act_scale="e8m0")
    codes = np.full((1, K), 0x7C00)
    acts = QTensor.build(codes, get("fp16"), scale_codes=np.full((1, 1), 127), scale_format=get("e8m0"))
    return layer(q)(acts)


def per_group() -> Any:
    return layer()(integer(np.ones((1, K)), 8, 8, "symmetric", "bf16"))


def biased() -> Any:
    return QuantLinear.from_linear(torch.nn.Linear(8, 8), Formats())


CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "mode": (
        lambda: layer()(torch.ones(1, K), mode="exakt"),
        "QuantLinear: mode must be one of exact, fake, not 'exakt'; did you mean 'exact'?",
    ),
    "bias": (biased, "QuantLinear: linear must have no bias, which no tile adds; add it to the layer's result"),
    "columns": (
        lambda: layer()(torch.ones(2, 8)),
        "QuantLinear: activations must have 36 columns, not shape [2, 8]",
    ),
    "scalar": (lambda: layer()(torch.tensor(1.0)), "QuantLinear: activations must have 36 columns, not shape []"),
    "activation format": (
        lambda: layer()(integer(np.ones((1, K)), 4, 0, "symmetric", "bf16")),
        "QuantLinear: activations must be int8, not int4",
    ),
    "activation groups": (
        per_group,
        "QuantLinear: activations must have K = 36 and one scale a token or groups of 16, not K = 36 and groups of 8",
    ),
    "weight format": (
        lambda: QuantLinear(integer(np.ones((2, 8)), 8, 4), Formats(group=4)),
        "QuantLinear: weights must be int4, not int8",
    ),
    "weight groups": (
        lambda: QuantLinear(integer(np.ones((2, 8)), 4, 2), Formats(group=4)),
        "QuantLinear: weights must have groups of 4, not of 2",
    ),
    "not finite": (not_finite, "QuantLinear: activations must be finite, which some fp16 codes are not"),
}


@pytest.mark.parametrize("name", CASES)
def test_one_sentence(name: str) -> None:
    call, message = CASES[name]
    with pytest.raises(HwgenError) as error:
        call()
    assert str(error.value) == message


def test_group_sums_and_bound_refuse_the_same() -> None:
    with pytest.raises(HwgenError, match="36 columns"):
        layer().group_sums(torch.ones(2, 8))
    with pytest.raises(HwgenError, match="36 columns"):
        layer().bound(torch.ones(2, 8))
