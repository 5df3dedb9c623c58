"""Operands for verification: corners against corners, seeded random, and groups of every shape."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable

import numpy as np

from hwgen.errors import HwgenError
from hwgen.formats import Format, get
from hwgen.formats.minifloat import MinifloatFormat
from hwgen.formats.posit import PositFormat
from hwgen.frame.facts import Side
from hwgen.frame.spec import TileSpec
from hwgen.schedule import Steps

__all__ = ["corner_steps", "flags", "full_steps", "random_steps", "reset_runs", "scale_steps"]

_FEW_BITS = 10
"""Longest codes of which all are looked at."""
_FEW_FIELDS = 4
"""Most fields of side information whose ends are combined in every way."""
_CALM = 2.0**60
"""Largest value whose products do not overflow FP32."""


def _finite(form: Format, words: np.ndarray) -> np.ndarray:
    """Whether all values of each word are finite."""
    return np.asarray(np.isfinite(form.decode(words)).reshape(*words.shape, -1).all(axis=-1))


@functools.cache
def _allowed(spec: TileSpec, role: str, mode: int) -> np.ndarray:
    """Corner codes of one side that the reference takes: finite ones, and infinities and NaN where it has a rule."""
    form = spec.mode_formats(mode)[0 if role == "acts" else 1]
    codes = np.array(form.corners, dtype=np.uint32)
    if form.side_bits:
        return codes
    finite = _finite(form, codes)
    if finite.all():
        return codes
    columns = spec.code_columns(mode)
    acts_format, weights_format = spec.mode_formats(mode)
    special = codes[~finite][0]
    acts = np.full((1, spec.m, columns[0]), special if role == "acts" else acts_format.corners[0], np.uint32)
    weights = np.full((1, spec.n, columns[1]), special if role == "weights" else weights_format.corners[0], np.uint32)
    row = {name: np.zeros((1, spec.m), np.int64) for name in spec.row_side()}
    col = {name: np.zeros((1, spec.n), np.int64) for name in spec.col_side()}
    try:
        spec.terms(acts, weights, row, col, mode)
    except HwgenError:
        found: np.ndarray = codes[finite]
        return found
    return codes


@functools.cache
def _has_table(form: Format) -> bool:
    """Whether all values of a format fit a table: few enough codes, each of which says everything of one value."""
    return form.code_bits <= 16 and not form.side_bits and form.elements == 1


def _negation(form: Format) -> np.ndarray | None:
    """Table from codes to those of the negative value (themselves where there is none); None for wide formats."""
    if not _has_table(form):
        return None
    codes = form.codes()
    values = form.decode(codes).tolist()
    position = dict(zip(values, codes.tolist(), strict=True))
    return np.array([position.get(-value, code) for code, value in zip(codes.tolist(), values, strict=True)], np.uint32)


def _alike(form: Format, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Codes whose rows [..., K] differ in few bits; floating-point ones have neighbouring exponents and sparse
    mantissas, so that their alignment ends in ties and near them."""

    def words(bits: int, size: tuple[int, ...]) -> np.ndarray:
        return rng.integers(0, 1 << bits, size=size, dtype=np.uint64)

    row = (*shape[:-1], 1)
    if not isinstance(form, MinifloatFormat) or form.mantissa_bits < 4:
        bits = form.code_bits
        flips = words(bits, shape) & words(bits, shape) & words(bits, shape)
        mixed: np.ndarray = np.bitwise_xor(words(bits, row) & words(bits, row), flips)
        return mixed
    mantissa = words(form.mantissa_bits, shape) & words(form.mantissa_bits, shape) & words(form.mantissa_bits, shape)
    top = words(form.exponent_bits, row).astype(np.int64)
    below = rng.integers(0, form.mantissa_bits + 8, size=shape) * (rng.random(shape) < 0.7)
    exponent = np.maximum(top - below, 0).astype(np.uint64)
    sign = words(1, shape) << np.uint64(form.code_bits - 1) if form.signed else np.zeros(shape, np.uint64)
    codes: np.ndarray = sign | exponent << np.uint64(form.mantissa_bits) | mantissa
    return codes


def _codes(spec: TileSpec, rng: np.random.Generator, role: str, shape: tuple[int, ...], mode: int) -> np.ndarray:
    """Codes [..., K] of one side: uniform, corners, rows of small values, rows whose codes are `_alike`, and rows of
    zeros but for one code: what several narrow codes of one mode are together may be special in a mode of wide ones.

    Only codes that the reference takes: infinities and NaN where it has a rule for them.
    """
    form = spec.mode_formats(mode)[0 if role == "acts" else 1]
    corners = _allowed(spec, role, mode)
    words = rng.integers(0, 1 << form.code_bits, size=shape, dtype=np.uint64)
    few = np.uint64(1) << rng.integers(1, form.code_bits + 1, (*shape[:-1], 1), np.uint64)
    small = words & (few - np.uint64(1))
    negative = _negation(form)
    if negative is not None:
        small = np.where(rng.random(shape) < 0.5, negative[small], small)
    kind = rng.random((*shape[:-1], 1))
    words = np.where(kind < 0.4, _alike(form, rng, shape), np.where(kind < 0.6, small, words)).astype(np.uint32)
    words = np.where(rng.random(shape) < 0.2, rng.choice(corners, size=shape), words)
    alone = np.arange(shape[-1]) == rng.integers(shape[-1], size=(*shape[:-1], 1))
    top = np.where(rng.random(shape) < 0.5, np.uint32(1 << (form.code_bits - 1)), rng.choice(corners, size=shape))
    words = np.where(kind < 0.9, words, np.where(alone, top, 0)).astype(np.uint32)
    if form.side_bits:
        return words
    finite = _finite(form, corners)
    if not finite.all():
        # Neighbours of infinity: NaN of every single mantissa bit, and the largest finite codes.
        bit = np.uint32(1) << rng.integers(0, form.code_bits, size=shape, dtype=np.uint32)
        words = np.where(rng.random(shape) < 0.04, rng.choice(corners[~finite], size=shape) ^ bit, words)
        return _calmed(rng, form, words.astype(np.uint32)) if spec.sticky_specials else words.astype(np.uint32)
    fallback = form.padding if form.padding is not None else int(corners[0])
    return np.where(_finite(form, words), words, fallback).astype(np.uint32)


def _calmed(rng: np.random.Generator, form: Format, words: np.ndarray) -> np.ndarray:
    """Codes [steps, ...] with infinities, NaN and values whose products may overflow in the first quarter only.

    A sum that such a code has spoiled shows nothing of what is added afterwards.
    """
    corners = np.array(form.corners, dtype=np.uint32)
    calm = corners[np.abs(form.decode(corners)) <= _CALM]
    wild = ~(np.abs(form.decode(words)) <= _CALM)
    wild[: len(words) // 4] = False
    return np.where(wild, rng.choice(calm, size=words.shape), words).astype(np.uint32)


def _legal(side: Side) -> range:
    """Values of a side field: those it names, or all that its bits can hold."""
    if side.values is not None:
        return side.values
    return range(-(1 << (side.bits - 1)), 1 << (side.bits - 1)) if side.signed else range(1 << side.bits)


def _sides(fields: dict[str, Side], rng: np.random.Generator, groups: int, count: int) -> dict[str, np.ndarray]:
    """Random side information per group: mostly middling scales, sometimes any code at all."""
    result = {}
    for name, side in fields.items():
        legal = _legal(side)
        values = legal.start + legal.step * rng.integers(len(legal), size=(groups, count))
        if name == "scale":
            # Around the middle of the exponent range, where sums of several groups interact.
            middle = rng.integers(
                (1 << (side.bits - 2)) * 3 // 2, (1 << (side.bits - 2)) * 5 // 2, size=(groups, count)
            )
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
    if spec.sum_group(spec.p) != spec.group:
        # Groups end within an accumulation.
        group = np.cumsum(first | (rng.random(len(first)) < 0.5)) - 1
    count = int(group[-1]) + 1
    row = {name: values[group] for name, values in _sides(spec.row_side(), rng, count, spec.m).items()}
    col = {name: values[group] for name, values in _sides(spec.col_side(), rng, count, spec.n).items()}
    done = last & (rng.random(len(first)) < 0.5)
    done[-1] = True
    return Steps(acts, weights, row, col, first, last, done, mode)


def _longest(spec: TileSpec, mode: int = 0) -> int:
    """Steps of the longest group that a tile may get: ``depth``, or enough to pass both ends where sums saturate or
    wrap.
    """
    k = spec.modes()[mode].k
    steps = max(1, spec.depth // k)
    if spec.overflow == "refuse":
        return steps
    low, high = (abs(int(end)) for end in spec.product_range(spec.p))
    beyond = (1 << (int(spec.acc_bits(spec.p)) - 1)) // (k * max(min(low, high), 1)) + 2
    return max(steps + 2, min(beyond, 4 * steps + 2))


def random_steps(spec: TileSpec, seed: int, groups: int = 12, mode: int = 0) -> Steps:
    """Random groups: lengths of one step, two, some, and the longest that is legal."""
    rng = np.random.default_rng(seed)
    longest = _longest(spec, mode)
    lengths = [1, 1, min(2, longest)] + [int(rng.integers(1, min(longest, 9) + 1)) for _ in range(groups)] + [longest]
    acts, weights = (
        _few_nar(rng, codes, lengths, form)
        for codes, form in zip(_operands(spec, rng, sum(lengths), mode), spec.mode_formats(mode), strict=True)
    )
    return _steps(spec, rng, lengths, acts, weights, mode)


def _few_nar(rng: np.random.Generator, codes: np.ndarray, lengths: list[int], form: Format) -> np.ndarray:
    """Codes [S, ...] in which NaR, which would make nearly every sum NaR, is left in a few groups only."""
    if not isinstance(form, PositFormat):
        return codes
    kept = np.repeat(rng.random(len(lengths)) < 0.2, lengths).reshape(-1, *[1] * (codes.ndim - 1))
    found: np.ndarray = np.where((codes == form.nan_code) & ~kept, np.uint32(form.nan_code - 1), codes)
    return found


def _operands(spec: TileSpec, rng: np.random.Generator, count: int, mode: int) -> tuple[np.ndarray, np.ndarray]:
    """Random activation and weight codes of ``count`` steps; some steps cancel."""
    columns = spec.code_columns(mode)
    acts = _codes(spec, rng, "acts", (count, spec.m, columns[0]), mode)
    weights = _codes(spec, rng, "weights", (count, spec.n, columns[1]), mode)
    return _cancelling(spec, rng, acts, weights, mode)


def _cancelling(
    spec: TileSpec, rng: np.random.Generator, acts: np.ndarray, weights: np.ndarray, mode: int
) -> tuple[np.ndarray, np.ndarray]:
    """Some steps become pairs of products of opposite sign, equal or of neighbouring codes: what is left of large
    products is nothing, or little, and that is added to whatever the sum was before.

    Where accumulators normalise, sums before an exact cancellation are mostly so small that they end among the last
    places beside it, and some steps take back what the one before them added.
    """
    form = spec.mode_formats(mode)[0]
    negative = _negation(form)
    pairs = acts.shape[-1] // 2
    if negative is None or not pairs or acts.shape[-1] != weights.shape[-1]:
        return acts, weights
    chosen = rng.random((len(acts), 1, 1)) < (0.1 if spec.sums_add_up else 0.25)
    near = rng.random((len(acts), 1, 1)) < 0.3
    if isinstance(form, MinifloatFormat) and not spec.sums_add_up:
        mantissa, bias = form.mantissa_bits, (1 << form.exponent_bits - 1) - 1
        raised = chosen & ~near
        exponent = (acts >> mantissa) & ((1 << form.exponent_bits) - 1)
        wanted = np.where(raised, np.maximum(exponent, bias + rng.integers(0, bias, size=exponent.shape)), exponent)
        for ahead in (1, 2, 3):
            # Of the steps that follow one, the nearest decides.
            later = np.roll(raised[:, :, 0], -ahead, axis=0)[..., None] & (wanted == exponent)
            top = np.roll(wanted.max(axis=-1, keepdims=True), -ahead, axis=0).astype(np.int64)
            low = np.maximum(top - rng.integers(8, 26, size=top.shape), 0)
            wanted = np.where(later, low, wanted)
        moved = acts + ((wanted.astype(np.int64) - exponent) << mantissa).astype(np.uint32)
        acts = np.where(_finite(form, moved), moved, acts)
    acts, weights = acts.copy(), weights.copy()
    first, second = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
    weights[..., second] = np.where(chosen, weights[..., first], weights[..., second])
    other = negative[acts[..., first]]
    beside = other ^ (near & (rng.random(other.shape) < 0.5)).astype(np.uint32)
    other = np.where(_finite(form, beside), beside, other)
    acts[..., second] = np.where(chosen, other, acts[..., second])
    return (acts, weights) if spec.sums_add_up else _taken_back(form, rng, negative, acts, weights)


def _taken_back(
    form: Format, rng: np.random.Generator, negative: np.ndarray, acts: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Some steps are the one before them with the other sign, some of those but for a last bit: what is left of a sum
    are its lowest places. Others take a little less than a power of two from a power of two, across its exponent, and
    something of the last places besides.
    """
    again = rng.random((len(acts), 1, 1)) < 0.3
    again &= ~np.roll(again, 1, axis=0)
    again[0] = False
    across = again & (rng.random(again.shape) < 0.4)
    if isinstance(form, MinifloatFormat):
        mantissa, ends = form.mantissa_bits, (1 << form.exponent_bits) - 1
        exponent = np.clip((acts[..., :1] >> mantissa) & ends, 1, ends - 1)
        power, rest = exponent << mantissa, acts & np.uint32((1 << mantissa) - 1)
        before = np.roll(across, -1, axis=0)
        acts = np.where(before, np.concatenate([power, np.zeros_like(rest[..., 1:])], axis=-1), acts)
        # The whole power and what is among the last places beside it, or half of it and a good part of that.
        half = rng.integers(0, 2, size=(*rest.shape[:-1], 1))
        places = np.where(half, rng.integers(3, 8, size=rest.shape), rng.integers(9, 16, size=rest.shape))
        lower = np.maximum(np.roll(exponent, 1, axis=0).astype(np.int64) - places, 0).astype(np.uint32)
        beneath = (lower << mantissa) | rest | np.where(half, ((1 << mantissa) - 1) & ~7, 0).astype(np.uint32)
        beneath[..., 0] = np.maximum(np.roll(power, 1, axis=0) - (half << mantissa) - 1, 0)[..., 0]
        other = np.where(across, negative[beneath], negative[np.roll(acts, 1, axis=0)])
    else:
        other = negative[np.roll(acts, 1, axis=0)]
    flips = (rng.random((*other.shape[:-1], 1)) < 0.5) & (rng.random(other.shape) < 0.5)
    beside = other ^ (flips & ~across).astype(np.uint32)
    other = np.where(_finite(form, beside), beside, other)
    factors = np.where(np.roll(across, -1, axis=0), weights[..., :1], weights)
    return np.where(again, other, acts), np.where(again, np.roll(factors, 1, axis=0), factors)


def corner_steps(spec: TileSpec, seed: int, mode: int = 0, peaks: int = 1) -> Steps:
    """Every corner code of the activations against every corner code of the weights, in every cell, alone and in long
    runs.

    Single-step groups hold one pair in all K products; two groups as long as is legal hold the pairs that drive sums to
    their ends, and ``peaks`` more of each kind come as near as can be to the largest power of two that a sum reaches.
    """
    rng = np.random.default_rng(seed)
    acts_format, weights_format = spec.mode_formats(mode)
    columns = spec.code_columns(mode)
    left, right = _allowed(spec, "acts", mode), _allowed(spec, "weights", mode)
    pairs = [(a, w) for a in left.tolist() for w in right.tolist()]
    longest = _longest(spec, mode)
    extreme = _extremes(acts_format, weights_format, left, right)
    lengths = [1] * len(pairs) + [longest] * len(extreme)
    a = np.concatenate([[pair[0] for pair in pairs], np.repeat([pair[0] for pair in extreme], longest)])
    w = np.concatenate([[pair[1] for pair in pairs], np.repeat([pair[1] for pair in extreme], longest)])
    acts = np.broadcast_to(a[:, None, None], (len(a), spec.m, columns[0])).astype(np.uint32)
    weights = np.broadcast_to(w[:, None, None], (len(w), spec.n, columns[1])).astype(np.uint32)
    # A peak of sums that do not simply add up is not searched for.
    near = [_peak(spec, rng, *pair, mode) for pair in extreme for _ in range(peaks if spec.sums_add_up else 0)]
    lengths += [len(peak[0]) for peak in near]
    acts = np.concatenate([acts, *(peak[0] for peak in near)])
    weights = np.concatenate([weights, *(peak[1] for peak in near)])
    return _steps(spec, rng, lengths, acts, weights, mode)


def _peak(
    spec: TileSpec, rng: np.random.Generator, act: int, weight: int, mode: int, tries: int = 500
) -> tuple[np.ndarray, np.ndarray]:
    """A group that adds ``act`` · ``weight`` and ends close to the largest power of two it can reach.

    Returns activations [S, M, K] and weights [S, N, K], alike in all rows and all columns.
    """
    columns = spec.code_columns(mode)
    acts = _codes(spec, rng, "acts", (tries, 1, columns[0]), mode)
    weights = _codes(spec, rng, "weights", (tries, 1, columns[1]), mode)
    acts[0], weights[0] = act, weight
    acts[1 : tries // 2, :, : columns[0] // 2] = act
    weights[1 : tries // 2, :, : columns[1] // 2] = weight
    acts, weights = np.repeat(acts, spec.m, axis=1), np.repeat(weights, spec.n, axis=1)
    row = {name: np.zeros((tries, spec.m), np.int64) for name in spec.row_side()}
    col = {name: np.zeros((tries, spec.n), np.int64) for name in spec.col_side()}
    sums = spec.terms(acts, weights, row, col, mode).sum(axis=0)[:, 0, 0, 0]
    step, longest = int(sums[0]), max(1, spec.depth // spec.modes()[mode].k)
    power = 1 << max((abs(step) * longest).bit_length() - 1, 0)
    whole = min(power // max(abs(step), 1), longest - 1)
    missing = (power if step > 0 else -power) - whole * step
    best = int(np.abs(sums - missing).argmin())
    order = [0] * whole + [best]
    return acts[order], weights[order]


def full_steps(spec: TileSpec, seed: int, mode: int = 0) -> Steps:
    """Groups of exactly ``depth`` products in which every operand is at an end of its range, whatever ``overflow`` is.

    The largest and the smallest activation meet the largest and the smallest weight, with every field of side
    information but scales at its ends, and all that in every combination: rows take the activations in turn, columns
    the weights, and as many groups follow as it takes. What ``depth`` leaves over of a step is padded, as it would be
    at the end of a layer.
    """
    rng = np.random.default_rng(seed)
    formats, columns, k = spec.mode_formats(mode), spec.code_columns(mode), spec.modes()[mode].k
    scales = spec.scale_formats(spec.p)
    fields, sizes = (spec.row_side(), spec.col_side()), (spec.m, spec.n)
    ends = [
        list(itertools.product(_ends(formats[side], _allowed(spec, role, mode)), _side_ends(fields[side])))
        for side, role in enumerate(("acts", "weights"))
    ]
    in_turn = [
        [np.arange(at, at + size) % len(found) for at in range(0, len(found), size)]
        for found, size in zip(ends, sizes, strict=True)
    ]
    groups = list(itertools.product(*in_turn))
    steps, rest = divmod(spec.depth, k)
    padding = [form.padding for form in formats]
    # Formats without a zero end with a whole step.
    padded = steps > 0 and rest > 0 and None not in padding
    length = max(steps + padded, 1)
    first, last, group = flags([length] * len(groups))
    codes: list[np.ndarray] = []
    sides: list[dict[str, np.ndarray]] = []
    for side in range(2):
        chosen = [[ends[side][index] for index in pair[side]] for pair in groups]
        words = np.array([[code for code, _ in found] for found in chosen], np.uint32)[group]
        words = np.repeat(words[..., None], columns[side], axis=2)
        if padded:
            # With several outputs a column their codes of one element lie together.
            words[last, :, rest * columns[side] // k :] = padding[side] or 0
        codes.append(words)
        values = {
            name: np.array([[own[name] for _, own in found] for found in chosen])[group] for name in ends[side][0][1]
        }
        if "scale" in fields[side]:
            values["scale"] = rng.choice(_near_one(scales[side]), size=(len(groups), sizes[side]))[group]
        sides.append({name: values[name] for name in fields[side]})
    (acts, weights), (row, col) = codes, sides
    return Steps(acts, weights, row, col, first, last, last.copy(), mode)


def _ends(form: Format, corners: np.ndarray) -> list[int]:
    """Codes of the largest and the smallest finite value; all corners where the value depends on side information."""
    if form.side_bits:
        return [int(code) for code in corners]
    codes = form.codes() if form.code_bits <= _FEW_BITS else corners
    codes = codes[_finite(form, codes)]
    values = form.decode(codes).reshape(len(codes), -1).sum(axis=1)
    return list(dict.fromkeys(int(codes[index]) for index in (values.argmax(), values.argmin())))


def _side_ends(fields: dict[str, Side]) -> list[dict[str, int]]:
    """Every combination of the ends of fields other than scales; of plain bits, those of either half."""
    ends = {}
    for name, side in fields.items():
        legal = _legal(side)
        half = len(legal) // 2
        plain = not side.signed and side.values is None and half > 0
        places = (0, half - 1, half, -1) if plain else (0, -1)
        ends[name] = tuple(dict.fromkeys(legal[place] for place in places))
    ends.pop("scale", None)
    if len(ends) > _FEW_FIELDS:
        # A table: all of its values at one end, and neighbours at different ones.
        turns = [(0, 0), (-1, -1), (0, -1), (-1, 0)]
        return [{name: end[turn[i % 2]] for i, (name, end) in enumerate(ends.items())} for turn in turns]
    return [dict(zip(ends, values, strict=True)) for values in itertools.product(*ends.values())]


def _listed(form: Format) -> np.ndarray:
    """Codes of a scale format, ascending: all of them, or of FP32 those of every exponent with a few mantissas."""
    if form.code_bits <= 16 or not isinstance(form, MinifloatFormat):
        return form.codes()
    last = (1 << form.mantissa_bits) - 1
    # Ends of the significand, one bit (so that subnormals have every exponent), many, and one without a pattern.
    powers = {1 << place for place in range(form.mantissa_bits)}
    mantissas = np.array(sorted({0, last // 3, 0x2B7E15 & last, last >> 1, last - 2, last} | powers), np.uint32)
    above = np.arange(1 << (form.code_bits - form.mantissa_bits), dtype=np.uint32) << np.uint32(form.mantissa_bits)
    return (above[:, None] | mantissas).reshape(-1)


def _near_one(name: str) -> np.ndarray:
    """Codes of a scale format whose products with sums neither overflow nor vanish: from 1/2 up to 2."""
    form = get(name)
    codes = _listed(form)
    values = form.decode(codes)
    found: np.ndarray = codes[(values >= 0.5) & (values <= 2)].astype(np.int64)
    return found


def _powers(name: str) -> dict[int, np.ndarray]:
    """Finite positive codes of a scale format by the exponent of their value."""
    form = get(name)
    codes = _listed(form)
    values = form.decode(codes)
    good = np.isfinite(values) & (values > 0)
    exponents = np.frexp(values[good])[1] - 1
    return {int(exponent): codes[good][exponents == exponent] for exponent in np.unique(exponents)}


def _split(rng: np.random.Generator, wanted: int, rows: list[int], cols: list[int]) -> tuple[int, int]:
    """Exponents of a row and a column scale that add up to ``wanted``, or as near to it as the formats reach."""
    low, high = max(rows[0], wanted - cols[-1]), min(rows[-1], wanted - cols[0])
    row = int(rng.integers(low, high + 1)) if low <= high else (rows[-1] if wanted > 0 else rows[0])
    return row, min(max(wanted - row, cols[0]), cols[-1])


def scale_steps(spec: TileSpec, seed: int, results: int = 96, mode: int = 0) -> Steps:
    """Short groups whose scales drive the post lanes through their cases; only for tiles with lanes.

    There are about ``results`` results, M·N of them at a time, each of two to four groups. Mostly a product, others
    that are 2**-30 to 2**30 times as large, and the first with its activations negated: additions with every distance
    of exponents, and cancellation of every depth down to exact zero. The products lie in the middle of FP32's range,
    around its smallest normal number, or at its end; some scales are any code at all, infinities and NaN included. The
    last results are the smallest products of elements and scales that there are.
    """
    rng = np.random.default_rng(seed)
    outputs = max(6, results // (spec.m * spec.n))
    formats = spec.quantization()
    row_codes, col_codes = _powers(formats.act_scale), _powers(formats.weight_scale)
    rows, cols = sorted(row_codes), sorted(col_codes)
    sum_bits = int(spec.acc_bits(spec.p))
    negative = _negation(spec.mode_formats(mode)[0])
    acts, weights = _dense(spec, rng, 4 * outputs, mode)
    done: list[bool] = []
    long: list[bool] = []
    sides: dict[str, list[np.ndarray]] = {f"row_{name}": [] for name in spec.row_side()}
    sides |= {f"col_{name}": [] for name in spec.col_side()}
    for _ in range(outputs):
        region = rng.choice(["middle", "edge", "lost", "large"], p=[0.4, 0.25, 0.15, 0.2])
        if region == "middle":
            base = int(rng.integers(-40, 40))
        elif region == "edge":
            # Around the smallest normal numbers, where cancellation ends before the leading one is in its place.
            base = -126 - spec.lsb_exp - int(rng.integers(-28, 12))
        elif region == "lost":
            # Where the last bits of a sum are below those of subnormal numbers.
            base = -126 - spec.lsb_exp - int(rng.integers(20, sum_bits + 24))
        else:
            base = 127 - spec.lsb_exp - int(rng.integers(-2, sum_bits + 2))
        returns = region != "lost" and bool(rng.random() < 0.5)
        if returns:
            # What is left of the first two when the first is taken away again: any number of leading zeros.
            depth = int(rng.integers(8 if region == "edge" else -2, 29))
            count, offsets = 3, [0, -depth, 0]
        else:
            count, spread = int(rng.integers(2, 5)), 30 if region == "middle" else 6
            offsets = [0, *rng.integers(-spread, spread // 2 + 1, size=count - 1).tolist()]
        first = len(done)
        for index in range(count):
            again = returns and index == count - 1
            if again:
                acts[len(done)] = acts[first] if negative is None else negative[acts[first]]
                weights[len(done)] = weights[first]
            done.append(index == count - 1)
            # What is to be taken away again stays as it is.
            long.append(not returns and bool(rng.random() < 0.3))
            row, col = _split(rng, base + offsets[index], rows, cols)
            for name, side in spec.row_side().items():
                values = rng.choice(row_codes[row], size=spec.m)
                sides[f"row_{name}"].append(values if name == "scale" else _any(side, rng, spec.m))
            for name, side in spec.col_side().items():
                values = rng.choice(col_codes[col], size=spec.n)
                sides[f"col_{name}"].append(values if name == "scale" else _any(side, rng, spec.n))
            if again:
                for column in sides.values():
                    column[-1] = column[first]
            elif rng.random() < 0.1:
                for prefix, fields, size in (("row", spec.row_side(), spec.m), ("col", spec.col_side(), spec.n)):
                    sides[f"{prefix}_scale"][-1] = np.where(
                        rng.random(size) < 0.5, _any(fields["scale"], rng, size), sides[f"{prefix}_scale"][-1]
                    )
    acts, weights = acts[: len(done)], weights[: len(done)]
    for pair in _least(spec, rng, mode):
        acts, weights = (np.concatenate(both) for both in zip((acts, weights), pair, strict=True))
        done.append(True)
        long.append(False)
        for prefix, fields, codes, size in (
            ("row", spec.row_side(), row_codes[rows[0]], spec.m),
            ("col", spec.col_side(), col_codes[cols[0]], spec.n),
        ):
            for name, side in fields.items():
                none = 0 if 0 in _legal(side) else _legal(side)[0]
                sides[f"{prefix}_{name}"].append(np.full(size, codes.min() if name == "scale" else none))
    acts, weights, steps = _lengthened(spec, rng, acts, weights, np.array(long), mode)
    begin, end, group = flags(steps.tolist())
    return Steps(
        acts,
        weights,
        {name: np.stack(sides[f"row_{name}"]).astype(np.int64)[group] for name in spec.row_side()},
        {name: np.stack(sides[f"col_{name}"]).astype(np.int64)[group] for name in spec.col_side()},
        begin,
        end,
        np.array(done)[group] & end,
        mode,
    )


def _largest(spec: TileSpec, mode: int) -> tuple[np.uint32, np.uint32]:
    """The codes of both sides with the largest product."""
    acts_format, weights_format = spec.mode_formats(mode)
    extreme = _extremes(acts_format, weights_format, _allowed(spec, "acts", mode), _allowed(spec, "weights", mode))
    act, weight = extreme[0]
    return np.uint32(act), np.uint32(weight)


def _odd(sums: np.ndarray) -> np.ndarray:
    """Magnitudes without their trailing zeros: the more bits, the more of them are significant."""
    found: np.ndarray = np.abs(sums) // np.maximum(np.abs(sums) & -np.abs(sums), 1)
    return found


def _least(spec: TileSpec, rng: np.random.Generator, mode: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Steps of one product each, of elements of one to four times the smallest value: activations [1, M, K] and weights
    [1, N, K]; none where a format has no zero."""
    found = []
    ends = [_smallest(form) for form in spec.mode_formats(mode)]
    for _ in range(4):
        pair = []
        for end, codes in zip(ends, _operands(spec, rng, 1, mode), strict=True):
            if end is None:
                return []
            zero, small = end
            pair.append(np.full_like(codes, zero))
            pair[-1][..., 0] = rng.choice(small, size=codes.shape[:-1])
        found.append((pair[0], pair[1]))
    return found


def _smallest(form: Format) -> tuple[int, np.ndarray] | None:
    """Codes of zero and of the up to four smallest positive values; None for wide formats and those without a zero."""
    if not _has_table(form):
        return None
    codes = form.codes()
    values = form.decode(codes)
    zeros, positive = codes[values == 0], values > 0
    if not len(zeros) or not positive.any():
        return None
    return int(zeros[0]), codes[positive][np.argsort(values[positive], kind="stable")[:4]]


def _lengthened(
    spec: TileSpec, rng: np.random.Generator, acts: np.ndarray, weights: np.ndarray, long: np.ndarray, mode: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add a step to those groups of one step that are ``long``: one of a few that gives sums many significant bits.

    Returns activations, weights and the number of steps of each group.
    """
    if _longest(spec, mode) < 2 or not long.any():
        return acts, weights, np.ones(len(acts), np.int64)
    row = {name: np.zeros((len(acts), spec.m), np.int64) for name in spec.row_side()}
    col = {name: np.zeros((len(acts), spec.n), np.int64) for name in spec.col_side()}
    sums = spec.terms(acts, weights, row, col, mode).sum(axis=0)[..., 0]
    tries = rng.integers(len(acts), size=(len(acts), 32))
    best = _odd(sums[:, None] + sums[tries]).max(axis=(2, 3)).argmax(axis=1)
    second = tries[np.arange(len(acts)), best]
    order = np.concatenate([[index, second[index]] if more else [index] for index, more in enumerate(long.tolist())])
    return acts[order], weights[order], 1 + long.astype(np.int64)


def _dense(spec: TileSpec, rng: np.random.Generator, count: int, mode: int) -> tuple[np.ndarray, np.ndarray]:
    """Activations [count, M, K] and weights [count, N, K] of steps; half have sums of many significant bits."""
    tries = 8 * count
    acts, weights = _operands(spec, rng, tries, mode)
    # Some hold mostly the largest code of each side, or the sums' upper bits would never meet set lower ones.
    acts, weights = (
        np.where((np.arange(tries) < tries // 4)[:, None, None] & (rng.random(codes.shape) < 0.85), largest, codes)
        for codes, largest in zip((acts, weights), _largest(spec, mode), strict=True)
    )
    row = {name: np.zeros((tries, spec.m), np.int64) for name in spec.row_side()}
    col = {name: np.zeros((tries, spec.n), np.int64) for name in spec.col_side()}
    sums = spec.terms(acts, weights, row, col, mode).sum(axis=0)[..., 0]
    best = np.argsort(-_odd(sums).max(axis=(1, 2)), kind="stable")[: count // 2]
    chosen = rng.permutation(np.concatenate([best, rng.integers(0, tries, size=count - len(best))]))
    return acts[chosen], weights[chosen]


def _any(side: Side, rng: np.random.Generator, count: int) -> np.ndarray:
    legal = _legal(side)
    values: np.ndarray = legal.start + legal.step * rng.integers(len(legal), size=count)
    # The last code is NaN in every scale format that has one, the first half's last an infinity's neighbour.
    half = len(legal) // 2
    ends = np.array([legal[0], legal[-1], legal[half], legal[half - 1]])
    return np.where(rng.random(count) < 0.3, rng.choice(ends, size=count), values)


def reset_runs(spec: TileSpec, seed: int, mode: int = 0) -> list[tuple[Steps, int | None]]:
    """Runs of short groups with the cycle in which each is reset: every phase of a step and of the lanes.

    Each phase comes twice, once between groups of a single step (so that the step on offer ends one), once between
    longer ones. The last run has None. Each lasts long enough to show results, and so what the reset before it left.
    """
    rng = np.random.default_rng(seed)
    step = int(spec.step_cycles(spec.p, mode))
    # At least a few, for what depends on whether an output has just ended.
    period = max(step + spec.folds, int(spec.post_cycles(spec.p)), 4)
    shortest = int(spec.drain(spec.p)) + period
    runs: list[tuple[Steps, int | None]] = []
    for offset in [*rng.permutation(2 * period).tolist(), None]:
        enough = (shortest + 2 * period) // step + 2
        longest = 1 if offset is not None and offset < period else min(3, _longest(spec, mode))
        lengths = rng.integers(1, longest + 1, size=enough).tolist()
        acts, weights = _operands(spec, rng, sum(lengths), mode)
        runs.append((_steps(spec, rng, lengths, acts, weights, mode), None if offset is None else shortest + offset))
    return runs


def _extremes(acts: Format, weights: Format, left: np.ndarray, right: np.ndarray) -> list[tuple[int, int]]:
    """The pairs of code words with the largest and the smallest product, summed over the values of a word."""
    if acts.side_bits or weights.side_bits:
        return [(int(left[0]), int(right[0]))]
    a, w = acts.decode(left).reshape(len(left), -1), weights.decode(right).reshape(len(right), -1)
    # A word of one value meets every value of a longer one.
    size = max(a.shape[1], w.shape[1])
    a, w = np.tile(a, size // a.shape[1]), np.tile(w, size // w.shape[1])
    with np.errstate(invalid="ignore"):
        products = a @ w.T
    finite = np.isfinite(products)
    chosen = [np.where(finite, products, -np.inf).argmax(), np.where(finite, products, np.inf).argmin()]
    places = [np.unravel_index(index, products.shape) for index in chosen]
    return [(int(left[int(i)]), int(right[int(j)])) for i, j in places]
