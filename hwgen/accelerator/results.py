"""What becomes of the tile's results: formats, and their arithmetic as a reference.

Float results: y is multiplied by the channel's scale (FP32, rounded once), the channel's bias is added (FP32, rounded
once), and the sum is rounded to FP16 or BF16, always to the nearest, ties to even. A product that is exactly zero is +0
whatever its signs, as where the tile scales its sums; one that becomes zero by rounding keeps its sign.

Integer results (dyadic numbers, as integer-only inference has them: HAWQ-V3, Yao et al. 2021; I-ViT, Li et al. 2023):
clip(floor((sum + bias) * multiplier / 2**shift + 1/2) + zero), all in integers that never overflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hwgen.arith import fp32_add_reference, fp32_to_bf16_reference
from hwgen.arith.posit import fp32_to_fp16_reference
from hwgen.frame.numbers import Num, where

__all__ = [
    "ADDER_REGISTERS",
    "INTEGERS",
    "RESULT_BITS",
    "channel_fields",
    "finished_floats",
    "requantised",
    "requantisers",
    "unit_registers",
]

P = Mapping[str, Any]

RESULT_BITS = {"fp16": 16, "bf16": 16, "int8": 8, "int4": 4}
"""Bits of a result by format."""
INTEGERS = ("int8", "int4")
"""Results that are made of the tile's sums by a multiplier and a shift."""
ADDER_REGISTERS = 2
"""Registers within the adder of a float's bias."""
_REQUANTISER_REGISTERS, _MULTIPLIER_REGISTERS = 3, 2
_NAN = np.uint32(0x7FC00000)


def requantisers(d: P) -> Num:
    """Integer results that are made in a cycle, by a design's parameters; as many as fill a byte where no number is
    given.
    """
    return where(d["result_lanes"] > 0, d["result_lanes"], max(8 // RESULT_BITS.get(d["result"], 8), 1))


def channel_fields(d: P) -> tuple[tuple[str, Num], ...]:
    """What the unit behind the tile takes of a channel, from the lowest bit: name and bits."""
    if d["result"] in INTEGERS:
        return (("bias", 32), ("multiplier", d["multiplier_bits"]), ("shift", 6), ("zero", 8))
    return (*((("outer", 32),) if d["outer"] else ()), *((("bias", 32),) if d["bias"] else ()))


def unit_registers(d: P) -> int:
    """Registers that a result passes, so many cycles at least; 0 where results leave as the tile gives them."""
    if d["result"] in INTEGERS:
        return _REQUANTISER_REGISTERS
    if d["result"] == "tile" and not d["outer"] and not d["bias"]:
        return 0
    return 1 + _MULTIPLIER_REGISTERS * bool(d["outer"]) + ADDER_REGISTERS * bool(d["bias"])


def finished_floats(
    y: npt.NDArray[np.uint32],
    result: str,
    outer: npt.NDArray[np.float32] | None = None,
    bias: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.uint32]:
    """Codes of results from FP32 codes ``y`` [.., N]; ``outer`` and ``bias`` [N] are of the channels."""
    if outer is not None:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            # 48 bits at most: exact in float64, where adding zero turns -0 into +0.
            exact = y.view(np.float32).astype(np.float64) * outer.astype(np.float64) + 0.0
            scaled = exact.astype(np.float32)
        y = np.where(np.isnan(scaled), _NAN, scaled.view(np.uint32))
    if bias is not None:
        y = fp32_add_reference(y, np.broadcast_to(bias.astype(np.float32).view(np.uint32), y.shape))
    if result == "fp16":
        return fp32_to_fp16_reference(y)
    return fp32_to_bf16_reference(y) if result == "bf16" else y


def requantised(
    sums: npt.NDArray[np.int64],
    bits: int,
    bias: npt.NDArray[np.int64],
    multiplier: npt.NDArray[np.int64],
    shift: npt.NDArray[np.int64],
    zero: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Integers of ``bits`` bits from sums and what their channels have, of shapes that broadcast."""
    products = (sums.astype(object) + bias.astype(object)) * multiplier.astype(object)
    # Exact: Python's integers, whose right shift is the floor.
    places = shift.astype(object)
    rounded = (2 * products + (1 << places)) >> (places + 1)
    high = (1 << (bits - 1)) - 1
    found: npt.NDArray[np.int64] = np.clip(rounded + zero.astype(object), -high - 1, high).astype(np.int64)
    return found
