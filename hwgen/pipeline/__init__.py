"""Pipelines of feed-forward logic: where registers stand is decided here, from delays and widths, and nowhere else.

A block of logic and a number of cycles go in; logic that gives the same outputs that many cycles later comes out. First
the shortest period is looked for that this many cycles allow, then, under it, the registers with the fewest bits: a
system of difference constraints, one variable a cell, as in XLS (J. Cong and Z. Zhang, An efficient and versatile
scheduling algorithm based on SDC formulation, DAC 2006). Values that meet again are delayed alike by construction.
"""

from __future__ import annotations

from hwgen.pipeline.pipelined import ENABLE, Pipelined, pipelined

__all__ = ["ENABLE", "Pipelined", "pipelined"]
