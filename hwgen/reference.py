"""Run a tile's reference over a sequence of steps: what the RTL must put out, beat by beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwgen.arith import fp32_add_reference
from hwgen.frame.spec import TileSpec
from hwgen.schedule import Steps

__all__ = ["Beats", "run_steps"]


@dataclass(frozen=True)
class Beats:
    """Output of a tile in order.

    ``sums`` [B, M, N, P] (int64, or object where they are wide) and ``rows`` [B, M] of every group (inputs of lanes,
    where there are any); ``y`` uint32 [Y, lanes] FP32 codes of post lanes, None without. ``step`` is the index of the
    step that ended each group.
    """

    sums: np.ndarray
    rows: np.ndarray
    step: np.ndarray
    y: np.ndarray | None = None


def _at(side: dict[str, np.ndarray], index: int) -> dict[str, np.ndarray]:
    return {name: values[index] for name, values in side.items()}


def _one_by_one(spec: TileSpec, steps: Steps) -> tuple[np.ndarray, np.ndarray]:
    state = spec.init()
    sums, rows = [], []
    for index in range(len(steps)):
        if steps.first[index]:
            state = spec.init()
        state = spec.step(
            state,
            steps.acts[index],
            steps.weights[index],
            _at(dict(steps.row), index),
            _at(dict(steps.col), index),
            steps.mode,
        )
        if steps.last[index]:
            sums.append(spec.read(state))
            rows.append(state.rows)
    return np.stack(sums), np.stack(rows)


def _at_once(spec: TileSpec, steps: Steps) -> tuple[np.ndarray, np.ndarray]:
    """The same for groups from first to last whose sums only ever add up: one reduction over all steps."""
    starts = np.flatnonzero(steps.first)
    terms = spec.terms(steps.acts, steps.weights, steps.row, steps.col, steps.mode).sum(axis=0)
    sums = np.add.reduceat(terms, starts, axis=0)
    rows = np.zeros((len(starts), spec.m), np.int64)
    if spec.has_row_sums:
        rows = np.add.reduceat(spec.row_terms(steps.acts, steps.row, steps.mode), starts, axis=0)
        rows = spec.bound(rows, int(spec.row_sum_bits(spec.p)))
    return spec.bound(sums, int(spec.acc_bits(spec.p))), rows


def run_steps(spec: TileSpec, steps: Steps) -> Beats:
    """Beats of a run of steps from reset. Groups before the first ``first`` are not defined and must not end."""
    ends = np.flatnonzero(steps.last)
    starts = np.flatnonzero(steps.first)
    whole = (
        len(starts) == len(ends)
        and bool(steps.first[0])
        and bool((starts[1:] == ends[:-1] + 1).all())
        and ends[-1] == len(steps) - 1
    )
    additive = spec.sums_add_up and spec.overflow != "saturate"
    chunked = whole and additive
    sums, rows = _chunks(spec, steps, starts) if chunked else _one_by_one(spec, steps)
    if not spec.lanes:
        return Beats(sums, rows, ends)
    return Beats(sums, rows, ends, _lanes(spec, steps, sums, rows, ends))


def _chunks(spec: TileSpec, steps: Steps, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`_at_once` over pieces of whole groups, so that a whole layer does not need all its products in memory."""
    per_step = spec.m * spec.n * int(spec.sums_of_cell(spec.p)) * int(spec.cycles_per_step(spec.p, steps.mode))
    limit = max(1, (1 << 22) // per_step)
    sums, rows = [], []
    begin = 0
    while begin < len(starts):
        end = begin + 1
        while end < len(starts) and starts[end] - starts[begin] < limit:
            end += 1
        stop = starts[end] if end < len(starts) else len(steps)
        cut = slice(starts[begin], stop)
        piece = Steps(
            steps.acts[cut],
            steps.weights[cut],
            {name: values[cut] for name, values in steps.row.items()},
            {name: values[cut] for name, values in steps.col.items()},
            steps.first[cut],
            steps.last[cut],
            steps.done[cut],
            steps.mode,
        )
        part = _at_once(spec, piece)
        sums.append(part[0])
        rows.append(part[1])
        begin = end
    return np.concatenate(sums), np.concatenate(rows)


def _lanes(spec: TileSpec, steps: Steps, sums: np.ndarray, rows: np.ndarray, ends: np.ndarray) -> np.ndarray:
    zero = steps.col["zero"][ends] if "zero" in steps.col else None
    # Families whose activations have no scale of their own have none here.
    row_scale = steps.row["scale"][ends] if "scale" in steps.row else np.zeros(rows.shape, np.int64)
    scaled = spec.scale_sums(sums[..., 0], rows, row_scale, steps.col["scale"][ends], zero)
    total = np.zeros(scaled.shape[1:], np.uint32)
    beats = []
    fresh = True
    for value, done in zip(scaled, steps.done[ends], strict=True):
        total = fp32_add_reference(np.zeros_like(total) if fresh else total, value)
        fresh = bool(done)
        if done:
            beats.append(spec.result_codes(total).reshape(-1, spec.lanes))
    return np.concatenate(beats) if beats else np.zeros((0, spec.lanes), np.uint32)
