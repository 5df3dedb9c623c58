"""Workloads of GGUF and safetensors files: linears from the tensors, roles from their names, attention from metadata.

Nothing is guessed: a tensor whose name no pattern of `sim.workload.roles` knows, and attention whose heads the file
does not state, are listed in `Workload.beside`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sim.models.catalogue import PARTS, matrices
from sim.models.model_file import ModelFile
from sim.models.weights import open_model
from sim.workload.hf_config import MODEL_TYPES, ConfigKeys, config_workload, read_config
from sim.workload.operators import Operator, Size
from sim.workload.roles import layer_of, role_of
from sim.workload.transformer import attention_products
from sim.workload.workload import LANGUAGE, Listing, Workload

__all__ = ["file_workload"]

FORMATS = {
    "F32": "fp32",
    "F16": "fp16",
    "BF16": "bf16",
    "Q8_0": "int8",
    "Q4_0": "int4",
    "Q4_1": "uint4",
    "Q5_0": "int5",
    "Q5_1": "uint5",
    "Q2_K": "uint2",
    "Q3_K": "int3",
    "Q4_K": "uint4",
    "Q5_K": "uint5",
    "Q6_K": "int6",
    "TQ1_0": "ternary",
    "TQ2_0": "ternary",
    "MXFP4": "mxfp4",
    "F8_E4M3": "fp8_e4m3",
    "F8_E5M2": "fp8_e5m2",
    "I8": "int8",
}
"""Number formats of the codes, scales left out, by the types of GGUF and safetensors."""
ENCODERS = ("bert", "nomic-bert", "roberta", "xlm-roberta", "distilbert", "electra", "mpnet", "deberta", "deberta-v2")
"""Kinds whose tokens all see each other: they have a prefill and no KV cache."""
_ORDER = (
    *("attn.q", "attn.k", "attn.v", "attn.qkv", "attn.qk", "attn.pv", "attn.o", "ffn.gate", "ffn.up", "ffn.down"),
    *("moe.router", "moe.expert.gate", "moe.expert.up", "moe.expert.down", "moe.shared.router"),
    *("moe.shared.gate", "moe.shared.up", "moe.shared.down", "pooler", "head", "lm_head"),
)
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True)
class _About:
    """What metadata say; 0 where they say nothing."""

    kind: str = ""
    heads: int = 0
    kv_heads: int = 0
    head: int = 0
    window: int = 0
    context: int = 0
    chosen: int = 0
    tied: bool | None = None


def _gguf(model: ModelFile) -> _About:
    kind = model.text("general.architecture") or ""

    def whole(key: str) -> int:
        value = model.metadata.get(f"{kind}.{key}")
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0

    heads, width = whole("attention.head_count"), whole("embedding_length")
    return _About(
        kind,
        heads,
        whole("attention.head_count_kv") or heads,
        whole("attention.key_length") or (width // heads if heads else 0),
        whole("attention.sliding_window"),
        whole("context_length"),
        whole("expert_used_count"),
        # llama.cpp's rule: without an output of its own a decoder uses its embedding.
        "output.weight" not in model.tensors,
    )


def _config(keys: ConfigKeys) -> _About:
    """Of any model: the keys that most configurations have."""
    kind = str(keys.values.get("model_type"))

    def whole(*names: str) -> int:
        return keys.whole(*names, default=0, least=0)

    heads, width = whole("num_attention_heads", "n_head"), whole("hidden_size", "n_embd", "n_embed")
    tied = keys.values.get("tie_word_embeddings")
    return _About(
        kind,
        heads,
        whole("num_key_value_heads") or heads,
        whole("head_dim") or (width // heads if heads else 0),
        0,
        whole("max_position_embeddings", "n_positions", "seq_length"),
        whole("num_experts_per_tok"),
        tied if isinstance(tied, bool) else None,
    )


def file_workload(path: Path, name: str = "") -> Workload:
    """The workload of a GGUF or safetensors file, of the index of several, or of a folder with one.

    A ``config.json`` beside safetensors says what they do not hold: heads, context, experts at work.

    Raises `HwgenError` for a file that is missing, truncated or no model.
    """
    model = open_model(path)
    config = model.path.parent / "config.json"
    known: Workload | None = None
    if model.format == "gguf":
        about = _gguf(model)
    elif config.is_file():
        keys = read_config(config)
        about = _config(keys)
        if about.kind in MODEL_TYPES:
            known = config_workload(config)
    else:
        about = _About()
    title = name or (model.path.stem if model.path.is_file() else path.name)
    source = f"{model.path} ({', '.join(filter(None, (model.format, about.kind)))})"
    if known is not None and known.phases != LANGUAGE:
        # Sizes of pictures are in no tensor.
        return Workload(title, known.operators, known.phases, known.context, known.others, (), source)
    return _assemble(model, about, known, title, source)


def _assemble(model: ModelFile, about: _About, known: Workload | None, title: str, source: str) -> Workload:
    beside = Listing()
    operators: dict[str, list[Operator]] = {}
    layers: set[int] = set()
    for (role, n, k, stored, experts), copies in _grouped(model, beside, layers).items():
        if experts and not about.chosen:
            beside.add(f"{role} of {experts} experts, {n} x {k}: how many work for a token is not in the file", copies)
            continue
        operators.setdefault(role, []).append(_operator(role, n, k, stored, experts, copies, about))
    embedding = next((info for info in model.tensors.values() if _is_embedding(info.name, info.shape)), None)
    encoder = about.kind in ENCODERS
    causal = model.format == "gguf" or known is not None
    if "lm_head" in operators and about.tied and known is not None:
        operators["lm_head"] = [replace(one, tied=True) for one in operators["lm_head"]]
    elif "lm_head" not in operators and embedding is not None and not encoder:
        if causal:
            rows, width = embedding.shape
            head = _operator("lm_head", rows, width, embedding.dtype, 0, 1, about)
            operators["lm_head"] = [replace(head, tied=True)]
        else:
            beside.add("lm_head: none in the file; without a config.json beside it, nothing says whether it is tied")
    strange = any(re.search(r"\battn|attention", what) for what in beside)
    if layers and not strange and about.heads and about.head and about.heads % about.kv_heads == 0:
        windows = [one.n.most or 0 for one in known.operators if one.role == "attn.qk"] if known is not None else []
        window = about.window or max(windows, default=0)
        for one in attention_products(len(layers), about.heads, about.kv_heads, about.head, window):
            operators[one.role] = [replace(one, operand="acts") if encoder else one]
    elif layers and strange:
        beside.add("attn.qk and attn.pv: attention has matrices that are not understood", len(layers))
    elif layers:
        hint = "" if model.format == "gguf" else "; a config.json beside the file may state them"
        beside.add(f"attn.qk and attn.pv: heads are not in the file{hint}", len(layers))
    places = {role: place for place, role in enumerate(_ORDER)}
    ordered = [
        one for role in sorted(operators, key=lambda role: places.get(role, len(places))) for one in operators[role]
    ]
    phases = ("prefill",) if encoder else LANGUAGE
    return Workload(title, tuple(ordered), phases, about.context or None, _others(model), beside.entries(), source)


def _grouped(model: ModelFile, beside: Listing, layers: set[int]) -> dict[tuple[str, int, int, str, int], int]:
    """Copies by (role, N, K, type, experts of a layer); what is no known matrix goes to ``beside``, numbers of layers
    that have attention to ``layers``.
    """
    found: Counter[tuple[str, int, int, str, int]] = Counter()
    names: set[str] = set()
    for matrix in matrices(model):
        names.add(matrix.name)
        role = role_of(matrix.name)
        if role == "embedding":
            continue
        if role is None or not matrix.n:
            why = "" if matrix.n else ": shape not known"
            shape = f"matrix {_NUMBER.sub('*', matrix.name)} [{matrix.n}, {matrix.k}]" + why
            copies = max(matrix.experts, 1)
            beside.add(shape, copies, matrix.n * matrix.k * copies if matrix.n else None)
            continue
        number = layer_of(matrix.name)
        if number is not None and role.startswith("attn."):
            layers.add(number)
        found[role, matrix.n, matrix.k, matrix.stored, matrix.experts] += max(matrix.experts, 1)
    for info in model.tensors.values():
        stem = info.name.removesuffix(".weight")
        if len(info.shape) < 2 or PARTS.search(info.name) or role_of(info.name) == "embedding":
            continue
        if not _is_covered(stem, names):
            beside.add(f"tensor {_NUMBER.sub('*', info.name)} {list(info.shape)}")
    return dict(found)


def _is_covered(stem: str, names: Iterable[str]) -> bool:
    """Whether a tensor belongs to one of the matrices: itself, packed, or one of several experts."""
    plain = re.sub(r"\.experts\.\d+\.", ".experts.*.", stem)
    ends = ("", ".qweight", ".weight_packed", "_blocks")
    return any(plain.removesuffix(end) in names for end in ends if plain.endswith(end)) or "quant_state" in stem


def _operator(role: str, n: int, k: int, stored: str, experts: int, copies: int, about: _About) -> Operator:
    unit = {"lm_head": "logits", "head": "batch", "pooler": "batch"}.get(role, "tokens")
    form = FORMATS.get(stored)
    return Operator(
        role,
        role,
        Size(1, unit),
        Size(n),
        Size(k),
        copies,
        experts=experts,
        chosen=min(about.chosen, experts),
        stored=stored,
        formats=(("weights", form),) if form else (),
    )


def _is_embedding(name: str, shape: tuple[int, ...]) -> bool:
    """The table of tokens: it may be the output layer too."""
    return len(shape) == 2 and bool(
        re.search(r"(?:^|\.)(?:token_embd|embed_tokens|embed_in|wte|word_embeddings)\.weight$", name)
    )


def _others(model: ModelFile) -> Mapping[str, int]:
    """Parameters of tables and vectors; scales and other parts of packed matrices are none."""
    counts: dict[str, Any] = {"embedding": 0, "norms and biases": 0}
    for info in model.tensors.values():
        if len(info.shape) >= 2 and role_of(info.name) == "embedding":
            counts["embedding"] += info.elements
        elif len(info.shape) < 2 and not PARTS.search(info.name) and not info.name.startswith("rope_"):
            counts["norms and biases"] += info.elements
    return MappingProxyType({name: count for name, count in counts.items() if count})
