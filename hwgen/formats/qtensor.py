"""`QTensor`: code words of a matrix with the scales, zero points and selectors of its groups."""

from __future__ import annotations

import dataclasses
import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats.base import Floats, Format, Integers, Words, check_range
from hwgen.formats.bits import pack_bits, packed_size, unpack_bits
from hwgen.formats.catalogue import get

__all__ = ["QTensor"]

_GRANULARITIES = ("tensor", "channel", "group")
_ZERO_KINDS = ("none", "integer", "minimum")
_OUTERS = ("none", "channel", "tensor")
_MAGIC = b"HWQT\x01"
_HEADER = frozenset({"format", "granularity", "group_size", "outer", "scale_format", "selector", "shape", "zero_kind"})


@dataclass(frozen=True, kw_only=True, eq=False)
class QTensor:
    """A quantised matrix [N, K]: N output channels (weights) or tokens (activations), K inputs.

    Attributes
    ----------
    codes : uint32 [N, K / format.elements], code words.
    format : format of the codes.
    group_size : elements along K that share a scale; the last group may be shorter. K except by "group" granularity.
    granularity : "tensor" (one scale), "channel" (one a row) or "group".
    scale_codes : uint32 [N, G], or [1, 1] for "tensor".
    scale_format : format of the scales.
    zero : None; int32 zero points ("integer", value = s·(q - z)) or float64 minima ("minimum", value = s·q + m), of the
        shape of ``scale_codes``.
    zero_kind : "none", "integer" or "minimum".
    selector : uint8 side information of the format, of the shape of ``scale_codes``, or None.
    outer : float32 second-level scale, [N, 1] (one a channel) or [1, 1] (one in all), or None. It multiplies what the
        scales of groups give, after the sum over groups.

    The arrays are copied and read-only. Raises `HwgenError` for shapes, codes or kinds that contradict each other.
    """

    codes: Words
    format: Format
    group_size: int
    scale_codes: Words
    scale_format: Format
    granularity: str = "group"
    zero: npt.NDArray[Any] | None = None
    zero_kind: str = "none"
    selector: npt.NDArray[np.uint8] | None = None
    outer: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        _choice("granularity", self.granularity, _GRANULARITIES)
        _choice("zero_kind", self.zero_kind, _ZERO_KINDS)
        self._freeze("codes", self.format.words(self.codes))
        self._freeze("scale_codes", self.scale_format.words(self.scale_codes))
        if self.codes.ndim != 2 or 0 in self.codes.shape:
            raise HwgenError(f"QTensor: codes must be a non-empty matrix [N, K], not of shape {list(self.codes.shape)}")
        k = self.shape[1]
        if self.group_size < 1 or self.group_size % self.format.elements:
            raise HwgenError(
                f"QTensor: group_size must be a positive multiple of {self.format.elements}, not {self.group_size}"
            )
        if self.granularity != "group" and self.group_size != k:
            raise HwgenError(
                f"QTensor: group_size must be K ({k}) with granularity {self.granularity!r}, not {self.group_size}"
            )
        if (self.zero is None) != (self.zero_kind == "none"):
            given = "none was given" if self.zero is None else "one was given"
            raise HwgenError(f"QTensor: zero must agree with zero_kind {self.zero_kind!r}, but {given}")
        if (self.selector is None) != (self.format.side_bits == 0):
            given = "none was given" if self.selector is None else "one was given"
            raise HwgenError(
                f"QTensor: selector must agree with the {self.format.side_bits} side bits of {self.format}, but {given}"
            )
        self._check_shape("scale_codes", self.scale_codes)
        if self.zero is not None:
            self._check_shape("zero", self.zero)
            self._freeze("zero", self._checked_zero(np.asarray(self.zero)))
        if self.selector is not None:
            self._check_shape("selector", self.selector)
            for worst in (int(np.min(self.selector)), int(np.max(self.selector))):
                check_range("QTensor", "selector", worst, 0, (1 << self.format.side_bits) - 1)
            self._freeze("selector", np.asarray(self.selector).astype(np.uint8))
        if self.outer is not None:
            shape = list(np.shape(self.outer))
            if shape not in ([1, 1], [self.shape[0], 1]):
                raise HwgenError(
                    f"QTensor: outer must have shape [1, 1], one for the tensor, or [{self.shape[0]}, 1], "
                    f"one a channel, not {shape}"
                )
            self._freeze("outer", np.asarray(self.outer, dtype=np.float32))

    def _freeze(self, name: str, array: npt.NDArray[Any]) -> None:
        copy = np.array(array, order="C")
        copy.setflags(write=False)
        object.__setattr__(self, name, copy)

    def _check_shape(self, name: str, array: npt.NDArray[Any]) -> None:
        wanted, given = self._side_shape, np.shape(array)
        if given != wanted:
            raise HwgenError(
                f"QTensor: {name} must have shape {list(wanted)} ({self.granularity} scales), not {list(given)}"
            )

    def _checked_zero(self, zero: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self.zero_kind == "minimum":
            return zero.astype(np.float64)
        if zero.dtype.kind not in "iu" or int(zero.min()) < -(1 << 31) or int(zero.max()) >> 31:
            raise HwgenError(f"QTensor: zero must be 32-bit integers with zero_kind 'integer', not {zero.dtype}")
        return zero.astype(np.int32)

    def __eq__(self, other: object) -> bool:
        """Whether all fields are equal, arrays by content (NaN equals NaN)."""
        if not isinstance(other, QTensor):
            return NotImplemented
        for item in dataclasses.fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if isinstance(mine, np.ndarray) and isinstance(theirs, np.ndarray):
                if not np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f"):
                    return False
            elif isinstance(mine, np.ndarray) or isinstance(theirs, np.ndarray) or mine != theirs:
                return False
        return True

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def build(
        cls,
        codes: npt.NDArray[Any],
        format: Format,
        *,
        group_size: int = 0,
        scale_codes: npt.NDArray[Any],
        scale_format: Format,
        zero: npt.NDArray[Any] | None = None,
        zero_kind: str = "none",
        selector: npt.NDArray[Any] | None = None,
        outer: npt.NDArray[Any] | None = None,
    ) -> Self:
        """Build with the granularity that ``group_size`` implies: groups, or channels for 0 and for K or more."""
        k = np.shape(codes)[-1] * format.elements
        by_group = 0 < group_size < k
        return cls(
            codes=codes,
            format=format,
            group_size=group_size if by_group else k,
            scale_codes=scale_codes,
            scale_format=scale_format,
            granularity="group" if by_group else "channel",
            zero=zero,
            zero_kind=zero_kind,
            selector=selector,
            outer=outer,
        )

    # ------------------------------------------------------------------ groups

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K) in elements."""
        return self.codes.shape[0], self.codes.shape[1] * self.format.elements

    @property
    def groups(self) -> int:
        """G, groups along K; the last may be shorter."""
        return -(-self.shape[1] // self.group_size)

    @property
    def _side_shape(self) -> tuple[int, int]:
        return (1, 1) if self.granularity == "tensor" else (self.shape[0], self.groups)

    @property
    def group_slices(self) -> tuple[slice, ...]:
        """Slice of K of each group, in elements."""
        k, size = self.shape[1], self.group_size
        return tuple(slice(start, min(start + size, k)) for start in range(0, k, size))

    @property
    def group_of_k(self) -> Integers:
        """int64 [K], group of each element."""
        return np.arange(self.shape[1], dtype=np.int64) // self.group_size

    @property
    def scales(self) -> Floats:
        """float64 [N, G], decoded; a per-tensor scale is repeated."""
        return np.broadcast_to(self.scale_format.decode(self.scale_codes), (self.shape[0], self.groups))

    @property
    def zeros(self) -> npt.NDArray[Any] | None:
        """``zero`` as [N, G], a per-tensor one repeated, or None."""
        return None if self.zero is None else np.broadcast_to(self.zero, (self.shape[0], self.groups))

    # ------------------------------------------------------------------ values

    def values(self) -> Floats:
        """float64 [N, K], what the codes mean before scales and zero points."""
        if self.selector is None:
            return self.format.decode(self.codes).reshape(self.shape)
        of_word = np.arange(self.codes.shape[1]) * self.format.elements // self.group_size
        side = np.broadcast_to(self.selector, (self.shape[0], self.groups))[:, of_word]
        return self.format.decode(self.codes, side).reshape(self.shape)

    def dequantize(self) -> Floats:
        """float64 [N, K]: s·(q - z), s·q + m, or s·q, times the second-level scale where there is one.

        Without the latter exact while code and scale have at most 53 significant bits together; the addition of m
        rounds once.
        """
        index = self.group_of_k
        values, scales, zeros = self.values(), self.scales[:, index], self.zeros
        if zeros is not None and self.zero_kind == "integer":
            values = values - zeros[:, index].astype(np.float64)
        result = values * scales
        if zeros is not None and self.zero_kind == "minimum":
            result = result + zeros[:, index].astype(np.float64)
        return result if self.outer is None else result * self.outer.astype(np.float64)

    # ------------------------------------------------------------------ bytes

    def pack(self) -> bytes:
        """Codes alone, ``format.code_bits`` each, row after row without gaps (order of bits: `hwgen.formats.bits`)."""
        return pack_bits(self.codes, self.format.code_bits)

    def with_packed(self, data: bytes) -> Self:
        """This tensor with the codes that `pack` made ``data`` of. Raises `HwgenError` for a wrong number of bytes."""
        codes = unpack_bits(data, self.format.code_bits, self.codes.size)
        return dataclasses.replace(self, codes=codes.reshape(self.codes.shape))

    def to_bytes(self) -> bytes:
        """The whole tensor: magic, length of the header, JSON header, codes, scales, zeros, selectors, CRC-32.

        Raises `HwgenError` for formats that their name does not bring back.
        """
        for form in (self.format, self.scale_format):
            if get(form.name) != form:
                raise HwgenError(f"QTensor: format {form.name!r} must be in the catalogue to be stored by name")
        header = {
            "format": self.format.name,
            "granularity": self.granularity,
            "group_size": self.group_size,
            "outer": "none" if self.outer is None else "tensor" if self.outer.size == 1 else "channel",
            "scale_format": self.scale_format.name,
            "selector": self.selector is not None,
            "shape": list(self.shape),
            "zero_kind": self.zero_kind,
        }
        text = json.dumps(header, sort_keys=True).encode()
        body = [_MAGIC, struct.pack("<I", len(text)), text, self.pack()]
        body.append(pack_bits(self.scale_codes, self.scale_format.code_bits))
        if self.zero is not None:
            body.append(self.zero.astype("<i4" if self.zero_kind == "integer" else "<f8").tobytes())
        if self.selector is not None:
            body.append(self.selector.tobytes())
        if self.outer is not None:
            body.append(self.outer.astype("<f4").tobytes())
        whole = b"".join(body)
        return whole + struct.pack("<I", zlib.crc32(whole))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Undo `to_bytes`. Raises `HwgenError` for bytes that are empty, truncated, longer or changed."""
        start = len(_MAGIC) + 4
        if len(data) < start + 4 or not data.startswith(_MAGIC):
            raise HwgenError(f"QTensor: bytes must begin with {_MAGIC!r} and a header; {len(data)} bytes were given")
        if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
            raise HwgenError(f"QTensor: the checksum of the {len(data)} bytes is wrong; they are truncated or corrupt")
        end = start + int.from_bytes(data[len(_MAGIC) : start], "little")
        return cls._from_parts(_header(data[start : min(end, len(data) - 4)]), data[end:-4])

    @classmethod
    def _from_parts(cls, header: dict[str, Any], body: bytes) -> Self:
        form, scale_format = get(header["format"]), get(header["scale_format"])
        n, k = header["shape"]
        size, granularity = header["group_size"], header["granularity"]
        if min(n, k, size) < 1 or k % form.elements:
            raise HwgenError(f"QTensor: the header's shape {n} x {k} with groups of {size} is not a tensor")
        side = (1, 1) if granularity == "tensor" else (n, -(-k // size))
        count = side[0] * side[1]
        zero_kind, has_selector = header["zero_kind"], header["selector"]
        zero_bytes = {"integer": 4, "minimum": 8}.get(zero_kind, 0) * count
        _choice("outer", header["outer"], _OUTERS)
        outers = {"tensor": 1, "channel": n}.get(header["outer"], 0)
        lengths = [
            packed_size(form.code_bits, n * k // form.elements),
            packed_size(scale_format.code_bits, count),
            zero_bytes,
            count if has_selector else 0,
            4 * outers,
        ]
        if len(body) != sum(lengths):
            raise HwgenError(f"QTensor: the header asks for {sum(lengths)} bytes of data, not {len(body)}")
        parts = []
        for length in lengths:
            parts.append(body[:length])
            body = body[length:]
        codes, scales, zero, selector, outer = parts
        kind = "<i4" if zero_kind == "integer" else "<f8"
        return cls(
            codes=unpack_bits(codes, form.code_bits, n * k // form.elements).reshape(n, -1),
            format=form,
            group_size=size,
            scale_codes=unpack_bits(scales, scale_format.code_bits, count).reshape(side),
            scale_format=scale_format,
            granularity=granularity,
            zero=np.frombuffer(zero, dtype=kind).reshape(side) if zero_bytes else None,
            zero_kind=zero_kind,
            selector=np.frombuffer(selector, dtype=np.uint8).reshape(side) if has_selector else None,
            outer=np.frombuffer(outer, dtype="<f4").reshape(-1, 1) if outers else None,
        )


def _choice(parameter: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise HwgenError(f"QTensor: {parameter} must be one of {', '.join(allowed)}, not {value!r}")


def _header(text: bytes) -> dict[str, Any]:
    """Check the JSON header's keys and types. Raises `HwgenError`."""
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HwgenError(f"QTensor: the header is not JSON: {error}") from error
    if not isinstance(header, dict) or header.keys() != _HEADER:
        raise HwgenError(f"QTensor: the header must have exactly the keys {', '.join(sorted(_HEADER))}")
    wanted = {"group_size": int, "selector": bool, "shape": list}
    wrong = any(type(value) is not wanted.get(key, str) for key, value in header.items())
    if wrong or [type(extent) for extent in header["shape"]] != [int, int]:
        raise HwgenError("QTensor: the header has a value of the wrong type")
    return header
