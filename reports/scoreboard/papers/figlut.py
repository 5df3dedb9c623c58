"""FIGLUT (HPCA 2025): tables in flip-flops that planes of weights look up."""

from __future__ import annotations

from reports.scoreboard.bench import Tile
from reports.scoreboard.measures import EnergyRatio
from reports.scoreboard.number import Number, Paper, Source, Stated
from reports.scoreboard.papers.figna import aligned

__all__ = ["PAPER"]

_TITLE = "FIGLUT (HPCA 2025, arXiv 2503.06862)"
_TABLES = Tile.of("lut", 64, m=2, k=4, bits=3, acts="fp16", scheme="asymmetric")

PAPER = Paper(
    "figlut",
    _TITLE,
    "Half-size tables of sums of activations in flip-flops, read by binary planes of weights.",
    (
        Number(
            "abstract/energy_w3",
            "multiply-accumulates of an energy at 3 bits: tables / the best earlier design",
            "×",
            1.59,
            Source(_TITLE, "abstract", "abstract"),
            EnergyRatio(aligned(3), _TABLES),
            "The best earlier design is not named in the abstract; here it is FIGNA's, integers of aligned "
            "activations. Tables there are read by 32 units each, here by the 24 columns of a tile, a plane a "
            "cycle, each with a sum of aligned integers: three look-ups and additions a product.",
        ),
    ),
    (
        Stated(
            "perplexity at 3 bits, and energy at the same perplexity with 2.4 bits",
            "20 % lower, 98 % more TOPS/W",
            Source(_TITLE, "abstract", "abstract"),
            "Planes with scales of their own (BCQ) are fitted to each weight matrix; no quantiser here does.",
        ),
    ),
)
