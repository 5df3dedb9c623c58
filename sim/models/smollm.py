"""Real activations: what enters a linear layer of a language model while it reads text.

torch is imported only when the model has to run, not when the activations are in the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError, suggest
from hwgen.simulators.cache import cache_path
from sim.models.cache import placed, read_array, write_array
from sim.models.catalogue import matrices
from sim.models.fetch import file_sha256
from sim.models.gpt_config import GptConfig
from sim.models.language import config_of, why_not
from sim.models.llama_config import LlamaConfig
from sim.models.tokenizer import adds_start_token, tokenizer_beside, tokenizer_of
from sim.models.weights import ModelFile, open_model

__all__ = ["capture", "default_text", "encode", "linear_layers"]

CAPTURE_VERSION = 1
"""Part of the key of the cache; raise it when the values of a capture change."""


def default_text() -> str:
    """Return the text of captures: from the introduction to Darwin's Origin of Species (1859), public domain."""
    return resources.files("sim.models").joinpath("text/origin.txt").read_text(encoding="utf-8")


def encode(model: ModelFile, text: str) -> list[int]:
    """Return the token numbers of a text, after the start token where the model wants one.

    Raises:
        HwgenError: if the file carries no tokenizer that can be built.
    """
    if model.format != "gguf":
        numbers: list[int] = tokenizer_beside(model).encode(text).ids
        return numbers
    start = model.metadata.get("tokenizer.ggml.bos_token_id")
    tokens = tokenizer_of(model).encode(text, add_special_tokens=False).ids
    return [start, *tokens] if isinstance(start, int) and adds_start_token(model) else tokens


def linear_layers(path: str | os.PathLike[str]) -> list[tuple[str, int, int]]:
    """Return (name, N, K) of the linear layers of a model in the order in which they run.

    Of a dense Llama-type model in GGUF these are seven a block and ``output``, of a GPT-2 in GGUF four and ``output``;
    of any other file, all matrices by name.

    Raises:
        HwgenError: if the file cannot be opened, or says that it is a model that runs and is not.
    """
    model = open_model(path)
    if model.format == "gguf" and why_not(model) is None:
        return [(name, *shape) for name, shape in _layers(config_of(model)).items()]
    return [(matrix.name, matrix.n, matrix.k) for matrix in matrices(model)]


def capture(
    model_path: str | os.PathLike[str] | ModelFile, layer: str, text: str | None = None, tokens: int = 8
) -> NDArray[np.float32]:
    """Return what enters a linear layer while the model reads the first ``tokens`` tokens of a text.

    Only the blocks up to that layer are loaded, one at a time. The result is kept in the cache folder.

    Args:
        model_path: a model in GGUF that runs, or the `sim.models.language.text_view` of one.
        layer: such as ``"blk.0.ffn_up"``, with or without ``".weight"``, or ``"output"``.
        text: `default_text` if not given.
        tokens: how many, from 1 to what the text has and the model can read.

    Returns:
        float32 [tokens, K].

    Raises:
        HwgenError: if the model cannot be opened or run, or ``layer`` or ``tokens`` is not allowed.
    """
    model = model_path if isinstance(model_path, ModelFile) else open_model(model_path)
    config = config_of(model)
    layers = _layers(config)
    layer = layer.removesuffix(".weight")
    if layer not in layers:
        raise HwgenError(
            f"layer {layer!r} of {model.path}: must be output, or blk.0 to blk.{config.blocks - 1} followed by "
            f".{', .'.join(config.linears())}{suggest(layer, layers)}"
        )
    if not 1 <= tokens <= config.context:
        raise HwgenError(f"capture: tokens must be from 1 to {config.context}, which the model can read, not {tokens}")
    text = default_text() if text is None else text
    sums = [file_sha256(path) for path in (model.path, *model.beside)]
    key = [CAPTURE_VERSION, *sums, hashlib.sha256(text.encode()).hexdigest(), layer, tokens]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    kept = cache_path("captures") / f"{digest[:32]}.npy"
    shape = (tokens, layers[layer][1])
    known = _load(kept, shape)
    if known is not None:
        return known
    numbers = encode(model, text)
    if len(numbers) < tokens:
        raise HwgenError(f"capture: tokens must be at most {len(numbers)}, which the text has, not {tokens}")
    if not max(numbers[:tokens]) < config.vocabulary:
        raise HwgenError(
            f"model file {model.path}: the tokenizer gives token {max(numbers[:tokens])}, "
            f"the embedding has {config.vocabulary}"
        )
    values = _run(model, config, layer, numbers[:tokens])
    # A cache folder that cannot be written costs time on the next call and nothing else.
    with suppress(HwgenError), placed(kept) as folder:
        write_array(folder / kept.name, values)
    return values


def _layers(config: LlamaConfig | GptConfig) -> dict[str, tuple[int, int]]:
    """(N, K) of every linear layer by name."""
    blocks = {
        f"blk.{index}.{name}": shape for index in range(config.blocks) for name, shape in config.linears().items()
    }
    return blocks | {"output": (config.vocabulary, config.width)}


def _load(path: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """Captured activations from the cache; None if they are not there or damaged."""
    values = read_array(path)
    return values if values is not None and values.shape == shape and values.dtype == np.float32 else None


def _run(model: ModelFile, config: LlamaConfig | GptConfig, layer: str, numbers: list[int]) -> NDArray[np.float32]:
    """Run the blocks up to the layer and return its input."""
    import torch

    from sim.models import gpt, llama

    caught: list[torch.Tensor] = []
    place = re.fullmatch(r"blk\.(\d+)\.(\w+)", layer)
    last = int(place[1]) if place else config.blocks - 1
    block_of: Callable[[int], torch.nn.Module]
    norm: Callable[[], torch.nn.Module]
    with torch.inference_mode():
        if isinstance(config, GptConfig):
            x = gpt.embedded(model, numbers)
            block_of = partial(gpt.GptBlock, model, config)
            norm = partial(gpt.layer_norm, model, config, "output_norm")
        else:
            x = llama.embedded(model, numbers)
            block_of = partial(llama.Block, model, config)
            norm = partial(llama.rms_norm, model, config, "output_norm")
        for index in range(last + 1):
            block = block_of(index)
            if place and index == last:
                block.get_submodule(place[2]).register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
            x = block(x)
        if not place:
            caught.append(norm()(x))
    values: NDArray[np.float32] = np.ascontiguousarray(caught[0].numpy())
    return values
