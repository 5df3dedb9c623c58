"""Which parameters go together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.frame.facts import P
from hwgen.frame.formulas import TileFormulas
from hwgen.frame.numbers import Num, maximum

__all__ = ["TileLegality"]


@dataclass(frozen=True, kw_only=True)
class TileLegality(TileFormulas):
    """Which parameters go together."""

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        """Pairs (holds, sentence with {parameter} fields) over scalars or arrays; all must hold."""
        step = cls.layer_k(p)
        yield (
            (p["group"] % step) == 0,
            "group must be a multiple of k ({k}), not {group}; choose a k that divides the group"
            if step is p["k"]
            else "group must be a multiple of the elements that a step takes along K, not {group}",
        )
        yield (
            (p["overflow"] != "refuse") | (p["depth"] >= step) | (p["group"] > 0),
            "depth must hold the products of a step ({k}), not {depth}"
            if step is p["k"]
            else "depth must hold the products of a step, not {depth}",
        )
        # What is corrected afterwards must not have been bounded before: Σ A·W and Σ A are bounded apart.
        yield (
            (p["overflow"] == "refuse") | cls.may_overflow(p) | (cls.sum_group(p) <= cls.sum_depth(p)),
            "group must fit depth ({depth}) where activation sums correct for zero points, not {group}: sums that "
            "{overflow} cannot be corrected; use a larger --depth or a smaller --group",
        )
        # Whole rows are as long as the layer: their fit is the schedule's to see.
        fits = (p["overflow"] != "refuse") | (cls.sum_group(p) <= cls.sum_depth(p))
        yield fits, "group must fit depth ({depth}), not {group}; " + cls._deeper(p, fits)
        if cls.uses_lanes(p) is not False:
            lanes = p["post_lanes"]
            yield (
                (lanes > 0) | ((p["post_cuts"] == 0) & (p["post_adder_stages"] == 1)),
                "post_cuts must be 0 and post_adder_stages 1 without post lanes, not {post_cuts} and "
                "{post_adder_stages}",
            )
            yield (lanes == 0) | (p["n"] % maximum(lanes, 1) == 0), "post_lanes must divide n ({n}), not {post_lanes}"
            yield (
                (lanes == 0) | (p["transport"] == "broadcast"),
                "post_lanes must be 0 with systolic transport, not {post_lanes}; use --transport broadcast",
            )
            group = cls.sum_group(p)
            # Without a bound on the group its steps are the layer's: long enough or not is the schedule's to see.
            yield (
                (lanes == 0) | (group > 0) | (p["group"] > 0),
                "group must be positive with post_lanes ({post_lanes}), not 0",
            )

    @classmethod
    def _deeper(cls, p: P, fits: Num) -> str:
        """What to do about groups that do not fit (scalars only; sweeps never print it)."""
        if any(isinstance(value, np.ndarray) for value in p.values()) or fits:
            return ""
        return cls.depth_hint(p, int(cls.sum_group(p)))

    @classmethod
    def depth_hint(cls, p: P, products: int) -> str:
        """What makes room for sums of so many products: the smallest depth that works, if one does, or less of them."""
        if products not in (cls.parameters()["depth"].legal or ()):
            return "no depth is large enough: use a smaller --group"
        deeper = {**p, "depth": products}
        broken = [text for ok, text in cls.constraints(deeper) if "depth" in text and not ok]
        if broken:
            rule = broken[0].partition(", not ")[0].format(**deeper)
            return f"no depth of this tile is large enough ({rule}): use a smaller --group"
        return f"the smallest depth that works is {products}: use --depth {products} or a smaller --group"
