"""Quantisers: float matrices to `QTensor`, vectorised over groups."""

from __future__ import annotations

from hwgen.quantize._ant import ant
from hwgen.quantize._bitmod import bitmod, per_token
from hwgen.quantize._block import NV_RULES, hif4, mx, nv, scaled_blocks
from hwgen.quantize._codebook import any4, codebook
from hwgen.quantize._float import cast, minifloat
from hwgen.quantize._integer import float_minimum, integer
from hwgen.quantize._mean import sparse_ternary, ternary, trit_planes
from hwgen.quantize._olive import olive
from hwgen.quantize._plan import OF_FORMATS, LayerFormats, acts_for, per_row, signed_scheme, weights_for
from hwgen.quantize._posit import default_anchor, posit
from hwgen.quantize._powers import powers
from hwgen.quantize._roots import fourth_roots
from hwgen.quantize._two_level import two_level, two_level_limit

__all__ = [
    "NV_RULES",
    "OF_FORMATS",
    "LayerFormats",
    "acts_for",
    "ant",
    "any4",
    "bitmod",
    "cast",
    "codebook",
    "default_anchor",
    "float_minimum",
    "fourth_roots",
    "hif4",
    "integer",
    "minifloat",
    "mx",
    "nv",
    "olive",
    "per_row",
    "per_token",
    "posit",
    "powers",
    "scaled_blocks",
    "signed_scheme",
    "sparse_ternary",
    "ternary",
    "trit_planes",
    "two_level",
    "two_level_limit",
    "weights_for",
]
