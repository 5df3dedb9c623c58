"""ShiftAddLLM (NeurIPS 2024): planes with power-of-two scales."""

from __future__ import annotations

from reports.scoreboard.bench import Tile
from reports.scoreboard.measures import EnergyRatio
from reports.scoreboard.number import Number, Paper, Range, Source, Stated
from reports.scoreboard.tiles import FP16_MAC

__all__ = ["PAPER"]

_TITLE = "ShiftAddLLM (NeurIPS 2024, arXiv 2406.05981)"

PAPER = Paper(
    "shiftaddllm",
    _TITLE,
    "Weights as binary planes with power-of-two scales: shifts, additions and table look-ups in place of products.",
    (
        Number(
            "abstract/energy",
            "energy of a multiply-accumulate: FP16 activations by sums of two powers / FP16 (more than 80 % less)",
            "×",
            Range(0.0, 0.2),
            Source(_TITLE, "abstract", "abstract"),
            EnergyRatio(Tile.of("shiftadd", 64, powers=2, exponent_bits=2, acts="fp16", k=4, m=8), FP16_MAC),
            "Theirs is a model's whole energy by costs of operations, with memory; ours is a cell's, which aligns "
            "activations once before the buffer and adds integers.",
        ),
    ),
    (
        Stated(
            "perplexity below the best quantised models at 3 and 2 bits, mean",
            "5.6 and 22.7",
            Source(_TITLE, "abstract", "abstract"),
            "Scales and planes are fitted to each model's activations, which no quantiser here does.",
        ),
    ),
)
