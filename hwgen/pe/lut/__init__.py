"""LUT tensor core: tables of activation sums, looked up by weight bit planes.

Weights of W bits run as planes of ±1 (``planes bipolar``): q' = 2q − (2^W − 1) = Σ_b 2^b·s_b with s_b = ±1, so that
every plane has a positive weight and no plane is subtracted. For K activations a row builds the table of Σ_k ±A[k]; a
cell selects an entry by the K weight bits of a plane, negates it where its sign says so, shifts it by the plane's
number and accumulates. A step adds Σ_k A·q', exactly.

* ``symmetry half`` keeps the 2^(K−1) entries whose top activation is positive; they need b + ceil(log2 K) bits,
  negation is left to the accumulator's carry-in. ``none`` keeps all 2^K.
* ``negation offline`` complements the low bits of a key when weights are packed; ``runtime`` does it in the column.
* ``precompute external`` takes tables instead of activations; the builder is then the ``_pre`` block.
* ``planes twos_complement`` selects sums of activations by plain weight bits and subtracts the top plane of signed
  weights.
* ``tables`` T: a cell looks T tables up at once, each of K activations of its own, and adds what it finds in a tree
  of carry-in adders: T·K products share one shift by the plane and one accumulator. A step takes T·K activations,
  table t those from t·K on; a row builds T tables. Exact integers, so that the order of adding does not show.
* Wanted sum of weights s·(q − z): (Σ A·q' − z'·Σ A) / 2 with z' = 2z + 1 − 2^W, odd for every integer z. Σ A is the
  entry in which every activation is positive, so it costs an accumulator per row and no adder tree.
* Weights of one bit (``bits 1``) are sign(w) · mean|w|, scheme bipolar unless another is named. Ternary weights
  (``bits 1.58`` or scheme ``ternary``) are −1, 0 and 1 times mean|w| and run as the two planes of two's complement.

The steps of the paper's ablation (Table 2: W2, int8 activations) as flags, each with those before it:

    UNPU                            --planes twos_complement --symmetry none --scheme symmetric
    + weight reinterpretation       --planes bipolar --symmetry half --negation runtime
    + no negation circuits          --negation offline
    + table build outside, fused    --precompute external

and a conventional bit-serial table is --planes bipolar --symmetry none.

Floating-point activations become integers as `hwgen.pe._aligned` says; with ``align_scope step`` cells shift the table
entry by the step's exponent.

``entries int8`` rounds the entries of a table to bytes, to nearest even, by a scale of their largest magnitude
A = Σ |a| over the table's K activations; a cell multiplies what it looks up by the scale, and sums stay exact from
there. Σ A is taken before. ``entry_rule pow2``: the scale is 2^s with the least s ≥ 0 for which A rounds to 127 at
most, a shift in the cell. ``max127``: max(1, ceil(A / 127)), one multiplier a cell (the only one of this family), and
dividers in the ``_pre`` block. Tables with A ≤ 127 stay as they are. From outside, a table's scale and Σ A follow its
entries in the port, as further elements. Of several tables each has its scale, by which a cell shifts or multiplies
it before it adds them, and comes in with its own scale and Σ A, one table after the other.

``cell fp_add`` looks up FP32 numbers instead and adds them in FP32 (`hwgen.pe._fp32_sum`: ``adder_stages``,
``interleave``). A row makes FP32 codes of its K activations, exactly, and builds the table of FP32 additions: an entry
is the sum of the upper half of the activations plus that of the lower half (floor(K/2) of them), each by the same rule.
Entries of several tables are added by a balanced tree, table 0 first (0 + 1, 2 + 3, …; an odd one waits for the next
level). A cell adds the plane's number to the exponent of the sum and flips the sign. Zero stays zero, what is below
2^-126 (only bf16 has any) counts as zero, and what exceeds FP32 becomes infinite; infinities and NaN follow IEEE 754.
Planes of one cycle are added in a balanced tree first. Entries are FP32 and not of the activations' format: they round
at 24 bits, those of fp8 and fp16 overflow in no plane, and FP32 is what the accumulators take in any case. Raw sums
only, of weights that need no Σ A (scheme bipolar, or plain bits of signed weights).

Timing: W / planes_per_cycle cycles per step, latency 1 + stages and cuts; with FP32 cells times ``adder_stages``,
unless partial sums go round (``interleave ring``). A row's FP32 table takes ceil(log2 K) additions in its one cycle;
``precompute external`` moves them out of the tile.
Source: LUT Tensor Core (ISCA'25, arXiv 2408.06003) equations 1-8 and Table 2, its int8 tables scaled per table; the
bit order of keys is ours. T-MAC (EuroSys'25, arXiv 2407.00088) has one scale for several tables instead.
"""

from __future__ import annotations

from hwgen.pe.lut.logic import Lut

__all__ = ["Lut"]
