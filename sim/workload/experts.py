"""How many experts of a mixture work, and on how many tokens each: an expectation, rounded so that no work is lost."""

from __future__ import annotations

import math

__all__ = ["active_experts", "expert_shares"]


def active_experts(experts: int, chosen: int, tokens: int) -> float:
    """Expected number of different experts that ``tokens`` tokens choose, ``chosen`` each: E·(1 - (1 - k/E)^T).

    Tokens choose independently and every expert with the same probability k/E, as a balanced router does: an expert is
    idle with (1 - k/E)^T. Exactly k for one token; real routers are less balanced and use fewer.
    """
    if chosen >= experts:
        return float(experts)
    # expm1 and log1p keep the digits where k/E is small.
    return -experts * math.expm1(tokens * math.log1p(-chosen / experts))


def expert_shares(experts: int, chosen: int, tokens: int) -> tuple[tuple[int, int], ...]:
    """Pairs (tokens of an expert, experts with so many), all above 0: `active_experts`, rounded, share the
    tokens·chosen products as evenly as whole numbers allow, so that their sum is exact.
    """
    slots = tokens * chosen
    active = min(max(round(active_experts(experts, chosen, tokens)), chosen), experts, slots)
    each, more = divmod(slots, active)
    return tuple((size, count) for size, count in ((each + 1, more), (each, active - more)) if size and count)
