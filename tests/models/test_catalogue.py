from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from hwgen.errors import HwgenError
from sim.models.catalogue import matrices
from sim.models.weights import open_model

N, K, G = 96, 64, 32
I4, F2, U1 = np.int32, np.float16, np.uint8


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        (
            {"a.qweight": ((K // 8, N), I4), "a.qzeros": ((K // G, N // 8), I4), "a.scales": ((K // G, N), F2)},
            "GPTQ 4 bit, group 32",
        ),
        (
            {"a.qweight": ((K // 4, N), I4), "a.qzeros": ((1, N // 4), I4), "a.scales": ((1, N), F2)},
            "GPTQ 8 bit, group 64",
        ),
        (
            {"a.qweight": ((K, N // 8), I4), "a.qzeros": ((K // G, N // 8), I4), "a.scales": ((K // G, N), F2)},
            "AWQ 4 bit, group 32",
        ),
        ({"a.weight_packed": ((N, K // 2), U1), "a.weight_scale": ((N, K // 16), U1)}, "NVFP4 4 bit, group 16"),
        ({"a.weight": ((N, K), F2), "a.bias": ((N,), F2), "wte.weight": ((9, K), F2)}, "F16"),
    ],
)
def test_true_shapes(tmp_path: Path, tensors: dict[str, tuple[tuple[int, ...], type]], expected: str) -> None:
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file({name: np.zeros(shape, dtype) for name, (shape, dtype) in tensors.items()}, path)
    (found,) = matrices(open_model(path))
    assert (found.name, found.n, found.k, found.stored, found.experts) == ("a", N, K, expected, 0)


def test_conv1d_and_experts(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    arrays = {f"l.0.experts.{index}.up_proj.weight": np.zeros((N, K), F2) for index in range(3)}
    arrays |= {"h.0.mlp.c_fc.weight": np.zeros((K, N), F2), "b.down_proj_blocks": np.zeros((4, N, K // 32, 16), U1)}
    safetensors.numpy.save_file({**arrays, "b.down_proj_scales": np.zeros((4, N, K // 32), U1)}, path)
    assert [(m.name, m.n, m.k, m.stored, m.experts) for m in matrices(open_model(path))] == [
        ("b.down_proj", N, K, "MXFP4 4 bit, group 32", 4),
        ("h.0.mlp.c_fc", N, K, "F16", 0),
        ("l.0.experts.*.up_proj", N, K, "F16", 3),
    ]


@pytest.mark.parametrize("bits", [4, 8])
def test_compressed_tensors_say_their_shape(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "x.safetensors"
    packed: dict[str, np.ndarray] = {
        "a.weight_packed": np.zeros((N, K * bits // 32), I4),
        "a.weight_scale": np.zeros((N, K // G), F2),
    }
    safetensors.numpy.save_file({**packed, "a.weight_shape": np.array([N, K])}, path)
    (found,) = matrices(open_model(path))
    assert (found.n, found.k, found.stored) == (N, K, f"compressed-tensors {bits} bit, group 32")
    safetensors.numpy.save_file(packed, path)
    (found,) = matrices(open_model(path))
    assert (found.n, found.stored) == (0, "compressed-tensors, packed, without a weight_shape that fits")


def test_an_index_of_shards_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text('{"weight_map": {"a": "model-00001-of-00002.safetensors"}}')
    with pytest.raises(HwgenError) as caught:
        open_model(path)
    assert str(caught.value) == (
        f"model file {path}: is the index of a model in several safetensors files; pass one of those files"
    )
