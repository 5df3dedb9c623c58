"""What a codebook tile is made with: parameters, what goes together, formats and modes."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hwgen.errors import HwgenError
from hwgen.formats import LEARNED_BITS, Format, FormatFile, TableFormat, fixed_point, get, value_table
from hwgen.formats.file import kept_name
from hwgen.frame.facts import Counts, P, Quantization, Side
from hwgen.frame.param import Range, again, param
from hwgen.frame.primitives import for_each
from hwgen.frame.spec import TileSpec
from hwgen.pe._aligned import AlignedProductsSpec, AlignedSpec
from hwgen.pe._scaled import WEIGHT_SCALES
from hwgen.quantize import signed_scheme

__all__ = ["CodebookParameters", "learned", "table_facts", "table_of"]


BITS = {"1.25": "ternary_3of4", 2: "int2", 3: "e2m0", 4: "nf4", 5: "e2m2"}
"""Format that ``bits`` stands for."""

_WIDEST = 5


@functools.cache
def table_of(weights: str, bits: int) -> tuple[tuple[int, ...], ...] | None:
    """`value_table` of a weight format in fixed point; None where its values do not fit the bits."""
    form = fixed_point(get(weights), bits)
    tables = None if form is None else value_table(form)
    if form is None or tables is None:
        return None
    return tuple(tuple(int(np.ldexp(value, -form.lsb_exp)) for value in table) for table in tables)


def learned(p: P) -> bool:
    """Whether values are given with the codes, and are no part of the tile."""
    form = get(p["weights"])
    return isinstance(form, TableFormat) and form.learned


def table_facts(p: P) -> Counts:
    """Of a tile's values: ``fits`` whether they do, ``low`` and ``high`` their ends."""

    def facts(bits: int) -> Counts:
        if learned(p):
            half = 1 << (LEARNED_BITS - 1)
            return {"fits": int(bits >= LEARNED_BITS), "low": -half, "high": half - 1}
        tables = table_of(p["weights"], bits)
        if tables is None:
            return {"fits": 0, "low": -1, "high": 1}
        return {"fits": 1, "low": min(map(min, tables)), "high": max(map(max, tables))}

    return for_each(facts, p["value_bits"])


@dataclass(frozen=True, kw_only=True)
class CodebookParameters(AlignedProductsSpec):
    """What a codebook tile is made with: parameters, what goes together, formats and modes."""

    title: ClassVar[str] = "any codebook of up to 5 bits"

    m: int = again(TileSpec, "m", sweep=(1, 2))
    n: int = again(TileSpec, "n", sweep=(2, 4))
    acts: str = again(AlignedSpec, "acts", sweep=("int8", "fp16", "bf16"))
    weights: str = param(
        "nf4",
        "weight format of at most 5 bits by name: codebook, table, one with special values by a selector, or another",
        sweep=("nf4", "fp4_e2m1", "razer_fp4", "any4"),
    )
    value_bits: int = param(
        8,
        "widest values in fixed point: those of a format that do not fit are scaled and rounded to integers that do",
        legal=Range(2, 16),
        sweep=(6, 8),
        unit="bit",
    )
    scheme: str = again(AlignedSpec, "scheme", default="codebook", sweep=(), legal=("codebook",))
    weight_scale: str = again(AlignedSpec, "weight_scale", legal=WEIGHT_SCALES)

    cell_uses_phase: ClassVar[bool] = False
    golden_overflow: ClassVar[bool] = True
    NOT_IN_BLOCKS: ClassVar[frozenset[str]] = TileSpec.NOT_IN_BLOCKS | {"value_bits"}

    def __post_init__(self) -> None:
        if isinstance(self.weights, str):
            object.__setattr__(self, "weights", kept_name(self.weights))
        given: object = self.weights
        form = get(given) if isinstance(given, str) else None
        if form is not None and form.min_value >= 0:
            raise HwgenError(
                f"codebook: weights must have negative values, which {form.name} has not; it keeps no zero points"
            )
        if form is None or form.code_bits > _WIDEST or value_table(form) is None or signed_scheme(form) is None:
            raise HwgenError(
                f"codebook: weights must be a format of at most {_WIDEST} bits whose codes are all numbers, such as "
                f"nf4, fp4_e2m1, razer_fp4 or codebook(-4,-1,2,5), not {self.weights!r}"
            )
        super().__post_init__()

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """``bits`` names the weight format by its width."""
        given = dict(values)
        if "bits" in given:
            bits = given.pop("bits")
            if bits not in BITS:
                widths = [str(width) for width in BITS]
                raise HwgenError(f"codebook: bits must be {', '.join(widths[:-1])} or {widths[-1]}, not {bits!r}")
            given.setdefault("weights", BITS[bits])
        if isinstance(given.get("weights"), str):
            given["weights"] = kept_name(given["weights"])
        return super().aliases(given)

    @classmethod
    def values_of_file(cls, form: FormatFile) -> Mapping[str, Any] | None:
        if form.block is not None or form.format.code_bits > _WIDEST or value_table(form.format) is None:
            return None
        found = {"weights": form.canonical, "group": form.group, "weight_scale": form.scale.name}
        usual = cls.parameters()["depth"].default
        return {**found, "depth": form.group} if form.group > usual else found

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        elements = get(p["weights"]).elements
        yield (
            (p["k"] % elements) == 0,
            f"k must be a multiple of {elements}, the weights of a code of {{weights}}, not {{k}}",
        )
        yield (
            table_facts(p)["fits"] == 1,
            "value_bits must keep the values of {weights} apart, not {value_bits}; use a larger --value-bits",
        )
        yield from super().constraints(p)

    @property
    def weight_format(self) -> Format:
        """The format in fixed point: what golden layers decode, too."""
        form = fixed_point(get(self.weights), self.value_bits)
        # Illegal values are described as they were named.
        return get(self.weights) if form is None else form

    @property
    def lsb_exp(self) -> int:
        return self._act_lsb_exp + self.weight_format.lsb_exp

    def quantization(self) -> Quantization:
        return Quantization(
            **self._act_quantization(),
            weights=self.weight_format.name,
            scheme=signed_scheme(self.weight_format) or "codebook",
            group=self.group,
            weight_scale=self.weight_scale,
            **self.bounded_sums(),
        )

    @classmethod
    def side_bits(cls, p: P) -> tuple[Counts, Counts]:
        row, col = super().side_bits(p)
        form = get(p["weights"])
        values: Counts = {"selector": form.side_bits} if form.side_bits else {}
        if learned(p):
            values = {f"value{code}": LEARNED_BITS for code in range(1 << form.code_bits)}
        return row, {**col, **values}

    def col_side(self) -> dict[str, Side]:
        fields = super().col_side()
        if learned(self.p):
            for code in range(1 << self.weight_format.code_bits):
                fields[f"value{code}"] = Side(LEARNED_BITS, f"value of code {code} in the column's group", signed=True)
        elif self.weight_format.side_bits:
            doc = "table of the column's group"
            fields["selector"] = Side(self.weight_format.side_bits, doc)
        return fields
