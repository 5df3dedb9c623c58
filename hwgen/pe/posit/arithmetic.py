"""The reference arithmetic of a posit tile, and what the manifest says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hwgen.arith import (
    FP32_NAN,
    scale_round_reference,
)
from hwgen.arith.posit import (
    fp32_to_fp16_reference,
    fp32_to_posit_reference,
)
from hwgen.formats import PositFormat, get
from hwgen.frame.facts import State
from hwgen.pe.posit.formulas import LANE_BITS, PositFormulas
from hwgen.pe.posit.parameters import QUARTERS, SIMD, along_n

__all__ = ["PositArithmetic"]


@dataclass(frozen=True, kw_only=True)
class _Words(State):
    """State of a tile whose words depend on the mode: ``sums`` are whole numbers, one a part."""

    mode: int = 0


@dataclass(frozen=True, kw_only=True)
class PositArithmetic(PositFormulas):
    """The reference arithmetic of a posit tile, and what the manifest says of it."""

    @property
    def act_port_meaning(self) -> str:
        return "16-bit lanes, the first code in the lowest bits" if self._simd else super().act_port_meaning

    @property
    def weight_port_meaning(self) -> str:
        return self.act_port_meaning

    def act_packing(self, mode: int) -> dict[str, Any]:
        form = self.mode_formats(mode)[0]
        if not self._simd:
            return self.plain_packing(form)
        parts = SIMD[mode].parts if self.simd_along == "k" else 1
        unused = list(range(parts * form.code_bits, LANE_BITS))
        packing = self.plain_packing(form, parts)
        return {**packing, "ignored_bits": unused} if unused else packing

    def weight_packing(self, mode: int) -> dict[str, Any]:
        return self.plain_packing(self.mode_formats(mode)[1], SIMD[mode].parts if self._simd else 1)

    def arithmetic(self, mode: int) -> dict[str, Any]:
        form = self.mode_formats(mode)[0]
        parts = SIMD[mode].parts if along_n(self.p) else 1
        bits = int(self.acc_bits(self.p))
        found: dict[str, Any] = {
            "kind": "quire",
            "definition": "sum over the group's steps and k of activation times weight, exact; NaR once an operand of "
            "the sum was NaR",
            "acts": {"encoding": form.name},
            "weights": {"encoding": form.name},
            "unit_exp": self._unit(mode) if along_n(self.p) else self.lsb_exp,
            "nar": "100..0" if self.format != "fp4" else None,
            "accumulator": self.accumulator_rule(),
            "outputs": parts,
            "words": {"count": int(self.sums_of_cell(self.p)), "bits": bits, "sums": parts, "every": 1},
        }
        if along_n(self.p):
            found["weight_order"] = "weight k * outputs + j belongs to activation k and output j"
            found["words"] |= {"every": QUARTERS // parts if parts > 1 else 1, "whole": parts == 1}
            found["words"]["definition"] = (
                "the sum is one number of all words, lowest first"
                if parts == 1
                else "word j * every is the sum of output j, the others are 0"
            )
        return found

    def post_arithmetic(self) -> dict[str, Any]:
        found = {**super().post_arithmetic(), "unit_exp": self.lsb_exp}
        if self.format != "fp4":
            found["specials"] = f"NaR gives NaN; {found['specials']}"
        if self.readout != "fp32":
            found["rounding"] = "to odd (cut off, the last bit set where something was lost)"
            found["result"] = "the FP32 result rounded to nearest even into the output's encoding"
        return found

    def _pack(self, codes: np.ndarray, mode: int, parts: int) -> np.ndarray:
        """Codes [..., K · parts] → 16-bit lanes [..., K], ``parts`` codes each."""
        bits = self.mode_formats(mode)[0].code_bits
        grid = np.asarray(codes).reshape(*np.shape(codes)[:-1], -1, parts).astype(np.uint32)
        words: np.ndarray = np.bitwise_or.reduce(grid << (bits * np.arange(parts, dtype=np.uint32)), axis=-1)
        return words

    def pack_acts(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        if not self._simd:
            return codes
        return self._pack(codes, mode, SIMD[mode].parts if self.simd_along == "k" else 1)

    def pack_weights(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        return self._pack(codes, mode, SIMD[mode].parts) if self._simd else codes

    @cached_property
    def _python_integers(self) -> bool:
        """Whether the reference computes in Python integers: sums wider than int64, or of several widths."""
        return along_n(self.p) or self.sum_dtype is object

    def _integers(self, codes: np.ndarray, mode: int) -> tuple[np.ndarray, np.ndarray]:
        """Codes as Python integers of the format's unit (NaR: 0), and which are NaR."""
        form = self.mode_formats(mode)[0]
        values = form.decode(codes)
        nar: np.ndarray = np.isnan(values)
        scaled = np.where(nar, 0.0, values) * 2.0**-form.lsb_exp
        if self._python_integers:
            return np.array([int(v) for v in scaled.ravel()], dtype=object).reshape(scaled.shape), nar
        return scaled.astype(np.int64), nar

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        a, a_nar = self._integers(acts, mode)
        w, w_nar = self._integers(weights, mode)
        parts = SIMD[mode].parts if along_n(self.p) else 1
        sums = []
        for part in range(parts):
            own: np.ndarray = w[..., part::parts]
            own_nar: np.ndarray = np.asarray(w_nar)[..., part::parts]
            row_nar, col_nar = np.asarray(a_nar.any(axis=-1)), np.asarray(own_nar.any(axis=-1))
            nar = row_nar[..., :, None] | col_nar[..., None, :]
            dot = np.matmul(a, np.swapaxes(own, -1, -2)) * (1 << self._raise(mode))
            sums.append(np.where(nar, self._nar, dot))
        if along_n(self.p):
            zero = np.zeros_like(sums[0])
            places = dict(zip(range(0, QUARTERS, QUARTERS // parts), sums, strict=True))
            sums = [places.get(index, zero) for index in range(QUARTERS)]
        return np.stack(sums, axis=-1)[None]

    def _raise(self, mode: int) -> int:
        """Places by which a mode's products are raised to the unit of the sums."""
        if not self._simd:
            return 0
        unit = self.lsb_exp if self.simd_along == "k" else self._unit(mode)
        return 2 * self.mode_formats(mode)[0].lsb_exp - unit

    def accumulate(self, sums: np.ndarray, term: np.ndarray) -> np.ndarray:
        if self.format == "fp4":
            return super().accumulate(sums, term)
        return np.where((sums == self._nar) | (term == self._nar), self._nar, sums + term)

    @property
    def sums_add_up(self) -> bool:
        return self.format == "fp4"

    def step(
        self,
        state: State,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray] | None = None,
        col: Mapping[str, np.ndarray] | None = None,
        mode: int = 0,
    ) -> State:
        after = super().step(state, acts, weights, row, col, mode)
        return _Words(sums=after.sums, rows=after.rows, mode=mode)

    def read(self, state: State) -> np.ndarray:
        if not along_n(self.p):
            return state.sums
        bits = int(self.acc_bits(self.p))
        whole = not isinstance(state, _Words) or SIMD[state.mode].parts == 1

        def word(value: int, index: int) -> int:
            """Two's complement of ``bits`` bits from bit ``index`` of a number, as a signed number."""
            cut = (value >> index) & ((1 << bits) - 1)
            return cut - (cut >> (bits - 1) << bits)

        found = np.zeros(state.sums.shape, np.int64)
        for place in np.ndindex(*state.sums.shape[:-1]):
            values = [int(value) for value in state.sums[place]]
            if whole:
                found[place] = [word(values[0], bits * index) for index in range(QUARTERS)]
            else:
                found[place] = [-(1 << (bits - 1)) if value == self._nar else value for value in values]
        return found

    def layer_sums(self, words: np.ndarray) -> np.ndarray:
        """Raw words [..., P] of a layer's mode → sums of each of a column's outputs [..., L]."""
        if not along_n(self.p):
            return words
        parts, bits = SIMD[self.layer_mode].parts, int(self.acc_bits(self.p))
        if parts > 1:
            own = words[..., :: QUARTERS // parts].astype(object)
            return np.where(own == -(1 << (bits - 1)), self._nar, own)
        wide = words.astype(object)
        limbs = [wide[..., index] & ((1 << bits) - 1) for index in range(QUARTERS - 1)] + [wide[..., -1]]
        total: np.ndarray = sum(limb * (1 << bits * index) for index, limb in enumerate(limbs))
        return total[..., None]

    def scale_sums(
        self,
        sums: np.ndarray,
        rows: np.ndarray,
        row_scale: np.ndarray,
        col_scale: np.ndarray,
        zero: np.ndarray | None,
    ) -> np.ndarray:
        nar = sums == self._nar if self.format != "fp4" else np.zeros(sums.shape, bool)
        scaled = scale_round_reference(
            np.where(nar, 0, sums),
            row_scale[..., :, None],
            get(self.act_scale),
            col_scale[..., None, :],
            get(self.weight_scale),
            self.lsb_exp if self.simd_along == "k" else self._unit(self.layer_mode),
            odd=self.readout != "fp32",
        )
        return np.where(nar, np.uint32(FP32_NAN), scaled)

    def result_codes(self, y: np.ndarray) -> np.ndarray:
        form = self._output_format
        if self.readout == "fp32":
            return y
        return fp32_to_posit_reference(y, form) if isinstance(form, PositFormat) else fp32_to_fp16_reference(y)

    def result_values(self, codes: np.ndarray) -> np.ndarray:
        if self.readout == "fp32":
            return codes
        values = self._output_format.decode(codes).astype(np.float32)
        return np.where(np.isnan(values), np.uint32(FP32_NAN), values.view(np.uint32))
