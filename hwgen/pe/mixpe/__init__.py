"""MixPE: products by shift and add, no multiplier, and a choice of where weights are dequantised.

A weight of W bits selects shifted copies of an activation: x·w = −(x≪W−1)·w_{W−1} + … + (x≪1)·w1 + x·w0 for two's
complement, all positive for unsigned codes. A cell adds up the K·W partial products of a step in one tree of carry-save
adders with one carry chain at its end, sign bits and subtracted rows complemented and their constants added as one row
(`hwgen.arith.compressor`), and accumulates. Where nothing stands between tree and accumulator (``stages`` below 2, no
shift by a step's exponent, no saturation) the accumulator is a row of the tree, and its carry chain the only one. A
step adds Σ_k A·Q, exactly.

Floating-point activations (W4A16) become integers as `hwgen.pe._aligned` says: within the scope of an exponent the
increment of an exponent is a shift of the significand, so the same tree adds the partial terms; with ``align_scope
step`` a cell shifts its step's sum by the step's exponent.

Ternary weights (``bits 1.58`` or scheme ``ternary``) are −1, 0 and 1 times mean|w| (BitNet b1.58), stored as two bits.

``dequant`` places the dequantisation of weights s·(q − z):

* ``group``, after the sum of each group: Y = Σ_g s_g·(Σ_k X·Q − z_g·Σ_k X). Σ_k X is kept once per row, for all
  columns.
* ``channel``: the same with one scale a row of weights, ``group 0``: one sum an output.
* ``before``, in front of the cells: two-level weights. A column front-end makes w = (q − z)·s1 of codes, the integer
  scale s1 (8 bits, unsigned) and zero point of their group, by shift and add and modulo 2^8, once for all rows; cells
  work on 8-bit weights and sum over the whole row, and a floating-point scale a channel is applied to the result. The
  quantiser (`hwgen.quantize.two_level`) sees to it that w fits 8 bits.

Timing: one cycle per step, latency 1 + stages and cuts.
Source: MixPE (arXiv 2411.16158); its abstract and the formula of its shift-and-add PE, the tree is ours. Two-level
weights: QServe (arXiv 2405.04532), progressive group quantisation.
"""

from __future__ import annotations

from hwgen.pe.mixpe.logic import Mixpe

__all__ = ["Mixpe"]
