from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys

import pytest

from hwgen.errors import HwgenError
from hwgen.formats import (
    BipolarFormat,
    CodebookFormat,
    E8M0Format,
    IntFormat,
    MinifloatFormat,
    PositFormat,
    PowersFormat,
    TernaryFormat,
    block_format,
    block_names,
    get,
    names,
)


def test_every_name_brings_its_format_back() -> None:
    assert len(names()) == len(set(names())) == 32 + 32 + 8 + 33
    for name in names():
        assert get(name).name == name == str(get(name))
        assert get(name) is get(name)


@pytest.mark.parametrize(
    ("name", "kind", "bits"),
    [
        ("int1", IntFormat, 1),
        ("int32", IntFormat, 32),
        ("uint3", IntFormat, 3),
        ("bipolar2", BipolarFormat, 2),
        ("ternary", TernaryFormat, 2),
        ("fp16", MinifloatFormat, 16),
        ("e3m2", MinifloatFormat, 6),
        ("e4m10", MinifloatFormat, 15),
        ("ue4m3fn", MinifloatFormat, 7),
        ("e8m0", E8M0Format, 8),
        ("posit16_1", PositFormat, 16),
        ("posit11_3", PositFormat, 11),
        ("nf4", CodebookFormat, 4),
        ("codebook(-1,0,0.5,1)", CodebookFormat, 2),
        ("powers2_6", PowersFormat, 8),
        ("apot3_8", PowersFormat, 7),
    ],
)
def test_names(name: str, kind: type, bits: int) -> None:
    form = get(name)
    assert isinstance(form, kind)
    assert (form.code_bits, form.elements, form.side_bits) == (bits, 1, 0)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("e2m1", "fp4_e2m1"),
        ("e4m3", "fp8_e4m3"),
        ("e5m2", "fp8_e5m2"),
        ("e5m10", "fp16"),
        ("e8m7", "bf16"),
        ("e8m23", "fp32"),
        ("mxfp4", "fp4_e2m1"),
        ("mxfp8_e5m2", "fp8_e5m2"),
        ("nvfp4", "fp4_e2m1"),
        ("e4m2b7", "e4m2"),
        ("e4m3fnb7", "fp8_e4m3"),
        ("e3m02", "fp6_e3m2"),
    ],
)
def test_aliases_are_the_same_object(alias: str, name: str) -> None:
    assert get(alias) is get(name)


def test_a_plain_minifloat_has_no_special_values_and_a_suffix_gives_them() -> None:
    plain, ieee, fn = get("e3m4"), get("e3m4ieee"), get("e3m4fn")
    assert [form.max_value for form in (plain, ieee, fn)] == [31.0, 15.5, 30.0]
    assert get("e4m3fnb11").max_value == get("fp8_e4m3").max_value / 16


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("fp8_e4m4", "; did you mean 'fp8_e4m3'?"),
        ("int", "; did you mean 'int8'?"),
        ("qqqqq", ""),
        ("int08", "; did you mean 'int8'?"),
        ("", ""),
    ],
)
def test_unknown_names(name: str, hint: str) -> None:
    with pytest.raises(HwgenError) as caught:
        get(name)
    head = "format: name must be intN, uintN, bipolarN, an ExMy minifloat such as e3m2, or one of "
    known = "ternary, fp4_e2m1, fp6_e2m3, fp6_e3m2, fp8_e4m3, fp8_e5m2, fp16, bf16, fp32, e8m0, mxint8, nvint4"
    known += ", bitmod_fp3, bitmod_fp4"
    posits = "posit4_0, posit4_1, posit8_0, posit8_1, posit8_2, posit16_1, posit16_2, hif4, hif4_scale, nf4"
    posits += ", ant4, flint4, pot4, olive4, ternary_3of4, roots4, roots4_widely, trit_planes, any4"
    assert str(caught.value) == f"{head}{known}, {posits}, not {name!r}{hint}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("int33", "int: bits must be 1 to 32, not 33"),
        ("uint40", "uint: bits must be 1 to 32, not 40"),
        ("bipolar9", "bipolar: bits must be 1 to 8, not 9"),
        ("posit17_1", "posit: bits must be 2 to 16, not 17"),
        ("posit8_4", "posit: es must be 0 to 3, not 4"),
        ("e9m3", "e9m3: exponent_bits must be 1 to 8, not 9"),
        ("e4m24", "e4m24: mantissa_bits must be 0 to 23, not 24"),
        ("e4m3b600", "e4m3: bias must be -512 to 512, not 600"),
        ("e1m3ieee", "e1m3: specials must not be 'ieee' with 1 exponent bit or no mantissa bit; try 'fn' or 'none'"),
        ("e1m0fn", "e1m0: specials must not be 'fn' with fewer than 2 bits beside the sign; try 'none'"),
    ],
)
def test_formats_that_cannot_be(name: str, message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        get(name)
    assert str(caught.value) == message


def test_unknown_specials() -> None:
    with pytest.raises(HwgenError) as caught:
        MinifloatFormat(exponent_bits=4, mantissa_bits=3, specials="fnuz")
    assert str(caught.value) == "e4m3: specials must be one of ieee, fn, none, not 'fnuz'"


def test_formats_are_frozen_values() -> None:
    form = MinifloatFormat(exponent_bits=4, mantissa_bits=2)
    assert form == get("e4m2")
    assert hash(form) == hash(get("e4m2"))
    assert form != get("e4m3")
    assert pickle.loads(pickle.dumps(form)) == copy.deepcopy(form) == form
    with pytest.raises(dataclasses.FrozenInstanceError):
        form.exponent_bits = 5  # type: ignore[misc]


def test_block_formats() -> None:
    # OCP Microscaling v1.0, table 1; NVFP4 and HiF4: 4.5 bit per element by their authors.
    found = {}
    for name in block_names():
        form = block_format(name)
        found[name] = (form.element.name, form.scale.name, form.block, form.scheme, form.outer, form.bits_per_element)
        assert form.name == name
        assert get(name) is form.element
    assert found == {
        "mxint8": ("mxint8", "e8m0", 32, "mx", False, 8.25),
        "mxfp8_e4m3": ("fp8_e4m3", "e8m0", 32, "mx", False, 8.25),
        "mxfp8_e5m2": ("fp8_e5m2", "e8m0", 32, "mx", False, 8.25),
        "mxfp6_e2m3": ("fp6_e2m3", "e8m0", 32, "mx", False, 6.25),
        "mxfp6_e3m2": ("fp6_e3m2", "e8m0", 32, "mx", False, 6.25),
        "mxfp4": ("fp4_e2m1", "e8m0", 32, "mx", False, 4.25),
        "nvfp4": ("fp4_e2m1", "fp8_e4m3", 16, "nv", True, 4.5),
        "nvint4": ("nvint4", "fp8_e4m3", 16, "nv", True, 4.5),
        "hif4": ("hif4", "hif4_scale", 64, "hif4", False, 4.5),
    }


def test_block_formats_pair_within_their_family() -> None:
    family = {name: block_format(name).scheme for name in block_names()}
    for a in family:
        for b in family:
            assert block_format(a).pairs_with(block_format(b)) == (family[a] == family[b]), (a, b)


def test_unknown_block_format() -> None:
    with pytest.raises(HwgenError) as caught:
        block_format("mxfp5")
    known = "mxint8, mxfp8_e4m3, mxfp8_e5m2, mxfp6_e2m3, mxfp6_e3m2, mxfp4, nvfp4, nvint4, hif4"
    assert str(caught.value) == f"block format: name must be one of {known}, not 'mxfp5'; did you mean 'mxfp4'?"


def test_formats_import_numpy_and_nothing_heavy() -> None:
    heavy = "('torch', 'amaranth', 'ml_dtypes')"
    code = f"import sys, hwgen.formats, hwgen.quantize; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
