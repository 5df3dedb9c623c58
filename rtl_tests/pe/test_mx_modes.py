"""Run-time modes of MX tiles against products of values that gfloat decodes, and faults in one of the modes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import gfloat
import numpy as np
import pytest
from amaranth.hdl import Const, Module, Signal, Value

from hwgen.errors import HwgenError
from hwgen.formats import block_format, block_names
from hwgen.pe import family
from hwgen.pe.mx import Mx
from hwgen.pe.mx.parameters import MODE_SETS
from hwgen.schedule import Steps
from hwgen.verify import check_contract
from hwgen.verify._compiled import CompiledTile
from rtl_tests.arith.comb import Block, Runner, compile_blocks
from rtl_tests.pe.test_mx import GFLOAT
from tests.golden import oracle

pytestmark = pytest.mark.rtl

INFOS = {name: info for name, info in GFLOAT.items() if name.startswith("mx")}
BITS = {"mxint8": 8, "mxfp8_e4m3": 8, "mxfp8_e5m2": 8, "mxfp6_e2m3": 6, "mxfp6_e3m2": 6, "mxfp4": 4}
# Sums have the unit of a product of two smallest numbers: 2**-9 of E4M3, 2**-16 of E5M2.
UNITS = {"mxfp8": -32, "mxfp_narrow": -18, "mxfp": -32, "mx_narrow": -18, "mx": -32}
TINY: dict[str, Any] = {"m": 1, "n": 1, "k": 2, "group": 8, "depth": 8, "post_lanes": 1}
CHUNK = 32


def tile(mode_set: str, **values: Any) -> Mx:
    return Mx.from_values({**TINY, "mode_set": mode_set, **values})


def decoded(name: str) -> np.ndarray:
    """Every value of a format by code, float64; infinities and NaN as the largest finite one of their sign."""
    values = np.array([gfloat.decode_float(INFOS[name], code).fval for code in range(1 << BITS[name])])
    sign = np.where(np.arange(len(values)) >> (BITS[name] - 1) == 1, -1.0, 1.0)
    return np.where(np.isfinite(values), values, sign * np.abs(values[np.isfinite(values)]).max())


def formats(mode: str) -> tuple[str, str]:
    """Activations and weights of a mode by its name."""
    for acts in INFOS:
        if mode.startswith(f"{acts}_mx"):
            return acts, mode.removeprefix(f"{acts}_")
    return mode, mode


# ---------------------------------------------------------------------- every product of every mode


def cell(spec: Mx) -> Block:
    """Front-ends and a cell for one element and a zero, with the mode as an input: the sum of products in chunks."""
    bits = int(spec.act_port(spec.p)[1])

    def build(m: Module, signals: dict[str, Signal]) -> dict[str, Value]:
        none = Const(0, 1)
        codes = ([signals[side], *[Const(0, bits)] * (spec.k - 1)] for side in ("a", "w"))
        row = spec.build_row(m, next(codes), {}, none, signals["mode"])
        col = spec.build_col(m, next(codes), {}, none, signals["mode"])
        # Without the mode.
        [addend] = spec.build_cell(m, row, col, none, none)
        assert addend.carry is None
        value = Signal(addend.value.shape(), name="value")
        m.d.comb += value.eq(addend.value)
        return {f"y{at}": value.as_unsigned()[at : at + CHUNK] for at in range(0, len(value), CHUNK)}

    return Block({"a": bits, "w": bits, "mode": spec.mode_bits}, build)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    # A register behind the cell: its sum is one number, not rows of a tree.
    blocks = {name: cell(tile(name, stages=2)) for name in MODE_SETS}
    blocks["pairs"] = cell(tile("mx", mode_pairs="any", stages=2))
    blocks |= {
        f"{name} in parts": cell(tile(name, k=4, int8_products="parts", stages=2)) for name in ("mx", "mx_narrow")
    }
    blocks["pairs in parts"] = cell(tile("mx", mode_pairs="any", k=4, int8_products="parts", stages=2))
    return compile_blocks(blocks, tmp_path_factory.mktemp("modes"))


def products(run: Runner, a: np.ndarray, w: np.ndarray, mode: int) -> list[int]:
    found = run(a=a, w=w, mode=np.full(len(a), mode))
    bits = sum(shape.width for shape in run.outputs.values())
    words = sum(found[name].astype(object) << int(name[1:]) for name in found)
    return [value - (1 << bits) if value >> (bits - 1) else value for value in np.asarray(words).tolist()]


def check_mode(run: Runner, acts: str, weights: str, mode: int, unit: int, seed: int, most: int = 1 << 16) -> None:
    left, right = decoded(acts), decoded(weights)
    a, w = (grid.ravel() for grid in np.meshgrid(np.arange(len(left)), np.arange(len(right)), indexing="ij"))
    rng = np.random.default_rng(seed)
    if len(a) > most:
        some = rng.choice(len(a), most, replace=False)
        a, w = a[some], w[some]
    # At most 16 bits of significand: exact in float64, and in units of a smaller power of two.
    wanted = [int(value) for value in np.ldexp(left[a] * right[w], -unit)]
    # What lies above a code in its word is ignored.
    above = rng.integers(0, 1 << 8, (2, len(a)))
    a, w = a | (above[0] << BITS[acts] & 0xFF), w | (above[1] << BITS[weights] & 0xFF)
    assert products(run, a, w, mode) == wanted


@pytest.mark.parametrize("mode_set", MODE_SETS)
def test_every_product_of_every_mode(mode_set: str, cells: dict[str, Runner]) -> None:
    spec = tile(mode_set)
    assert [mode.name for mode in spec.modes()] == list(MODE_SETS[mode_set])
    assert spec.lsb_exp == UNITS[mode_set]
    for index, mode in enumerate(spec.modes()):
        check_mode(cells[mode_set], *formats(mode.name), index, UNITS[mode_set], index)


@pytest.mark.parametrize("mode_set", ["mx", "mx_narrow"])
def test_every_product_of_integers_in_parts(mode_set: str, cells: dict[str, Runner]) -> None:
    spec = tile(mode_set, k=4, int8_products="parts")
    assert [mode.k for mode in spec.modes()] == [1, *[4] * (len(MODE_SETS[mode_set]) - 1)]
    for index, mode in enumerate(spec.modes()):
        check_mode(cells[f"{mode_set} in parts"], *formats(mode.name), index, UNITS[mode_set], index)


@pytest.mark.parametrize("products_of_int8", ["whole", "parts"])
def test_products_of_mixed_formats(products_of_int8: str, cells: dict[str, Runner]) -> None:
    spec = tile("mx", mode_pairs="any", k=4, int8_products=products_of_int8)
    assert len(spec.modes()) == 36
    in_parts = products_of_int8 == "parts"
    for index, mode in enumerate(spec.modes()):
        acts, weights = formats(mode.name)
        assert (mode.acts, mode.weights) == tuple(block_format(name).element.name for name in (acts, weights))
        assert mode.k == (1 if in_parts and "mxint8" in (acts, weights) else 4)
        check_mode(cells["pairs in parts" if in_parts else "pairs"], acts, weights, index, UNITS["mx"], index, 4096)


# ---------------------------------------------------------------------- tiles


def steps_of(spec: Mx, mode: int, seed: int, lengths: Sequence[int]) -> Steps:
    """Groups of so many steps with any codes; the last one ends the output."""
    rng = np.random.default_rng(seed)
    total, ends = sum(lengths), np.cumsum(lengths) - 1
    acts, weights = (
        rng.integers(0, 1 << form.code_bits, (total, rows, spec.modes()[mode].k)).astype(np.uint32)
        for rows, form in zip((spec.m, spec.n), spec.mode_formats(mode), strict=True)
    )
    scales = np.repeat(rng.integers(120, 136, (len(lengths), spec.m + spec.n)), lengths, axis=0)
    first, last, done = (np.zeros(total, bool) for _ in range(3))
    first[ends - np.array(lengths) + 1], last[ends], done[ends[-1]] = True, True, True
    row, col = {"scale": scales[:, : spec.m]}, {"scale": scales[:, spec.m :]}
    return Steps(acts, weights, row, col, first, last, done, mode)


def exact_sums(steps: Sequence[Steps], names: Sequence[tuple[str, str]]) -> list[Fraction]:
    """Group sums of cell (0, 0) over steps that may be in different modes."""
    found: list[Fraction] = []
    for part, (acts, weights) in zip(steps, names, strict=True):
        values = decoded(acts)[part.acts[:, 0]] * decoded(weights)[part.weights[:, 0]]
        for at, first in enumerate(part.first):
            if first:
                found.append(Fraction(0))
            found[-1] += sum(map(Fraction, values[at].tolist()))
    return found


def result(sums: Sequence[Fraction], scales: Sequence[tuple[int, int]]) -> int:
    """FP32 code of an output: each group times its scales rounded, added in order."""
    total = 0
    for value, (row, col) in zip(sums, scales, strict=True):
        total = oracle.add(total, oracle.product(value, Fraction(2) ** (row - 127), Fraction(2) ** (col - 127)))
    return total


@pytest.mark.parametrize(
    "values",
    [
        {"mode_set": "mx", "post_cuts": 1},
        {"mode_set": "mx", "stages": 3, "front_cuts": 1, "cell_cuts": 2},
        {"mode_set": "mx_narrow", "stages": 0},
        {"mode_set": "mxfp8", "mode_pairs": "any"},
        {"mode_set": "mx", "k": 8, "int8_products": "parts", "group": 16, "depth": 64},
        {"mode_set": "mx_narrow", "mode_pairs": "any", "k": 4, "int8_products": "parts"},
    ],
)
def test_modes_take_turns_in_one_run(values: dict[str, Any]) -> None:
    """Outputs of three groups, each output in another mode, twice round."""
    spec = tile(**values)
    order = [*range(len(spec.modes())), *reversed(range(len(spec.modes())))]
    parts = [steps_of(spec, mode, seed, (1, 4, 2)) for seed, mode in enumerate(order)]
    got = CompiledTile(spec).simulate(spec, parts[0], following=parts[1:])
    wanted = []
    for mode, part in zip(order, parts, strict=True):
        sums = exact_sums([part], [formats(spec.modes()[mode].name)])
        scales = zip(part.row["scale"][part.last, 0].tolist(), part.col["scale"][part.last, 0].tolist(), strict=True)
        wanted.append(result(sums, list(scales)))
    assert got.y.ravel().tolist() == wanted


def test_modes_change_within_a_group() -> None:
    """Sums of all modes have one unit: two steps in each mode are one sum."""
    spec = tile("mx", group=32, depth=32)
    parts = []
    for mode in range(len(spec.modes())):
        part = steps_of(spec, mode, 50 + mode, (2,))
        here, last = np.zeros(2, bool), mode + 1 == len(spec.modes())
        ends = np.array([False, last])
        scale = {"scale": np.full((2, 1), 127)}
        first = here if mode else part.first
        parts.append(dataclasses.replace(part, first=first, last=ends, done=ends, row=scale, col=scale))
    got = CompiledTile(spec).simulate(spec, parts[0], following=parts[1:])
    [total] = exact_sums(parts, [(mode.name, mode.name) for mode in spec.modes()])
    assert got.y.ravel().tolist() == [oracle.product(total)]


@pytest.mark.parametrize(
    "values",
    [
        {"mode_set": "mxfp8"},
        {"mode_set": "mxfp_narrow", "n": 2, "post_lanes": 2, "front_cuts": 1, "cell_cuts": 1},
        pytest.param({"mode_set": "mx", "m": 2, "n": 2, "k": 4, "stages": 2}, marks=pytest.mark.slow),
        pytest.param({"mode_set": "mxfp", "stages": 3, "post_cuts": 2}, marks=pytest.mark.slow),
        pytest.param({"mode_set": "mx_narrow", "overflow": "saturate", "depth": 4}, marks=pytest.mark.slow),
        pytest.param({"mode_set": "mxfp_narrow", "mode_pairs": "any", "overflow": "wrap"}, marks=pytest.mark.slow),
        pytest.param({"mode_set": "mx_narrow", "k": 8, "int8_products": "parts", "n": 2}, marks=pytest.mark.slow),
        pytest.param({"mode_set": "mx", "k": 4, "int8_products": "parts", "stages": 2}, marks=pytest.mark.slow),
        pytest.param({"mode_set": "mx", "k": 1, "stages": 2, "cell_cuts": 1}, marks=pytest.mark.slow),
    ],
)
def test_contract(values: dict[str, Any]) -> None:
    spec = tile(**values)
    findings = check_contract(spec, 1, engine="verilator")
    assert not [f"{finding.check}: {finding.detail}" for finding in findings if not finding.ok]
    # Every mode is driven.
    for mode in spec.modes():
        assert any(finding.check.startswith(f"{mode.name}: after a mode switch") for finding in findings)


# ---------------------------------------------------------------------- faults


class OneTooHigh(Mx):
    """E3M2 beside other formats has elements of twice their value."""

    family = "mx"

    def _decode_modes(self, m: Module, codes: Any, side: int, modes: Any, mode: Value, name: str) -> Value:
        form = block_format("mxfp6_e3m2").element
        wrong = {dataclasses.replace(one, bias=2) if one == form else one: at for one, at in modes.items()}
        return super()._decode_modes(m, codes, side, wrong, mode, name)


class NoSpecials(Mx):
    """E4M3's NaN is read as a number beyond its largest."""

    family = "mx"

    def _decode_modes(self, m: Module, codes: Any, side: int, modes: Any, mode: Value, name: str) -> Value:
        form = block_format("mxfp8_e4m3").element
        wrong = {dataclasses.replace(one, specials="none") if one == form else one: at for one, at in modes.items()}
        return super()._decode_modes(m, codes, side, wrong, mode, name)


@pytest.mark.parametrize(("faulty", "mode"), [(OneTooHigh, "mxfp6_e3m2"), (NoSpecials, "mxfp8_e4m3")])
def test_a_fault_in_one_mode_is_named(faulty: type[Mx], mode: str) -> None:
    good = tile("mxfp_narrow")
    findings = check_contract(faulty(**good.p), 1, engine="verilator")
    failed = {finding.check for finding in findings if not finding.ok}
    assert f"{mode}: random back-to-back: values" in failed
    assert {check.partition(":")[0] for check in failed} == {mode}


# ---------------------------------------------------------------------- parameters


def test_sets_of_modes() -> None:
    every = [name for name in block_names() if block_format(name).scheme == "mx"]
    assert list(MODE_SETS["mx"]) == every == list(INFOS)
    assert MODE_SETS["mxfp"] == tuple(name for name in INFOS if name != "mxint8")
    assert MODE_SETS["mxfp8"] == ("mxfp8_e4m3", "mxfp8_e5m2")
    for name in ("mx", "mxfp"):
        assert {*MODE_SETS[name]} - {*MODE_SETS[f"{name}_narrow"]} == {"mxfp8_e5m2"}


@pytest.mark.parametrize(
    ("mode_set", "bits"),
    # 8 products of (7 · 2**29)**2 and of (15 · 2**14)**2, and a sign: 49 · 2**61, 225 · 2**31.
    [("mxfp8", 68), ("mxfp", 68), ("mx", 68), ("mxfp_narrow", 40), ("mx_narrow", 40)],
)
def test_sums_are_as_wide_as_their_widest_mode(mode_set: str, bits: int) -> None:
    spec = tile(mode_set)
    assert int(spec.acc_bits(spec.p)) == bits


@pytest.mark.parametrize(
    ("values", "layer", "mode"),
    [
        ({}, ("mxint8", "mxint8"), 0),
        ({"weights": "mxfp4"}, ("mxfp4", "mxfp4"), 5),
        ({"acts": "mxfp8_e5m2"}, ("mxfp8_e5m2", "mxfp8_e5m2"), 2),
        ({"bits": 6}, ("mxfp6_e2m3", "mxfp6_e2m3"), 3),
        ({"mode_set": "mxfp", "bits": 8}, ("mxfp8_e4m3", "mxfp8_e4m3"), 0),
        ({"mode_pairs": "any", "weights": "mxfp4", "acts": "mxfp8_e4m3"}, ("mxfp8_e4m3", "mxfp4"), 11),
        ({"int8_products": "parts"}, ("mxint8", "mxint8"), 0),
        ({"int8_products": "parts", "weights": "mxfp4"}, ("mxfp4", "mxfp4"), 5),
    ],
)
def test_formats_name_the_mode_of_layers(values: dict[str, Any], layer: tuple[str, str], mode: int) -> None:
    spec: Any = family("mx").from_values({"mode_set": "mx", **values})
    assert (spec.acts, spec.weights, spec.layer_mode) == (*layer, mode)
    assert formats(spec.modes()[mode].name) == layer
    # Memory holds codes as they are; ports have room for the widest.
    step = spec.layer_k(spec.p)
    assert step == (spec.k // 4 if spec.int8_products == "parts" and "mxint8" in layer else spec.k)
    assert spec.stored_bits(spec.p) == (step * BITS[layer[0]], step * BITS[layer[1]])
    assert spec.act_port(spec.p) == spec.weight_port(spec.p) == (spec.k, 8)


ALL = "mxint8, mxfp8_e4m3, mxfp8_e5m2, mxfp6_e2m3, mxfp6_e3m2 or mxfp4"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"mode_set": "mx", "weights": "nvfp4"},
            f"mx: weights must be {ALL} with mode_set mx, not nvfp4, whose scales are no powers of two; "
            "use --mode-set one",
        ),
        (
            {"mode_set": "mx", "mode_pairs": "any", "weights": "mxfp4", "acts": "hif4"},
            f"mx: acts must be {ALL} with mode_set mx, not hif4, whose scales are no powers of two; use --mode-set one",
        ),
        (
            {"mode_set": "mxfp8", "weights": "mxfp4"},
            "mx: weights must be mxfp8_e4m3 or mxfp8_e5m2 with mode_set mxfp8, not mxfp4",
        ),
        (
            {"mode_set": "mx", "weights": "mxfp4", "acts": "mxint8"},
            "mx: acts must be mxfp4 like the weights with mode_set mx, not mxint8; use --mode-pairs any",
        ),
        ({"mode_pairs": "any"}, "mx: mode_pairs must be same with mode_set one, not any; use --mode-set mx"),
        (
            {"mode_set": "nvfp4"},
            "mx: mode_set must be one, mxfp8, mxfp_narrow, mxfp, mx_narrow or mx, not 'nvfp4'",
        ),
        (
            {"mode_set": "mxfp", "int8_products": "parts"},
            "mx: int8_products must be whole with mode_set mxfp, which has no MXINT8, not parts",
        ),
        (
            {"mode_set": "mx", "k": 2, "int8_products": "parts"},
            "mx: k must be a multiple of 4 with int8_products parts, not 2",
        ),
        ({"mode_set": "mxfp8", "bits": 4}, "mx: bits must be 8 with mode_set mxfp8, not 4"),
    ],
)
def test_refusals(values: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        family("mx").from_values(values)
    assert str(caught.value) == message
