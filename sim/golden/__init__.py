"""Golden PyTorch layers: what a tile with exact sums must compute, written without the tile.

Everything here is torch arithmetic on decoded values. Nothing of ``hwgen.pe`` and none of its reference arithmetic is
used, so that an agreement between a layer and a tile means something.
"""

from __future__ import annotations

from sim.golden.align import Aligned, align
from sim.golden.quant_linear import LayerQuantization, QuantLinear
from sim.golden.rounding import check_denormals, power_of_two, round_scaled

__all__ = [
    "Aligned",
    "LayerQuantization",
    "QuantLinear",
    "align",
    "check_denormals",
    "power_of_two",
    "round_scaled",
]
