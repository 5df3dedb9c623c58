"""FIGNA (HPCA 2024): integer cells for floating-point activations, aligned before."""

from __future__ import annotations

from typing import Any

from reports.scoreboard.bench import Tile
from reports.scoreboard.measures import AreaRatio, EnergyRatio
from reports.scoreboard.number import Number, Paper, Source
from reports.scoreboard.tiles import FP16_MAC

__all__ = ["PAPER", "aligned"]

_TITLE = "FIGNA (HPCA 2024)"
_ANDA = "Anda (HPCA 2025)"
_WHY = "Aligned before the buffer, a block that is not counted; sums are exact integers, of FP16 they are FP32."


def aligned(bits: int, **values: Any) -> Tile:
    """Integer products of weights by FP16 activations that were aligned once a row."""
    return Tile.of("int", 64, **{"m": 8, "k": 1, "bits": bits, "acts": "fp16", "post_lanes": 0, **values})


PAPER = Paper(
    "figna",
    _TITLE,
    "Activations are aligned to a common exponent before the array, whose cells then multiply and add integers.",
    (
        Number(
            "abstract/density",
            "throughput of an area: FP16 × INT4 aligned / FP16",
            "×",
            6.34,
            Source(_TITLE, "abstract", "abstract"),
            AreaRatio(FP16_MAC, aligned(4)),
            _WHY,
        ),
        Number(
            "abstract/energy",
            "multiply-accumulates of an energy: FP16 × INT4 aligned / FP16",
            "×",
            2.19,
            Source(_TITLE, "abstract", "abstract"),
            EnergyRatio(FP16_MAC, aligned(4)),
            _WHY + " Theirs is an accelerator's with its memories; the cell's alone is what Anda gives.",
        ),
        Number(
            "anda/area",
            "area: FIGNA's element / FP16 × FP16",
            "×",
            0.18,
            Source(_ANDA, "normalised areas and powers of elements", "paper"),
            AreaRatio(aligned(4), FP16_MAC),
            _WHY,
        ),
        Number(
            "anda/energy",
            "energy: FIGNA's element / FP16 × FP16",
            "×",
            0.17,
            Source(_ANDA, "normalised areas and powers of elements", "paper"),
            EnergyRatio(aligned(4), FP16_MAC),
            _WHY,
        ),
    ),
)
