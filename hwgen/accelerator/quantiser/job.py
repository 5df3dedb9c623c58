"""What a job of the quantiser is, and how large what it writes to becomes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from hwgen.accelerator.design import Design
from hwgen.accelerator.quantiser.geometry import geometry
from hwgen.accelerator.registers.description import Coded
from hwgen.errors import HwgenError
from hwgen.frame.numbers import ceil_div

__all__ = ["ADDRESSES", "COUNTS", "Kind", "QuantiserJob", "block_bytes", "cache_bytes", "cache_job"]

ADDRESSES = ("source", "codes", "scales")
COUNTS = ("rows", "elements", "first_token")
STRIDES = ("source_stride", "codes_stride")


class Kind(Coded):
    """Which weights the rows become."""

    K = 0, "Keys, weights of scores [tokens, elements]: a token is a column."
    V = 1, "Values, weights of their mixture [elements, tokens]: a token is an element along K of every column."


@dataclass(frozen=True)
class QuantiserJob:
    """Rows of FP32 to be quantised, one token each, as the registers hold it.

    Row r lies at ``source + r * source_stride`` and is token ``first_token + r``. ``codes`` is the image of the whole
    cache (token 0 in its first word), whose blocks of columns lie ``codes_stride`` bytes apart. ``scales`` is the image
    of the side information, or an array with a scale for each token (`Geometry.sides`, and always for `Kind.V`).
    """

    kind: int
    rows: int
    elements: int
    first_token: int = 0
    source: int = 0
    codes: int = 0
    scales: int = 0
    source_stride: int = 0
    codes_stride: int = 0

    def row_beats(self, design: Design) -> int:
        """Bus beats of a row."""
        return int(ceil_div(4 * self.elements, design.bus_bytes))


def block_bytes(design: Design, kind: int, elements: int, tokens: int) -> int:
    """Bytes from a block of columns to the next in the image of a cache of ``tokens`` tokens: ``codes_stride``."""
    inner = tokens if kind == Kind.V else elements
    return int(design.streams["weights"].beats(ceil_div(inner, design.step_k))) * design.bus_bytes


def cache_bytes(design: Design, kind: int, elements: int, tokens: int) -> dict[str, int]:
    """Bytes of the image of a cache of ``tokens`` tokens, ``codes``, and of its ``scales``; whole bus beats."""
    form = geometry(design)
    columns = elements if kind == Kind.V else tokens
    if form.sides and kind == Kind.K:
        scales = int(ceil_div(tokens, form.n)) * form.side_bytes
    else:
        scales = int(ceil_div(tokens * form.scale_bytes, design.bus_bytes)) * design.bus_bytes
    codes = int(ceil_div(columns, form.n)) * block_bytes(design, kind, elements, tokens)
    return {"codes": codes, "scales": scales}


def cache_job(design: Design, kind: int, rows: int, elements: int, first_token: int, tokens: int) -> QuantiserJob:
    """A job that writes ``rows`` tokens from ``first_token`` on into a cache of ``tokens`` tokens; addresses are 0.

    Raises `HwgenError` for a job that the design refuses, or tokens beyond the cache.
    """
    form = geometry(design)
    for name, value, low in (("rows", rows, 1), ("elements", elements, 1), ("first_token", first_token, 0)):
        if not low <= value < 1 << design.count_bits:
            raise HwgenError(
                f"quantiser: {name} must be from {low} to {(1 << design.count_bits) - 1}, which count_bits "
                f"({design.count_bits}) hold, not {value}"
            )
    if first_token + rows > tokens:
        raise HwgenError(
            f"quantiser: the cache must have room for {first_token + rows} tokens, not {tokens}; quantise fewer rows"
        )
    if kind == Kind.K and form.group and elements > form.group:
        raise HwgenError(
            f"quantiser: elements must fit the tile's group of {form.group}, which has one scale, not {elements}; "
            "use a group of 0"
        )
    job = QuantiserJob(kind, rows, elements, first_token)
    return dataclasses.replace(
        job,
        source_stride=job.row_beats(design) * design.bus_bytes,
        codes_stride=block_bytes(design, kind, elements, tokens),
    )
