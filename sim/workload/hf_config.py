"""Workloads of the ``config.json`` of Hugging Face models: sizes by the keys of each ``model_type``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError, os_error, suggest
from sim.workload.transformer import Sizes, language_model, vision_transformer
from sim.workload.workload import Workload

__all__ = ["MODEL_TYPES", "ConfigKeys", "config_workload", "read_config"]

MOST = 1 << 40
"""Sizes above are mistakes."""


class ConfigKeys:
    """Values of a configuration, checked one by one; ``where`` names the file."""

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        self.where, self.values = where, values

    def whole(self, *keys: str, default: int | None = None, least: int = 1) -> int:
        """A whole number under the first of the keys that is there; null counts as missing.

        Raises `HwgenError` when it is no whole number or below ``least``, and when it is missing without a default.
        """
        for key in keys:
            value = self.values.get(key)
            if value is None:
                continue
            # Not repr: a list in its place may be long.
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST:
                raise HwgenError(f"{self.where}: {key} must be a whole number from {least} up, not {str(value)[:40]}")
            return value
        if default is None:
            raise HwgenError(f"{self.where}: {' or '.join(keys)} is missing, which sizes follow from")
        return default

    def flag(self, key: str, default: bool) -> bool:
        """A truth value. Raises `HwgenError` for anything else."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise HwgenError(f"{self.where}: {key} must be true or false, not {str(value)[:40]}")
        return value


def _llama_like(c: ConfigKeys) -> dict[str, Any]:
    """Keys that Llama and its descendants share."""
    heads = c.whole("num_attention_heads")
    bias = c.flag("attention_bias", False)
    return {
        "layers": c.whole("num_hidden_layers"),
        "width": c.whole("hidden_size"),
        "heads": heads,
        "kv_heads": c.whole("num_key_value_heads", default=heads),
        "head_size": c.whole("head_dim", default=0),
        "ffn": c.whole("intermediate_size"),
        "vocabulary": c.whole("vocab_size"),
        "context": c.whole("max_position_embeddings"),
        "tied": c.flag("tie_word_embeddings", False),
        "qkv_bias": bias,
        "out_bias": bias,
        "ffn_bias": c.flag("mlp_bias", False),
    }


def _windowed(c: ConfigKeys, default: bool) -> dict[str, Any]:
    """Llama with a sliding window in all layers, where one is in use.

    Raises `HwgenError` for a window in some layers only, which operators of all layers cannot say.
    """
    sizes = _llama_like(c)
    window = c.whole("sliding_window", default=0) if c.flag("use_sliding_window", default) else 0
    full = c.whole("max_window_layers", default=0, least=0)
    if not window or full >= sizes["layers"]:
        return sizes
    if full:
        raise HwgenError(f"{c.where}: a sliding window in layers from {full} up only is not read; windows of all are")
    return {**sizes, "window": window}


def _qwen2(c: ConfigKeys) -> dict[str, Any]:
    return {**_windowed(c, False), "qkv_bias": True, "out_bias": False}


def _qwen3(c: ConfigKeys, head_size: int = 128) -> dict[str, Any]:
    """``head_size``: where the file has none, as the library does."""
    sizes = _windowed(c, False)
    head = sizes["head_size"] or head_size or sizes["width"] // sizes["heads"]
    return {**sizes, "head_size": head, "extra_norm": 2 * head}


def _mixtral(c: ConfigKeys) -> dict[str, Any]:
    sizes = _windowed(c, True)
    experts, chosen = c.whole("num_local_experts", "num_experts"), c.whole("num_experts_per_tok")
    return {**sizes, "expert_ffn": sizes["ffn"], "ffn": 0, "experts": experts, "active_experts": chosen}


def _moe(c: ConfigKeys, sizes: dict[str, Any]) -> dict[str, Any]:
    """Qwen's mixtures: every ``decoder_sparse_step``-th layer is one, but for those in ``mlp_only_layers``."""
    step, listed = c.whole("decoder_sparse_step", default=1), c.values.get("mlp_only_layers") or []
    if not isinstance(listed, list) or not all(isinstance(one, int) for one in listed):
        raise HwgenError(f"{c.where}: mlp_only_layers must be a list of layers, not {str(listed)[:40]}")
    dense = {one for one in listed if 0 <= one < sizes["layers"] and (one + 1) % step == 0}
    mixed = sizes["layers"] // step - len(dense)
    return sizes | {
        "experts": c.whole("num_experts", "num_local_experts"),
        "active_experts": c.whole("num_experts_per_tok"),
        "expert_ffn": c.whole("moe_intermediate_size"),
        "dense_layers": sizes["layers"] - mixed,
        "shared_ffn": c.whole("shared_expert_intermediate_size", default=0, least=0),
    }


def _qwen2_moe(c: ConfigKeys) -> dict[str, Any]:
    sizes = _moe(c, _qwen2(c))
    return {**sizes, "shared_gate": bool(sizes["shared_ffn"])}


def _qwen3_moe(c: ConfigKeys) -> dict[str, Any]:
    return _moe(c, _qwen3(c, 0))


def _bitnet(c: ConfigKeys) -> dict[str, Any]:
    """Norms inside attention and network come to those of Llama."""
    sizes = _llama_like(c)
    return {**sizes, "tied": c.flag("tie_word_embeddings", True), "extra_norm": sizes["width"] + sizes["ffn"]}


def _biased(norms: int = 2) -> dict[str, Any]:
    return {"gated": False, "norm": "layer", "norms": norms, "qkv_bias": True, "out_bias": True, "ffn_bias": True}


def _phi(c: ConfigKeys) -> dict[str, Any]:
    return {**_llama_like(c), **_biased(1), "head_bias": True}


def _opt(c: ConfigKeys) -> dict[str, Any]:
    width = c.whole("hidden_size")
    if c.whole("word_embed_proj_dim", default=width) != width:
        raise HwgenError(f"{c.where}: word_embed_proj_dim must be hidden_size ({width}); others are not read")
    context = c.whole("max_position_embeddings")
    bias = c.flag("enable_bias", True)
    return {
        **_biased(),
        "layers": c.whole("num_hidden_layers"),
        "width": width,
        "heads": c.whole("num_attention_heads"),
        "ffn": c.whole("ffn_dim"),
        "vocabulary": c.whole("vocab_size"),
        "context": context,
        "positions": context + 2,  # the first two rows are never looked up
        "tied": c.flag("tie_word_embeddings", True),
        "qkv_bias": bias,
        "out_bias": bias,
        "ffn_bias": bias,
        "outer_norms": int(not c.flag("_remove_final_layer_norm", False) and c.flag("do_layer_norm_before", True)),
    }


def _bloom(c: ConfigKeys) -> dict[str, Any]:
    width = c.whole("hidden_size", "n_embed")
    return {
        **_biased(),
        "layers": c.whole("n_layer", "num_hidden_layers"),
        "width": width,
        "heads": c.whole("n_head", "num_attention_heads"),
        "ffn": 4 * width,
        "vocabulary": c.whole("vocab_size"),
        # Positions are a bias of the scores: nothing but training bounds them.
        "context": c.whole("seq_length", default=0, least=0),
        "outer_norms": 2,
        "tied": c.flag("tie_word_embeddings", True),
    }


def _gpt2(c: ConfigKeys) -> dict[str, Any]:
    width, context = c.whole("n_embd"), c.whole("n_positions")
    return {
        **_biased(),
        "layers": c.whole("n_layer"),
        "width": width,
        "heads": c.whole("n_head"),
        "ffn": c.whole("n_inner", default=4 * width),
        "vocabulary": c.whole("vocab_size"),
        "context": context,
        "positions": context,
        "tied": c.flag("tie_word_embeddings", True),
    }


def _gpt_neox(c: ConfigKeys) -> dict[str, Any]:
    return {**_llama_like(c), **_biased(), "qkv_bias": (bias := c.flag("attention_bias", True)), "out_bias": bias}


def _vit(c: ConfigKeys) -> dict[str, Any]:
    labels = c.values.get("id2label")
    return {
        **_biased(),
        "layers": c.whole("num_hidden_layers"),
        "width": c.whole("hidden_size"),
        "heads": c.whole("num_attention_heads"),
        "ffn": c.whole("intermediate_size"),
        "qkv_bias": c.flag("qkv_bias", True),
        "head_bias": True,
        "image": c.whole("image_size"),
        "patch": c.whole("patch_size"),
        "channels": c.whole("num_channels", default=3),
        "classes": len(labels) if isinstance(labels, dict) and labels else c.whole("num_labels", default=2),
    }


MODEL_TYPES: dict[str, Callable[[ConfigKeys], dict[str, Any]]] = {
    "llama": _llama_like,
    "mistral": lambda c: _windowed(c, True),
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "phi": _phi,
    "opt": _opt,
    "bloom": _bloom,
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "mixtral": _mixtral,
    "qwen2_moe": _qwen2_moe,
    "qwen3_moe": _qwen3_moe,
    "bitnet": _bitnet,
    "vit": _vit,
}
"""Sizes by ``model_type``."""


def read_config(path: Path) -> ConfigKeys:
    """A configuration. Raises `HwgenError` when the file cannot be read, is truncated or no JSON object."""
    where = f"config {path}"
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise os_error(f"{where}: cannot be read", error) from error
    except (ValueError, RecursionError) as error:
        raise HwgenError(f"{where}: is no JSON, or truncated; fetch it again") from error
    if not isinstance(content, dict):
        raise HwgenError(f"{where}: must be a JSON object with a model_type; fetch it again")
    return ConfigKeys(where, content)


def config_workload(path: Path, name: str = "") -> Workload:
    """The workload of a ``config.json``. Raises `HwgenError` for an unknown ``model_type`` and for sizes that are
    missing or make no sense.
    """
    keys = read_config(path)
    kind = keys.values.get("model_type")
    if not isinstance(kind, str) or kind not in MODEL_TYPES:
        shown = str(kind)[:40]
        raise HwgenError(
            f"{keys.where}: no model_type {shown!r}{suggest(shown, MODEL_TYPES)}; known are {', '.join(MODEL_TYPES)}"
        )
    try:
        sizes = Sizes(**MODEL_TYPES[kind](keys))
        make = vision_transformer if kind == "vit" else language_model
        return make(name or path.parent.name or kind, sizes, f"{path} ({kind})")
    except HwgenError as error:
        message = str(error)
        raise error if message.startswith(keys.where) else HwgenError(f"{keys.where}: {message}") from error
