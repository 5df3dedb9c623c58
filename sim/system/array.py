"""`Array`: an array of processing elements by a few numbers, where no design of its own is at hand.

What others publish of their hardware, and a tile of this project without memory around it, are described alike: how
much of a product is done in a step, how long a step takes, when the array fills and drains, how large its buffers are.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from hwgen.errors import HwgenError
from hwgen.frame.numbers import Num
from hwgen.pe import TileSpec
from hwgen.schedule import closed_cycles
from sim.system.arrays import Arrays

__all__ = ["Array"]

_NAMES = {"dataflow": ("outputs", "weights"), "fill": ("none", "product", "pass")}


@dataclass(frozen=True, kw_only=True)
class Array:
    """An array; numbers are scalars, or arrays over designs. Raises `HwgenError` for names that are none.

    Parameters
    ----------
    rows, columns: processing elements. depth: products that each does in a step.
    dataflow: what stays in an element: ``outputs`` (a row is a token, a column an output; a pass takes the inner
        dimension in steps of ``depth``) or ``weights`` (a row is ``depth`` inner elements, a column an output; a pass
        takes the tokens). fill: whether operands enter and results leave by neighbours once a ``pass``, once a
        ``product``, or in no cycle of their own.
    term_bits: bits of a weight, without its share of scales, that a step takes in a cycle; 0: all of them.
    weight_parts, act_parts: operands of so many bits fill an element; of narrower ones as many as fit share it (4 of a
        quarter of the bits), as BitFusion has it. 0: they do not.
    weight_bits, act_bits, result_bits: of an element in memory. side_bits: a weight's share of its group's scale and
        the like. kv_bits: of keys and values, 0: as activations. group: elements that share a scale, 0: a row.
    weight_bytes, act_bytes: buffers; 0: as large as it takes. sum_bits: of a partial sum, which lies with activations
        in their buffer; sums of many outputs may then stay there while the inner dimension passes once. 0: sums take no
        room.
    table_group: activations of a table of sums, where elements look up; 0: none.
    element_pj: energy of an element in each cycle of computing, idle ones too. element_um2: area. 0: not counted.
    tile: of the generator, whose steps, groups and results then decide the cycles; rows, columns, depth and term_bits
        are its own.
    """

    rows: Num
    columns: Num
    depth: Num = 1
    dataflow: str = "outputs"
    fill: str = "none"
    term_bits: Num = 0
    weight_parts: Num = 0
    act_parts: Num = 0
    weight_bits: Num = 8.0
    act_bits: Num = 8.0
    result_bits: Num = 16.0
    side_bits: Num = 0.0
    kv_bits: Num = 0.0
    group: Num = 0
    weight_bytes: Num = 0
    act_bytes: Num = 0
    sum_bits: Num = 0.0
    table_group: Num = 0
    element_pj: Num = 0.0
    element_um2: Num = 0.0
    tile: TileSpec | None = None

    def __post_init__(self) -> None:
        for name, known in _NAMES.items():
            if (given := getattr(self, name)) not in known:
                raise HwgenError(f"array: {name} must be {' or '.join(known)}, not {given!r}")

    @classmethod
    def of_tile(cls, tile: TileSpec, **about: Any) -> Array:
        """A tile without memory around it; ``about``: buffers and what else the tile does not say."""
        p, spec = tile.p, type(tile)
        acts, weights = spec.stored_bits(p)
        per_step = int(spec.layer_k(p))
        known = {
            "rows": tile.m,
            "columns": tile.n * int(spec.layer_outputs(p)),
            "depth": per_step,
            "weight_bits": float(weights) / (per_step * int(spec.layer_outputs(p))),
            "act_bits": float(acts) / per_step,
            "result_bits": 32.0,
            "group": tile.group,
            "tile": tile,
        }
        return cls(**{**known, **about})

    @property
    def arrays(self) -> Arrays:
        """The namespace of its numbers."""
        return Arrays(*(getattr(self, one.name) for one in fields(self)))

    @property
    def elements(self) -> Num:
        """Processing elements."""
        return self.rows * self.columns

    def _lanes(self, count: Num, whole: Num, bits: Any) -> Any:
        """Rows or columns for operands of some bits."""
        a = self.arrays
        parts, count = a.whole(whole), a.whole(count)
        shared = a.xp.where(parts > 0, a.floor(a.real(parts) / a.larger(a.real(bits), a.real(1))), a.whole(1))
        return count * a.larger(shared, a.whole(1))

    def token_lanes(self, act_bits: Num) -> Any:
        """Tokens that a pass of staying outputs takes."""
        return self._lanes(self.rows, self.act_parts, act_bits)

    def output_lanes(self, weight_bits: Num) -> Any:
        """Outputs that a pass gives."""
        return self._lanes(self.columns, self.weight_parts, weight_bits)

    def step_cycles(self, weight_bits: Num) -> Any:
        """Cycles of a step with weights of so many bits, shares of scales left out."""
        a = self.arrays
        terms = a.whole(self.term_bits)
        bits = a.floor(weight_bits)
        return a.xp.where(terms > 0, a.ceil_div(bits, a.larger(terms, a.whole(1))), a.whole(1))

    def inner_lanes(self) -> Any:
        """Inner elements that a pass takes at a time."""
        a = self.arrays
        return a.whole(self.depth) * (a.whole(self.rows) if self.dataflow == "weights" else a.whole(1))

    def cycles(self, m: Any, n: Any, k: Any, weight_bits: Num, act_bits: Num) -> Any:
        """Cycles of a product if nothing waits; sizes are counts that broadcast with the array's numbers."""
        a = self.arrays
        if self.tile is not None:
            return closed_cycles(type(self.tile), self.tile.p, m, n, k)
        rows, columns, depth = a.whole(self.rows), a.whole(self.columns), a.whole(self.depth)
        step, skew = self.step_cycles(weight_bits), rows + columns - 2
        outputs = a.ceil_div(n, self.output_lanes(weight_bits))
        if self.dataflow == "outputs":
            passes, steps = a.ceil_div(m, self.token_lanes(act_bits)) * outputs, a.ceil_div(k, depth)
        else:
            # Weights enter row by row before a pass.
            passes, steps, skew = a.ceil_div(k, rows * depth) * outputs, a.whole(m), skew + rows
        ends = {"none": 0, "product": skew, "pass": passes * skew}[self.fill]
        return passes * steps * step + ends

    def lane_products(self) -> Any:
        """Multiply-accumulates of the array in a cycle, of weights and activations as it has them in memory."""
        a = self.arrays
        if self.tile is not None:
            p, spec = self.tile.p, type(self.tile)
            return a.real(self.tile.m * self.tile.n * spec.layer_outputs(p) * spec.layer_k(p) / spec.layer_cycles(p))
        found = self.token_lanes(self.act_bits) * self.output_lanes(self.weight_bits) * a.whole(self.depth)
        return a.real(found) / a.real(self.step_cycles(self.weight_bits))
