"""What the matrices of a file are: true shapes of packed tensors, their method, and experts, from names and shapes.

Layouts: GPTQ ``qweight`` [K * bits / 32, N] and AWQ ``qweight`` [K, N * bits / 32] beside ``scales`` [K / group, N];
compressed-tensors ``weight_packed`` [N, K * bits / 32] (int32) or [N, K / 2] (uint8, NVFP4) beside ``weight_scale``
[N, K / group]; gpt-oss ``_blocks`` [experts, N, K / 32, 16] of MXFP4; Conv1D of GPT-2 stores [K, N].
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

import numpy as np

from sim.models.model_file import ModelFile, TensorInfo

__all__ = ["CONV1D", "PARTS", "PLAIN", "Matrix", "matrices", "matrix_at"]

PLAIN = ("F32", "F16", "BF16")

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
        found = matrix_at(model, info)
        if found is None:
            continue
        name = EXPERT.sub(".experts.*.", found.name)
        if name == found.name:
            merged[name] = found
        else:
            merged[name] = replace(found, name=name, experts=merged[name].experts + 1 if name in merged else 1)
    return list(merged.values())


def matrix_at(model: ModelFile, info: TensorInfo) -> Matrix | None:
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
    if len(shape) == 3 and ("exps" in name or ".experts." in name) and not name.endswith(("_bias", ".bias")):
        return Matrix(name.removesuffix(".weight"), shape[1], shape[2], info.dtype, shape[0])
    plain = name.removesuffix(".weight")
    if any(other.startswith(f"{name}.quant_state.bitsandbytes__") for other in model.tensors):
        kind = "NF4" if f"{name}.quant_state.bitsandbytes__nf4" in model.tensors else "FP4"
        group = model.tensors.get(f"{name}.absmax")
        blocks = f", group {2 * info.elements // group.elements}" if group is not None and group.elements else ""
        return Matrix(plain, *_bitsandbytes(model, name, info), f"bitsandbytes {kind} 4 bit{blocks}")
    if info.dtype == "I8" and f"{plain}.SCB" in model.tensors and len(shape) == 2:
        return Matrix(plain, *shape, "bitsandbytes LLM.int8 8 bit, one scale an output")
    if len(shape) != 2 or EMBEDDING.search(plain):
        return None
    n, k = reversed(shape) if CONV1D.search(plain) else shape
    return Matrix(plain, n, k, _float8(model, name, shape) if info.dtype.startswith("F8_E") else info.dtype)


def _float8(model: ModelFile, name: str, shape: tuple[int, ...]) -> str:
    """FP8 and what has a scale: blocks, outputs, groups of inputs, or the whole matrix."""
    ends = ("_scale_inv", "_scale")
    scales = next((model.tensors[name + end] for end in ends if name + end in model.tensors), None)
    kind = f"FP8 ({model.info(name).dtype}) 8 bit"
    if scales is None or 0 in scales.shape:
        return f"{kind}, no scales beside it"
    if scales.elements == 1:
        return f"{kind}, one scale"
    if len(scales.shape) == 2 and scales.shape[1] > 1:
        return f"{kind}, blocks of {-(-shape[0] // scales.shape[0])} x {-(-shape[1] // scales.shape[1])}"
    return f"{kind}, one scale an output"


def _bitsandbytes(model: ModelFile, name: str, info: TensorInfo) -> tuple[int, int]:
    """The true shape, from the JSON that bitsandbytes keeps in a tensor; zeros if it does not fit."""
    for kind in ("nf4", "fp4"):
        state = model.tensors.get(f"{name}.quant_state.bitsandbytes__{kind}")
        if state is None or state.dtype != "U8" or state.elements > 1 << 16:
            continue
        try:
            match json.loads(model.raw(state, state.elements)):
                case {"shape": [int(n), int(k)]} if n > 0 and k > 0 and n * k == 2 * info.elements:
                    return n, k
        except (ValueError, RecursionError):
            pass
    return 0, 0


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
            np.frombuffer(model.raw(true, 2 * width), f"<i{width}")
            if true is not None and width
            else np.zeros(2, np.int64)
        )
        kind, k = "compressed-tensors", int(values[1])
        if int(values[0]) != n or k < 1 or not 0 < 32 * info.shape[1] // k <= 8:
            return Matrix(stem, 0, 0, "compressed-tensors, packed, without a weight_shape that fits")
        bits = 32 * info.shape[1] // k
    group = f", group {k // scales.shape[-1]}" if scales is not None and scales.shape and scales.shape[-1] else ""
    return Matrix(stem, n, k, f"{kind} {bits} bit{group}")
