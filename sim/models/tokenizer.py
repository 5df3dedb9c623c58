"""Build the tokenizer that a GGUF file carries in its metadata."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers

from hwgen.errors import HwgenError, os_error
from sim.models.model_file import ModelFile
from sim.models.word_splits import IGNORE_MERGES, KINDS, cutter

__all__ = ["adds_start_token", "tokenizer_beside", "tokenizer_note", "tokenizer_of"]

UNKNOWN, CONTROL, USER, BYTE = 2, 3, 4, 6
"""``tokenizer.ggml.token_type``: of what has no token; without text (such as ``<|im_start|>``); never cut; a byte."""

_BLANK = "▁"
"""What SentencePiece writes for a space."""


def tokenizer_of(model: ModelFile) -> Tokenizer:
    """Return the tokenizer of a GGUF file: byte-level byte pairs, or SentencePiece (byte pairs or unigrams).

    Raises:
        HwgenError: if the metadata holds no tokenizer, a damaged one, or one of another kind.
    """
    kind = model.text("tokenizer.ggml.model")
    if kind not in _MAKERS:
        raise HwgenError(
            f"model file {model.path}: the tokenizer must be gpt2 (byte-level), llama or t5 (SentencePiece), not {kind}"
        )
    tokens = _strings(model, "tokenizer.ggml.tokens")
    types = _numbers(model, "tokenizer.ggml.token_type", len(tokens), np.ones(len(tokens)))
    if len(set(tokens)) != len(tokens):
        raise HwgenError(f"model file {model.path}: the tokens of its tokenizer must be different from each other")
    tokenizer = _MAKERS[kind](model, tokens, types)
    # Text between them is cut on its own; those of a user are written in texts, controls are not.
    tokenizer.add_special_tokens(
        [AddedToken(tokens[number], special=True) for number in np.flatnonzero(types == CONTROL)]
    )
    tokenizer.add_tokens([AddedToken(tokens[number], normalized=False) for number in np.flatnonzero(types == USER)])
    return tokenizer


def tokenizer_note(model: ModelFile) -> str | None:
    """Say in what the tokens of a GGUF file may differ from those that its authors mean; None: in nothing known."""
    pre = model.text("tokenizer.ggml.pre")
    if model.text("tokenizer.ggml.model") != "gpt2" or pre is None or pre in KINDS:
        return None
    return f"pre-tokenizer {pre[:40]!r} is not known: text is cut into words as GPT-2 does"


def adds_start_token(model: ModelFile) -> bool:
    """Whether texts begin with the start token; SentencePiece models of Llama's kind do if they do not say."""
    said = model.metadata.get("tokenizer.ggml.add_bos_token")
    return said if isinstance(said, bool) else model.text("tokenizer.ggml.model") == "llama"


def _byte_level(model: ModelFile, tokens: list[str], types: NDArray[Any]) -> Tokenizer:
    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = _strings(model, "tokenizer.ggml.merges")
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    for left, right in pairs:
        if not {left, right, left + right} <= vocabulary.keys():
            raise HwgenError(f"model file {model.path}: the merge {left!r} + {right!r} needs a token that is not there")
    pre = model.text("tokenizer.ggml.pre")
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, ignore_merges=pre in IGNORE_MERGES))
    tokenizer.pre_tokenizer = cutter(pre)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentencepiece_pairs(model: ModelFile, tokens: list[str], types: NDArray[Any]) -> Tokenizer:
    """Byte pairs by score: of neighbours those merge first whose joint piece has the highest score."""
    scores = _numbers(model, "tokenizer.ggml.scores", len(tokens))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    texts = {tokens[number] for number in np.flatnonzero((types != CONTROL) & (types != UNKNOWN) & (types != USER))}
    pairs = [
        (piece[:cut], piece[cut:])
        for piece in sorted(texts, key=lambda piece: (-scores[vocabulary[piece]], vocabulary[piece]))
        for cut in range(1, len(piece))
        if piece[:cut] in texts and piece[cut:] in texts
    ]
    unknown = _unknown(model, tokens, types)
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, unk_token=tokens[unknown], fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer, tokenizer.decoder = _spaces(model)
    return tokenizer


def _spaces(model: ModelFile, before: Sequence[Any] = ()) -> tuple[Any, Any]:
    """What turns spaces into ``_BLANK``, one in front of the text if the model adds it, and what turns them back."""
    first = model.metadata.get("tokenizer.ggml.add_space_prefix") is not False
    there = [*before, *([normalizers.Prepend(_BLANK)] if first else []), normalizers.Replace(" ", _BLANK)]
    back = [decoders.Replace(_BLANK, " "), decoders.ByteFallback(), decoders.Fuse()]
    return (
        normalizers.Sequence(there),
        decoders.Sequence([*back, *([decoders.Strip(" ", 1, 0)] if first else [])]),
    )


def _sentencepiece_unigrams(model: ModelFile, tokens: list[str], types: NDArray[Any]) -> Tokenizer:
    scores = _numbers(model, "tokenizer.ggml.scores", len(tokens))
    pieces = [(token, float(score)) for token, score in zip(tokens, scores, strict=True)]
    unknown = _unknown(model, tokens, types)
    tokenizer = Tokenizer(models.Unigram(pieces, unknown, byte_fallback=bool((types == BYTE).any())))
    steps: list[Any] = []
    table = model.metadata.get("tokenizer.ggml.precompiled_charsmap")
    if isinstance(table, np.ndarray) and table.size:
        try:
            steps.append(normalizers.Precompiled(table.astype(np.uint8).tobytes()))
        except Exception as error:  # the package raises nothing narrower
            raise HwgenError(
                f"model file {model.path}: metadata tokenizer.ggml.precompiled_charsmap is damaged"
            ) from error
    if model.metadata.get("tokenizer.ggml.remove_extra_whitespaces") is True:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer, tokenizer.decoder = _spaces(model, steps)
    return tokenizer


_MAKERS: dict[str, Callable[[ModelFile, list[str], NDArray[Any]], Tokenizer]] = {
    "gpt2": _byte_level,
    "llama": _sentencepiece_pairs,
    "t5": _sentencepiece_unigrams,
}
"""``tokenizer.ggml.model`` → what builds it."""


def _unknown(model: ModelFile, tokens: list[str], types: NDArray[Any]) -> int:
    """Number of the token for what has none."""
    said = model.metadata.get("tokenizer.ggml.unknown_token_id")
    found = [said] if isinstance(said, int) else [int(number) for number in np.flatnonzero(types == UNKNOWN)]
    if not found or not 0 <= found[0] < len(tokens):
        raise HwgenError(
            f"model file {model.path}: the tokenizer must have a token for what is unknown, of {len(tokens)} tokens"
        )
    return found[0]


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


def _numbers(model: ModelFile, key: str, count: int, default: NDArray[Any] | None = None) -> NDArray[Any]:
    """A list of finite numbers from the metadata, one a token."""
    value = model.metadata.get(key, default)
    if not isinstance(value, np.ndarray) or value.shape != (count,) or not np.isfinite(value).all():
        raise HwgenError(f"model file {model.path}: metadata {key} must be {count} numbers, one a token")
    return value
