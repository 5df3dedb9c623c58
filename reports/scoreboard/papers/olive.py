"""OliVe (ISCA 2023): outlier-victim pairs; as BitMoD measured them on language models."""

from __future__ import annotations

from reports.scoreboard.measures import LossRatio
from reports.scoreboard.number import Number, Paper, Source, Stated
from reports.scoreboard.papers.ant import added

__all__ = ["PAPER"]

_TITLE = "OliVe (ISCA 2023, arXiv 2304.07493)"
_BITMOD = "BitMoD (HPCA 2025, arXiv 2411.11745)"
_WHY = (
    "What a format adds to the loss, of two models of very different size. Ours chooses type and bias for each group; "
    "a small model whose weights were INT4 with zero points before has few outliers for pairs to save."
)
_ROWS = (
    ("group/int4_asym", "OliVe", "olive4/128", 5.91, "INT4 with zero points", "int4.asymmetric/128", 5.77),
    ("group/flint", "OliVe", "olive4/128", 5.91, "ANT (flint)", "flint4/128", 6.09),
)

PAPER = Paper(
    "olive",
    _TITLE,
    "Where one of two neighbours is an outlier, the other is given up and the outlier gets its range.",
    tuple(
        Number(
            key,
            f"loss added by {over} / by {under}, group-wise ({worse:g} and {better:g}, Llama-2-7B)",
            "×",
            added(worse) / added(better),
            Source(_BITMOD, "Table VI", "derived"),
            LossRatio((form, "rtn"), (other, "rtn")),
            _WHY,
        )
        for key, over, form, worse, under, other, better in _ROWS
    ),
    (
        Stated(
            "speed and energy over GOBO",
            "4.5 ×, 4.0 × less",
            Source(_TITLE, "abstract", "abstract"),
            "GOBO is no tile here; area and energy of elements beside serial ones are under Stripes.",
        ),
    ),
)
