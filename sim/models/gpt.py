"""The GPT-2 architecture in float32 torch, from a GGUF file or a view of one.

Modules carry the names of GGUF, as in `sim.models.llama`: ``blk.0.attn_qkv`` is one `torch.nn.Linear` that gives Q, K
and V of all heads, one after the other.

LayerNorm before attention and network, learned positions, GELU: Radford et al., "Language Models are Unsupervised
Multitask Learners", 2019, section 2.3; GELU in its approximation by tanh: Hendrycks and Gimpel, arXiv:1606.08415.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hwgen.errors import HwgenError
from sim.models.gpt_config import GptConfig
from sim.models.llama import ATTENTION_ROLES, attention, linear, parameter
from sim.models.model_file import ModelFile

__all__ = ["Gpt", "GptBlock", "embedded", "layer_norm"]


class GptBlock(nn.Module):
    """One transformer block: attention and feed-forward network, each after a norm and beside a residual path."""

    attn_qkv: nn.Module
    attn_output: nn.Module
    ffn_up: nn.Module
    ffn_down: nn.Module

    def __init__(self, model: ModelFile, config: GptConfig, index: int) -> None:
        super().__init__()
        self.config = config
        at = f"blk.{index}."
        for name in config.linears():
            setattr(self, name, linear(model.float32(f"{at}{name}.weight"), model.float32(f"{at}{name}.bias")))
        for role in ATTENTION_ROLES:
            setattr(self, role, nn.Identity())
        self.attn_norm = layer_norm(model, config, f"{at}attn_norm")
        self.ffn_norm = layer_norm(model, config, f"{at}ffn_norm")

    def forward(self, x: Tensor) -> Tensor:
        """Map the hidden states [T, D] of positions 0 to T - 1 to the next ones."""
        x = x + self._attention(self.attn_norm(x))
        down: Tensor = self.ffn_down(functional.gelu(self.ffn_up(self.ffn_norm(x)), approximate="tanh"))
        return x + down

    def _attention(self, x: Tensor) -> Tensor:
        length = x.shape[0]
        query, key, value = (
            part.view(length, self.config.heads, -1).transpose(0, 1) for part in self.attn_qkv(x).chunk(3, dim=-1)
        )
        output: Tensor = self.attn_output(attention(self, query, key, value).transpose(0, 1).reshape(length, -1))
        return output


class Gpt(nn.Module):
    """The whole language model."""

    def __init__(self, model: ModelFile) -> None:
        """Load all weights.

        Raises:
            HwgenError: if the file is no GPT-2 model or holds a tensor of an unsupported type.
        """
        super().__init__()
        self.config = config = GptConfig.of(model)
        self.token_embd = nn.Embedding(config.vocabulary, config.width, device="meta")
        self.token_embd.weight = parameter(model.float32("token_embd.weight"))
        self.position_embd = nn.Embedding(config.context, config.width, device="meta")
        self.position_embd.weight = parameter(model.float32("position_embd.weight"))
        self.blk = nn.ModuleList(GptBlock(model, config, index) for index in range(config.blocks))
        self.output_norm = layer_norm(model, config, "output_norm")
        own = "output.weight" in model.tensors
        self.output = linear(model.float32("output.weight") if own else self.token_embd.weight.numpy())

    def forward(self, tokens: Tensor) -> Tensor:
        """Map token numbers [T] to the logits [T, vocabulary] of the token after each."""
        logits: Tensor = self.output(self.hidden(tokens))
        return logits

    def embed(self, tokens: Tensor) -> Tensor:
        """Map token numbers [T] to what enters the first block, [T, D]. Raises `HwgenError` for too many of them."""
        if len(tokens) > self.config.context:
            raise HwgenError(f"model: tokens must be at most {self.config.context}, its positions, not {len(tokens)}")
        x: Tensor = self.token_embd(tokens) + self.position_embd.weight[: len(tokens)]
        return x

    def hidden(self, tokens: Tensor) -> Tensor:
        """Map token numbers [T] to what enters the output layer, [T, D]."""
        x = self.embed(tokens)
        for block in self.blk:
            x = block(x)
        normed: Tensor = self.output_norm(x)
        return normed


def embedded(model: ModelFile, numbers: list[int]) -> Tensor:
    """What enters the first block, [T, D]; only these rows are read."""
    rows = (("token_embd", np.array(numbers)), ("position_embd", np.arange(len(numbers))))
    token, position = (torch.from_numpy(model.float32(f"{name}.weight", rows=found)) for name, found in rows)
    return token + position


def layer_norm(model: ModelFile, config: GptConfig, name: str) -> nn.LayerNorm:
    """A norm over the D elements of each row, with weight and bias."""
    norm = nn.LayerNorm(config.width, eps=config.epsilon, device="meta")
    norm.weight, norm.bias = (parameter(model.float32(f"{name}.{part}")) for part in ("weight", "bias"))
    return norm
