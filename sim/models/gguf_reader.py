"""Read GGUF files: floats and the blocks of `sim.models.checkpoint.gguf_blocks`, and the tokenizer's metadata.

Layout (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3): magic, version, tensor and
metadata counts, metadata, tensor descriptions, padding to the alignment, data. Every length in a damaged header is
checked before it is followed, and the vocabulary (98,000 strings) is read in a fraction of a second: two reasons why
this does not use the ``gguf`` package, which the tests compare it with.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from sim.models.checkpoint.gguf_blocks import BLOCKS
from sim.models.model_file import ModelFile, TensorInfo
from sim.models.safetensors_reader import bfloat16_to_float32

__all__ = ["BLOCK", "TENSOR_TYPES", "GgufFile", "read_gguf"]

BLOCK = 32
"""Elements along K that share one scale in Q4_1 and Q8_0."""

TENSOR_TYPES = {
    number: name
    for first, names in {
        0: "F32 F16 Q4_0 Q4_1",
        6: "Q5_0 Q5_1 Q8_0 Q8_1 Q2_K Q3_K Q4_K Q5_K Q6_K Q8_K",
        16: "IQ2_XXS IQ2_XS IQ3_XXS IQ1_S IQ4_NL IQ3_S IQ2_S IQ4_XS I8 I16 I32 I64 F64 IQ1_M BF16",
        34: "TQ1_0 TQ2_0",
        39: "MXFP4 NVFP4 Q1_0",
    }.items()
    for number, name in enumerate(names.split(), first)
}
"""Names of the tensor types, by the number that the file stores."""

Q4_1 = np.dtype([("scale", "<f2"), ("minimum", "<f2"), ("nibbles", "u1", BLOCK // 2)])
Q8_0 = np.dtype([("scale", "<f2"), ("codes", "i1", BLOCK)])
STORED: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "Q4_1": Q4_1,
    "Q8_0": Q8_0,
}

STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""struct and numpy letters of the metadata types, by the number that the file stores."""

MAX_RANK = 4


@dataclass(frozen=True)
class GgufFile(ModelFile):
    """An open GGUF file."""

    def _stored(self, info: TensorInfo) -> NDArray[Any]:
        """The tensor as stored: elements, or blocks [..., K/32] of the structured types above."""
        item = STORED[info.dtype]
        shape = (*info.shape[:-1], info.shape[-1] // BLOCK) if item.names else info.shape
        return self.data[info.offset : info.offset + prod(shape) * item.itemsize].view(item).reshape(shape)

    def _decode(self, info: TensorInfo, rows: slice | NDArray[np.integer[Any]] | None) -> NDArray[np.float32]:
        if info.dtype not in STORED:
            return self._blocks(info, rows)
        stored = self._stored(info)
        if rows is not None:
            stored = stored[rows]
        if info.dtype == "BF16":
            return bfloat16_to_float32(stored)
        if not stored.dtype.names:
            return np.array(stored, dtype=np.float32)
        shape = (*stored.shape[:-1], stored.shape[-1] * BLOCK)
        scale = stored["scale"].astype(np.float32)[..., None]
        if not np.isfinite(scale).all():
            raise self.corrupt(info)
        if info.dtype == "Q8_0":
            q8_0: NDArray[np.float32] = scale * stored["codes"]
            return q8_0.reshape(shape)
        values: NDArray[np.float32] = scale * _nibbles(stored["nibbles"])
        values += stored["minimum"].astype(np.float32)[..., None]
        return values.reshape(shape)

    def _blocks(self, info: TensorInfo, rows: slice | NDArray[np.integer[Any]] | None) -> NDArray[np.float32]:
        """Tensors of the other block types, dequantised; those of more than two dimensions too."""
        from sim.models.checkpoint.gguf_weights import gguf_weights
        from sim.models.checkpoint.stored import Place

        if info.dtype not in BLOCKS or not info.shape:
            raise self.unsupported(info, f"F32, F16, BF16, {', '.join(BLOCKS)}")
        flat = TensorInfo(info.name, (info.elements // info.shape[-1], info.shape[-1]), info.dtype, info.offset)
        values = gguf_weights(Place(self, info.name.removesuffix(".weight")), flat).float32().reshape(info.shape)
        return values if rows is None else values[rows]

    def q4_1(self, name: str) -> tuple[NDArray[np.uint8], NDArray[np.float16], NDArray[np.float16]]:
        info = self.matrix(name)
        if info.dtype != "Q4_1":
            return super().q4_1(name)
        blocks = self._stored(info)
        return _nibbles(blocks["nibbles"]).reshape(info.shape), blocks["scale"].copy(), blocks["minimum"].copy()


def _nibbles(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Unpack [..., 16] bytes to [..., 32] codes: the low halves are elements 0 to 15, the high halves 16 to 31."""
    return np.concatenate([packed & 15, packed >> 4], axis=-1)


class _Cursor:
    """Reads forward through the header and refuses to step past the end of the file."""

    def __init__(self, path: Path, data: NDArray[np.uint8]) -> None:
        self.path = path
        self.bytes = data.data
        self.position = 0

    def corrupt(self, what: str) -> HwgenError:
        return HwgenError(f"model file {self.path}: truncated or corrupt GGUF file: {what}; fetch it again")

    def advance(self, size: int, what: str) -> int:
        """Step over ``size`` bytes and return where they begin."""
        begin, end = self.position, self.position + size
        if end > len(self.bytes):
            raise self.corrupt(f"{what} ends at byte {end}, the file at byte {len(self.bytes)}")
        self.position = end
        return begin

    def number(self, letter: str, what: str) -> Any:
        form = "<" + letter
        return struct.unpack_from(form, self.bytes, self.advance(struct.calcsize(form), what))[0]

    def string(self, what: str) -> str:
        size = self.number("Q", what)
        begin = self.advance(size, what)
        try:
            return str(self.bytes[begin : begin + size], "utf-8")
        except UnicodeDecodeError as error:
            raise self.corrupt(f"{what} at byte {begin} is not UTF-8") from error

    def value(self, what: str) -> object:
        kind = self.number("I", what)
        if kind in SCALARS:
            return self.number(SCALARS[kind], what)
        if kind == STRING:
            return self.string(what)
        if kind != ARRAY:
            raise self.corrupt(f"{what} has type {kind}, which is none")
        item, length = self.number("I", what), self.number("Q", what)
        if item in SCALARS:
            width = struct.calcsize(SCALARS[item])
            begin = self.advance(length * width, what)
            return np.frombuffer(self.bytes[begin : self.position], dtype="<" + SCALARS[item])
        if item != STRING:
            raise self.corrupt(f"{what} is an array of type {item}, which is none")
        if length * 8 > len(self.bytes) - self.position:
            raise self.corrupt(f"{what} has {length} strings, more than the file can hold")
        return [self.string(what) for _ in range(length)]


def read_gguf(path: Path, data: NDArray[np.uint8]) -> GgufFile:
    """Parse the header of a GGUF file.

    Raises:
        HwgenError: if the file is truncated, corrupt or of another version or byte order.
    """
    cursor = _Cursor(path, data)
    cursor.advance(4, "the magic")
    version = cursor.number("I", "the version")
    if version not in (2, 3):
        kind = "big-endian" if version and version & 0xFFFF == 0 else f"version {version}"
        raise HwgenError(f"model file {path}: must be little-endian GGUF of version 2 or 3, not {kind}")
    tensor_count, value_count = cursor.number("Q", "the tensor count"), cursor.number("Q", "the metadata count")
    metadata: dict[str, object] = {}
    for _ in range(value_count):
        key = cursor.string("a metadata key")
        if key in metadata:
            raise cursor.corrupt(f"metadata {key!r} is there twice")
        metadata[key] = cursor.value(f"metadata {key!r}")
    described: dict[str, tuple[tuple[int, ...], str, int]] = {}
    for _ in range(tensor_count):
        name = cursor.string("a tensor name")
        rank = cursor.number("I", f"tensor {name!r}")
        if name in described or rank > MAX_RANK:
            raise cursor.corrupt(f"tensor {name!r} is there twice or has rank {rank}")
        sizes = [cursor.number("Q", f"tensor {name!r}") for _ in range(rank)]
        kind, offset = cursor.number("I", f"tensor {name!r}"), cursor.number("Q", f"tensor {name!r}")
        # The file lists the fastest dimension first; numpy and torch list it last.
        described[name] = (tuple(reversed(sizes)), TENSOR_TYPES.get(kind, f"type {kind}"), offset)

    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise cursor.corrupt(f"general.alignment must be a power of two, not {alignment!r}")
    start = -(-cursor.position // alignment) * alignment
    tensors: dict[str, TensorInfo] = {}
    for name, (shape, dtype, offset) in described.items():
        if 0 in shape or offset % alignment:
            raise cursor.corrupt(f"tensor {name!r} has shape {shape} at data byte {offset}")
        size = 0
        if dtype in STORED or dtype in BLOCKS:
            block = BLOCKS[dtype].elements if dtype in BLOCKS else 1
            if block > 1 and (not shape or shape[-1] % block):
                raise cursor.corrupt(f"tensor {name!r} of type {dtype} has shape {shape}, not rows of {block}")
            size = prod(shape) // block * (BLOCKS[dtype].size if dtype in BLOCKS else STORED[dtype].itemsize)
        if start + offset + size > data.size:
            end = start + offset + size
            raise cursor.corrupt(f"tensor {name!r} ends at byte {end}, the file at byte {data.size}")
        tensors[name] = TensorInfo(name, shape, dtype, start + offset)
    return GgufFile(path, "gguf", tensors, metadata, data)
