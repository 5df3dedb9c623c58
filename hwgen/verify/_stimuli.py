"""Operands for verification: corners against corners, seeded random, and groups of every shape."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hwgen.formats import Format
from hwgen.pe._spec import Side, TileSpec
from hwgen.schedule import Steps

__all__ = ["corner_steps", "flags", "join", "random_steps", "reset_runs"]


def _codes(form: Format, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random codes, a quarter of them corners; only codes with a finite value where the format has others."""
    pool = rng.integers(0, 1 << form.code_bits, size=shape, dtype=np.uint64).astype(np.uint32)
    corners = np.array(form.corners, dtype=np.uint32)
    mixed = np.where(rng.random(shape) < 0.25, rng.choice(corners, size=shape), pool)
    fallback = form.padding if form.padding is not None else int(corners[0])
    values = form.decode(mixed) if not form.side_bits else np.zeros(shape)
    return np.where(np.isfinite(values), mixed, fallback).astype(np.uint32)


def _sides(fields: dict[str, Side], rng: np.random.Generator, groups: int, count: int) -> dict[str, np.ndarray]:
    """Random side information per group: mostly middling scales, sometimes any code at all."""
    result = {}
    for name, side in fields.items():
        low, high = (-(1 << (side.bits - 1)), 1 << (side.bits - 1)) if side.signed else (0, 1 << side.bits)
        values = rng.integers(low, high, size=(groups, count))
        if name == "scale":
            # Around the middle of the exponent range, where sums of several groups interact.
            middle = rng.integers((1 << (side.bits - 2)) * 3 // 2, (1 << (side.bits - 2)) * 5 // 2, size=(groups, count))
            values = np.where(rng.random((groups, count)) < 0.85, middle, values)
        result[name] = values
    return result


def flags(lengths: Iterable[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first, last, group number) of the steps of groups of the given lengths."""
    sizes = list(lengths)
    first = np.concatenate([np.arange(size) == 0 for size in sizes])
    last = np.concatenate([np.arange(size) == size - 1 for size in sizes])
    return first, last, np.repeat(np.arange(len(sizes)), sizes)


def _steps(
    spec: TileSpec, rng: np.random.Generator, lengths: list[int], acts: np.ndarray, weights: np.ndarray, mode: int
) -> Steps:
    first, last, group = flags(lengths)
    row = {name: values[group] for name, values in _sides(spec.row_side(), rng, len(lengths), spec.m).items()}
    col = {name: values[group] for name, values in _sides(spec.col_side(), rng, len(lengths), spec.n).items()}
    done = last & (rng.random(len(first)) < 0.5)
    done[-1] = True
    return Steps(acts, weights, row, col, first, last, done, mode)


def _longest(spec: TileSpec) -> int:
    """Steps of the longest group that a tile may get: ``depth``, or well beyond it where sums saturate or wrap."""
    steps = max(1, spec.depth // spec.k)
    return steps if spec.overflow == "refuse" else steps + max(2, steps // 4)


def random_steps(spec: TileSpec, seed: int, groups: int = 12, mode: int = 0) -> Steps:
    """Random groups: lengths of one step, two, some, and the longest that is legal."""
    rng = np.random.default_rng(seed)
    longest = _longest(spec)
    lengths = [1, 1, min(2, longest)] + [int(rng.integers(1, min(longest, 9) + 1)) for _ in range(groups)] + [longest]
    total = sum(lengths)
    acts_format, weights_format = spec.mode_formats(mode)
    k = spec.modes()[mode].k
    acts = _codes(acts_format, rng, (total, spec.m, k))
    weights = _codes(weights_format, rng, (total, spec.n, k))
    return _steps(spec, rng, lengths, acts, weights, mode)


def corner_steps(spec: TileSpec, seed: int, mode: int = 0) -> Steps:
    """Every corner code of the activations against every corner code of the weights, in every cell, alone and in long runs.

    Single-step groups hold one pair in all K products; two groups as long as is legal hold the pairs that drive sums to
    their ends.
    """
    rng = np.random.default_rng(seed)
    acts_format, weights_format = spec.mode_formats(mode)
    k = spec.modes()[mode].k
    pairs = [(a, w) for a in _finite(acts_format) for w in _finite(weights_format)]
    longest = _longest(spec)
    extreme = _extremes(acts_format, weights_format)
    lengths = [1] * len(pairs) + [longest] * len(extreme)
    a = np.concatenate([[pair[0] for pair in pairs], np.repeat([pair[0] for pair in extreme], longest)])
    w = np.concatenate([[pair[1] for pair in pairs], np.repeat([pair[1] for pair in extreme], longest)])
    acts = np.broadcast_to(a[:, None, None], (len(a), spec.m, k)).astype(np.uint32)
    weights = np.broadcast_to(w[:, None, None], (len(w), spec.n, k)).astype(np.uint32)
    return _steps(spec, rng, lengths, acts, weights, mode)


def reset_runs(spec: TileSpec, seed: int, mode: int = 0) -> list[tuple[Steps, int | None]]:
    """Runs of short groups with the cycle in which each is reset: every phase of a step and of the lanes; None for the last.

    Each lasts long enough to show results, so that it also tells what the reset before it left behind.
    """
    rng = np.random.default_rng(seed)
    step, beats = int(spec.step_cycles(spec.p, mode)), int(spec.post_beats(spec.p))
    shortest = int(spec.drain(spec.p)) + 2 * max(step, beats)
    window = max(step, beats) + int(spec.latency(spec.p)) + 3
    acts_format, weights_format = spec.mode_formats(mode)
    k = spec.modes()[mode].k
    cuts: list[int | None] = [*(shortest + int(offset) for offset in rng.permutation(window)), None]
    runs: list[tuple[Steps, int | None]] = []
    for cut in cuts:
        enough = (shortest + window) // step + 2
        lengths = rng.integers(1, min(3, _longest(spec)) + 1, size=enough).tolist()
        total = sum(lengths)
        acts = _codes(acts_format, rng, (total, spec.m, k))
        weights = _codes(weights_format, rng, (total, spec.n, k))
        runs.append((_steps(spec, rng, lengths, acts, weights, mode), cut))
    return runs


def _finite(form: Format) -> list[int]:
    corners = np.array(form.corners, dtype=np.uint32)
    values = form.decode(corners) if not form.side_bits else np.zeros(len(corners))
    return [int(code) for code, value in zip(corners, values, strict=True) if np.isfinite(value)]


def _extremes(acts: Format, weights: Format) -> list[tuple[int, int]]:
    """The code pairs with the largest and the smallest product."""
    a, w = _finite(acts), _finite(weights)
    if acts.side_bits or weights.side_bits:
        return [(a[0], w[0])]
    products = np.multiply.outer(acts.decode(np.array(a)), weights.decode(np.array(w)))
    best = [np.unravel_index(index, products.shape) for index in (products.argmax(), products.argmin())]
    return [(a[int(i)], w[int(j)]) for i, j in best]


def join(parts: list[Steps]) -> Steps:
    """Runs one after the other."""
    head = parts[0]
    return Steps(
        np.concatenate([part.acts for part in parts]),
        np.concatenate([part.weights for part in parts]),
        {name: np.concatenate([part.row[name] for part in parts]) for name in head.row},
        {name: np.concatenate([part.col[name] for part in parts]) for name in head.col},
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.last for part in parts]),
        np.concatenate([part.done for part in parts]),
        head.mode,
    )
