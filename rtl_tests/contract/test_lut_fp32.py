"""The contract of LUT tiles that add FP32 table entries, which sweeps leave out: the smallest tiles of every kind."""

from __future__ import annotations

from typing import Any

import pytest

from hwgen.pe import family
from hwgen.verify import check_contract

SMALLEST: dict[str, Any] = {"cell": "fp_add", "scheme": "bipolar", "m": 1, "n": 1, "k": 2, "group": 8, "depth": 8}
PLAIN = {"scheme": "symmetric", "planes": "twos_complement", "symmetry": "none"}
TILES: dict[str, dict[str, Any]] = {
    "one adder": {"acts": "fp8_e4m3"},
    "two planes a cycle": {"acts": "fp8_e4m3", "planes_per_cycle": 2, "adder_stages": 2},
    "one bit": {"acts": "bf16", "bits": 1, "negation": "runtime", "adder_stages": 2},
    "eight bits": {"acts": "bf16", "bits": 8, "symmetry": "none", "adder_stages": 3},
    "all planes a cycle": {**PLAIN, "acts": "bf16", "bits": 3, "planes_per_cycle": 3, "adder_stages": 3},
    "tables from outside": {
        "acts": "fp8_e5m2",
        "precompute": "external",
        "bits": 1,
        "adder_stages": 3,
        "interleave": "ring",
    },
    "two tables": {"acts": "fp8_e4m3", "tables": 2},
    "three tables, two planes": {
        "acts": "bf16",
        "tables": 3,
        "bits": 4,
        "planes_per_cycle": 2,
        "group": 12,
        "depth": 12,
        "adder_stages": 2,
        "interleave": "ring",
        "precompute": "external",
    },
    "plain bits of four tables": {**PLAIN, "acts": "bf16", "tables": 4},
    "systolic": {
        "acts": "fp16",
        "bits": 4,
        "planes_per_cycle": 2,
        "adder_stages": 2,
        "interleave": "ring",
        "stages": 3,
        "n": 2,
        "transport": "systolic",
    },
    "plain bits": {**PLAIN, "acts": "fp16", "bits": 4, "stages": 0, "k": 3, "group": 6, "depth": 6},
}
SLOW = ("eight bits", "systolic", "plain bits", "three tables, two planes", "plain bits of four tables")


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in TILES]
)
def test_contract(name: str) -> None:
    spec = family("lut").from_values({**SMALLEST, **TILES[name]})
    failed = [finding for finding in check_contract(spec) if not finding.ok]
    assert not failed, "\n".join(f"{finding.check}: {finding.detail}" for finding in failed)
