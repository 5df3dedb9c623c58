"""Layers for comparing compiled arithmetic with golden layers: tiles by name, operands, and what either side says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwgen.errors import HwgenError
from hwgen.formats import Format, QTensor
from hwgen.pe import TileSpec, family
from hwgen.schedule import Layer, Schedule

TOKENS, OUTPUTS = 7, 37

ADDS = {"cell": "fp_add", "acts": "fp16", "scheme": "bipolar"}
FP32 = {"accumulator": "fp32"}
PLAIN = {"planes": "twos_complement", "symmetry": "none"}

TILES: dict[str, tuple[str, dict[str, Any]]] = {
    "int": ("int", {}),
    "int, zero points": ("int", {"scheme": "asymmetric"}),
    "int, minima": ("int", {"scheme": "minimum", "group": 24}),
    "int, bipolar": ("int", {"scheme": "bipolar", "bits": 1}),
    "int, a row, int16": ("int", {"acts": "int16", "bits": 8, "group": 0, "weight_scale": "fp32"}),
    "int, saturating": ("int", {"overflow": "saturate", "depth": 8, "bits": 8, "group": 0}),
    "int, wrapping": ("int", {"overflow": "wrap", "depth": 8, "bits": 8, "group": 48}),
    "lut": ("lut", {}),
    "lut, aligned": ("lut", {"acts": "fp16", "align_rounding": "truncate", "guard_bits": 0}),
    "lut, aligned bf16": ("lut", {"acts": "bf16", "align_scope": "row", "scheme": "minimum"}),
    "lut, aligned steps": ("lut", {"acts": "fp8_e5m2", "align_scope": "step", "group": 28}),
    "lut, bytes": ("lut", {"entries": "int8", "bits": 3}),
    "lut, bytes by 127": ("lut", {"entries": "int8", "entry_rule": "max127", "precompute": "external", "k": 8}),
    "lut, bytes by 127, aligned": (
        "lut",
        {"entries": "int8", "entry_rule": "max127", "precompute": "external", "acts": "fp16", "group": 32},
    ),
    "lut, bytes, minima": ("lut", {"entries": "int8", "scheme": "minimum", "tables": 2, "k": 3, "group": 24}),
    "lut, bytes, signed": ("lut", {"entries": "int8", "scheme": "symmetric", "acts": "bf16", "align_scope": "row"}),
    "lut, bytes, bipolar": ("lut", {"entries": "int8", "scheme": "bipolar", "acts": "int16", "bits": 8}),
    "lut, bytes, steps": ("lut", {"entries": "int8", "acts": "fp16", "align_scope": "step", "group": 28}),
    "lut, fp32": ("lut", ADDS),
    "lut, fp32, planes": ("lut", {**ADDS, "acts": "bf16", "bits": 6, "planes_per_cycle": 3}),
    "lut, fp32, plain": ("lut", {**ADDS, **PLAIN, "scheme": "symmetric", "k": 7, "group": 28}),
    "lut, fp32, ring": (
        "lut",
        {**ADDS, "tables": 3, "group": 24, "depth": 1032, "adder_stages": 3, "interleave": "ring"},
    ),
    "bitmod": ("bitmod", {}),
    "bitmod, ring": ("bitmod", {"adder_stages": 3, "bits": 3}),
    "bitmod, bf16": ("bitmod", {"acts": "bf16", "bits": 6, "guard_bits": 0, "k": 2}),
    "bitmod, wide": ("bitmod", {"acc_mantissa": 32, "guard_bits": 8, "bits": 8, "k": 8, "group": 40}),
    "bitmod, step of 8": ("bitmod", {"k": 8}),
    "bitmod, step of 3": ("bitmod", {"k": 3, "bits": 5, "group": 33}),
    "bitmod, exact": ("bitmod", {"accumulator": "exact"}),
    "bitmod, integers": ("bitmod", {"acts": "int8"}),
    "mixpe": ("mixpe", {}),
    "mixpe, aligned": ("mixpe", {"acts": "fp16", "scheme": "asymmetric", "align_scope": "step"}),
    "mixpe, before": ("mixpe", {"dequant": "before"}),
    "mixpe, before, aligned": ("mixpe", {"dequant": "before", "acts": "bf16", "align_scope": "row"}),
    "bitserial": ("bitserial", {}),
    "bitplane": ("bitplane", {}),
    "bitplane, signs": ("bitplane", {"scheme": "bipolar", "bits": 2, "acts": "bipolar3"}),
    "codebook": ("codebook", {}),
    "codebook, aligned": ("codebook", {"weights": "razer_fp4", "acts": "fp16", "align_scope": "step"}),
    "codebook, sparse": ("codebook", {"weights": "sherry"}),
    "codebook, learned": ("codebook", {"weights": "any4"}),
    "codebook, bitmod": ("codebook", {"weights": "bitmod_fp3", "acts": "int8"}),
    "complex": ("complex", {}),
    "complex, conjugates": ("complex", {"mapping": "widely", "overflow": "wrap", "depth": 8, "group": 48}),
    "mx": ("mx", {}),
    "mx, fp8": ("mx", {"acts": "mxfp8_e5m2", "weights": "mxfp8_e5m2"}),
    "mx, nv": ("mx", {"acts": "nvfp4", "weights": "nvfp4"}),
    "mx, hif4": ("mx", {"acts": "hif4", "weights": "hif4", "group": 64}),
    "minifloat": ("minifloat", {}),
    "minifloat, wide": ("minifloat", {"acts": "bf16", "weights": "bf16", "group": 0}),
    "minifloat, e8m7 by e8m1": ("minifloat", {"acts": "bf16", "weights": "e8m1", "weight_scale": "fp32"}),
    "minifloat, saturating": ("minifloat", {"overflow": "saturate", "depth": 8, "group": 0}),
    "minifloat, fp32": ("minifloat", {**FP32, "bits": 16, "k": 1}),
    "minifloat, fp32, steps": ("minifloat", {**FP32, "acts": "bf16", "weights": "bf16", "k": 8, "group": 0}),
    "minifloat, fp32, step of 5": ("minifloat", {**FP32, "k": 5, "group": 30}),
    "minifloat, fp32, ring": (
        "minifloat",
        {**FP32, "acts": "fp8_e5m2", "k": 4, "adder_stages": 3, "interleave": "ring"},
    ),
    "ant": ("ant", {}),
    "ant, fixed types": ("ant", {"weights": "flint4", "acts": "pot4", "group": 0}),
    "ant, wrapping": ("ant", {"overflow": "wrap", "depth": 8, "acts": "int8", "group": 48}),
    "ant, bytes": ("ant", {"bits": 8}),
    "olive": ("olive", {}),
    "olive, saturating": ("olive", {"overflow": "saturate", "depth": 8, "acts": "int8", "group": 0}),
    "lmul": ("lmul", {}),
    "lmul, long": ("lmul", {"acts": "fp16", "weights": "fp8_e5m2", "subnormals": "normalise", "group": 24}),
    "lmul, fp32": ("lmul", {**FP32, "acts": "fp8_e5m2", "subnormals": "normalise", "k": 3, "group": 33}),
    "lmul, fp32, ring": (
        "lmul",
        {**FP32, "acts": "fp16", "weights": "bf16", "adder_stages": 3, "interleave": "ring", "group": 64},
    ),
    "posit": ("posit", {}),
    "posit, 16 bits": ("posit", {"operands": "p16"}),
    "posit, fp16 results": ("posit", {"operands": "p16", "readout": "fp16", "post_lanes": 2, "group": 0}),
    "posit, posit results": ("posit", {"operands": "p16", "readout": "posit", "post_lanes": 2, "group": 32}),
    "posit, one sum": ("posit", {"operands": "p8", "readout": "posit", "post_lanes": 2, "group": 0}),
    "posit, fp4": ("posit", {"format": "fp4"}),
}
"""Tiles that cover every arithmetic that is compiled and every option that changes it."""


def tile(name: str, **values: Any) -> TileSpec:
    kind, own = TILES[name]
    room: dict[str, Any] = {"m": 2, "n": 2} | ({} if "depth" in own or kind == "bitmod" else {"depth": 1024})
    return family(kind).from_values(room | own | values)


def operands(spec: TileSpec, k: int, seed: int) -> tuple[QTensor, Tensor]:
    """Weights and float activations with zero rows, outliers and subnormals, filled up to whole code words."""
    rng = np.random.default_rng([seed, k])
    w = rng.standard_normal((OUTPUTS, k)) * 2.0 ** rng.integers(-6, 3, (OUTPUTS, 1))
    x = rng.standard_normal((TOKENS, k)) * np.exp2(rng.integers(-9, 9, (TOKENS, k)))
    w[3], x[1] = 0, 0
    x[2] *= 2.0**-22
    schedule = Schedule(spec, Layer("layer", TOKENS, OUTPUTS, k))
    x = schedule.whole_words(x.astype(np.float32))
    return spec.quantize_weights(schedule.whole_words(w)), torch.from_numpy(x)


def cancelling(spec: TileSpec) -> tuple[QTensor, Tensor]:
    """Equal weights; a step of activations that sum to -2**j, and one that nearly cancels it, with long numbers."""
    rng = np.random.default_rng(1)
    w = spec.quantize_weights(np.ones((2, 16)))
    w = dataclasses.replace(w, codes=np.full_like(w.codes, int(w.codes.max())))
    if spec.family == "bitmod":
        # 4 is a single term in every selector's set.
        w = dataclasses.replace(
            w, codes=np.full_like(w.codes, int(w.format.encode(4.0, 0 if w.format.side_bits else None)))
        )
    x = np.zeros((200, 16))
    x[:, :8] = [0, -2, -2, -2, -2, -4, -4, 0]
    x[:, 8:] = 2 - 2.0**-10 * rng.integers(1, 9, (200, 8))
    x[:, 15] = 0.125 + 2.0**-13 * rng.integers(0, 64, 200)
    return w, torch.from_numpy(x)


def _codes(form: Format, shape: tuple[int, ...], finite: bool, rng: np.random.Generator) -> np.ndarray:
    """Any code words, the ends of the format and its special ones as often as all others."""
    ends = np.array(form.corners, dtype=np.int64)
    codes = np.where(rng.random(shape) < 0.5, rng.choice(ends, shape), rng.integers(0, 1 << form.code_bits, shape))
    if finite and not form.side_bits:
        values = form.decode(codes.astype(np.uint32))
        codes = np.where(np.isfinite(values.reshape(*shape, -1)).all(axis=-1), codes, 0)
    return codes.astype(np.uint32)


def any_codes(tensor: QTensor, seed: int, *, finite: bool = False, scales: bool = True) -> QTensor:
    """A tensor of the same formats with any codes (numbers, if ``finite``), scales and selectors."""
    rng = np.random.default_rng(seed)
    changed: dict[str, Any] = {"codes": _codes(tensor.format, tensor.codes.shape, finite, rng)}
    if scales:
        changed["scale_codes"] = _codes(tensor.scale_format, tensor.scale_codes.shape, False, rng)
    if tensor.selector is not None:
        changed["selector"] = rng.integers(0, 1 << tensor.format.side_bits, tensor.selector.shape)
    return dataclasses.replace(tensor, **changed)


def said(call: Callable[[], Tensor]) -> list[list[int]] | str:
    """Codes of a result, or the sentence that refuses it."""
    try:
        return call().view(torch.int32).tolist()
    except HwgenError as error:
        return str(error)
