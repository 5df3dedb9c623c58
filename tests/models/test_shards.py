"""Models in several files, and in folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner

from hwgen.cli.model import command
from hwgen.errors import HwgenError
from sim import inputs
from sim.models.weights import open_model
from tests.models import test_hf
from tests.models.test_kinds import tensors_of

pytestmark = pytest.mark.usefixtures("cache")
NAME = "model.layers.1.mlp.up_proj"


def split(folder: Path) -> Path:
    """The tiny llama in one file, then in two beside an index."""
    whole = test_hf.write(folder, "llama", tensors_of("llama", 16, False, False))
    tensors = safetensors.torch.load_file(whole)
    names = sorted(tensors)
    places: dict[str, str] = {}
    for number, some in enumerate((names[::2], names[1::2]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        safetensors.torch.save_file({name: tensors[name] for name in some}, folder / file)
        places |= dict.fromkeys(some, file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


def test_an_index_or_its_folder_is_the_whole_model(tmp_path: Path) -> None:
    index = split(tmp_path)
    whole = inputs.model_operands(tmp_path / "model.safetensors", NAME, 4, test_hf.TEXT)
    (tmp_path / "model.safetensors").unlink()
    for path in (index, tmp_path):
        weights, acts, words = inputs.model_operands(path, NAME, 4, test_hf.TEXT)
        assert np.array_equal(weights, whole[0])
        assert np.array_equal(acts, whole[1])
        assert words == "model"
        listed = CliRunner().invoke(command, ["layers", "--model", str(path)])
        assert f"{NAME:28s}     96 x 64  F32\n" in listed.output
    # The capture belongs to the content of the shards, not to the index.
    shard = tmp_path / "model-00001-of-00002.safetensors"
    doubled = {name: 2 * values for name, values in safetensors.torch.load_file(shard).items()}
    safetensors.torch.save_file(doubled, shard)
    assert not np.array_equal(inputs.model_operands(index, NAME, 4, test_hf.TEXT)[1], whole[1])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[", "it is not JSON"),
        ("[]", "weight_map must give the file of every tensor"),
        ({"weight_map": {}}, "weight_map must give the file of every tensor"),
        ({"weight_map": {"a": 3}}, "weight_map must give the file of every tensor"),
        ({"weight_map": {"a": "../x.safetensors"}}, r"'../x.safetensors' is no .safetensors file beside it"),
        ({"weight_map": {"a": "/etc/passwd"}}, "'/etc/passwd' is no .safetensors file beside it"),
        ({"weight_map": {"a": "y.safetensors"}}, "'y.safetensors' is not there"),
        ({"weight_map": {"a": "x.safetensors"}}, "'x.safetensors' has no tensor 'a'"),
    ],
)
def test_damaged_indexes(tmp_path: Path, content: Any, expected: str) -> None:
    safetensors.torch.save_file({"b": torch.zeros(2, 2)}, tmp_path / "x.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(HwgenError, match=expected):
        open_model(index)


def test_folders_without_one_model(tmp_path: Path) -> None:
    with pytest.raises(HwgenError, match="and holds none"):
        open_model(tmp_path)
    for name in ("a.safetensors", "b.safetensors"):
        safetensors.torch.save_file({"b": torch.zeros(2, 2)}, tmp_path / name)
    with pytest.raises(HwgenError, match=r"not 2: a.safetensors, b.safetensors; give one of them"):
        open_model(tmp_path)


def test_float8_bitsandbytes_and_experts_are_listed(tmp_path: Path) -> None:
    state = json.dumps({"shape": [96, 64], "blocksize": 64, "quant_type": "nf4"}).encode()
    eight = torch.zeros(96, 64).to(torch.float8_e4m3fn)
    tensors = {"a.weight": eight, "a.weight_scale": torch.ones(96, 1), "b.weight": eight.clone()}
    tensors |= {"b.weight_scale_inv": torch.ones(3, 2), "c.weight": torch.zeros(3072, 1, dtype=torch.uint8)}
    tensors |= {"c.weight.absmax": torch.ones(96), "d.experts.up": torch.zeros(4, 96, 64).bfloat16()}
    tensors["c.weight.quant_state.bitsandbytes__nf4"] = torch.frombuffer(bytearray(state), dtype=torch.uint8)
    tensors |= {"e.weight": torch.zeros(96, 64, dtype=torch.int8), "e.SCB": torch.ones(96)}
    safetensors.torch.save_file(tensors, tmp_path / "x.safetensors")
    listed = CliRunner().invoke(command, ["layers", "--model", str(tmp_path)]).output.splitlines()
    assert [" ".join(line.split()) for line in listed] == [
        "a 96 x 64 FP8 (F8_E4M3) 8 bit, one scale an output",
        "b 96 x 64 FP8 (F8_E4M3) 8 bit, blocks of 32 x 32",
        "c 96 x 64 bitsandbytes NF4 4 bit, group 64",
        "d.experts.up 96 x 64 x 4 experts BF16",
        "e 96 x 64 bitsandbytes LLM.int8 8 bit, one scale an output",
    ]
