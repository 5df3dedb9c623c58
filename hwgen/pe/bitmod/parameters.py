"""What a bitmod tile is made with: parameters, what goes together, formats and modes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hwgen.arith import (
    float_layout,
)
from hwgen.formats import Format, get
from hwgen.formats.bitmod import MAGNITUDE_BITS
from hwgen.frame.facts import Mode, P, Quantization, Side
from hwgen.frame.loops import LoopSpec
from hwgen.frame.param import Range, again, param
from hwgen.frame.spec import TileSpec
from hwgen.pe._scaled import LanesSpec

__all__ = ["BitmodParameters"]


WIDTHS = (8, 6, 5, 4, 3)
"""Weight widths by run-time mode: int8, int6, int5, FP4, FP3."""

FIRST_FP = 3
"""The first mode with floating-point weights."""

SPECIAL_BITS = 1 + MAGNITUDE_BITS

SCALE_BITS = 8


@dataclass(frozen=True, kw_only=True)
class BitmodParameters(LoopSpec):
    """What a bitmod tile is made with: parameters, what goes together, formats and modes."""

    title: ClassVar[str] = "BitMoD: bit-serial mixed data types"

    m: int = again(TileSpec, "m", sweep=(1, 2))
    n: int = again(TileSpec, "n", default=4, sweep=(2, 4))
    k: int = again(TileSpec, "k", sweep=(2, 4))
    overflow: str = again(TileSpec, "overflow", sweep=("refuse",))
    bits: int = param(
        4, "weights of layers: 8, 6, 5 integers, 4 and 3 FP", legal=WIDTHS, sweep=(3, 4, 6, 8), unit="bit"
    )
    acts: str = param("fp16", "activation format", legal=("fp16", "bf16", "int8"), sweep=("fp16", "bf16", "int8"))
    guard_bits: int = param(
        3, "bits kept below the last place in the alignment of a step", legal=Range(0, 8), sweep=(0, 3), unit="bit"
    )
    accumulator: str = param(
        "normalised",
        "group sums of fp activations: truncated floating point, or exact fixed point; integers are always exact",
        legal=("normalised", "exact"),
        sweep=("normalised", "exact"),
    )
    acc_mantissa: int = param(
        15, "mantissa of a normalised accumulator, sign included", legal=Range(8, 32), sweep=(12, 15), unit="bit"
    )
    specials: str = param("", "special values of selectors 0 to 3 in layers, e.g. -5,5,-10,10; empty: the format's")
    act_scale: str = param("bf16", "format of the activations' scale, which is always 1", legal=("bf16", "fp16"))
    post_lanes: int = param(
        4,
        "FP32 accumulators that visit the scaled group sums; n is one a column, 0 gives raw sums",
        legal=Range(0, 1024),
        sweep=(0, 2),
    )
    post_cuts: int = again(LanesSpec, "post_cuts")
    post_adder_stages: int = again(LanesSpec, "post_adder_stages")

    cell_uses_phase: ClassVar[bool] = False
    POST_SIDES: ClassVar[tuple[str, ...]] = ("scale",)
    NOT_IN_BLOCKS: ClassVar[frozenset[str]] = TileSpec.NOT_IN_BLOCKS | {"acc_mantissa", "specials"}

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Lanes that are not named are as many as fit the columns."""
        return cls.fitting_lanes(dict(values), cls.parameters()["post_lanes"].default)

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        yield (
            not (p["acts"] == "bf16" and p["accumulator"] == "exact"),
            "accumulator must be normalised with acts bf16, not {accumulator}; fixed point would span 8 exponent bits",
        )
        normalised = cls._normalised(p)
        yield (
            not normalised or p["overflow"] == "refuse",
            "overflow must be refuse with a normalised accumulator, not {overflow}; its exponent spans depth products",
        )
        yield (
            # Rounding down drifts: with this many updates an accumulator stays within twice the exact bound.
            (not normalised) | (64 * p["depth"] <= p["k"] * 2 ** p["acc_mantissa"]),
            "depth must be at most k · 2^(acc_mantissa − 6) with a normalised accumulator, not {depth}; "
            "use a wider --acc-mantissa, a smaller --depth or --accumulator exact",
        )

    @classmethod
    def loops(cls, p: P) -> bool:
        return cls._normalised(p)

    @staticmethod
    def _floating(p: P) -> bool:
        return bool(p["acts"] != "int8")

    @classmethod
    def _normalised(cls, p: P) -> bool:
        return cls._floating(p) and bool(p["accumulator"] == "normalised")

    @property
    def sum_signed(self) -> bool:
        """Whether raw sums are integers; normalised accumulators give code words."""
        return not self._normalised(self.p)

    @property
    def sums_add_up(self) -> bool:
        return not self._normalised(self.p)

    @property
    def sum_meaning(self) -> str:
        if not self._normalised(self.p):
            return "group sums, integers"
        return f"group sums, mantissa in bits 0 to {self.acc_mantissa - 1}, exponent above"

    @property
    def act_format(self) -> Format:
        return get(self.acts)

    @property
    def weight_format(self) -> Format:
        return self.mode_formats(self.layer_mode)[1]

    def mode_formats(self, mode: int) -> tuple[Format, Format]:
        width = WIDTHS[mode]
        if mode < FIRST_FP:
            return self.act_format, get(f"int{width}")
        table = f"({self.specials})" if self.specials and width == self.bits else ""
        return self.act_format, get(f"bitmod_fp{width}{table}")

    @property
    def layer_mode(self) -> int:
        return WIDTHS.index(self.bits)

    def modes(self) -> tuple[Mode, ...]:
        return tuple(
            Mode(
                name=self.mode_formats(mode)[1].name.removeprefix("bitmod_").partition("(")[0],
                acts=self.acts,
                weights=self.mode_formats(mode)[1].name,
                k=self.k,
                cycles_per_step=int(self.cycles_per_step(self.p, mode)),
                latency=int(self.latency(self.p)),
            )
            for mode in range(len(WIDTHS))
        )

    def quantization(self) -> Quantization:
        return Quantization(
            acts=self.acts,
            weights=self.weight_format.name,
            scheme="bitmod",
            group=self.group,
            act_scale=self.act_scale,
            weight_scale="int8",
            step=self.k,
            arithmetic="bitmod",
            options=(
                ("accumulator", self.accumulator),
                ("acc_mantissa", self.acc_mantissa),
                ("guard_bits", self.guard_bits),
                ("interleave", int(self.ring_stages(self.p))),
            ),
        )

    @property
    def lsb_exp(self) -> int:
        """Of a word M + E·2^P: the sum is M · 2^E · 2**lsb_exp; of an integer: the exponent of its unit."""
        if not self._floating(self.p):
            return -1
        layout = float_layout(self.act_format)
        unit = -layout.bias - layout.mantissa_bits - self.guard_bits - 1
        return unit - (self.acc_mantissa - 1) if self._normalised(self.p) else unit

    def col_side(self) -> dict[str, Side]:
        doc = "special value of the column's group: sign, magnitude in halves"
        fields = {"special": Side(SPECIAL_BITS, doc, encoding="sign_magnitude")}
        if self.lanes:
            fields["scale"] = Side(SCALE_BITS, "scale of the column's group, int8", encoding="int8")
        return fields
