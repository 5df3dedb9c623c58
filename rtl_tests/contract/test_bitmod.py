"""BitMoD tiles that the sweep values leave to the slow pairs: floating-point activations with the bit-serial post."""

from __future__ import annotations

from typing import Any

import pytest

from hwgen.pe import family
from hwgen.verify import check_contract

pytestmark = pytest.mark.rtl

SMALL: dict[str, Any] = {"m": 2, "n": 1, "k": 2, "group": 32, "depth": 32, "post_lanes": 1}


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"stages": 2}, id="normalised"),
        pytest.param({"accumulator": "exact", "stages": 0}, id="exact"),
        pytest.param({"acts": "bf16", "acc_mantissa": 32, "k": 1}, id="wide mantissa, rounded once"),
    ],
)
def test_contract(values: dict[str, Any]) -> None:
    spec = family("bitmod").from_values(SMALL | values)
    failed = [finding for finding in check_contract(spec) if not finding.ok]
    assert not failed, "\n".join(f"{finding.check}: {finding.detail}" for finding in failed)
