"""Damage to a model file never ends in anything but `HwgenError`."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from hwgen.errors import HwgenError
from sim.models.smollm import encode, linear_layers
from sim.models.weights import open_model
from tests.models import tiny


def use_everything(path: Path) -> str:
    """Open the file and read all that there is; say how it ended."""
    error = failure(path)
    assert error is None or ("\n" not in str(error) and str(path) in str(error))
    return "refused" if error else "read"


def failure(path: Path) -> HwgenError | None:
    try:
        linear_layers(path)
        model = open_model(path)
        for name, info in model.tensors.items():
            model.float32(name)
            if info.dtype == "Q4_1" and len(info.shape) == 2:
                model.q4_1(name)
        if model.format == "gguf":
            encode(model, "In the 12th year, the end.")
    except HwgenError as error:
        return error
    return None


def fresh(path: Path, raw: bytes) -> Path:
    """A new file each time: the last one may still be mapped."""
    path.unlink(missing_ok=True)
    path.write_bytes(raw)
    return path


@pytest.fixture(params=["gguf", "safetensors"])
def whole(request: pytest.FixtureRequest, llama_path: Path, tmp_path: Path) -> tuple[bytes, int]:
    """A good file and the size of its header."""
    if request.param == "gguf":
        model = open_model(llama_path)
        return llama_path.read_bytes(), min(info.offset for info in model.tensors.values())
    rng = np.random.default_rng(1)
    tensors = {f"layer.{i}.weight": rng.normal(size=(4, 8)).astype(ml_dtypes.bfloat16) for i in range(4)}
    path = tmp_path / "good.safetensors"
    safetensors.numpy.save_file(tensors, path)
    raw = path.read_bytes()
    return raw, 8 + int.from_bytes(raw[:8], "little")


def test_the_whole_file_is_read(whole: tuple[bytes, int], tmp_path: Path) -> None:
    assert use_everything(fresh(tmp_path / "x.bin", whole[0])) == "read"


def test_truncation_is_always_refused(whole: tuple[bytes, int], tmp_path: Path) -> None:
    raw, header = whole
    step = max(1, header // 250)
    for size in [*range(0, header, step), *range(header, len(raw), (len(raw) - header) // 20), len(raw) - 1]:
        assert use_everything(fresh(tmp_path / "x.bin", raw[:size])) == "refused", size


def test_flipped_header_bits(whole: tuple[bytes, int], tmp_path: Path) -> None:
    raw, header = whole
    rng = np.random.default_rng(7)
    ends = []
    for _ in range(400):
        damaged = bytearray(raw)
        damaged[rng.integers(header)] ^= 1 << rng.integers(8)
        ends.append(use_everything(fresh(tmp_path / "x.bin", bytes(damaged))))
    assert ends.count("refused") > 50  # many flips only change a name, which nobody can see


def test_every_bit_of_the_descriptions_and_sizes(llama_path: Path, tmp_path: Path) -> None:
    raw = llama_path.read_bytes()
    place = raw.index(b"blk.0.attn_q.weight") - 8
    for byte in [*range(24), *range(place, place + 8 + 19 + 4 + 16 + 4 + 8)]:
        for bit in range(8):
            damaged = bytearray(raw)
            damaged[byte] ^= 1 << bit
            use_everything(fresh(tmp_path / "x.bin", bytes(damaged)))


@pytest.mark.parametrize("key", sorted(set(tiny.llama_metadata())))
@pytest.mark.parametrize("value", [None, 0, 7, 1 << 31, -1.0, float("nan"), "text", ["a", "b"], [1, 2]], ids=str)
def test_metadata_of_any_kind(tmp_path: Path, key: str, value: object) -> None:
    path = tiny.write_llama(tmp_path / "x.gguf", metadata={key: value})
    use_everything(path)
