"""Llama-type models in safetensors with their configuration, against the oracle of `test_kinds`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from gguf import GGMLQuantizationType
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from hwgen.errors import HwgenError
from sim import inputs
from sim.models.hf import llama_view
from sim.models.llama import Llama
from sim.models.weights import open_model
from tests.models import test_kinds, tiny

LINEARS = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj"}
LINEARS |= {"attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj"}
LINEARS |= {"ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
LINEARS |= {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
OTHERS = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3 |= {"original_max_position_embeddings": 256}
TEXT = "the cat in the hat sat in the 12 mats"

pytestmark = pytest.mark.usefixtures("cache")


def hf_name(name: str) -> str:
    if name in OTHERS:
        return OTHERS[name]
    _, block, part, end = name.split(".")
    return f"model.layers.{block}.{LINEARS[part]}.{end}"


def write(
    folder: Path, kind: str, tensors: dict[str, np.ndarray], dtype: torch.dtype = torch.float32, **config: Any
) -> Path:
    path = folder / "model.safetensors"
    stored = {
        hf_name(name): torch.from_numpy(v).to(dtype) for name, v in tensors.items() if name != "rope_freqs.weight"
    }
    safetensors.torch.save_file(stored, path)
    base = {"model_type": kind, "num_hidden_layers": tiny.BLOCKS, "hidden_size": tiny.WIDTH}
    base |= {"intermediate_size": tiny.FFN, "num_attention_heads": tiny.HEADS, "num_key_value_heads": tiny.KV_HEADS}
    base |= {"rms_norm_eps": tiny.EPSILON, "max_position_embeddings": 32, "rope_theta": tiny.ROPE_BASE}
    (folder / "config.json").write_text(json.dumps(base | {"tie_word_embeddings": True} | config))
    merges = [(left, right) for left, right in (merge.split() for merge in tiny.MERGES)]
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tiny.TOKENS)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    return path


def llama3_factors(head: int) -> np.ndarray:
    """The rule in words: short waves stay, long ones are slowed by the factor, between them a mixture."""
    out = []
    for i in range(head // 2):
        frequency = tiny.ROPE_BASE ** (-2 * i / head)
        wave = 2 * math.pi / frequency
        if wave < 256 / 4.0:
            slowed = frequency
        elif wave > 256 / 1.0:
            slowed = frequency / 8.0
        else:
            share = (256 / wave - 1.0) / (4.0 - 1.0)
            slowed = (1 - share) * frequency / 8.0 + share * frequency
        out.append(frequency / slowed)
    return np.array(out)


@pytest.mark.parametrize(
    ("kind", "head", "biases", "rope"),
    [
        ("llama", 16, False, None),
        ("llama", 16, False, LLAMA3),
        ("llama", 16, True, {"type": "linear", "factor": 4.0}),
        ("mistral", 24, False, None),
        ("qwen2", 16, True, None),
        ("qwen3", 24, False, None),
    ],
)
def test_kinds_in_safetensors(
    tmp_path: Path, kind: str, head: int, biases: bool, rope: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = test_kinds.tensors_of(kind, head, biases, False)
    config: dict[str, Any] = {"rope_scaling": rope, "head_dim": head}
    path = write(tmp_path, kind, tensors, **config)
    numbers = [4, 90, 17, 33, 200, 8]
    with torch.inference_mode():
        got = Llama(llama_view(open_model(path)))(torch.tensor(numbers)).double()
    if rope is not None:
        factors = llama3_factors(head) if rope is LLAMA3 else np.full(head // 2, 4.0)
        assert len(set(factors)) > 2 or rope is not LLAMA3
        monkeypatch.setattr(test_kinds, "FREQUENCIES", factors)
        # Without the factors the oracle says something else.
        assert not torch.allclose(got, test_kinds.oracle(tensors, numbers, head, True), rtol=1e-2, atol=1e-2)
        tensors["rope_freqs.weight"] = factors
    assert torch.allclose(got, test_kinds.oracle(tensors, numbers, head, True), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_operands(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = test_kinds.tensors_of("llama", 16, False, False)
    path = write(tmp_path, "llama", tensors, dtype)
    name = "model.layers.0.self_attn.q_proj"
    weights, acts, words = inputs.model_operands(path, name, 4, TEXT)
    assert words == "model"
    assert np.array_equal(weights, torch.from_numpy(tensors["blk.0.attn_q.weight"]).to(dtype).float().numpy())
    ids = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode(TEXT).ids[:4]
    x = torch.from_numpy(tensors["token_embd.weight"])[ids].to(dtype).double()
    norm = torch.from_numpy(tensors["blk.0.attn_norm.weight"]).to(dtype).double()
    want = x / (x.square().mean(-1, keepdim=True) + tiny.EPSILON).sqrt() * norm
    assert np.allclose(acts, want.numpy(), rtol=1e-5, atol=1e-6)
    # The output layer is tied.
    assert inputs.model_operands(path, "lm_head", 4, TEXT)[0].shape == (len(tiny.TOKENS), tiny.WIDTH)
    # Another configuration is another capture.
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1.0}))
    assert not np.allclose(inputs.model_operands(path, name, 4, TEXT)[1], acts)


def test_random_activations_are_said(tmp_path: Path) -> None:
    path = write(tmp_path, "llama", test_kinds.tensors_of("llama", 16, False, False))
    name = "model.layers.0.mlp.up_proj"
    (tmp_path / "config.json").write_text('{"model_type": "gpt_neox"}')
    _, acts, words = inputs.model_operands(path, name, 3)
    assert acts.shape == (3, tiny.WIDTH)
    assert words == (
        "weights of the model, activations random: normal, mean 0, standard deviation 1; seed 1 "
        "(config.json says model_type 'gpt_neox'; llama, mistral, qwen2, qwen3, gpt2 can be run)"
    )
    (tmp_path / "tokenizer.json").unlink()
    assert "no tokenizer.json beside the file" in inputs.model_operands(path, name, 3)[2]
    with pytest.raises(HwgenError, match="cannot be run on the text: no tokenizer"):
        inputs.model_operands(path, name, 3, TEXT)


def test_one_shard_says_what_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, "llama", test_kinds.tensors_of("llama", 16, False, False))
    shard = path.rename(path.with_name("model-00001-of-00002.safetensors"))
    _, acts, words = inputs.model_operands(shard, "model.layers.0.mlp.up_proj", 3)
    assert acts.shape == (3, tiny.WIDTH)
    assert words.endswith("(the file is one of 2 shards; give their folder or their .index.json)")
    # One shard is the whole.
    whole = shard.rename(path.with_name("model-00001-of-00001.safetensors"))
    assert inputs.model_operands(whole, "model.layers.0.mlp.up_proj", 3)[2] == "model"


def test_gguf_of_other_kinds(tmp_path: Path) -> None:
    """As in safetensors: the weights are the model's, activations are random and said to be."""
    tensors = {"blk.0.ffn_up.weight": (np.eye(4, 8, dtype=np.float32), GGMLQuantizationType.F32)}
    path = tiny.write_gguf(tmp_path / "x.gguf", tensors, architecture="phi2")
    weights, acts, words = inputs.model_operands(path, "blk.0.ffn_up", 3)
    assert np.array_equal(weights, np.eye(4, 8))
    assert acts.shape == (3, 8)
    assert words.endswith(
        "(running it needs GGUF of architecture llama, qwen2, qwen3, gpt2, not gguf of architecture 'phi2')"
    )
    with pytest.raises(HwgenError, match="cannot be run on the text: running it needs"):
        inputs.model_operands(path, "blk.0.ffn_up", 3, TEXT)
    with pytest.raises(HwgenError, match=r"none of its 1 tensors is called 'blk\.0\.ffn\.weight'"):
        inputs.model_operands(path, "blk.0.ffn", 3)


def test_words_cut_in_another_way_are_said(tmp_path: Path) -> None:
    path = tiny.write_llama(tmp_path / "x.gguf", metadata={"tokenizer.ggml.pre": "next-year"})
    words = inputs.model_operands(path, "blk.0.ffn_up", 3, TEXT)[2]
    assert words.startswith("weights and activations of the model (pre-tokenizer 'next-year' is not known")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "rope_type must be default, linear or llama3"),
        ({"rope_scaling": {"rope_type": "linear", "factor": "x"}}, "factor of rope_scaling must be a positive number"),
        ({"rope_scaling": {**LLAMA3, "low_freq_factor": 4.0}}, "low_freq_factor must be below high_freq_factor"),
        ({"rope_scaling": "x"}, "rope_scaling must be an object"),
        ({"hidden_act": "gelu"}, "hidden_act must be silu, not 'gelu'"),
        ({"num_hidden_layers": 3}, "none of its .* tensors is called"),
        ({"hidden_size": None}, "embedding_length must be a positive number"),
    ],
)
def test_configurations_that_cannot_be_run(tmp_path: Path, config: dict[str, Any], expected: str) -> None:
    path = write(tmp_path, "llama", test_kinds.tensors_of("llama", 16, False, False), **config)
    with pytest.raises(HwgenError, match=expected):
        inputs.model_operands(path, "model.layers.0.mlp.up_proj", 2)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
@pytest.mark.parametrize("damage", [b"", b"[", b"[1]", b"\xff\xfe", b'{"model_type": 3}'])
def test_damaged_files_beside(tmp_path: Path, file: str, damage: bytes) -> None:
    path = write(tmp_path, "llama", test_kinds.tensors_of("llama", 16, False, False))
    (tmp_path / file).write_bytes(damage)
    with pytest.raises(HwgenError, match=file):
        inputs.model_operands(path, "model.layers.0.mlp.up_proj", 2)


def test_quantised_layers_are_refused_by_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    packed = {"a.qweight": torch.zeros(8, 96, dtype=torch.int32), "a.qzeros": torch.zeros(2, 12, dtype=torch.int32)}
    packed |= {"a.scales": torch.ones(2, 96).half(), "f.weight": torch.zeros(4, 8).to(torch.float8_e4m3fn)}
    packed |= {"h.0.mlp.c_fc.weight": torch.arange(24.0).reshape(4, 6)}
    safetensors.torch.save_file(packed, path)
    with pytest.raises(HwgenError, match=r"is quantised already \(GPTQ 4 bit, group 32\), and neither config\.json"):
        inputs.model_operands(path, "a", 2)
    with pytest.raises(HwgenError, match=r"is quantised already \(FP8 \(F8_E4M3\) 8 bit, no"):
        inputs.model_operands(path, "f", 2)
    weights, acts, _ = inputs.model_operands(path, "h.0.mlp.c_fc", 2)
    assert weights.shape == (6, 4)
    assert weights[0].tolist() == [0.0, 6.0, 12.0, 18.0]
    assert acts.shape == (2, 4)
