"""PTQTP: two ternary planes, each with a scale."""

from __future__ import annotations

from reports.scoreboard.number import Paper, Source, Stated

__all__ = ["PAPER"]

_TITLE = "PTQTP (arXiv 2509.16989)"

PAPER = Paper(
    "ptqtp",
    _TITLE,
    "Weights as a sum of two ternary planes with scales of their own: format trit_planes of the family codebook.",
    (),
    (
        Stated(
            "mathematical reasoning kept, LLaMA 3 and Qwen3",
            "82.4 %",
            Source(_TITLE, "abstract", "abstract"),
            "Tasks and models are not here.",
        ),
        Stated("speed from end to end over FP16", "4.63 ×", Source(_TITLE, "abstract", "abstract"), "A GPU's time."),
    ),
)
