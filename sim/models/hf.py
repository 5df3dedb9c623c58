"""Llama-type models in safetensors, under the names and metadata of GGUF, if their configuration lies beside."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import HwgenError, os_error
from sim.models.llama_config import ARCHITECTURES, unlike_llama
from sim.models.model_file import ModelFile
from sim.models.shards import SHARD

__all__ = ["MODEL_TYPES", "gguf_name", "llama_view", "read_config", "why_not"]

MODEL_TYPES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
"""``model_type`` of config.json → architecture in GGUF."""

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
KEYS = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "context_length": "max_position_embeddings",
    "rope.freq_base": "rope_theta",
}
"""Metadata of GGUF → key of config.json."""


def gguf_name(name: str) -> str | None:
    """``model.layers.0.mlp.up_proj.weight`` as ``blk.0.ffn_up.weight``; None for what Llama-type models lack."""
    stem, _, end = name.rpartition(".")
    if stem in WHOLE:
        return f"{WHOLE[stem]}.{end}"
    words = stem.split(".", 3)
    if len(words) == 4 and words[:2] == ["model", "layers"] and words[3] in NAMES:
        return f"blk.{words[2]}.{NAMES[words[3]]}.{end}"
    return None


def why_not(model: ModelFile, types: Collection[str] = tuple(MODEL_TYPES)) -> str | None:
    """Say why a model cannot be run on text as a Llama, or as one of ``types``; None if it can be tried."""
    if model.format == "gguf":
        return unlike_llama(model)
    shard = SHARD.search(model.path.name)
    if shard and int(shard[2]) > 1 and not model.beside:
        return f"the file is one of {int(shard[2])} shards; give their folder or their .index.json"
    missing = [name for name in ("config.json", "tokenizer.json") if not (model.path.parent / name).is_file()]
    if missing:
        return f"no {' and no '.join(missing)} beside the file"
    kind = read_config(model).get("model_type")
    if kind not in types:
        return f"config.json says model_type {kind!r}; {', '.join(types)} can be run"
    return None


def llama_view(model: ModelFile) -> ModelFile:
    """Return the same tensors under the names of GGUF, with the metadata of ``config.json``.

    Raises:
        HwgenError: if `why_not` has a reason, or the configuration is damaged or asks for what is not computed.
    """
    reason = why_not(model)
    if reason is not None:
        raise HwgenError(f"model file {model.path}: cannot be run on text: {reason}")
    config, where = read_config(model), model.path.parent / "config.json"
    architecture = MODEL_TYPES[config["model_type"]]
    assert architecture in ARCHITECTURES
    if config.get("hidden_act", "silu") != "silu":
        raise HwgenError(f"model file {where}: hidden_act must be silu, not {str(config['hidden_act'])[:40]!r}")
    metadata: dict[str, object] = {"general.architecture": architecture}
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise HwgenError(f"model file {where}: rope_scaling must be an object")
    values = {
        "rope_theta": rope.get("rope_theta"),
        **{key: value for key, value in config.items() if value is not None},
    }
    metadata |= {
        f"{architecture}.{ours}": values[theirs] for ours, theirs in KEYS.items() if values.get(theirs) is not None
    }
    window = config.get("sliding_window")
    if window is not None and config.get("use_sliding_window", architecture == "llama"):
        metadata[f"{architecture}.attention.sliding_window"] = window
    metadata["rope_factors"] = _factors(where, rope, metadata, architecture)
    tensors = {}
    for name, info in model.tensors.items():
        ours = gguf_name(name)
        if name.endswith("rotary_emb.inv_freq") or (ours == "output.weight" and config.get("tie_word_embeddings")):
            continue
        tensors[ours or name] = info
    beside = (*model.beside, where, model.path.parent / "tokenizer.json")
    return dataclasses.replace(model, tensors=tensors, metadata=metadata, beside=beside)


def read_config(model: ModelFile) -> dict[str, Any]:
    """The ``config.json`` beside a model. Raises `HwgenError` if it cannot be read or is none."""
    path = model.path.parent / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise os_error(f"model file {path}: cannot be read", error) from error
    except (ValueError, RecursionError) as error:
        raise HwgenError(f"model file {path}: is no JSON; fetch it again") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type", ""), str):
        raise HwgenError(f"model file {path}: must be a JSON object with a model_type; fetch it again")
    return config


def _factors(where: Path, rope: dict[str, Any], metadata: dict[str, object], architecture: str) -> tuple[float, ...]:
    """What rotary frequencies are divided by; llama3: Llama 3.1's rule, by wavelength against the first context."""
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return ()

    def number(what: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
            raise HwgenError(f"model file {where}: {what} must be a positive number, not {str(value)[:40]!r}")
        return float(value)

    if kind not in ("linear", "llama3"):
        raise HwgenError(f"model file {where}: rope_type must be default, linear or llama3, not {str(kind)[:40]!r}")
    of = f"{architecture}."
    heads, width = metadata.get(f"{of}attention.head_count"), metadata.get(f"{of}embedding_length")
    own = metadata.get(f"{of}attention.key_length")
    size = int(number("head_dim", own) if own else number("hidden_size", width) // number("num_attention_heads", heads))
    if not 2 <= size <= 65536:
        raise HwgenError(f"model file {where}: heads must have 2 to 65536 elements, not {size}")
    factor = number("factor of rope_scaling", rope.get("factor"))
    if kind == "linear":
        return (factor,) * (size // 2)
    base = number("rope_theta", metadata.get(f"{of}rope.freq_base", 10_000.0))
    context, low, high = (
        number(key, rope.get(key))
        for key in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor")
    )
    if low >= high:
        raise HwgenError(f"model file {where}: low_freq_factor must be below high_freq_factor, not {low} and {high}")
    turns = context * base ** (-np.arange(0, size, 2) / size) / (2 * math.pi)
    smooth = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return tuple(float(value) for value in 1.0 / ((1.0 - smooth) / factor + smooth))
