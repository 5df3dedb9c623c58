"""Rates of compiled layers and of the golden layers that they are equal to, for a layer of the default model."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from hwgen.pe import TileSpec, families, family
from hwgen.schedule import Layer, Schedule
from sim.accuracy.arithmetic import compiled_layer
from sim.golden import golden_layer

__all__ = ["ROWS", "Rates", "layer_rates", "tiles"]

ROWS, COLUMNS, K = 1024, 1536, 576
_GOLDEN_ROWS, _GOLDEN_COLUMNS = 8, 256
"""Golden layers are slow: their rate is that of a part."""

_OTHERS = (
    ("lut", {"acts": "fp16"}),
    ("lut", {"acts": "fp16", "align_scope": "step"}),
    ("lut", {"entries": "int8"}),
    ("lut", {"cell": "fp_add", "acts": "fp16", "scheme": "bipolar"}),
    ("bitmod", {"bits": 8}),
    ("bitmod", {"accumulator": "exact"}),
    ("mixpe", {"dequant": "before", "depth": 1024}),
    ("mixpe", {"acts": "fp16"}),
    ("mx", {"acts": "mxfp8_e5m2", "weights": "mxfp8_e5m2"}),
    ("minifloat", {"accumulator": "fp32"}),
    ("minifloat", {"bits": 16}),
    ("posit", {"operands": "p16", "readout": "posit", "post_lanes": 2}),
    ("int", {"acts": "fp16"}),
    ("codebook", {"acts": "fp16"}),
    ("shiftadd", {"acts": "fp16", "bits": 5, "scheme": "apot"}),
    ("complex", {"mapping": "widely"}),
)
"""Beside the families' defaults: one tile of each other arithmetic."""


@dataclass(frozen=True)
class Rates:
    """MAC/s of a compiled layer, None where no kernel computes it, and of its golden layer; ``seconds_quantise`` of all
    activations, not in either.
    """

    compiled: float | None
    golden: float
    seconds_quantise: float


def tiles() -> dict[str, TileSpec]:
    """The tiles that are measured, by what to call them."""
    found = {name: family(name)() for name in families()}
    for name, values in _OTHERS:
        said = ", ".join(f"{key} {value}" for key, value in values.items())
        found[f"{name}, {said}"] = family(name).from_values(values)
    return found


def layer_rates(spec: TileSpec) -> Rates:
    """Rates of a layer of `ROWS` tokens on all cores, best of three runs, and of a part of it as a golden layer.

    Arithmetic that no kernel computes has the golden layer's rate alone: all tokens would take it hours.
    """
    rng = np.random.default_rng(1)
    schedule = Schedule(spec, Layer("layer", ROWS, COLUMNS, K))
    weights = schedule.whole_words(rng.standard_normal((COLUMNS, K)))
    x = schedule.whole_words((rng.standard_normal((ROWS, K)) * np.exp(rng.standard_normal(K))).astype(np.float32))
    layer = compiled_layer(spec.quantize_weights(weights), spec.quantization())
    golden = golden_layer(spec.quantize_weights(weights[:_GOLDEN_COLUMNS]), spec.quantization())
    begin = time.perf_counter()
    acts = golden.quantize(torch.from_numpy(x))
    quantise = time.perf_counter() - begin
    times = []
    for _ in range(3 if layer.compiled else 0):
        begin = time.perf_counter()
        layer(acts)
        times.append(time.perf_counter() - begin)
    part = golden.quantize(torch.from_numpy(x[:_GOLDEN_ROWS]))
    begin = time.perf_counter()
    golden(part)
    seconds = time.perf_counter() - begin
    compiled = ROWS * COLUMNS * K / min(times) if times else None
    return Rates(compiled, _GOLDEN_ROWS * _GOLDEN_COLUMNS * K / seconds, quantise)
