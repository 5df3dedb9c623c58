"""Parameters that families share: scale formats and post lanes, and for integer sums the weight scheme."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.formats.base import whole
from hwgen.frame.facts import Counts, P, Side
from hwgen.frame.numbers import Num, where
from hwgen.frame.param import Range, param
from hwgen.frame.spec import TileSpec

__all__ = ["SCALES", "UNMEASURED_SCALES", "WEIGHT_SCALES", "LanesSpec", "ScaledSpec"]

_TERNARY = (1.58, "1.58", 1.585, "1.585")
"""Spellings of log2(3) bits, which take two bits in a memory of this design."""

SCALES = ("fp16", "bf16", "e8m0", "fp8_e4m3")
"""Formats that a scale may have."""

WEIGHT_SCALES = (*SCALES, "fp32")
"""Formats of weight scales in families with exact sums: K-blocks of GGUF have scales of up to 19 significant bits."""

UNMEASURED_SCALES = frozenset(WEIGHT_SCALES) - frozenset(SCALES)
"""Formats of scales that tiles of calibrations do not have."""


@dataclass(frozen=True, kw_only=True)
class LanesSpec(TileSpec):
    """A tile with a scale for each row and each column and group, and with post lanes that multiply by them."""

    post_lanes: int = param(
        0,
        "lanes that scale group sums and accumulate them in FP32, groups wait where they are too few; 0 gives raw sums",
        legal=Range(0, 1024),
        sweep=(0, 2),
    )
    post_cuts: int = param(
        0,
        "registers more on every way through a post lane, where the fewest bits cross",
        legal=Range(0, 12),
        sweep=(0, 2),
        cuts=("post",),
    )
    post_adder_stages: int = param(
        1,
        "cycles of the FP32 adders of post lanes: a group keeps them busy as many cycles more",
        legal=Range(1, 8),
        sweep=(1, 3),
        unit="cycles",
        cuts=("post",),
        loop=True,
    )
    act_scale: str = param("bf16", "format of the activation scale of a row", legal=SCALES)
    weight_scale: str = param("fp16", "format of the weight scale of a group", legal=SCALES)

    @classmethod
    def side_bits(cls, p: P) -> tuple[Counts, Counts]:
        act_scale, weight_scale = (get(name).code_bits for name in cls.scale_formats(p))
        return (
            {"scale": where(p["post_lanes"] > 0, act_scale, 0)},
            {"scale": where(p["post_lanes"] > 0, weight_scale, 0)},
        )

    def row_side(self) -> dict[str, Side]:
        if not self.lanes:
            return {}
        bits, _ = self.side_bits(self.p)
        form = self.scale_formats(self.p)[0]
        return {"scale": Side(int(bits["scale"]), f"scale of the row's activations, {form}", encoding=form)}

    def col_side(self) -> dict[str, Side]:
        if not self.lanes:
            return {}
        _, bits = self.side_bits(self.p)
        form = self.scale_formats(self.p)[1]
        return {"scale": Side(int(bits["scale"]), f"scale of the column's group, {form}", encoding=form)}


@dataclass(frozen=True, kw_only=True)
class ScaledSpec(LanesSpec):
    """A tile whose sums are integers: raw at the output, or scaled and accumulated in FP32 by post lanes."""

    scheme: str = param("symmetric", "integer weight scheme", legal=("symmetric", "asymmetric", "minimum"))

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        yield (
            (p["post_lanes"] == 0) | (p["scheme"] != "minimum"),
            "post_lanes must be 0 with the float minimum of scheme minimum, not {post_lanes}; "
            "scale its sums in software",
        )
        yield (
            (p["scheme"] != "ternary") | (p["bits"] == 2) if "bits" in p else True,
            "bits must be 2 with scheme ternary, not {bits}; its codes are 3, 0 and 1",
        )

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """``bits`` 1.58 is scheme ternary in two bits; weights of one bit are ±1 (bipolar) unless a scheme is named."""
        given, schemes = dict(values), cls.parameters()["scheme"].legal
        assert isinstance(schemes, tuple)
        bits = given.get("bits")
        if isinstance(bits, str | float) and bits in _TERNARY and "ternary" in schemes:
            if given.setdefault("scheme", "ternary") != "ternary":
                raise HwgenError(f"{cls.family}: scheme must be ternary with bits 1.58, not {given['scheme']}")
            given["bits"] = 2
        elif given.get("scheme") == "ternary":
            given.setdefault("bits", 2)
        elif whole(bits) == 1 and "bipolar" in schemes:
            given.setdefault("scheme", "bipolar")
        return given

    @staticmethod
    def signed_weights(p: P) -> bool:
        """Whether weights are two's complement: ternary ones are two bits of which -2 is not used."""
        return bool(p["scheme"] in ("symmetric", "ternary"))

    @property
    def has_zero(self) -> bool:
        """Whether the wanted sum needs a zero-point correction by the activation sum."""
        return self.has_row_sums

    @property
    def zero_values(self) -> range:
        """Values that the zero-point side information may have."""
        raise NotImplementedError

    @classmethod
    def zero_width(cls, p: P) -> Num:
        """Bits of the signed zero-point side information."""
        raise NotImplementedError

    @classmethod
    def side_bits(cls, p: P) -> tuple[Counts, Counts]:
        row, col = super().side_bits(p)
        if cls.row_sum_range(p) is not None:
            col["zero"] = where(p["post_lanes"] > 0, cls.zero_width(p), 0)
        return row, col

    @classmethod
    def stored_side_bits(cls, p: P) -> tuple[Counts, Counts]:
        row, col = super().stored_side_bits(p)
        if "zero" in col:
            # The port takes a signed number that follows from the zero point, or from the scheme alone.
            zero = cls.zero_width(p) - 1 if p["scheme"] == "asymmetric" else 0
            col["zero"] = where(p["post_lanes"] > 0, zero, 0)
        return row, col

    def col_side(self) -> dict[str, Side]:
        fields = super().col_side()
        if fields and self.has_zero:
            bits = int(self.side_bits(self.p)[1]["zero"])
            doc = "zero point that multiplies the activation sum"
            fields["zero"] = Side(bits, doc, signed=True, values=self.zero_values)
        return fields
