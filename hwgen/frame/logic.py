"""The logic of a tile's blocks: functions that add combinational statements to a module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwgen.frame.accumulators import plain_accumulators
from hwgen.frame.facts import Addend
from hwgen.frame.post import PostBlock
from hwgen.frame.statement import TileStatement

if TYPE_CHECKING:
    from amaranth.hdl import Module, Value
    from amaranth.lib import wiring

    from hwgen.frame.place import Path, Place

__all__ = ["TileLogic"]


@dataclass(frozen=True, kw_only=True)
class TileLogic(TileStatement):
    """The logic of a tile's blocks: functions that add combinational statements to a module."""

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Add a row front-end to ``m``; ``acts`` indexes the row's port elements. Returns the row bus."""
        return acts.as_value()

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Add a column front-end to ``m``. Returns the column bus."""
        return weights.as_value()

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Add a cell's product logic to ``m``. Returns what is added to each of its P sums."""
        raise NotImplementedError

    def build_accumulators(
        self, m: Module, addends: list[Addend], clear: Value, enable: Value | None, fold: Value, place: Place
    ) -> list[Value]:
        """Add a cell's accumulators to ``m``; returns its P sums, `acc_bits` wide.

        ``clear`` comes with the first ``enable`` of a group, with a ring with those that find no partial sum; ``fold``
        says what becomes of partial sums after the last one (`hwgen.frame.accumulators.fold_plan`). There is no
        ``enable`` where idle cycles add nothing (`TileFormulas.cell_enabled`). ``place`` adds blocks.
        """
        return plain_accumulators(m, self, addends, clear, enable, int(self.acc_bits(self.p)))

    def accumulator_path(self) -> Path | None:
        """What addends go through on their way to a sum; None where an adder with stages of its own takes them."""
        return self.integer_path(int(self.acc_bits(self.p)))

    def integer_path(self, bits: int) -> Path:
        """What an addend goes through on its way to a register of ``bits`` bits in `build_accumulators`."""
        bounded: Path = (("eq", bits), ("mux", bits)) if self.overflow == "saturate" else ()
        held: Path = (("mux", 1),) if self.cell_enabled(self.p) else ()
        return (("add", bits), *bounded, *held)

    def build_row_sum(self, m: Module, row: Value) -> Value:
        """Add logic for the signed sum of a row's K activations, from the row bus."""
        raise NotImplementedError

    def post_block(self, place: Place) -> wiring.Component:
        """The block that scales group sums, where there are post lanes; ports as `hwgen.frame.post.PostBlock`."""
        return PostBlock(self, place)

    @property
    def scales_by_lanes(self) -> bool:
        """Whether the frame's own lanes scale the sums, with floating-point scales on both sides."""
        return self.lanes > 0 and type(self).post_block is TileLogic.post_block
