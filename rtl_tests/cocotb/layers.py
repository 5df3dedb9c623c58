"""Slices of real quantised layers as stimuli, with the beats of the golden PyTorch layer, not of the reference."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from hwgen.formats import QTensor, get
from hwgen.pe import TileSpec
from hwgen.quantize import acts_for
from hwgen.schedule import Layer, Schedule, Steps
from sim.golden import QuantLinear, golden_layer
from sim.inputs import layer_operands

LAYER = "blk.0.ffn_up"
TOKENS = 4


@dataclass(frozen=True)
class Slice:
    """Steps of some tokens and outputs of a layer, and what must come out of the tile for them, by port role."""

    steps: Steps
    beats: dict[str, np.ndarray]


def layer_slice(spec: TileSpec, at_least: int = 1000) -> Slice:
    """Enough tokens and outputs of a layer of the default model for ``at_least`` steps.

    ``beats`` has ``y`` uint32 [B, lanes], or ``sums`` int64 or object [B, M, N, 1] and ``row_sums`` [B, M].
    """
    weights, acts = layer_operands(None, LAYER, TOKENS)
    tokens = TOKENS - TOKENS % spec.m
    per_block = tokens // spec.m * (weights.shape[1] // int(spec.layer_k(spec.p)))
    outputs = spec.n * -(-at_least // per_block)
    # Spread over the layer, so that quiet and loud outputs are among them.
    weights, acts = weights[np.linspace(0, len(weights) - 1, outputs).astype(int)], acts[:tokens]
    schedule = Schedule(spec, Layer(LAYER, tokens, *weights.shape))
    q_weights = spec.quantize_weights(weights)
    tile_acts = spec.quantize_acts(acts)
    steps = schedule.lower(tile_acts, q_weights)
    golden = golden_layer(q_weights, spec.quantization())
    q_acts = acts_for(spec.quantization(), acts)
    if spec.lanes:
        if q_weights.outer is not None or q_acts.outer is not None:
            # Second-level scales are applied after the tile.
            q_acts = dataclasses.replace(q_acts, outer=None)
            golden = golden_layer(dataclasses.replace(q_weights, outer=None), spec.quantization())
        values = golden(q_acts).numpy()
        y = values.view(np.uint32)
        output = dict(spec.quantization().options).get("output", "fp32")
        if output != "fp32":
            # Lanes that round to another format give its codes, and the golden layer values that it has.
            y = get(str(output)).encode(values)
            assert (get(str(output)).decode(y) == values).all()
        return Slice(steps, {"y": _blocks(y[None], spec).reshape(-1, spec.lanes)})
    words = golden.group_words(q_acts)
    if words is not None:
        beats = {"sums": _cells(words, spec)}
        if spec.has_row_sums:
            rows = _activation_sums(spec, q_weights, q_acts)
            beats["row_sums"] = _blocks(np.broadcast_to(rows[:, :, None], words.shape), spec)[..., 0]
        return Slice(steps, beats)
    if spec.sum_dtype is object:
        finer = spec.row_lsb_exp + spec.weight_format.lsb_exp - spec.lsb_exp
        wanted = np.asarray(golden.group_sums(q_acts)) << finer
    else:
        wanted = _in_units_of_the_tile(golden.group_values(q_acts).numpy(), tile_acts, spec)
    if not spec.has_row_sums:
        return Slice(steps, {"sums": _cells(wanted, spec)})
    zero = spec.zero_points(q_weights)
    assert zero is not None
    rows = _activation_sums(spec, q_weights, q_acts)
    sums = wanted + rows[:, :, None] * np.broadcast_to(zero, (outputs, len(wanted))).T[:, None, :]
    spread = np.broadcast_to(rows[:, :, None], sums.shape)
    return Slice(steps, {"sums": _blocks(sums, spec)[..., None], "row_sums": _blocks(spread, spec)[..., 0]})


def _in_units_of_the_tile(values: np.ndarray, acts: QTensor, spec: TileSpec) -> np.ndarray:
    """Integers [G, T, N] whose product with the activations' scale and 2**lsb_exp are the exact ``values``."""
    scales = np.broadcast_to(acts.scales, (acts.shape[0], len(values))).T[:, :, None]
    integers = values / (scales * 2.0**spec.lsb_exp)
    assert (integers == np.rint(integers)).all()
    assert np.abs(integers).max() < 2**53
    return integers.astype(np.int64)


def _activation_sums(spec: TileSpec, weights: QTensor, acts: QTensor) -> np.ndarray:
    """Sums of the tokens' activations over each group, int64 [G, T]: what an output with equal weights gives."""
    code = np.ones((1, weights.shape[1]), np.uint32)
    same = QTensor(
        codes=code,
        format=weights.format,
        group_size=weights.group_size,
        scale_codes=np.full((1, weights.groups), 127, np.uint32),
        scale_format=get("e8m0"),
    )
    # One or, in two's complement of one bit, minus one.
    value = int(weights.format.fixed(code)[0, 0])
    return np.asarray(np.asarray(QuantLinear(same, spec.quantization()).group_sums(acts))[..., 0] // value)


def _blocks(values: np.ndarray, spec: TileSpec) -> np.ndarray:
    """[G, T, N] in the order of the beats: [blocks of T, blocks of N, G] flattened, then [M, N] of the tile."""
    groups, tokens, outputs = values.shape
    tiled = values.reshape(groups, tokens // spec.m, spec.m, outputs // spec.n, spec.n)
    return tiled.transpose(1, 3, 0, 2, 4).reshape(-1, spec.m, spec.n)


def _cells(values: np.ndarray, spec: TileSpec) -> np.ndarray:
    """`_blocks` with the words of each cell, [B, M, N, P]: several outputs a column lie that far apart, and one that is
    a number of all words is cut into them, lowest first.
    """
    parts, words, bits = (int(number(spec.p)) for number in (spec.layer_outputs, spec.sums_of_cell, spec.acc_bits))
    groups, tokens, outputs = values.shape
    missing = -outputs % (spec.n * parts)
    padded = np.concatenate([values, np.zeros((groups, tokens, missing), values.dtype)], axis=2)
    tiled = padded.reshape(groups, tokens // spec.m, spec.m, -1, spec.n, parts)
    cells = tiled.transpose(1, 3, 0, 2, 4, 5).reshape(-1, spec.m, spec.n, parts)
    if words == parts:
        return cells
    found = np.zeros((*cells.shape[:3], words), object)
    if parts > 1:
        found[..., :: words // parts] = cells
    else:
        for word in range(words):
            found[..., word] = (cells[..., 0].astype(object) >> (bits * word)) & ((1 << bits) - 1)
    return found
