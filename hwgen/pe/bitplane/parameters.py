"""What a bitplane tile is made with: parameters, and what goes together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hwgen.formats.base import whole
from hwgen.frame.facts import P
from hwgen.frame.param import Range, param
from hwgen.pe._planes import PlanesSpec

__all__ = ["BitplaneParameters"]


@dataclass(frozen=True, kw_only=True)
class BitplaneParameters(PlanesSpec):
    """What a bitplane tile is made with: parameters, and what goes together."""

    title: ClassVar[str] = "bit planes on both sides, popcount"

    bits: int = param(
        4, "weight width: bit planes; 1.58 is ternary in two planes", legal=Range(1, 8), sweep=(1, 2, 4), unit="bit"
    )
    acts: str = param(
        "int8",
        "activation format: bipolarN with scheme bipolar, else intN",
        legal=(*(f"int{bits}" for bits in range(2, 9)), *(f"bipolar{bits}" for bits in range(1, 9))),
        sweep=("int4", "int8", "bipolar4"),
    )
    weight_planes: int = param(
        1, "weight planes that a cell takes in one cycle; at most bits", legal=Range(1, 8), sweep=(1, 2)
    )
    act_planes: int = param(
        1, "activation planes that a cell takes in one cycle; at most their bits", legal=Range(1, 8), sweep=(1, 2)
    )

    row_per_phase: ClassVar[bool] = True

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """``acts bipolarN`` is scheme bipolar unless one is named, and weights of one bit by ``acts intN`` are signed;
        scheme bipolar has activations of as many bits as weights unless they are named.
        """
        given = dict(values)
        if str(given.get("acts", "")).startswith("bipolar"):
            given.setdefault("scheme", "bipolar")
        elif "acts" in given and whole(given.get("bits")) == 1:
            given.setdefault("scheme", "symmetric")
        given = super().aliases(given)
        if given.get("scheme") == "bipolar":
            given.setdefault("acts", f"bipolar{given.get('bits', cls.parameters()['bits'].default)}")
        return given

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        signs, bits = p["acts"].startswith("bipolar"), cls._act_bits(p)
        yield (
            not signs or cls._signs(p),
            "scheme must be bipolar with acts {acts}, not {scheme}; signs are multiplied by signs",
        )
        yield (
            signs or not cls._signs(p),
            "acts must be bipolarN with scheme bipolar, not {acts}; signs are multiplied by signs",
        )
        yield p["weight_planes"] <= p["bits"], "weight_planes must be at most bits ({bits}), not {weight_planes}"
        yield p["act_planes"] <= bits, f"act_planes must be at most the bits of acts ({bits}), not {{act_planes}}"
        yield (
            (p["bits"] % p["weight_planes"] == 0) | (not signs),
            "weight_planes must divide bits ({bits}) with scheme bipolar, not {weight_planes}; "
            "a plane of signs cannot be empty",
        )
        yield (
            (bits % p["act_planes"] == 0) | (not signs),
            f"act_planes must divide the bits of acts ({bits}) with scheme bipolar, not {{act_planes}}; "
            "a plane of signs cannot be empty",
        )
