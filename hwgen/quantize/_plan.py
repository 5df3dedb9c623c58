"""Quantisation of a layer's two operands from format names."""

from __future__ import annotations

from typing import Protocol

import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats import (
    AntFormat,
    BipolarFormat,
    BitmodFormat,
    CodebookFormat,
    Format,
    IntFormat,
    MinifloatFormat,
    OliveFormat,
    PositFormat,
    QTensor,
    SparseTernaryFormat,
    TableFormat,
    TernaryFormat,
    get,
)
from hwgen.quantize._ant import ant
from hwgen.quantize._bitmod import bitmod, per_token
from hwgen.quantize._block import hif4, mx, nv, scaled_blocks
from hwgen.quantize._codebook import any4, codebook
from hwgen.quantize._float import cast, minifloat
from hwgen.quantize._groups import as_format
from hwgen.quantize._integer import float_minimum, integer
from hwgen.quantize._mean import sparse_ternary, ternary, trit_planes
from hwgen.quantize._olive import olive
from hwgen.quantize._posit import posit
from hwgen.quantize._powers import powers
from hwgen.quantize._roots import fourth_roots
from hwgen.quantize._two_level import two_level

__all__ = ["OF_FORMATS", "LayerFormats", "acts_for", "per_row", "signed_scheme", "weights_for"]

OF_FORMATS = (
    "element",
    "posit",
    "codebook",
    "powers",
    "ant",
    "olive",
    "fourth_roots",
    "sparse_ternary",
    "trit_planes",
    "any4",
)
"""Schemes that the name of the weights' format says."""


class LayerFormats(Protocol):
    """What the quantisers need to know of a layer: format names, weight scheme and group size (0 is the whole row)."""

    @property
    def acts(self) -> str: ...
    @property
    def weights(self) -> str: ...
    @property
    def scheme(self) -> str: ...
    @property
    def group(self) -> int: ...
    @property
    def act_scale(self) -> str: ...
    @property
    def weight_scale(self) -> str: ...
    @property
    def align(self) -> str | None: ...
    @property
    def block_rule(self) -> str: ...


def per_row(x: npt.ArrayLike, format: Format | str, scale_format: Format | str = "bf16") -> QTensor:
    """Quantise activations [tokens, K] with one scale per token: symmetric or odd integers, a scaled minifloat, a
    posit, ANT's types or OliVe's pairs.

    Raises `HwgenError`.
    """
    form = as_format(format)
    if isinstance(form, IntFormat) and form.twos_complement and not form.fraction_bits:
        return integer(x, form.code_bits, 0, "symmetric", scale_format)
    if isinstance(form, BipolarFormat):
        return integer(x, form.code_bits, 0, "bipolar", scale_format)
    if isinstance(form, MinifloatFormat):
        return minifloat(x, form, 0, scale_format)
    if isinstance(form, PositFormat):
        return posit(x, form, 0, scale_format)
    if isinstance(form, AntFormat):
        return ant(x, form, 0, scale_format)
    if isinstance(form, OliveFormat):
        return olive(x, form, 0, scale_format)
    raise HwgenError(f"per_row: format must be intN, bipolarN, a minifloat, a posit, ant4 or olive4, not {form.name}")


def weights_for(formats: LayerFormats, weights: npt.ArrayLike) -> QTensor:
    """Quantise weights [N, K] for a layer.

    ``scheme`` symmetric, asymmetric or bipolar: `integer` of the weight format's width; ternary: `ternary` in the
    weight format; minimum: `float_minimum`; mx, nv, block and hif4: the block quantisers, `mx` and `scaled_blocks`
    with ``block_rule``; element, posit, bitmod, codebook, powers, ant, olive and fourth_roots: the function of that
    name in the weight format; sparse_ternary, trit_planes and any4: the quantisers of those names; two_level_asymmetric
    and two_level_symmetric: `two_level` of its width, with ``weight_scale`` for channels.
    Raises `HwgenError` for another scheme.
    """
    form, group, scale = get(formats.weights), formats.group, formats.weight_scale
    match formats.scheme:
        case "symmetric" | "asymmetric" | "bipolar":
            return integer(weights, form.code_bits, group, formats.scheme, scale)
        case "ternary":
            return ternary(weights, group, scale, format=form)
        case "minimum":
            return float_minimum(weights, form.code_bits, group, scale)
        case "mx":
            return mx(weights, form, group, formats.block_rule)
        case "nv":
            return nv(weights, form, group, scale_format=scale)
        case "block":
            return scaled_blocks(weights, form, group, scale, formats.block_rule)
        case "hif4":
            return hif4(weights, group)
        case "element":
            return cast(weights, form, scale, group) if _wide(form) else minifloat(weights, form, group, scale)
        case "posit":
            return posit(weights, form, group, scale)
        case "bitmod":
            return bitmod(weights, form, group, scale)
        case "codebook":
            return codebook(weights, form, group, scale)
        case "powers":
            return powers(weights, form, group, scale)
        case "ant":
            return ant(weights, form, group, scale)
        case "olive":
            return olive(weights, form, group, scale)
        case "fourth_roots":
            return fourth_roots(weights, form, group, scale)
        case "sparse_ternary":
            return sparse_ternary(weights, group, scale)
        case "trit_planes":
            return trit_planes(weights, group, scale)
        case "any4":
            return any4(weights, group, scale)
        case "two_level_asymmetric" | "two_level_symmetric":
            return two_level(weights, form.code_bits, group, formats.scheme.removeprefix("two_level_"), scale)
    raise HwgenError(
        "weights: scheme must be symmetric, asymmetric, bipolar, ternary, minimum, mx, nv, block, hif4, element, "
        "posit, bitmod, codebook, powers, ant, olive, fourth_roots, sparse_ternary, trit_planes, any4, "
        f"two_level_asymmetric or two_level_symmetric, not {formats.scheme!r}"
    )


def signed_scheme(form: Format) -> str | None:
    """The ``scheme`` of `weights_for` by which a format's values are had without zero points; None where none is."""
    if isinstance(form, IntFormat):
        plain = form.twos_complement and not form.fraction_bits and not form.symmetric
        return "symmetric" if plain else None
    schemes: tuple[tuple[type[Format], str], ...] = (
        (BipolarFormat, "bipolar"),
        (TernaryFormat, "ternary"),
        (MinifloatFormat, "element"),
        (PositFormat, "posit"),
        (BitmodFormat, "bitmod"),
        (CodebookFormat, "codebook"),
        (TableFormat, "codebook"),
        (SparseTernaryFormat, "sparse_ternary"),
    )
    if form.name in ("trit_planes", "any4"):
        return form.name
    return next((scheme for kind, scheme in schemes if isinstance(form, kind)), None)


def _wide(form: Format) -> bool:
    """Whether values are rounded to the format as they are, with a scale of 1."""
    return isinstance(form, MinifloatFormat) and form.code_bits >= 16


def acts_for(formats: LayerFormats, acts: npt.ArrayLike) -> QTensor:
    """Quantise activations [tokens, K] for a layer, as they enter the tile or the block before it.

    With ``scheme`` mx, nv, block and hif4 both sides have blocks. Floating-point activations that are aligned later, or
    have 16 bits or more, are rounded as they are with a scale of 1; all others get one scale per token, which with
    ``scheme`` bitmod is the second-level one. Raises `HwgenError`.
    """
    form = get(formats.acts)
    if formats.scheme == "mx":
        return mx(acts, form, formats.group, formats.block_rule)
    if formats.scheme == "nv":
        return nv(acts, form, formats.group, scale_format=formats.act_scale)
    if formats.scheme == "block":
        return scaled_blocks(acts, form, formats.group, formats.act_scale, formats.block_rule)
    if formats.scheme == "hif4":
        return hif4(acts, formats.group)
    if _wide(form) or formats.align is not None:
        return cast(acts, form, formats.act_scale)
    if formats.scheme == "bitmod":
        return per_token(acts, form, formats.act_scale)
    return per_row(acts, form, formats.act_scale)
