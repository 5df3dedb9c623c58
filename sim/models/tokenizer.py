"""Build the tokenizer that a GGUF file carries in its metadata."""

from __future__ import annotations

from typing import Any

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from hwgen.errors import HwgenError, os_error
from sim.models.model_file import ModelFile

__all__ = ["tokenizer_beside", "tokenizer_of"]

CONTROL = 3
"""``tokenizer.ggml.token_type`` of a token that stands for no text, such as ``<|im_start|>``."""


_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITS = {
    "gpt-2": None,
    "default": None,
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "qwen2": _LLAMA3.replace("{1,3}", ""),
}
"""``tokenizer.ggml.pre`` → the rule by which words are cut before pairs merge; None: the one of GPT-2."""


def _cutter(kind: str) -> Any:
    """The pre-tokenizer of ``smollm`` (digits apart) or of a kind of ``SPLITS``."""
    rule = SPLITS.get(kind)
    if rule is not None:
        split = pre_tokenizers.Split(Regex(rule), "isolated")
        return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return (
        pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level]) if kind == "smollm" else level
    )


def tokenizer_of(model: ModelFile) -> Tokenizer:
    """Return the byte-level byte-pair tokenizer of a GGUF file.

    Raises:
        HwgenError: if the metadata holds no tokenizer, or one of another kind than ``gpt2`` with a known ``pre``.
    """
    kind = model.text("tokenizer.ggml.model"), model.text("tokenizer.ggml.pre")
    if kind[0] != "gpt2" or kind[1] not in ("smollm", *SPLITS):
        raise HwgenError(
            f"model file {model.path}: the tokenizer must be gpt2 with pre-tokenizer smollm, {', '.join(SPLITS)}, "
            f"not {kind[0]} with {kind[1]}"
        )
    tokens, merges = _strings(model, "tokenizer.ggml.tokens"), _strings(model, "tokenizer.ggml.merges")
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    types: Any = model.metadata.get("tokenizer.ggml.token_type", np.zeros(len(tokens)))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if not isinstance(types, np.ndarray) or types.size != len(tokens) or len(vocabulary) != len(tokens):
        raise HwgenError(f"model file {model.path}: the tokenizer must have {len(tokens)} different tokens and types")
    for left, right in pairs:
        if not {left, right, left + right} <= vocabulary.keys():
            raise HwgenError(f"model file {model.path}: the merge {left!r} + {right!r} needs a token that is not there")
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs))
    tokenizer.pre_tokenizer = _cutter(str(kind[1]))
    tokenizer.decoder = decoders.ByteLevel()
    controls = [AddedToken(tokens[number], special=True) for number in np.flatnonzero(types == CONTROL)]
    tokenizer.add_special_tokens(controls)
    return tokenizer


def tokenizer_beside(model: ModelFile) -> Tokenizer:
    """Return the tokenizer of the ``tokenizer.json`` beside a model.

    Raises:
        HwgenError: if it cannot be read or built.
    """
    path = model.path.parent / "tokenizer.json"
    try:
        return Tokenizer.from_buffer(path.read_bytes())
    except OSError as error:
        raise os_error(f"model file {path}: cannot be read", error) from error
    except Exception as error:  # the package raises nothing narrower
        reason = " ".join(str(error).split())[:120]
        raise HwgenError(
            f"model file {path}: holds no tokenizer that can be built: {reason}; fetch it again"
        ) from error


def _strings(model: ModelFile, key: str) -> list[str]:
    """A list of strings from the metadata."""
    value = model.metadata.get(key)
    if not isinstance(value, list):
        raise HwgenError(f"model file {model.path}: metadata {key} must be a list of strings")
    return value
