"""The reference arithmetic of a tile, in numpy: what the hardware must equal bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hwgen.errors import HwgenError
from hwgen.formats import QTensor, get
from hwgen.frame.description import TileDescription
from hwgen.frame.facts import State

__all__ = ["TileArithmetic"]


@dataclass(frozen=True, kw_only=True)
class TileArithmetic(TileDescription):
    """The reference arithmetic of a tile, in numpy: what the hardware must equal bit for bit."""

    def quantize_weights(self, weights: np.ndarray) -> QTensor:
        """Quantise float weights [N, K] as `quantization` says."""
        from hwgen.quantize import weights_for

        return weights_for(self.quantization(), weights)

    def quantize_acts(self, acts: np.ndarray) -> QTensor:
        """Quantise float activations [tokens, K]; the codes are what enters the tile (or its pre block)."""
        from hwgen.quantize import acts_for

        return acts_for(self.quantization(), acts)

    @property
    def sums_add_up(self) -> bool:
        """Whether a sum is that of its terms in any order, but for overflow."""
        return type(self).step is TileArithmetic.step and type(self).accumulate is TileArithmetic.accumulate

    def pack_acts(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        """Activation codes [..., M, K] → port words [..., M, elements]."""
        return codes

    def pack_weights(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        """Weight codes [..., N, K] → port words [..., N, elements]."""
        return codes

    def column_codes(self, weights: QTensor) -> np.ndarray:
        """Code words [rows, words] of a layer's outputs that have codes of their own (`coded_outputs`)."""
        return weights.codes

    def zero_points(self, weights: QTensor) -> np.ndarray | None:
        """What multiplies a row's activation sum in `correct`, int64 [N, G]; None where nothing does."""
        if not self.has_row_sums:
            return None
        if weights.zero_kind != "integer" or weights.zero is None:
            return np.zeros((len(weights.codes), 1), np.int64)
        return np.asarray(weights.zero, dtype=np.int64)

    def side_values(self, name: str, tensor: QTensor) -> np.ndarray:
        """Side information ``name`` of a quantised operand, [rows or 1, G or 1].

        Raises `HwgenError` for a field that the tensor does not have.
        """
        if name == "scale":
            return tensor.scale_codes
        if name == "zero":
            zeros = self.zero_points(tensor)
            assert zeros is not None
            return zeros
        if tensor.selector is None:
            raise HwgenError(f"{self.family}: side information {name!r} needs a tensor with a selector per group")
        return tensor.selector

    def sum_scales(self, weights: QTensor) -> np.ndarray:
        """Codes of the scales, of format `Quantization.weight_scale`, that a layer's sums are multiplied by,
        [N or 1, G or 1] for its G sums.
        """
        return weights.scale_codes

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        """What a step adds, phase by phase.

        Parameters: ``acts`` codes [..., M, K], ``weights`` codes [..., N, K], ``row``/``col`` side information [...,
        M] and [..., N]. Returns int64 [phases, ..., M, N, P].
        """
        raise NotImplementedError

    def row_terms(self, acts: np.ndarray, row: Mapping[str, np.ndarray], mode: int) -> np.ndarray:
        """What a step adds to the activation sums, int64 [..., M]."""
        total: np.ndarray = self.act_format.fixed(acts).sum(axis=-1)
        return total

    def correct(self, sums: np.ndarray, rows: np.ndarray, zero: np.ndarray | None) -> np.ndarray:
        """Wanted integer Σ A·(W − zero) from a tile's sums [..., M, N], row sums [..., M] and zero side values [...,
        N].
        """
        if zero is None:
            return sums
        wanted: np.ndarray = sums - rows[..., :, None] * zero[..., None, :]
        return wanted

    def init(self) -> State:
        """State after a clear."""
        shape = (self.m, self.n, int(self.sums_of_cell(self.p)))
        return State(np.zeros(shape, self.sum_dtype), np.zeros(self.m, np.int64))

    def accumulate(self, sums: np.ndarray, term: np.ndarray) -> np.ndarray:
        """Sums after one update by ``term``; both [..., M, N, P]. An update from cleared sums starts from 0."""
        return self.bound(sums + term, int(self.acc_bits(self.p)))

    def bound(self, values: np.ndarray, bits: int) -> np.ndarray:
        """Bring sums into ``bits`` bits as ``overflow`` says ("refuse" is never out of range)."""
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        if self.overflow == "saturate":
            clipped: np.ndarray = np.clip(values, low, high)
            return clipped
        if self.overflow == "wrap":
            wrapped: np.ndarray = ((values - low) & ((1 << bits) - 1)) + low
            return wrapped
        return values

    def step(
        self,
        state: State,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray] | None = None,
        col: Mapping[str, np.ndarray] | None = None,
        mode: int = 0,
    ) -> State:
        """One step: returns the state after it. Shapes as in `terms` without leading axes."""
        for term in self.terms(acts, weights, row or {}, col or {}, mode):
            state = self.updated(state, term)
        if self.has_row_sums:
            rows = state.rows + self.row_terms(acts, row or {}, mode)
            state = replace(state, rows=self.bound(rows, int(self.row_sum_bits(self.p))))
        return state

    def updated(self, state: State, term: np.ndarray) -> State:
        """State after one update by ``term`` [M, N, P]."""
        return replace(state, sums=self.accumulate(state.sums, term))

    def read(self, state: State) -> np.ndarray:
        """Sums of a state, [M, N, P]."""
        return state.sums

    def scale_sums(
        self,
        sums: np.ndarray,
        rows: np.ndarray,
        row_scale: np.ndarray,
        col_scale: np.ndarray,
        zero: np.ndarray | None,
    ) -> np.ndarray:
        """FP32 codes of group sums [..., M, N] times their scales (code words [..., M] and [..., N]), rounded once."""
        from hwgen.arith import scale_round_reference

        formats = self.quantization()
        return scale_round_reference(
            self.correct(sums, rows, zero),
            row_scale[..., :, None],
            get(formats.act_scale),
            col_scale[..., None, :],
            get(formats.weight_scale),
            self.lsb_exp,
        )

    def result_codes(self, y: np.ndarray) -> np.ndarray:
        """Codes that leave the post lanes for FP32 results ``y``, uint32 both."""
        return y

    def result_values(self, codes: np.ndarray) -> np.ndarray:
        """FP32 codes of results from the codes that leave the post lanes, uint32 both."""
        return codes

    def layer_sums(self, words: np.ndarray) -> np.ndarray:
        """Raw words [..., P] of the mode in which layers run → sums of a column's outputs, [..., `layer_outputs`]."""
        return words
