"""Shared exponents and elements of MX blocks: all codes of 16 bits, and FP32 by chance and corners, against tables."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, Value

from hwgen.arith.mx import MxElement, mx_element, mx_scale, mx_scaled
from hwgen.errors import HwgenError
from hwgen.formats import block_format, get
from hwgen.quantize import mx
from rtl_tests.arith.comb import Block, Runner, compile_blocks, simulate
from tests.accelerator.block_oracle import ELEMENTS, SOURCES, block_codes, finite_words, scale_code, values_of

pytestmark = pytest.mark.rtl

RULES = ("floor", "ceil")
OTHERS = [source for source in SOURCES if source != "fp16"]


def scale_block(source: str, element: str, rule: str) -> Block:
    form, kind = get(source), MxElement.of(block_format(element).element)

    def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
        return {"scale": mx_scale(m, i["amax"], form, kind, rule, "scale")}

    return Block({"amax": form.code_bits - 1}, build)


def element_block(source: str, element: str) -> Block:
    form, kind = get(source), MxElement.of(block_format(element).element)

    def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
        scaled = mx_scaled(m, i["code"], i["scale"], form, kind, "lane")
        return {"element": mx_element(m, scaled, form, kind, "element")}

    return Block({"code": form.code_bits, "scale": 8}, build)


Runners = Callable[[str], Mapping[str, Runner]]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Runners:
    """By source: blocks of scales by element and rule, and of elements."""

    @functools.cache
    def of(source: str) -> Mapping[str, Runner]:
        blocks = {f"{element} {rule}": scale_block(source, element, rule) for element in ELEMENTS for rule in RULES}
        blocks |= {element: element_block(source, element) for element in ELEMENTS}
        return compile_blocks(blocks, tmp_path_factory.mktemp(source))

    return of


every_source = pytest.mark.parametrize("source", ["fp16", *(pytest.param(s, marks=pytest.mark.slow) for s in OTHERS)])


def words(source: str, seed: int = 1) -> np.ndarray:
    """All finite words of 16 bits; of 32 bits powers of two and their neighbours, subnormals, and any."""
    if source != "fp32":
        return np.unique(finite_words(np.arange(1 << 16, dtype=np.uint32), source))
    rng = np.random.default_rng(seed)
    powers = np.arange(255, dtype=np.int64) << 23
    near = (powers[:, None] + np.arange(-3, 4)).ravel()
    few = near[(near >= 0) & (near < 255 << 23)]
    chance = rng.integers(0, 255 << 23, 20_000)
    small = rng.integers(0, 1 << rng.integers(1, 24, 2000))
    found = np.concatenate([few, chance, small])
    return np.unique(np.concatenate([found, found | 1 << 31])).astype(np.uint32)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("element", ELEMENTS)
@every_source
def test_shared_exponents(compiled: Runners, source: str, element: str, rule: str) -> None:
    form = get(source)
    amax = words(source)
    amax = amax[amax < 1 << (form.code_bits - 1)]
    got = compiled(source)[f"{element} {rule}"](amax=amax)["scale"]
    values = values_of(amax, source)
    assert np.array_equal(got, mx(values[:, None], block_format(element).element, rule=rule).scale_codes[:, 0])
    some = np.random.default_rng(2).permutation(len(amax))[:400]
    assert got[some].tolist() == [scale_code(float(values[place]), element, rule) for place in some]


@pytest.mark.parametrize("element", ELEMENTS)
@every_source
def test_elements(compiled: Runners, source: str, element: str) -> None:
    """Every value in blocks whose largest is itself, somewhat larger or much larger."""
    code = words(source)
    magnitude = code & np.uint32((1 << (get(source).code_bits - 1)) - 1)
    top = magnitude.max()
    rng = np.random.default_rng(3)
    exponent_bits, mantissa_bits = SOURCES[source]
    for away in (0, 1, 2, 4, 9, 1 << exponent_bits):
        amax = np.minimum(magnitude.astype(np.int64) + (away << mantissa_bits) + rng.integers(0, 2, len(code)), top)
        amax = finite_words(amax.astype(np.uint32), source)
        for rule in RULES:
            scale = compiled(source)[f"{element} {rule}"](amax=amax)["scale"]
            got = compiled(source)[element](code=code, scale=scale)["element"]
            values = values_of(code, source)
            wrong = np.flatnonzero(got != block_codes(values, scale, element))
            assert not len(wrong), (hex(code[wrong[0]]), int(scale[wrong[0]]), int(got[wrong[0]]), len(wrong))
            both = np.stack([values, values_of(amax, source)], axis=1)[::37]
            wanted = mx(both, block_format(element).element, rule=rule)
            assert np.array_equal(got[::37], wanted.codes[:, 0])


def test_amaranth_and_the_compiled_block_agree(compiled: Runners) -> None:
    code = words("fp16")[::997]
    scale = np.full(len(code), 120)
    ours = simulate(element_block("fp16", "mxfp6_e2m3"), code=code, scale=scale)
    assert np.array_equal(ours["element"], compiled("fp16")["mxfp6_e2m3"](code=code, scale=scale)["element"])


def test_what_is_no_element_is_refused() -> None:
    with pytest.raises(HwgenError, match=re.escape("mx: elements must be integers or floating point with a mantissa")):
        MxElement.of(get("e8m0"))
