"""MixPE: scales after each group's sum, shift and add in place of multipliers; and where its speed comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from reports.scoreboard.measures import AreaEnergyRatio, AreaRatio, EnergyRatio
from reports.scoreboard.number import Measure, Number, Paper, Source
from reports.scoreboard.tiles import FP16_MAC, INT8, mixpe
from reports.system_peers import MIXPE_TIMES, mixpe_cycles, mixpe_decomposition

if TYPE_CHECKING:
    from reports.scoreboard.bench import Bench

__all__ = ["PAPER"]

_TITLE = "MixPE (arXiv 2411.16158)"
_SIMULATOR = "MixPE's simulator (yuzhang712/mixpe_simulator)"
_MODELS = {"opt-6.7b": (4096, 32), "llama-2-13b": (5120, 40)}


@dataclass(frozen=True)
class MixpeTime(Measure):
    """Time of a design over FP16's: a token of each of 64 sequences, without stalls. ``after``: sums of groups are
    scaled, not weights.
    """

    design: str
    model: str
    after: bool
    basis: ClassVar[str] = "cycles"

    def value(self, bench: Bench) -> float:
        """Dimensionless."""
        sizes = _MODELS[self.model]
        dequant = "core_after" if self.after else "core_before"
        return mixpe_cycles(self.design, dequant, *sizes) / mixpe_cycles("FP16", "core_before", *sizes)

    def switches(self) -> Mapping[str, str]:
        """What the system is."""
        return {"simulator": "MixPE's", "dequant": "sums of groups" if self.after else "each weight before"}


@dataclass(frozen=True)
class MixpeStep(Measure):
    """How many times faster one change makes its headline: a place in `mixpe_decomposition`, from 1."""

    step: int
    basis: ClassVar[str] = "cycles"

    def value(self, bench: Bench) -> float:
        """Dimensionless."""
        (_, before), (_, after) = mixpe_decomposition()[self.step - 1 : self.step + 1]
        return before / after

    def switches(self) -> Mapping[str, str]:
        """What the system is."""
        return {"simulator": "MixPE's", "dequant": "one change at a time"}


def _times() -> list[Number]:
    why = "The published ones come from a search of mappings with a memory behind the array, to two digits."
    return [
        Number(
            f"times/{model}/{design.lower().replace(' ', '_')}",
            f"time over FP16's: {design}, {model}",
            "×",
            published,
            Source(_SIMULATOR, "mixpe_res.csv", "code"),
            MixpeTime(design, model, design.startswith("MixPE")),
            why,
        )
        for model in _MODELS
        for design, published in MIXPE_TIMES.items()
    ]


_HEADLINE = "speed-up over accelerators with other quantisation (2.6)"


def _decomposition() -> list[Number]:
    source = Source(_TITLE, "abstract", "abstract")
    words = (
        (1, "elements", "more elements alone, 64 × 64 for 32 × 28", "More elements are no idea of the paper."),
        (
            2,
            "dequant",
            "scaling sums of groups in place of weights alone",
            "The paper's idea gives an eighth, in its own simulator's terms.",
        ),
        (3, "pairs", "two weights of four bits an element alone", "Half of the time, and no idea of the paper either."),
        (
            4,
            "act_pairs",
            "two activations an element, as if they had four bits, alone",
            "64 sequences fill no more than half of the rows: the claim is worth nothing here.",
        ),
    )
    modelled = [
        Number(f"headline/{key}", f"{_HEADLINE}; ours: {what}", "×", 2.6, source, MixpeStep(step), why)
        for step, key, what, why in words
    ]
    return [
        *modelled,
        Number(
            "headline/equal_area",
            f"{_HEADLINE}; ours: throughput of an area, W4A8 / INT8",
            "×",
            2.6,
            source,
            AreaRatio(INT8, mixpe("int8")),
            "Both of ours are mapped; the published designs have as many elements as their files say, whatever their "
            "area.",
        ),
        Number(
            "headline/energy",
            "energy over accelerators with other quantisation (1.4); ours: INT8 / W4A8, a multiply-accumulate",
            "×",
            1.4,
            source,
            EnergyRatio(INT8, mixpe("int8")),
            "Published with memories, ours the tile alone.",
        ),
    ]


def _design_space() -> list[Number]:
    source = Source(_SIMULATOR, "dse.py (commit 769f0c8)", "derived")
    return [
        Number(
            "design_space/w4a8",
            "area times power at equal throughput: INT8 / W4A8 (133.38 over 58.28 on its scale)",
            "×",
            133.38 / 58.28,
            source,
            AreaEnergyRatio(INT8, mixpe("int8")),
            "The definition of the product is not given; its powers are another paper's, scaled, of no synthesis.",
        ),
        Number(
            "design_space/w4a16",
            "area times power at equal throughput: FP16 / W4A16",
            "×",
            4.82,
            source,
            AreaEnergyRatio(FP16_MAC, mixpe("fp16")),
            "Ours aligns activations to a group's exponent before the buffer, a block that is in neither figure, so "
            "that a cell adds integers; the paper's cell adds floating-point terms. Our FP16 multiplier has FP32 sums.",
        ),
    ]


PAPER = Paper(
    "mixpe",
    _TITLE,
    "Scales after sums of groups, and shift and add; its headline taken apart.",
    (*_times(), *_decomposition(), *_design_space()),
)
