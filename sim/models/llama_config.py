"""The sizes of a llama model, read from GGUF metadata and checked against the tensors; no torch."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from hwgen.errors import HwgenError
from sim.models import sizes
from sim.models.model_file import ModelFile

__all__ = ["ARCHITECTURES", "LlamaConfig", "unlike_llama"]

ARCHITECTURES = {"llama": False, "qwen2": True, "qwen3": True}
"""Architectures that can be run (Mistral's is called llama), and whether rotary pairs are halves, (i, i + size / 2)."""

QKV = ("attn_q", "attn_k", "attn_v")


def unlike_llama(model: ModelFile, runnable: Collection[str] = tuple(ARCHITECTURES)) -> str | None:
    """Say what keeps a model, named as in GGUF, from being one of ``ARCHITECTURES``; None: nothing so far.

    ``runnable`` is what the sentence says can be run.
    """
    architecture = model.text("general.architecture")
    if architecture not in ARCHITECTURES:
        found = f"{model.format} of architecture {architecture!r}" if model.format == "gguf" else model.format
        return f"running it needs GGUF of architecture {', '.join(runnable)}, not {found}"
    if any(name.endswith("_exps.weight") for name in model.tensors):
        return (
            f"is a mixture of experts of architecture {architecture!r}, which cannot be run; "
            f"dense models of {', '.join(runnable)} can"
        )
    return None


@dataclass(frozen=True)
class LlamaConfig:
    """Sizes of a llama model."""

    blocks: int
    width: int
    """Elements of a hidden state (D)."""
    heads: int
    kv_heads: int
    ffn: int
    """Elements inside the feed-forward network."""
    vocabulary: int
    context: int
    """Most tokens that the model was made for."""
    rope_base: float
    epsilon: float
    architecture: str
    head_size: int
    rope_halves: bool
    """Rotary pairs are (i, i + size / 2), not neighbours (2i, 2i + 1)."""
    rope_factors: tuple[float, ...]
    """What each pair's frequency is divided by (Llama 3's long contexts); empty: by nothing."""

    def linears(self) -> dict[str, tuple[int, int]]:
        """Return (N, K) of the seven linear layers of a block, by name."""
        queries, kv = self.heads * self.head_size, self.kv_heads * self.head_size
        return {
            "attn_q": (queries, self.width),
            "attn_k": (kv, self.width),
            "attn_v": (kv, self.width),
            "attn_output": (self.width, queries),
            "ffn_gate": (self.ffn, self.width),
            "ffn_up": (self.ffn, self.width),
            "ffn_down": (self.width, self.ffn),
        }

    def expected(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor that the model must have, by name."""
        shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (self.vocabulary, self.width)}
        for index in range(self.blocks):
            shapes |= {f"blk.{index}.{name}.weight": shape for name, shape in self.linears().items()}
            shapes |= {f"blk.{index}.{name}.weight": (self.width,) for name in ("attn_norm", "ffn_norm")}
            if self.architecture == "qwen2":
                shapes |= {f"blk.{index}.{name}.bias": (self.linears()[name][0],) for name in QKV}
            if self.architecture == "qwen3":
                shapes |= {f"blk.{index}.{name}.weight": (self.head_size,) for name in ("attn_q_norm", "attn_k_norm")}
        return shapes | {"output_norm.weight": (self.width,)}

    def optional(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor that the model may have: an output layer of its own, and biases."""
        biases: dict[str, tuple[int, ...]] = {
            f"blk.{index}.{name}.bias": (n,) for index in range(self.blocks) for name, (n, _) in self.linears().items()
        }
        return biases | {"output.weight": (self.vocabulary, self.width), "rope_freqs.weight": (self.head_size // 2,)}

    @classmethod
    def of(cls, model: ModelFile) -> LlamaConfig:
        """Read the sizes.

        Raises:
            HwgenError: if the file is no model of ``ARCHITECTURES``, a size is missing or makes no sense, a tensor is
                missing or has another shape, or a tensor would be ignored.
        """

        architecture = model.text("general.architecture") or ""
        reason = unlike_llama(model)
        if reason is not None:
            raise HwgenError(f"model file {model.path}: {reason}")

        def number(key: str, default: float | None = None) -> float:
            return sizes.number(model, f"{architecture}.{key}", default)

        def whole(key: str, default: int | None = None) -> int:
            return sizes.whole(model, f"{architecture}.{key}", default)

        heads = whole("attention.head_count")
        width, kv_heads = whole("embedding_length"), whole("attention.head_count_kv", heads)
        own = f"{architecture}.attention.key_length" in model.metadata
        size = whole("attention.key_length") if own else width // heads
        if (width % heads and not own) or not size or size % 2 or heads % kv_heads:
            raise HwgenError(
                f"model file {model.path}: embedding_length {width}, head_count {heads} and head_count_kv "
                f"{kv_heads} must divide each other into heads of an even size"
            )
        for key in ("rope.dimension_count", "attention.value_length"):
            if whole(key, size) != size:
                raise HwgenError(
                    f"model file {model.path}: metadata {architecture}.{key} must be {size}, not {whole(key)}"
                )
        context = whole("context_length")
        config = cls(
            blocks=whole("block_count"),
            width=width,
            heads=heads,
            kv_heads=kv_heads,
            ffn=whole("feed_forward_length"),
            vocabulary=model.matrix("token_embd.weight").shape[0],
            # Within one window all positions are seen, as without one.
            context=min(context, whole("attention.sliding_window", context)),
            rope_base=number("rope.freq_base", 10_000.0),
            epsilon=number("attention.layer_norm_rms_epsilon"),
            architecture=architecture,
            head_size=size,
            rope_halves=ARCHITECTURES[architecture] or model.format != "gguf",
            rope_factors=_rope_factors(model, size, number, architecture),
        )
        if config.blocks > len(model.tensors):
            raise HwgenError(
                f"model file {model.path}: {config.blocks} blocks cannot come of {len(model.tensors)} tensors"
            )
        sizes.check_tensors(model, config.expected(), config.optional(), "llama")
        return config


def _rope_factors(
    model: ModelFile, size: int, number: Callable[[str, float | None], float], architecture: str
) -> tuple[float, ...]:
    """What the frequencies are divided by: a tensor or list of the model, or one factor for all of them."""
    kind = model.metadata.get(f"{architecture}.rope.scaling.type", "none")
    if kind not in ("none", "linear"):
        raise HwgenError(
            f"model file {model.path}: metadata {architecture}.rope.scaling.type must be none or linear, "
            f"not {sizes.shown(kind)}"
        )
    factors = np.full(size // 2, number("rope.scaling.factor", 1.0) if kind == "linear" else 1.0)
    if "rope_freqs.weight" in model.tensors:
        own = model.float32("rope_freqs.weight")
        if own.shape != factors.shape or not (own > 0).all():
            raise HwgenError(
                f"tensor 'rope_freqs.weight' of {model.path}: must be {size // 2} positive numbers, "
                f"not of shape {own.shape}"
            )
        factors = factors * own
    listed = model.metadata.get("rope_factors")
    if isinstance(listed, tuple) and listed:
        factors = factors * np.array(listed)
    return () if (factors == 1.0).all() else tuple(float(factor) for factor in factors)
