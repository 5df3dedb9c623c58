"""L-Mul (2024): floating-point products by integer addition."""

from __future__ import annotations

from reports.scoreboard.bench import Tile
from reports.scoreboard.measures import EnergyRatio
from reports.scoreboard.number import Number, Paper, Source, Stated
from reports.scoreboard.tiles import FP16_MAC

__all__ = ["PAPER"]

_TITLE = "Addition is All You Need (arXiv 2410.00907)"
_VALUES = {name: value for name, value in FP16_MAC.values if name != "bits"}

PAPER = Paper(
    "l-mul",
    _TITLE,
    "A product of two floats is one addition of their exponents and mantissas, and a constant.",
    (
        Number(
            "abstract/dot_energy",
            "energy of a multiply-accumulate: L-Mul / exact products, FP16 (80 % less in a dot product)",
            "×",
            0.2,
            Source(_TITLE, "abstract", "abstract"),
            EnergyRatio(Tile.of("lmul", 64, acts="fp16", weights="fp16", **_VALUES), FP16_MAC),
            "Theirs are costs of single operations of 32 bits (an addition of integers for a product of floats); ours "
            "are cells of 16 bits with FP32 sums, into which products have half as many bits with L-Mul.",
        ),
    ),
    (
        Stated(
            "computation beside products of 8-bit floats",
            "significantly less, no number",
            Source(_TITLE, "abstract", "abstract"),
            "With exact sums, cells of four products of E4M3 are alike in both within what mapping moves (ASAP7): "
            "what they are made of is shifters and a wide sum.",
        ),
        Stated(
            "energy of a product alone",
            "95 % less",
            Source(_TITLE, "abstract", "abstract"),
            "Energies here are of cells, in which a product is not apart from its sum.",
        ),
    ),
)
