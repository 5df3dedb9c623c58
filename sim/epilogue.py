"""What follows a tile that puts out raw sums: corrections, scales and FP32 accumulation, in the post lanes' order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hwgen.arith import FP32_NAN, fp32_add_reference, scale_round_reference
from hwgen.errors import HwgenError
from hwgen.formats import QTensor
from hwgen.formats.base import Words
from hwgen.pe import TileSpec
from hwgen.schedule import Schedule

__all__ = ["apply_outer", "epilogue", "outputs"]


def epilogue(
    spec: TileSpec,
    sums: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    acts: QTensor,
    weights: QTensor,
) -> Words:
    """FP32 codes of a layer's outputs, uint32 [T, N], from a tile's sums.

    Parameters
    ----------
    sums : [G, T, N], as the tile has them (`Schedule.collect` without its last axis), no correction applied.
    rows : int64 [G, T], activation sums (`Schedule.collect_rows`); not looked at where the tile keeps none.
    acts : activations [T, K] as they entered the tile, for their scales.
    weights : weights [N, K], for their scales, zero points and minima.

    Per output, in K order, from zero: the corrected sum times both scales is rounded once to FP32 and added; with a
    float minimum, so is the row's activation sum times the row's scale and the minimum. Raises `HwgenError` where
    shapes contradict each other, and for minima that are not numbers of the scale format.
    """
    count, tokens, outputs = len(sums), acts.shape[0], weights.shape[0]
    for name, array, wanted in (("sums", sums, (count, tokens, outputs)), ("rows", rows, (count, tokens))):
        if array.shape != wanted:
            raise HwgenError(f"epilogue: {name} must have shape {list(wanted)}, not {list(array.shape)}")
    if acts.groups not in (1, count):
        raise HwgenError(f"epilogue: acts must have 1 or {count} scales a token, not {acts.groups}")
    row_scale = _by_group(acts, acts.scale_codes, count)
    col_scale = _by_group(weights, spec.sum_scales(weights), count)
    zeros = spec.zero_points(weights)
    zero = None if zeros is None else _by_group(weights, zeros, count)
    terms = [spec.scale_sums(sums, rows, row_scale, col_scale, zero)]
    if weights.zero_kind == "minimum":
        minima = _by_group(weights, _minimum_codes(weights), count)
        row_codes, form = row_scale[..., None], acts.scale_format
        terms.append(
            scale_round_reference(
                rows[..., None], row_codes, form, minima[:, None, :], weights.scale_format, spec.row_lsb_exp
            )
        )
    result = np.zeros((tokens, outputs), np.uint32)
    for products in zip(*terms, strict=True):
        for product in products:
            result = fp32_add_reference(result, product)
    return apply_outer(result, acts, weights)


def apply_outer(y: Words, acts: QTensor, weights: QTensor) -> Words:
    """FP32 codes ``y`` [T, N] times the second-level scales of both sides: y · fl32(outer_a · outer_w) in FP32."""
    if acts.outer is None and weights.outer is None:
        return y
    ones = np.ones((1, 1), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        outer = (ones if acts.outer is None else acts.outer) * (ones if weights.outer is None else weights.outer).T
        scaled = y.view(np.float32) * outer
    return np.where(np.isnan(scaled), np.uint32(FP32_NAN), scaled.view(np.uint32))


def _by_group(tensor: QTensor, side: npt.NDArray[np.generic], count: int) -> np.ndarray:
    """Side information [rows or 1, G or 1] as [G, rows]."""
    return np.broadcast_to(side, (tensor.shape[0], count)).T


def _minimum_codes(weights: QTensor) -> Words:
    """Codes of the minima in the weights' scale format."""
    minima = np.asarray(weights.zero, dtype=np.float64)
    codes = weights.scale_format.encode(minima)
    if not np.array_equal(weights.scale_format.decode(codes), minima):
        raise HwgenError(f"epilogue: minima must be {weights.scale_format.name} numbers, like the scales")
    return codes


def outputs(
    spec: TileSpec, jobs: Sequence[tuple[Schedule, Mapping[str, np.ndarray]]], acts: QTensor, weights: QTensor
) -> npt.NDArray[np.float32]:
    """Outputs float32 [T, N] of the jobs of an accelerator that are a layer's, side by side.

    ``jobs``: of each its schedule and beats of results by port, as tiles give them; ``acts`` as they lie in memory.
    """
    if spec.lanes:
        beats = [schedule.collect(results["o_y"].astype(np.uint32)) for schedule, results in jobs]
        codes = spec.result_values(np.concatenate(beats, axis=1).astype(np.uint32))
        return apply_outer(np.ascontiguousarray(codes), acts, weights).view(np.float32)
    sums = [schedule.collect(results["o_sums"].astype(spec.sum_dtype))[..., 0] for schedule, results in jobs]
    schedule, results = jobs[0]
    blank = np.zeros((schedule.row_blocks * schedule.col_blocks * len(sums[0]), spec.m), np.int64)
    rows = schedule.collect_rows(results.get("o_row_sums", blank))
    return epilogue(spec, np.concatenate(sums, axis=2), rows, acts, weights).view(np.float32)
