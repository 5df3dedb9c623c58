"""A model on designs: cycles of the cycle model, energies and areas of the cost model, formats and room."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from dse.system import report_frame
from hwgen.accelerator import Design, Memory, exact, layer_jobs, placed
from hwgen.errors import HwgenError
from hwgen.frame.numbers import distinct
from hwgen.pe import family
from hwgen.schedule import Layer, Schedule
from sim.accelerator.cost import cost
from sim.system import OffChip, System, estimate_arrays, estimate_system
from sim.system.design_engine import beat_shares
from sim.system.estimate import engine_for
from sim.system.variant import variant
from sim.tech import load
from sim.workload import Decode, Generation, Operator, Pass, Prefill, Size, Workload, load_workload, parse_rule

FAST = OffChip("no limit", math.inf)
AROUND: dict[str, Any] = {"bus_bits": 256, "weight_ring": 128, "act_ring": 512, "burst": 32, "address_bits": 36}
DESIGNS = {
    "int": Design(tile=family("int").from_values({"m": 4, "n": 8, "k": 8, "bits": 4, "group": 64}), **AROUND),
    "bitmod": Design(tile=family("bitmod").from_values({"m": 1, "n": 16, "k": 8, "group": 64}), **AROUND),
    "lut": Design(tile=family("lut").from_values({"m": 2, "n": 32, "bits": 2, "group": 64}), **AROUND),
    "mx": Design(tile=family("mx").from_values({"m": 2, "n": 8, "k": 8}), **AROUND),
}
TABLES = Design(tile=family("lut").from_values({"m": 1, "n": 32, "bits": 2, "precompute": "external"}), **AROUND)
SMOLLM = load_workload("smollm2-135m")


def model(*sizes: tuple[int, int, int]) -> Workload:
    operators = tuple(Operator(f"p{i}", f"p{i}", Size(m), Size(n), Size(k)) for i, (m, n, k) in enumerate(sizes))
    return Workload("some", operators, phases=("pass",))


@pytest.mark.few(2)
@pytest.mark.parametrize("name", DESIGNS)
def test_one_core_is_the_cycle_model(name: str) -> None:
    """All legal jobs walked by hand: the best one's cycles, waits, bytes and energy are the report's."""
    design = DESIGNS[name]
    sizes = [(1, 64, 200), (7, 40, 128)]
    report = estimate_system(
        System(core=design, off_chip=FAST, timing="exact", clk_period_ns=6.0), model(*sizes), Pass()
    )
    assert report.certain
    for part, (m, n, k) in zip(report.parts, sizes, strict=True):
        schedule = Schedule(design.tile, Layer("p", m, n, k))
        walked = [
            (exact(design, job, Memory(20)), job)
            for job in (placed(design, j)[0] for j in layer_jobs(design, schedule))
        ]
        best, job = min(walked, key=lambda pair: (pair[0].cycles, sum(pair[0].read_beats.values())))
        assert part.cycles == best.cycles
        assert dict(part.waits) == best.waits
        bus = design.bus_bytes
        assert part.bytes["weights"] == best.read_beats["weights"] * bus
        assert part.bytes["results"] == best.write_beats * bus
        spent = cost(design, clk_period_ns=6.0, job=job, cycles=best)
        assert part.total_energy_pj == pytest.approx(float(spent.total_energy_pj), rel=1e-9)
    assert report.total_area_um2 == pytest.approx(float(cost(design, clk_period_ns=6.0).total_area_um2))


def test_closed_form_is_exact_where_it_says_so() -> None:
    sizes = [(1, 8, 64), (4, 8, 128), (3, 24, 64), (8, 64, 64), (1, 64, 256)]
    system = System(core=DESIGNS["int"], off_chip=FAST, clk_period_ns=6.0)
    near = estimate_system(system, model(*sizes), Pass())
    walked = estimate_system(dataclasses.replace(system, timing="exact"), model(*sizes), Pass())
    sure = [(one.cycles, other.cycles) for one, other in zip(near.parts, walked.parts, strict=True) if one.certain]
    assert sure
    assert all(one == other for one, other in sure)
    for one, other in zip(near.parts, walked.parts, strict=True):
        assert one.cycles == pytest.approx(other.cycles, rel=0.1)


def test_cores_get_their_share_of_the_beats() -> None:
    """Four cores on the beats of one take as long as one on a quarter of them by the exact model, or as their reads and
    writes take on one memory.
    """
    design, work = DESIGNS["int"], model((1, 32 * 4, 256))
    rate = OffChip("a beat a cycle", design.bus_bytes / 6.0)
    found = estimate_system(
        System(core=design, off_chip=rate, cores=4, timing="exact", split="outputs", clk_period_ns=6.0), work, Pass()
    )
    schedule = Schedule(design.tile, Layer("p", 1, 32, 256))
    jobs = [placed(design, job)[0] for job in layer_jobs(design, schedule)]
    quarter = min(exact(design, job, Memory(20, (1, 4))).cycles for job in jobs)
    assert found.cycles == max(quarter, sum(found.bytes.values()) / design.bus_bytes)
    # Of a faster memory each gets three beats in four cycles, which its reads alone take longer by than all bytes.
    more = dataclasses.replace(rate, gb_per_s=3 * rate.gb_per_s)
    found = estimate_system(
        System(core=design, off_chip=more, cores=4, timing="exact", split="outputs", clk_period_ns=6.0), work, Pass()
    )
    assert found.cycles == min(exact(design, job, Memory(20, (3, 4))).cycles for job in jobs)


def test_many_cores_by_the_exact_model() -> None:
    """What was chosen by closed form is walked; nothing but the cycles of jobs and what follows from them changes."""
    system = System(core=DESIGNS["int"], cores=3, off_chip=FAST, clk_period_ns=6.0)
    near = estimate_system(system, SMOLLM.only(["attn.*"]), Decode(40))
    told: list[tuple[int, int]] = []
    walked = estimate_system(
        dataclasses.replace(system, timing="exact"),
        SMOLLM.only(["attn.*"]),
        Decode(40),
        progress=lambda done, of: told.append((done, of)),
    )
    assert walked.certain
    assert told
    assert [part.split for part in walked.parts] == [part.split for part in near.parts]
    assert {part.split for part in walked.parts} == {"outputs", "copies"}
    assert [part.bytes for part in walked.parts] == [part.bytes for part in near.parts]
    assert walked.cycles == pytest.approx(near.cycles, rel=0.05)
    for part in walked.parts:
        assert part.work + sum(part.waits.values()) <= part.cycles


def test_cores_that_wait_take_energy() -> None:
    """One block of outputs: one core works, two have clocks and leakage for as long."""
    design = DESIGNS["int"]
    system = System(core=design, off_chip=FAST, timing="exact", split="outputs", clk_period_ns=6.0)
    alone, many = (
        estimate_system(dataclasses.replace(system, cores=cores), model((1, 8, 64)), Pass()) for cores in (1, 3)
    )
    assert many.cycles == alone.cycles
    job = next(iter(layer_jobs(design, Schedule(design.tile, Layer("p", 1, 8, 64)))))
    longer, shorter = (
        cost(design, clk_period_ns=6.0, job=job, cycles=cycles).total_energy_pj for cycles in (1001, 1000)
    )
    resting = 2 * alone.cycles * (float(longer) - float(shorter))
    assert many.total_energy_pj - alone.total_energy_pj == pytest.approx(resting, rel=1e-6)
    assert many.total_area_um2 == pytest.approx(3 * alone.total_area_um2)


def test_reads_and_writes_share_the_memory() -> None:
    """Many outputs of few inputs: results alone fill the memory."""
    design = DESIGNS["int"]
    rate = OffChip("half a beat a cycle", design.bus_bytes / 2 / 6.0)
    for timing in ("closed", "exact"):
        system = System(core=design, off_chip=rate, cores=1, timing=timing, clk_period_ns=6.0)
        found = estimate_system(system, model((64, 256, 8)), Pass())
        assert found.cycles >= sum(found.bytes.values()) / (design.bus_bytes / 2)
        assert found.bandwidth_utilization <= 1.0


def test_beat_shares() -> None:
    beats, cycles = beat_shares(np.array([2.0, 1.0, 0.25, 1 / 3, 0.001, 0.37]))
    assert (beats / cycles).tolist() == pytest.approx([1, 1, 0.25, 1 / 3, 0.001, 0.37], rel=0.01)
    assert (beats[:4] * 12 // cycles[:4]).tolist() == [12, 12, 3, 4]


def test_totals_are_sums_and_round_trip() -> None:
    report = estimate_system(
        System(core=DESIGNS["int"], cores=2, clk_period_ns=6.0, vector_lanes=8), SMOLLM, Decode(64)
    )
    assert report.cycles == sum(part.cycles for part in report.parts)
    assert report.macs == SMOLLM.macs(Decode(64))
    assert report.tokens_per_s == pytest.approx(1 / (report.cycles * 6e-9))
    assert report.joules_per_token == pytest.approx(sum(report.energy_pj.values()) * 1e-12)
    document = json.loads(json.dumps(report.as_dict()))
    assert document["totals"]["cycles"] == report.cycles
    frame = report_frame(report)
    assert frame["cycles"].sum() == report.cycles
    assert list(frame["role"]) == [part.role for part in report.parts]
    energy = frame[[name for name in frame if name.endswith("energy_pj")]].sum().sum()
    assert energy == pytest.approx(report.total_energy_pj)
    for part in report.parts:
        assert part.work + sum(part.waits.values()) <= part.cycles or part.operand == "vector"
    vector = {part.role: part for part in report.parts if part.operand == "vector"}
    # Nine heads of 30 layers see 64 keys each; five operations an element on 16 lanes.
    assert vector["softmax"].operations == 5 * 9 * 30 * 64
    assert vector["softmax"].cycles == math.ceil(5 * 9 * 30 * 64 / 16)
    assert vector["norm"].operations == 4 * (2 * 30 + 1) * 576
    assert vector["activation"].operations == 4 * 30 * 1536


def test_generation_is_the_sum_of_its_steps() -> None:
    system = System(core=DESIGNS["int"], cores=2, clk_period_ns=6.0)
    whole = estimate_system(system, SMOLLM, Generation(tokens=5, steps=3))
    steps = [estimate_system(system, SMOLLM, phase) for phase in (Prefill(5), Decode(6), Decode(7), Decode(8))]
    assert whole.cycles == sum(one.cycles for one in steps)
    assert whole.total_energy_pj == pytest.approx(sum(one.total_energy_pj for one in steps))
    assert whole.tokens == 3


def test_arrays_over_designs_are_what_each_is_alone() -> None:
    base = DESIGNS["bitmod"]
    system = System(core=base, cores=3, kv="int8", clk_period_ns=6.0, dram_channels=2)
    n, ring = np.array([8, 16, 32]), np.array([64, 512, 2048])
    found = estimate_arrays(system, SMOLLM, Decode(50), {"n": n}, {"act_ring": ring})
    for place in range(3):
        tile = type(base.tile)(**{**base.tile.p, "n": int(n[place])})
        design = Design.from_values(tile, {**base.p, "act_ring": int(ring[place])})
        alone = estimate_system(dataclasses.replace(system, core=design), SMOLLM, Decode(50))
        assert found["cycles"][place] == alone.cycles
        assert found["energy_pj"][place] == pytest.approx(alone.total_energy_pj)
        assert found["weights_bytes"][place] == alone.bytes["weights"]
        assert found["area_um2"][place] == pytest.approx(alone.total_area_um2)


def test_formats_of_second_operands() -> None:
    assert variant(DESIGNS["bitmod"], "int8").passes == 1
    assert variant(DESIGNS["bitmod"], "int8").design.tile.p["bits"] == 8
    # Codes of twice the width in memories of the same size.
    wide, own = (one.streams["weights"] for one in (variant(DESIGNS["bitmod"], "int8").design, DESIGNS["bitmod"]))
    assert (wide.bits, wide.capacity, wide.burst) == (2 * own.bits, own.capacity, own.burst)
    assert variant(DESIGNS["int"], "int8").passes == 2
    assert variant(DESIGNS["lut"], "int8").passes == 4
    assert variant(DESIGNS["int"], "int3").passes == 1
    with pytest.raises(HwgenError, match="must be fp4_e2m1 on this mx tile, not int8"):
        variant(DESIGNS["mx"], "int8")
    rows = dataclasses.replace(DESIGNS["int"], tile=type(DESIGNS["int"].tile)(**{**DESIGNS["int"].tile.p, "group": 0}))
    with pytest.raises(HwgenError, match="group of the tile must be positive for int8 as 2 digits of int4"):
        variant(rows, "int8")
    system = System(core=DESIGNS["int"], clk_period_ns=6.0)
    own = estimate_system(system, SMOLLM, Decode(64))
    wide = estimate_system(dataclasses.replace(system, kv="int8"), SMOLLM, Decode(64))
    ruled = estimate_system(system, SMOLLM, Decode(64), [parse_rule("kv=int8 role=attn.*")])
    assert wide.cycles == ruled.cycles > own.cycles
    by = {part.role: part for part in wide.parts}
    for part in own.parts:
        assert by[part.role].bytes["weights"] == part.bytes["weights"] * (2 if part.operand == "kv" else 1)


def test_digits_fill_groups() -> None:
    """Ten steps of 8 are 80 elements: the first digit takes 128, two groups of 64, the second 80."""
    design = DESIGNS["int"]
    wide = engine_for(System(core=design, clk_period_ns=6.0), "kv", "int8", load("sky130hd"), 6.0)
    own = engine_for(System(core=design, clk_period_ns=6.0), "kv", "", load("sky130hd"), 6.0)
    one, m, n = np.array([[1]]), np.array([[1]]), np.array([[16]])
    digits = wide.best(m, n, np.array([[80]]), one, 1)
    plain = own.best(m, n, np.array([[208]]), one, 1)
    assert {name: value.tolist() for name, value in digits.items()} == {
        name: value.tolist() for name, value in plain.items()
    }


def test_dequantisation_and_tables_on_the_vector_unit() -> None:
    base = System(core=DESIGNS["int"], clk_period_ns=6.0, vector_lanes=8)

    def operations(**about: Any) -> int:
        found = estimate_system(dataclasses.replace(base, **about), SMOLLM, Decode(64))
        return sum(part.operations for part in found.parts if part.role in ("dequant", "tables"))

    weights = sum(one.weights for one in SMOLLM.operators)
    assert operations() == 0
    assert operations(dequant="vector_before") == weights
    assert operations(dequant="vector_after") == weights // 64
    base = dataclasses.replace(base, core=TABLES)
    # Eight sums for four activations; again for each block of 32 outputs.
    plain, fused, naive = (operations(tables=which) for which in ("tile", "fused", "naive"))
    assert plain == 0
    products = [(run.m * -(-run.k // 4) * 8 * run.total_count, -(-run.n // 32)) for run in SMOLLM.runs(Decode(64))]
    assert fused == sum(once for once, _ in products)
    assert naive == sum(once * uses for once, uses in products)
    assert "who makes the tables" in " ".join(estimate_system(base, SMOLLM, Decode(64)).not_counted)
    base = dataclasses.replace(base, core=DESIGNS["int"])
    hidden = estimate_system(dataclasses.replace(base, vector_overlap=True), SMOLLM, Decode(64))
    assert hidden.cycles < estimate_system(base, SMOLLM, Decode(64)).cycles


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"cores": 0}, "system: cores must be a whole number from 1 to 4096, not 0"),
        ({"dram": "lpddr9"}, "system: dram must be ddr3, .*, not 'lpddr9'; did you mean"),
        ({"kv": "int99"}, "bits must be 1 to 32, not 99"),
        ({"multicast": True}, "multicast must be false for a design"),
        ({"metadata": False}, "metadata must be true for a design"),
        ({"tables": "fused"}, "tables must be tile where the int tile makes what it looks up, .*, not fused; use --pe"),
        (
            {"core": TABLES, "tables": "fused"},
            "tables must be tile without a vector unit, not fused; use --vector-lanes",
        ),
        ({"dequant": "vector_after"}, "dequant must be tile without a vector unit, not vector_after"),
        ({"core": 3}, "core must be a Design or an Array, not 3"),
    ],
)
def test_mistakes_of_systems(about: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError, match=message):
        System(**{"core": DESIGNS["int"], **about})


@pytest.mark.parametrize(
    ("about", "phase", "message"),
    [
        ({}, Decode(9000), "context must be at most 8,192, which the model was made for, not 9,000"),
        (
            {"dram_gib": 1},
            Decode(8192, batch=64),
            r"smollm2-135m, decode at context 8,192 × 64, must fit the 1 GiB of its memory, not take .* GiB "
            r"\(weights .*, KV cache .*\); use --dram-gib \d+, a smaller batch or a shorter context",
        ),
        ({"kv": "fp16"}, Decode(64), "a second operand must be int4 or a wider integer on this int tile, not fp16"),
        ({"timing": "exact"}, Generation(4, 300), "timing must be closed for more than 256 products"),
    ],
)
def test_mistakes_of_phases(about: dict[str, Any], phase: Any, message: str) -> None:
    with pytest.raises(HwgenError, match=message):
        estimate_system(System(core=DESIGNS["int"], clk_period_ns=6.0, **about), SMOLLM, phase)


def test_addresses_that_do_not_reach_are_refused() -> None:
    small = dataclasses.replace(DESIGNS["int"], address_bits=32)
    with pytest.raises(HwgenError, match=r"must fit the 32 bits of the design's addresses.*use --address-bits 3"):
        estimate_system(System(core=small, clk_period_ns=6.0), load_workload("llama-2-13b"), Decode(64))


def test_tiles_are_priced_once_and_designs_have_the_prices_of_their_own() -> None:
    """Few tiles among many designs: every design's columns are those of that design alone."""
    rng = np.random.default_rng(4)
    p = {"m": rng.choice((1, 2, 4), 12), "n": rng.choice((8, 16), 12)}
    d = {"weight_ring": rng.choice((128, 256), 12), "burst": rng.choice((8, 32), 12)}
    system = System(core=DESIGNS["int"], off_chip=FAST, clk_period_ns=6.0)
    found = estimate_arrays(system, model((3, 24, 64)), Pass(), p, d)
    for index in (0, 5, 11):
        own = ({name: value[index : index + 1] for name, value in of.items()} for of in (p, d))
        alone = estimate_arrays(system, model((3, 24, 64)), Pass(), *own)
        for name, value in alone.items():
            assert value[0] == pytest.approx(found[name][index], rel=1e-12), name


@pytest.mark.parametrize("cores", [1, 3])
def test_many_designs_in_pieces_are_what_each_is_alone(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces on threads, priced together and worked out a few at a time, also where designs have nothing in common."""
    rng, count = np.random.default_rng(5), 40
    system = System(core=DESIGNS["int"], cores=cores, kv="int8", clk_period_ns=6.0)
    for least in (8, 64):
        p = {"m": rng.choice((1, 2), count), "n": rng.choice((8, 16), count)}
        d = {"weight_ring": rng.choice((128, 256), count), "act_ring": 64 + rng.permutation(count)}
        whole = estimate_arrays(system, SMOLLM, Prefill(20), p, d)
        with monkeypatch.context() as patched:
            for name, value in {
                "_LEAST": least,
                "_PRICED": 16,
                "_AT_ONCE": 5,
                "kernel_cores": lambda: 2,
            }.items():
                patched.setattr(f"sim.system.many.{name}", value)
            pieces = estimate_arrays(system, SMOLLM, Prefill(20), p, d)
        assert pieces.keys() == whole.keys()
        for name, value in whole.items():
            assert len(pieces[name]) == count
            # Sums of the same numbers, in the same order.
            np.testing.assert_allclose(pieces[name], value, rtol=1e-13, err_msg=name)
        for place in rng.integers(0, count, 2):
            tile = type(DESIGNS["int"].tile)(**{**DESIGNS["int"].tile.p, **{key: int(p[key][place]) for key in p}})
            design = Design.from_values(tile, {**DESIGNS["int"].p, **{key: int(d[key][place]) for key in d}})
            alone = estimate_system(dataclasses.replace(system, core=design), SMOLLM, Prefill(20))
            assert whole["cycles"][place] == alone.cycles
            assert whole["energy_pj"][place] == pytest.approx(alone.total_energy_pj, rel=1e-12)
            assert whole["area_um2"][place] == pytest.approx(alone.total_area_um2, rel=1e-12)
            for name, value in alone.bytes.items():
                assert whole[f"{name}_bytes"][place] == value
            for name, value in alone.waits.items():
                assert whole[f"wait_{name}_cycles"][place] == value


def test_distinct_combinations() -> None:
    few, places = distinct({"a": np.array([3, 1, 3, 1]), "b": np.array([0, 2, 0, 3]), "c": 7})
    assert places is not None
    assert few["c"] == 7
    assert sorted(zip(few["a"].tolist(), few["b"].tolist(), strict=True)) == [(1, 2), (1, 3), (3, 0)]
    assert few["a"][places].tolist() == [3, 1, 3, 1]
    assert few["b"][places].tolist() == [0, 2, 0, 3]
    grid, places = distinct({"a": np.array([[1], [2]]), "b": np.array([[5, 5, 6]])})
    assert places is not None
    assert grid["a"].size == 4
    assert np.array_equal(grid["b"][places], [[5, 5, 6], [5, 5, 6]])
    assert distinct({"c": 7}) == ({"c": 7}, None)
