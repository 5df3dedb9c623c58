"""Tokenizers of GGUF files against the package that SentencePiece models come from, and word for word by hand."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from google.protobuf.message import Message
from sentencepiece import sentencepiece_model_pb2

from sim.models import smollm
from sim.models.tokenizer import tokenizer_note, tokenizer_of
from sim.models.weights import open_model
from sim.models.word_splits import KINDS, cutter
from tests.models import tiny

TEXTS = [
    smollm.default_text(),
    "On the origin of species",
    "  two  spaces,\ttabs\n\nand lines \n",
    "naïve café – 日本 🙂 x²",
    "a",
    " ",
]


def trained(kind: str, **options: Any) -> sentencepiece.SentencePieceProcessor:
    """A model of the package's own trainer."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(smollm.default_text().splitlines()),
        model_writer=written,
        model_type=kind,
        vocab_size=options.pop("vocab_size", 600),
        minloglevel=2,
        **options,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())


def as_gguf(path: Path, model: sentencepiece.SentencePieceProcessor, kind: str) -> Path:
    """The tiny llama with the tokens of a SentencePiece model, as converters write them."""
    count = model.get_piece_size()
    types = [
        2 if model.is_unknown(i) else 3 if model.is_control(i) else 6 if model.is_byte(i) else 1 for i in range(count)
    ]
    proto: Message = sentencepiece_model_pb2.ModelProto.FromString(model.serialized_model_proto())
    for number, piece in enumerate(proto.pieces):
        if piece.type == sentencepiece_model_pb2.ModelProto.SentencePiece.USER_DEFINED:
            types[number] = 4
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": kind,
        "tokenizer.ggml.pre": None,
        "tokenizer.ggml.merges": None,
        "tokenizer.ggml.tokens": [model.id_to_piece(i) for i in range(count)],
        "tokenizer.ggml.scores": [model.get_score(i) for i in range(count)],
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.unknown_token_id": model.unk_id(),
        "tokenizer.ggml.bos_token_id": model.bos_id(),
        "tokenizer.ggml.add_bos_token": None,
        "tokenizer.ggml.add_space_prefix": proto.normalizer_spec.add_dummy_prefix,
        "tokenizer.ggml.remove_extra_whitespaces": proto.normalizer_spec.remove_extra_whitespaces,
    }
    if proto.normalizer_spec.precompiled_charsmap:
        metadata["tokenizer.ggml.precompiled_charsmap"] = list(proto.normalizer_spec.precompiled_charsmap)
    return tiny.write_llama(path, metadata=metadata)


PLAIN = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("fallback", [True, False])
def test_pairs_are_those_of_sentencepiece(tmp_path: Path, fallback: bool, first: bool) -> None:
    """Llama 2's kind: pieces merge by score, what has no piece becomes bytes, or one unknown token."""
    oracle = trained("bpe", byte_fallback=fallback, add_dummy_prefix=first, **PLAIN)
    model = open_model(as_gguf(tmp_path / "x.gguf", oracle, "llama"))
    for text in TEXTS:
        assert smollm.encode(model, text) == [oracle.bos_id(), *oracle.encode(text)], text
        if fallback:
            assert tokenizer_of(model).decode(smollm.encode(model, text)[1:]) == text


@pytest.mark.parametrize("options", [PLAIN, {}], ids=["identity", "nmt_nfkc"])
def test_unigrams_are_those_of_sentencepiece(tmp_path: Path, options: dict[str, Any]) -> None:
    """T5's kind: the most probable cut, of text that the model's own table of characters has changed before."""
    oracle = trained("unigram", vocab_size=300, hard_vocab_limit=False, **options)
    model = open_model(as_gguf(tmp_path / "x.gguf", oracle, "t5"))
    for text in TEXTS:
        assert smollm.encode(model, text) == oracle.encode(text), text


def test_tokens_of_a_user_are_not_cut(tmp_path: Path) -> None:
    oracle = trained("bpe", byte_fallback=True, user_defined_symbols=["<|user|>", "qqq"], **PLAIN)
    model = open_model(as_gguf(tmp_path / "x.gguf", oracle, "llama"))
    tokens = smollm.encode(model, "<|user|>the qqq")
    assert oracle.piece_to_id("<|user|>") in tokens
    assert oracle.piece_to_id("qqq") in tokens


WORDS = "I'VE 1234 fooBar's (the x, y)!\n\n  日本語"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("gpt-2", "I|'|VE| 1234| fooBar|'s| (|the| x|,| y|)!|\n\n | 日本語"),
        ("starcoder", "I|'|VE| |1|2|3|4| fooBar|'s| (|the| x|,| y|)!|\n\n | 日本語"),
        ("llama-bpe", "I|'VE| |123|4| fooBar|'s| (|the| x|,| y|)!\n\n| | 日本語"),
        ("qwen2", "I|'VE| |1|2|3|4| fooBar|'s| (|the| x|,| y|)!\n\n| | 日本語"),
        ("tekken", "I|'VE| |1|2|3|4| foo|Bar|'s| (|the| x|,| y|)!\n\n| | 日本語"),
        ("gpt-4o", "I'VE| |123|4| foo|Bar's| (|the| x|,| y|)!\n\n| | 日本語"),
        ("deepseek-v3", "I|'VE| |123|4| fooBar|'s| (|the| x|,| y|)!\n\n|  |日本語"),
        ("deepseek-coder", "I|'|VE| |1|2|3|4| fooBar|'|s| (|the| x|,| y|)!|\n|\n| | |日本語"),
        ("falcon", "I|'|VE| |123|4| fooBar|'|s| |(|the| x|,| y|)!|\n\n | 日本語"),
        ("bloom", "I'VE| 1234| fooBar's| (|the| x|,| y|)!\n\n | 日本語"),
        ("viking", "I'VE| |1|2|3|4| fooBar's| (|the| x|,| y|)!\n\n | 日本語"),
    ],
)
def test_words(kind: str, expected: str) -> None:
    """Cut by hand after the rules in the authors' tokenizer.json."""
    assert "|".join(WORDS[start:end] for _, (start, end) in cutter(kind).pre_tokenize_str(WORDS)) == expected


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_keeps_the_text(tmp_path: Path, kind: str) -> None:
    model = open_model(tiny.write_llama(tmp_path / "x.gguf", metadata={"tokenizer.ggml.pre": kind}))
    assert tokenizer_note(model) is None
    for text in TEXTS:
        assert tokenizer_of(model).decode(smollm.encode(model, text)) == text


def test_an_unknown_kind_says_so(tmp_path: Path) -> None:
    model = open_model(tiny.write_llama(tmp_path / "x.gguf", metadata={"tokenizer.ggml.pre": "next-year"}))
    assert tokenizer_note(model) == "pre-tokenizer 'next-year' is not known: text is cut into words as GPT-2 does"
    assert smollm.encode(model, "in the 12") == smollm.encode(
        open_model(tiny.write_llama(tmp_path / "y.gguf", metadata={"tokenizer.ggml.pre": "gpt-2"})), "in the 12"
    )
