"""GPTQ and AWQ: unsigned codes with integer zero points, packed into words of 32 bits, stored inputs first.

GPTQ (AutoGPTQ, GPTQModel): ``qweight`` [K·bits/32, N] packs codes along K, ``qzeros`` [G, N·bits/32] zero points along
N, both lowest bits first; 3 bits run across words. ``checkpoint_format`` gptq (v1, also where nothing is said) stores
z - 1, gptq_v2 stores z. ``g_idx`` [K] is the group of each input: with act-order inputs of a group do not lie together.

AWQ (llm-awq, AutoAWQ, version gemm): ``qweight`` [K, N/8] and ``qzeros`` [G, N/8] pack eight columns a word, in order
0, 2, 4, 6, 1, 3, 5, 7; zero points are stored as they are. Both: ``scales`` [G, N], value = s·(q - z).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.formats import QTensor
from sim.models.checkpoint.config import option
from sim.models.checkpoint.stored import Place, StoredWeights, integers, read_scales, unpack_words, unsigned_format

__all__ = ["AWQ_ORDER", "act_order", "awq_weights", "gptq_weights"]

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Column of each four bits of a word, lowest first."""


def gptq_weights(place: Place, config: Mapping[str, Any]) -> StoredWeights:
    """A layer of a GPTQ checkpoint. Raises `HwgenError` for parts that do not fit each other."""
    bits = option(config, ("bits",), (2, 3, 4, 8))
    kind = option(config, ("checkpoint_format",), ("gptq", "gptq_v2"), "gptq")
    packed = place.part("qweight")
    rows, n = _matrix(place, packed.shape)
    if rows * 32 % bits:
        raise place.error(f"{packed.name} must have rows that hold whole codes of {bits} bits, not {rows}")
    k = rows * 32 // bits
    codes = unpack_words(integers(place, packed, "I32").T, bits, k)
    size, groups = _groups(place, config, k)
    zeros = place.part("qzeros")
    if n * bits % 32:
        raise place.error(f"{packed.name} must have columns whose zero points fill words of 32 bits, not {n}")
    place.check_shape(zeros, (groups, n * bits // 32))
    stored = unpack_words(integers(place, zeros, "I32"), bits, n).astype(np.int64).T
    if kind == "gptq":
        stored = stored + 1
        if stored.max() >> bits:
            raise place.error(
                f"zero points must be from 0 to {(1 << bits) - 1}, not {1 << bits}: stored as z - 1 "
                "(checkpoint_format gptq), the largest code is no zero point that all kernels agree on"
            )
    index = place.find("g_idx")
    order = None
    if index is not None:
        place.check_shape(index, (k,))
        order = act_order(place, integers(place, index, "I32", "I64").astype(np.int64), size, groups)
    return _built(place, f"GPTQ {bits} bit", bits, codes if order is None else codes[:, order], stored, size, order)


def awq_weights(place: Place, config: Mapping[str, Any]) -> StoredWeights:
    """A layer of an AWQ checkpoint. Raises `HwgenError` for parts that do not fit each other."""
    bits = option(config, ("bits", "w_bit"), (4,))
    option(config, ("version",), ("gemm", "GEMM"), "gemm")
    option(config, ("zero_point",), (True,), True)
    packed, zeros = place.part("qweight"), place.part("qzeros")
    k, words = _matrix(place, packed.shape)
    size, groups = _groups(place, config, k)
    place.check_shape(zeros, (groups, words))
    n = words * 32 // bits
    # Columns of the file by their place in the word.
    column = np.empty(n, np.int64)
    column[(np.arange(0, n, 8)[:, None] + np.array(AWQ_ORDER)).reshape(-1)] = np.arange(n)
    codes = unpack_words(integers(place, packed, "I32"), bits, n)[:, column].T
    stored = unpack_words(integers(place, zeros, "I32"), bits, n)[:, column].T.astype(np.int64)
    return _built(place, f"AWQ {bits} bit", bits, codes, stored, size, None)


def act_order(place: Place, index: NDArray[np.int64], size: int, groups: int) -> NDArray[np.int64] | None:
    """Inputs sorted by their group, int64 [K], stable; None where they lie so already.

    Raises `HwgenError` for groups out of range, and for groups of other sizes than all but the last have.
    """
    low, high = int(index.min()), int(index.max())
    if low < 0 or high >= groups:
        raise place.error(f"g_idx must be from 0 to {groups - 1}, not {low if low < 0 else high}")
    plain = np.arange(len(index)) // size
    if np.array_equal(index, plain):
        return None
    counts, wanted = np.bincount(index, minlength=groups), np.bincount(plain, minlength=groups)
    if not np.array_equal(counts, wanted):
        group = int(np.argmax(counts != wanted))
        raise place.error(
            f"g_idx must give group {group} {wanted[group]} inputs, as group_size says, not {counts[group]}"
        )
    return np.argsort(index, kind="stable").astype(np.int64)


def _matrix(place: Place, shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) != 2 or 0 in shape:
        raise place.error(f"qweight must be a matrix, not of shape {list(shape)}")
    return shape[0], shape[1]


def _groups(place: Place, config: Mapping[str, Any], k: int) -> tuple[int, int]:
    """(inputs of a group, groups)."""
    size = next((config[name] for name in ("group_size", "q_group_size") if config.get(name) is not None), None)
    if isinstance(size, bool) or not isinstance(size, int) or (size < 1 and size != -1):
        raise place.error(f"group_size of {config['where']} must be a positive number or -1, not {str(size)[:40]!r}")
    size = k if size == -1 or size > k else size
    return size, -(-k // size)


def _built(
    place: Place,
    scheme: str,
    bits: int,
    codes: NDArray[np.uint32],
    zeros: NDArray[np.int64],
    size: int,
    order: NDArray[np.int64] | None,
) -> StoredWeights:
    """With the scales, which both have alike."""
    info = place.part("scales")
    place.check_shape(info, zeros.shape[::-1])
    scales = read_scales(place, info)
    tensor = QTensor.build(
        codes,
        unsigned_format(bits),
        group_size=size,
        scale_codes=scales.codes.T,
        scale_format=scales.format,
        zero=zeros.astype(np.int32),
        zero_kind="integer",
    )
    return StoredWeights(place.name, scheme, tensor, order)
