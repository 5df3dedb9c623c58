"""Without sharing: each weight in canonical signed digits, each output a balanced tree of what its digits shift."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwgen.constant.graph import ZERO, AdderGraph, Builder, Scaled

__all__ = ["csd_graph", "digits"]


def digits(value: int) -> list[tuple[int, int]]:
    """Canonical signed digits of a whole number as (place, ±1), lowest first: no two neighbours, the fewest there are.

    Reitwiesner, Advances in Computers 1 (1960).
    """
    found, place = [], 0
    while value:
        if value & 1:
            # 1 where the number is 1 modulo 4, -1 where it is 3.
            digit = 2 - (value & 3)
            found.append((place, digit))
            value -= digit
        value >>= 1
        place += 1
    return found


def csd_graph(matrix: npt.NDArray[np.int64]) -> AdderGraph:
    """The graph of a matrix [outputs, inputs] that shares nothing: one adder less than digits for each output."""
    made = Builder(matrix.shape[1])
    outputs = []
    for row in matrix.tolist():
        terms = [
            Scaled(column, place, digit < 0) for column, weight in enumerate(row) for place, digit in digits(weight)
        ]
        # Neighbours in place make narrow sums.
        terms.sort(key=lambda term: term.shift)
        while len(terms) > 1:
            odd = terms[-1:] if len(terms) % 2 else []
            terms = [made.add(one, other) for one, other in zip(terms[::2], terms[1::2], strict=False)] + odd
        outputs.append(terms[0] if terms else Scaled(ZERO))
    return made.build(outputs)
