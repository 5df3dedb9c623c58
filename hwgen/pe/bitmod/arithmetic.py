"""The reference arithmetic of a bitmod tile, and what the manifest says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.arith import (
    FloatLayout,
    booth_reference,
    scale_round_reference,
    two_terms_reference,
    unpack_reference,
)
from hwgen.formats import BitmodFormat, QTensor, get
from hwgen.formats.bitmod import MAGNITUDE_BITS
from hwgen.pe.bitmod.formulas import BSIG_BITS, PORT_BITS, BitmodFormulas
from hwgen.pe.bitmod.parameters import FIRST_FP, SCALE_BITS, WIDTHS

__all__ = ["BitmodArithmetic"]


@dataclass(frozen=True, kw_only=True)
class BitmodArithmetic(BitmodFormulas):
    """The reference arithmetic of a bitmod tile, and what the manifest says of it."""

    @property
    def weight_port_meaning(self) -> str:
        return "integers sign-extended to 8 bits, FP4 codes in bits 3 to 0, FP3 codes in bits 3 to 1 above a bit 0 of 0"

    def weight_packing(self, mode: int) -> dict[str, Any]:
        form, width = self.mode_formats(mode)[1], WIDTHS[mode]
        if mode < FIRST_FP:
            return self.plain_packing(form, fill="sign")
        lsb = 4 - width
        unused: dict[str, Any] = {"ignored_bits": [4, 5, 6, 7]}
        if lsb:
            unused["zero_bits"] = list(range(lsb))
        return self.plain_packing(form, 1, lsb, **unused)

    def arithmetic(self, mode: int) -> dict[str, Any]:
        form = self.mode_formats(mode)[1]
        digits = mode < FIRST_FP
        found: dict[str, Any] = {
            "kind": "terms",
            "definition": "weights are sums of terms sign * 2**exp * 2**bsig in halves, one a cycle, lowest phase "
            "first; an update adds one term of each weight of the step",
            "acts": {"encoding": self.acts, "specials": "largest finite value"},
            "weights": {
                "encoding": form.name,
                "terms": "booth" if digits else "leading ones",
                "phases": int(self.cycles_per_step(self.p, mode)),
                "definition": "radix-4 Booth digit d of phase p: bits 2p + 1 to 2p - 1 of the two's complement (bit -1 "
                "is 0) give -2 to 2; exp 1 for 2, bsig 2p + 1; digit 0 is no term"
                if digits
                else "the magnitude in halves: phase 0 its leading one with exp one less than its place and bsig 1, "
                "phase 1 the next one with exp its place and bsig 0; a leading one in place 0 comes in phase 1",
                "special": None if digits else "i_col_special",
            },
            "unit_exp": self.lsb_exp,
        }
        if not self._floating(self.p):
            return {**found, "sum": "exact", "accumulator": self.accumulator_rule()}
        return {
            **found,
            "step": {
                "guard_bits": self.guard_bits,
                "definition": "e_k is the activation's exponent field (subnormals 1) plus the term's exp, 0 without a "
                "term; e = max e_k; d is the sum over k of +-((significand * 2**guard_bits) >> (e - e_k)), magnitudes "
                "cut off; the update is d * 2**(e + bsig)",
                "dot_bits": int(self._dot_bits(self.p)),
            },
            **self._sum_description(),
        }

    def _sum_description(self) -> dict[str, Any]:
        if not self._normalised(self.p):
            return {"sum": "exact", "accumulator": self.accumulator_rule()}
        return {
            "sum": "normalised",
            "accumulator": {
                "mantissa_bits": self.acc_mantissa,
                "frame_bits": int(self._frame_bits(self.p)),
                "depth": self.depth,
                "definition": "a sum is (M, E), M of mantissa_bits; d stands on top of a frame of frame_bits at "
                "exponent e + bsig + dot_bits - 1, M on top of one at E; the one with the lower exponent is shifted "
                "right by the difference, rounded down; their sum (one bit more) loses its repeated sign bits, s of "
                "them, and is cut to its mantissa_bits top bits, rounded down; E = the larger exponent + 1 - s. Zero "
                "is M = E = 0; d = 0 changes nothing, and a group starts from zero",
                "partials": int(self.ring_stages(self.p)),
                "fold": "update u of a group is added to partial sum u mod partials; at the end, with U updates, the "
                "partial sums from number U mod partials on, in turn, are added in a balanced tree (first + second, "
                "third + fourth, then sums of sums; an odd one waits for the next level), as a d that stands on top of "
                "the frame at the exponent of the sum that it is",
            },
        }

    def own_encodings(self) -> dict[str, dict[str, Any]]:
        bits = MAGNITUDE_BITS
        return {"sign_magnitude": {"kind": "sign_magnitude", "bits": bits + 1, "exponent": -1, "most_ones": 2}}

    def sum_encoding(self) -> dict[str, Any]:
        if not self._normalised(self.p):
            return super().sum_encoding()
        exponent = int(self._acc_exponent_bits(self.p))
        return {
            "kind": "mantissa_exponent",
            "mantissa_bits": self.acc_mantissa,
            "exponent_bits": exponent,
            "unit_exp": self.lsb_exp,
            "definition": "M in two's complement in the lowest bits, E above; M * 2**E * 2**unit_exp",
        }

    def post_arithmetic(self) -> dict[str, Any]:
        return {
            **super().post_arithmetic(),
            "definition": "the exact product of group sum, integer scale and 2**unit_exp, rounded once into FP32; "
            "products of an output's groups are added in FP32, in order, from +0",
            "row_scale": None,
            "specials": "zero gives +0",
        }

    def side_values(self, name: str, tensor: QTensor) -> np.ndarray:
        if name != "special":
            return super().side_values(name, tensor)
        form = tensor.format
        if not isinstance(form, BitmodFormat) or tensor.selector is None:
            # Integers have no special value.
            return np.zeros_like(tensor.scale_codes)
        values = np.array(form.specials)[tensor.selector]
        words: np.ndarray = (2 * np.abs(values)).astype(np.int64) | np.where(values < 0, 1 << MAGNITUDE_BITS, 0)
        return words

    def pack_weights(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        words = np.asarray(codes).astype(np.int64)
        if mode < FIRST_FP:
            width = WIDTHS[mode]
            return ((words ^ (1 << (width - 1))) - (1 << (width - 1)) & ((1 << PORT_BITS) - 1)).astype(np.uint32)
        # An FP3 code and a zero below it are the FP4 code of the same value.
        return (words << (4 - WIDTHS[mode])).astype(np.uint32)

    def _weight_terms(
        self, codes: np.ndarray, special: np.ndarray, mode: int
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
        """(sign, man, exp, bsig) of each phase; arrays of the shape of ``codes`` [..., N, K]."""
        if mode < FIRST_FP:
            width = WIDTHS[mode]
            digits = booth_reference(get(f"int{width}").fixed(codes), width)
            return [
                (digits.sign[phase], digits.man[phase], digits.exp[phase], 2 * phase + 1)
                for phase in range(len(digits.man))
            ]
        words = np.asarray(codes).astype(np.int64) << (4 - WIDTHS[mode])
        form = BitmodFormat(code_bits=4)
        magnitude = (2 * np.array(form.basic)).astype(np.int64)[words & 7]
        replaced = words == form.special_code
        value = np.broadcast_to(special[..., None], words.shape)
        magnitude = np.where(replaced, value & ((1 << MAGNITUDE_BITS) - 1), magnitude)
        sign = np.where(replaced, value >> MAGNITUDE_BITS, words >> 3)
        first, second = two_terms_reference(magnitude, MAGNITUDE_BITS)
        return [(sign, first.man, first.exp, 1), (sign, second.man, second.exp, 0)]

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        """Integers, or for a normalised accumulator e, bsig and d, from the lowest bits up."""
        phases = self._weight_terms(weights, np.asarray(col["special"], dtype=np.int64), mode)
        if not self._floating(self.p):
            a = self.act_format.fixed(acts)
            found = []
            for sign, man, exp, bsig in phases:
                factor = np.where(sign == 1, -man, man) << exp
                found.append(np.einsum("...mk,...nk->...mn", a, factor) << bsig)
            return np.stack(found)[..., None]
        fields = unpack_reference(acts, self.act_format, normalise=False)
        a_sign, a_exp, a_sig = (part[..., :, None, :] for part in (fields.sign, fields.exponent, fields.significand))
        found = []
        for sign, man, exp, bsig in phases:
            w_sign, w_man, w_exp = (part[..., None, :, :] for part in (sign, man, exp))
            exponent = np.where(w_man == 1, a_exp + w_exp, 0)
            top = exponent.max(axis=-1)
            distance = np.minimum(top[..., None] - exponent, 63)
            magnitude = (a_sig << self.guard_bits) * w_man >> distance
            total = np.where(a_sign ^ w_sign == 1, -magnitude, magnitude).sum(axis=-1)
            if self._normalised(self.p):
                found.append((((total << BSIG_BITS) + bsig) << self._match_bits(self.p)) + top)
            else:
                found.append(total.astype(self.sum_dtype) << (top + bsig).astype(self.sum_dtype))
        return np.stack(found)[..., None]

    def fields(self, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(M, E) of code words."""
        half = 1 << (self.acc_mantissa - 1)
        mantissa = (words & (2 * half - 1) ^ half) - half
        return mantissa, words >> self.acc_mantissa

    def accumulate(self, sums: np.ndarray, term: np.ndarray) -> np.ndarray:
        if not self._normalised(self.p):
            return super().accumulate(sums, term)
        match, frame, dot_bits = self._match_bits(self.p), int(self._frame_bits(self.p)), int(self._dot_bits(self.p))
        exponent, rest = term & ((1 << match) - 1), term >> match
        bsig, total = rest & ((1 << BSIG_BITS) - 1), rest >> BSIG_BITS
        return self._add(sums, total << (frame - dot_bits), exponent + bsig + dot_bits - 1)

    def add_partials(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        mantissa, exponent = self.fields(right)
        return self._add(left, mantissa << (int(self._frame_bits(self.p)) - self.acc_mantissa), exponent)

    def _add(self, sums: np.ndarray, total: np.ndarray, level: np.ndarray) -> np.ndarray:
        """Code words of sums plus ``total`` in a frame whose top place has the exponent ``level``."""
        width, frame = self.acc_mantissa, int(self._frame_bits(self.p))
        mantissa, held = self.fields(sums)
        level = np.where(total == 0, held, level)
        highest = np.maximum(level, held)
        parts = (mantissa << (frame - width)) >> np.minimum(highest - held, 63)
        added: np.ndarray = parts + (total >> np.minimum(highest - level, 63))
        # Places that only repeat the sign: all of zero and of −1.
        spare = frame - np.frexp((added ^ (added >> 1)).astype(np.float64))[1].astype(np.int64)
        kept = (added << spare) >> (frame + 1 - width)
        new = np.where(added == 0, 0, highest + 1 - spare)
        result: np.ndarray = (new << width) | (kept & ((1 << width) - 1))
        return result

    def scale_sums(
        self,
        sums: np.ndarray,
        rows: np.ndarray,
        row_scale: np.ndarray,
        col_scale: np.ndarray,
        zero: np.ndarray | None,
    ) -> np.ndarray:
        """FP32 codes of group sums times int8 scales; activations' scales are 1."""
        scale = get("int8").fixed(col_scale)[..., None, :]
        if not self._normalised(self.p):
            # The product has 8 bits more than the sum.
            wide = sums if int(self.acc_bits(self.p)) + SCALE_BITS < 63 else sums.astype(object)
            return scale_round_reference(wide * scale, 0, None, 0, None, self.lsb_exp)
        mantissa, exponent = self.fields(sums)
        return scale_round_reference(mantissa * scale, exponent, self._exponent_layout(), 0, None, self.lsb_exp)

    def _exponent_layout(self) -> FloatLayout:
        """An accumulator's exponent as a power-of-two scale."""
        bits = int(self._acc_exponent_bits(self.p))
        return FloatLayout(exponent_bits=bits, mantissa_bits=0, bias=0, signed=False, subnormals=False)
