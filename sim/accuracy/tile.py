"""The arithmetic of a tile in a model: linear layers whose products are the tile's, bit for bit.

Beside it the same formats with exact products (`formats_alone`): what is between the two is the arithmetic's doing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwgen.formats import IntFormat, MinifloatFormat, QTensor, block_format, block_names, get
from hwgen.formats.blocks import says_itself
from hwgen.pe import TileSpec
from hwgen.quantize import OF_FORMATS, acts_for
from hwgen.schedule import Layer, Schedule
from sim.accuracy.arithmetic import compiled_layer
from sim.accuracy.operand import stored_bits
from sim.accuracy.recipe import Recipe, recipe
from sim.accuracy.stored import Product
from sim.clock import at_clock
from sim.estimate import estimate
from sim.tech import DEFAULT

__all__ = ["energy_pj_per_mac", "formats_alone", "formats_of", "tile_arithmetic", "tile_label"]

_LARGE = Layer("large", 256, 4096, 4096)
"""A layer of which every tile is filled, whatever its shape."""

Chosen = Callable[[str, Tensor], tuple[Product, float]]


def tile_label(spec: TileSpec) -> str:
    """Family and the parameters that are not the default ones."""
    return " ".join([spec.family, *(f"{name}={value}" for name, value in _changed(spec).items())])


def _changed(spec: TileSpec) -> dict[str, Any]:
    """Parameters that are not the default ones."""
    defaults = type(spec)()
    return {name: value for name in spec.parameters() if (value := getattr(spec, name)) != getattr(defaults, name)}


def energy_pj_per_mac(spec: TileSpec, tech: str = DEFAULT) -> float:
    """Energy of a multiply-accumulate of a tile that is filled, with its buffers, at the technology's default clock."""
    return estimate(at_clock(type(spec), _changed(spec), tech), _LARGE, tech).energy_pj_per_mac


def formats_of(spec: TileSpec) -> Recipe:
    """How a tile's layers are stored, by names that any model can be measured with: weights and activations.

    Two tiles whose layers are quantised alike have the same recipe, whatever their arithmetic.
    """
    said = spec.quantization()
    return recipe({side: _operand(said, side, spec.p.get(side)) for side in ("weights", "acts")})


def _operand(said: Any, side: str, of_tile: Any) -> str:
    """Name of the weights' or activations' format, as `sim.accuracy.operand` reads it; ``of_tile`` is the tile's."""
    form = get(said.weights if side == "weights" else said.acts)
    own = block_format(of_tile) if isinstance(of_tile, str) and says_itself(of_tile) else None
    if own is not None:
        return own.name
    if said.scheme in ("mx", "nv"):
        return _block_name(form.name, said.scheme) + (".ceil" if said.block_rule == "ceil" else "")
    if said.scheme == "hif4":
        return "hif4"
    if isinstance(form, MinifloatFormat) and form.code_bits >= 16:
        return form.name
    group = f"/{said.group or 'row'}" if side == "weights" else "/row"
    scale = f"@{said.weight_scale if side == 'weights' else said.act_scale}"
    if side == "acts":
        # Second-level scales of a token are FP32 with BitMoD.
        return f"{form.name}{group}{'@fp32' if said.scheme == 'bitmod' else scale}"
    scheme = "" if said.scheme in OF_FORMATS else f".{said.scheme}"
    if said.scheme == "ternary":
        return f"ternary{group}{scale}"
    if said.scheme == "bitmod" and not isinstance(form, IntFormat):
        scheme = ""
    return f"{form.name}{scheme}{group}{scale}"


def _block_name(element: str, scheme: str) -> str:
    """Name of a block format by its elements."""
    blocks = ((name, block_format(name)) for name in block_names())
    return next(name for name, one in blocks if one.scheme == scheme and one.element.name == element)


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
