"""Bit Fusion: units of small bricks that are fused into products of 2, 4 or 8 bits at run time.

A fusion unit multiplies 8 bits by 8 with bricks of ``brick_acts`` × ``brick_weights`` bits, 16 of 2 × 2 by default:
brick (i, j) has digit i of an activation and digit j of a weight. With a-bit activations and w-bit weights its bricks
are 64 / (a·w) products a cycle instead of one, so that throughput grows as widths shrink: a step takes as many elements
along K for each of a cell's ``k`` units. Modes are all pairs of widths from a brick's up to 8 bits; layers run in that
of ``acts`` and ``bits``.

Bricks are unsigned: a front-end turns the highest bit of each signed number round, which adds 2^(a−1), or 2^(w−1), and
Σ A·W = Σ A'·W' − 2^(w−1)·Σ A − 2^(a−1)·Σ W'. A row forms the second part of a step once for all columns, a column the
third for all rows. A cell first adds up the products of all its units brick by brick, and shifts the sums after that,
so that a cell, and not a unit, has the shifters that fuse; the last pair of rows, both corrections and, where nothing
stands between (``stages`` below 2, no saturation), the accumulator are one carry-save tree. A step adds Σ_k A·W,
exactly.

Weights: two's complement (scheme ``symmetric``), or unsigned with a zero point (``asymmetric``): then a row keeps Σ A
instead of the second part.

Ports are as wide as the mode that needs most, which is the one with the narrowest numbers on the other side: 64 / w
bits of activations a unit and 64 / a of weights. Codes lie side by side from the lowest bit up; what a mode leaves of a
port may be anything, and memory does not hold it. With several products along both sides of the bricks, a unit's
weights are in another order than its activations (`weight_packing`).

Timing: one cycle per step, latency 1 + stages and cuts.
Source: Bit Fusion (ISCA'18, arXiv 1712.01507), sections II and III; sums before shifts as BPVeC (DAC'20,
arXiv 2004.05333) has them; offset digits are ours.
"""

from __future__ import annotations

from hwgen.pe.bitfusion.logic import BitFusion

__all__ = ["BitFusion"]
