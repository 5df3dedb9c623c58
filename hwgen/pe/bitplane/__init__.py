"""Bit planes on both sides: AND or XNOR of K bits, a population count, and a shift by the places of both planes.

Weights of W bits by activations of A bits, both from 1 to 8, are W·A products of planes:
Σ_k A·W = Σ_ij 2^(i+j) · f_i · g_j · popcount_k(w_i[k] AND a_j[k]), where the factors f_i and g_j are −1 for the highest
plane of a two's-complement operand and 1 elsewhere. A cycle takes ``weight_planes`` P of the weights and ``act_planes``
Q of the activations, P·Q pairs; the bits of all pairs, each at its place, are one tree of carry-save adders. Time is
W·A / (P·Q), and any width runs on the same cell.

* ``scheme symmetric``, ``ternary``, ``asymmetric``, ``minimum``: AND, activations two's complement (``acts intN``).
  What the highest plane of one side subtracts in some cycles only is complemented, and the one goes to the next adder.
  With unsigned weights Σ_k A[m,k] is kept once per row, and the wanted sum is Σ A·W − z·Σ A.
* ``scheme bipolar`` (``acts bipolarN``): XNOR. Operands are odd integers 2q − (2^b − 1), planes of ±1 that all have a
  positive place: nothing is subtracted, and a pair of planes adds 2·popcount(XNOR) − K. With one bit on both sides this
  is the product of binary networks and of binary attention (Q·Kᵀ of signs).

Where the planes of a cycle do not divide a width, what is above the highest plane copies it, or is 0 (unsigned).
Activations of scheme bipolar have as many bits as weights unless they are named; ``acts bipolarN`` names the scheme.

Timing: ceil(W / P) · ceil(A / Q) cycles per step, the activations' planes first; latency 1 + stages and cuts.
Source: ABQ-LLM (arXiv 2408.08554), products of arbitrary widths as sums of binary ones; arbitrary precision on tensor
cores with bipolar integers (arXiv 2409.17870, APT-LLM arXiv 2508.19087); XNOR-Net (ECCV'16); BinaryAttention. They run
on binary tensor cores of GPUs; the cell is ours.
"""

from __future__ import annotations

from hwgen.pe.bitplane.logic import Bitplane

__all__ = ["Bitplane"]
