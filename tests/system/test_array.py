"""Described arrays: cycles and bytes beside loops over elements, and the same in torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.schedule import Layer
from sim.estimate import estimate
from sim.system import Array, OffChip, System, estimate_arrays, estimate_system
from sim.workload import Decode, Generation, Operator, Pass, Prefill, Size, Workload, load_workload

MEMORY = OffChip("memory", 8.0, 2.0)


def product(m: int, n: int, k: int, copies: int = 1) -> Workload:
    return Workload("one", (Operator("one", "one", Size(m), Size(n), Size(k), copies),), phases=("pass",))


def report(array: Array, m: int, n: int, k: int, **about: Any) -> Any:
    known = {"off_chip": OffChip("no limit", math.inf), "clk_period_ns": 1.0}
    return estimate_system(System(core=array, **{**known, **about}), product(m, n, k), Pass())


def walked(array: Array, m: int, n: int, k: int) -> int:
    """Element by element: a step moves on when all elements of a pass have done theirs."""
    rows, columns, depth = int(array.rows), int(array.columns), int(array.depth)
    cycles = 0
    if array.dataflow == "outputs":
        for _ in itertools.product(range(0, m, rows), range(0, n, columns)):
            done = 0
            for _ in range(0, k, depth):
                done += 1 if not array.term_bits else len(range(0, int(array.weight_bits), int(array.term_bits)))
            # The last element of a systolic array has its operands as many hops later.
            cycles += done + (rows - 1 + columns - 1 if array.fill == "pass" else 0)
        return cycles + (rows - 1 + columns - 1 if array.fill == "product" else 0)
    for _ in itertools.product(range(0, k, rows * depth), range(0, n, columns)):
        enter = rows if array.fill == "pass" else 0
        cycles += enter + m + (rows - 1 + columns - 1 if array.fill == "pass" else 0)
    return cycles + (rows + rows - 1 + columns - 1 if array.fill == "product" else 0)


@pytest.mark.parametrize("fill", ["none", "product", "pass"])
@pytest.mark.parametrize("dataflow", ["outputs", "weights"])
def test_cycles_are_those_of_a_walk(dataflow: str, fill: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        rows, columns, depth, m, n, k = (int(x) for x in rng.integers(1, (5, 6, 4, 20, 20, 30)))
        array = Array(rows=rows, columns=columns, depth=depth, dataflow=dataflow, fill=fill)
        assert report(array, m, n, k).cycles == walked(array, m, n, k), (rows, columns, depth, m, n, k)


def test_terms_and_parts() -> None:
    serial = Array(rows=2, columns=2, depth=4, term_bits=2, weight_bits=5.25)
    assert report(serial, 2, 2, 8).cycles == walked(serial, 2, 2, 8) == 2 * 3
    shared = Array(rows=2, columns=2, weight_parts=8, act_parts=8, weight_bits=2, act_bits=4)
    assert report(shared, 4, 8, 5).cycles == 5
    assert report(shared, 5, 8, 5).cycles == 10
    assert report(shared, 4, 9, 5).cycles == 10


def test_what_does_not_fit_a_buffer_comes_again() -> None:
    """40 × 30 weights and 20 × 30 activations, a byte each; results are 20 × 40 of two bytes."""
    fits = report(Array(rows=4, columns=4, weight_bytes=1200, act_bytes=100), 20, 40, 30, off_chip=MEMORY)
    assert fits.bytes["weights"] == 1200
    assert fits.bytes["acts"] == 600
    assert fits.bytes["results"] == 1600
    # Half of the activations at a time and weights twice, or weights in three parts and activations three times.
    twice = report(Array(rows=4, columns=4, weight_bytes=500, act_bytes=300), 20, 40, 30, off_chip=MEMORY)
    assert (twice.bytes["weights"], twice.bytes["acts"]) == (1200, 1800)
    (part,) = twice.parts
    assert part.mapping == "weights stay"
    many = report(Array(rows=4, columns=4, weight_bytes=100, act_bytes=300), 20, 40, 30, off_chip=MEMORY)
    assert (many.bytes["weights"], many.bytes["acts"]) == (2400, 600)
    assert many.parts[0].mapping == "activations stay"


def walked_bytes(m: int, n: int, k: int, tokens: int, outputs: int, inner: int) -> tuple[int, int, int]:
    """Bytes of weights and of activations that blocks of sums load slice by slice, and the most that lie in the buffer
    of activations, with sums of two bytes.
    """
    weights = acts = most = 0
    for first in range(0, m, tokens):
        rows = min(tokens, m - first)
        for start in range(0, n, outputs):
            columns = min(outputs, n - start)
            for at in range(0, k, inner):
                width = min(inner, k - at)
                weights, acts = weights + columns * width, acts + rows * width
                most = max(most, rows * columns * 2 + rows * width)
    return weights, acts, most


@pytest.mark.parametrize("room", [90, 130, 200, 400, 700])
@pytest.mark.parametrize("dataflow", ["outputs", "weights"])
def test_sums_stay_where_that_moves_least(dataflow: str, room: int) -> None:
    """Every block of sums that fits, walked, and the ways in which weights or activations stay."""
    m, n, k = 12, 40, 64
    array = Array(rows=4, columns=4, dataflow=dataflow, weight_bytes=64, act_bytes=room, sum_bits=16)
    inner = 4 if dataflow == "weights" else 1
    walks = [walked_bytes(m, n, k, *block, inner) for block in itertools.product(range(1, m + 1), range(1, n + 1))]
    ways = [weights + acts for weights, acts, most in walks if most <= room]
    # Activations, and sums of four outputs beside them, in parts; or weights in 40 parts.
    ways += [n * k * -(-(m * k + m * 4 * 2) // room) + m * k, n * k + m * k * 40]
    found = report(array, m, n, k, off_chip=MEMORY)
    assert found.bytes["weights"] + found.bytes["acts"] == min(ways)
    assert found.parts[0].mapping == "sums stay"
    (choices,) = (part.choices for part in report_with_choices(array, m, n, k).parts)
    assert {one.mapping for one in choices} == {"weights stay", "activations stay", "sums stay"}
    assert min(one.read_bytes for one in choices) == sum(found.bytes.values())


def report_with_choices(array: Array, m: int, n: int, k: int) -> Any:
    system = System(core=array, off_chip=MEMORY, clk_period_ns=1.0)
    return estimate_system(system, product(m, n, k), Pass(), choices=True)


def test_sums_take_room_beside_activations() -> None:
    """20 × 30 activations fit 640 bytes with sums of 4 outputs that take 20 × 4 × 0.5 bytes, not with larger ones."""
    about: dict[str, Any] = {"rows": 4, "columns": 4, "weight_bytes": 100, "act_bytes": 640}
    assert report(Array(**about, sum_bits=4), 20, 40, 30, off_chip=MEMORY).parts[0].mapping == "both held"
    assert report(Array(**about, sum_bits=8), 20, 40, 30, off_chip=MEMORY).parts[0].mapping != "both held"


def test_the_slower_one_counts_and_the_energy_is_of_both() -> None:
    array = Array(rows=4, columns=4, element_pj=0.5, element_um2=100.0)
    found = report(array, 20, 40, 30, off_chip=MEMORY)
    computing, moved = 5 * 10 * 30, 1200 + 600 + 1600
    assert found.cycles == max(computing, moved // 8) == computing
    slow = report(array, 20, 40, 30, off_chip=OffChip("slow", 1.0, 2.0))
    assert slow.cycles == moved
    assert slow.parts[0].bound == "channel"
    assert sum(slow.waits.values()) == moved - computing
    for one in (found, slow):
        assert one.energy_pj == pytest.approx({"tile": computing * 16 * 0.5, "dram": moved * 8 * 2.0})
    assert found.total_area_um2 == 1600


def test_rows_of_codes_end_with_a_byte() -> None:
    array = Array(rows=1, columns=1, weight_bits=3, side_bits=0.25, act_bits=4, result_bits=4)
    found = report(array, 3, 5, 7)
    assert found.bytes["weights"] == 5 * 3  # 21 bits
    assert found.bytes["weight_sides"] == 5 * 0  # 22.75 bits are three bytes too
    assert found.bytes["acts"] == 3 * 4
    assert found.bytes["results"] == 3 * 3


def test_a_tile_is_an_array() -> None:
    tile = family("int").from_values({"m": 2, "n": 8, "k": 4, "bits": 4})
    array = Array.of_tile(tile)
    found = report(array, 5, 30, 600, clk_period_ns=4.0)
    alone = estimate(tile, Layer("one", 5, 30, 600), clk_period_ns=4.0)
    assert found.cycles == alone.cycles
    assert found.total_area_um2 == pytest.approx(alone.total_area_um2)
    assert found.total_energy_pj == pytest.approx(alone.total_energy_pj)
    assert found.peak_macs == 2 * 8 * 4


def many(make: Callable[[list[float]], Any]) -> System:
    array = Array(
        rows=make([8, 16, 32]),
        columns=make([4, 16, 12]),
        weight_bits=make([4.0, 3.0, 8.0]),
        side_bits=0.1,
        kv_bits=8,
        weight_bytes=make([4096, 65536, 0]),
        act_bytes=65536,
        term_bits=make([2, 0, 1]),
        sum_bits=make([0.0, 16.0, 32.0]),
        element_pj=0.3,
        element_um2=50.0,
    )
    return System(core=array, cores=3, off_chip=MEMORY, clk_period_ns=1.0)


PHASES = [Prefill(33), Decode(40, batch=2), Generation(5, 7)]


@pytest.mark.parametrize("phase", PHASES, ids=str)
def test_arrays_are_what_each_is_alone_in_numpy_and_torch(phase: Any) -> None:
    model = load_workload("smollm2-135m")
    found = estimate_arrays(many(np.array), model, phase)
    tensors = estimate_arrays(many(torch.tensor), model, phase)
    for name, column in found.items():
        assert isinstance(tensors[name], torch.Tensor), name
        np.testing.assert_allclose(tensors[name].numpy(), column, rtol=1e-12, err_msg=name)
    for place in range(3):
        alone = estimate_system(many(lambda values, at=place: values[at]), model, phase)  # type: ignore[misc]
        assert found["cycles"][place] == alone.cycles
        assert found["energy_pj"][place] == pytest.approx(alone.total_energy_pj)
        assert found["acts_bytes"][place] == alone.bytes["acts"]
        assert found["area_um2"][place] == pytest.approx(alone.total_area_um2)
        assert found["tokens_per_s"][place] == pytest.approx(alone.tokens_per_s)


def test_buffers_of_many_sizes_where_nothing_waits() -> None:
    """Cycles are the same for all of them, and columns all as long."""
    array = Array(rows=4, columns=4, weight_bytes=np.array([100, 1200]), act_bytes=100)
    system = System(core=array, off_chip=OffChip("no limit", math.inf), clk_period_ns=1.0)
    found = estimate_arrays(system, product(20, 40, 30), Pass())
    assert found["weights_bytes"].tolist() == [6 * 1200, 1200]
    assert found["cycles"].tolist() == 2 * [5 * 10 * 30]


def test_multicast_moves_once_what_all_read() -> None:
    array = Array(rows=4, columns=4)
    about = {"cores": 4, "off_chip": MEMORY, "split": "outputs"}
    apart, once = (report(array, 20, 64, 30, multicast=one, **about) for one in (False, True))
    assert apart.bytes["acts"] == 4 * once.bytes["acts"] == 4 * 600
    assert apart.bytes["weights"] == once.bytes["weights"]
    assert once.cycles <= apart.cycles


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"dataflow": "inputs"}, "array: dataflow must be outputs or weights, not 'inputs'"),
        ({"fill": "always"}, "array: fill must be none or product or pass, not 'always'"),
    ],
)
def test_mistakes(about: dict[str, str], message: str) -> None:
    with pytest.raises(HwgenError, match=message):
        Array(rows=1, columns=1, **about)  # type: ignore[arg-type]
