"""The arithmetic of a tile in a model: linear layers whose products are the tile's, bit for bit.

Beside it the same formats with exact products (`formats_alone`): what is between the two is the arithmetic's doing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from hwgen.formats import QTensor
from hwgen.pe import TileSpec
from hwgen.quantize import acts_for
from hwgen.schedule import Layer, Schedule
from sim.accuracy.arithmetic import compiled_layer
from sim.accuracy.operand import stored_bits
from sim.accuracy.stored import Product

__all__ = ["formats_alone", "tile_arithmetic", "tile_label"]

Chosen = Callable[[str, Tensor], tuple[Product, float]]


def tile_label(spec: TileSpec) -> str:
    """Family and the parameters that are not the default ones."""
    defaults = type(spec)()
    changed = [
        f"{name}={value}" for name in spec.parameters() if (value := getattr(spec, name)) != getattr(defaults, name)
    ]
    return " ".join([spec.family, *changed])


def _stored(spec: TileSpec, name: str, weights: Tensor) -> tuple[QTensor, Schedule]:
    schedule = Schedule(spec, Layer(name, 1, *weights.shape))
    return spec.quantize_weights(schedule.whole_words(weights.numpy())), schedule


def tile_arithmetic(spec: TileSpec) -> Chosen:
    """For `sim.accuracy.language.measure_products`: products as the tile computes them."""

    def product(name: str, weights: Tensor) -> tuple[Product, float]:
        stored, schedule = _stored(spec, name, weights)
        layer = compiled_layer(stored, spec.quantization())

        def multiply(x: Tensor) -> Tensor:
            rows = np.ascontiguousarray(schedule.whole_words(x.detach().float().cpu().numpy()))
            return layer(torch.from_numpy(rows))

        return multiply, stored_bits(stored)

    return product


def formats_alone(spec: TileSpec) -> Chosen:
    """The same, with float32 products of the values that the tile's operands stand for."""

    def product(name: str, weights: Tensor) -> tuple[Product, float]:
        stored, schedule = _stored(spec, name, weights)
        values = torch.from_numpy(stored.dequantize().astype(np.float32))

        def multiply(x: Tensor) -> Tensor:
            rows = np.ascontiguousarray(schedule.whole_words(x.detach().float().cpu().numpy()))
            acts = acts_for(spec.quantization(), rows).dequantize().astype(np.float32)
            return torch.from_numpy(acts) @ values.T

        return multiply, stored_bits(stored)

    return product
