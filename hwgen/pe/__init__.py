"""PE families and the frame that they fill: `TileSpec` describes a tile, `Tile` is its hardware."""

from __future__ import annotations

from hwgen.pe._param import Param, Range, param
from hwgen.pe._registry import families, family, family_names
from hwgen.pe._spec import Addend, Block, Mode, Quantization, Side, State, TileSpec

__all__ = [
    "Addend",
    "Block",
    "Mode",
    "Param",
    "Quantization",
    "Range",
    "Side",
    "State",
    "TileSpec",
    "families",
    "family",
    "family_names",
    "param",
]
