"""What a bitfusion tile is made with: parameters, what goes together, formats and modes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from hwgen.formats import Format, get
from hwgen.frame.facts import Mode, P, Quantization
from hwgen.frame.numbers import Num, clog2
from hwgen.frame.param import Range, again, param
from hwgen.frame.spec import TileSpec
from hwgen.pe._scaled import WEIGHT_SCALES, ScaledSpec

__all__ = ["WIDTH", "BitfusionParameters", "levels"]


WIDTH = 8
"""Bits of a unit's factors."""


def levels(brick: Num) -> Num:
    """Halvings of a factor down to a brick's width."""
    return clog2(WIDTH // brick)


@dataclass(frozen=True, kw_only=True)
class BitfusionParameters(ScaledSpec):
    """What a bitfusion tile is made with: parameters, what goes together, formats and modes."""

    title: ClassVar[str] = "Bit Fusion: bricks fused at run time"

    m: int = again(TileSpec, "m", sweep=(1, 2))
    n: int = again(TileSpec, "n", sweep=(1, 2))
    k: int = param(2, "fusion units of a cell: products per step at 8 bits", legal=Range(1, 64), sweep=(1, 2))
    group: int = again(TileSpec, "group", sweep=(64,))
    depth: int = again(TileSpec, "depth", sweep=(64,))
    bits: int = param(4, "weight width of layers", legal=(2, 4, 8), sweep=(2, 4, 8), unit="bit")
    acts: str = param("int8", "activation format of layers", legal=("int2", "int4", "int8"), sweep=("int4", "int8"))
    brick_acts: int = param(
        2, "activation bits of a brick, the narrowest of a mode", legal=(2, 4, 8), sweep=(2, 8), unit="bit"
    )
    brick_weights: int = param(
        2, "weight bits of a brick, the narrowest of a mode", legal=(2, 4, 8), sweep=(2, 4, 8), unit="bit"
    )
    scheme: str = param(
        "symmetric",
        "weights: signed, or unsigned with an integer zero point",
        legal=("symmetric", "asymmetric"),
        sweep=("symmetric", "asymmetric"),
    )
    weight_scale: str = again(ScaledSpec, "weight_scale", legal=WEIGHT_SCALES)

    cell_uses_phase: ClassVar[bool] = False
    cell_uses_mode: ClassVar[bool] = False
    golden_overflow: ClassVar[bool] = True

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield (
            p["brick_acts"] <= get(p["acts"]).code_bits,
            "brick_acts must be at most the activations' width, not {brick_acts} with acts {acts}",
        )
        yield (
            p["brick_weights"] <= p["bits"],
            "brick_weights must be at most bits ({bits}), not {brick_weights}",
        )
        yield from super().constraints(p)
        yield (
            p["depth"] >= p["k"] * (WIDTH // p["brick_acts"]) * (WIDTH // p["brick_weights"]),
            "depth must hold the products of a step in the narrowest mode, not {depth}; "
            "use a larger --depth, fewer units (--k) or wider bricks",
        )

    @staticmethod
    def _signed(p: P) -> bool:
        return ScaledSpec.signed_weights(p)

    def _mode(self, mode: int) -> tuple[int, int]:
        """How often activations and weights of a mode are halved from 8 bits."""
        return divmod(mode, int(levels(self.brick_weights)) + 1)

    @property
    def layer_mode(self) -> int:
        acts, weights = (int(clog2(WIDTH // bits)) for bits in (get(self.acts).code_bits, self.bits))
        return acts * (int(levels(self.brick_weights)) + 1) + weights

    def mode_formats(self, mode: int) -> tuple[Format, Format]:
        acts, weights = self._mode(mode)
        return get(f"int{WIDTH >> acts}"), get(f"{'int' if self._signed(self.p) else 'uint'}{WIDTH >> weights}")

    @property
    def act_format(self) -> Format:
        return get(self.acts)

    @property
    def weight_format(self) -> Format:
        return self.mode_formats(self.layer_mode)[1]

    @classmethod
    def mode_count(cls, p: P) -> Num:
        return (levels(p["brick_acts"]) + 1) * (levels(p["brick_weights"]) + 1)

    def modes(self) -> tuple[Mode, ...]:
        found = []
        for mode in range(int(self.mode_count(self.p))):
            acts, weights = self._mode(mode)
            name = f"a{WIDTH >> acts}w{WIDTH >> weights}"
            left, right = self.mode_formats(mode)
            count = self.k << acts + weights
            found.append(Mode(name, left.name, right.name, count, 1, int(self.latency(self.p))))
        return tuple(found)

    def quantization(self) -> Quantization:
        return Quantization(
            acts=self.acts,
            weights=self.weight_format.name,
            scheme=self.scheme,
            group=self.group,
            act_scale=self.act_scale,
            weight_scale=self.weight_scale,
            step=int(self.layer_k(self.p)),
            **self.bounded_sums(),
        )

    @property
    def zero_values(self) -> range:
        return range(1 << WIDTH)
