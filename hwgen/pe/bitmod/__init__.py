"""BitMoD: bit-serial weights of mixed data types, one power-of-two term a cycle, times floating-point activations.

Weights are int8, int6, int5, FP4 or FP3 with a special value per group (`hwgen.formats.BitmodFormat`), a run-time mode
each; parameter ``bits`` names the one in which layers run. A weight is a sum of terms ±2^exp·2^bsig in units of one
half, one a cycle: radix-4 Booth digits 0 … 3 of integers (bsig 1, 3, 5, 7; exp 0, 1; 4 cycles for int8, 3 for int6 and
int5), leading one and next one of FP magnitudes (bsig 1, then 0; exp 0 … 3; 2 cycles). Columns encode terms, rows
unpack activations, both once.

Special values. A column gets its group's special value with the group's side information: sign and magnitude in halves.
Selectors become special values in a register file of four entries in front of the columns (`SpecialTable`, emitted
beside the tile), programmed at run time through a write port; it flags entries that two terms cannot reach (of which
the tile would add the two leading ones), and an entry that nobody has programmed makes -0 a 0.

Cell, floating-point activations a = ±sig·2^(exp − bias − mantissa bits), subnormals with exponent 1 and no hidden bit,
infinity and NaN as the largest finite magnitude with their sign. In every cycle, exactly:

1. e_k = exp_k + the term's exp for activations that have a term, 0 for the others; e = max e_k.
2. d = Σ_k ±((sig_k·2^guard_bits) >> (e − e_k)), magnitudes truncated, of W bits; the step adds d·2^(e + bsig).
3. Accumulator M·2^(E − P + 1), M in two's complement of P = ``acc_mantissa`` bits, normalised (its two top bits differ;
   zero is M = E = 0). d and M each stand on top of a frame of F = max(W, P + 2) bits; the one whose frame has the lower
   exponent is shifted right to the other's, rounded down (floor). The sum (F + 1 bits) is normalised and cut to its P
   top bits, rounded down. d = 0 changes nothing. E needs 6 bits for fp16, as in the paper; nothing shifts by bsig.

``accumulator exact`` adds d·2^(e + bsig) into a fixed-point accumulator that spans the format (fp16). int8 activations
are multiplied and added as integers, exactly. Raw sums are words M + E·2^P, or those integers.

Post lanes: a cell's group sum times its column's 8-bit scale, bit-serial (the last bit has a negative weight), 8 cycles
for all cells at once beside the next group; then a lane visits its cells, one a cycle, rounds the product to FP32
(exact for P <= 17) and adds it to the output. ``post_lanes`` = n is the paper's one FP32 accumulator a column.
Channel scales and token scales are applied after the tile (`QTensor.outer`).

Timing: 4, 3, 3, 2, 2 cycles a step by mode, latency 1 + stages and cuts; post 8 + m·n / post_lanes cycles a group.
Source: BitMoD (HPCA'25, arXiv 2411.11745), equation 4, Table IV, Figure 5. The order of operations in 1 to 3, the mask
between the two leading ones and the rule for terms that are 0 are ours; the published RTL differs.
"""

from __future__ import annotations

from hwgen.pe.bitmod.logic import Bitmod, BitmodPost, SpecialTable

__all__ = ["Bitmod", "BitmodPost", "SpecialTable"]
