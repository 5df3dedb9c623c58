"""Language models of any architecture that runs: one way to their sizes, their names and their modules.

torch is imported only when a model is loaded.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hwgen.errors import HwgenError
from sim.models import gpt_config
from sim.models.checkpoint import unpacked_view
from sim.models.gpt_config import GptConfig
from sim.models.hf import MODEL_TYPES, gguf_name, llama_view, read_config
from sim.models.hf import why_not as why_no_llama
from sim.models.hf_gpt import gpt_name, gpt_view
from sim.models.llama_config import ARCHITECTURES, LlamaConfig, unlike_llama
from sim.models.model_file import ModelFile
from sim.models.weights import open_model

if TYPE_CHECKING:
    from sim.models.gpt import Gpt
    from sim.models.llama import Llama

__all__ = ["RUNNABLE", "config_of", "language_model", "load_language_model", "name_in_gguf", "text_view", "why_not"]

RUNNABLE = (*ARCHITECTURES, gpt_config.ARCHITECTURE)
"""Architectures that run, as GGUF calls them."""
_TYPES = (*MODEL_TYPES, gpt_config.ARCHITECTURE)
"""``model_type`` of config.json of models that run."""


def why_not(model: ModelFile) -> str | None:
    """Say why a model cannot be run on text; None if it can be tried."""
    if model.format != "gguf":
        return why_no_llama(model, _TYPES)
    return None if _is_gpt(model) else unlike_llama(model, RUNNABLE)


def text_view(model: ModelFile) -> ModelFile:
    """A model under the names and metadata of GGUF, packed layers dequantised; a GGUF file itself.

    Raises:
        HwgenError: if `why_not` has a reason, or the configuration is damaged or asks for what is not computed.
    """
    reason = why_not(model)
    if reason is not None:
        raise HwgenError(f"model file {model.path}: cannot be run on text: {reason}")
    if model.format == "gguf":
        return model
    return (gpt_view if _is_gpt(model) else llama_view)(unpacked_view(model))


def name_in_gguf(model: ModelFile, name: str) -> str | None:
    """A tensor's name in `text_view`; None for one that it has not."""
    if model.format == "gguf":
        return name
    return gpt_name(name) if _is_gpt(model) else gguf_name(name)


def config_of(model: ModelFile) -> LlamaConfig | GptConfig:
    """Sizes of a model that has the names and metadata of GGUF.

    Raises:
        HwgenError: if it is of no architecture that runs, or its metadata and tensors make no sense.
    """
    if model.text("general.architecture") == gpt_config.ARCHITECTURE:
        return GptConfig.of(model)
    reason = unlike_llama(model, RUNNABLE)
    if reason is not None:
        raise HwgenError(f"model file {model.path}: {reason}")
    return LlamaConfig.of(model)


def load_language_model(path: str | os.PathLike[str]) -> Llama | Gpt:
    """Load a model in float32 torch: GGUF, or safetensors with configuration and tokenizer beside.

    Its modules are called as in GGUF: ``blk`` is a list of blocks, whose linear layers are `torch.nn.Linear`,
    ``token_embd`` and ``output`` are before and behind them, and ``hidden`` and calling it map tokens [T] to what
    enters the output layer and to logits.

    Raises:
        HwgenError: if the file cannot be opened, or is of no architecture that runs.
    """
    return language_model(text_view(open_model(path)))


def language_model(view: ModelFile) -> Llama | Gpt:
    """Load a model that has the names and metadata of GGUF; see `load_language_model`.

    Raises:
        HwgenError: if it is of no architecture that runs.
    """
    from sim.models.gpt import Gpt
    from sim.models.llama import Llama

    return (Gpt if isinstance(config_of(view), GptConfig) else Llama)(view)


def _is_gpt(model: ModelFile) -> bool:
    """Whether a model says that it is a GPT-2; one in safetensors says it in its config.json."""
    if model.format == "gguf" or "general.architecture" in model.metadata:
        return model.text("general.architecture") == gpt_config.ARCHITECTURE
    beside = model.path.parent / "config.json"
    return beside.is_file() and read_config(model).get("model_type") == gpt_config.ARCHITECTURE
