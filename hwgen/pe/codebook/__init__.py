"""Codebook weights: codes of up to 5 bits are looked up once a column, and cells multiply values in fixed point.

``weights`` names any format of at most 5 bits whose codes are all numbers, negative ones among them: NF4 and other
codebooks, small minifloats and integers, tables by code (``table(…)``), and formats in which a selector of each group
picks some values, such as FP4 with a special value in place of -0 (RaZeR: ``special(fp4_e2m1,-5,5,-8,8)``, or
``razer_fp4``; BitMoD's formats too). A column's front-end looks up its K codes for all rows; values that depend on the
selector are chosen once a column. A step adds Σ_k A·V, exactly, in one cycle.

Codes may be words of several weights: ``sherry`` (`hwgen.formats.SparseTernaryFormat`) has four ternary weights, one of
them 0, in five bits. A front-end gives the cells all four. Two ternary planes with scales of their own (PTQTP) are one
such table a ratio of the scales: ``trit_planes`` has values t + r·u of trits t and u, r of 1/8 to 1 by a selector, so
that a cell keeps one sum and a group one scale; free scales are some 0.5 dB better on Gaussian weights (15.8 to 15.3).

With ``any4`` the table is no part of the tile: a column is given the 16 values of its group, integers of 8 bits, as
side information, so that every row or group may have a table of its own (`hwgen.quantize.any4` learns one a row).

Values in fixed point have at most ``value_bits`` bits, sign included. A format whose values fit in units of its last
place has them as they are. Else they are multiplied by one factor so that the largest magnitude becomes
2^(bits - 1) - 1, and rounded to nearest integers, ties to even (`hwgen.formats.fixed_point`): the format that layers
are quantised in is the rounded one, for which scales of groups make up. NF4 in 8 bits is
codebook(-127,-88,-67,-50,-36,-23,-12,0,10,20,31,43,56,71,92,127). Too few bits, which would make different values
equal, are refused.

Products are rows by the radix-4 Booth digits of the shorter factor where no register is behind them, else by its bits;
all of a step's rows, and the accumulator where nothing stands between, are one carry-save tree. Floating-point
activations become integers as `hwgen.pe._aligned` says. Scales of groups are floating point (``weight_scale``).

Timing: one cycle per step, latency 1 + stages and cuts.
Source: NF4 QLoRA (NeurIPS'23), special values RaZeR (arXiv 2501.04052), looked-up values multiplied in fixed point as
IQ4_NL of llama.cpp does; the block structure is ours.
"""

from __future__ import annotations

from hwgen.pe.codebook.logic import Codebook

__all__ = ["Codebook"]
