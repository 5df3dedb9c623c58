"""Whether a tile holds weights exactly as they are stored, and which tile does where it does not.

Nothing is rounded: codes, scales, zero points and minima are written in the tile's formats, and what these do not have
is refused. Exact are: codes in a wider format, signed codes as unsigned ones with a zero point and the reverse, a scale
repeated over the tile's shorter groups, a scale of a row or of the tensor as a second-level scale (FP32, behind the sum
over groups) where the tile's scales are too narrow for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.formats import Format, IntFormat, QTensor, block_format, block_names, get
from hwgen.formats.integers import BipolarFormat, TernaryFormat
from hwgen.pe import TileSpec, family
from sim.models.checkpoint import StoredWeights

__all__ = ["hold", "tile_for"]


class _Unfit(Exception):
    """Why a tile does not hold a tensor: the end of a sentence."""


def hold(spec: TileSpec, weights: StoredWeights | QTensor, what: str = "weights") -> QTensor:
    """The stored weights in the formats of a tile, equal to them in value.

    Raises `HwgenError` that says what the tile lacks, and names the nearest tile that has it.
    """
    tensor = weights.tensor if isinstance(weights, StoredWeights) else weights
    words = weights.described if isinstance(weights, StoredWeights) else tensor.format.name
    what = f"layer {weights.name}" if isinstance(weights, StoredWeights) else what
    try:
        return _held(spec, tensor)
    except _Unfit as reason:
        hint = tile_for(spec, tensor)
        raise HwgenError(
            f"{what}: {words} cannot be held as stored by this {spec.family} tile: {reason}; "
            + (
                f"use {hint}"
                if hint
                else "no family has a tile for it; without --weights-as-stored it is quantised again"
            )
        ) from None


def _held(spec: TileSpec, tensor: QTensor) -> QTensor:
    formats = spec.quantization()
    form, scale_form = get(formats.weights), get(formats.weight_scale)
    k = tensor.shape[1]
    size = formats.group if 0 < formats.group < k else k
    values, zeros = _values(formats.scheme, formats.weights, form, tensor)
    if size > tensor.group_size or (tensor.groups > 1 and tensor.group_size % size):
        raise _Unfit(f"its groups of {size} inputs do not divide those of {tensor.group_size}")
    if formats.scheme in ("mx", "nv"):
        _check_block(formats.scheme, form, scale_form, size, tensor)
    stored_group = np.arange(0, k, size) // tensor.group_size
    scales = np.array(tensor.scales)[:, stored_group]
    outer = tensor.outer
    codes = scale_form.encode(scales)
    if not np.array_equal(scale_form.decode(codes), scales):
        if outer is not None or tensor.groups > 1 or tensor.zero_kind == "minimum" or formats.scheme in ("mx", "nv"):
            raise _Unfit(f"its scales are {scale_form.name}, which some of {tensor.scale_format.name} are not")
        outer = scales[:, :1].astype(np.float32)
        codes = np.broadcast_to(scale_form.encode(np.ones((1, 1))), scales.shape)
    if zeros is not None:
        zeros = zeros[:, stored_group]
        if tensor.zero_kind == "minimum" and not np.array_equal(scale_form.decode(scale_form.encode(zeros)), zeros):
            raise _Unfit(f"its minima are {scale_form.name}, which some of the stored ones are not")
    held = QTensor.build(
        form.encode(values),
        form,
        group_size=formats.group,
        scale_codes=codes,
        scale_format=scale_form,
        zero=zeros,
        zero_kind="none" if zeros is None else "minimum" if tensor.zero_kind == "minimum" else "integer",
        outer=outer,
    )
    assert np.array_equal(held.dequantize(), tensor.dequantize()), "a conversion that changes values is a defect"
    return held


def _check_block(scheme: str, form: Format, scale: Format, size: int, tensor: QTensor) -> None:
    """Refuse tensors whose blocks are not those of a block format: its scales and levels are wired in."""
    if size != tensor.group_size:
        raise _Unfit(f"its blocks have {size} elements, not {tensor.group_size}")
    if tensor.scale_format != scale or isinstance(tensor.format, IntFormat) != isinstance(form, IntFormat):
        raise _Unfit(f"its blocks are {form.name} with {scale.name} scales")
    if scheme == "mx" and tensor.outer is not None:
        raise _Unfit("its blocks have no second-level scale")


def _values(scheme: str, name: str, form: Format, tensor: QTensor) -> tuple[NDArray[np.float64], NDArray[Any] | None]:
    """What the tile's codes mean, and zero points or minima [N, G of the tensor], by the tile's scheme."""
    integer = isinstance(tensor.format, IntFormat | TernaryFormat | BipolarFormat)
    values, zeros = tensor.values(), tensor.zeros
    kind = tensor.zero_kind
    if scheme in ("symmetric", "ternary", "bipolar", "asymmetric", "minimum"):
        if not integer:
            raise _Unfit(f"its weights are integers ({name})")
        if (scheme == "minimum") != (kind == "minimum"):
            raise _Unfit("its weights have float minima" if scheme == "minimum" else "its scheme has no float minima")
        spread = None if zeros is None else zeros[:, tensor.group_of_k]
        if scheme == "asymmetric":
            zero = np.zeros((len(values), tensor.groups), np.int64) if zeros is None else zeros.astype(np.int64)
            # Signed codes and zero points move up together.
            shift = -int(min(tensor.format.min_value, 0))
            values, zeros = values + shift, zero + shift
            if zeros.min() < 0 or zeros.max() > form.max_value:
                raise _Unfit(f"its zero points are from 0 to {form.max_value:g}")
        elif kind == "integer" and spread is not None:
            values, zeros = values - spread.astype(np.float64), None
    elif scheme in ("element", "mx", "nv"):
        if integer or kind != "none":
            raise _Unfit(f"its weights are floating point without zero points ({name})")
    else:
        raise _Unfit(f"its scheme {scheme} is no way in which checkpoints store weights that are read")
    if not np.array_equal(form.decode(form.encode(values)), values):
        raise _Unfit(f"its weights are {name}, which some of the stored values are not")
    return values, zeros


# ------------------------------------------------------------------ the nearest tile


def tile_for(spec: TileSpec, tensor: QTensor) -> str | None:
    """Flags of a tile that holds the tensor: those that change in ``spec``, or those of another family; None: none.

    Every tile that is named was asked whether it holds the tensor.
    """
    for name, changes in _candidates(spec, tensor):
        kind = family(name)
        base = dict(spec.p) if name == spec.family else {}
        try:
            found = kind(**{**base, **changes}) if base else kind.from_values(changes)
            _held(found, tensor)
        except (_Unfit, HwgenError, TypeError):
            continue
        known = dict(spec.p) if name == spec.family else {key: p.default for key, p in kind.parameters().items()}
        kept = {"weights", "bits"} if name != spec.family else set()
        named = {key: value for key, value in changes.items() if known[key] != value or key in kept}
        flags = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in named.items())
        return flags if name == spec.family else f"--pe {name} {flags}"
    return None


def _candidates(spec: TileSpec, tensor: QTensor) -> Iterator[tuple[str, dict[str, Any]]]:
    """Families and parameters, the tile's own family first."""
    sizes = {"group": 0 if tensor.groups == 1 else tensor.group_size}
    own = spec.p.get("weight_scale", "fp16")
    scales = dict.fromkeys((own, tensor.scale_format.name, "fp16", "fp32"))
    options: list[dict[str, Any]] = []
    names: tuple[str, ...]
    if isinstance(tensor.format, IntFormat | TernaryFormat | BipolarFormat):
        for scheme, bits in _schemes(tensor):
            options += [{"bits": bits, "scheme": scheme, **sizes, "weight_scale": scale} for scale in scales]
        names = ("int",)
    else:
        options = [{"weights": tensor.format.name, **sizes, "weight_scale": scale} for scale in scales]
        blocks = [name for name in block_names() if _is_block(name, tensor)]
        for name in blocks if spec.family != "minifloat" else ():
            yield "mx", {"weights": name, **(_with_block(name) if spec.family == "mx" else {})}
        names = ("minifloat",)
    for name in dict.fromkeys((spec.family, *names)):
        known = family(name).parameters()
        for values in options:
            kept = {key: value for key, value in values.items() if key in known}
            if len(kept) == len(values):
                depth = spec.p["depth"] if name == spec.family else known["depth"].default
                yield name, {**kept, "depth": max(depth, tensor.group_size)}


def _with_block(name: str) -> dict[str, Any]:
    """What changes with the format of a mx tile that is there; a new one takes it from the format by itself."""
    spec = family("mx").from_values({"weights": name})
    return {key: spec.p[key] for key in ("acts", "group", "depth", "post_lanes")}


def _is_block(name: str, tensor: QTensor) -> bool:
    block = block_format(name)
    same = (block.element, block.scale, block.block) == (tensor.format, tensor.scale_format, tensor.group_size)
    return same and (block.outer or tensor.outer is None)


def _schemes(tensor: QTensor) -> list[tuple[str, int]]:
    """Schemes of integer weights that may hold a tensor, with their widths, the narrowest first."""
    bits = tensor.format.code_bits
    if tensor.zero_kind == "minimum":
        return [("minimum", bits)]
    if isinstance(tensor.format, TernaryFormat):
        return [("ternary", 2), ("symmetric", 2)]
    if isinstance(tensor.format, BipolarFormat):
        return [("bipolar", bits)]
    if tensor.zero_kind == "integer":
        return [("asymmetric", bits), ("symmetric", bits), ("symmetric", bits + 1), ("asymmetric", bits + 1)]
    return [("symmetric", bits), ("asymmetric", bits)]
