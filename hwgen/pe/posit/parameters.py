"""What a posit tile is made with: parameters, what goes together, formats and modes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from hwgen.errors import HwgenError
from hwgen.formats import Format, PositFormat, get
from hwgen.frame.facts import Mode, P, Quantization
from hwgen.frame.param import Range, again, param
from hwgen.frame.spec import TileSpec
from hwgen.pe._scaled import ScaledSpec

__all__ = ["PositParameters"]


QUARTERS = 4
"""Segments of a lane's datapath."""


class _Simd(NamedTuple):
    """A run-time mode of a SIMD tile: format, operands a lane, and the shift that brings it to the shared unit."""

    name: str
    format: str
    parts: int
    align: int


# Parts have units of minpos² of posit8_0, 2**-12, in all modes with several; the rows bring the others to it.
SIMD = (
    _Simd("p16", "posit16_1", 1, 0),
    _Simd("p8", "posit8_0", 2, 0),
    _Simd("p4", "posit4_1", 4, 4),
    _Simd("fp4", "fp4_e2m1", 4, 10),
)

WIDE, PART = get("posit16_1"), get("posit8_0")

SIMD_MODES = {mode.name: index for index, mode in enumerate(SIMD)}

XR_NPE_BITS, _XR_NPE_DEPTH = 32, 127


def is_simd(p: P) -> bool:
    return bool(p["format"] == "simd")


def along_n(p: P) -> bool:
    return bool(p["format"] == "simd" and p["simd_along"] == "n")


@dataclass(frozen=True, kw_only=True)
class PositParameters(ScaledSpec):
    """What a posit tile is made with: parameters, what goes together, formats and modes."""

    title: ClassVar[str] = "posit and FP4 MAC with an exact quire"

    m: int = again(TileSpec, "m", sweep=(1, 2))
    n: int = again(TileSpec, "n", sweep=(1, 2))
    k: int = param(2, "16-bit lanes of a simd tile, or products per step", legal=Range(1, 64), sweep=(1, 2))
    group: int = again(TileSpec, "group", sweep=(32,))
    depth: int = again(TileSpec, "depth", sweep=(32, 127))
    overflow: str = param("refuse", "a quire does not overflow: longer groups are refused", legal=("refuse",))
    format: str = param(
        "simd",
        "operands: 16-bit lanes that split at run time, one posit format alone, or FP4 (E2M1) alone",
        legal=("simd", "posit", "fp4"),
        sweep=("simd", "posit", "fp4"),
    )
    posit_bits: int = param(8, "width of the posits of format posit", legal=Range(2, 16), sweep=(4, 8, 16), unit="bit")
    es: int = param(0, "exponent bits of the posits of format posit", legal=Range(0, 3), sweep=(0, 1, 2), unit="bit")
    operands: str = param(
        "p8",
        "mode in which layers run on a simd tile",
        legal=tuple(mode.name for mode in SIMD),
        sweep=tuple(mode.name for mode in SIMD),
    )
    simd_along: str = param(
        "k",
        "parts of a simd lane: products of one sum, or of sums of their own with the activation broadcast",
        legal=("k", "n"),
        sweep=("k", "n"),
    )
    quire: str = param(
        "exact",
        "width of the quire: as depth needs, or 128 / 4 x 32 bit",
        legal=("exact", "xr_npe"),
        sweep=("exact", "xr_npe"),
    )
    readout: str = param(
        "fp32", "results of post lanes", legal=("fp32", "fp16", "posit"), sweep=("fp32", "fp16", "posit")
    )
    scheme: str = param("posit", "scaled posits, the largest near 1; FP4 scaled to its largest value", legal=("posit",))
    act_scale: str = again(ScaledSpec, "act_scale", default="e8m0", sweep=("e8m0", "bf16"))
    weight_scale: str = again(ScaledSpec, "weight_scale", default="e8m0")

    cell_uses_phase: ClassVar[bool] = False
    col_per_phase: ClassVar[bool] = False
    NOT_IN_BLOCKS: ClassVar[frozenset[str]] = TileSpec.NOT_IN_BLOCKS | {"posit_bits", "es", "operands"}

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """``bits`` is the weight width: the mode of layers for simd, or the posit's width with its usual es.

        The preset xr_npe brings the depth that it has room for, and groups that fit it.
        """
        given = dict(values)
        if given.get("quire") == "xr_npe":
            given.setdefault("depth", _XR_NPE_DEPTH)
            given.setdefault("group", 64)
        if "bits" not in given:
            return given
        bits, kind = given.pop("bits"), given.get("format", "simd")
        if kind == "simd":
            if bits == 4 and given.get("operands") not in ("p4", "fp4"):
                raise HwgenError("posit: bits 4 is p4 or fp4; use --operands p4 or --operands fp4")
            if bits not in (4, 8, 16):
                raise HwgenError(f"posit: bits must be 4, 8 or 16 with format simd, not {bits!r}; try --format posit")
            if bits != 4:
                given.setdefault("operands", f"p{bits}")
        elif kind == "posit":
            given.setdefault("posit_bits", bits)
            given.setdefault("es", {4: 1, 16: 1}.get(bits, 0))
        elif bits != 4:
            raise HwgenError(f"posit: bits must be 4 with format fp4, not {bits!r}")
        return given

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        simd = is_simd(p)
        yield simd or p["simd_along"] == "k", "simd_along must be k with format {format}, not n"
        yield simd or p["quire"] == "exact", "quire must be exact with format {format}, not {quire}"
        lanes = p["post_lanes"]
        yield (
            (lanes == 0) | (not along_n(p)),
            "post_lanes must be 0 with simd_along n, not {post_lanes}; scale its sums in software",
        )
        yield (
            (lanes > 0) | (p["readout"] == "fp32"),
            "readout must be fp32 without post lanes, not {readout}; use --post-lanes",
        )
        yield (
            p["format"] != "fp4" or p["readout"] != "posit",
            "readout must be fp32 or fp16 with format fp4, not posit",
        )
        yield (
            p["depth"] >= p["k"] * cls._most_parts(p),
            "depth ({depth}) must hold the products of one step: " + cls._step_hint(p),
        )
        yield (
            (p["depth"] <= _XR_NPE_DEPTH) | (p["quire"] != "xr_npe"),
            f"depth must be at most {_XR_NPE_DEPTH} with quire xr_npe, not {{depth}}",
        )

    @classmethod
    def _step_hint(cls, p: P) -> str:
        return f"use --depth {p['k'] * cls._most_parts(p)}" if not isinstance(p["k"], np.ndarray) else ""

    @classmethod
    def _most_parts(cls, p: P) -> int:
        """Most products of one sum that a lane gives in a step."""
        return QUARTERS if is_simd(p) and p["simd_along"] == "k" else 1

    @property
    def _form(self) -> Format:
        """Format of a tile for one format."""
        return get("fp4_e2m1") if self.format == "fp4" else get(f"posit{self.posit_bits}_{self.es}")

    @property
    def _simd(self) -> bool:
        return self.format == "simd"

    @property
    def layer_mode(self) -> int:
        return SIMD_MODES[self.operands] if self._simd else 0

    def mode_formats(self, mode: int) -> tuple[Format, Format]:
        form = get(SIMD[mode].format) if self._simd else self._form
        return form, form

    @property
    def act_format(self) -> Format:
        return self.mode_formats(self.layer_mode)[0]

    @property
    def weight_format(self) -> Format:
        return self.act_format

    def modes(self) -> tuple[Mode, ...]:
        latency = int(self.latency(self.p))
        if not self._simd:
            name = self._form.name
            return (Mode(name, name, name, self.k, 1, latency),)
        found = []
        for mode in SIMD:
            along = mode.parts if self.simd_along == "k" else 1
            lanes = "one sum per cell" if self.simd_along == "k" else f"{mode.parts} sums per cell in {QUARTERS} words"
            found.append(Mode(mode.name, mode.format, mode.format, self.k * along, 1, latency, lanes))
        return tuple(found)

    def code_columns(self, mode: int) -> tuple[int, int]:
        if not self._simd:
            return self.k, self.k
        parts = SIMD[mode].parts
        return self.k * (parts if self.simd_along == "k" else 1), self.k * parts

    @property
    def _output_format(self) -> Format:
        """Format of the results of post lanes."""
        return get(self.readout) if self.readout != "posit" else (WIDE if self._simd else self._form)

    def quantization(self) -> Quantization:
        return Quantization(
            acts=self.act_format.name,
            weights=self.weight_format.name,
            scheme="posit" if isinstance(self.weight_format, PositFormat) else "element",
            group=self.group,
            act_scale=self.act_scale,
            weight_scale=self.weight_scale,
            step=int(self.layer_k(self.p)),
            arithmetic="posit",
            options=(
                ("output", self._output_format.name),
                ("sum_group", int(self.sum_group(self.p))),
                ("sum_unit", self.lsb_exp if self.simd_along == "k" else self._unit(self.layer_mode)),
                ("nar_word", self._nar),
            ),
        )

    @property
    def sum_meaning(self) -> str:
        nar = "NaR is 100..0" if self.format != "fp4" else "no NaR"
        if not along_n(self.p):
            return f"group sums in units of 2**{self.lsb_exp}, {nar}"
        return f"quarters of the quire in units of 2**{self.lsb_exp} (p16), or sums in units of 2**-12, {nar}"

    @property
    def scales_by_lanes(self) -> bool:
        return self.lanes > 0

    def _unit(self, mode: int) -> int:
        """Exponent of the unit of a mode's sums along N, and of a tile for one format."""
        if not self._simd:
            return 2 * self._form.lsb_exp
        return 2 * (WIDE if SIMD[mode].parts == 1 else PART).lsb_exp

    @property
    def lsb_exp(self) -> int:
        return self._unit(0)

    @property
    def row_lsb_exp(self) -> int:
        # Sums along K have the unit of mode p16 whatever the formats of the layer are.
        return self.act_format.lsb_exp

    @property
    def zero_values(self) -> range:
        return range(1)

    @property
    def result_format(self) -> str:
        return self._output_format.name

    @cached_property
    def _nar(self) -> int:
        """What stands for NaR among sums: 100..0 of all of a cell's words."""
        return -(1 << (int(self.acc_bits(self.p)) * int(self.sums_of_cell(self.p)) - 1))
