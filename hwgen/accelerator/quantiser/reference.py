"""What a quantiser writes, from the quantisers of weights and the layout that docs/kv_cache.md has."""

from __future__ import annotations

import dataclasses

import numpy as np

from hwgen.accelerator.design import Design
from hwgen.accelerator.quantiser.geometry import geometry
from hwgen.accelerator.quantiser.job import Kind, block_bytes, cache_bytes
from hwgen.formats import QTensor
from hwgen.frame.spec import TileSpec
from hwgen.quantize import weights_for

__all__ = ["token_images", "token_weights"]


def token_weights(tile: TileSpec, values: np.ndarray) -> QTensor:
    """Rows [tokens, elements] float32 quantised as weights of the tile with one scale each, whatever its groups."""
    return weights_for(dataclasses.replace(tile.quantization(), group=0), values)


def token_images(
    design: Design, kind: int, values: np.ndarray, first_token: int = 0, tokens: int | None = None
) -> dict[str, np.ndarray]:
    """Images ``codes`` and ``scales`` of a cache of ``tokens`` tokens (None: as many as there are), uint8, that was
    all zeros before rows [rows, elements] float32 were written as tokens from ``first_token`` on by one job.
    """
    form, (rows, elements) = geometry(design), values.shape
    tokens = first_token + rows if tokens is None else tokens
    quantised = token_weights(design.tile, values)
    images = {name: np.zeros(size, np.uint8) for name, size in cache_bytes(design, kind, elements, tokens).items()}
    token, element = (grid + first for grid, first in zip(np.indices((rows, elements)), (first_token, 0), strict=True))
    column, inner = (element, token) if kind == Kind.V else (token, element)
    at = column // form.n * block_bytes(design, kind, elements, tokens) + inner // form.k * form.word_bytes
    at += column % form.n * form.column_bytes + inner % form.k * form.bits // 8
    odd = inner % form.k * form.bits % 8 != 0
    codes = quantised.codes.astype(np.uint8)
    images["codes"][at[~odd]] = codes[~odd]
    images["codes"][at[odd]] |= codes[odd] << 4
    own = np.arange(first_token, first_token + rows)
    places = own * form.scale_bytes
    if form.sides and kind == Kind.K:
        places = own // form.n * form.side_bytes + own % form.n * form.scale_bytes
    for byte in range(form.scale_bytes):
        images["scales"][places + byte] = quantised.scale_codes[:, 0] >> 8 * byte & 0xFF
    return images
