"""XR-NPE: a multiply-accumulate lane of 16 bits that splits into posits and FP4."""

from __future__ import annotations

from reports.scoreboard.bench import Tile
from reports.scoreboard.measures import CellRatio, Cells, EnergyRatio, FpgaRatio
from reports.scoreboard.number import Number, Paper, Source

__all__ = ["PAPER"]

_TITLE = "XR-NPE (arXiv 2508.13049)"
_SOURCE = Source(_TITLE, "abstract", "abstract")

_LANE = Tile.of("posit", 0, k=1)
_ALONE = (
    Cells(1, Tile.of("posit", 0, format="posit", posit_bits=16, es=1, k=1)),
    Cells(2, Tile.of("posit", 0, format="posit", posit_bits=8, es=0, k=1)),
    Cells(4, Tile.of("posit", 0, format="posit", posit_bits=4, es=1, k=1)),
    Cells(4, Tile.of("posit", 0, format="fp4", k=1)),
)
"""Units of one format each that do what a lane that splits does."""
_SEPARATE = "units of one format each (Posit(16,1), 2 × Posit(8,0), 4 × Posit(4,1), 4 × FP4) / one lane that splits"
_WHY = (
    "The published figure is against other authors' multiply-accumulate units, of which the abstract says no more; "
    "ours is what splitting itself saves, with exact quires for 128 products on both sides."
)

PAPER = Paper(
    "xr-npe",
    _TITLE,
    "One lane for posits of 16, 8 and 4 bits and FP4, against a unit for each.",
    (
        Number(
            "lane/area",
            f"area: {_SEPARATE} (42 % less)",
            "×",
            1 / (1 - 0.42),
            _SOURCE,
            CellRatio(_ALONE, (Cells(1, _LANE),)),
            _WHY,
        ),
        Number(
            "lane/power_p8",
            "energy of a multiply-accumulate: Posit(8,0) alone / in the lane (38 % less power)",
            "×",
            1 / (1 - 0.38),
            _SOURCE,
            EnergyRatio(Tile.of("posit", 64, m=2, format="posit", k=4), Tile.of("posit", 64, m=2, operands="p8", k=1)),
            "A lane that can do 16 bits spends more on 8 than a unit of 8 bits: what idles is clocked, and its quire "
            "is 128 bits wide. Against separate units a lane saves area, not energy.",
        ),
        Number(
            "fpga/lut",
            f"LUTs: {_SEPARATE}",
            "×",
            1.4,
            _SOURCE,
            FpgaRatio(_ALONE, (Cells(1, _LANE),)),
            _WHY + " There a whole co-processor.",
        ),
        Number(
            "fpga/ff",
            f"flip-flops: {_SEPARATE}",
            "×",
            1.77,
            _SOURCE,
            FpgaRatio(_ALONE, (Cells(1, _LANE),), "ff"),
            _WHY + " The lane shares one quire between formats.",
        ),
    ),
)
