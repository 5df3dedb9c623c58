"""INT against FP formats with shared scales (ICML 2026): energy and area by format, and which has less noise when."""

from __future__ import annotations

from reports.scoreboard.bench import Tile
from reports.scoreboard.measures import AreaRatio, EnergyRatio, QsnrCrossover
from reports.scoreboard.number import Number, Paper, Source

__all__ = ["PAPER"]

_TITLE = "INT against FP (ICML 2026, arXiv 2510.25602)"

_LANES = {"mxfp8_e4m3": 1, "mxint8": 1, "nvfp4": 2, "nvint4": 2}
"""Post lanes that keep up with blocks of 32 and 16 values: the fewest that work."""


def _tile(name: str) -> Tile:
    return Tile.of("mx", 32, m=2, weights=name, acts=name, post_lanes=_LANES[name])


_BASE = _tile("mxfp8_e4m3")
_WHY = (
    "The published figures come from a count of gates by hand, not from a synthesis. Ours: whole tiles, whose post "
    "lanes scale sums of blocks and add them in FP32, exact inside a block; E4M3 products are shifted into 42 bits."
)


def _silicon() -> list[Number]:
    found = []
    for name, energy, area in (("mxint8", 0.63, 0.79), ("nvfp4", 0.55, 0.54), ("nvint4", 0.34, 0.38)):
        for what, published, kind in (("energy", energy, EnergyRatio), ("area", area, AreaRatio)):
            found.append(
                Number(
                    f"table5/{name}/{what}",
                    f"{what}: {name.upper()} / MXFP8 at equal throughput",
                    "×",
                    published,
                    Source(_TITLE, "Table 5", "background"),
                    kind(_tile(name), _BASE),
                    _WHY,
                )
            )
    found.append(
        Number(
            "abstract/nvint4_energy",
            "energy: NVINT4 / NVFP4 (38 % less)",
            "×",
            1 - 0.38,
            Source(_TITLE, "text on Table 5", "third party"),
            EnergyRatio(_tile("nvint4"), _tile("nvfp4")),
            _WHY + " Post lanes, which both have, are half of these tiles.",
        )
    )
    return found


def _crossovers() -> list[Number]:
    why = (
        "Published by formula, with one overhead of all scales; ours counts the noise of the quantisers on blocks of "
        "normal values with one peak, at scales that favour none."
    )
    pairs = (
        ("mx8", "MXINT8", "MXFP8 (E4M3)", "int8", "fp8_e4m3", 32, "ceil", 7.55),
        ("mx6", "MXINT6", "MXFP6 (E2M3)", "int6", "fp6_e2m3", 32, "ceil", 1.96),
        ("mx4", "MXINT4", "MXFP4", "int4", "fp4_e2m1", 32, "ceil", 2.04),
        ("nv4", "NVINT4", "NVFP4", "int4", "fp4_e2m1", 16, "nv", 2.39),
    )
    return [
        Number(
            f"crossover/{key}",
            f"crest factor below which {integer} has less noise than {floating}",
            "σ",
            published,
            Source(_TITLE, "crossovers of QSNR", "background" if rule == "ceil" else "third party"),
            QsnrCrossover(first, second, block, rule),
            why,
        )
        for key, integer, floating, first, second, block, rule, published in pairs
    ]


PAPER = Paper(
    "int-or-fp",
    _TITLE,
    "Integer and floating-point elements under shared scales: silicon and noise.",
    (*_silicon(), *_crossovers()),
)
