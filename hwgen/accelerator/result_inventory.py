"""What the unit behind the tile is made of, by its pieces: multipliers, adders, converters, and what steers them.

As `hwgen.accelerator.inventory`, whose scalars and arrays these are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwgen.accelerator.results import (
    ADDER_REGISTERS,
    INTEGERS,
    RESULT_BITS,
    channel_fields,
    requantisers,
    unit_registers,
)
from hwgen.arith.fp32 import FP32_CUTS
from hwgen.arith.scale import ScaledLayout
from hwgen.formats import get
from hwgen.frame.facts import Counts
from hwgen.frame.numbers import Num, clog2, maximum, unsigned_bits, where
from hwgen.frame.primitives import FP32_ADD, PRIMITIVES, merge
from hwgen.frame.spec import TileSpec

__all__ = ["unit_path_bits", "unit_primitives"]

P = Mapping[str, Any]

# Of the number 1 and two scales.
_PRODUCT = ScaledLayout(2, get("fp32"), get("fp32"))
_MULTIPLY: Counts = {
    "ff": _PRODUCT.size + 32,
    "mul": 24 * 24,
    "add": 66,
    # Normalise the significand, denormalise the result.
    "mux2": 48 * 6 + 25 * 6,
    "and": 122,
    "xor": 1,
}
"""One FP32 multiplier with registers behind the product and its rounding."""
_NARROW: Mapping[str, Counts] = {
    # The exponent and its distance, a shift, rounding; as BF16 only the rounding.
    "fp16": {"add": 9 + 8 + 15 + 15, "mux2": 5 * 24 + 15, "and": 60},
    "bf16": {"add": 15, "mux2": 15, "and": 6},
}
"""From FP32 to a narrower float."""
_PRODUCT_BITS, _SUM_BITS = 48, 28
_NARROW_BITS = {"fp16": 16, "bf16": 4}
"""Bits by which rounding to a narrower float makes the adder's last stage longer; that of BF16 is an incrementer."""


def unit_primitives(spec: type[TileSpec], p: P, d: P, beats: Num, made: Num) -> Counts:
    """The unit behind the tile: its lanes, what steers them, and sums that turn past them.

    ``beats``: those of a result as it leaves the tile. ``made``: integer results that are made of one of them.
    """
    none: Counts = dict.fromkeys(PRIMITIVES, 0)
    if not unit_registers(d):
        return none
    held = merge(none, {"ff": unit_registers(d), "and": 3})
    if d["result"] in INTEGERS:
        return merge(held, _integers(spec, p, d, made))
    return merge(held, _floats(p, d, beats))


def unit_path_bits(spec: type[TileSpec], p: P, d: P) -> Num:
    """Bits of the numbers along the longest path between two registers of the unit; 0 without one."""
    if d["result"] in INTEGERS:
        biased, factor = _factors(spec, p, d)
        return biased + factor
    narrowed = (_SUM_BITS if d["bias"] else 0) + _NARROW_BITS.get(d["result"], 0)
    return max(_PRODUCT_BITS if d["outer"] else 0, narrowed)


def _factors(spec: type[TileSpec], p: P, d: P) -> tuple[Num, Num]:
    """Bits of a sum with its bias, and of its multiplier."""
    fields = dict(channel_fields(d))
    # A sum without a sign gets one.
    whole = spec.acc_bits(p) + int(not spec.unchecked(p).sum_signed)
    return maximum(whole, fields["bias"]) + 1, fields["multiplier"]


def _floats(p: P, d: P, beats: Num) -> Counts:
    """Lanes that multiply FP32 results by a scale, add a bias and round, and the choice of a lane's channel."""
    lanes, outer, bias = maximum(p["post_lanes"], 1), bool(d["outer"]), bool(d["bias"])
    fields = sum(bits for _, bits in channel_fields(d))
    per_row = maximum(p["n"] // lanes, 1)
    bits = RESULT_BITS.get(d["result"], 32)
    lane: Counts = merge(
        {"ff": bits, "mux2": fields * (per_row - 1)},
        _MULTIPLY if outer else {},
        FP32_ADD if bias else {},
        {"ff": sum(FP32_CUTS[:ADDER_REGISTERS]) if bias else 0},
        # The bias waits for the product.
        {"ff": 2 * 32 if outer and bias else 0},
        _NARROW.get(d["result"], {}),
    )
    # Without channels nothing reads which column it is.
    count = maximum(clog2(beats), 1) + (where(per_row > 1, clog2(per_row), 0) if fields else 0)
    steer = {"ff": count, "add": count, "mux2": count, "and": count + 4}
    return merge({name: lanes * number for name, number in lane.items()}, steer)


def _integers(spec: type[TileSpec], p: P, d: P, beats: Num) -> Counts:
    """Sums and channels that turn past lanes: bias, multiplier, shift, zero point, limits."""
    made, cells = requantisers(d), p["m"] * p["n"]
    fields = dict(channel_fields(d))
    record = sum(fields.values())
    acc, bits = spec.acc_bits(p), RESULT_BITS[d["result"]]
    biased, factor = _factors(spec, p, d)
    product = biased + factor
    late = fields["shift"] + fields["zero"]
    lane = {
        "ff": biased + factor + late + product + late + bits,
        "add": biased + product + 3 * (product + 2),
        "mul": biased * (factor + 1),
        "mux2": fields["shift"] * (product + 1) + 2 * bits,
    }
    left = unsigned_bits(beats)
    turning = {
        "ff": cells * acc + p["n"] * record + left,
        "mux2": (cells - made) * acc + p["n"] * record + left,
        "add": left,
        "and": left + 4,
    }
    return merge({name: made * number for name, number in lane.items()}, turning)
