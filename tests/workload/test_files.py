"""Configurations, GGUF and safetensors as workloads: those that transformers and llama.cpp's format make, and damage.

``data/configs.json`` and ``data/checkpoints.json`` hold what transformers 4.57.6 saves and how many parameters the
models of it have; the tensors are written here, as zeros of those names and shapes.
"""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter
from safetensors.numpy import save_file

from hwgen.errors import HwgenError
from sim.workload import Decode, Generation, Prefill, Vision, builtin, load_workload
from sim.workload.files import file_workload
from sim.workload.hf_config import MODEL_TYPES, config_workload
from sim.workload.roles import layer_of, role_of
from tests.models.tiny import write_llama
from tests.workload.conftest import data

CONFIGS, CHECKPOINTS = data("configs.json"), data("checkpoints.json")


def written(folder: Path, kind: str, *, config: bool = True) -> Path:
    """A checkpoint as transformers saves it."""
    about = CHECKPOINTS[kind]
    save_file(
        {name: np.zeros(shape, np.float16) for name, shape in about["tensors"].items()}, folder / "model.safetensors"
    )
    if config:
        (folder / "config.json").write_text(json.dumps(about["config"]))
    return folder


@pytest.mark.parametrize("kind", CONFIGS)
def test_parameters_of_default_configurations(kind: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIGS[kind]["config"]))
    assert config_workload(tmp_path / "config.json").parameters == CONFIGS[kind]["parameters"]


def test_every_model_type_is_tried() -> None:
    assert set(CONFIGS) == set(MODEL_TYPES) == set(CHECKPOINTS) - {"bert"}


@pytest.mark.parametrize("kind", MODEL_TYPES)
def test_checkpoints_and_configurations_agree(kind: str, tmp_path: Path) -> None:
    folder = written(tmp_path, kind)
    by_config, by_file = load_workload(folder / "config.json"), load_workload(folder)
    assert by_config.parameters == by_file.parameters == CHECKPOINTS[kind]["parameters"]
    assert by_file.beside == ()
    phases: list[Any] = [Vision(3)] if kind == "vit" else [Prefill(7, 2), Decode(20, 3), Generation(4, 9, 2)]
    assert [by_config.macs(phase) for phase in phases] == [by_file.macs(phase) for phase in phases]
    assert by_config.context == by_file.context


def test_an_encoder_has_a_prefill_and_no_cache(tmp_path: Path) -> None:
    model = load_workload(written(tmp_path, "bert"))
    assert model.parameters == CHECKPOINTS["bert"]["parameters"]
    assert model.phases == ("prefill",)
    assert {one.operand for one in model.operators} == {"weights", "acts"}
    # 3 layers of width 64 and 96 inside, 14 tokens; the pooler takes one token of each sequence.
    linears = 3 * (4 * 64 * 64 + 2 * 64 * 96) * 14 + 64 * 64 * 2
    assert model.macs(Prefill(7, 2)) == linears + 3 * 2 * 2 * 7 * 7 * 64


def test_without_a_configuration_what_is_missing_is_listed(tmp_path: Path) -> None:
    model = file_workload(written(tmp_path, "mixtral", config=False))
    listed = [(one.what.partition(":")[0], one.count) for one in model.beside]
    assert ("moe.expert.gate of 4 experts, 96 x 64", 12) in listed
    assert ("attn.qk and attn.pv", 3) in listed
    assert model.roles == ("attn.q", "attn.k", "attn.v", "attn.o", "moe.router", "lm_head")
    tied = file_workload(written(tmp_path, "qwen3", config=False))
    assert any(one.what.startswith("lm_head: none in the file") for one in tied.beside)


def test_what_no_pattern_knows_is_listed(tmp_path: Path) -> None:
    tensors = {f"model.layers.{i}.mixer.in_proj.weight": np.zeros((6, 4), np.float32) for i in range(3)}
    tensors["model.layers.0.mixer.conv1d.weight"] = np.zeros((6, 1, 4), np.float32)
    save_file(tensors, tmp_path / "model.safetensors")
    model = file_workload(tmp_path)
    assert model.operators == ()
    assert {(one.what, one.count) for one in model.beside} == {
        ("matrix model.layers.*.mixer.in_proj [6, 4]", 3),
        ("tensor model.layers.*.mixer.conv1d.weight [6, 1, 4]", 1),
    }


def test_gguf_of_the_tests(tmp_path: Path) -> None:
    path = write_llama(tmp_path / "tiny.gguf")
    model = load_workload(path)
    assert model.beside == ()
    assert model.roles[:7] == ("attn.q", "attn.k", "attn.v", "attn.qk", "attn.pv", "attn.o", "ffn.gate")
    assert {name for one in model.operators for _, name in one.formats} <= {"fp32", "fp16", "bf16", "uint4", "int8"}
    assert model.context is not None
    assert model.macs(Decode(1)) > 0


@pytest.mark.model
def test_the_real_gguf_is_the_catalogue(real_model: Path) -> None:
    by_file, ours = load_workload(real_model), builtin("smollm2-135m")
    assert (by_file.parameters, by_file.context, by_file.beside) == (ours.parameters, ours.context, ())
    for phase in (Prefill(64, 2), Decode(100), Generation(10, 20)):
        assert by_file.macs(phase) == ours.macs(phase)
    assert next(one for one in by_file.operators if one.role == "ffn.up").stored == "Q4_1"


def test_gguf_of_a_mixture(tmp_path: Path) -> None:
    path = tmp_path / "moe.gguf"
    writer = GGUFWriter(str(path), "qwen3moe")
    writer.add_block_count(2)
    writer.add_embedding_length(32)
    writer.add_context_length(128)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_key_length(16)
    writer.add_expert_used_count(2)
    shapes = {"token_embd": (50, 32), "output_norm": (32,)}
    for i in range(2):
        shapes |= {f"blk.{i}.attn_{name}": shape for name, shape in (("q", (64, 32)), ("k", (32, 32)), ("v", (32, 32)))}
        shapes |= {f"blk.{i}.attn_output": (32, 64), f"blk.{i}.ffn_gate_inp": (6, 32)}
        shapes |= {f"blk.{i}.ffn_{name}_exps": (6, 24, 32) for name in ("gate", "up")}
        shapes[f"blk.{i}.ffn_down_exps"] = (6, 32, 24)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", np.zeros(shape, np.float16), raw_dtype=GGMLQuantizationType.F16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model = load_workload(path)
    assert model.beside == ()
    assert model.parameters == sum(math.prod(shape) for shape in shapes.values())
    layer = 64 * 32 * 2 + 2 * 32 * 32 + 6 * 32 + 2 * 3 * 24 * 32
    assert model.macs(Decode(1)) == 2 * (layer + 2 * 4 * 16) + 50 * 32


def test_names_of_matrices() -> None:
    assert role_of("blk.3.ffn_up_exps.weight") == "moe.expert.up"
    assert role_of("model.layers.3.block_sparse_moe.experts.*.w2") == "moe.expert.down"
    assert role_of("transformer.h.0.attn.c_attn.weight") == "attn.qkv"
    assert role_of("bert.encoder.layer.1.attention.output.dense.weight") == "attn.o"
    assert role_of("bert.encoder.layer.1.output.dense.weight") == "ffn.down"
    assert role_of("something.else.weight") is None
    assert [layer_of(name) for name in ("blk.7.attn_q", "h.2.mlp.c_fc", "lm_head")] == [7, 2, None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "lama"}, "no model_type 'lama'; did you mean 'llama'?; known are llama, mistral, qwen2, "),
        ({"model_type": None}, "no model_type 'None'; known are llama, "),
        ({"hidden_size": None}, "hidden_size is missing, which sizes follow from"),
        ({"hidden_size": math.nan}, "hidden_size must be a whole number from 1 up, not nan"),
        ({"num_hidden_layers": -1}, "num_hidden_layers must be a whole number from 1 up, not -1"),
        ({"vocab_size": "32000"}, "vocab_size must be a whole number from 1 up, not 32000"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings must be true or false, not 1"),
        ({"num_key_value_heads": 3}, "sizes: kv_heads must divide heads (4), not 3"),
        (
            {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
            "a sliding window in layers from 1 up only is not read; windows of all are",
        ),
        ({"model_type": "qwen3_moe", "num_experts": 4}, "num_experts_per_tok is missing, which sizes follow from"),
    ],
)
def test_configurations_that_make_no_sense(config: Path, changes: dict[str, Any], message: str) -> None:
    config.write_text(json.dumps({**json.loads(config.read_text()), **changes}))
    with pytest.raises(HwgenError) as error:
        config_workload(config)
    assert str(error.value).startswith(f"config {config}: {message}")


def test_truncated_files_are_refused(config: Path, tmp_path: Path) -> None:
    config.write_bytes(config.read_bytes()[:100])
    with pytest.raises(HwgenError, match="is no JSON, or truncated; fetch it again"):
        load_workload(config)
    path = write_llama(tmp_path / "cut.gguf")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(HwgenError, match="truncated or corrupt GGUF file"):
        load_workload(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(HwgenError, match=r"file missing\.gguf does not exist"):
        load_workload("missing.gguf")
    with pytest.raises(HwgenError, match=r"must hold a model or one \.onnx file, not 0"):
        load_workload(tmp_path)
    with pytest.raises(HwgenError, match=r"has no symbolic dimensions; --dim is for \.onnx files"):
        load_workload("phi-2", {"batch": 1})


@pytest.mark.parametrize("kind", CONFIGS)
def test_any_value_of_any_key_is_taken_or_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    about = CONFIGS[kind]["config"]
    for key in about:
        for value in (0, -1, math.inf, math.nan, None, "x", [], {}, True, 1 << 70, 1.5, 3):
            path.write_text(json.dumps({**about, key: value}))
            with contextlib.suppress(HwgenError):
                config_workload(path).macs(Vision() if kind == "vit" else Decode(1))
