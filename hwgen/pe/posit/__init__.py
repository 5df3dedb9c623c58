"""Posit and FP4 MAC: exact quire accumulation, one rounding at read-out, SIMD lanes that split at run time.

``format simd``: every 16-bit lane takes, by run-time mode, one posit16_1, two posit8_0, four posit4_1 or four FP4
(E2M1) operands a cycle. One 13 × 13 significand multiplier a lane splits into two of 6 × 6 or four small ones with
shared partial products, one shifter places the products in the quire or in quarters of it, one adder has a carry that
stops between quarters; what a mode leaves idle is fed zeros. ``format posit`` is a tile for one posit (``posit_bits``,
``es``) alone, ``format fp4`` one for E2M1. Posits of one significand bit, posit4_1 among them, have no multiplier.

Arithmetic: rows and columns decode their codes once to sign, significand and shift; a product is an integer multiple of
minpos² and is added exactly. The quire holds ``depth`` products of maxpos²; longer groups are refused, or with
``group`` 0 the schedule reads out and starts anew every ``depth`` products, and the pieces are added in FP32.
Along K (``simd_along k``) the parts of a lane are summed at the output, exactly, in units of minpos² of posit16_1
whatever the mode. Along N a lane's activation, in the lowest bits, meets 2 or 4 weights of different outputs; a cell
puts out four words: the quarters of its quire, lowest first, in mode p16, else sums of their own (in units of 2**-12;
mode p8 uses words 0 and 2).

NaR is sticky: any NaR operand makes the sum NaR until the next clear. At the output NaR is the word 100..0, which no
legal sum is; after scaling it is NaN.

Post lanes multiply a group's sum by its scales (E8M0: no multiplier) and round once. ``readout fp32``: to nearest even
into FP32, groups are added in FP32 in K order. ``readout fp16`` and ``posit`` (the tile's own, posit16_1 for simd): to
odd into FP32, added in FP32, and the result to nearest even into the output format, on the bit string for posits, so
that a result of one group is rounded exactly once; its code is in the low bits of y. FP16 overflows to infinity,
posits saturate and never become zero, NaN becomes NaR.

``quire xr_npe`` is the preset of 128 bits, or four times 32 bits, for up to 127 products (legacy quire of posit8_0:
26 + 6 bits); ``exact`` is as narrow as ``depth`` allows.

Timing: one cycle per step, latency 1 + stages and cuts to the sums, 5 cycles more to the first result and 6 with
``readout`` other than fp32.
Source: XR-NPE, arXiv 2508.13049 (formats and modes; its RTL is not published, so that widths and rounding are those
above); posit standard 2022; legacy quires of n²/2 bits: posit standard 3.2.
"""

from __future__ import annotations

from hwgen.pe.posit.logic import Posit

__all__ = ["Posit"]
