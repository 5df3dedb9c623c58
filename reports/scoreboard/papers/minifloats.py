"""Minifloats against integers: exact multiply-accumulate units on FPGAs and in gates."""

from __future__ import annotations

import math

from reports.scoreboard.bench import Tile
from reports.scoreboard.measures import AreaRatio, Cells, FpgaRatio, SumBits
from reports.scoreboard.number import Number, Paper, Range, Source
from reports.scoreboard.tiles import INT8

__all__ = ["PAPER"]

_SHEDDING = "Shedding the Bits (FPL 2024, arXiv 2311.12359)"
_DEPTH = 4608
"""Products of a sum: the longest of ResNet-18."""
_FORMATS = {
    "fp4_e2m1": (4, 2, 1),
    "fp6_e2m3": (6, 2, 3),
    "fp6_e3m2": (6, 3, 2),
    "fp8_e4m3": (8, 4, 3),
    "fp8_e5m2": (8, 5, 2),
}
"""Bits, exponent and significand bits of both operands."""
_DEEP = {"k": 1, "depth": _DEPTH, "group": _DEPTH}


def _float(name: str) -> Tile:
    return Tile.of("minifloat", 0, weights=name, acts=name, **_DEEP)


def _int(bits: int) -> Tile:
    return Tile.of("int", 0, bits=bits, acts=f"int{bits}", **_DEEP)


def _widths() -> list[Number]:
    source = Source(_SHEDDING, "formulas of accumulators", "third party")
    growth = math.ceil(math.log2(_DEPTH))
    found = [
        Number(
            "widths/int8",
            f"bits of an accumulator of {_DEPTH:,} INT8 products",
            "bits",
            float(8 + 8 + growth + 1),
            source,
            SumBits(_int(8)),
            "The formula has two bits to spare.",
        )
    ]
    for name, (_, exponent, significand) in _FORMATS.items():
        found.append(
            Number(
                f"widths/{name}",
                f"bits of an accumulator of {_DEPTH:,} products of {name.upper()}",
                "bits",
                float(2 * (2**exponent + significand) + growth - 1),
                source,
                SumBits(_float(name)),
                "Ours has what the largest products need and no bit more; codes of infinity and NaN are none of them.",
            )
        )
    return found


def _fpga() -> list[Number]:
    return [
        Number(
            f"fpga/{name}",
            f"LUTs: exact {name.upper()} multiply-accumulate / INT{bits}",
            "×",
            Range(1.2, 2.8),
            Source("Exact minifloat MACs on Versal (TCAD 2025, 10.1109/TCAD.2024.3511343)", "range", "third party"),
            FpgaRatio((Cells(1, _float(name)),), (Cells(1, _int(bits)),)),
            "A range over formats; no count of a single one can be read. Cells without the decoders of rows and "
            "columns, which an array shares and a single unit has: with them floats take more. 7 series LUTs; the "
            "published ones are Versal's.",
        )
        for name, (bits, _, _) in _FORMATS.items()
    ]


def _gates() -> list[Number]:
    return [
        Number(
            f"gates/{name}",
            f"area: {name.upper()} with exact sums / INT8",
            "×",
            Range(1.5, 2.8),
            Source("FP8 versus INT8 (arXiv 2303.17951)", "range of gate counts", "third party"),
            AreaRatio(Tile.of("minifloat", 512, m=2, k=4, weights=name, acts=name), INT8),
            "A count of gates by hand; four products a cell share an accumulator here.",
        )
        for name in ("fp8_e4m3", "fp8_e5m2")
    ]


PAPER = Paper(
    "minifloats",
    "Minifloats against integers (arXiv 2311.12359, TCAD 2025, arXiv 2303.17951)",
    "Exact multiply-accumulates of small floats: widths of sums, LUTs of an FPGA, gates.",
    (*_widths(), *_fpga(), *_gates()),
)
