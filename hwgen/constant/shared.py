"""With sharing: the graph that da4ml finds (C. Sun et al., arXiv 2507.04535), as one of ours.

Only the optimisation is da4ml's: which sums there are. Logic, registers and Verilog are made from our graph, which is
multiplied out and compared with the matrix before anything is made of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hwgen.constant.graph import ZERO, AdderGraph, Builder, Scaled
from hwgen.errors import HwgenError

__all__ = ["shared_graph"]

_INPUT, _ADD, _SUBTRACT = -1, 0, 1
"""Operations of da4ml that a matrix is made of."""


def shared_graph(matrix: npt.NDArray[np.int64], low: int, high: int, extra_levels: int | None = None) -> AdderGraph:
    """The graph of a matrix [outputs, inputs] with shared subexpressions, for inputs from ``low`` to ``high``.

    ``extra_levels``: adders that the longest way may have beyond the least that is possible; None: as many as it takes.
    Raises `HwgenError` where da4ml is not installed.
    """
    try:
        from da4ml.cmvm import solve
    except ImportError as error:
        raise HwgenError(
            f"constant: method shared needs the package da4ml, which cannot be imported ({error}); "
            "pip install 'hwgen[constant]', or take --method csd"
        ) from error

    solved = solve(
        np.ascontiguousarray(matrix.T, np.float32),
        hard_dc=-1 if extra_levels is None else extra_levels,
        qintervals=[(float(low), float(high), 1.0)] * matrix.shape[1],
    )
    made = Builder(matrix.shape[1])
    values = [Scaled(column) for column in range(matrix.shape[1])]
    for stage in solved.solutions:
        values = _stage(made, stage, values)
    return made.build(values)


def _stage(made: Builder, stage: Any, inputs: list[Scaled]) -> list[Scaled]:
    """Values behind one of da4ml's stages."""

    def moved(one: Scaled, shift: int, negative: bool = False) -> Scaled:
        return Scaled(one.value, one.shift + int(shift), one.negative != negative)

    found: list[Scaled] = []
    for op in stage.ops:
        if op.opcode == _INPUT:
            found.append(moved(inputs[op.id0], stage.inp_shifts[op.id0]))
        elif op.opcode in (_ADD, _SUBTRACT):
            one, other = found[op.id0], moved(found[op.id1], op.data, op.opcode == _SUBTRACT)
            # Nothing of an input that is not there: what is left is the other.
            if ZERO in (one.value, other.value):
                found.append(one if other.value == ZERO else other)
            else:
                found.append(made.add(one, other))
        else:
            raise HwgenError(f"constant: da4ml gave the operation {op.opcode}, which is no sum; take --method csd")
    ends = zip(stage.out_idxs, stage.out_shifts, stage.out_negs, strict=True)
    return [Scaled(ZERO) if at < 0 else moved(found[at], shift, bool(turned)) for at, shift, turned in ends]
