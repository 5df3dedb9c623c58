"""compressed-tensors, and FP8 with scales of blocks (``quant_method`` fp8).

Layouts, by ``format`` of compressed-tensors 0.20: pack-quantized: ``weight_packed`` int32 [N, ⌈K·bits/32⌉] of codes
q + 2**(bits - 1), lowest bits first and across words, ``weight_shape``, ``weight_scale`` [N, G], zero points
``weight_zero_point`` [⌈N·bits/32⌉, G] packed along N the same way. int-quantized, float-quantized and naive-quantized:
``weight`` of whole bytes. nvfp4-pack-quantized: ``weight_packed`` uint8 [N, K/2], the even element in the low half,
E4M3 ``weight_scale`` and FP32 ``weight_global_scale``, by which scales are divided: the second-level scale is
fl32(1 / global), as kernels have it. mxfp4- and mxfp6-pack-quantized (three bytes hold four codes, lowest bits first)
and mxfp8-quantized: scales are E8M0 bytes. ``weight_scale_inv`` of fp8 multiplies, as ``weight_scale`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.formats import Format, IntFormat, QTensor, get
from sim.models.checkpoint.config import option, scheme_of
from sim.models.checkpoint.int_packed import act_order
from sim.models.checkpoint.stored import (
    Place,
    Scales,
    StoredWeights,
    integers,
    read_scales,
    signed_codes,
    unpack_words,
)
from sim.models.model_file import TensorInfo

__all__ = ["FORMATS", "compressed_weights", "fp8_weights"]

FORMATS = (
    "pack-quantized",
    "int-quantized",
    "float-quantized",
    "naive-quantized",
    "nvfp4-pack-quantized",
    "mxfp4-pack-quantized",
    "mxfp6-pack-quantized",
    "mxfp8-quantized",
)
"""Formats of compressed-tensors that are read; mixed-precision is one of them for each group of layers."""

_FP8 = {"F8_E4M3": "fp8_e4m3", "F8_E5M2": "fp8_e5m2"}
_STRATEGIES = ("group", "channel", "tensor", "block", "tensor_group")


def compressed_weights(place: Place, config: Mapping[str, Any]) -> StoredWeights:
    """A layer of a compressed-tensors checkpoint. Raises `HwgenError` for parts that do not fit each other."""
    form, weights = scheme_of(place, config)
    if form not in FORMATS:
        raise HwgenError(f"model file {config['where']}: format must be one of {', '.join(FORMATS)}, not {form[:40]!r}")
    scheme = f"compressed-tensors {form}"
    if form == "pack-quantized":
        return _integers_packed(place, weights, scheme)
    if form.startswith(("nvfp4", "mxfp4", "mxfp6")):
        return _floats_packed(place, weights, form, scheme)
    info = place.part("weight")
    n, k = _shape(place, info.shape)
    if info.dtype in _FP8:
        bytes_are = "e8m0" if form == "mxfp8-quantized" else ""
        codes, element = integers(place, info, *_FP8).astype(np.uint32), get(_FP8[info.dtype])
        return _whole(place, weights, scheme, codes, element, read_scales(place, _scale(place), bytes_are=bytes_are))
    if info.dtype != "I8":
        raise place.error(f"{info.name} must be of type I8, {', '.join(_FP8)} with format {form}, not {info.dtype}")
    codes = integers(place, info, "I8").view(np.uint8).astype(np.uint32)
    zero = place.find("weight_zero_point")
    zeros = None if zero is None else integers(place, zero, "I8").astype(np.int64)
    scales = read_scales(place, _scale(place))
    return _whole(place, weights, scheme, codes.reshape(n, k), get("int8"), scales, zeros)


def fp8_weights(place: Place, config: Mapping[str, Any]) -> StoredWeights:
    """A layer of FP8 with one scale, one an output, or one a block. Raises as `compressed_weights`."""
    info = place.part("weight")
    if info.dtype not in _FP8:
        raise place.error(f"{info.name} must be of type {', '.join(_FP8)} with quant_method fp8, not {info.dtype}")
    scale = place.find("weight_scale_inv") or place.part("weight_scale")
    block = config.get("weight_block_size")
    weights = {
        "where": config["where"],
        "strategy": "block" if block is not None else "tensor" if scale.elements == 1 else "channel",
        "block_structure": block,
    }
    codes = integers(place, info, *_FP8).astype(np.uint32)
    return _whole(place, weights, "FP8", codes, get(_FP8[info.dtype]), read_scales(place, scale))


def _scale(place: Place) -> TensorInfo:
    return place.part("weight_scale")


def _shape(place: Place, shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) != 2 or 0 in shape:
        raise place.error(f"weights must be a matrix, not of shape {list(shape)}")
    return shape[0], shape[1]


def _integers_packed(place: Place, weights: Mapping[str, Any], scheme: str) -> StoredWeights:
    bits = option(weights, ("num_bits",), tuple(range(1, 9)))
    option(weights, ("type",), ("int",), "int")
    packed, true = place.part("weight_packed"), place.part("weight_shape")
    place.check_shape(true, (2,))
    n, k = (int(value) for value in integers(place, true, "I64", "I32"))
    if n < 1 or k < 1:
        raise place.error(f"weight_shape must have two positive sizes, not {[n, k]}")
    place.check_shape(packed, (n, -(-k * bits // 32)))
    codes = signed_codes(unpack_words(integers(place, packed, "I32"), bits, k), bits)
    scales, zeros = read_scales(place, _scale(place)), None
    if not option(weights, ("symmetric",), (True, False), True):
        zero = place.part("weight_zero_point")
        groups = scales.codes.shape[-1] if scales.codes.ndim else 1
        if zero.dtype == "I32":
            place.check_shape(zero, (-(-n * bits // 32), groups))
            zeros = unpack_words(integers(place, zero, "I32").T, bits, n).astype(np.int64).T - (1 << (bits - 1))
        else:
            zeros = integers(place, zero, "I8").astype(np.int64)
    scheme = f"{scheme} {bits} bit"
    return _whole(place, weights, scheme, codes, IntFormat(code_bits=bits), scales, zeros)


def _floats_packed(place: Place, weights: Mapping[str, Any], form: str, scheme: str) -> StoredWeights:
    packed = place.part("weight_packed")
    size = _shape(place, packed.shape)[1]
    if packed.dtype != "U8":
        raise place.error(f"{packed.name} must be of type U8 with format {form}, not {packed.dtype}")
    bits = 6 if form.startswith("mxfp6") else 4
    if size * 8 % (bits * 4):
        raise place.error(f"{packed.name} must have rows of whole groups of four codes, not of {size} bytes")
    k = size * 8 // bits
    raw = integers(place, packed, "U8")
    # Rows in words of 32 bits, the last one filled with zeros.
    words = np.ascontiguousarray(np.pad(raw, ((0, 0), (0, -size % 4)))).view("<u4")
    codes, element = unpack_words(words, bits, k), get("fp6_e2m3" if bits == 6 else "fp4_e2m1")
    if not form.startswith("nvfp4"):
        scales = read_scales(place, _scale(place), bytes_are="e8m0")
        return _whole(place, {**weights, "strategy": "group", "group_size": 32}, scheme, codes, element, scales)
    scales, level = read_scales(place, _scale(place)), place.part("weight_global_scale")
    if level.dtype != "F32" or level.elements != 1:
        raise place.error(f"{level.name} must be one F32 number, not {level.dtype} of shape {list(level.shape)}")
    value = np.frombuffer(place.model.raw(level, 4), "<f4").reshape(1, 1)
    with np.errstate(divide="ignore", over="ignore"):
        outer = (np.float32(1) / value).astype(np.float32)
    if not np.isfinite(outer).all() or not np.isfinite(value).all():
        raise place.error(f"{level.name} must be a finite number other than 0, not {value[0, 0]}")
    grouped = {**weights, "strategy": "group", "group_size": 16}
    return _whole(place, grouped, scheme, codes, element, scales, outer=outer)


def _whole(
    place: Place,
    weights: Mapping[str, Any],
    scheme: str,
    codes: NDArray[np.uint32],
    element: Format,
    scales: Scales,
    zeros: NDArray[np.int64] | None = None,
    outer: NDArray[np.float32] | None = None,
) -> StoredWeights:
    """With scales (and zero points) by the strategy, brought to [N, G]; inputs in the order of their groups."""
    if not np.isfinite(element.decode(codes)).all():
        raise place.error(f"weights must be finite, and a code of {element} is not; the checkpoint is damaged")
    n, k = codes.shape
    strategy = option(weights, ("strategy",), _STRATEGIES, _usual(weights))
    size, order = k, None
    if strategy in ("group", "tensor_group"):
        size = weights.get("group_size")
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise place.error(f"group_size of {weights['where']} must be a positive number, not {str(size)[:40]!r}")
        size = min(size, k)
    wanted: tuple[int, ...] = (n, -(-k // size))
    repeat: NDArray[np.int64] | None = None
    if strategy == "tensor":
        wanted = (1,) * max(scales.codes.ndim, 1)
    elif strategy == "channel" and scales.codes.ndim == 1:
        wanted = (n,)
    elif strategy == "block":
        rows, size = _block(place, weights, n, k)
        wanted, repeat = (-(-n // rows), -(-k // size)), np.arange(n) // rows
    sides: list[NDArray[Any]] = []
    for what, side in (("scales", scales.codes), ("zero points", zeros)):
        if side is None:
            continue
        if side.shape != wanted and not (strategy == "tensor" and side.size == 1):
            raise place.error(f"{what} of strategy {strategy} must have shape {list(wanted)}, not {list(side.shape)}")
        full = side.reshape(1, 1) if strategy == "tensor" else side.reshape(len(side), -1)
        sides.append(
            np.broadcast_to(full, (n, 1)) if strategy == "tensor" else full if repeat is None else full[repeat]
        )
    index = place.find("weight_g_idx")
    if index is not None and strategy == "group":
        place.check_shape(index, (k,))
        places = integers(place, index, "I32", "I64").astype(np.int64)
        # -1 in all places is what writers leave where inputs are in order.
        order = None if (places == -1).all() else act_order(place, places, size, sides[0].shape[1])
    tensor = QTensor.build(
        codes if order is None else codes[:, order],
        element,
        group_size=size,
        scale_codes=sides[0],
        scale_format=scales.format,
        zero=sides[1].astype(np.int32) if zeros is not None else None,
        zero_kind="none" if zeros is None else "integer",
        outer=outer,
    )
    return StoredWeights(place.name, scheme, tensor, order)


def _usual(weights: Mapping[str, Any]) -> str:
    """The strategy where none is named, as the package has it."""
    size = weights.get("group_size")
    return "tensor" if size is None else "channel" if size == -1 else "group"


def _block(place: Place, weights: Mapping[str, Any], n: int, k: int) -> tuple[int, int]:
    """Rows and columns of a block."""
    match weights.get("block_structure"):
        case [int(rows), int(columns)] if rows > 0 and columns > 0:
            return min(rows, n), min(columns, k)
    raise place.error(f"blocks of {weights['where']} must be two positive sizes, not {weights.get('block_structure')}")
