"""Blocks of GGUF as codes, scales and minima.

Layouts (https://github.com/ggml-org/ggml, ggml-common.h): a tensor is rows of blocks of 32, 64 or 256 elements. d and
dmin are FP16, qs are the low bits of codes and qh the high ones. K-blocks have 256 elements and a scale sc (and minimum
m) of few bits for each 16 or 32: value = d·sc·q - dmin·m, so that a scale d·sc has up to 19 significant bits, and is
kept here as the FP32 number that it exactly is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwgen.formats import IntFormat, get
from hwgen.formats.base import Format

__all__ = ["BLOCKS", "BlockType", "Blocks"]

Bytes = NDArray[np.uint8]
"""Bytes of blocks, [blocks, bytes of one]."""


@dataclass(frozen=True)
class Blocks:
    """Blocks taken apart: ``codes`` [B, elements], ``scales`` (code words) and ``minima`` (values) [B, groups]."""

    codes: NDArray[np.uint32]
    format: Format
    scales: NDArray[np.uint32]
    scale_format: Format
    minima: NDArray[np.float64] | None = None


def _fp16(raw: Bytes) -> NDArray[np.uint32]:
    """Code words of two bytes each, [B, n]."""
    words: NDArray[np.uint32] = np.ascontiguousarray(raw).view("<u2").astype(np.uint32)
    return words


def _number(raw: Bytes) -> NDArray[np.float64]:
    """Values of FP16 numbers, [B, n]."""
    values: NDArray[np.float64] = np.ascontiguousarray(raw).view("<f2").astype(np.float64)
    return values


def _planes(raw: Bytes, chunk: int, bits: int) -> NDArray[np.uint32]:
    """Codes of ``bits`` bits: of every ``chunk`` bytes first all lowest codes, then all next ones, [B, elements]."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8).reshape(1, 1, -1, 1)
    codes = raw.reshape(len(raw), -1, 1, chunk) >> shifts & np.uint8((1 << bits) - 1)
    return codes.reshape(len(raw), -1).astype(np.uint32)


def _signed(codes: NDArray[np.uint32], bits: int) -> tuple[NDArray[np.uint32], Format]:
    """Codes of values that are stored with 2**(bits - 1) added."""
    return codes ^ np.uint32(1 << (bits - 1)), IntFormat(code_bits=bits)


def _unsigned(bits: int) -> Format:
    return IntFormat(code_bits=bits, twos_complement=False)


def _product(d: NDArray[np.float64], scale: NDArray[np.generic]) -> NDArray[np.uint32]:
    """FP32 code words of d·sc, exactly: 11 by at most 8 significant bits."""
    with np.errstate(invalid="ignore"):
        return (d * scale.astype(np.float64)).astype(np.float32).view(np.uint32)


def _high_bits(raw: Bytes) -> NDArray[np.uint32]:
    """One bit an element, 32 in four bytes."""
    return np.unpackbits(raw, axis=1, bitorder="little").astype(np.uint32)


def _q4_0(raw: Bytes) -> Blocks:
    return Blocks(*_signed(_planes(raw[:, 2:], 16, 4), 4), _fp16(raw[:, :2]), get("fp16"))


def _q4_1(raw: Bytes) -> Blocks:
    return Blocks(_planes(raw[:, 4:], 16, 4), _unsigned(4), _fp16(raw[:, :2]), get("fp16"), _number(raw[:, 2:4]))


def _q5_0(raw: Bytes) -> Blocks:
    codes = _planes(raw[:, 6:], 16, 4) | _high_bits(raw[:, 2:6]) << np.uint32(4)
    return Blocks(*_signed(codes, 5), _fp16(raw[:, :2]), get("fp16"))


def _q5_1(raw: Bytes) -> Blocks:
    codes = _planes(raw[:, 8:], 16, 4) | _high_bits(raw[:, 4:8]) << np.uint32(4)
    return Blocks(codes, _unsigned(5), _fp16(raw[:, :2]), get("fp16"), _number(raw[:, 2:4]))


def _q8_0(raw: Bytes) -> Blocks:
    return Blocks(raw[:, 2:].astype(np.uint32), get("int8"), _fp16(raw[:, :2]), get("fp16"))


def _q2_k(raw: Bytes) -> Blocks:
    scales, qs, d, dmin = raw[:, :16], raw[:, 16:80], _number(raw[:, 80:82]), _number(raw[:, 82:84])
    return Blocks(_planes(qs, 32, 2), _unsigned(2), _product(d, scales & 15), get("fp32"), _minima(dmin, scales >> 4))


def _minima(dmin: NDArray[np.float64], m: NDArray[np.generic]) -> NDArray[np.float64]:
    """-dmin·m without a negative zero."""
    with np.errstate(invalid="ignore"):
        return 0.0 - dmin * m.astype(np.float64)


def _q3_k(raw: Bytes) -> Blocks:
    hmask, qs, scales, d = raw[:, :32], raw[:, 32:96], raw[:, 96:108], _number(raw[:, 108:110])
    codes = _planes(qs, 32, 2) | _planes(hmask, 32, 1) << np.uint32(2)
    # 16 scales of 6 bits: the low halves of all lie in 8 bytes, the high quarters in 4.
    six = _planes(scales[:, :8], 8, 4) | _planes(scales[:, 8:], 4, 2) << np.uint32(4)
    return Blocks(*_signed(codes, 3), _product(d, six.astype(np.int64) - 32), get("fp32"))


def _six_bits(raw: Bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Eight scales and eight minima of 6 bits in 12 bytes."""
    d, m, both = raw[:, :4], raw[:, 4:8], raw[:, 8:]
    scales = np.concatenate([d & 63, both & 15 | d >> 2 & 48], axis=1)
    return scales, np.concatenate([m & 63, both >> 4 | m >> 2 & 48], axis=1)


def _q4_k(raw: Bytes) -> Blocks:
    d, dmin, (scales, m) = _number(raw[:, :2]), _number(raw[:, 2:4]), _six_bits(raw[:, 4:16])
    return Blocks(_planes(raw[:, 16:], 32, 4), _unsigned(4), _product(d, scales), get("fp32"), _minima(dmin, m))


def _q5_k(raw: Bytes) -> Blocks:
    d, dmin, (scales, m) = _number(raw[:, :2]), _number(raw[:, 2:4]), _six_bits(raw[:, 4:16])
    codes = _planes(raw[:, 48:], 32, 4) | _planes(raw[:, 16:48], 32, 1) << np.uint32(4)
    return Blocks(codes, _unsigned(5), _product(d, scales), get("fp32"), _minima(dmin, m))


def _q6_k(raw: Bytes) -> Blocks:
    ql, qh, scales, d = raw[:, :128], raw[:, 128:192], raw[:, 192:208], _number(raw[:, 208:210])
    codes = _planes(ql, 64, 4) | _planes(qh, 32, 2) << np.uint32(4)
    return Blocks(*_signed(codes, 6), _product(d, scales.view(np.int8)), get("fp32"))


def _trits(raw: Bytes, chunk: int, count: int) -> NDArray[np.uint32]:
    """0, 1 or 2, ``count`` in a byte: the byte is their number in base 3, scaled to 256 and rounded up."""
    powers = np.array([3**index for index in range(count)], np.uint8).reshape(1, 1, -1, 1)
    # Multiplying by 3**i modulo 256 brings digit i to the top.
    shifted = (raw.reshape(len(raw), -1, 1, chunk) * powers).astype(np.uint16)
    return (shifted * 3 >> 8).reshape(len(raw), -1).astype(np.uint32)


def _ternary(trits: NDArray[np.uint32], d: Bytes) -> Blocks:
    # 0, 1, 2 (and 3, which is +2 and no ternary weight: its code means nothing) are -1, 0, 1.
    return Blocks((trits + 3) % 4, get("ternary"), _fp16(d), get("fp16"))


def _tq1_0(raw: Bytes) -> Blocks:
    trits = [_trits(raw[:, :32], 32, 5), _trits(raw[:, 32:48], 16, 5), _trits(raw[:, 48:52], 4, 4)]
    return _ternary(np.concatenate(trits, axis=1), raw[:, 52:])


def _tq2_0(raw: Bytes) -> Blocks:
    return _ternary(_planes(raw[:, :64], 32, 2), raw[:, 64:])


def _mxfp4(raw: Bytes) -> Blocks:
    return Blocks(_planes(raw[:, 1:], 16, 4), get("fp4_e2m1"), raw[:, :1].astype(np.uint32), get("e8m0"))


def _nvfp4(raw: Bytes) -> Blocks:
    return Blocks(_planes(raw[:, 4:], 8, 4), get("fp4_e2m1"), raw[:, :4].astype(np.uint32), get("fp8_e4m3"))


@dataclass(frozen=True)
class BlockType:
    """Elements and bytes of a block, elements that share a scale, and how it is taken apart."""

    elements: int
    size: int
    group: int
    split: Callable[[Bytes], Blocks]


BLOCKS = {
    "Q4_0": BlockType(32, 18, 32, _q4_0),
    "Q4_1": BlockType(32, 20, 32, _q4_1),
    "Q5_0": BlockType(32, 22, 32, _q5_0),
    "Q5_1": BlockType(32, 24, 32, _q5_1),
    "Q8_0": BlockType(32, 34, 32, _q8_0),
    "Q2_K": BlockType(256, 84, 16, _q2_k),
    "Q3_K": BlockType(256, 110, 16, _q3_k),
    "Q4_K": BlockType(256, 144, 32, _q4_k),
    "Q5_K": BlockType(256, 176, 32, _q5_k),
    "Q6_K": BlockType(256, 210, 16, _q6_k),
    "TQ1_0": BlockType(256, 54, 256, _tq1_0),
    "TQ2_0": BlockType(256, 66, 256, _tq2_0),
    "MXFP4": BlockType(32, 17, 32, _mxfp4),
    "NVFP4": BlockType(64, 36, 16, _nvfp4),
}
"""Block types that can be read, by the name of the tensor type."""
