"""Block dot products with shared scales (MX, NVFP4, HiF4): exact inside a block, one rounding a block into FP32.

Both operands come in blocks along K that share a scale: MXFP8, MXFP6, MXFP4 and MXINT8 (32 elements, E8M0), NVFP4 and
NVINT4 (16 elements, E4M3, and an FP32 scale of the tensor), HiF4 (64 elements, E6M2, and micro-exponents of 8 and of 4
elements). The formats of the two operands are chosen independently where block and scale are of one kind.

Rows and columns decode their elements once. A cell forms K products and adds them exactly in fixed point, whose unit is
the product of the elements' smallest units: products of floating-point elements are a product of significands and a
shift by the sum of the exponents, an integer beside a floating-point element counts as a significand without exponent,
and two integers are multiplied as they are. HiF4's micro-exponents are applied in the front-ends, to integers from -28
to 28 quarters, so that the cell is an integer dot product. The accumulator holds ``depth`` products and no more: 14
bits for a block of MXFP4, 70 for MXFP8 E5M2, 17 for HiF4.

At the end of a block the sum is multiplied by the row's and the column's scale, rounded once to nearest even into FP32
and added to the result; blocks are added in K order. Overflow gives infinity, subnormals are kept, a NaN scale gives
NaN. The FP32 scales of whole tensors multiply the finished result in software (`QTensor.outer`).

With a set of formats (`--mode-set`) each step says by ``i_mode`` which of them its operands have, both the same or
any with any (`--mode-pairs`), and ``weights`` and ``acts`` are those of layers. A code lies in the lowest bits of a
word for the widest. Rows and columns bring every format to one significand, one sign and one shift; cells do not know
the mode and are as wide as the widest format asks: the shifters and sums of E5M2, the multipliers of MXINT8. All sums
have one unit, so that modes may change within a group and the lanes know none of them. K is the same in all modes, but
with `--int8-products parts` a step takes a fourth of it where an operand is MXINT8: lanes go in fours, rows and columns
give them the halves of magnitudes with the shift of each, and the multipliers of E4M3 are wide enough. A mode costs the
cells nothing but what its format needs beyond the others (reports/results/mx_modes.md).

Only formats with E8M0 scales take turns: the E4M3 scale of NVFP4 and the E6M2 scale of HiF4 have significands, for
which every lane would need two multipliers and a mode that waits beside the scales, and their blocks have other
lengths. Where the sums of a set are finer than those of a layer's formats, no golden layer says how they saturate or
wrap.

Infinities and NaN among the elements (E4M3, E5M2) count as the largest finite magnitude with their sign, as everywhere
in this project: no quantiser emits them, and a flag for them would be a register and a wide OR in every cell. The code
1000 of NVINT4, which is symmetric, counts as -7.

Quantisers work in FP32, each operation rounded, in the order of the formats' authors: a block scale of NVFP4 and NVINT4
is E4M3((amax / max) / outer) with outer = max|x| / (max · 448), one of HiF4 is E6M2(bf16(amax · bf16(1/7))); exponents
of MX are integers. `hwgen.quantize.nv` also has the orders of Model Optimizer and Transformer Engine, which part from
this one next to ties (docs/quantisers.md).

Timing: one cycle per step of K elements, latency 1 + stages and cuts to the block sum, 5 more to the first FP32 result.
Source: OCP Microscaling Formats v1.0 (the order and the rounding points, which it leaves open, are those above);
NVFP4 as NVIDIA's cuDNN documents it; NVINT4, arXiv 2510.25602; HiF4, arXiv 2602.11287.
"""

from __future__ import annotations

from hwgen.pe.mx.logic import Mx

__all__ = ["Mx"]
