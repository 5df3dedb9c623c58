# amaranth: UnusedElaboratable=no
"""Shift-and-add logic of the MixPE tile: every product of int8 by every weight width, every two-level weight."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Signal, Value
from amaranth.lib import data

from hwgen.arith.compressor import carry_save_sum
from hwgen.formats import get
from hwgen.pe import family
from hwgen.pe.mixpe import Mixpe
from rtl_tests.arith.comb import Block, Runner, compile_blocks

pytestmark = pytest.mark.rtl

NO = Const(0, 1)
BITS = range(2, 9)
SCHEMES = ("symmetric", "asymmetric")
LEVELS = (2, 3, 4, 8)


def tile(**values: Any) -> Mixpe:
    return family("mixpe").from_values({"m": 1, "n": 1, "group": 32, **values})  # type: ignore[return-value]


def cell(spec: Mixpe) -> Block:
    """Row bus and column bus to what a cell adds."""

    def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
        (addend,) = spec.build_cell(m, i["row"], i["col"], NO, NO)
        assert addend.carry is None
        if not addend.rows:
            return {"sum": addend.value}
        return {"sum": carry_save_sum(m, addend.rows, "sum", int(spec.addend_bits(spec.p)))}

    return Block({"row": int(spec.row_bus_bits(spec.p)), "col": int(spec.col_bus_bits(spec.p))}, build)


def row_sum(spec: Mixpe) -> Block:
    """Row bus to what is added to the activation sum."""
    inputs = {"row": int(spec.row_bus_bits(spec.p))}
    return Block(inputs, lambda m, i: {"sum": spec.build_row_sum(m, i["row"])})


def column(spec: Mixpe) -> Block:
    """A code and the integer scale and zero point of its group to an 8-bit weight."""

    def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
        codes: Any = data.View(data.ArrayLayout(spec.bits, 1), i["code"])
        side: dict[str, Value] = {"group_scale": i["scale"]}
        if spec.scheme == "asymmetric":
            side["group_zero"] = i["zero"]
        return {"weight": spec.build_col(m, codes, side, NO, NO).as_signed()}

    return Block({"code": spec.bits, "scale": 8, "zero": spec.bits}, build)


ONE = {f"{scheme} {bits}": tile(k=1, bits=bits, scheme=scheme) for scheme in SCHEMES for bits in BITS}
DOTS = {
    "8 int8 by 4": tile(k=8, bits=4),
    "3 int8 by 3 signed": tile(k=3, bits=3, scheme="symmetric", group=33),
    "4 fp16 by 5": tile(k=4, bits=5, acts="fp16"),
    "5 bf16 by 8 signed": tile(k=5, bits=8, acts="bf16", scheme="symmetric", group=35),
    "2 by two-level": tile(k=2, dequant="before"),
}
COLUMNS = {
    f"{scheme} {bits}": tile(k=1, bits=bits, scheme=scheme, dequant="before") for scheme in SCHEMES for bits in LEVELS
}


@pytest.fixture(scope="module")
def runners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    folder: Path = tmp_path_factory.mktemp("mixpe")
    blocks = {f"one {name}": cell(spec) for name, spec in ONE.items()}
    blocks |= {f"dot {name}": cell(spec) for name, spec in DOTS.items()}
    blocks |= {f"rows {name}": row_sum(spec) for name, spec in DOTS.items() if spec.has_row_sums}
    blocks |= {f"column {name}": column(spec) for name, spec in COLUMNS.items()}
    return compile_blocks(blocks, folder)


@pytest.mark.few(2)
@pytest.mark.parametrize("name", ONE)
def test_every_product(name: str, runners: dict[str, Runner]) -> None:
    """All 256 activations by all weights, against fractions."""
    weights = get(("int" if name.startswith("symmetric") else "uint") + name.split()[1])
    pairs = list(itertools.product(range(256), weights.codes().tolist()))
    got = runners[f"one {name}"](row=np.array([a for a, _ in pairs]), col=np.array([w for _, w in pairs]))["sum"]
    acts = {code: get("int8").decode_scalar(code) for code in range(256)}
    values = {code: weights.decode_scalar(code) for code in weights.codes().tolist()}
    assert [Fraction(total) for total in got.tolist()] == [acts[a] * values[w] for a, w in pairs]


def buses(spec: Mixpe, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Row words, column words, and the integers [count, K] in both."""
    a_bits, w_bits = (int(bits) // spec.k for bits in (spec.row_bus_bits(spec.p), spec.col_bus_bits(spec.p)))
    signed = spec.scheme == "symmetric" or spec.dequant == "before"
    rng = np.random.default_rng(count)

    def words(bits: int, signed: bool) -> tuple[np.ndarray, np.ndarray]:
        codes = rng.integers(0, 1 << bits, (count, spec.k))
        ends = np.array([1 << (bits - 1), (1 << (bits - 1)) - 1, 0, (1 << bits) - 1])
        codes = np.where(rng.random((count, spec.k)) < 0.3, rng.choice(ends, (count, spec.k)), codes)
        codes[:4] = ends[:, None]
        ints = np.where(codes >> (bits - 1) == 1, codes - (1 << bits), codes) if signed else codes
        return codes, ints

    (a, a_ints), (w, w_ints) = words(a_bits, True), words(w_bits, signed)
    return a, w, a_ints, w_ints


def packed(codes: np.ndarray, bits: int) -> np.ndarray:
    """Words of up to 64 bits of codes [count, K]."""
    total = np.zeros(len(codes), np.uint64)
    for index in range(codes.shape[1]):
        total |= codes[:, index].astype(np.uint64) << np.uint64(index * bits)
    return total.view(np.int64)


@pytest.mark.parametrize("name", DOTS)
def test_dot_products(name: str, runners: dict[str, Runner]) -> None:
    spec = DOTS[name]
    a, w, a_ints, w_ints = buses(spec, 3000)
    a_bits, w_bits = (int(bits) // spec.k for bits in (spec.row_bus_bits(spec.p), spec.col_bus_bits(spec.p)))
    got = runners[f"dot {name}"](row=packed(a, a_bits), col=packed(w, w_bits))["sum"].tolist()
    pairs = zip(a_ints.tolist(), w_ints.tolist(), strict=True)
    assert got == [sum(x * y for x, y in zip(*pair, strict=True)) for pair in pairs]
    if spec.has_row_sums:
        rows = runners[f"rows {name}"](row=packed(a, a_bits))["sum"].tolist()
        assert rows == [sum(x) for x in a_ints.tolist()]


@pytest.mark.parametrize("name", COLUMNS)
def test_every_two_level_weight(name: str, runners: dict[str, Runner]) -> None:
    """(q − z)·s1 in eight bits: all codes, zero points and scales of up to four bits, 2^16 of eight."""
    spec = COLUMNS[name]
    count = 1 << spec.bits
    zeros = range(count) if spec.scheme == "asymmetric" else range(1)
    every = itertools.product(range(count), zeros, range(256))
    if count * len(zeros) > 256:
        rng = np.random.default_rng(1)
        every = zip(*(rng.integers(0, 256, 1 << 16).tolist() for _ in range(3)), strict=True)
    given = list(every)
    columns = {
        key: np.array(values) for key, values in zip(("code", "zero", "scale"), zip(*given, strict=True), strict=True)
    }
    got = runners[f"column {name}"](**columns)["weight"].tolist()
    low = count // 2 if spec.scheme == "symmetric" else count
    wanted = [((q - count if q >= low else q) - z) * s for q, z, s in given]
    assert got == [(value + 128) % 256 - 128 for value in wanted]
    # Whatever fits eight bits comes out as it is.
    assert sum(value in range(-128, 128) for value in wanted) > 100
