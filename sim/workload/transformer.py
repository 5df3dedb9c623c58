"""Decoders and vision transformers as operators, from their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

from hwgen.errors import HwgenError
from sim.workload.operators import ONE, Operator, Size
from sim.workload.workload import LANGUAGE, Workload

__all__ = ["Sizes", "attention_products", "language_model", "vision_transformer"]


@dataclass(frozen=True)
class Sizes:
    """Sizes of a transformer, decoder or vision encoder; 0 is "none".

    Parameters
    ----------
    layers, width, heads, kv_heads, head_size: as everywhere. ffn: elements inside the feed-forward network of a dense
        layer. gated: it has a gate beside ``up``.
    vocabulary: rows of the embedding. context: most tokens. window: most keys a token sees. tied: the output layer is
        the embedding.
    positions: rows of a learned table of positions.
    experts, active_experts, expert_ffn: mixture of experts in place of the dense network. dense_layers: layers that
        have the dense one all the same. shared_ffn: elements of an expert that every token takes; shared_gate: it has
        a gate of one output.
    norm: "rms" (a weight a channel) or "layer" (weight and bias). norms: of width ``width`` in a layer. extra_norm:
        further channels normalised in a layer (heads of Qwen3, inside of BitNet's blocks). outer_norms: outside the
        layers.
    qkv_bias, out_bias, ffn_bias, head_bias: linears with a bias.
    image, patch, channels, classes: of a vision transformer.
    """

    layers: int
    width: int
    heads: int
    ffn: int = 0
    kv_heads: int = 0
    head_size: int = 0
    gated: bool = True
    vocabulary: int = 0
    context: int = 0
    window: int = 0
    tied: bool = False
    positions: int = 0
    experts: int = 0
    active_experts: int = 0
    expert_ffn: int = 0
    dense_layers: int = 0
    shared_ffn: int = 0
    shared_gate: bool = False
    norm: str = "rms"
    norms: int = 2
    extra_norm: int = 0
    outer_norms: int = 1
    qkv_bias: bool = False
    out_bias: bool = False
    ffn_bias: bool = False
    head_bias: bool = False
    image: int = 0
    patch: int = 0
    channels: int = 3
    classes: int = 0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.type == "int" and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise HwgenError(f"sizes: {one.name} must be a whole number from 0 up, not {value!r}")
        for name in ("layers", "width", "heads"):
            if getattr(self, name) < 1:
                raise HwgenError(f"sizes: {name} must be at least 1, not {getattr(self, name)}")
        if self.heads % self.kv:
            raise HwgenError(f"sizes: kv_heads must divide heads ({self.heads}), not {self.kv}")
        if not self.head_size and self.width % self.heads:
            raise HwgenError(
                f"sizes: heads ({self.heads}) must divide width ({self.width}) where no head size is given"
            )
        if self.experts and not (0 < self.active_experts <= self.experts and self.expert_ffn):
            raise HwgenError(
                f"sizes: of {self.experts} experts, 1 to {self.experts} must be active and have a size, "
                f"not {self.active_experts} of size {self.expert_ffn}"
            )
        if self.dense_layers > self.layers or ((self.dense_layers or not self.experts) and not self.ffn):
            raise HwgenError(f"sizes: ffn must be given for dense layers, at most {self.layers} of them")

    @property
    def kv(self) -> int:
        """Heads of keys and values."""
        return self.kv_heads or self.heads

    @property
    def head(self) -> int:
        """Elements of a head."""
        return self.head_size or self.width // self.heads


def _weights(name: str, n: int, k: int, copies: int, m: Size, experts: int = 0, chosen: int = 0) -> Operator:
    return Operator(name, name, m, Size(n), Size(k), copies, experts=experts, chosen=chosen)


def attention_products(
    layers: int, heads: int, kv_heads: int, head: int, window: int = 0, fixed: int = 0
) -> list[Operator]:
    """QKᵀ and PV. Queries of the heads that share a KV head are one product, whose second operand is the KV cache.

    All scores of a prefill are counted, masked ones too, as a matrix engine computes them; with a window, those of
    ``window`` keys a token. ``fixed``: tokens of every sequence where they do not depend on the phase (a picture's).
    """
    share = heads // kv_heads
    m = Size(share * fixed) if fixed else Size(share, "new")
    keys = Size(fixed) if fixed else Size(1, "context", window or None)
    operand = "acts" if fixed else "kv"
    each = Size(1, "batch")
    return [
        Operator("attn.qk", "attn.qk", m, keys, Size(head), layers * kv_heads, operand, each),
        Operator("attn.pv", "attn.pv", m, Size(head), keys, layers * kv_heads, operand, each),
    ]


def _blocks(s: Sizes, tokens: Size, products: list[Operator]) -> list[Operator]:
    """Operators of all layers."""
    q, kv = s.heads * s.head, s.kv * s.head
    found = [
        _weights("attn.q", q, s.width, s.layers, tokens),
        _weights("attn.k", kv, s.width, s.layers, tokens),
        _weights("attn.v", kv, s.width, s.layers, tokens),
        *products,
        _weights("attn.o", s.width, q, s.layers, tokens),
    ]
    dense = s.dense_layers if s.experts else s.layers
    if dense:
        found += _network("ffn", s, s.ffn, dense, tokens)
    mixed = s.layers - dense
    if mixed:
        found.append(_weights("moe.router", s.experts, s.width, mixed, tokens))
        found += _network("moe.expert", s, s.expert_ffn, mixed * s.experts, tokens, s.experts, s.active_experts)
        if s.shared_ffn:
            found += _network("moe.shared", s, s.shared_ffn, mixed, tokens)
        if s.shared_gate:
            found.append(_weights("moe.shared.router", 1, s.width, mixed, tokens))
    return found


def _network(
    role: str, s: Sizes, inside: int, copies: int, tokens: Size, experts: int = 0, chosen: int = 0
) -> list[Operator]:
    names = ("gate", "up") if s.gated else ("up",)
    return [
        *(
            _weights(f"{role}.{name}", inside, s.width, copies, tokens, experts=experts, chosen=chosen)
            for name in names
        ),
        _weights(f"{role}.down", s.width, inside, copies, tokens, experts=experts, chosen=chosen),
    ]


def _others(s: Sizes) -> dict[str, int]:
    """Parameters outside all products that are the same for decoders and encoders."""
    channel = 1 if s.norm == "rms" else 2
    q, kv = s.heads * s.head, s.kv * s.head
    return {
        "positions": s.positions * s.width,
        "norms": channel * (s.layers * s.norms + s.outer_norms) * s.width + channel * s.layers * s.extra_norm,
        "biases": s.layers
        * (s.qkv_bias * (q + 2 * kv) + s.out_bias * s.width + s.ffn_bias * (s.ffn * (1 + s.gated) + s.width))
        + s.head_bias * (s.vocabulary or s.classes),
    }


def _present(others: Mapping[str, int]) -> Mapping[str, int]:
    return MappingProxyType({name: count for name, count in others.items() if count})


def language_model(name: str, s: Sizes, source: str = "", published: int | None = None) -> Workload:
    """A decoder: embedding, layers, output layer. Raises `HwgenError` without a vocabulary."""
    if not s.vocabulary:
        raise HwgenError(f"workload {name}: vocabulary must be at least 1, not 0")
    tokens = Size(1, "tokens")
    products = attention_products(s.layers, s.heads, s.kv, s.head, s.window)
    head = Operator("lm_head", "lm_head", Size(1, "logits"), Size(s.vocabulary), Size(s.width), tied=s.tied)
    others = {"embedding": s.vocabulary * s.width, **_others(s)}
    operators = (*_blocks(s, tokens, products), head)
    return Workload(name, operators, LANGUAGE, s.context or None, _present(others), (), source, published)


def vision_transformer(name: str, s: Sizes, source: str = "", published: int | None = None) -> Workload:
    """An encoder of pictures: patches, a class token, layers, and a classifier of the class token.

    Raises `HwgenError` when patches do not tile the picture, or there are no classes.
    """
    if not s.patch or s.image % s.patch or not s.image or not s.classes:
        raise HwgenError(
            f"workload {name}: patches of {s.patch} must tile the image of {s.image}, and classes be 1 or more, "
            f"not {s.classes}"
        )
    patches = (s.image // s.patch) ** 2
    tokens = patches + 1
    embed = Operator(
        "conv.patch", "conv.patch", Size(patches, "batch"), Size(s.width), Size(s.channels * s.patch * s.patch)
    )
    products = attention_products(s.layers, s.heads, s.kv, s.head, fixed=tokens)
    head = Operator("head", "head", Size(1, "batch"), Size(s.classes), Size(s.width), each=ONE)
    others = _others(s)
    others |= {"class token": s.width, "positions": tokens * s.width}
    others["biases"] += s.width  # of the patches
    operators = (embed, *_blocks(s, Size(tokens, "batch"), products), head)
    return Workload(name, operators, ("vision",), None, _present(others), (), source, published)
