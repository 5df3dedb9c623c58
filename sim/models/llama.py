"""The llama architecture in float32 torch, from a GGUF file.

Modules carry the names of the file: ``model.get_submodule("blk.0.ffn_up")`` is the `torch.nn.Linear` whose weight
is the tensor ``blk.0.ffn_up.weight``, so a quantised layer can take its place by assignment.

RMSNorm, rotary position embedding, grouped-query attention, SwiGLU: Touvron et al., "LLaMA", 2023, section 2.2, and
"Llama 2", 2023. The Q and K rows of a GGUF file are permuted, so that the rotary pairs are neighbours (2i, 2i + 1).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sim.models.llama_config import LlamaConfig
from sim.models.model_file import ModelFile

__all__ = [
    "ATTENTION_ROLES",
    "Block",
    "Llama",
    "RmsNorm",
    "attention",
    "embedded",
    "linear",
    "parameter",
    "rms_norm",
    "rope",
]


ATTENTION_ROLES = ("queries", "keys", "values", "shares")
"""Modules of a block that the operands of its attention pass, `torch.nn.Identity` to begin with: what stores them."""


class RmsNorm(nn.Module):
    """Scale each row to a root mean square of 1, then by a weight per channel."""

    def __init__(self, weight: NDArray[np.float32], epsilon: float) -> None:
        super().__init__()
        self.weight = parameter(weight)
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [..., D]."""
        return functional.rms_norm(x, (x.shape[-1],), self.weight, self.epsilon)


class Block(nn.Module):
    """One transformer block: attention and feed-forward network, each after a norm and beside a residual path."""

    attn_q: nn.Module
    attn_k: nn.Module
    attn_v: nn.Module
    attn_output: nn.Module
    ffn_gate: nn.Module
    ffn_up: nn.Module
    ffn_down: nn.Module

    def __init__(self, model: ModelFile, config: LlamaConfig, index: int) -> None:
        super().__init__()
        self.config = config
        for name in config.linears():
            bias = f"blk.{index}.{name}.bias"
            weight = model.float32(f"blk.{index}.{name}.weight")
            setattr(self, name, linear(weight, model.float32(bias) if bias in model.tensors else None))
        if config.architecture == "qwen3":
            self.attn_q_norm: nn.Module = rms_norm(model, config, f"blk.{index}.attn_q_norm")
            self.attn_k_norm: nn.Module = rms_norm(model, config, f"blk.{index}.attn_k_norm")
        else:
            self.attn_q_norm = self.attn_k_norm = nn.Identity()
        for name in ATTENTION_ROLES:
            setattr(self, name, nn.Identity())
        self.attn_norm = rms_norm(model, config, f"blk.{index}.attn_norm")
        self.ffn_norm = rms_norm(model, config, f"blk.{index}.ffn_norm")

    def forward(self, x: Tensor) -> Tensor:
        """Map the hidden states [T, D] of positions 0 to T - 1 to the next ones."""
        x = x + self._attention(self.attn_norm(x))
        normed = self.ffn_norm(x)
        down: Tensor = self.ffn_down(functional.silu(self.ffn_gate(normed)) * self.ffn_up(normed))
        return x + down

    def _attention(self, x: Tensor) -> Tensor:
        """Causal attention; several query heads share one key and value head."""
        config, length = self.config, x.shape[0]
        turn = (config.rope_base, config.rope_factors, config.rope_halves)
        query = rope(self.attn_q_norm(self.attn_q(x).view(length, config.heads, -1)).transpose(0, 1), *turn)
        key = rope(self.attn_k_norm(self.attn_k(x).view(length, config.kv_heads, -1)).transpose(0, 1), *turn)
        value = self.attn_v(x).view(length, config.kv_heads, -1).transpose(0, 1)
        mixed = attention(self, query, key, value)
        output: Tensor = self.attn_output(mixed.transpose(0, 1).reshape(length, -1))
        return output


def attention(roles: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention of queries [H, T, size] to keys and values [H', T, size], each shared by H / H' of them.

    What the products are made of passes the modules of `ATTENTION_ROLES` of ``roles``.
    """
    query, key, value = (getattr(roles, name)(x) for name, x in zip(ATTENTION_ROLES, (query, key, value), strict=False))
    shared = len(query) // len(key)
    key, value = key.repeat_interleave(shared, 0), value.repeat_interleave(shared, 0)
    if isinstance(roles.shares, nn.Identity):
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    later = torch.ones(query.shape[1], query.shape[1], dtype=torch.bool, device=query.device).triu(1)
    scores = (query @ key.transpose(1, 2) * query.shape[-1] ** -0.5).masked_fill(later, -torch.inf)
    shares: Tensor = getattr(roles, ATTENTION_ROLES[-1])(scores.softmax(dim=-1))
    mixed: Tensor = shares @ value
    return mixed


class Llama(nn.Module):
    """The whole language model."""

    def __init__(self, model: ModelFile) -> None:
        """Load all weights.

        Raises:
            HwgenError: if the file is no llama model or holds a tensor of an unsupported type.
        """
        super().__init__()
        self.config = LlamaConfig.of(model)
        embedding = model.float32("token_embd.weight")
        self.token_embd = nn.Embedding(self.config.vocabulary, self.config.width, device="meta")
        self.token_embd.weight = parameter(embedding)
        self.blk = nn.ModuleList(Block(model, self.config, index) for index in range(self.config.blocks))
        self.output_norm = rms_norm(model, self.config, "output_norm")
        self.output = linear(model.float32("output.weight") if "output.weight" in model.tensors else embedding)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map token numbers [T] to the logits [T, vocabulary] of the token after each."""
        logits: Tensor = self.output(self.hidden(tokens))
        return logits

    def hidden(self, tokens: Tensor) -> Tensor:
        """Map token numbers [T] to what enters the output layer, [T, D]."""
        x = self.token_embd(tokens)
        for block in self.blk:
            x = block(x)
        normed: Tensor = self.output_norm(x)
        return normed

    def generate(self, tokens: list[int], most: int, stop: int | None = None) -> list[int]:
        """Return up to ``most`` likeliest next tokens, ended by ``stop``, which is not returned."""
        new: list[int] = []
        with torch.inference_mode():
            for _ in range(most):
                last = self.hidden(torch.tensor(tokens + new))[-1]
                token = int(self.output(last).argmax())
                if token == stop:
                    break
                new.append(token)
        return new


def embedded(model: ModelFile, numbers: list[int]) -> Tensor:
    """What enters the first block, [T, D]; only these rows are read."""
    return torch.from_numpy(model.float32("token_embd.weight", rows=np.array(numbers)))


def rms_norm(model: ModelFile, config: LlamaConfig, name: str) -> RmsNorm:
    """A norm of the model."""
    return RmsNorm(model.float32(f"{name}.weight"), config.epsilon)


def rope(x: Tensor, base: float, factors: tuple[float, ...] = (), halves: bool = False, first: int = 0) -> Tensor:
    """Rotate the pairs (2i, 2i + 1) of [heads, T, size] by position * base ** (-2i / size) / factors[i].

    With ``halves`` the pairs are (i, i + size / 2), as models keep them whose Q and K rows are not permuted. Positions
    count from ``first``.
    """
    heads, length, size = x.shape
    # float64 angles: a float32 product would already be off by 1e-4 rad at position 2,000.
    turns = base ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    if factors:
        turns = turns / torch.tensor(factors, dtype=torch.float64)
    angle = torch.outer(torch.arange(first, first + length, dtype=torch.float64), turns)
    cos, sin = angle.cos().to(x), angle.sin().to(x)
    if halves:
        low, high = x[..., : size // 2], x[..., size // 2 :]
        return torch.cat([low * cos - high * sin, low * sin + high * cos], dim=-1)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).view(heads, length, size)


def parameter(values: NDArray[np.float32]) -> nn.Parameter:
    """A weight that is not trained."""
    return nn.Parameter(torch.from_numpy(values), requires_grad=False)


def linear(weight: NDArray[np.float32], bias: NDArray[np.float32] | None = None) -> nn.Linear:
    """A layer around a weight [N, K] and perhaps a bias [N]; "meta" saves the random initialisation."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    if bias is not None:
        layer.bias = parameter(bias)
    layer.weight = parameter(weight)
    return layer
