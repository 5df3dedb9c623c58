"""Which operand enters a tile where and in which cycle: one pure function of (tile, layer).

Output-stationary order: for every block of M tokens, for every block of N outputs, for every group along K, its steps.
The sequence that drives the RTL and the cycle counts both come from here.

Any layer fits any array: rows and columns beyond its edge, and elements along K beyond the end of its last group, are
padding. Activations beyond the end are zero, so that their products and their part of Σ A vanish whatever the weights,
zero points and scales are; only the last step of a row can have any, as tile K divides every whole group.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.errors import HwgenError
from hwgen.formats import QTensor
from hwgen.frame.numbers import Num, ceil_div, maximum, where
from hwgen.frame.param import whole_number
from hwgen.frame.spec import TileSpec

__all__ = ["Layer", "Schedule", "Steps", "closed_cycles", "closed_pre_cycles", "layer_constraints"]

P = Mapping[str, Any]

MOST = (1 << 63) - 1
"""Most multiply-accumulates or cycles that are counted: what a signed number of 64 bits holds."""


@dataclass(frozen=True)
class Layer:
    """A matrix product Y[m, n] = Σ_k X[m, k]·W[n, k]: ``m`` tokens, ``n`` outputs, ``k`` inputs, run ``count``
    times.
    """

    name: str
    m: int
    n: int
    k: int
    count: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise HwgenError(f"layer: name must be text, not {self.name!r}")
        for field in ("m", "n", "k", "count"):
            value = whole_number(given := getattr(self, field))
            if value is None:
                raise HwgenError(f"layer {self.name}: {field} must be a whole number, not {given!r}")
            if value < 1:
                raise HwgenError(f"layer {self.name}: {field} must be at least 1, not {value}")
            if value > MOST:
                # Not shown: Python writes no number of thousands of digits.
                raise HwgenError(f"layer {self.name}: {field} must be at most {MOST}, which 64 bits hold")
            object.__setattr__(self, field, value)
        if self.macs > MOST:
            raise HwgenError(
                f"layer {self.name}: m·n·k·count must be at most {MOST}, which 64 bits hold, "
                f"not {self.m}·{self.n}·{self.k}·{self.count}"
            )

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all runs."""
        return self.m * self.n * self.k * self.count


@dataclass(frozen=True)
class Steps:
    """Operands of a run in the order in which they enter the tile.

    ``acts`` uint32 [S, M, K] codes, ``weights`` [S, N, K] codes, ``row``/``col`` side information by name [S, M] / [S,
    N], flags [S]; ``mode`` is constant over the run.
    """

    acts: np.ndarray
    weights: np.ndarray
    row: Mapping[str, np.ndarray]
    col: Mapping[str, np.ndarray]
    first: np.ndarray
    last: np.ndarray
    done: np.ndarray
    mode: int = 0

    def __len__(self) -> int:
        return len(self.first)


def _sum_group(spec: type[TileSpec], p: P, k: Num) -> Num:
    """Elements along K of a layer between clears."""
    group = spec.sum_group(p)
    return where(group > 0, group, k)


def closed_cycles(spec: type[TileSpec], p: P, m: Num, n: Num, k: Num) -> Num:
    """Cycles of a layer on a tile, first offered step to last output beat, inclusive; scalars or arrays.

    Ends of consecutive groups lie max(steps · layer_cycles + fold_cycles, post_cycles) cycles apart.
    """
    group = _sum_group(spec, p, k)
    step, per_step = spec.layer_cycles(p), spec.layer_k(p)
    busy, fold = spec.post_cycles(p), spec.fold_cycles(p)
    full, ragged = k // group, k % group
    full_cycles = maximum(ceil_div(group, per_step) * step + fold, busy)
    ragged_cycles = where(ragged > 0, maximum(ceil_div(ragged, per_step) * step + fold, busy), 0)
    tiles = ceil_div(m, p["m"]) * ceil_div(n, p["n"] * spec.layer_outputs(p))
    # Nothing is ahead of the very first group: it waits for no lanes and no folding.
    first = ceil_div(where(full > 0, group, ragged), per_step) * step
    unwaited = maximum(first + fold, busy) - first
    return tiles * (full * full_cycles + ragged_cycles) - unwaited + spec.drain(p)


def closed_pre_cycles(spec: type[TileSpec], p: P, m: Num, k: Num) -> Num:
    """Cycles in which the pre block prepares activations [m, k], first beat offered to last beat out; 0 without one."""
    pre = spec.pre_counts(p)
    return 0 if pre is None else ceil_div(m, p["m"]) * ceil_div(k, spec.layer_k(p)) * pre.passes + pre.latency


def layer_constraints(spec: type[TileSpec], p: P, k: Num) -> Iterator[tuple[Any, str]]:
    """Pairs (holds, sentence) that a layer with ``k`` inputs adds to those of a tile; scalars or arrays."""
    summed = _sum_group(spec, p, k)
    longest = where(summed < k, summed, k)
    yield (
        (longest <= spec.sum_depth(p)) | spec.may_overflow(p),
        "a group of the layer must fit depth, or its sums saturate or wrap without a correction behind them",
    )


@dataclass(frozen=True)
class Schedule:
    """A layer on a tile. Raises `HwgenError` when the layer does not fit."""

    spec: TileSpec
    layer: Layer

    def __post_init__(self) -> None:
        spec, layer = self.spec, self.layer
        longest = max(self.sum_lengths)
        if longest > int(spec.sum_depth(spec.p)) and not spec.may_overflow(spec.p):
            why = "" if spec.overflow == "refuse" else ", where activation sums correct for zero points"
            raise HwgenError(
                f"layer {layer.name}: a group of {longest} products must fit depth ({spec.depth}) "
                f"of the {spec.family} tile{why}; {spec.depth_hint(spec.p, longest)}"
            )

    def _lengths(self, group: int) -> tuple[int, ...]:
        full, ragged = divmod(self.layer.k, group or self.layer.k)
        return (group or self.layer.k,) * full + ((ragged,) if ragged else ())

    @property
    def step_k(self) -> int:
        """Elements along K of one step."""
        return int(self.spec.layer_k(self.spec.p))

    @property
    def words_k(self) -> int:
        """Elements along K of operands: those of the layer, and zeros up to whole code words (`whole_words`)."""
        return self.layer.k + -self.layer.k % self._word_elements

    @property
    def _word_elements(self) -> int:
        formats = self.spec.mode_formats(self.spec.layer_mode)
        return math.lcm(*(form.elements for form in formats))

    def whole_words(self, values: np.ndarray) -> np.ndarray:
        """Float operands [rows, K] with zeros up to whole code words of the tile's formats, as quantisers want them."""
        return np.pad(values, ((0, 0), (0, self.words_k - values.shape[1])))

    @property
    def group_lengths(self) -> tuple[int, ...]:
        """Elements of each group along K that share side information; the last may be shorter."""
        return self._lengths(self.spec.group)

    @property
    def sum_lengths(self) -> tuple[int, ...]:
        """Products of each accumulation along K: those of the groups, unless the tile adds up over groups."""
        return self._lengths(int(self.spec.sum_group(self.spec.p)))

    @property
    def row_blocks(self) -> int:
        """Blocks of M tokens."""
        return int(ceil_div(self.layer.m, self.spec.m))

    @property
    def col_blocks(self) -> int:
        """Blocks of N columns' outputs."""
        return int(ceil_div(self.layer.n, self.spec.n * self.outputs))

    @property
    def outputs(self) -> int:
        """Outputs of a column."""
        return int(self.spec.layer_outputs(self.spec.p))

    @property
    def row_steps(self) -> int:
        """Steps along K of one block; the last one may be padded."""
        return int(ceil_div(self.layer.k, self.step_k))

    @property
    def steps(self) -> int:
        """Steps of one run of the layer."""
        return self.row_blocks * self.col_blocks * self.row_steps

    @property
    def beats(self) -> int:
        """Output beats of one run of the layer."""
        blocks = self.row_blocks * self.col_blocks
        return blocks * (self.spec.post_beats_max if self.spec.lanes else len(self.sum_lengths))

    def exact(self) -> int:
        """Cycles of one run by recurrence over groups: first offered step to last beat, inclusive."""
        spec = self.spec
        step, busy, fold = int(spec.layer_cycles(spec.p)), int(spec.post_cycles(spec.p)), spec.folds
        end = 0
        ahead = False
        for _ in range(self.row_blocks * self.col_blocks):
            for length in self.sum_lengths:
                work = int(ceil_div(length, self.step_k)) * step
                end += max(work + fold, busy) if ahead else work
                ahead = True
        return end + int(spec.drain(spec.p))

    def closed(self) -> int:
        """The same by closed form."""
        return int(closed_cycles(type(self.spec), self.spec.p, self.layer.m, self.layer.n, self.layer.k))

    def order(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Row block, column block, group and first element along K of every step, int64 [S] each."""
        spec = self.spec
        starts = np.arange(0, self.layer.k, self.step_k)
        group = starts // (spec.group or self.layer.k)
        per_tile = len(starts)
        tiles = self.row_blocks * self.col_blocks
        tile = np.repeat(np.arange(tiles), per_tile)
        return tile // self.col_blocks, tile % self.col_blocks, np.tile(group, tiles), np.tile(starts, tiles)

    def lower(self, acts: QTensor, weights: QTensor) -> Steps:
        """Operands of every step. ``acts`` [tokens, K] as they enter the tile, ``weights`` [outputs, K].

        Rows and columns beyond the layer's edge get padding codes and the first row's or column's side information,
        elements beyond the end of K padding codes alone. Raises `HwgenError` for operands of another shape, and where
        K needs padding and the activations' format has no zero.
        """
        spec, layer = self.spec, self.layer
        row_block, col_block, group, start = self.order()
        a, rows = self.act_blocks(acts)
        w, cols = self.weight_blocks(weights)
        chunk = start // self.step_k
        length = int(spec.sum_group(spec.p)) or layer.k
        end = start + self.step_k
        done = end >= layer.k
        return Steps(
            a[row_block, chunk],
            w[col_block, chunk],
            {name: values[row_block, group] for name, values in rows.items()},
            {name: values[col_block, group] for name, values in cols.items()},
            start % length == 0,
            done | (end % length == 0),
            done,
            spec.layer_mode,
        )

    def act_blocks(self, acts: QTensor) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Codes [row blocks, steps, M, words] of activations, and side information [row blocks, groups, M] by name.

        Padded, and refused, as `lower` says.
        """
        return self.act_codes(acts), {
            name: self._side(name, acts, self.row_blocks, self.spec.m) for name in self.spec.row_side()
        }

    def act_codes(self, acts: QTensor) -> np.ndarray:
        """Codes of `act_blocks` alone, of activations in any format of one code an element."""
        spec, layer = self.spec, self.layer
        if layer.k % self.step_k and acts.format.padding is None:
            raise HwgenError(
                f"layer {layer.name}: k must be a multiple of tile k ({self.step_k}) with {acts.format} activations, "
                f"which have no zero to fill a step with, not {layer.k}"
            )
        self._check_shape("activations", acts, layer.m)
        words = spec.code_columns(spec.layer_mode)[0]
        a = _pad(acts.codes, acts.format.padding or 0, self.row_blocks * spec.m, self.row_steps * words)
        return a.reshape(self.row_blocks, spec.m, self.row_steps, words).transpose(0, 2, 1, 3)

    def weight_blocks(self, weights: QTensor) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Codes [column blocks, steps, N, words] of weights, and side information [column blocks, groups, N] by name.

        Weights of one element of K for all outputs of a column lie together.
        """
        spec = self.spec
        self._check_shape("weights", weights, self.layer.n)
        words = spec.code_columns(spec.layer_mode)[1]
        coded = int(spec.coded_outputs(spec.p))
        per_output, own = words // coded, spec.column_codes(weights)
        padding = weights.format.padding or 0
        w = _pad(own, padding, self.col_blocks * spec.n * coded, self.row_steps * per_output).reshape(
            self.col_blocks, spec.n, coded, self.row_steps, per_output
        )
        codes = w.transpose(0, 3, 1, 4, 2).reshape(self.col_blocks, self.row_steps, spec.n, words)
        return codes, {name: self._side(name, weights, self.col_blocks, spec.n) for name in spec.col_side()}

    def _check_shape(self, what: str, tensor: QTensor, rows: int) -> None:
        if tensor.shape != (rows, self.words_k):
            raise HwgenError(
                f"layer {self.layer.name}: {what} must have shape {[rows, self.words_k]}, not {list(tensor.shape)}"
            )

    def _side(self, name: str, tensor: QTensor, blocks: int, size: int) -> np.ndarray:
        """Side information [blocks, groups, size]; rows beyond the edge have that of the first."""
        values = self.spec.side_values(name, tensor)
        groups = len(self.group_lengths)
        values = np.broadcast_to(values, (len(tensor.codes), values.shape[1]))
        if values.shape[1] == 1:
            values = np.repeat(values, groups, axis=1)
        padded = np.concatenate([values, np.repeat(values[:1], blocks * size - len(values), axis=0)])
        return padded.reshape(blocks, size, groups).transpose(0, 2, 1)

    def collect(self, beats: np.ndarray) -> np.ndarray:
        """Arrange output beats into layer order.

        Raw sums [blocks·groups, M, N, P] → [groups, tokens, outputs, P], or [.., 1] where a column has several outputs;
        post beats [.., lanes] → [tokens, outputs].
        """
        spec, layer = self.spec, self.layer
        if spec.lanes:
            tiles = beats.reshape(self.row_blocks, self.col_blocks, -1)[..., : spec.m * spec.n]
            full = tiles.reshape(self.row_blocks, self.col_blocks, spec.m, spec.n).transpose(0, 2, 1, 3)
            return full.reshape(self.row_blocks * spec.m, -1)[: layer.m, : layer.n]
        groups, per_cell = len(self.sum_lengths), int(spec.sums_of_cell(spec.p))
        sums = beats.reshape(self.row_blocks, self.col_blocks, groups, spec.m, spec.n, per_cell)
        sums = spec.layer_sums(sums)
        per_output = sums.shape[-1] // self.outputs
        full = sums.transpose(2, 0, 3, 1, 4, 5).reshape(groups, self.row_blocks * spec.m, -1, per_output)
        return full[:, : layer.m, : layer.n]

    def collect_rows(self, beats: np.ndarray) -> np.ndarray:
        """Activation sums [blocks·groups, M] → [groups, tokens]."""
        groups = len(self.sum_lengths)
        rows = beats.reshape(self.row_blocks, self.col_blocks, groups, self.spec.m)[:, 0]
        return rows.transpose(1, 0, 2).reshape(groups, -1)[:, : self.layer.m]


def _pad(codes: np.ndarray, padding: int, rows: int, words: int) -> np.ndarray:
    """Code words of a matrix with padding codes up to [rows, words]."""
    have_rows, have_words = codes.shape
    return np.pad(codes, ((0, rows - have_rows), (0, words - have_words)), constant_values=padding)
