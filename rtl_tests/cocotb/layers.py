"""Slices of real quantised layers as stimuli, with the golden PyTorch layer's beats: nothing here runs the tile's reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hwgen.formats import QTensor, get
from hwgen.pe import TileSpec
from hwgen.quantize import acts_for
from hwgen.schedule import Layer, Schedule, Steps
from sim.golden import QuantLinear
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

    ``beats`` has ``y`` uint32 [B, lanes], or ``sums`` int64 [B, M, N, 1] and ``row_sums`` [B, M].
    """
    weights, acts = layer_operands(None, LAYER, TOKENS)
    tokens = TOKENS - TOKENS % spec.m
    per_block = tokens // spec.m * (weights.shape[1] // spec.k)
    outputs = spec.n * -(-at_least // per_block)
    # Spread over the layer, so that quiet and loud outputs are among them.
    weights, acts = weights[np.linspace(0, len(weights) - 1, outputs).astype(int)], acts[:tokens]
    schedule = Schedule(spec, Layer(LAYER, tokens, *weights.shape))
    q_weights = spec.quantize_weights(weights)
    steps = schedule.lower(spec.quantize_acts(acts), q_weights)
    golden = QuantLinear.from_linear(torch.from_numpy(weights), spec.quantization())
    q_acts = acts_for(spec.quantization(), acts)
    if spec.lanes:
        y = golden(q_acts).numpy().view(np.uint32)
        return Slice(steps, {"y": _blocks(y[None], spec).reshape(-1, spec.lanes)})
    unit = spec.lsb_exp
    wanted = _sums(golden, q_acts, unit)
    beats = {"sums": wanted}
    if spec.has_row_sums:
        zero = spec.zero_points(q_weights)
        assert zero is not None
        # The sum of a token's activations is what an output with all weights 1 gives; without weights nothing is halved.
        ones = QTensor(
            codes=np.ones((1, weights.shape[1]), np.uint32),
            format=q_weights.format,
            group_size=q_weights.group_size,
            scale_codes=np.full((1, q_weights.groups), get("e8m0").encode(1.0), np.uint32),
            scale_format=get("e8m0"),
        )
        act_unit = unit - q_weights.format.lsb_exp + _halved(spec)
        rows = _sums(QuantLinear(ones, spec.quantization()), q_acts, act_unit)
        beats["sums"] = wanted + rows * np.broadcast_to(zero, (len(zero), len(wanted))).T[:, None, :]
        blocks = rows[..., 0].reshape(len(rows), -1, 1, spec.m).transpose(1, 2, 0, 3)
        beats["row_sums"] = np.broadcast_to(blocks, (blocks.shape[0], outputs // spec.n, *blocks.shape[2:])).reshape(-1, spec.m)
    beats["sums"] = _blocks(beats["sums"], spec)[..., None]
    return Slice(steps, beats)


def _halved(spec: TileSpec) -> int:
    """Planes of ±1 count in halves of an activation unit."""
    return int(spec.lsb_exp < _plain_unit(spec))


def _plain_unit(spec: TileSpec) -> int:
    return spec.act_format.lsb_exp + spec.weight_format.lsb_exp
