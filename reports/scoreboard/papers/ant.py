"""ANT (MICRO 2022): a type for each tensor, flint among them; as BitMoD measured it on language models."""

from __future__ import annotations

import math

from reports.scoreboard.measures import LossRatio
from reports.scoreboard.number import Number, Paper, Source

__all__ = ["PAPER", "added"]

_TITLE = "ANT (MICRO 2022, arXiv 2208.14286)"
_BITMOD = "BitMoD (HPCA 2025, arXiv 2411.11745)"
_FLOAT = 5.47
"""Perplexity of Llama-2-7B on Wikitext-2."""


def added(perplexity: float) -> float:
    """Nats a token that weights of a format add to the loss of Llama-2-7B."""
    return math.log(perplexity / _FLOAT)


_WHY = (
    "What a format adds to the loss, of two models of very different size. The weights of ours were INT4 with zero "
    "points in groups of 32 before: grids of even steps are nearer to them than to a model's own."
)
_ROWS = (
    ("group/int4_asym", "flint", "flint4/128", 6.09, "INT4 with zero points", "int4.asymmetric/128", 5.77, "Table VI"),
    ("group/int4_sym", "flint", "flint4/128", 6.09, "INT4 symmetric", "int4/128", 5.84, "Table I"),
    ("group/fp4", "flint", "flint4/128", 6.09, "FP4", "fp4_e2m1/128", 5.77, "Table I"),
    ("channel/int4_sym", "flint", "flint4/row", 6.67, "INT4 symmetric", "int4/row", 12.92, "Table I"),
)

PAPER = Paper(
    "ant",
    _TITLE,
    "Integers, powers of two, floats and flint, whichever suits; here flint alone, which is what BitMoD compares with.",
    tuple(
        Number(
            key,
            f"loss added by {over} / by {under}, {key.partition('/')[0]}-wise ({worse:g} and {better:g}, Llama-2-7B)",
            "×",
            added(worse) / added(better),
            Source(_BITMOD, where, "derived"),
            LossRatio((form, "rtn"), (other, "rtn")),
            _WHY,
        )
        for key, over, form, worse, under, other, better, where in _ROWS
    ),
)
