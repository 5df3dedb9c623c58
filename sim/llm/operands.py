"""Weights of a model's linear layers, quantised once for a tile."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from hwgen.formats import QTensor, get
from hwgen.pe import TileSpec
from hwgen.schedule import Layer, Schedule
from sim.llm.forward import weight_name
from sim.models.model_file import ModelFile

__all__ = ["in_groups", "quantised", "quantised_layers", "rows_of", "unscaled"]


def quantised(spec: TileSpec, name: str, weights: np.ndarray) -> QTensor:
    """Weights [N, K] float32 as the tile takes them, K filled with zeros up to whole code words."""
    return spec.quantize_weights(Schedule(spec, Layer(name, 1, *weights.shape)).whole_words(weights))


def in_groups(spec: TileSpec, codes: np.ndarray, scales: np.ndarray) -> QTensor:
    """Weights of codes [N, K] whose rows have one scale each, codes [N], as the tile takes them: a scale a group."""
    blank = spec.quantize_weights(np.zeros(codes.shape, np.float32))
    by_group = np.repeat(scales[:, None], blank.scale_codes.shape[1], axis=1)
    return dataclasses.replace(blank, codes=codes, scale_codes=by_group)


def unscaled(spec: TileSpec, codes: np.ndarray) -> QTensor:
    """Weights of codes [N, K] with scales of 1."""
    one = get(spec.quantization().weight_scale).encode_scalar(1.0)
    return in_groups(spec, codes, np.full(len(codes), one, np.uint32))


def quantised_layers(
    spec: TileSpec, model: ModelFile, names: Sequence[str], progress: Callable[[str], None]
) -> dict[str, QTensor]:
    """Weights of linear layers by name."""
    found = {}
    for number, name in enumerate(names):
        progress(f"quantising {name}, {number + 1} of {len(names)} layers, for {spec.family}")
        found[name] = quantised(spec, name, model.float32(weight_name(model, name)))
    return found


def rows_of(weights: QTensor, rows: slice) -> QTensor:
    """Some rows [N', K] of quantised weights."""
    parts = {
        name: value[rows] if len(value) > 1 else value
        for name in ("codes", "scale_codes", "zero", "selector", "outer")
        if (value := getattr(weights, name)) is not None
    }
    return dataclasses.replace(weights, **parts)
