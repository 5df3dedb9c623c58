"""Operands of a layer of a real model: its weights, and its activations on real text."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hwgen.errors import HwgenError
from hwgen.schedule import Layer
from sim.models.catalogue import layer_weights
from sim.models.fetch import default_model
from sim.models.hf import gguf_name, llama_view, why_not
from sim.models.smollm import capture
from sim.models.tokenizer import tokenizer_note
from sim.models.weights import open_model
from sim.operands import random_operands

__all__ = ["layer_operands", "model_operands"]


def layer_operands(
    model: Path | None, layer: str, tokens: int, text: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Weights [N, K] and activations [tokens, K] of ``layer``, float32.

    ``model`` None is the default model, which must have been fetched. Raises `HwgenError` for a missing or damaged
    model, an unknown layer, or a text with too few tokens.
    """
    weights, acts, _ = model_operands(model, layer, tokens, text)
    return weights, acts


def model_operands(
    model: Path | None, layer: str, tokens: int, text: str | None = None
) -> tuple[np.ndarray, np.ndarray, str]:
    """Like `layer_operands`, and what the activations are: ``"model"``, or that they are random, and why.

    Random are those of models that cannot be run: of another kind than Llama's, or in safetensors without configuration
    and tokenizer.
    """
    path = default_model(download=False) if model is None else model
    file = open_model(path)
    name = layer.removesuffix(".weight")
    reason = why_not(file)
    if file.format == "gguf":
        # A model with a tied embedding has no tensor of its own for its last layer.
        tied = name == "output" and "output.weight" not in file.tensors
        if reason is None:
            acts = capture(file, name, text, tokens)
            note = tokenizer_note(file)
            words = "model" if note is None else f"weights and activations of the model ({note})"
            return file.float32("token_embd.weight" if tied else f"{name}.weight"), acts, words
        weights = file.float32(file.matrix("token_embd.weight" if tied else f"{name}.weight").name)
    else:
        tied = name == "lm_head" and "lm_head.weight" not in file.tensors
        weights, ours = layer_weights(file, "model.embed_tokens" if tied else name), gguf_name(f"{name}.weight")
        if reason is None and ours is not None:
            return weights, capture(llama_view(file), ours, text, tokens), "model"
        reason = reason or f"{name} is no layer of a Llama-type model"
    if text is not None:
        raise HwgenError(f"model file {file.path}: cannot be run on the text: {reason}; without --text acts are random")
    _, acts, words = random_operands(Layer(name, tokens, *weights.shape), "normal", 1)
    return weights, acts, f"weights of the model, activations {words} ({reason})"
