"""Integer quantisers: symmetric, asymmetric, bipolar, ternary, and with a float minimum."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError, suggest
from hwgen.formats import BipolarFormat, Format, IntFormat, QTensor, get
from hwgen.formats.base import check_range, whole
from hwgen.quantize._groups import Groups, divide, quotient, scale_codes, scale_format_of, single, to_words
from hwgen.quantize._mean import ternary

__all__ = ["float_minimum", "integer"]

_SCHEMES = ("symmetric", "asymmetric", "bipolar", "ternary")


def integer(
    x: npt.ArrayLike,
    bits: int,
    group_size: int = 0,
    scheme: str = "symmetric",
    scale_format: Format | str = "fp16",
    *,
    per_tensor: bool = False,
) -> QTensor:
    """Quantise a float matrix [N, K] to integers of ``bits`` bits (1 to 16; bipolar: 1 to 8; ternary: 2).

    The scale s is rounded to ``scale_format`` first, and the codes are computed with the rounded scale; rn is round to
    nearest, ties to even. All-zero groups get s = 0 (or the format's smallest scale) and codes of zero.

    - symmetric: s = amax / qmax, q = rn(x / s) within ±qmax, qmax = 2**(bits - 1) - 1. One bit has the values 0 and -1:
      s = max(-x), and positive x become 0.
    - asymmetric: s = (hi - lo) / (2**bits - 1) with lo = min(x, 0), hi = max(x, 0); z = rn(-lo / s), q = rn(x / s) + z;
      both stay within 0 .. 2**bits - 1.
    - bipolar: s = amax / (2**bits - 1), q' the odd integer nearest to x / s within ±(2**bits - 1). One bit is
      sign(x) with s = mean|x|, the scale of least square error (XNOR-Net, ECCV'16, equation 6; BitNet, arXiv
      2310.11453, equations 1 to 3, without its shift by mean(x)); the sign of 0 is -1, as BitNet has it.
    - ternary: -1, 0 and 1 with s = mean|x| (BitNet b1.58), see `hwgen.quantize.ternary`.

    ``group_size`` 0 is one scale per row, ``per_tensor`` one in all. The quotients are float64: for x that are float32
    their rounding is that of the exact quotients. With scales in FP32 all arithmetic is FP32: asymmetric is then GPTQ's
    code for code (its order: zero point from min(x, 0), rounded apart), symmetric that of INT8 activations per token.
    AWQ's is the same in the weights' own FP16, which is not followed. Raises `HwgenError`.
    """
    if scheme not in _SCHEMES:
        raise HwgenError(
            f"integer: scheme must be one of {', '.join(_SCHEMES)}, not {scheme!r}{suggest(scheme, _SCHEMES)}"
        )
    if scheme == "ternary":
        if whole(bits) != 2:
            raise HwgenError(f"integer: bits must be 2 with scheme ternary, not {bits!r}")
        return ternary(x, group_size, scale_format, per_tensor=per_tensor)
    bits = check_range("integer", "bits", bits, 1, 8 if scheme == "bipolar" else 16)
    scales = scale_format_of("integer", scale_format)
    groups = Groups.cut("integer", x, group_size, per_tensor)
    if scheme == "symmetric":
        return _symmetric(groups, bits, scales)
    return _asymmetric(groups, bits, scales) if scheme == "asymmetric" else _bipolar(groups, bits, scales)


def _symmetric(groups: Groups, bits: int, scale_format: Format) -> QTensor:
    top = max((1 << (bits - 1)) - 1, 1)
    amax = groups.reduce(np.maximum, np.maximum(-groups.x, 0.0)) if bits == 1 else groups.amax
    codes = scale_codes(scale_format, amax / top)
    ratio = quotient(groups.x, groups.spread(scale_format.decode(codes)), scale_format)
    ints = np.clip(np.rint(ratio), -top, 0 if bits == 1 else top)
    return QTensor(
        codes=to_words(ints, bits),
        format=IntFormat(code_bits=bits),
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=codes,
        scale_format=scale_format,
    )


def _asymmetric(groups: Groups, bits: int, scale_format: Format) -> QTensor:
    top = (1 << bits) - 1
    low = groups.reduce(np.minimum, np.minimum(groups.x, 0.0))
    high = groups.reduce(np.maximum, np.maximum(groups.x, 0.0))
    with np.errstate(over="ignore"):
        # The difference in FP32 too where the original rounds it.
        width = (single(high) - single(low)).astype(np.float64) if scale_format == get("fp32") else high - low
        codes = scale_codes(scale_format, width / top)
    scales = scale_format.decode(codes)
    zero = np.clip(np.rint(quotient(-low, scales, scale_format)), 0, top)
    ints = np.rint(quotient(groups.x, groups.spread(scales), scale_format)) + groups.spread(zero)
    ints = np.clip(ints, 0, top)
    return QTensor(
        codes=to_words(ints, bits),
        format=IntFormat(code_bits=bits, twos_complement=False),
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=codes,
        scale_format=scale_format,
        zero=zero.astype(np.int32),
        zero_kind="integer",
    )


def _bipolar(groups: Groups, bits: int, scale_format: Format) -> QTensor:
    form = BipolarFormat(code_bits=bits)
    # A single plane has one magnitude: the largest would be far above most of the values that it stands for.
    codes = scale_codes(scale_format, groups.mean if bits == 1 else groups.amax / form.max_value)
    scales = groups.spread(scale_format.decode(codes))
    ratio = groups.x if bits == 1 else quotient(groups.x, scales, scale_format)
    return QTensor(
        codes=form.encode(ratio),
        format=form,
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=codes,
        scale_format=scale_format,
    )


def float_minimum(
    x: npt.ArrayLike, bits: int, group_size: int = 0, scale_format: Format | str = "fp16", *, per_tensor: bool = False
) -> QTensor:
    """Quantise a float matrix [N, K] to unsigned integers with a scale and a float minimum: x ≈ s·q + m.

    m = min(x) and s = (max(x) - m) / (2**bits - 1), both rounded to ``scale_format`` (a signed one), m first; then
    q = rn((x - m) / s) within 0 .. 2**bits - 1, ``bits`` 1 to 16. GGUF's Q4_1 is 4 bits, groups of 32 and fp16; its
    dequantised blocks that use the codes 0 and 15 are quantised to themselves. Raises `HwgenError`.
    """
    bits = check_range("float_minimum", "bits", bits, 1, 16)
    form = scale_format_of("float_minimum", scale_format, negative=True)
    groups = Groups.cut("float_minimum", x, group_size, per_tensor)
    top = (1 << bits) - 1
    minimum = form.decode(form.encode(groups.reduce(np.minimum, groups.x)))
    high = groups.reduce(np.maximum, groups.x)
    with np.errstate(over="ignore"):
        codes = scale_codes(form, np.maximum(high - minimum, 0.0) / top)
        offset = groups.x - groups.spread(minimum)
    ints = np.clip(np.rint(divide(offset, groups.spread(form.decode(codes)))), 0, top)
    return QTensor(
        codes=to_words(ints, bits),
        format=IntFormat(code_bits=bits, twos_complement=False),
        group_size=groups.size,
        granularity=groups.by,
        scale_codes=codes,
        scale_format=form,
        zero=minimum,
        zero_kind="minimum",
    )
