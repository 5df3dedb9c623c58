"""`TileSpec`: the one immutable description of a tile from which every view is derived.

A family is one file with one subclass. It declares parameters with `param`, widths and cycle counts as class methods
over a mapping of parameters (scalars or arrays), the reference arithmetic in numpy, and the logic of its blocks as
functions that add combinational statements to a module. Sequencing, pipeline cuts, transport, accumulators, ports,
manifest, tests and sweeps are the frame's.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.frame.facts import Block, P
from hwgen.frame.inventory import blocks, modules, post_lanes
from hwgen.frame.logic import TileLogic

__all__ = ["TileSpec"]


@dataclass(frozen=True, kw_only=True)
class TileSpec(TileLogic):
    """Base of every PE family. Shapes: activations [M, K] codes, weights [N, K] codes, sums [M, N, P]."""

    @classmethod
    def blocks(cls, p: P) -> dict[str, Block]:
        """Every block with its count and primitives: the structural inventory that the cost model prices."""
        return blocks(cls, p, cls.post_blocks)

    @classmethod
    def modules(cls, p: P) -> dict[str, Block]:
        """The blocks as the emitted design has them: row, col, cell, rowsum, control, post, pre_row, pre_control."""
        return modules(cls.blocks(p))

    @classmethod
    def post_blocks(cls, p: P) -> dict[str, Block]:
        """Inventory of the post lanes by block name ("post_…"); only asked for tiles that have lanes."""
        return post_lanes(cls, p)
