"""A quantised layer by exact rational arithmetic, one scalar at a time; shares no code with the golden layer."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from hwgen.formats import Format, QTensor
from hwgen.formats.base import Scalar
from rtl_tests.arith.oracle import INFINITY, fp32_nearest, fp32_value

NAN = 0x7FC00000


@dataclass(frozen=True)
class Formats:
    """How a layer is quantised, by attribute names alone."""

    acts: str = "int8"
    weights: str = "int4"
    scheme: str = "symmetric"
    group: int = 16
    act_scale: str = "bf16"
    weight_scale: str = "fp16"
    align: str | None = None
    align_guard: int = 0
    align_rounding: str = "rne"
    step: int = 4
    block_rule: str = "floor"
    overflow: str = "refuse"
    sum_bits: int = 0


def weight_name(scheme: str, bits: int) -> str:
    return {"symmetric": "int", "bipolar": "bipolar"}.get(scheme, "uint") + str(bits)


def _finite(value: Scalar) -> bool:
    return isinstance(value, Fraction) or math.isfinite(value)


def product(total: Fraction, *scales: Scalar) -> int:
    """FP32 code of the exact product, rounded once."""
    if all(_finite(scale) for scale in scales):
        exact = math.prod([Fraction(scale) for scale in scales], start=total)
        return fp32_nearest(exact) if exact else 0
    value = math.prod([float(scale) for scale in scales], start=float(math.copysign(total != 0, total)))
    return NAN if math.isnan(value) else INFINITY | (1 << 31 if value < 0 else 0)


def add(a: int, b: int) -> int:
    """FP32 code of the sum; -0 does not occur, because sums start at +0."""
    if max(a & 0x7FFFFFFF, b & 0x7FFFFFFF) < INFINITY:
        exact = fp32_value(a) + fp32_value(b)
        return fp32_nearest(exact) if exact else 0
    x, y = (struct.unpack("<f", struct.pack("<I", code))[0] for code in (a, b))
    total = x + y
    return NAN if math.isnan(total) else INFINITY | (1 << 31 if total < 0 else 0)


def aligned(codes: list[int], guard: int, rounding: str) -> list[Fraction]:
    """Values of fp16 codes that share an exponent, after alignment; from the fields of the codes."""
    fields = []
    for code in codes:
        sign, exponent, mantissa = code >> 15, code >> 10 & 31, code & 1023
        if exponent == 31:
            exponent, mantissa = 30, 1023
        fields.append((sign, max(exponent, 1), mantissa + (1024 if exponent else 0)))
    unit = Fraction(2) ** (max(field[1] for field in fields) - 25 - guard)
    values = []
    for sign, exponent, significand in fields:
        quotient = significand * Fraction(2) ** (exponent - 25) / unit
        integer = round(quotient) if rounding == "rne" else math.floor(quotient)
        values.append(-integer * unit if sign else integer * unit)
    return values


def elements(form: Format, words: list[int]) -> list[Fraction]:
    """Values of code words, from the fields of the words where they hold several elements."""
    if form.name != "hif4":
        return [Fraction(form.decode_scalar(word)) for word in words]
    values = []
    for word in words:
        for place in range(0, 16, 4):
            magnitude = Fraction(word >> place & 7, 4) * 2 ** (word >> 16 & 3).bit_count()
            values.append(-magnitude if word >> place & 8 else magnitude)
    return values


def outer_scale(tensor: QTensor, row: int) -> np.float32:
    return np.float32(1) if tensor.outer is None else np.float32(tensor.outer[row % len(tensor.outer), 0])


def activations(acts: QTensor, q: Formats) -> list[list[Fraction]]:
    """Activations [T][K] without their scales, aligned where the layer aligns."""
    rows = []
    for codes in acts.codes.tolist():
        if q.align is None:
            rows.append(elements(acts.format, codes))
            continue
        k = len(codes)
        group = q.group or k
        row: list[Fraction] = []
        while len(row) < k:
            begin = len(row)
            group_end = min(begin - begin % group + group, k)
            end = {"row": k, "group": group_end, "step": min(begin + q.step, group_end)}[q.align]
            row += aligned(codes[begin:end], q.align_guard, q.align_rounding)
        rows.append(row)
    return rows


def layer(weights: QTensor, acts: QTensor, q: Formats) -> np.ndarray:
    """FP32 codes of the layer's outputs, uint32 [T, N]."""
    values = activations(acts, q)
    filters = [elements(weights.format, codes) for codes in weights.codes.tolist()]
    result = np.zeros((acts.shape[0], weights.shape[0]), np.uint32)
    for t, n in np.ndindex(*result.shape):
        code = 0
        for g, part in enumerate(weights.group_slices):
            a = values[t][part]
            w = filters[n][part]
            side = None if weights.zero is None else weights.zero[n, g]
            offset = int(side) if side is not None and weights.zero_kind == "integer" else 0
            total = sum((x * (y - offset) for x, y in zip(a, w, strict=True)), Fraction(0))
            row = acts.scale_format.decode_scalar(int(acts.scale_codes[t, g if acts.groups > 1 else 0]))
            column = weights.scale_format.decode_scalar(int(weights.scale_codes[n, g]))
            code = add(code, product(total, row, column))
            if side is not None and weights.zero_kind == "minimum":
                code = add(code, product(sum(a, Fraction(0)), row, float(side)))
        if acts.outer is not None or weights.outer is not None:
            # Two products of float32 numbers, each rounded once by the processor.
            scaled = np.uint32(code).view(np.float32) * (outer_scale(acts, t) * outer_scale(weights, n))
            code = int(scaled.view(np.uint32))
        result[t, n] = code
    return result
