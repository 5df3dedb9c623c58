"""Quantised models beside text: activations through packed layers, and weights that are quantised again or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hwgen.pe import family
from rtl_tests.checkpoints.cases import stream
from sim import inputs
from sim.hold import hold
from sim.models.checkpoint import layer_weights, stored_kind, stored_weights, unpacked_view
from sim.models.weights import open_model
from sim.run import run_layer
from tests.models import test_hf, test_kinds, tiny

DOWN, UP = "model.layers.0.mlp.down_proj", "model.layers.1.mlp.up_proj"
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "checkpoint_format": "gptq_v2"}


def models(folder: Path) -> tuple[Path, Path]:
    """The tiny llama with one GPTQ layer in act-order, and the same with that layer's values in FP32."""
    rng = np.random.default_rng(1)
    n, k = tiny.WIDTH, tiny.FFN
    index = rng.permutation(k) // 32
    q, z = rng.integers(0, 16, (n, k)), rng.integers(0, 16, (n, k // 32))
    s = (rng.uniform(0.25, 1, (n, k // 32)) / 64).astype(np.float16)
    values = torch.from_numpy((s.astype(np.float64)[:, index] * (q - z[:, index])).astype(np.float32))
    paths = []
    for name in ("packed", "plain"):
        (folder / name).mkdir()
        config = {"quantization_config": GPTQ} if name == "packed" else {}
        path = test_hf.write(folder / name, "llama", test_kinds.tensors_of("llama", 16, False, False), **config)
        tensors = load_file(path)
        tensors[f"{DOWN}.weight"] = values
        if name == "packed":
            del tensors[f"{DOWN}.weight"]
            tensors |= {
                f"{DOWN}.qweight": torch.from_numpy(stream(q, 4).T.copy()),
                f"{DOWN}.qzeros": torch.from_numpy(stream(z.T, 4)),
                f"{DOWN}.scales": torch.from_numpy(s.T.copy()),
                f"{DOWN}.g_idx": torch.from_numpy(index.astype(np.int32)),
            }
        save_file(tensors, path)
        paths.append(path)
    return paths[0], paths[1]


def test_text_through_packed_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path / "cache"))
    packed, plain = models(tmp_path)
    for name in (DOWN, UP):
        found, wanted = (inputs.read_operands(path, name, 4, test_hf.TEXT) for path in (packed, plain))
        assert found.words == wanted.words == "model"
        assert np.array_equal(found.acts, wanted.acts)
        assert np.array_equal(found.weights, wanted.weights)
    stored = inputs.read_operands(packed, DOWN, 4, test_hf.TEXT, as_stored=True).stored
    assert stored is not None
    assert stored.described == "GPTQ 4 bit (uint4 with zero points, fp16 scales of groups of 32, inputs in act-order)"
    assert stored_kind(open_model(packed), DOWN) == "GPTQ 4 bit, group 32"
    plain_model = open_model(plain)
    assert unpacked_view(plain_model) is plain_model
    assert np.array_equal(layer_weights(open_model(packed), DOWN), layer_weights(plain_model, DOWN))


def test_activations_follow_the_order(tmp_path: Path) -> None:
    packed, _ = models(tmp_path)
    stored = stored_weights(open_model(packed), DOWN)
    acts = np.random.default_rng(1).normal(size=(3, tiny.FFN))
    assert stored.order is not None
    assert np.allclose(stored.acts(acts) @ stored.tensor.dequantize().T, acts @ stored.float32().T, rtol=1e-5)


@pytest.mark.rtl
def test_a_tensor_that_python_made(tmp_path: Path) -> None:
    stored = stored_weights(open_model(models(tmp_path)[0]), DOWN)
    spec = family("int").from_values({"m": 1, "n": 2, "bits": 4, "scheme": "asymmetric", "group": 32})
    acts = np.random.default_rng(1).normal(size=(2, tiny.FFN))
    by_name = run_layer(spec, stored, acts)
    by_hand = run_layer(spec, hold(spec, stored.tensor), stored.acts(acts))
    assert by_name.ok
    assert by_hand.ok
    assert np.array_equal(by_name.y, by_hand.y)
    assert by_hand.weights == "as given, quantised already"
    again = run_layer(spec, stored.float32(), acts)
    assert again.ok
    assert again.weights == "quantised to uint4, scheme asymmetric"
