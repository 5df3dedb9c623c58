"""What stands between the products of a transformer: work of a vector unit, counted in operations.

Operations an element are assumed (`OPERATIONS`); rotations of positions, embeddings and sampling are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from sim.system.products import Part
from sim.workload import Workload

__all__ = ["OPERATIONS", "vector_elements", "vector_operations"]

OPERATIONS: Mapping[str, int] = MappingProxyType({"softmax": 5, "norm": 4, "activation": 4, "residual": 1})
"""Operations an element, assumed: softmax takes maximum, difference, exponential, sum and quotient; a norm square, sum
and two products; an activation function an exponential, a sum, a quotient and a product; a residual a sum.
"""
_NORMED = (("attn.q", "attn.qkv"), ("ffn.gate", "ffn.up"), ("moe.router",), ("lm_head",))
"""Roles whose input was normalised: the first of each that a model has."""
_ACTIVATED = (("ffn.gate", "ffn.up"), ("moe.expert.gate", "moe.expert.up"), ("moe.shared.gate", "moe.shared.up"))
"""Roles whose output an activation function takes."""
_ADDED = ("attn.o", "ffn.down", "moe.expert.down", "moe.shared.down")


def vector_elements(workload: Workload, parts: Sequence[Part]) -> dict[tuple[str, str], int]:
    """Elements by part of the phase and kind of `OPERATIONS`; those of a model without attention are none."""
    roles = set(workload.roles)
    normed = {next(one for one in names if one in roles) for names in _NORMED if roles & set(names)}
    activated = {next(one for one in names if one in roles) for names in _ACTIVATED if roles & set(names)}
    found: dict[tuple[str, str], int] = {}

    def add(part: Part, kind: str, count: int) -> None:
        if count:
            found[part.part, kind] = found.get((part.part, kind), 0) + count

    if "attn.qk" not in roles:
        return found
    for part in parts:
        done = [(product, times * product.copies) for product, times in part.times.items()]
        outputs = sum(product.m * product.n * times for product, times in done)
        if part.role == "attn.qk":
            add(part, "softmax", outputs)
        if part.role in normed:
            add(part, "norm", sum(product.m * product.row * times for product, times in done))
        if part.role in activated:
            add(part, "activation", outputs)
        if part.role in _ADDED:
            add(part, "residual", outputs)
    return found


def vector_operations(elements: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """Operations by part of the phase and kind."""
    return {(part, kind): count * OPERATIONS[kind] for (part, kind), count in elements.items()}
