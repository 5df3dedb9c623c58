"""Floating-point MAC of any ExMy by EiMj up to FP16 and BF16, exact in fixed point or accumulating in FP32.

Rows and columns decode their codes once; a cell forms K products a step and adds them up.

``accumulator`` = exact: a product is a significand product shifted into fixed point, whose unit is the product of both
formats' last places; a balanced tree and the accumulator add them without any rounding. The accumulator holds
``depth`` of the largest products and has no bit more: with 128 of them 44 bits for E4M3 by E4M3, 88 for FP16 by FP16,
530 for BF16 by BF16. No pair of formats of at most 16 bits needs more than 550, so none is refused. Infinities and NaN
count as the largest finite value with their sign.

``accumulator`` = fp32: a product is the exact one rounded once to FP32, as IEEE 754 multiplication rounds it. It is
exact but where it is below FP32's normal numbers (rounded to a subnormal, nearest even) or beyond its end (infinite),
which only formats with eight exponent bits reach. Infinities, NaN and signed zeros follow IEEE 754; every NaN is
0x7FC00000. The K products are added by a balanced tree of FP32 adders (product 0 + product 1, 2 + 3, …), and the tree's
sum to the FP32 sum of the cell, which starts from +0; see `hwgen.pe._fp32_sum` for ``adder_stages`` and ``interleave``.

``--bits 16 --accumulator fp32`` is the FP16 MAC with FP32 accumulation, ``--bits 8`` the FP8 (E4M3) MAC; ``--weights``
and ``--acts`` take every other pair, by name or as ExMy. Activations and weights of 16 bits are rounded as they are,
with a scale of 1; shorter formats get one scale a row, and one a column and group.

Timing: one step a cycle, latency 1 + stages and cuts. With FP32 sums a ring adds its folding, and without interleaving
a step takes ``adder_stages`` cycles.
Source: the FP16 and FP8 baselines of LUT Tensor Core (ISCA'25) and BitMoD (HPCA'25); exact widths as in Y. Uguen
and F. de Dinechin, Design-space exploration for the Kulisch accumulator, 2017 (hal-01488916), without spare bits.
"""

from __future__ import annotations

from hwgen.pe.minifloat.logic import Minifloat

__all__ = ["Minifloat"]
