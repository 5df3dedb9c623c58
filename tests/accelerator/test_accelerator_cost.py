"""The inventory of accelerators: geometry of the design, arrays as scalars, counts of jobs as the cycle model's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.accelerator import Design, Memory, exact, layer_jobs
from hwgen.accelerator.inventory import KINDS, accelerator_blocks, geometry, kind_of, memories
from hwgen.emit import result_depth
from hwgen.pe import family
from hwgen.schedule import Layer, Schedule
from rtl_tests.accelerator.cases import CASES
from sim.accelerator.activity import counts_of, job_counts, switching_terms
from sim.accelerator.plan import CALIBRATED, JUDGED, designs

DESIGNS = [case.build() for case in CASES]


def _blocks(design: Design) -> dict[str, Any]:
    return accelerator_blocks(type(design.tile), design.tile.p, design.p)


@pytest.mark.parametrize("design", DESIGNS, ids=[case.name for case in CASES])
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


def test_a_fault_in_the_inventory_is_seen() -> None:
    """Every parameter of a design matters to the flip-flops of some block."""
    base = DESIGNS[3]
    before = {name: block.primitives["ff"] for name, block in _blocks(base).items()}
    more = {"bus_bits": 512, "address_bits": 33, "weight_ring": 513, "act_ring": 2048, "burst": 32, "outstanding": 16}
    for name, value in {**more, "count_bits": 13}.items():
        found = accelerator_blocks(type(base.tile), base.tile.p, {**base.p, name: value})
        assert {key: block.primitives["ff"] for key, block in found.items()} != before, name
