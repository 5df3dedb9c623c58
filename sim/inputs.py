"""Operands of a layer of a real model: its weights, and its activations on real text."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sim.models.fetch import default_model
from sim.models.smollm import capture
from sim.models.weights import open_model

__all__ = ["layer_operands"]


def layer_operands(
    model: Path | None, layer: str, tokens: int, text: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Weights [N, K] and activations [tokens, K] of ``layer``, float32.

    ``model`` None is the default model, which must have been fetched. Raises `HwgenError` for a missing or damaged
    model, an unknown layer, or a text with too few tokens.
    """
    path = default_model(download=False) if model is None else model
    file = open_model(path)
    name = layer.removesuffix(".weight")
    acts = capture(path, name, text, tokens)
    # A model with a tied embedding has no tensor of its own for its last layer.
    tied = name == "output" and "output.weight" not in file.tensors
    return file.float32("token_embd.weight" if tied else f"{name}.weight"), acts
