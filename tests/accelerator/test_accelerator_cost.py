"""The inventory of accelerators: geometry of the design, arrays as scalars, counts of jobs as the cycle model's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.accelerator import Design, Job, Memory, exact, layer_jobs
from hwgen.accelerator.inventory import KINDS, accelerator_blocks, geometry, kind_of, memories
from hwgen.emit import result_depth
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.schedule import Layer, Schedule
from rtl_tests.accelerator.cases import CASES, RESULT_CASES
from sim.accelerator.activity import counts_of, job_counts, switching_terms
from sim.accelerator.cost import cost, cost_arrays
from sim.accelerator.plan import CALIBRATED, JUDGED, designs
from sim.accelerator.prices import block_numbers, block_values, read_table, switching_pj
from sim.memory import dram_bit_pj, library_memory
from sim.tech import load

DESIGNS = [case.build() for case in (*CASES, *RESULT_CASES)]
UNITS = DESIGNS[len(CASES) :]


def _blocks(design: Design) -> dict[str, Any]:
    return accelerator_blocks(type(design.tile), design.tile.p, design.p)


@pytest.mark.parametrize("design", DESIGNS, ids=[case.name for case in (*CASES, *RESULT_CASES)])
def test_geometry_is_that_of_the_design(design: Design) -> None:
    found = geometry(type(design.tile), design.tile.p, design.p)
    assert {name for name, stream in found.streams.items() if stream.there} == set(design.streams)
    for name, stream in design.streams.items():
        for what in ("bits", "words_per_entry", "beats_per_entry", "entry_bits", "depth", "burst", "capacity"):
            assert getattr(found.streams[name], what) == getattr(stream, what), (name, what)
    same = ("step_k", "group_steps", "sum_steps", "result_bits", "result_words_per_beat", "result_beats", "write_depth")
    for what in same:
        assert getattr(found, what) == getattr(design, what), what
    assert found.queues["stream_result"][0] == result_depth(design.tile)
    assert found.made == (design.beats_per_block if design.requantises else 1)


def test_every_block_has_a_kind() -> None:
    assert {kind_of(name) for design in DESIGNS for name in _blocks(design)} == set(KINDS)


def test_arrays_are_scalars_side_by_side() -> None:
    """Designs of a family at once give what each gives by itself, memories and terms of switching included."""
    spec = family("int")
    tile = spec.from_values({"m": 2, "n": 4, "k": 4, "bits": 4, "group": 16, "post_lanes": 2})
    axes: dict[str, list[int]] = {
        "bus_bits": [64, 128, 512, 256],
        "address_bits": [32, 40, 64, 33],
        "weight_ring": [2, 64, 500, 17],
        "act_ring": [16, 3, 512, 100],
        "burst": [1, 16, 64, 3],
        "outstanding": [1, 4, 16, 7],
        "count_bits": [8, 16, 24, 32],
    }
    n = [4, 4, 8, 16]
    job: dict[str, Any] = {"m_blocks": 3, "n_blocks": 2, "k_steps": 16, "k_groups": 4, "hold_weights": 0}
    orders, held = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    p = {**tile.p, "n": np.array(n)}
    d = {name: np.array(values) for name, values in axes.items()}
    blocks = accelerator_blocks(spec, p, d)
    stores = memories(geometry(spec, p, d), d)
    counts = job_counts(spec, p, d, {**job, "order": orders, "hold_acts": held}, np.arange(4) + 100)
    terms = switching_terms(spec, p, d, counts)
    for index in range(4):
        one = {name: values[index] for name, values in axes.items()}
        own = {**tile.p, "n": n[index]}
        for name, block in accelerator_blocks(spec, own, one).items():
            assert np.broadcast_to(blocks[name].count, 4)[index] == block.count, name
            for primitive, number in block.primitives.items():
                if block.count:
                    assert np.broadcast_to(blocks[name].primitives[primitive], 4)[index] == number, (name, primitive)
        for name, memory in memories(geometry(spec, own, one), one).items():
            assert np.broadcast_to(stores[name].depth, 4)[index] == memory.depth
            assert np.broadcast_to(stores[name].bits, 4)[index] == memory.bits
        alone = job_counts(
            spec, own, one, {**job, "order": int(orders[index]), "hold_acts": int(held[index])}, 100 + index
        )
        for name, found in switching_terms(spec, own, one, alone).items():
            for term, value in found.items():
                assert np.broadcast_to(terms[name][term], 4)[index] == value, (name, term)


def test_counts_of_jobs_are_those_of_the_cycle_model() -> None:
    """Bus beats of every legal job of a layer, on designs with narrow and wide words."""
    compared = 0
    for index, design in enumerate([*DESIGNS[::3], *designs(4, CALIBRATED), *designs(4, JUDGED)]):
        outputs = design.tile.n * int(design.tile.layer_outputs(design.tile.p))
        inner = 48 + -48 % int(design.tile.layer_k(design.tile.p))
        schedule = Schedule(design.tile, Layer("l", 2 * design.tile.m, 2 * outputs + index % 2, inner))
        for job in layer_jobs(design, schedule):
            model = exact(design, job, Memory(4))
            counts = counts_of(design, job, model.cycles)
            assert {name: counts.streams[name].beats for name in design.streams} == model.read_beats
            assert counts.write_beats == model.write_beats
            compared += 1
    assert compared >= 40


def test_every_parameter_of_a_unit_behind_the_tile_matters() -> None:
    """To the flip-flops of the unit, or of what brings it what channels have."""
    floats, integers = UNITS[2], UNITS[6]
    changes: list[tuple[Design, dict[str, Any]]] = [
        (floats, {"outer": True}),
        (floats, {"bias": False}),
        (floats, {"result": "tile"}),
        (integers, {"result": "int4"}),
        (integers, {"result_lanes": 2}),
        (integers, {"multiplier_bits": 17}),
    ]
    for base, change in changes:
        before, after = (
            accelerator_blocks(type(base.tile), base.tile.p, {**base.p, **more})["result_unit"].primitives["ff"]
            for more in ({}, change)
        )
        assert before != after, change


def test_a_fault_in_the_inventory_is_seen() -> None:
    """Every parameter of a design matters to the flip-flops of some block."""
    base = DESIGNS[3]
    before = {name: block.primitives["ff"] for name, block in _blocks(base).items()}
    more = {"bus_bits": 512, "address_bits": 33, "weight_ring": 513, "act_ring": 2048, "burst": 32, "outstanding": 16}
    for name, value in {**more, "count_bits": 13}.items():
        found = accelerator_blocks(type(base.tile), base.tile.p, {**base.p, name: value})
        assert {key: block.primitives["ff"] for key, block in found.items()} != before, name


# ---------------------------------------------------------------------------------------------------- prices


def _job(design: Design, columns: int = 3) -> tuple[Any, Any]:
    outputs = design.tile.n * int(design.tile.layer_outputs(design.tile.p))
    inner = 64 + -64 % int(design.tile.layer_k(design.tile.p))
    schedule = Schedule(design.tile, Layer("l", 3 * design.tile.m, columns * outputs, inner))
    job = next(iter(layer_jobs(design, schedule)))
    return job, exact(design, job, Memory(12))


def test_the_table_meets_what_was_measured() -> None:
    """Area, period and energy of every calibrated accelerator in total, tile and memories apart."""
    from sim.accelerator.measure import parse_samples
    from sim.accelerator.prices import TABLES

    samples = parse_samples((TABLES / "sky130hd.csv").read_text(), "sky130hd.csv")
    seen = {}
    for sample in samples:
        seen.setdefault(id(sample.design), []).append(sample)
    assert len(seen) >= 12
    tech = load("sky130hd")
    for group in seen.values():
        design, job, cycles = group[0].design, group[0].job, group[0].cycles
        spec, p, d = type(design.tile), design.tile.p, design.p
        blocks = accelerator_blocks(spec, p, d, living=True)
        numbers = block_numbers(geometry(spec, p, d), d)
        area, period, clock, leakage = (
            block_values(tech, quantity, blocks, numbers)
            for quantity in ("area_um2", "min_clk_period_ns", "clock_pj", "leakage_uw")
        )
        switching = switching_pj(tech, switching_terms(spec, p, d, counts_of(design, job, cycles), blocks), blocks)

        def total(values: Any, group: Any = group) -> float:
            return float(sum(values[sample.block] for sample in group))

        def measured(quantity: str, group: Any = group) -> float:
            return float(sum(sample.values[quantity] for sample in group))

        assert total(area) == pytest.approx(measured("area_um2"), rel=0.04)
        assert total(leakage) == pytest.approx(measured("leakage_uw"), rel=0.08)
        slowest = max(sample.values["min_clk_period_ns"] for sample in group)
        assert max(period.values()) == pytest.approx(slowest, rel=0.15)
        wanted = measured("switching_pj") + cycles * measured("clock_pj")
        assert total(switching) + cycles * total(clock) == pytest.approx(wanted, rel=0.08)


@pytest.mark.parametrize("tech", ["sky130hd", "generic45", "asap7"])
def test_cost_of_a_job(tech: str) -> None:
    design = DESIGNS[3]
    job, cycles = _job(design)
    idle = cost(design, tech, 10.0)
    said = cost(design, tech, 10.0, job=job, cycles=cycles, dram="lpddr4")
    assert said.area_um2 == idle.area_um2
    assert idle.energy_pj == {}
    assert all(value >= 0 for value in [*said.area_um2.values(), *said.energy_pj.values()])
    beats = sum(cycles.read_beats.values()) + cycles.write_beats
    assert said.energy_pj["dram"] == pytest.approx(beats * design.bus_bits * dram_bit_pj("lpddr4"))
    assert said.power_mw == pytest.approx(said.total_energy_pj / (cycles.cycles * 10.0))
    assert {name for name, block in _blocks(design).items() if block.count} <= set(said.area_um2)
    assert {f"tile_{kind}" for kind in ("row", "col", "cell", "post", "control")} <= set(said.area_um2)
    # Twice the cycles: clock and leakage for longer, the rest as before.
    slower = cost(design, tech, 10.0, job=job, cycles=2 * cycles.cycles, dram="lpddr4")
    assert slower.energy_pj["registers"] > 1.5 * said.energy_pj["registers"]
    assert slower.energy_pj["dram"] == said.energy_pj["dram"]
    document = said.as_dict()
    assert document["energy_pj"]["total"] == pytest.approx(said.total_energy_pj)
    unknown = tech == "asap7"
    assert ("areas and leakage of memories" in document["not_counted"]) == unknown
    assert any(name.endswith("_sram") for name in said.area_um2) != unknown
    assert any(name.endswith("_sram") for name in said.energy_pj)


@pytest.mark.parametrize("tech", ["sky130hd", "asap7"])
@pytest.mark.parametrize("design", UNITS[::2], ids=[case.name for case in RESULT_CASES[::2]])
def test_a_unit_behind_the_tile_has_its_price(design: Design, tech: str) -> None:
    """It costs area and energy, and more results cost more of it; what channels have is read and kept."""
    job, cycles = _job(design)
    said = cost(design, tech, 20.0, job=job, cycles=cycles)
    assert said.area_um2["result_unit"] > 0
    more, more_cycles = _job(design, columns=6)
    again = cost(design, tech, 20.0, job=more, cycles=more_cycles)
    assert again.energy_pj["result_unit"] > 1.5 * said.energy_pj["result_unit"]
    assert ("channels_ring" in said.energy_pj) == ("channels_ring_sram" in said.energy_pj) == bool(design.channel_bits)


def test_accesses_of_memories_are_priced_by_reads_and_writes() -> None:
    """In sky130hd every access of a ring is one of the macros side by side that hold its word."""
    design = DESIGNS[3]
    job, cycles = _job(design)
    said = cost(design, "sky130hd", 10.0, job=job, cycles=cycles)
    counts = counts_of(design, job, cycles.cycles)
    macro = library_memory("sky130hd").macro
    assert macro is not None
    stream = design.streams["weights"]
    across = -(-stream.entry_bits // macro.word_bits)
    macros = across * -(-stream.depth * stream.entry_bits // 8 // (across * macro.capacity_bytes))
    of_stream = counts.streams["weights"]
    access = of_stream.entries * macro.read_pj + of_stream.beats / stream.beats_per_entry * macro.write_pj
    leaking = macros * macro.leakage_mw * 10.0 * cycles.cycles
    assert said.energy_pj["weights_ring_sram"] == pytest.approx(across * access + leaking)
    assert said.area_um2["weights_ring_sram"] == pytest.approx(1e6 * macros * macro.area_mm2)


def test_a_clock_maps_slow_blocks_for_speed() -> None:
    design = DESIGNS[3]
    relaxed, hard = cost(design, "sky130hd", 50.0), cost(design, "sky130hd", 1.0)
    assert hard.area_um2["weights_ring"] > relaxed.area_um2["weights_ring"]
    assert not hard.meets_clock
    assert relaxed.meets_clock
    shortest = cost(design, "sky130hd")
    assert shortest.clk_period_ns == max(shortest.min_clk_period_ns, shortest.memory_cycle_ns)
    assert shortest.meets_clock


def test_a_clock_that_can_be_kept_is_kept() -> None:
    """As one piece blocks are slower than alone, and mapped for speed where that is too slow."""
    tile = family("int").from_values({"bits": 4, "m": 4, "n": 8, "k": 8, "cell_cuts": 1})
    for values in ({}, {"act_ring": 2048}, {"burst": 64}):
        design = Design.from_values(tile, values)
        fastest = cost(design, "sky130hd", 0.1).min_clk_period_ns
        for clock in np.arange(3.0, 7.0, 0.25):
            assert cost(design, "sky130hd", float(clock)).min_clk_period_ns <= max(float(clock), fastest)
    many = cost_arrays(type(tile), tile.p, {**Design(tile=tile).p, "burst": np.array([4, 16])}, "sky130hd", 5.0)
    assert many.meets_clock.tolist() == [False, False]


def test_published_tables_have_no_timing() -> None:
    design = DESIGNS[0]
    with pytest.raises(HwgenError, match="clk_period_ns must be given with technology horowitz45"):
        cost(design, "horowitz45")
    job, cycles = _job(design)
    said = cost(design, "horowitz45", 1.0, job=job, cycles=cycles)
    assert said.status == "assumed"
    assert said.meets_clock is None
    assert said.total_energy_pj > 0


def test_a_job_needs_cycles() -> None:
    job, _ = _job(DESIGNS[0])
    with pytest.raises(HwgenError, match="a job must come with its cycles"):
        cost(DESIGNS[0], job=job)


@pytest.mark.parametrize("clock", [None, 5.0])
def test_sweeps_give_what_each_design_gives(clock: float | None) -> None:
    """Areas and energies of many designs and orders at once, with and without side information."""
    spec = family("int")
    tile = spec.from_values({"m": 2, "n": 4, "k": 4, "bits": 4, "group": 16, "post_lanes": 2})
    bus, rings, orders = np.array([64, 128, 512, 256]), np.array([16, 64, 500, 17]), np.array([0, 1, 0, 1])
    base = Design(tile=tile).p
    d = {**base, "bus_bits": bus, "weight_ring": rings, "act_ring": rings[::-1]}
    job: dict[str, Any] = {"m_blocks": 3, "n_blocks": 2, "k_steps": 16, "k_groups": 4}
    job |= {"hold_weights": 0, "hold_acts": 0}
    cycles = np.array([500, 600, 700, 800])
    counts = job_counts(spec, tile.p, d, {**job, "order": orders}, cycles)
    swept = cost_arrays(spec, tile.p, d, "sky130hd", clock, counts=counts, dram="ddr4")
    for index in range(4):
        values = {"bus_bits": bus[index], "weight_ring": rings[index], "act_ring": rings[::-1][index]}
        design = Design.from_values(tile, {name: int(value) for name, value in values.items()})
        one = Job(**job, order=int(orders[index]))
        alone = cost(design, "sky130hd", clock, job=one, cycles=int(cycles[index]), dram="ddr4")
        for got, wanted in ((swept.area_um2, alone.area_um2), (swept.energy_pj, alone.energy_pj)):
            assert set(got) == set(wanted)
            for name, value in wanted.items():
                assert np.broadcast_to(got[name], 4)[index] == pytest.approx(value), name
        assert np.broadcast_to(swept.clk_period_ns, 4)[index] == pytest.approx(alone.clk_period_ns)
        assert np.broadcast_to(swept.power_mw, 4)[index] == pytest.approx(alone.power_mw)


def test_a_table_without_a_kind_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sim.accelerator import prices

    text = (prices.TABLES / "sky130hd.toml").read_text().replace("[models.ring]", "[models.rang]")
    (tmp_path / "broken.toml").write_text(text)
    monkeypatch.setattr(prices, "TABLES", tmp_path)
    with pytest.raises(HwgenError, match=r"accelerator table broken.toml: must be .* 'ring'"):
        read_table("broken")
