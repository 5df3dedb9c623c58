"""Small model files, written by the packages that define the formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType
from tokenizers import pre_tokenizers

BLOCKS, WIDTH, HEADS, KV_HEADS, FFN = 2, 64, 4, 2, 96
ROPE_BASE, EPSILON = 1000.0, 1e-5
CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["t h", "th e", "Ġ the", "i n", "1 2"]
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
TOKENS = CONTROLS + ALPHABET + [merge.replace(" ", "") for merge in MERGES]


def llama_tensors(seed: int = 1) -> dict[str, np.ndarray]:
    """Random float weights of the tiny llama, by name."""
    rng = np.random.default_rng(seed)
    kv = KV_HEADS * WIDTH // HEADS
    shapes = {"attn_q": (WIDTH, WIDTH), "attn_k": (kv, WIDTH), "attn_v": (kv, WIDTH), "attn_output": (WIDTH, WIDTH)}
    shapes |= {"ffn_gate": (FFN, WIDTH), "ffn_up": (FFN, WIDTH), "ffn_down": (WIDTH, FFN)}
    tensors = {"token_embd.weight": rng.normal(size=(len(TOKENS), WIDTH))}
    for block in range(BLOCKS):
        for name, shape in shapes.items():
            tensors[f"blk.{block}.{name}.weight"] = rng.normal(size=shape) * 2 / np.sqrt(shape[1])
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{block}.{name}.weight"] = rng.uniform(0.5, 2.0, WIDTH)
    tensors["output_norm.weight"] = rng.uniform(0.5, 2.0, WIDTH)
    return {name: values.astype(np.float32) for name, values in tensors.items()}


def quantise(values: np.ndarray, dtype: str) -> tuple[np.ndarray, GGMLQuantizationType]:
    """The stored form of a tensor."""
    kind = GGMLQuantizationType[dtype]
    if dtype in ("F32", "F16"):
        return values.astype({"F32": np.float32, "F16": np.float16}[dtype]), kind
    return gguf.quantize(values, kind), kind


def write_gguf(
    path: Path,
    tensors: dict[str, tuple[np.ndarray, GGMLQuantizationType]],
    metadata: dict[str, Any] | None = None,
    architecture: str = "llama",
) -> Path:
    """Write tensors, already in their stored form, and metadata."""
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in (metadata or {}).items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)
    for name, (stored, kind) in tensors.items():
        writer.add_tensor(name, stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def llama_metadata() -> dict[str, Any]:
    """The metadata of the tiny llama and its tokenizer."""
    return {
        "llama.block_count": BLOCKS,
        "llama.context_length": 32,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": FFN,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.attention.layer_norm_rms_epsilon": EPSILON,
        "llama.rope.freq_base": ROPE_BASE,
        "llama.rope.dimension_count": WIDTH // HEADS,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.token_type": [3] * len(CONTROLS) + [1] * (len(TOKENS) - len(CONTROLS)),
        "tokenizer.ggml.merges": MERGES,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.add_bos_token": False,
    }


def write_llama(
    path: Path, *, metadata: dict[str, Any] | None = None, extra: dict[str, np.ndarray] | None = None
) -> Path:
    """Write the tiny llama as the default model is stored: Q4_1 layers, Q8_0 embedding, F32 norms."""
    tensors = {}
    for name, values in (llama_tensors() | (extra or {})).items():
        dtype = "F32" if values.ndim == 1 else "Q8_0" if name.startswith(("token_embd", "output.")) else "Q4_1"
        tensors[name] = quantise(values, dtype)
    merged = llama_metadata() | (metadata or {})
    return write_gguf(path, tensors, {key: value for key, value in merged.items() if value is not None})
