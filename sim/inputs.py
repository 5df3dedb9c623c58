"""Operands of a layer of a real model: its weights, and its activations on real text."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from hwgen.errors import HwgenError
from hwgen.schedule import Layer
from sim.models.checkpoint import StoredWeights, layer_weights, stored_kind, stored_weights
from sim.models.fetch import default_model
from sim.models.language import name_in_gguf, text_view, why_not
from sim.models.smollm import capture
from sim.models.tokenizer import tokenizer_note
from sim.models.weights import ModelFile, open_model
from sim.operands import random_operands

__all__ = ["ModelOperands", "layer_operands", "model_operands", "read_operands", "read_weights"]

_EMBEDDINGS = ("model.embed_tokens", "transformer.wte", "wte")
"""Names of embeddings in safetensors."""


class ModelOperands(NamedTuple):
    """What a model gives for a layer: weights float32 [N, K] (dequantised where they are quantised), activations
    [tokens, K], what these are (``"model"``, or words), and the weights as the file stores them, if that was asked.
    """

    weights: np.ndarray
    acts: np.ndarray
    words: str
    stored: StoredWeights | None
    kind: str
    """Type or scheme of the stored weights, such as ``"Q4_1"`` or ``"GPTQ 4 bit, group 128"``."""


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

    Random are those of models that cannot be run: of another kind than Llama's and GPT-2's, or in safetensors without
    configuration and tokenizer.
    """
    return read_operands(model, layer, tokens, text)[:3]


def read_operands(
    model: Path | None, layer: str, tokens: int, text: str | None = None, *, as_stored: bool = False
) -> ModelOperands:
    """Like `model_operands`, and with ``as_stored`` the codes, scales and zero points of the weights.

    Raises `HwgenError` also for weights that are not stored in a scheme that is read, where these are asked for.
    """
    file = open_model(default_model(download=False) if model is None else model)
    name = layer.removesuffix(".weight")
    stored = stored_weights(file, _untied(file, name)) if as_stored else None
    weights, acts, words = _floats(file, name, tokens, text)
    return ModelOperands(weights, acts, words, stored, stored_kind(file, _untied(file, name)))


def read_weights(model: Path | None, layer: str) -> np.ndarray:
    """Weights [N, K] of ``layer`` alone, float32, dequantised where they are quantised; ``model`` as `layer_operands`.

    Raises `HwgenError` for a missing or damaged model and an unknown layer.
    """
    file = open_model(default_model(download=False) if model is None else model)
    name = _untied(file, layer.removesuffix(".weight"))
    return file.float32(file.matrix(f"{name}.weight").name) if file.format == "gguf" else layer_weights(file, name)


def _untied(file: ModelFile, name: str) -> str:
    """The tensor of a layer: a model with a tied embedding has none of its own for its last layer."""
    last, shared = ("output", ("token_embd",)) if file.format == "gguf" else ("lm_head", _EMBEDDINGS)
    if name != last or f"{last}.weight" in file.tensors:
        return name
    return next((other for other in shared if f"{other}.weight" in file.tensors), shared[0])


def _floats(file: ModelFile, name: str, tokens: int, text: str | None) -> tuple[np.ndarray, np.ndarray, str]:
    reason = why_not(file)
    if file.format == "gguf":
        if reason is None:
            acts = capture(file, name, text, tokens)
            note = tokenizer_note(file)
            words = "model" if note is None else f"weights and activations of the model ({note})"
            return file.float32(f"{_untied(file, name)}.weight"), acts, words
        weights = file.float32(file.matrix(f"{_untied(file, name)}.weight").name)
    else:
        weights, ours = layer_weights(file, _untied(file, name)), name_in_gguf(file, f"{name}.weight")
        if reason is None and ours is not None:
            return weights, capture(text_view(file), ours, text, tokens), "model"
        reason = reason or f"{name} is no layer of a model that runs"
    if text is not None:
        raise HwgenError(f"model file {file.path}: cannot be run on the text: {reason}; without --text acts are random")
    _, acts, words = random_operands(Layer(name, tokens, *weights.shape), "normal", 1)
    return weights, acts, f"weights of the model, activations {words} ({reason})"
