"""What a mixpe tile is made with: parameters, what goes together, formats and modes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from hwgen.formats import Format, get
from hwgen.frame.facts import P, Quantization, Side
from hwgen.frame.param import Range, again, param
from hwgen.pe._aligned import AlignedProductsSpec, AlignedSpec
from hwgen.pe._scaled import ScaledSpec

__all__ = ["MixpeParameters"]


@dataclass(frozen=True, kw_only=True)
class MixpeParameters(AlignedProductsSpec):
    """What a mixpe tile is made with: parameters, what goes together, formats and modes."""

    title: ClassVar[str] = "MixPE: shift and add, no multiplier"

    group: int = again(AlignedSpec, "group", sweep=(0, 64))
    bits: int = param(4, "weight width; 1.58 is ternary in two bits", legal=Range(2, 8), sweep=(2, 3, 4, 8), unit="bit")
    acts: str = again(AlignedSpec, "acts", sweep=("int8", "fp16", "bf16"))
    scheme: str = param(
        "asymmetric",
        "weights: unsigned with an integer zero point, signed, or unsigned with a float minimum, or -1, 0 and 1 by "
        "their mean",
        legal=("asymmetric", "symmetric", "minimum", "ternary"),
        sweep=("asymmetric", "symmetric"),
    )
    dequant: str = param(
        "group",
        "where weights are dequantised: after each group, after the row, or before the cells by integer scales",
        legal=("group", "channel", "before"),
        sweep=("group", "channel", "before"),
    )

    cell_uses_phase: ClassVar[bool] = False

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        dequant = p["dequant"]
        channel, before = dequant == "channel", dequant == "before"
        yield (
            (p["group"] == 0) if channel else (p["group"] > 0),
            "group must be 0 with dequant channel, not {group}; a row has one scale"
            if channel
            else f"group must be positive with dequant {dequant}, not {{group}}; one scale a row is --dequant channel",
        )
        yield (
            (p["post_lanes"] == 0) | (not channel and not before),
            f"post_lanes must be 0 with dequant {dequant}, not {{post_lanes}}; "
            "the sum of a whole row is scaled once, after the tile",
        )
        yield (
            not before or p["scheme"] in ("asymmetric", "symmetric"),
            "scheme must be asymmetric or symmetric with dequant before, not {scheme}; "
            "cells take integers below an integer scale of their group",
        )
        yield (
            not (before and cls._floating(p)) or p["align_scope"] != "group",
            "align_scope must be step or row with dequant before, not {align_scope}; "
            "a sum over the whole row has no exponents of groups",
        )
        yield from super().constraints(p)

    @staticmethod
    def _before(p: P) -> bool:
        return bool(p["dequant"] == "before")

    @staticmethod
    def _signed(p: P) -> bool:
        return ScaledSpec.signed_weights(p)

    @property
    def weight_format(self) -> Format:
        return get(f"{'int' if self._signed(self.p) else 'uint'}{self.bits}")

    @property
    def lsb_exp(self) -> int:
        return self._act_lsb_exp

    def quantization(self) -> Quantization:
        before = self._before(self.p)
        return Quantization(
            **self._act_quantization(),
            weights=self.weight_format.name,
            scheme=f"two_level_{self.scheme}" if before else self.scheme,
            group=self.group,
            weight_scale=self.weight_scale,
            arithmetic="two_level" if before else "exact",
        )

    @property
    def zero_values(self) -> range:
        return range(1 << self.bits)

    def col_side(self) -> dict[str, Side]:
        if not self._before(self.p):
            return super().col_side()
        _, bits = self.side_bits(self.p)
        docs = {"group_scale": "integer scale of the column's group", "group_zero": "zero point of the column's group"}
        return {name: Side(int(width), docs[name], encoding=f"uint{int(width)}") for name, width in bits.items()}
