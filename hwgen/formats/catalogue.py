"""Formats by name."""

from __future__ import annotations

import functools
import math
import re

from hwgen.errors import HwgenError, suggest
from hwgen.formats.ant import AntFormat
from hwgen.formats.base import Format
from hwgen.formats.bitmod import BitmodFormat
from hwgen.formats.codebook import CodebookFormat
from hwgen.formats.hif4 import Hif4Format, Hif4ScaleFormat
from hwgen.formats.integers import BipolarFormat, IntFormat, TernaryFormat
from hwgen.formats.minifloat import E8M0Format, MinifloatFormat
from hwgen.formats.olive import OliveFormat
from hwgen.formats.posit import PositFormat
from hwgen.formats.powers import PowersFormat
from hwgen.formats.roots import RootsFormat
from hwgen.formats.sparse import SparseTernaryFormat
from hwgen.formats.table import ANY4, TRIT_PLANES, TableFormat, with_special

__all__ = ["get", "names"]

_NAMED: dict[str, Format] = {
    form.name: form
    for form in (
        TernaryFormat(),
        MinifloatFormat(name="fp4_e2m1", exponent_bits=2, mantissa_bits=1),
        MinifloatFormat(name="fp6_e2m3", exponent_bits=2, mantissa_bits=3),
        MinifloatFormat(name="fp6_e3m2", exponent_bits=3, mantissa_bits=2),
        MinifloatFormat(name="fp8_e4m3", exponent_bits=4, mantissa_bits=3, specials="fn"),
        MinifloatFormat(name="fp8_e5m2", exponent_bits=5, mantissa_bits=2, specials="ieee"),
        MinifloatFormat(name="fp16", exponent_bits=5, mantissa_bits=10, specials="ieee"),
        MinifloatFormat(name="bf16", exponent_bits=8, mantissa_bits=7, specials="ieee"),
        MinifloatFormat(name="fp32", exponent_bits=8, mantissa_bits=23, specials="ieee"),
        E8M0Format(),
        IntFormat(name="mxint8", code_bits=8, fraction_bits=6),
        IntFormat(name="nvint4", code_bits=4, symmetric=True),
        BitmodFormat(code_bits=3),
        BitmodFormat(code_bits=4),
        *(
            PositFormat(code_bits=bits, es=es)
            for bits, es in ((4, 0), (4, 1), (8, 0), (8, 1), (8, 2), (16, 1), (16, 2))
        ),
        Hif4Format(),
        Hif4ScaleFormat(),
        CodebookFormat(),
        AntFormat(),
        AntFormat(kind="flint"),
        AntFormat(kind="pot"),
        OliveFormat(),
        SparseTernaryFormat(),
        RootsFormat(),
        RootsFormat(widely=True),
        TRIT_PLANES,
        ANY4,
    )
}

# A plain ExMy that a standard defines means the standard's format, special values included.
_ALIASES = {
    "e2m1": "fp4_e2m1",
    "e2m3": "fp6_e2m3",
    "e3m2": "fp6_e3m2",
    "e4m3": "fp8_e4m3",
    "e5m2": "fp8_e5m2",
    "e4m3fn": "fp8_e4m3",
    "e5m2ieee": "fp8_e5m2",
    "e5m10": "fp16",
    "e5m10ieee": "fp16",
    "e8m7": "bf16",
    "e8m7ieee": "bf16",
    "e8m23": "fp32",
    "e8m23ieee": "fp32",
    "mxfp4": "fp4_e2m1",
    "mxfp6_e2m3": "fp6_e2m3",
    "mxfp6_e3m2": "fp6_e3m2",
    "mxfp8_e4m3": "fp8_e4m3",
    "mxfp8_e5m2": "fp8_e5m2",
    "nvfp4": "fp4_e2m1",
    "sherry": "ternary_3of4",
    "razer_fp4": "special(fp4_e2m1,-5,5,-8,8)",
}

_POSIT = re.compile(r"posit([1-9]\d?)_(\d)")
_PATTERN = re.compile(r"(?:(u?int|bipolar)([1-9]\d?)|(u?)e([1-9])m(\d{1,2})(ieee|fn|)(?:b(-?\d{1,3}))?)")


_BITMOD = re.compile(r"bitmod_fp([34])\(([^()]*)\)")
"""A BitMoD format with a table of special values of its own."""

_CODEBOOK = re.compile(r"codebook\(([-+\d.,e]*)\)")
_POWERS = re.compile(r"(powers|apot)(\d)_(\d{1,2})")
_TABLE = re.compile(r"table\(([-+\d.,e;]*)\)")
_SPECIAL = re.compile(r"special\((\w+),([^()]*)\)")
"""A format with special values in place of a code that repeats a value."""


def names() -> tuple[str, ...]:
    """Names of the formats in the catalogue; `get` also knows ExMy, positN_ES, powersT_S and apotT_S by pattern."""
    integers = [f"{kind}{bits}" for kind in ("int", "uint") for bits in range(1, 33)]
    return (*integers, *(f"bipolar{bits}" for bits in range(1, 9)), *_NAMED)


def _numbers(text: str, what: str) -> tuple[float, ...]:
    """Numbers separated by commas; ``what`` they are. Raises `HwgenError` for other words."""
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError as error:
        raise HwgenError(f"format: {what} must be numbers separated by commas, not {text!r}") from error
    if not all(map(math.isfinite, numbers)):
        raise HwgenError(f"format: {what} must be finite numbers, not {text!r}")
    return numbers


@functools.cache
def get(name: str) -> Format:
    """Format by name; the same object for the same format.

    intN and uintN (N 1 to 32), bipolarN (1 to 8), ternary, fp4_e2m1, fp6_e2m3, fp6_e3m2, fp8_e4m3, fp8_e5m2, fp16,
    bf16, fp32, e8m0, hif4_scale, the names of block formats for their elements (mxint8, mxfp4, nvfp4, hif4 and so on),
    bitmod_fp3 and bitmod_fp4 (with another table of special values: ``bitmod_fp4(-5,5,-10,0)``), positN_ES (N 2 to 16,
    ES 0 to 3), ant4, flint4, pot4, olive4, ternary_3of4, roots4, roots4_widely, trit_planes, any4, nf4
    and other codebooks (``codebook(-1,0,0.5,1)``), powersT_S and apotT_S (T terms up to 2**S), tables of values by
    code (``table(0,1,3,-1)``), a format with special values for a code that it can spare (``special(fp4_e2m1,-5,5)``),
    and minifloats ``[u]eXmY[ieee|fn][bBIAS]``: ``u`` drops the sign bit, no suffix means no inf and no NaN unless a
    standard defines the plain name (e4m3 is fp8_e4m3).

    Raises `HwgenError` for a name that is none of these.
    """
    canonical = _ALIASES.get(name, name)
    if canonical in _NAMED:
        return _NAMED[canonical]
    if canonical != name:
        return get(canonical)
    table = _BITMOD.fullmatch(name)
    if table is not None:
        special = BitmodFormat(code_bits=int(table[1]), specials=_numbers(table[2], "special values"))
        return special if special.name == name else get(special.name)
    levels = _CODEBOOK.fullmatch(name)
    if levels is not None:
        codebook = CodebookFormat(levels=_numbers(levels[1], "levels of a codebook"))
        return codebook if codebook.name == name else get(codebook.name)
    tables = _TABLE.fullmatch(name)
    if tables is not None:
        given = tuple(_numbers(table, "values of a table") for table in tables[1].split(";"))
        found_table = TableFormat(tables=given)
        return found_table if found_table.name == name else get(found_table.name)
    replaced = _SPECIAL.fullmatch(name)
    if replaced is not None:
        found_table = with_special(get(replaced[1]), _numbers(replaced[2], "special values"))
        return found_table if found_table.name == name else get(found_table.name)
    posit = _POSIT.fullmatch(name)
    if posit is not None:
        return PositFormat(code_bits=int(posit[1]), es=int(posit[2]))
    powers = _POWERS.fullmatch(name)
    if powers is not None:
        return PowersFormat(terms=int(powers[2]), shifts=int(powers[3]), one_sign=powers[1] == "apot")
    found = _PATTERN.fullmatch(name)
    if found is None:
        # A few widths stand for all: "int" is nearer to int8 than to int31 for everyone.
        known = [*_NAMED, *_ALIASES, *(f"{kind}{bits}" for kind in ("int", "uint", "bipolar") for bits in (2, 4, 8))]
        raise HwgenError(
            "format: name must be intN, uintN, bipolarN, an ExMy minifloat such as e3m2, or one of "
            f"{', '.join(_NAMED)}, not {name!r}{suggest(name, known)}"
        )
    kind, bits, unsigned, exponent, mantissa, specials, bias = found.groups()
    if kind == "bipolar":
        return BipolarFormat(code_bits=int(bits))
    if kind:
        return IntFormat(code_bits=int(bits), twos_complement=kind == "int")
    form = MinifloatFormat(
        exponent_bits=int(exponent),
        mantissa_bits=int(mantissa),
        bias=None if bias is None else int(bias),
        specials=specials or "none",
        sign_bit=not unsigned,
    )
    # A bias or leading zero that need not be said is dropped: e4m2b7 is e4m2.
    return form if form.name == name else get(form.name)
