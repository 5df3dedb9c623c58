"""The sizes of a llama model, read from GGUF metadata and checked against the tensors; no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hwgen.errors import HwgenError
from sim.models.model_file import ModelFile

__all__ = ["LlamaConfig"]


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

    def linears(self) -> dict[str, tuple[int, int]]:
        """Return (N, K) of the seven linear layers of a block, by name."""
        kv = self.kv_heads * (self.width // self.heads)
        return {
            "attn_q": (self.width, self.width),
            "attn_k": (kv, self.width),
            "attn_v": (kv, self.width),
            "attn_output": (self.width, self.width),
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
        return shapes | {"output_norm.weight": (self.width,)}

    @classmethod
    def of(cls, model: ModelFile) -> LlamaConfig:
        """Read the sizes.

        Raises:
            HwgenError: if the file is no llama model in GGUF, a size is missing or makes no sense, a tensor is missing
                or has another shape, or a tensor would be ignored (a bias, long-context factors).
        """

        def number(key: str, default: float | None = None) -> float:
            value = model.metadata.get(f"llama.{key}", default)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise HwgenError(
                    f"model file {model.path}: metadata llama.{key} must be a positive number, not {_shown(value)}"
                )
            return value

        def whole(key: str, default: int | None = None) -> int:
            value = number(key, default)
            if not isinstance(value, int):
                raise HwgenError(f"model file {model.path}: metadata llama.{key} must be a whole number, not {value!r}")
            return value

        architecture = model.text("general.architecture")
        if model.format != "gguf" or architecture != "llama":
            found = f"{model.format} of architecture {architecture!r}" if model.format == "gguf" else model.format
            raise HwgenError(f"model file {model.path}: running it needs GGUF of architecture 'llama', not {found}")
        heads = whole("attention.head_count")
        config = cls(
            blocks=whole("block_count"),
            width=whole("embedding_length"),
            heads=heads,
            kv_heads=whole("attention.head_count_kv", heads),
            ffn=whole("feed_forward_length"),
            vocabulary=model.matrix("token_embd.weight").shape[0],
            context=whole("context_length"),
            rope_base=number("rope.freq_base", 10_000.0),
            epsilon=number("attention.layer_norm_rms_epsilon"),
        )
        size = config.width // heads
        if config.width % heads or size % 2 or heads % config.kv_heads:
            raise HwgenError(
                f"model file {model.path}: embedding_length {config.width}, head_count {heads} and head_count_kv "
                f"{config.kv_heads} must divide each other into heads of an even size"
            )
        for key in ("rope.dimension_count", "attention.key_length", "attention.value_length"):
            if whole(key, size) != size:
                raise HwgenError(f"model file {model.path}: metadata llama.{key} must be {size}, not {whole(key)}")
        if config.blocks > len(model.tensors):
            raise HwgenError(
                f"model file {model.path}: {config.blocks} blocks cannot come of {len(model.tensors)} tensors"
            )
        expected = config.expected()
        for name, shape in expected.items():
            if model.info(name).shape != shape:
                raise HwgenError(
                    f"tensor {name!r} of {model.path}: shape must be {shape}, not {model.info(name).shape}; "
                    "the metadata and the tensors disagree"
                )
        for name in model.tensors.keys() - expected.keys() - {"output.weight"}:
            raise HwgenError(f"tensor {name!r} of {model.path}: is no part of the llama models that can be run")
        if "output.weight" in model.tensors and model.info("output.weight").shape != expected["token_embd.weight"]:
            raise HwgenError(f"tensor 'output.weight' of {model.path}: shape must be {expected['token_embd.weight']}")
        return config


def _shown(value: object) -> str:
    """A metadata value in a message; lists may be long."""
    return repr(value) if value is None or isinstance(value, int | float | str) else "a list"
