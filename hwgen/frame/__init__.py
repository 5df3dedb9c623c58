"""The frame that PE families fill: `TileSpec` describes a tile, `Tile` is its hardware."""

from __future__ import annotations

from hwgen.frame.facts import Addend, Block, Mode, Quantization, Side, State
from hwgen.frame.param import Param, Range, param
from hwgen.frame.spec import TileSpec

__all__ = ["Addend", "Block", "Mode", "Param", "Quantization", "Range", "Side", "State", "TileSpec", "param"]
