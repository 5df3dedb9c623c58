"""Arbitrary precision on GPU tensor cores with bipolar integers."""

from __future__ import annotations

from reports.scoreboard.number import Paper, Source, Stated

__all__ = ["PAPER"]

_TITLE = "Efficient Arbitrary Precision Acceleration for Large Language Models on GPU Tensor Cores"

PAPER = Paper(
    "apt-llm",
    _TITLE,
    "Bipolar integers, all of whose planes count alike: bitplane and lut have them as scheme bipolar.",
    (),
    (
        Stated(
            "matrix multiplication over CUTLASS",
            "up to 2.4 ×",
            Source(_TITLE, "abstract", "abstract"),
            "A GPU's time.",
        ),
    ),
)
