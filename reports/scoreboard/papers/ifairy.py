"""Fairy±i: complex weights that are fourth roots of one."""

from __future__ import annotations

from reports.scoreboard.number import Paper, Source, Stated

__all__ = ["PAPER"]

_TITLE = "Fairy±i (arXiv 2508.05571)"

PAPER = Paper(
    "ifairy",
    _TITLE,
    "Weights 1, −1, i and −i in two bits: products are swaps and signs.",
    (),
    (
        Stated(
            "models of 700 million and 1.3 billion parameters without multiplications",
            "2 bits a complex weight",
            Source(_TITLE, "abstract", "abstract"),
            "No number beside the format was read; models are trained for it.",
        ),
    ),
)
