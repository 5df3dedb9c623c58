"""Golden PyTorch layers: what a tile must compute, written without the tile.

Everything here is torch arithmetic on decoded values. Nothing of ``hwgen.pe`` and none of its reference arithmetic is
used, so that an agreement between a layer and a tile means something.
"""

from __future__ import annotations

from typing import Any

from hwgen.errors import HwgenError, suggest
from hwgen.formats import QTensor
from sim.golden.align import Aligned, align
from sim.golden.bitmod import BitmodLinear
from sim.golden.fp32 import Fp32Linear
from sim.golden.lmul import LmulLinear
from sim.golden.lut_tables import ByteTableLinear, Fp32TableLinear
from sim.golden.posit import PositLinear
from sim.golden.quant_linear import LayerQuantization, QuantLinear
from sim.golden.rounding import check_denormals, power_of_two, round_scaled
from sim.golden.two_level import TwoLevelLinear

__all__ = [
    "ARITHMETICS",
    "Aligned",
    "BitmodLinear",
    "ByteTableLinear",
    "Fp32Linear",
    "Fp32TableLinear",
    "LayerQuantization",
    "LmulLinear",
    "PositLinear",
    "QuantLinear",
    "TwoLevelLinear",
    "align",
    "check_denormals",
    "golden_layer",
    "power_of_two",
    "round_scaled",
]

ARITHMETICS: dict[str, type[QuantLinear]] = {
    "exact": QuantLinear,
    "bitmod": BitmodLinear,
    "fp32": Fp32Linear,
    "fp32_table": Fp32TableLinear,
    "int8_table": ByteTableLinear,
    "lmul": LmulLinear,
    "two_level": TwoLevelLinear,
    "posit": PositLinear,
}
"""Golden layers by the name that `Quantization.arithmetic` gives."""


def golden_layer(weights: QTensor, quantization: Any) -> QuantLinear:
    """The golden layer of quantised weights [N, K], by the arithmetic that ``quantization`` names.

    Raises `HwgenError` for an unknown arithmetic, and where weights and quantization contradict each other.
    """
    name = quantization.arithmetic
    if name not in ARITHMETICS:
        known = ", ".join(ARITHMETICS)
        raise HwgenError(f"golden layer: arithmetic must be one of {known}, not {name!r}{suggest(name, ARITHMETICS)}")
    return ARITHMETICS[name](weights, quantization)
