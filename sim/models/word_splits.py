"""How byte-level tokenizers cut text into words before pairs merge: ``tokenizer.ggml.pre`` of a GGUF file.

The rules are those that the models' authors publish in their ``tokenizer.json``; the names are llama.cpp's.
"""

from __future__ import annotations

from typing import Any

from tokenizers import Regex, pre_tokenizers

__all__ = ["IGNORE_MERGES", "KINDS", "cutter"]

_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = _SHORT + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + _REST
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def _by_case(short: str, digits: str) -> str:
    """Words end where lower case turns to upper case; ``short``: what may follow a word, such as 've."""
    before = r"[^\r\n\p{L}\p{N}]?"
    return (
        f"{before}{_UPPER}*{_LOWER}+{short}|{before}{_UPPER}+{_LOWER}*{short}|{digits}"
        rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*{_REST}"
    )


_DEEPSEEK3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"| ?[\p{P}\p{S}]+[\r\n]*" + _REST
)
_BLOOM = " ?[^(\\s|.,!?…。，、।۔،)]+"

RULES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("gpt-2", "default", "mpt", "olmo", "jais", "jais-2", "trillion", "granite-docling", "phi-2", "exaone4"): (_GPT2,),
    ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"): (r"\p{N}", _GPT2),
    ("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"): (_LLAMA3,),
    ("dbrx", "smaug-bpe", "glm4", "chatglm-bpe"): (_LLAMA3,),
    ("qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez", "grok-2"): (_LLAMA3.replace("{1,3}", ""),),
    ("tekken",): (_by_case("", r"\p{N}"),),
    ("gpt-4o", "llama4"): (_by_case(f"{_SHORT}?", r"\p{N}{1,3}"),),
    ("deepseek-v3", "hunyuan-dense"): (r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", _DEEPSEEK3),
    ("deepseek-coder",): (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"),
    ("falcon",): (r"[\p{P}$+<=>^~|`]+", _GPT2, "[0-9][0-9][0-9]"),
    ("bloom", "poro-chat", "gpt3-finnish"): (_BLOOM,),
    ("viking",): (_BLOOM, r"\p{N}"),
}
"""Names → rules, one after the other: each cuts its matches out of the pieces that the one before left."""

KINDS = {name: rules for names, rules in RULES.items() for name in names}

IGNORE_MERGES = {*("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"), "tekken"}
"""Kinds of which a word that is a token is that token, whatever its merges give."""


def cutter(kind: str | None) -> Any:
    """The pre-tokenizer of a kind; of a kind that is not in ``KINDS``, the one of GPT-2."""
    splits = [pre_tokenizers.Split(Regex(rule), "isolated") for rule in KINDS.get(kind or "default", (_GPT2,))]
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
