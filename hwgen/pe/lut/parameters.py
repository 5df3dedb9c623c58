"""What a lut tile is made with: parameters, what goes together, formats and modes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hwgen.formats import Format, get
from hwgen.frame.facts import P, Quantization
from hwgen.frame.param import Range, again, param
from hwgen.pe._aligned import FLOATS, AlignedSpec
from hwgen.pe._fp32_sum import Fp32SumSpec

__all__ = ["LutParameters"]


@dataclass(frozen=True, kw_only=True)
class LutParameters(Fp32SumSpec, AlignedSpec):
    """What a lut tile is made with: parameters, what goes together, formats and modes."""

    title: ClassVar[str] = "LUT tensor core"

    n: int = again(AlignedSpec, "n", default=64)
    k: int = param(4, "activations per table", legal=Range(2, 8), sweep=(2, 4, 8))
    tables: int = param(
        1,
        "tables that a cell looks up at once and adds before the plane's shift; a step takes k activations of each",
        legal=Range(1, 8),
        sweep=(1, 2, 4),
    )
    bits: int = param(
        2,
        "weight width: bit planes; 1.58 is ternary in two planes",
        legal=Range(1, 8),
        sweep=(1, 2, 3, 4, 8),
        unit="bit",
    )
    acts: str = again(AlignedSpec, "acts", sweep=("int8", "int16", *FLOATS))
    scheme: str = param(
        "asymmetric",
        "weights: unsigned with an integer zero point or a float minimum, signed, or odd integers without zero, or "
        "-1, 0 and 1 by their mean",
        legal=("asymmetric", "minimum", "symmetric", "bipolar", "ternary"),
        sweep=("asymmetric", "bipolar"),
    )
    planes_per_cycle: int = param(
        1, "planes that a cell looks up in one cycle; divides bits", legal=Range(1, 8), sweep=(1, 2)
    )
    planes: str = param(
        "bipolar",
        "planes of ±1, or plain weight bits with full tables",
        legal=("bipolar", "twos_complement"),
        sweep=("bipolar", "twos_complement"),
    )
    symmetry: str = param(
        "half", "store half of the table and negate, or all of it", legal=("half", "none"), sweep=("half", "none")
    )
    negation: str = param(
        "offline",
        "complement key bits when weights are packed, or in the column",
        legal=("offline", "runtime"),
        sweep=("offline", "runtime"),
    )
    precompute: str = param(
        "internal",
        "rows build tables, or tables come in",
        legal=("internal", "external"),
        sweep=("internal", "external"),
    )
    # Floating-point cells have their own tests, on the smallest tiles: a row builds its tables of FP32 adders.
    adder_stages: int = again(Fp32SumSpec, "adder_stages", sweep=())
    interleave: str = again(Fp32SumSpec, "interleave", sweep=())
    cell: str = param(
        "aligned",
        "cells that add integers (floating-point activations are aligned), or FP32 numbers",
        legal=("aligned", "fp_add"),
    )
    entries: str = param(
        "native",
        "table entries of full width, or bytes with a scale for each table",
        legal=("native", "int8"),
        sweep=("native", "int8"),
    )
    entry_rule: str = param(
        "pow2",
        "scale of byte entries: a power of two, or the largest entry / 127",
        legal=("pow2", "max127"),
        sweep=("pow2", "max127"),
    )
    col_per_phase: ClassVar[bool] = True

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        given = super().aliases(values)
        # Plain bits have no ±1: there one bit keeps the scheme of all widths.
        if "scheme" not in values and given.get("planes") == "twos_complement" and given.get("scheme") == "bipolar":
            del given["scheme"]
        return given

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        yield (
            p["bits"] % p["planes_per_cycle"] == 0,
            "planes_per_cycle must divide bits ({bits}), not {planes_per_cycle}",
        )
        plain = p["planes"] == "twos_complement"
        yield (
            not plain or p["symmetry"] == "none",
            "symmetry must be none with planes twos_complement, not {symmetry}; plain bits have no mirrored half",
        )
        yield (
            not plain or p["scheme"] != "bipolar",
            "scheme must be asymmetric, minimum, symmetric or ternary with planes twos_complement, not {scheme}",
        )
        yield (
            p["symmetry"] == "half" or p["negation"] == "offline",
            "negation must be offline with symmetry none, not {negation}; a full table has no complemented keys",
        )
        yield (
            not (cls._steps_align_of(p) and p["precompute"] == "external"),
            "align_scope must be group or row with precompute external, not {align_scope}; "
            "a table port carries no exponent",
        )
        yield from cls._cell_constraints(p)
        yield (
            p["entries"] == "native" or not plain,
            "planes must be bipolar with entries int8, not {planes}; a table of ±1 sums has one largest entry",
        )
        yield (
            p["entries"] == "int8" or p["entry_rule"] == "pow2",
            "entry_rule must be pow2 with entries native, not {entry_rule}; use --entries int8",
        )
        yield (
            p["entry_rule"] == "pow2" or p["precompute"] == "external",
            "precompute must be external with entry_rule max127, not {precompute}; rows have no dividers",
        )

    @classmethod
    def _cell_constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        adds = cls.fp32_sums(p)
        yield (
            not adds or p["acts"] in FLOATS,
            f"acts must be {', '.join(FLOATS[:-1])} or {FLOATS[-1]} with cell fp_add, not {{acts}}",
        )
        yield (
            not adds or p["entries"] == "native",
            "entries must be native with cell fp_add, which looks up FP32 numbers, not {entries}",
        )
        yield (
            not adds or cls._sums_are_wanted(p),
            "scheme must be bipolar, or symmetric or ternary with planes twos_complement, with cell fp_add, "
            "not {scheme}; to subtract an activation sum that was rounded apart would lose the digits that both share",
        )

    @classmethod
    def _sums_are_wanted(cls, p: P) -> bool:
        """Whether a tile's sums need no correction by the activation sum."""
        return bool(p["scheme"] == "bipolar" or (p["planes"] == "twos_complement" and cls.signed_weights(p)))

    @staticmethod
    def _bytes(p: P) -> bool:
        return bool(p["entries"] == "int8")

    @property
    def weight_format(self) -> Format:
        kind = "int" if self.signed_weights(self.p) else "bipolar" if self.scheme == "bipolar" else "uint"
        return get(f"{kind}{self.bits}")

    @property
    def _halved(self) -> int:
        """1 where sums count in halves, because planes of ±1 stand for plain bits."""
        return 1 if self.planes == "bipolar" and self.scheme != "bipolar" else 0

    @property
    def row_lsb_exp(self) -> int:
        return self.lsb_exp + self._halved

    @property
    def lsb_exp(self) -> int:
        return self._act_lsb_exp - self._halved

    def quantization(self) -> Quantization:
        return Quantization(
            **self._act_quantization(),
            weights=self.weight_format.name,
            scheme=self.scheme,
            group=self.group,
            weight_scale=self.weight_scale,
            **self._arithmetic(),
        )

    def _arithmetic(self) -> dict[str, Any]:
        """Name and settings of the golden layer's arithmetic."""
        if self.fp32_sums(self.p):
            partials = self.adder_stages if self.folds else 1
            options = {
                "interleave": partials,
                "planes": self.planes,
                "planes_per_cycle": self.planes_per_cycle,
                "tables": self.tables,
            }
            return {"arithmetic": "fp32_table", "options": tuple(options.items())}
        if self._bytes(self.p):
            return {"arithmetic": "int8_table", "options": (("rule", self.entry_rule), ("tables", self.tables))}
        return {}

    @property
    def zero_values(self) -> range:
        top = 1 << self.bits
        return range(top) if self.planes == "twos_complement" else range(1 - top, top, 2)
