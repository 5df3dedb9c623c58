"""PE families, one file or folder each, and what several of them share. The frame that they fill is `hwgen.frame`."""

from __future__ import annotations

from hwgen.frame import Addend, Block, Mode, Param, Quantization, Range, Side, State, TileSpec, param
from hwgen.pe._registry import families, family, family_names, family_of_file

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
    "family_of_file",
    "param",
]
