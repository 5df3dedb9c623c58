"""RaZeR: FP4 whose negative zero is a special value."""

from __future__ import annotations

from reports.scoreboard.measures import LossRatio
from reports.scoreboard.number import Number, Paper, Source, Stated

__all__ = ["PAPER"]

_TITLE = "RaZeR (arXiv 2501.04052)"

PAPER = Paper(
    "razer",
    _TITLE,
    "NVFP4 with ±5 or ±8 in place of the second zero, chosen for each block by spare bits of its scale.",
    (
        Number(
            "abstract/weights",
            "loss added by RaZeR / by the same blocks of FP4, weights alone (34.6 % less)",
            "×",
            1 - 0.346,
            Source(_TITLE, "abstract", "abstract"),
            LossRatio(("razer_fp4/16", "rtn"), ("fp4_e2m1/16", "rtn")),
            "Means over models of differences of perplexities there, one model's loss here. Scales of both are FP16 "
            "here, as the family has them; NVFP4's are E4M3, RaZeR's E3M3.",
        ),
    ),
    (
        Stated(
            "loss of weights and activations",
            "31.2 % less than NVFP4's",
            Source(_TITLE, "abstract", "abstract"),
            "Activations have two special values of their own with E4M3 scales, which no format here is.",
        ),
    ),
)
