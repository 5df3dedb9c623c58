"""Tiles of one-bit, odd and ternary weights keep the contract; sweep values are those of the other schemes."""

from __future__ import annotations

from typing import Any

import pytest

from hwgen.pe import family
from hwgen.verify import check_contract

SLOW = pytest.mark.slow
TILES = [
    pytest.param("int", {"bits": 1}, id="int-1"),
    pytest.param("int", {"bits": 1, "k": 1, "stages": 0, "acts": "int2"}, id="int-1-k1", marks=SLOW),
    pytest.param("int", {"bits": 1, "k": 3, "group": 126, "stages": 3, "post_lanes": 2}, id="int-1-lanes", marks=SLOW),
    pytest.param("int", {"bits": 1, "overflow": "saturate", "transport": "systolic"}, id="int-1-saturate"),
    pytest.param(
        "int", {"bits": 8, "scheme": "bipolar", "stages": 2, "overflow": "wrap"}, id="int-bipolar8", marks=SLOW
    ),
    pytest.param(
        "int", {"bits": 1, "acts": "fp8_e5m2", "align_scope": "step", "k": 9, "group": 126}, id="int-1-aligned"
    ),
    pytest.param("int", {"bits": "1.58"}, id="int-ternary"),
    pytest.param("lut", {"bits": 1, "cell": "fp_add", "acts": "fp16", "n": 2}, id="lut-1-fp32", marks=SLOW),
    pytest.param(
        "lut", {"bits": "1.58", "planes": "twos_complement", "symmetry": "none", "n": 4}, id="lut-ternary", marks=SLOW
    ),
    pytest.param("lut", {"bits": "1.58", "entries": "int8", "n": 4}, id="lut-ternary-bytes", marks=SLOW),
    pytest.param("mixpe", {"bits": "1.58", "acts": "fp16", "n": 2}, id="mixpe-ternary", marks=SLOW),
    # The tree of such products is narrower than its formula, and a flag stands above it.
    pytest.param(
        "posit",
        {"format": "posit", "posit_bits": 2, "es": 1, "k": 4, "stages": 2, "n": 1, "group": 12, "depth": 12},
        id="posit-2",
    ),
]


@pytest.mark.parametrize(("name", "values"), TILES)
def test_contract(name: str, values: dict[str, Any]) -> None:
    spec = family(name).from_values({"m": 1, "n": 4, **values})
    failed = [finding for finding in check_contract(spec) if not finding.ok]
    assert not failed, "\n".join(f"{finding.check}: {finding.detail}" for finding in failed)
