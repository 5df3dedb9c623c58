"""BitROM: ternary weights in a ROM that computes."""

from __future__ import annotations

from reports.scoreboard.number import Paper, Source, Stated

__all__ = ["PAPER"]

_TITLE = "BitROM (arXiv 2509.08542)"

PAPER = Paper(
    "bitrom",
    _TITLE,
    "Ternary weights of BitNet in a ROM, two a transistor, with accumulators beside it.",
    (),
    (
        Stated(
            "energy efficiency, 65 nm",
            "20.8 TOPS/W",
            Source(_TITLE, "abstract", "abstract"),
            "A ROM array is full custom and has no Liberty view; weights of hwgen constant are adders, no cells of "
            "a ROM.",
        ),
        Stated(
            "density of weights, 65 nm",
            "4,967 kB/mm², ten times earlier digital ones",
            Source(_TITLE, "abstract", "abstract"),
            "As above. For scale: 16 × 32 ternary weights as adders take 817 µm² in ASAP7 "
            "(reports/results/constant.md), which also compute all sums in every cycle.",
        ),
        Stated(
            "external DRAM accesses less",
            "43.6 %",
            Source(_TITLE, "abstract", "abstract"),
            "Of its eDRAM for keys and values; sim.system has no refresh.",
        ),
    ),
)
