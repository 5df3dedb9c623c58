"""Choice of one of several values by a binary index, as a tree of two-way multiplexers."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, Mux, Value

from hwgen.arith.bits import wire

__all__ = ["select"]


def select(m: Module, items: Sequence[Value], index: Value, name: str) -> Value:
    """``items[index]`` for items of one width; an index beyond the last item gives one of the items.

    The tree takes the lowest index bit first: n items cost n − 1 two-way multiplexers and depth log2 n.
    """
    nodes = list(items)
    level = 0
    while len(nodes) > 1:
        paired = [
            wire(m, Mux(index[level], high, low), f"{name}_level{level}_{number}")
            for number, (low, high) in enumerate(zip(nodes[::2], nodes[1::2], strict=False))
        ]
        nodes = paired + nodes[len(paired) * 2 :]
        level += 1
    return nodes[0]
