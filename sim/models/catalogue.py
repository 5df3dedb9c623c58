"""What the matrices of a file are: true shapes of packed tensors, their method, and experts, from names and shapes.

Layouts: GPTQ ``qweight`` [K * bits / 32, N] and AWQ ``qweight`` [K, N * bits / 32] beside ``scales`` [K / group, N];
compressed-tensors ``weight_packed`` [N, K * bits / 32] (int32) or [N, K / 2] (uint8, NVFP4) beside ``weight_scale``
[N, K / group]; gpt-oss ``_blocks`` [experts, N, K / 32, 16] of MXFP4; Conv1D of GPT-2 stores [K, N].
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from sim.models.model_file import ModelFile, TensorInfo

__all__ = ["Matrix", "matrices"]

EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|wpe|word_embeddings|position_embeddings|token_type_embeddings)$")
CONV1D = re.compile(r"(^|\.)h\.\d+\.(attn|mlp|crossattention)\.(c_attn|c_proj|c_fc|q_attn)$")
EXPERT = re.compile(r"\.experts\.\d+\.")
PARTS = re.compile(r"(scales?|scale_inv|qzeros|zero_point|g_idx|weight_shape|absmax|quant_map|_scale_2)$")
"""Ends of names of tensors that belong to a packed matrix beside them."""


@dataclass(frozen=True)
class Matrix:
    """A weight matrix: N outputs, K inputs, of each of ``experts`` (0: of no mixture)."""

    name: str
    n: int
    k: int
    stored: str
    """Type, or for packed tensors the method, the bits and the group."""
    experts: int = 0


def matrices(model: ModelFile) -> list[Matrix]:
    """Return the weight matrices of a file by name; experts of one layer are one entry."""
    merged: dict[str, Matrix] = {}
    for info in sorted(model.tensors.values(), key=lambda info: info.name):
        found = _matrix(model, info)
        if found is None:
            continue
        name = EXPERT.sub(".experts.*.", found.name)
        if name == found.name:
            merged[name] = found
        else:
            merged[name] = replace(found, name=name, experts=merged[name].experts + 1 if name in merged else 1)
    return list(merged.values())


def _matrix(model: ModelFile, info: TensorInfo) -> Matrix | None:
    """What one tensor is; None for parts of others, vectors and embeddings."""
    name, shape = info.name, info.shape
    stem = name.rpartition(".")[0]
    if PARTS.search(name):
        return None
    if name.endswith("_blocks") and len(shape) == 4 and shape[-1] == 16:
        return Matrix(name.removesuffix("_blocks"), shape[1], 32 * shape[2], "MXFP4 4 bit, group 32", shape[0])
    if len(shape) == 2 and name.endswith(".qweight"):
        return _gptq_or_awq(model, stem, shape)
    if len(shape) == 2 and name.endswith(".weight_packed"):
        return _compressed(model, stem, info)
    if len(shape) == 3 and "exps" in name:
        return Matrix(name.removesuffix(".weight"), shape[1], shape[2], info.dtype, shape[0])
    plain = name.removesuffix(".weight")
    if any(other.startswith(f"{name}.quant_state.bitsandbytes__") for other in model.tensors):
        return Matrix(plain, 0, 0, "bitsandbytes 4 bit, packed")
    if len(shape) != 2 or EMBEDDING.search(plain):
        return None
    n, k = reversed(shape) if CONV1D.search(plain) else shape
    return Matrix(plain, n, k, info.dtype)


def _gptq_or_awq(model: ModelFile, stem: str, packed: tuple[int, ...]) -> Matrix:
    """GPTQ packs along K, AWQ along N: the scales, one a column, tell which."""
    scales, zeros = model.tensors.get(f"{stem}.scales"), model.tensors.get(f"{stem}.qzeros")
    unknown = Matrix(stem, 0, 0, "packed (GPTQ or AWQ) without the scales that tell its shape")
    if scales is None or len(scales.shape) != 2 or 0 in scales.shape or 0 in packed:
        return unknown
    groups, n = scales.shape
    if packed[1] == n:
        if zeros is None or len(zeros.shape) != 2 or not 0 < 32 * zeros.shape[1] // n <= 8:
            return unknown
        bits = 32 * zeros.shape[1] // n
        method, k = "GPTQ", packed[0] * 32 // bits
    else:
        method, bits, k = "AWQ", 32 * packed[1] // n, packed[0]
    return Matrix(stem, n, k, f"{method} {bits} bit, group {k // groups}")


def _compressed(model: ModelFile, stem: str, info: TensorInfo) -> Matrix:
    """compressed-tensors: NVFP4 in bytes; integers in int32, whose true shape a tensor beside them holds."""
    scales, true = model.tensors.get(f"{stem}.weight_scale"), model.tensors.get(f"{stem}.weight_shape")
    n, k, bits, kind = info.shape[0], 2 * info.shape[1], 4, "NVFP4"
    if info.dtype != "U8":
        width = {"I64": 8, "I32": 4}.get(true.dtype, 0) if true is not None and true.shape == (2,) else 0
        values = (
            np.frombuffer(model.data[true.offset : true.offset + 2 * width].tobytes(), f"<i{width}")
            if true is not None and width
            else np.zeros(2, np.int64)
        )
        kind, k = "compressed-tensors", int(values[1])
        if int(values[0]) != n or k < 1 or not 0 < 32 * info.shape[1] // k <= 8:
            return Matrix(stem, 0, 0, "compressed-tensors, packed, without a weight_shape that fits")
        bits = 32 * info.shape[1] // k
    group = f", group {k // scales.shape[-1]}" if scales is not None and scales.shape and scales.shape[-1] else ""
    return Matrix(stem, n, k, f"{kind} {bits} bit{group}")
