"""GPT-2 in GGUF and in safetensors, against an oracle in float64 numpy, a token and a head at a time."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from click.testing import CliRunner
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from hwgen.cli import accuracy
from hwgen.errors import HwgenError
from sim import inputs
from sim.accuracy.recipe import recipe
from sim.accuracy.stored import store
from sim.accuracy.tasks.base import silent
from sim.models import smollm
from sim.models.gpt import Gpt
from sim.models.language import load_language_model, text_view
from sim.models.llama import Llama
from sim.models.weights import open_model
from tests.models import tiny

HEADS, CONTEXT, EPSILON = 4, 12, 1e-3
TEXT = "the cat in the hat sat in the 12 mats"
NUMBERS = [4, 90, 17, 33, 200, 8]

pytestmark = pytest.mark.usefixtures("cache")


def gpt_tensors(head: bool = False) -> dict[str, np.ndarray]:
    """Random weights under the names of GGUF; matrices are (out, in)."""
    rng = np.random.default_rng(3)
    width, ffn = tiny.WIDTH, tiny.FFN
    shapes = {"attn_qkv": (3 * width, width), "attn_output": (width, width)}
    shapes |= {"ffn_up": (ffn, width), "ffn_down": (width, ffn)}
    tensors = {"token_embd.weight": rng.normal(size=(len(tiny.TOKENS), width))}
    tensors["position_embd.weight"] = rng.normal(size=(CONTEXT, width))
    for block in range(tiny.BLOCKS):
        for name, (n, k) in shapes.items():
            tensors[f"blk.{block}.{name}.weight"] = rng.normal(size=(n, k)) * 2 / np.sqrt(k)
            tensors[f"blk.{block}.{name}.bias"] = rng.normal(size=n)
    for name in ("output_norm", *(f"blk.{b}.{n}" for b in range(tiny.BLOCKS) for n in ("attn_norm", "ffn_norm"))):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = rng.uniform(0.5, 2.0, width), rng.normal(size=width)
    if head:
        tensors["output.weight"] = rng.normal(size=(len(tiny.TOKENS), width))
    return {name: values.astype(np.float32) for name, values in tensors.items()}


def gpt_metadata() -> dict[str, Any]:
    sizes = {"block_count": tiny.BLOCKS, "context_length": CONTEXT, "embedding_length": tiny.WIDTH}
    sizes |= {"feed_forward_length": tiny.FFN, "attention.head_count": HEADS}
    words = {key: value for key, value in tiny.llama_metadata().items() if key.startswith("tokenizer.")}
    return (
        {f"gpt2.{key}": value for key, value in sizes.items()} | {"gpt2.attention.layer_norm_epsilon": EPSILON} | words
    )


def write_gguf(path: Path, tensors: dict[str, np.ndarray], **metadata: Any) -> Path:
    stored = {name: tiny.quantise(values, "F32") for name, values in tensors.items()}
    named = {key.replace("__", "."): value for key, value in metadata.items()}
    return tiny.write_gguf(path, stored, gpt_metadata() | named, "gpt2")


def hf_name(name: str) -> str:
    parts = {"attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj", "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"}
    parts |= {"attn_norm": "ln_1", "ffn_norm": "ln_2"}
    whole = {"token_embd": "wte", "position_embd": "wpe", "output_norm": "ln_f", "output": "lm_head"}
    stem, _, end = name.rpartition(".")
    if stem in whole:
        return f"{whole[stem]}.{end}"
    _, block, part = stem.split(".")
    return f"h.{block}.{parts[part]}.{end}"


def write_hf(folder: Path, tensors: dict[str, np.ndarray], prefix: str = "transformer.", **config: Any) -> Path:
    stored = {}
    for name, values in tensors.items():
        theirs = hf_name(name)
        turned = np.ascontiguousarray(values.T) if name.startswith("blk.") and values.ndim == 2 else values
        stored[theirs if theirs.startswith("lm_head") else prefix + theirs] = turned
    for block in range(tiny.BLOCKS):  # the mask that old files hold
        stored[f"{prefix}h.{block}.attn.bias"] = np.tril(np.ones((1, 1, CONTEXT, CONTEXT), np.float32))
    path = folder / "model.safetensors"
    safetensors.numpy.save_file(stored, path)
    base = {"model_type": "gpt2", "n_layer": tiny.BLOCKS, "n_head": HEADS, "n_embd": tiny.WIDTH}
    base |= {"n_inner": tiny.FFN, "n_positions": CONTEXT, "layer_norm_epsilon": EPSILON}
    (folder / "config.json").write_text(json.dumps(base | config))
    merges = [(left, right) for left, right in (merge.split() for merge in tiny.MERGES)]
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tiny.TOKENS)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    return path


def oracle(tensors: dict[str, np.ndarray], numbers: list[int]) -> tuple[np.ndarray, dict[str, list[np.ndarray]]]:
    """Logits, and what enters each linear layer."""
    t = {name: values.astype(np.float64) for name, values in tensors.items()}
    seen: dict[str, list[np.ndarray]] = {}
    size = tiny.WIDTH // HEADS

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        mean = sum(x) / len(x)
        variance = sum((x - mean) ** 2) / len(x)
        return (x - mean) / math.sqrt(variance + EPSILON) * t[f"{name}.weight"] + t[f"{name}.bias"]

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        seen.setdefault(name, []).append(x)
        return t[f"{name}.weight"] @ x + t[f"{name}.bias"]

    def gelu(x: float) -> float:
        return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    hidden = [t["token_embd.weight"][number] + t["position_embd.weight"][i] for i, number in enumerate(numbers)]
    for block in range(tiny.BLOCKS):
        at = f"blk.{block}."
        past: list[np.ndarray] = []
        for position, x in enumerate(hidden):
            past.append(linear(f"{at}attn_qkv", norm(f"{at}attn_norm", x)))
            mixed = []
            for head in range(HEADS):
                query, key, value = (part * tiny.WIDTH + head * size for part in range(3))
                scores = np.array([past[-1][query : query + size] @ one[key : key + size] for one in past])
                shares = np.exp(scores / math.sqrt(size))
                shares /= shares.sum()
                mixed.append(sum(share * one[value : value + size] for share, one in zip(shares, past, strict=True)))
            x = x + linear(f"{at}attn_output", np.concatenate(mixed))
            up = np.array([gelu(value) for value in linear(f"{at}ffn_up", norm(f"{at}ffn_norm", x))])
            hidden[position] = x + linear(f"{at}ffn_down", up)
    last = [norm("output_norm", x) for x in hidden]
    seen["output"] = last
    head_weight = t.get("output.weight", t["token_embd.weight"])
    return np.array([head_weight @ x for x in last]), seen


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("form", ["gguf", "safetensors", "without prefix"])
def test_logits(tmp_path: Path, form: str, head: bool) -> None:
    tensors = gpt_tensors(head)
    if form == "gguf":
        path = write_gguf(tmp_path / "x.gguf", tensors)
    else:
        path = write_hf(
            tmp_path, tensors, "" if form == "without prefix" else "transformer.", tie_word_embeddings=not head
        )
    model = load_language_model(path)
    assert isinstance(model, Gpt)
    with torch.inference_mode():
        got = model(torch.tensor(NUMBERS)).numpy()
    want, _ = oracle(tensors, NUMBERS)
    # GELU without its approximation is off by 0.002 here, another epsilon by 0.01.
    assert np.allclose(got, want, rtol=1e-4, atol=1e-4)
    assert len(model.blk) == tiny.BLOCKS
    linears = [name for name, found in model.named_modules() if isinstance(found, torch.nn.Linear)]
    assert linears == [
        *(f"blk.{b}.{n}" for b in range(tiny.BLOCKS) for n in ("attn_qkv", "attn_output", "ffn_up", "ffn_down")),
        "output",
    ]


@pytest.mark.parametrize("role", ["queries", "keys", "values", "shares"])
def test_operands_of_attention_pass_their_places(tmp_path: Path, role: str) -> None:
    model = load_language_model(write_gguf(tmp_path / "x.gguf", gpt_tensors()))
    seen: list[tuple[int, ...]] = []

    class Watching(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(x.shape))
            return x

    with torch.inference_mode():
        before = model(torch.tensor(NUMBERS))
        for block in model.blk:
            setattr(block, role, Watching())
        after = model(torch.tensor(NUMBERS))
    assert torch.allclose(before, after, rtol=1e-4, atol=1e-4)
    size = len(NUMBERS) if role == "shares" else tiny.WIDTH // HEADS
    assert seen == [(HEADS, len(NUMBERS), size)] * tiny.BLOCKS


def test_a_recipe_stores_it(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "x.gguf", gpt_tensors())
    model, tokens = load_language_model(path), torch.tensor(NUMBERS)
    with torch.inference_mode():
        before = model(tokens)
        size = store(model, recipe({"weights": "int8", "acts": "int8", "keys": "int8", "head": "int8"}), [], silent)
        after = model(tokens)
    # Without its positions, or with Q, K and V of other weights, nothing would be near.
    assert 0.0 < float((after - before).norm() / before.norm()) < 0.05
    assert set(size.bits) == {name for name, *_ in smollm.linear_layers(path)} - {"output"}
    assert size.bits_per_weight == pytest.approx(8 + 16 / 64, rel=0.02)


def test_accuracy_is_the_same_from_both_formats(tmp_path: Path) -> None:
    arguments = ["--weights", "int4", "--text", "origin", "--window", "12", "--windows", "2", "--format", "csv"]
    tables = []
    for path in (write_gguf(tmp_path / "x.gguf", gpt_tensors()), write_hf(tmp_path, gpt_tensors())):
        done = CliRunner().invoke(accuracy.command, [*arguments, "--model", str(path)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        tables.append(done.stdout)
    assert len(tables[0].splitlines()) == 3
    assert tables[0] == tables[1]
    with pytest.raises(HwgenError, match="window must be at most 12 tokens, which the model can read, not 13"):
        CliRunner().invoke(
            accuracy.command,
            ["--weights", "int4", "--window", "13", "--model", str(path)],
            catch_exceptions=False,
            standalone_mode=False,
        )


def test_captures(tmp_path: Path) -> None:
    """What `hwgen run` is given of a layer: its weights, (out, in), and what enters it, in both formats."""
    tensors = gpt_tensors()
    gguf_path = write_gguf(tmp_path / "x.gguf", tensors)
    path = write_hf(tmp_path, tensors)
    numbers = smollm.encode(open_model(path), TEXT)[:5]
    # The same words: the pre-tokenizer that the file names cuts digits apart, which the first tokens have none of.
    assert smollm.encode(open_model(gguf_path), TEXT)[:5] == numbers
    _, seen = oracle(tensors, numbers)
    for name in ("blk.0.attn_qkv", "blk.1.attn_output", "blk.1.ffn_up", "blk.0.ffn_down", "output"):
        theirs = hf_name(f"{name}.weight").removesuffix(".weight")
        theirs = theirs if theirs == "lm_head" else f"transformer.{theirs}"
        for file, layer in ((gguf_path, name), (path, theirs)):
            weights, acts, words = inputs.model_operands(file, layer, 5, TEXT)
            assert words == "model"
            assert np.array_equal(weights, tensors.get(f"{name}.weight", tensors["token_embd.weight"]))
            assert np.allclose(acts, np.array(seen[name]), rtol=1e-3, atol=1e-3), (file, layer)


def test_layers(tmp_path: Path) -> None:
    layers = smollm.linear_layers(write_gguf(tmp_path / "x.gguf", gpt_tensors()))
    assert layers[:4] == [
        ("blk.0.attn_qkv", 3 * tiny.WIDTH, tiny.WIDTH),
        ("blk.0.attn_output", tiny.WIDTH, tiny.WIDTH),
        ("blk.0.ffn_up", tiny.FFN, tiny.WIDTH),
        ("blk.0.ffn_down", tiny.WIDTH, tiny.FFN),
    ]
    assert layers[-1] == ("output", len(tiny.TOKENS), tiny.WIDTH)
    assert len(layers) == 4 * tiny.BLOCKS + 1
    hf = {name: (n, k) for name, n, k in smollm.linear_layers(write_hf(tmp_path, gpt_tensors()))}
    assert hf["transformer.h.0.attn.c_attn"] == (3 * tiny.WIDTH, tiny.WIDTH)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"gpt2__attention__head_count": 5}, "head_count 5 must divide embedding_length 64"),
        ({"gpt2__attention__head_count_kv": 2}, "metadata gpt2.attention.head_count_kv must be 4, not 2"),
        ({"gpt2__block_count": 3}, "none of its .* tensors is called 'blk.2.attn_qkv.weight'"),
        ({"gpt2__block_count": 10_000_000}, "10000000 blocks cannot come of"),
        (
            {"gpt2__context_length": 24},
            r"tensor 'position_embd.weight' of .*: shape must be \(24, 64\), not \(12, 64\)",
        ),
        ({"gpt2__feed_forward_length": 0}, "metadata gpt2.feed_forward_length must be a positive number, not 0"),
    ],
)
def test_sizes_that_do_not_fit(tmp_path: Path, metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError, match=message):
        load_language_model(write_gguf(tmp_path / "x.gguf", gpt_tensors(), **metadata))


def test_a_tensor_that_would_be_ignored(tmp_path: Path) -> None:
    more = gpt_tensors() | {"blk.0.attn_k.weight": np.zeros((4, 4), np.float32)}
    with pytest.raises(HwgenError, match="is no part of the GPT-2 models that can be run"):
        load_language_model(write_gguf(tmp_path / "x.gguf", more))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"activation_function": "relu"}, "activation_function must be gelu_new or gelu_pytorch_tanh, not 'relu'"),
        ({"scale_attn_weights": False}, "scale_attn_weights must be True, not 'False'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx must be False, not 'True'"),
        ({"n_head": "four"}, "metadata gpt2.attention.head_count must be a positive number, not 'four'"),
        ({"n_embd": None}, "metadata gpt2.embedding_length must be a positive number, not None"),
    ],
)
def test_configurations_that_are_not_computed(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError, match=re.escape(message)):
        load_language_model(write_hf(tmp_path, gpt_tensors(), **config))


def test_a_network_four_times_as_wide_need_not_be_said(tmp_path: Path) -> None:
    path = write_hf(tmp_path, gpt_tensors(), n_inner=None)
    with pytest.raises(HwgenError, match=r"shape must be \(256, 64\), not \(96, 64\)"):
        load_language_model(path)


def test_too_many_tokens(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "x.gguf", gpt_tensors())
    with pytest.raises(HwgenError, match="tokens must be at most 12, its positions, not 13"):
        load_language_model(path)(torch.zeros(13, dtype=torch.long))
    with pytest.raises(HwgenError, match="capture: tokens must be from 1 to 12, which the model can read, not 13"):
        smollm.capture(path, "blk.0.ffn_up", TEXT, 13)


def test_one_way_to_load(tmp_path: Path, llama_path: Path) -> None:
    """Each file by what it says it is; of none that runs, one line says which do."""
    assert isinstance(load_language_model(llama_path), Llama)
    other = tiny.write_gguf(tmp_path / "other.gguf", {}, {}, "bloom")
    with pytest.raises(HwgenError) as caught:
        load_language_model(other)
    assert str(caught.value) == (
        f"model file {other}: cannot be run on text: running it needs GGUF of architecture llama, qwen2, qwen3, gpt2, "
        "not gguf of architecture 'bloom'"
    )
    path = write_hf(tmp_path, gpt_tensors(), model_type="opt")
    with pytest.raises(HwgenError) as caught:
        load_language_model(path)
    assert str(caught.value) == (
        f"model file {path}: cannot be run on text: config.json says model_type 'opt'; "
        "llama, mistral, qwen2, qwen3, gpt2 can be run"
    )
    (tmp_path / "config.json").unlink()
    with pytest.raises(HwgenError, match=r"cannot be run on text: no config.json beside the file"):
        text_view(open_model(path))
