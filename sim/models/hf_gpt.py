"""GPT-2 models in safetensors, under the names and metadata of GGUF, if their configuration lies beside."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from sim.models.gpt_config import ARCHITECTURE
from sim.models.hf import read_config
from sim.models.model_file import ModelFile, TensorInfo

__all__ = ["gpt_name", "gpt_view"]

NAMES = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
WHOLE = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "lm_head": "output"}
KEYS = {
    "block_count": "n_layer",
    "embedding_length": "n_embd",
    "attention.head_count": "n_head",
    "context_length": "n_positions",
    "attention.layer_norm_epsilon": "layer_norm_epsilon",
}
"""Metadata of GGUF → key of config.json."""
DEFAULTS = {"layer_norm_epsilon": 1e-5, "activation_function": "gelu_new", "scale_attn_weights": True}
"""What a configuration means that does not say it."""
_NEEDED = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False, None),
    "add_cross_attention": (False, None),
}
_MASK = re.compile(r"(^|\.)h\.\d+\.attn\.(bias|masked_bias)$")
"""What old files hold beside the weights: which positions see which."""


@dataclass(frozen=True)
class _Turned(ModelFile):
    """A model whose matrices of Conv1D, stored [K, N], are [N, K]."""

    source: ModelFile = field(default=None, repr=False)  # type: ignore[assignment]
    turned: frozenset[str] = frozenset()

    def _decode(self, info: TensorInfo, rows: slice | NDArray[np.integer[Any]] | None) -> NDArray[np.float32]:
        if info.name not in self.turned:
            return self.source._decode(info, rows)
        stored = dataclasses.replace(info, shape=info.shape[::-1])
        values = np.ascontiguousarray(self.source._decode(stored, None).T)
        return values if rows is None else values[rows]

    def raw(self, info: TensorInfo, size: int) -> bytes:
        return self.source.raw(info, size)


def gpt_name(name: str) -> str | None:
    """``h.0.mlp.c_fc.weight`` as ``blk.0.ffn_up.weight``; None for what GPT-2 lacks."""
    stem, _, end = name.removeprefix("transformer.").rpartition(".")
    if stem in WHOLE:
        return f"{WHOLE[stem]}.{end}"
    words = stem.split(".", 2)
    if len(words) == 3 and words[0] == "h" and words[2] in NAMES:
        return f"blk.{words[1]}.{NAMES[words[2]]}.{end}"
    return None


def gpt_view(model: ModelFile) -> ModelFile:
    """Return the same tensors under the names of GGUF and the right way round, with the metadata of ``config.json``.

    Raises:
        HwgenError: if the configuration is damaged or asks for what is not computed.
    """
    config, where = DEFAULTS | read_config(model), model.path.parent / "config.json"
    for key, allowed in _NEEDED.items():
        if config.get(key) not in allowed:
            wanted = " or ".join(str(value) for value in allowed if value is not None)
            raise HwgenError(f"model file {where}: {key} must be {wanted}, not {str(config.get(key))[:40]!r}")
    metadata: dict[str, object] = {"general.architecture": ARCHITECTURE}
    metadata |= {f"{ARCHITECTURE}.{ours}": config[theirs] for ours, theirs in KEYS.items() if theirs in config}
    inner, width = config.get("n_inner"), config.get("n_embd")
    metadata[f"{ARCHITECTURE}.feed_forward_length"] = 4 * width if inner is None and isinstance(width, int) else inner
    tensors: dict[str, TensorInfo] = {}
    turned = set()
    for name, info in model.tensors.items():
        ours = gpt_name(name)
        if _MASK.search(name) or (ours == "output.weight" and config.get("tie_word_embeddings", True)):
            continue
        if ours is not None and ours.startswith("blk.") and len(info.shape) == 2:
            turned.add(info.name)
            info = dataclasses.replace(info, shape=info.shape[::-1])
        tensors[ours or name] = info
    beside = (*model.beside, where, model.path.parent / "tokenizer.json")
    return _Turned(model.path, model.format, tensors, metadata, model.data, beside, model, frozenset(turned))
