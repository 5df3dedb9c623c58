"""Tensors of GGUF files as they are stored."""

from __future__ import annotations

import numpy as np

from hwgen.formats import QTensor
from sim.models.checkpoint.gguf_blocks import BLOCKS, Blocks
from sim.models.checkpoint.stored import Place, Scales, StoredWeights
from sim.models.model_file import TensorInfo

__all__ = ["gguf_weights"]


def gguf_weights(place: Place, info: TensorInfo) -> StoredWeights:
    """Codes, scales and minima of a matrix of one of `BLOCKS`.

    NVFP4's scale of the tensor, where there is one, is the tensor ``name.scale``. Raises `HwgenError` for other types,
    and for scales, minima or codes that are no numbers.
    """
    if info.dtype not in BLOCKS:
        raise place.error(f"the type of a quantised tensor must be one of {', '.join(BLOCKS)}, not {info.dtype}")
    kind = BLOCKS[info.dtype]
    n, k = info.shape
    raw = place.model.raw(info, n * k // kind.elements * kind.size)
    blocks = kind.split(np.frombuffer(raw, np.uint8).reshape(-1, kind.size))
    scales = Scales(blocks.scales.reshape(n, -1), blocks.scale_format).checked(place)
    _check(place, info, blocks)
    minima = None if blocks.minima is None else blocks.minima.reshape(n, -1)
    tensor = QTensor.build(
        blocks.codes.reshape(n, k),
        blocks.format,
        group_size=kind.group,
        scale_codes=scales.codes,
        scale_format=scales.format,
        zero=minima,
        zero_kind="none" if minima is None else "minimum",
        outer=_outer(place, info),
    )
    return StoredWeights(place.name, f"GGUF {info.dtype}", tensor)


def _check(place: Place, info: TensorInfo, blocks: Blocks) -> None:
    """Refuse minima that are no numbers, codes that mean nothing, and signs where a scale has none."""
    if blocks.minima is not None and not np.isfinite(blocks.minima).all():
        raise place.error("minima must be finite; the file is corrupt")
    if not np.isfinite(blocks.format.decode(blocks.codes)).all():
        raise place.error(f"codes of {info.dtype} must be -1, 0 or 1, and one is not; the file is corrupt")
    if info.dtype == "NVFP4" and (blocks.scales > 127).any():
        raise place.error("scales of NVFP4 must have no sign, and one has; the file is corrupt")


def _outer(place: Place, info: TensorInfo) -> np.ndarray | None:
    """The second-level scale beside an NVFP4 tensor, 1 where the file has none."""
    if info.dtype != "NVFP4":
        return None
    beside = place.model.tensors.get(f"{info.name.removesuffix('.weight')}.scale")
    if beside is None:
        return np.ones((1, 1), np.float32)
    if beside.dtype != "F32" or beside.elements != 1:
        raise place.error(f"{beside.name} must be one F32 number, not {beside.dtype} of shape {list(beside.shape)}")
    outer = np.frombuffer(place.model.raw(beside, 4), "<f4").reshape(1, 1)
    if not np.isfinite(outer).all():
        raise place.error(f"{beside.name} must be finite, not {outer[0, 0]}; the file is corrupt")
    return outer
