"""Quantisers: float matrices to `QTensor`, vectorised over groups."""

from __future__ import annotations

from hwgen.quantize._block import mx
from hwgen.quantize._float import cast, minifloat
from hwgen.quantize._integer import float_minimum, integer
from hwgen.quantize._plan import LayerFormats, acts_for, per_row, weights_for

__all__ = [
    "LayerFormats",
    "acts_for",
    "cast",
    "float_minimum",
    "integer",
    "minifloat",
    "mx",
    "per_row",
    "weights_for",
]
