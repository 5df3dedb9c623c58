"""What a step of complex weights adds to the two sums of a cell: roots of unity, from the manifest's words alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["POWERS", "root_table"]

POWERS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Real and imaginary part of i**c."""

_LANE_BITS = 20


def root_table(acts: Sequence[int], weights: Mapping[str, Any], bits: int) -> np.ndarray:
    """Sums [part][code] that one weight of ``bits`` bits and two activations add: the real part's activation code
    fastest, then the imaginary one's, then the weight's.

    ``acts`` are the values of the activations' codes. Raises `ValueError` where there are too many codes.
    """
    count = len(acts)
    size = 2 * (count - 1).bit_length() + bits
    if size > _LANE_BITS:
        raise ValueError(f"products of {size} bits of codes")
    if count & count - 1 or weights["rule"] != "roots" or weights["bits"] != 2:
        raise ValueError("weights that are no fourth roots, or codes of which not all mean something")
    real = np.tile(np.array(acts, np.int64), count)
    imaginary = np.repeat(np.array(acts, np.int64), count)
    found = np.zeros((2, 1 << bits, count * count), np.int64)
    for code in range(1 << bits):
        for root in weights["roots"]:
            x, y = POWERS[code >> root["lsb"] & 3]
            other = -imaginary if root["conjugate"] else imaginary
            # (x + iy)(a + ib)
            found[0, code] += x * real - y * other
            found[1, code] += x * other + y * real
    return found.reshape(2, -1)
