"""Tiles that several papers are compared with: declared once, so that no paper has a multiplier of its own."""

from __future__ import annotations

from typing import Any

from reports.scoreboard.bench import Tile

__all__ = ["FP16_DOT", "FP16_MAC", "INT8", "lut", "mixpe"]

INT8 = Tile.of("int", 512, bits=8, m=2, k=4)
"""INT8 multiply-accumulates, four a cell."""
FP16_MAC = Tile.of("minifloat", 64, bits=16, accumulator="fp32", k=1, m=8)
"""FP16 multiply-accumulates with FP32 sums, one a cell: where the paper's element is one multiplier and one adder."""
FP16_DOT = Tile.of("minifloat", 64, bits=16, accumulator="fp32", k=4, m=2)
"""The same, four a cell that share an adder, as in a tensor core: where the paper's unit is a dot product."""


def lut(bits: int, **values: Any) -> Tile:
    """The LUT tensor core of M·N·K = 512 one-bit products a cycle, two rows."""
    return Tile.of("lut", 512 // bits, **{"m": 2, "k": 4, "bits": bits, "scheme": "symmetric", **values})


def mixpe(acts: str, **values: Any) -> Tile:
    """Shift and add with four-bit weights."""
    return Tile.of("mixpe", 256, **{"bits": 4, "acts": acts, "m": 8, **values})
