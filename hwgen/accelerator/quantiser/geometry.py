"""Where a quantiser puts codes and scales: the layout of a design's weight image, as bytes."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.accelerator.design import Design
from hwgen.errors import HwgenError
from hwgen.formats import IntFormat, MinifloatFormat, get
from hwgen.frame.arithmetic import TileArithmetic
from hwgen.frame.numbers import ceil_div

__all__ = ["Geometry", "geometry"]


@dataclass(frozen=True)
class Geometry:
    """Weight words of a design in bytes, and the arithmetic of its scales.

    A word holds ``k`` codes of ``bits`` bits of each of ``n`` columns and takes ``word_bytes`` in memory. ``sides``:
    scales lie in words of their own, ``n`` of them and ``side_bytes`` a word, as the tile has post lanes; else they
    are an array. ``group``: most elements of K that share a scale, 0 for any number.
    """

    n: int
    k: int
    bits: int
    word_bytes: int
    sides: bool
    side_bytes: int
    group: int
    scale: MinifloatFormat

    @property
    def top(self) -> int:
        """Largest code."""
        return (1 << (self.bits - 1)) - 1

    @property
    def column_bytes(self) -> int:
        """Bytes of a column within a word."""
        return self.k * self.bits // 8

    @property
    def scale_bytes(self) -> int:
        """Bytes of a scale."""
        return self.scale.code_bits // 8


def geometry(design: Design) -> Geometry:
    """What a quantiser needs to know of a design.

    Raises `HwgenError` unless its weights are symmetric integers of 4 or 8 bits with a floating-point scale, whose
    columns are whole bytes.
    """
    tile = design.tile
    kind, form, scale = tile.quantization(), tile.weight_format, get(tile.quantization().weight_scale)
    plain = type(tile).pack_weights is TileArithmetic.pack_weights and int(tile.layer_outputs(tile.p)) == 1
    if not (isinstance(form, IntFormat) and form.twos_complement and kind.scheme == "symmetric" and plain):
        raise HwgenError(
            f"quantiser: the weights of the {tile.family} tile must be symmetric integers that it takes as they are, "
            f"not {form.name} of scheme {kind.scheme}; use the family int with scheme symmetric"
        )
    if form.code_bits not in (4, 8):
        raise HwgenError(f"quantiser: weights must have 4 or 8 bits, not {form.code_bits}")
    if not isinstance(scale, MinifloatFormat) or scale.specials == "none":
        raise HwgenError(f"quantiser: weight_scale must be fp16, bf16, fp32 or fp8_e4m3, not {scale.name}")
    k = design.step_k
    if k * form.code_bits % 8:
        raise HwgenError(
            f"quantiser: k of the tile must be even with weights of 4 bits, so that columns are bytes, not {k}"
        )
    sides = design.streams.get("weight_sides")
    return Geometry(
        n=tile.n,
        k=k,
        bits=form.code_bits,
        word_bytes=design.streams["weights"].padded_bits // 8,
        sides=sides is not None,
        side_bytes=int(ceil_div(sides.beats(1) * sides.bus_bits, 8)) if sides is not None else 0,
        group=tile.group if sides is not None else 0,
        scale=scale,
    )
