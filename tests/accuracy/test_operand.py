"""Names of stored numbers: what they say and refuse, and that what is left of numbers is what codes stand for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from hwgen.quantize import bitmod, integer, nv, scaled_blocks
from sim.accuracy.operand import ROW, operand_format

NAMES = [
    *("int4", "int4.asymmetric/64", "int4.minimum/32", "int8/row", "int4.two_level_asymmetric", "uint4.asymmetric"),
    *("mxfp4", "mxfp4.ceil", "mxint8", "nvfp4", "nvint4", "hif4", "bitmod_fp3", "bitmod_fp4/64", "nf4/64@bf16"),
    *("powers2_6/128", "apot2_5/64@bf16"),
    *("sherry/64", "any4/64", "roots4/64", "roots4_widely/row", "trit_planes", "special(fp4_e2m1,-5,5)"),
    *("ternary", "bipolar1", "fp4_e2m1", "fp8_e4m3/row", "fp16", "bf16", "posit8_1", "posit4_1@fp16", "e3m0"),
    *("block24:fp4_e2m1:ue5m3:nearest", "block20:int4:e8m0:ceil", "block16:e3m2:fp8_e4m3:nearest:tensor"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_comes_back(name: str) -> None:
    form = operand_format(name)
    assert operand_format(form.name) == form


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_those_of_the_codes_whatever_the_pieces(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(5, 2, 192, generator=torch.Generator().manual_seed(1))
    form = operand_format(name)
    kept = form.nearest(x)
    want = form.quantise(x.reshape(10, 192).numpy()).dequantize().astype(np.float32)
    assert np.array_equal(kept.reshape(10, 192).numpy(), want)
    monkeypatch.setattr("sim.accuracy.operand._PIECE", 300)
    assert torch.equal(form.nearest(x), kept)


def test_a_file_says_all_and_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    for k in (2, 3):
        file.write_text(f"values = [-1, 0, 1, {k}]\ngroup = 32\nscale = 'bf16'")
        assert operand_format(str(file)).name == f"codebook(-1,0,1,{k})/32@bf16"
        assert operand_format(str(file), ROW) == operand_format(f"codebook(-1,0,1,{k})/32@bf16")
    file.write_text("element = 'e2m1'\nblock = 24\nscale = 'ue5m3'\nrule = 'ceil'")
    x = np.random.default_rng(2).normal(size=(3, 96))
    assert operand_format(str(file)).quantise(x) == scaled_blocks(x, "e2m1", 24, "ue5m3", "ceil")
    with pytest.raises(HwgenError, match=r"must be block24:fp4_e2m1:ue5m3:ceil alone, which says scheme, group and sc"):
        operand_format("block24:e2m1:ue5m3:ceil/32")


def test_defaults_follow_the_format() -> None:
    assert operand_format("int4").name == "int4/128"
    assert operand_format("int4", ROW).name == "int4/row"
    assert (operand_format("nvfp4").group, operand_format("mxfp4").group, operand_format("hif4").group) == (16, 32, 64)
    x = np.random.default_rng(1).normal(size=(3, 256))
    assert operand_format("int4.asymmetric/64").quantise(x) == integer(x, 4, 64, "asymmetric", "fp16")
    assert operand_format("bitmod_fp3").quantise(x) == bitmod(x, "bitmod_fp3", 128)
    assert operand_format("nvfp4").quantise(x) == nv(x)


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("int4/128", 4 + 16 / 128),
        ("int4.asymmetric/64", 4 + (16 + 4) / 64),
        ("int4.minimum/32", 4 + 32 / 32),
        ("int8/row", 8 + 16 / 256),
        ("mxfp4", 4.25),
        ("nvfp4", 4.5),
        ("hif4", 4.5),
        ("bitmod_fp4/128", 4 + (8 + 2) / 128 + 32 / 256),
        ("fp16", 16),
        ("block24:fp4_e2m1:ue5m3:nearest", 4 + 8 * 11 / 256),
        ("block16:int4:ue4m0:nearest:tensor", 4.25),
        ("ternary/64", 2 + 16 / 64),
        ("posit8_1/32", 8 + 8 / 32),
    ],
)
def test_bits_of_an_element_are_counted_with_what_stands_beside(name: str, bits: float) -> None:
    assert operand_format(name).bits(256) == bits


def test_ragged_groups_take_whole_scales() -> None:
    assert operand_format("int4/128").bits(576) == 4 + 5 * 16 / 576


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("int4.asymetric", "did you mean 'asymmetric'?"),
        ("mxfp4/16", "group must be 32, the format's own block, not 16"),
        ("int4/0", "group must be row or a whole number from 1, not '0'"),
        ("int4/", "must be FORMAT[.SCHEME][/GROUP][@SCALE], not 'int4/'"),
        ("int44", "int: bits must be 1 to 32, not 44"),
        ("e8m0", "is a format of scales, not of numbers"),
        ("int4@e9m9x", "name must be intN"),
        ("", "must be FORMAT"),
    ],
)
def test_names_that_are_none(name: str, sentence: str) -> None:
    with pytest.raises(HwgenError) as caught:
        operand_format(name)
    assert sentence in str(caught.value)
