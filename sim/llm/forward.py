"""A Llama-type transformer, token by token, whose matrix products are someone else's.

What is no matrix product, norms, rotary embedding, softmax and activation functions, is float32 PyTorch. Products are
the linear layers, the last one too, and of every step's attention QKᵀ and PV, for each head of keys and values: all
query heads that share it are rows of one product.

A block's `Cache` is of whoever multiplies. `FloatCache` holds keys and values in float32, which are quantised for each
product: the weights of QKᵀ are K [context, size], a row for each token, those of PV are Vᵀ [size, context], whose
groups along K are groups of tokens: a token that comes changes the codes of the last group alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sim.models.llama import RmsNorm, rope
from sim.models.llama_config import LlamaConfig
from sim.models.model_file import ModelFile

__all__ = ["OUTPUT", "Cache", "Decoder", "FloatCache", "Products", "linear_names", "weight_name"]

OUTPUT = "output"


def linear_names(config: LlamaConfig, blocks: int) -> list[str]:
    """Names of the linear layers of the first blocks, in the order in which they run, and the last layer."""
    return [*(f"blk.{index}.{name}" for index in range(blocks) for name in config.linears()), OUTPUT]


def weight_name(model: ModelFile, layer: str) -> str:
    """The tensor of a layer's weights: a last layer that is tied to the embedding has none of its own."""
    name = f"{layer}.weight"
    return name if layer != OUTPUT or name in model.tensors else "token_embd.weight"


class Cache(Protocol):
    """Keys and values of a block, head by head, as far as tokens were read."""

    def append(self, keys: Tensor, values: Tensor) -> None:
        """Take those of more tokens in, float32 [heads, T, size]."""
        ...

    def scores(self, queries: Tensor) -> Tensor:
        """QKᵀ float32 [heads, M, context] of queries [heads, M, size]."""
        ...

    def mixed(self, shares: Tensor) -> Tensor:
        """PV float32 [heads, M, size] of probabilities [heads, M, context]."""
        ...


class Products(Protocol):
    """Who multiplies."""

    def linear(self, names: Sequence[str], x: Tensor) -> list[Tensor]:
        """Outputs [T, N] of several layers of the same input [T, K], float32, without bias."""
        ...

    def heads(self, acts: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
        """``acts[i]`` [M, K] times ``weights[i]`` [N, K], float32 [M, N], all of the same shape."""
        ...

    def cache(self, heads: int, size: int, room: int) -> Cache:
        """An empty cache of a block for up to ``room`` tokens of heads of ``size`` values."""
        ...


class FloatCache:
    """`Cache` in float32, multiplied by `Products.heads`."""

    def __init__(self, products: Products, heads: int, size: int) -> None:
        """An empty one."""
        self._products = products
        self._keys = self._values = torch.zeros(heads, 0, size)

    def append(self, keys: Tensor, values: Tensor) -> None:
        """See `Cache`."""
        self._keys = torch.cat([self._keys, keys], dim=1)
        self._values = torch.cat([self._values, values], dim=1)

    def scores(self, queries: Tensor) -> Tensor:
        """See `Cache`."""
        return torch.stack(self._products.heads(list(queries), list(self._keys)))

    def mixed(self, shares: Tensor) -> Tensor:
        """See `Cache`."""
        return torch.stack(self._products.heads(list(shares), [one.T.contiguous() for one in self._values]))


class Decoder:
    """The model, as far as it has read: its caches grow with each `read`."""

    def __init__(self, model: ModelFile, blocks: int, products: Products, room: int) -> None:
        """The first ``blocks`` blocks of the model, and its last layer, for up to ``room`` tokens."""
        self.config = config = LlamaConfig.of(model)
        self._model, self._products = model, products
        self._norms = {
            name: RmsNorm(model.float32(f"{name}.weight"), config.epsilon)
            for name in self._norm_names(blocks)
            if f"{name}.weight" in model.tensors
        }
        self._biases = {
            name: torch.from_numpy(model.float32(f"{name}.bias"))
            for name in linear_names(config, blocks)
            if f"{name}.bias" in model.tensors
        }
        self._caches = [products.cache(config.kv_heads, config.head_size, room) for _ in range(blocks)]
        self.context = 0
        """Tokens that were read."""

    @staticmethod
    def _norm_names(blocks: int) -> list[str]:
        own = ("attn_norm", "ffn_norm", "attn_q_norm", "attn_k_norm")
        return [*(f"blk.{index}.{name}" for index in range(blocks) for name in own), "output_norm"]

    @torch.inference_mode()
    def read(self, tokens: Sequence[int]) -> Tensor:
        """Read tokens; returns the logits [vocabulary] of the token after the last one."""
        x = torch.from_numpy(self._model.float32("token_embd.weight", rows=np.array(tokens)))
        for index in range(len(self._caches)):
            x = x + self._attention(index, self._norms[f"blk.{index}.attn_norm"](x))
            normed = self._norms[f"blk.{index}.ffn_norm"](x)
            gate, up = self._linear(index, ("ffn_gate", "ffn_up"), normed)
            (down,) = self._linear(index, ("ffn_down",), functional.silu(gate) * up)
            x = x + down
        self.context += len(tokens)
        last = self._norms["output_norm"](x[-1:])
        return self._named((OUTPUT,), last)[0][0]

    def _linear(self, index: int, names: Sequence[str], x: Tensor) -> list[Tensor]:
        return self._named([f"blk.{index}.{name}" for name in names], x)

    def _named(self, names: Sequence[str], x: Tensor) -> list[Tensor]:
        found = self._products.linear(names, x.contiguous())
        return [y + self._biases[name] if name in self._biases else y for name, y in zip(names, found, strict=True)]

    def _attention(self, index: int, x: Tensor) -> Tensor:
        """[T, D] of tokens that follow those of the cache, which takes their keys and values in."""
        config, length = self.config, len(x)
        query, key, value = (
            y.view(length, -1, config.head_size).transpose(0, 1)
            for y in self._linear(index, ("attn_q", "attn_k", "attn_v"), x)
        )
        query, key = self._turned(f"blk.{index}.attn_q_norm", query), self._turned(f"blk.{index}.attn_k_norm", key)
        cache, context = self._caches[index], self.context + length
        cache.append(key, value)
        # The query heads that share keys and values, and their tokens, are the rows of one product.
        rows = query.reshape(config.kv_heads, -1, config.head_size)
        scores = cache.scores(rows) * config.head_size**-0.5
        seen = torch.arange(context) <= torch.arange(context - length, context)[:, None]
        scores = scores.view(config.heads, length, context).masked_fill(~seen, -torch.inf)
        shares = scores.softmax(dim=-1).view(config.kv_heads, -1, context)
        mixed = cache.mixed(shares)
        joined = mixed.view(config.heads, length, -1).transpose(0, 1).reshape(length, -1)
        return self._linear(index, ("attn_output",), joined)[0]

    def _turned(self, norm: str, x: Tensor) -> Tensor:
        """Queries or keys [heads, T, size] after their norm, if the model has one, turned by their positions."""
        config = self.config
        if norm in self._norms:
            x = self._norms[norm](x)
        return rope(x, config.rope_base, config.rope_factors, config.rope_halves, self.context)
