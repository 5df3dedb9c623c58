"""Stripes (MICRO 2016) and elements of its kind: one operand bit by bit."""

from __future__ import annotations

from reports.scoreboard.bench import Tile
from reports.scoreboard.measures import CellRatio, Cells, EnergyRatio
from reports.scoreboard.number import Number, Paper, Source, Stated

__all__ = ["PAPER"]

_TITLE = "Stripes (MICRO 2016)"
_BBS = "BBS (MICRO 2024)"
_SERIAL = {"bits": 8, "acts": "int8", "k": 8, "planes": 1, "m": 2}
_OLIVE = {"acts": "int8", "weights": "olive4", "k": 2, "m": 2}
_WHY = (
    "Published elements are of 28 nm at 800 MHz. Serial are weights here and activations there, and the serial element "
    "shifts its sum of a cycle, not its accumulator; accumulators are as wide as exact sums of the depth."
)

PAPER = Paper(
    "stripes",
    _TITLE,
    "One operand bit by bit, so that time goes with its width; the baseline of later serial designs.",
    (
        Number(
            "bbs_table5/area",
            "area: element of eight serial multipliers / of one OliVe product of 4 by 8 bits (532.8 over 291.6 µm²)",
            "×",
            532.8 / 291.6,
            Source(_BBS, "Table V", "derived"),
            CellRatio((Cells(1, Tile.of("bitserial", 0, **_SERIAL)),), (Cells(0.5, Tile.of("olive", 0, **_OLIVE)),)),
            _WHY + " Ours of OliVe is half a cell of two, as pairs are decoded together.",
        ),
        Number(
            "bbs_table5/energy",
            "energy of a product: serial, 8 bits / OliVe, 4 by 8 bits (0.37 and 0.18 mW for one product a cycle)",
            "×",
            0.37 / 0.18,
            Source(_BBS, "Table V", "derived"),
            EnergyRatio(Tile.of("bitserial", 64, **_SERIAL), Tile.of("olive", 64, **_OLIVE)),
            _WHY + " Powers there are a tool's estimate; toggles here are a layer's.",
        ),
    ),
    (
        Stated(
            "performance over DaDianNao, mean of image classifiers",
            "1.92 × (1.30 to 4.51)",
            Source(_TITLE, "abstract", "abstract"),
            "Precisions of each layer of its networks are its own; sim.workload has language models.",
        ),
        Stated(
            "energy efficiency and area over DaDianNao",
            "+57 %, +32 %",
            Source(_TITLE, "abstract", "abstract"),
            "Both are of chips whose memories (36 MB of eDRAM) are most of them.",
        ),
    ),
)
