"""ABQ-LLM (AAAI 2025): any widths on a GPU's binary tensor cores."""

from __future__ import annotations

from reports.scoreboard.number import Paper, Source, Stated

__all__ = ["PAPER"]

_TITLE = "ABQ-LLM (arXiv 2408.08554)"

PAPER = Paper(
    "abq-llm",
    _TITLE,
    "Planes of weights by planes of activations, as the family bitplane does, on a GPU's one-bit tensor cores.",
    (),
    (
        Stated(
            "speed of kernels over CUTLASS and cuBLAS, perplexities of LLaMA and LLaMA-2",
            "pictures only, no number was read",
            Source("bytedance/ABQ-LLM (commit 05a99d5)", "README", "code"),
            "Times are a GPU's; perplexities come from weights that were trained for each width, of models "
            "that are not here.",
        ),
    ),
)
