"""Read safetensors files (F32, F16, BF16) without torch.

Layout (https://github.com/huggingface/safetensors, "Format"): the length of the header as a little-endian uint64, the
header as JSON, then the data, which the tensors tile without gap or overlap. The tests compare this reader with the
``safetensors`` package, which cannot give BF16 tensors to numpy.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from sim.models.model_file import ModelFile, TensorInfo

__all__ = ["SafetensorsFile", "bfloat16_to_float32", "looks_like_safetensors", "read_safetensors"]

ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
ITEM_BYTES |= {"U64": 8, "U32": 4, "U16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1}
SUPPORTED = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def bfloat16_to_float32(words: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the exact values of bfloat16 code words."""
    return (words.astype(np.uint32) << 16).view(np.float32)


@dataclass(frozen=True)
class SafetensorsFile(ModelFile):
    """An open safetensors file."""

    def _decode(self, info: TensorInfo, rows: slice | NDArray[np.integer[Any]] | None) -> NDArray[np.float32]:
        if info.dtype not in SUPPORTED:
            raise self.unsupported(info, "F32, F16 or BF16")
        item = np.dtype(SUPPORTED[info.dtype])
        stored = self.data[info.offset : info.offset + info.elements * item.itemsize].view(item).reshape(info.shape)
        if rows is not None:
            stored = stored[rows]
        return bfloat16_to_float32(stored) if info.dtype == "BF16" else np.array(stored, dtype=np.float32)


def looks_like_safetensors(data: NDArray[np.uint8]) -> bool:
    """Whether the first bytes are a header length and the start of a JSON object."""
    return data.size > 8 and data[8] == ord("{") and int.from_bytes(data[:8].tobytes(), "little") < 1 << 32


def read_safetensors(path: Path, data: NDArray[np.uint8]) -> SafetensorsFile:
    """Parse the header of a safetensors file.

    Raises:
        HwgenError: if the file is truncated or corrupt.
    """

    def corrupt(what: str) -> HwgenError:
        return HwgenError(f"model file {path}: truncated or corrupt safetensors file: {what}; fetch it again")

    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    if data.size < 8 or start > data.size:
        raise corrupt(f"its header ends at byte {start}, the file at byte {data.size}")
    try:
        header = json.loads(data[8:start].tobytes())
    except (ValueError, RecursionError) as error:
        raise corrupt("its header is not JSON") from error
    if not isinstance(header, dict):
        raise corrupt("its header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise corrupt("__metadata__ is not a JSON object")
    tensors: dict[str, TensorInfo] = {}
    covered: list[tuple[int, int]] = []
    for name, entry in header.items():
        match entry:
            case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(begin), int(end)]} if all(
                type(size) is int and size >= 0 for size in shape
            ):
                pass
            case _:
                raise corrupt(f"tensor {name!r} lacks a dtype, shape or data_offsets that make sense")
        if not 0 <= begin <= end <= data.size - start:
            raise corrupt(f"tensor {name!r} ends at byte {start + end}, the file at byte {data.size}")
        if dtype in ITEM_BYTES and prod(shape) * ITEM_BYTES[dtype] != end - begin:
            raise corrupt(f"tensor {name!r} has shape {tuple(shape)} of {dtype} but {end - begin} bytes")
        tensors[name] = TensorInfo(name, tuple(shape), dtype, start + begin)
        covered.append((begin, end))
    position = 0
    for begin, end in sorted(covered):
        if begin != position:
            raise corrupt(f"data byte {position} belongs to no tensor or to two")
        position = end
    if position != data.size - start:
        raise corrupt(f"its tensors end at byte {start + position}, the file at byte {data.size}")
    return SafetensorsFile(path, "safetensors", tensors, metadata, data)
