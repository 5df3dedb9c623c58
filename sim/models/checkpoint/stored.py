"""`StoredWeights`, and what all readers share: typed arrays, scales with their format, dense words of few bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.formats import Format, IntFormat, QTensor, get
from sim.models.model_file import ModelFile, TensorInfo

__all__ = [
    "Place",
    "Scales",
    "StoredWeights",
    "integers",
    "read_scales",
    "signed_codes",
    "unpack_words",
    "unsigned_format",
]

_INTEGERS = {"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "F8_E4M3": "u1", "F8_E5M2": "u1"}
"""numpy type of what is read as integers or as code words, by the name of the file format."""

_SCALES = {"F16": ("<u2", "fp16"), "BF16": ("<u2", "bf16"), "F32": ("<u4", "fp32")}
_SCALES |= {"F8_E4M3": ("u1", "fp8_e4m3"), "F8_E8M0": ("u1", "e8m0"), "U8": ("u1", "e8m0")}
"""numpy type of the code words and format of scales; bytes are the exponents of microscaling formats."""

_FAST = (1, 2, 4, 8, 16)
"""Widths that divide a word."""


@dataclass(frozen=True)
class StoredWeights:
    """The weights of a layer as a checkpoint has them."""

    name: str
    scheme: str
    """How they are stored, such as ``"GGUF Q4_1"`` or ``"GPTQ 4 bit"``."""
    tensor: QTensor
    """Codes, scales and zero points [N, K]."""
    order: NDArray[np.int64] | None = None
    """Which input column k of ``tensor`` belongs to, int64 [K]; None: column k to input k."""

    @property
    def described(self) -> str:
        """The scheme with codes, zero points, groups and scales, in words."""
        tensor = self.tensor
        zero = {"none": "", "integer": " with zero points", "minimum": " with float minima"}[tensor.zero_kind]
        of = {"tensor": "the tensor", "channel": "a row", "group": f"groups of {tensor.group_size}"}[tensor.granularity]
        order = "" if self.order is None else ", inputs in act-order"
        return f"{self.scheme} ({tensor.format.name}{zero}, {tensor.scale_format.name} scales of {of}{order})"

    def float32(self) -> NDArray[np.float32]:
        """Dequantised weights [N, K], in the order of the layer's inputs, rounded once to float32."""
        values = self.tensor.dequantize().astype(np.float32)
        if self.order is None:
            return values
        inputs = np.empty_like(values)
        inputs[:, self.order] = values
        return inputs

    def acts(self, acts: NDArray[np.floating]) -> NDArray[np.floating]:
        """Activations [tokens, K] in the order of the tensor's columns."""
        return acts if self.order is None else np.ascontiguousarray(acts[:, self.order])


@dataclass(frozen=True)
class Place:
    """A layer in a file: where errors say they are, and what its tensors are called."""

    model: ModelFile
    name: str

    def error(self, sentence: str) -> HwgenError:
        """The error for this layer."""
        return HwgenError(f"layer {self.name!r} of {self.model.path}: {sentence}")

    def part(self, end: str) -> TensorInfo:
        """The tensor ``name.end``. Raises `HwgenError` where there is none."""
        found = self.find(end)
        if found is None:
            raise self.error(f"must have a tensor {self.name}.{end} beside it, and has none; the checkpoint is damaged")
        return found

    def find(self, end: str) -> TensorInfo | None:
        """The tensor ``name.end``, or None."""
        return self.model.tensors.get(f"{self.name}.{end}")

    def check_shape(self, info: TensorInfo, wanted: Sequence[int]) -> None:
        """Raise `HwgenError` for another shape than the one that the other tensors of the layer ask for."""
        if tuple(info.shape) != tuple(wanted):
            raise self.error(f"{info.name} must have shape {list(wanted)}, not {list(info.shape)}")


@dataclass(frozen=True)
class Scales:
    """Code words of scales, uint32, and their format."""

    codes: NDArray[np.uint32]
    format: Format

    def checked(self, place: Place) -> Scales:
        """Itself. Raises `HwgenError` for scales that are no numbers."""
        values = self.format.decode(self.codes)
        if not np.isfinite(values).all():
            where = [int(index) for index in np.argwhere(~np.isfinite(values))[0]]
            raise place.error(
                f"scales must be finite, not {values[tuple(where)]} at {where}; the checkpoint is damaged"
            )
        return self


def _array(place: Place, info: TensorInfo, kind: str) -> NDArray[np.generic]:
    item = np.dtype(kind)
    raw = place.model.raw(info, info.elements * item.itemsize)
    return np.frombuffer(raw, item).reshape(info.shape)


def integers(place: Place, info: TensorInfo, *types: str) -> NDArray[np.integer]:
    """A tensor of whole numbers, or of FP8 codes, as it lies in the file. Raises `HwgenError` for other ``types``."""
    if info.dtype not in types:
        raise place.error(f"{info.name} must be of type {' or '.join(types)}, not {info.dtype}")
    found: NDArray[np.integer] = np.asarray(_array(place, info, _INTEGERS[info.dtype]))
    return found


def read_scales(place: Place, info: TensorInfo, *, bytes_are: str = "") -> Scales:
    """Scales of a tensor; those in bytes are refused unless ``bytes_are`` names the format. Raises `HwgenError`."""
    allowed = {name: form for name, (_, form) in _SCALES.items() if name != "U8" or bytes_are == form}
    if info.dtype not in allowed:
        raise place.error(f"{info.name} must be of type {', '.join(allowed)}, not {info.dtype}")
    words = _array(place, info, _SCALES[info.dtype][0])
    return Scales(words.astype(np.uint32), get(allowed[info.dtype])).checked(place)


def unpack_words(words: NDArray[np.integer], bits: int, count: int) -> NDArray[np.uint32]:
    """Codes [R, count] of ``bits`` bits from words of 32 bits [R, C], lowest bits first and across words."""
    unsigned = np.ascontiguousarray(words).astype("<u4", casting="unsafe")
    if bits in _FAST:
        shifts = np.arange(0, 32, bits, dtype=np.uint32)
        spread = unsigned[..., None] >> shifts & np.uint32((1 << bits) - 1)
        narrow: NDArray[np.uint32] = spread.reshape(len(unsigned), -1)[:, :count].astype(np.uint32)
        return narrow
    single = np.unpackbits(unsigned.view(np.uint8), axis=1, bitorder="little")[:, : count * bits]
    digits = single.reshape(len(unsigned), count, bits).astype(np.uint32)
    codes = np.asarray((digits << np.arange(bits, dtype=np.uint32)).sum(axis=2, dtype=np.uint32))
    return codes


def signed_codes(unsigned: NDArray[np.integer], bits: int) -> NDArray[np.uint32]:
    """Two's-complement codes of values that are stored as value + 2**(bits - 1)."""
    return (unsigned.astype(np.uint32) ^ np.uint32(1 << (bits - 1))).astype(np.uint32)


def unsigned_format(bits: int) -> IntFormat:
    """Integers from 0 to 2**bits - 1."""
    return IntFormat(code_bits=bits, twos_complement=False)
