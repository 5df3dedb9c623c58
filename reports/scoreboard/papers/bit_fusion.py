"""Bit Fusion (ISCA 2018): bricks of two bits that fuse into wider products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from reports.scoreboard.bench import Tile
from reports.scoreboard.number import Measure, Number, Paper, Source

if TYPE_CHECKING:
    from reports.scoreboard.bench import Bench

__all__ = ["PAPER"]

_TITLE = "Bit Fusion (ISCA 2018)"


@dataclass(frozen=True)
class ModeProducts(Measure):
    """Products a cycle of one fusion unit in the mode whose activations and weights have so many bits."""

    tile: Tile
    acts: int
    weights: int
    basis: ClassVar[str] = "widths"

    def value(self, bench: Bench) -> float:
        """Products, of activations and weights of the mode."""
        spec = bench.spec(self.tile)
        for mode in range(len(spec.modes())):
            acts, weights = spec.mode_formats(mode)
            if (acts.code_bits, weights.code_bits) == (self.acts, self.weights):
                # A step of the mode has so many codes along K for each unit and column.
                of_acts, of_weights = (int(np.prod(count)) for count in spec.code_columns(mode))
                return float(max(of_acts, of_weights) / spec.p["k"])
        raise AssertionError(f"no mode of {self.acts} and {self.weights} bits")

    def switches(self) -> Mapping[str, str]:
        """The depth."""
        return {"depth": str(self.tile.depth)}

    def families(self) -> tuple[str, ...]:
        """The tile's."""
        return (self.tile.family,)


_TILE = Tile.of("bitfusion", 0, bits=8, acts="int8", k=1, brick_acts=2, brick_weights=2)

PAPER = Paper(
    "bit-fusion",
    _TITLE,
    "Sixteen multipliers of two bits, which fuse at run time into products of two, four and eight.",
    tuple(
        Number(
            f"fused/{acts}x{weights}",
            f"products a cycle of a unit of sixteen bricks, {acts} by {weights} bits",
            "products",
            float(published),
            Source("Bit Fusion, the authors' page (act-lab.org/artifacts/bitfusion)", "architecture", "code"),
            ModeProducts(_TILE, acts, weights),
            "The same bricks.",
        )
        for acts, weights, published in ((2, 2, 16), (4, 4, 4), (8, 2, 4), (8, 8, 1))
    ),
)
