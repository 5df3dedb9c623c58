"""Part of a layer of a model as a constant matrix: its integers, without the scales, which are applied behind it."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.quantize import integer

__all__ = ["parse_range", "quantised_block"]

_RANGE = re.compile(r"(\d{0,9}):(\d{0,9})")


def parse_range(text: str | None, size: int, what: str) -> slice:
    """``A:B`` of ``size``, either end may be left out; None is all. Raises `HwgenError`, which names ``what``."""
    match = _RANGE.fullmatch(text if text is not None else ":")
    start, stop = (match[1] or "0", match[2] or str(size)) if match else ("0", "0")
    if match is None or not int(start) < int(stop) <= size:
        raise HwgenError(f"{what} must be A:B with 0 <= A < B <= {size}, not {text!r}")
    return slice(int(start), int(stop))


def quantised_block(
    weights: npt.ArrayLike, outputs: slice, inputs: slice, bits: int, scheme: str = "symmetric", group: int = 0
) -> npt.NDArray[np.int64]:
    """Integers [outputs, inputs] of a part of a layer [N, K] that is quantised as a whole.

    ``bits``, ``scheme`` and ``group`` are those of `hwgen.quantize.integer`; codes with a zero point come without it.
    Within the part a row has one scale: with groups, ``inputs`` are of one. Raises `HwgenError` where they are not, and
    as `hwgen.quantize.integer`.
    """
    tensor = integer(np.asarray(weights)[outputs], bits, group, scheme)
    size = tensor.group_size
    if inputs.start // size != (inputs.stop - 1) // size:
        raise HwgenError(
            f"constant: inputs must be of one group of {size}, as a group has a scale of its own, not "
            f"{inputs.start}:{inputs.stop}; make one unit a group"
        )
    whole = tensor.format.decode(tensor.codes).astype(np.int64)[:, inputs]
    if tensor.zero is not None:
        whole = whole - np.asarray(tensor.zero, np.int64)[:, [inputs.start // size]]
    return whole
