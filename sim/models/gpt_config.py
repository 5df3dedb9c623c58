"""The sizes of a GPT-2 model, read from GGUF metadata and checked against the tensors; no torch."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.errors import HwgenError
from sim.models.model_file import ModelFile
from sim.models.sizes import check_tensors, number, whole

__all__ = ["ARCHITECTURE", "GptConfig"]

ARCHITECTURE = "gpt2"
"""In GGUF; ``model_type`` of config.json is called alike."""


@dataclass(frozen=True)
class GptConfig:
    """Sizes of a GPT-2 model."""

    blocks: int
    width: int
    """Elements of a hidden state (D)."""
    heads: int
    ffn: int
    """Elements inside the feed-forward network."""
    vocabulary: int
    context: int
    """Most tokens that the model can read: so many positions have been learned."""
    epsilon: float
    architecture: str = ARCHITECTURE

    def linears(self) -> dict[str, tuple[int, int]]:
        """Return (N, K) of the four linear layers of a block, by name; Q, K and V are one."""
        return {
            "attn_qkv": (3 * self.width, self.width),
            "attn_output": (self.width, self.width),
            "ffn_up": (self.ffn, self.width),
            "ffn_down": (self.width, self.ffn),
        }

    def expected(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor that the model must have, by name."""
        shapes: dict[str, tuple[int, ...]] = {
            "token_embd.weight": (self.vocabulary, self.width),
            "position_embd.weight": (self.context, self.width),
        }
        for index in range(self.blocks):
            for name, (n, k) in self.linears().items():
                shapes |= {f"blk.{index}.{name}.weight": (n, k), f"blk.{index}.{name}.bias": (n,)}
            for name in ("attn_norm", "ffn_norm"):
                shapes |= {f"blk.{index}.{name}.{part}": (self.width,) for part in ("weight", "bias")}
        return shapes | {f"output_norm.{part}": (self.width,) for part in ("weight", "bias")}

    @classmethod
    def of(cls, model: ModelFile) -> GptConfig:
        """Read the sizes.

        Raises:
            HwgenError: if the file is no GPT-2 model, a size is missing or makes no sense, a tensor is missing or has
                another shape, or a tensor would be ignored.
        """
        architecture = model.text("general.architecture")
        if architecture != ARCHITECTURE:
            raise HwgenError(f"model file {model.path}: architecture must be {ARCHITECTURE}, not {architecture!r}")
        at = f"{ARCHITECTURE}."
        config = cls(
            blocks=whole(model, f"{at}block_count"),
            width=whole(model, f"{at}embedding_length"),
            heads=whole(model, f"{at}attention.head_count"),
            ffn=whole(model, f"{at}feed_forward_length"),
            vocabulary=model.matrix("token_embd.weight").shape[0],
            context=whole(model, f"{at}context_length"),
            epsilon=number(model, f"{at}attention.layer_norm_epsilon"),
        )
        if config.width % config.heads:
            raise HwgenError(
                f"model file {model.path}: head_count {config.heads} must divide embedding_length {config.width}"
            )
        kv_heads = whole(model, f"{at}attention.head_count_kv", config.heads)
        if kv_heads != config.heads:
            raise HwgenError(
                f"model file {model.path}: metadata {at}attention.head_count_kv must be {config.heads}, not {kv_heads}"
            )
        if config.blocks > len(model.tensors):
            raise HwgenError(
                f"model file {model.path}: {config.blocks} blocks cannot come of {len(model.tensors)} tensors"
            )
        check_tensors(model, config.expected(), {"output.weight": (config.vocabulary, config.width)}, "GPT-2")
        return config
