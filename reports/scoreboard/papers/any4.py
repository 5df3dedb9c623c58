"""any4 (ICML 2025): a table of sixteen values for each row, learned."""

from __future__ import annotations

import math

from reports.scoreboard.measures import LossRatio
from reports.scoreboard.number import Number, Paper, Source

__all__ = ["PAPER"]

_TITLE = "any4 (ICML 2025, arXiv 2507.04610)"
_README = Source("facebookresearch/any4 (commit 02a6011)", "README, accuracy of Llama 3 on Wikitext-2", "code")
_PERPLEXITIES = {
    "1b": ("Llama 3.2 1B", 9.76, {"INT4": 11.89, "FP4": 13.01, "NF4": 10.99, "any4": 10.63}),
    "8b": ("Llama 3 8B", 6.14, {"INT4": 6.87, "FP4": 7.10, "NF4": 6.63, "any4": 6.51}),
}
_FORMATS = {"INT4": "int4.asymmetric/128", "FP4": "fp4_e2m1/128", "NF4": "nf4/128", "any4": "any4/128"}
_WHY = (
    "What a format adds to the loss. The weights of our model were INT4 with zero points in groups of 32 before: grids "
    "of even steps are nearer to them than to a model's own."
)
_TABLES = (
    " Tables here are the best ones of eight bits for weights alone, without a zero point, and more than 256 rows "
    "share them: in five layers of our model their squared error is 11 to 25 % below NF4's, and would be 17 to 25 % "
    "with zero points and a table for every row. Theirs count each weight by the size of activations."
)


def _numbers() -> list[Number]:
    found = []
    for size, (model, whole, perplexities) in _PERPLEXITIES.items():
        losses = {name: math.log(value / whole) for name, value in perplexities.items()}
        for name in ("INT4", "FP4", "any4"):
            found.append(
                Number(
                    f"{size}/{name.lower()}",
                    f"loss added by {name} / by NF4 ({perplexities[name]:g} and {perplexities['NF4']:g}, {model})",
                    "×",
                    losses[name] / losses["NF4"],
                    _README,
                    LossRatio((_FORMATS[name], "rtn"), (_FORMATS["NF4"], "rtn")),
                    _WHY + (_TABLES if name == "any4" else ""),
                )
            )
    return found


PAPER = Paper(
    "any4",
    _TITLE,
    "Sixteen values of any kind a row, found by clustering with the size of activations as weights.",
    tuple(_numbers()),
)
