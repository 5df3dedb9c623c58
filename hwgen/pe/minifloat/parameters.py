"""What a minifloat tile is made with: parameters, what goes together, formats and modes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hwgen.arith import (
    FloatLayout,
    float_layout,
)
from hwgen.errors import HwgenError
from hwgen.formats import Format, get
from hwgen.formats.minifloat import MinifloatFormat
from hwgen.frame.facts import P, Quantization
from hwgen.frame.param import again, param
from hwgen.frame.spec import TileSpec
from hwgen.pe._fp32_sum import Fp32SumSpec
from hwgen.pe._scaled import WEIGHT_SCALES, LanesSpec

__all__ = ["MinifloatParameters"]


BITS = {16: "fp16", 8: "fp8_e4m3", 6: "fp6_e2m3", 4: "fp4_e2m1"}
"""Format that ``bits`` stands for."""

FRACTION = 23

_WIDEST = 16


@dataclass(frozen=True, kw_only=True)
class MinifloatParameters(Fp32SumSpec, LanesSpec):
    """What a minifloat tile is made with: parameters, what goes together, formats and modes."""

    title: ClassVar[str] = "floating-point MAC of any ExMy by EiMj"

    m: int = again(TileSpec, "m", sweep=(1, 2))
    n: int = again(TileSpec, "n", sweep=(1, 2))
    k: int = again(TileSpec, "k", sweep=(1, 2, 4))
    weights: str = param(
        "fp8_e4m3",
        "weight format: a signed minifloat of at most 16 bits, by name or as ExMy",
        sweep=("fp4_e2m1", "fp6_e3m2", "fp8_e4m3", "fp8_e5m2", "fp16", "bf16"),
    )
    acts: str = param(
        "fp8_e4m3",
        "activation format, likewise",
        sweep=("fp6_e2m3", "fp8_e4m3", "fp8_e5m2", "fp16", "bf16", "e3m0"),
    )
    accumulator: str = param(
        "exact",
        "sums: exact in fixed point, or FP32",
        legal=("exact", "fp32"),
        sweep=("exact", "fp32"),
    )
    weight_scale: str = again(LanesSpec, "weight_scale", legal=WEIGHT_SCALES)

    cell_uses_phase: ClassVar[bool] = False
    golden_overflow: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("acts", "weights"):
            value = getattr(self, name)
            form = get(value) if isinstance(value, str) else None
            if not isinstance(form, MinifloatFormat) or not form.signed or form.code_bits > _WIDEST:
                raise HwgenError(
                    f"{self.family}: {name} must be a signed floating-point format of at most {_WIDEST} bits, such as "
                    f"fp16, bf16, fp8_e4m3 or e3m4, not {value!r}"
                )
        super().__post_init__()

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """``bits`` names the format by its width: of the weights, and of the activations unless they are given."""
        given = dict(values)
        if "bits" in given:
            bits = given.pop("bits")
            if bits not in BITS:
                widths = [str(width) for width in sorted(BITS)]
                raise HwgenError(f"{cls.family}: bits must be {', '.join(widths[:-1])} or {widths[-1]}, not {bits!r}")
            given.setdefault("weights", BITS[bits])
            given.setdefault("acts", given["weights"])
        return given

    @property
    def act_format(self) -> Format:
        return get(self.acts)

    @property
    def weight_format(self) -> Format:
        return get(self.weights)

    def quantization(self) -> Quantization:
        fp32 = self.fp32_sums(self.p)
        return Quantization(
            acts=self.act_format.name,
            weights=self.weight_format.name,
            scheme="element",
            group=self.group,
            act_scale=self.act_scale,
            weight_scale=self.weight_scale,
            step=self.k,
            arithmetic="fp32" if fp32 else "exact",
            options=(("interleave", self.adder_stages if self.interleave == "ring" else 1),) if fp32 else (),
            **self.bounded_sums(),
        )

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        bits = cls._fp32_significand(p)
        yield (
            not cls.fp32_sums(p) or bits <= FRACTION + 1,
            f"significands of acts and weights must have at most {FRACTION + 1} bits together with accumulator fp32, "
            f"not {bits} ({{acts}} and {{weights}}); use accumulator exact",
        )
        yield (
            not cls.fp32_sums(p) or p["weight_scale"] != "fp32",
            "weight_scale must be fp16, bf16, e8m0 or fp8_e4m3 with accumulator fp32, not {weight_scale}",
        )

    @classmethod
    def _fp32_significand(cls, p: P) -> int:
        """Significant bits of a product."""
        return sum(layout.mantissa_bits + 1 for layout in cls._layouts(p))

    @staticmethod
    def _layouts(p: P) -> tuple[FloatLayout, FloatLayout]:
        return float_layout(get(p["acts"])), float_layout(get(p["weights"]))
