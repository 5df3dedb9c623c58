"""FP32 addition: corners, cancellation, ties and subnormals against numpy and against exact rational arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator, SimulatorContext

from hwgen.arith import FP32_NAN, fp32_add, fp32_add_reference
from hwgen.arith.fp32 import FP32_CUTS
from rtl_tests.arith.comb import Block, Runner, compile_blocks, simulate
from rtl_tests.arith.oracle import fp32_nearest, fp32_value

pytestmark = pytest.mark.rtl

BLOCK = Block({"a": 32, "b": 32}, lambda m, i: {"y": fp32_add(m, i["a"], i["b"])})
POSITIVE = [
    0x00000000, 0x00000001, 0x00000002, 0x00000003, 0x003FFFFF, 0x00400000, 0x00400001, 0x007FFFFE, 0x007FFFFF,
    0x00800000, 0x00800001, 0x00FFFFFF, 0x01000000, 0x01000001, 0x0C000000, 0x33800000, 0x33800001, 0x34000000,
    0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x3FFFFFFF, 0x40000000, 0x4B7FFFFF, 0x4B800000, 0x4B800001, 0x7E800000,
    0x7EFFFFFF, 0x72FFFFFF, 0x73000000, 0x73000001, 0x7F7FFFFE, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000,
    0x7FFFFFFF,
]  # fmt: skip
CORNERS = np.array(POSITIVE + [code | 0x80000000 for code in POSITIVE], np.uint32)


@pytest.fixture(scope="module")
def add(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return compile_blocks({"add": BLOCK}, tmp_path_factory.mktemp("fp32"))["add"]


def codes(rng: np.random.Generator, count: int, low: int = 0, high: int = 1 << 31) -> np.ndarray:
    signs = rng.integers(0, 2, count, dtype=np.uint32) << np.uint32(31)
    return rng.integers(low, high, count, dtype=np.uint32) | signs


def pairs(kind: str, count: int = 100_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(sum(kind.encode()))
    if kind == "corners":
        a, b = np.meshgrid(CORNERS, CORNERS)
        return a.ravel(), b.ravel()
    if kind == "any":
        return codes(rng, count), codes(rng, count)
    if kind == "subnormal":
        return codes(rng, count, 0, 0x01400000), codes(rng, count, 0, 0x01400000)
    if kind == "overflow":
        return codes(rng, count, 0x7E000000, 0x7F900000), codes(rng, count, 0x72000000, 0x7F900000)
    a = codes(rng, count, 0x00800000, 0x7F000000)
    if kind == "cancel":
        # Opposite signs, a few units in the last place apart: every depth of normalisation, subnormal results too.
        a[: count // 2] = codes(rng, count // 2, 0, 0x0F000000)
        near = a[...] + (rng.integers(-8, 9, count) << rng.integers(0, 22, count))
        return a, (near.astype(np.uint32) & np.uint32(0x7FFFFFFF)) | (~a & np.uint32(0x80000000))
    exponents = (a >> np.uint32(23)) & np.uint32(0xFF)
    if kind == "equal exponents":
        return a, codes(rng, count, 0, 1 << 23) | (exponents << np.uint32(23))
    # Ties: b has few significant bits and lies up to 27 places below a: what is dropped is often exactly one half.
    mantissas = rng.integers(0, 8, count, dtype=np.uint32) << np.uint32(20)
    lower = np.maximum(exponents.astype(np.int64) - rng.integers(0, 28, count), 0).astype(np.uint32)
    return a, codes(rng, count, 0, 1) | (lower << np.uint32(23)) | mantissas


KINDS = ("corners", "any", "subnormal", "overflow", "cancel", "equal exponents", "ties")


@pytest.mark.parametrize("kind", KINDS)
def test_add_equals_numpy(add: Runner, kind: str) -> None:
    a, b = pairs(kind)
    got, want = add(a=a, b=b)["y"], fp32_add_reference(a, b)
    wrong = np.nonzero(got != want)[0]
    assert not wrong.size, [f"{a[i]:08x} + {b[i]:08x} = {got[i]:08x}, not {want[i]:08x}" for i in wrong[:5]]


@pytest.mark.parametrize("kind", KINDS)
def test_reference_equals_exact_sum(kind: str) -> None:
    a, b = pairs(kind, 2000)
    got = fp32_add_reference(a, b)
    for x, y, code in list(zip(a.tolist(), b.tolist(), got.tolist(), strict=True))[:1500]:
        if max(x & 0x7FFFFFFF, y & 0x7FFFFFFF) < 0x7F800000:
            total = fp32_value(x) + fp32_value(y)
            zero = 0x80000000 if x == y == 0x80000000 else 0
            assert code == (fp32_nearest(total) if total else zero), f"{x:08x} + {y:08x}"


def test_vectors_reach_ties_and_every_shift() -> None:
    a, b = pairs("ties")
    exact = a.view(np.float32).astype(np.float64) + b.view(np.float32).astype(np.float64)
    rounded = fp32_add_reference(a, b).view(np.float32).astype(np.float64)
    up = np.nextafter(rounded.astype(np.float32), np.float32(np.inf)).astype(np.float64) - rounded
    assert np.count_nonzero(np.abs(exact - rounded) * 2 == up) > 1000
    a, b = pairs("cancel")
    drop = (a >> 23 & 255).astype(int) - (fp32_add_reference(a, b) >> 23 & 255).astype(int)
    assert set(range(24)) <= set(drop.tolist())


@pytest.mark.parametrize(
    ("a", "b", "want"),
    [
        pytest.param(0x3F800000, 0xBF800000, 0x00000000, id="x + -x is +0"),
        pytest.param(0x80000000, 0x80000000, 0x80000000, id="-0 + -0 is -0"),
        pytest.param(0x00000000, 0x80000000, 0x00000000, id="+0 + -0 is +0"),
        pytest.param(0x7F800000, 0xFF800000, FP32_NAN, id="inf - inf is NaN"),
        pytest.param(0xFF800000, 0xFF800000, 0xFF800000, id="-inf - inf is -inf"),
        pytest.param(0xFFFFFFFF, 0x00000000, FP32_NAN, id="NaN keeps neither sign nor payload"),
        pytest.param(0x7F7FFFFF, 0x73000000, 0x7F800000, id="half a unit above the largest is inf"),
        pytest.param(0x7F7FFFFF, 0x72FFFFFF, 0x7F7FFFFF, id="less than half a unit above the largest stays"),
        pytest.param(0x007FFFFF, 0x00000001, 0x00800000, id="subnormals carry into a normal"),
        pytest.param(0x00800000, 0x80000001, 0x007FFFFF, id="a normal less a subnormal is subnormal"),
        pytest.param(0x3F800000, 0x33800000, 0x3F800000, id="tie to even down"),
        pytest.param(0x3F800001, 0x33800000, 0x3F800002, id="tie to even up"),
    ],
)
def test_named_cases(add: Runner, a: int, b: int, want: int) -> None:
    for x, y in ((a, b), (b, a)):
        assert add(a=np.array([x]), b=np.array([y]))["y"][0] == want


def test_amaranth_simulator_agrees() -> None:
    a, b = (np.concatenate(parts) for parts in zip(*(pairs(kind, 40) for kind in KINDS[1:]), strict=True))
    assert np.array_equal(simulate(BLOCK, a=a, b=b)["y"], fp32_add_reference(a, b))


@pytest.mark.parametrize("cuts", [1, 2])
def test_pipeline_moves_only_by_its_enables(cuts: int) -> None:
    """Operands enter when the first register is enabled; every register holds what it has until its own enable."""
    rng = np.random.default_rng(cuts)
    a, b = (np.concatenate(parts) for parts in zip(*(pairs(kind, 60) for kind in KINDS[1:]), strict=True))
    want = fp32_add_reference(a, b)
    m = Module()
    left, right = Signal(32), Signal(32)
    enables = [Signal(name=f"enable{cut}") for cut in range(cuts)]
    out = Signal(32)
    m.d.comb += out.eq(fp32_add(m, left, right, enables=enables))
    # Number of the sum in each register, -1 where it is undefined.
    held = [-1] * cuts
    seen: list[int] = []

    async def bench(context: SimulatorContext) -> None:
        nonlocal held
        for _ in range(3 * len(a)):
            number = int(rng.integers(len(a)))
            flags = rng.integers(0, 2, cuts).tolist()
            context.set(left, int(a[number]))
            context.set(right, int(b[number]))
            for signal, flag in zip(enables, flags, strict=True):
                context.set(signal, flag)
            await context.tick()
            held = [new if flag else old for new, old, flag in zip([number, *held[:-1]], held, flags, strict=True)]
            if held[-1] >= 0:
                assert context.get(out) == want[held[-1]]
                seen.append(held[-1])

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(set(seen)) > len(a) // 4


def test_registers_and_their_number() -> None:
    # Significands 24 + 27, add or subtract, exponent, four flags; total of 28 bits, exponent, four flags.
    assert FP32_CUTS == (28 + 8 + 4, 24 + 27 + 1 + 8 + 4)
    m = Module()
    with pytest.raises(ValueError, match=r"^fp32_add: an FP32 adder has at most 2 registers, not 3$"):
        fp32_add(m, Signal(32), Signal(32), enables=[Signal(), Signal(), Signal()])
    # A module that is never used draws a warning.
    Simulator(m)
