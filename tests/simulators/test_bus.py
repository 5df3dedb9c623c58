from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.simulators import Port, _program
from hwgen.simulators.bus import (
    BusJob,
    BusResult,
    BusSim,
    FilePart,
    MemoryModel,
    Op,
    Read,
    Reset,
    Start,
    Wait,
    WaitIrq,
    Write,
    build_bus,
)
from tests.simulators.bus_design import ports, verilog

pytestmark = pytest.mark.rtl

SIZE = 32768
HALF = SIZE // 2
STATUS = 4


@pytest.fixture(scope="module")
def copier() -> BusSim:
    return build_bus(verilog(64), "copier", ports(64), id_bits=2)


def image(seed: int = 0, size: int = SIZE) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def setup(
    source: int = 0, target: int = HALF, bursts: int = 4, beats: int = 8, mode: int = 0, fault: int = 0
) -> list[Op]:
    """Six writes of two cycles each: a start that follows is accepted in cycle 12."""
    values = (source, target, bursts, beats - 1, mode, fault)
    return [Write(8 + 4 * place, value) for place, value in enumerate(values)]


def copy(limit: int = 5000, **options: int) -> list[Op]:
    return [*setup(**options), Start(0, 1), WaitIrq(limit)]


def copied(before: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    after = before.copy()
    after[HALF : HALF + count] = before[:count]
    return after


def raises(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        call()
    assert str(caught.value) == message


Timeline = dict[str, list[tuple[int, int]]]


def timeline(
    start: int, first: range, model: MemoryModel, bursts: int, beats: int, mode: int, reset: int = 0
) -> tuple[Timeline, int]:
    """Cycles and ids of all handshakes of a copy that was started in cycle ``start``, and the first cycle with irq.

    ``first`` holds the cycles in which the script's first start is offered; it is accepted in the last. ``reset``
    is the first cycle after the latest reset.
    """
    n, d = model.beats

    def slot(cycle: int) -> int:
        """The first slot from ``cycle`` on."""
        while True:
            t = cycle if cycle < first.start else cycle - first.stop + 1
            if t >= 0 and (t + 1) * n // d > t * n // d:
                return cycle
            cycle += 1

    def turn(cycle: int) -> int:
        """The first cycle from ``cycle`` on in which RREADY and BREADY are high."""
        return cycle + (2 - cycle + reset) % 3 if mode & 1 else cycle

    ar = [start + 1 + burst for burst in range(bursts)]
    r, w = [start], [start]
    for beat in range(bursts * beats):
        r.append(turn(slot(max(r[-1] + 1, ar[beat // beats] + model.latency))))
        w.append(slot(max(w[-1], r[-1]) + 1))
    aw, b = [start], [start]
    for burst in range(bursts):
        last = w[(burst + 1) * beats]
        aw.append(max(aw[-1], last if mode & 2 else start) + 1)
        b.append(turn(max(b[-1] + 1, max(aw[-1], last) + model.latency)))
    got = {
        "ar": [(cycle, burst % 4) for burst, cycle in enumerate(ar)],
        "r": [(cycle, beat // beats % 4) for beat, cycle in enumerate(r[1:])],
        "aw": [(cycle, 3 - burst % 4) for burst, cycle in enumerate(aw[1:])],
        "w": [(cycle, 3 - beat // beats % 4) for beat, cycle in enumerate(w[1:])],
        "b": [(cycle, 3 - burst % 4) for burst, cycle in enumerate(b[1:])],
    }
    return got, b[-1] + 1


def traced(result: BusResult) -> Timeline:
    assert result.trace is not None
    return {
        name: [(cycle, number) for cycle, number in getattr(result.trace, name).tolist()]
        for name in ("ar", "r", "aw", "w", "b")
    }


MODELS = [
    MemoryModel(latency, beats)
    for latency, beats in product((1, 2, 7, 60), ((1, 1), (1, 2), (2, 3), (4, 7), (1, 9), (5, 6)))
]


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_every_handshake_is_in_its_cycle(copier: BusSim, mode: int) -> None:
    before = image()
    # Delays of up to six cycles: the phase of the slots comes from the start alone.
    jobs = [
        BusJob([Wait(1 + number % 7), *copy(mode=mode, bursts=5, beats=6), Wait(3)], before, model, record=True)
        for number, model in enumerate(MODELS)
    ]
    for number, (job, result) in enumerate(zip(jobs, copier.run_many(jobs), strict=True)):
        start = 13 + number % 7
        assert result.starts.tolist() == [start]
        wanted, irq = timeline(start, range(start, start + 1), job.memory, 5, 6, mode)
        assert traced(result) == wanted
        assert result.irq_cycles.tolist() == [irq - start]
        assert result.irq_rises.tolist() == [irq]
        assert (result.memory[0] == copied(before, 8 * 30)).all()
        counts = result.ar_bursts, result.aw_bursts, result.w_beats, result.b_responses, result.outstanding
        assert counts == (5, 5, 30, 5, 0)
        assert result.r_beats.tolist() == [12, 6, 6, 6] + [0] * 12
        # WaitIrq ends in the cycle of irq, the Wait after it three cycles later.
        assert result.op_ends[-2:].tolist() == [irq, irq + 3]
        assert result.cycles == irq + 4


def test_by_hand(copier: BusSim) -> None:
    # Slots are t = 1, 3, 5...; AR in 1, so R is offered from 4: beats in 5 and 7, on W in 7 and 9, B in 12, irq in 13.
    result = copier.run(copy(bursts=1, beats=2), image(), MemoryModel(3, (1, 2)), record=True)
    assert {name: [cycle - 12 for cycle, _ in rows] for name, rows in traced(result).items()} == {
        "ar": [1],
        "r": [5, 7],
        "aw": [1],
        "w": [7, 9],
        "b": [12],
    }
    assert result.irq_cycles.tolist() == [13]


def test_slots_run_on_over_later_starts(copier: BusSim) -> None:
    model = MemoryModel(3, (2, 7))
    script = [*copy(bursts=2, beats=3), Write(STATUS, 0), Wait(3), Start(0, 1), WaitIrq()]
    result = copier.run(script, image(), model, record=True)
    first, second = result.starts.tolist()
    offered = range(first, first + 1)
    one, irq_one = timeline(first, offered, model, 2, 3, 0)
    two, irq_two = timeline(second, offered, model, 2, 3, 0)
    assert traced(result) == {name: one[name] + two[name] for name in one}
    assert result.irq_cycles.tolist() == [irq_one - first, irq_two - second]
    assert result.irq_rises.tolist() == [irq_one, irq_two]
    # The test would not see a phase that begins anew if both were the same.
    assert timeline(second, range(second, second + 1), model, 2, 3, 0)[1] != irq_two


@pytest.mark.parametrize("beats", [(1, 1), (5, 6), (2, 3), (3, 8)])
@pytest.mark.parametrize("lead", [0, 4])
def test_slots_before_the_first_start(copier: BusSim, beats: tuple[int, int], lead: int) -> None:
    # A plain write starts the copy; what is marked as the start clears irq in the middle of it.
    model = MemoryModel(2, beats)
    without = [*setup(), Write(0, 1), WaitIrq()]
    assert (
        traced(copier.run(without, image(), model, record=True)) == timeline(12, range(9999, 9999), model, 4, 8, 0)[0]
    )
    for wait in range(1, 12):
        script = [*setup(), Write(0, 1), Wait(wait), Start(STATUS, 0, lead=lead), WaitIrq()]
        result = copier.run(script, image(), model, record=True)
        offered = range(14 + wait, 15 + wait + lead)
        assert result.starts.tolist() == [offered[-1]]
        if beats == (1, 1):
            offered = range(12, 13)
        assert traced(result) == timeline(12, offered, model, 4, 8, 0)[0]


@pytest.mark.parametrize("bits", [pytest.param(bits, marks=pytest.mark.slow) for bits in (32, 128, 256)] + [512])
def test_other_widths(bits: int) -> None:
    sim = build_bus(verilog(bits), "copier", ports(bits))
    assert sim.beat_bytes == bits // 8
    before = image()
    model = MemoryModel(4, (3, 5))
    for mode, seed in product((0, 3), (None, 5)):
        result = sim.run(copy(mode=mode), before, replace(model, seed=seed), record=True)
        assert (result.memory[0] == copied(before, 32 * bits // 8)).all()
        if seed is None:
            assert traced(result) == timeline(12, range(12, 13), model, 4, 8, mode)[0]


def test_the_script_takes_known_cycles(copier: BusSim) -> None:
    script: list[Op] = [
        Write(8, 0x89ABCDEF),  # accepted in cycle 0, answered in 1
        Write(12, 0x76543210, lead=3),  # AW in 2, W in 5, answered in 6
        Write(16, 5, lead=-2),  # W in 7, AW in 9, answered in 10
        Wait(4),  # 11 to 14
        Read(8),  # accepted in 15, answered in 16
        Read(12),
        Read(16),
        Reset(2),  # 21, 22
        Read(36),
        Start(4, 0, lead=-5),  # 25 to 30, answered in 31
        Start(4, 0, lead=1),
    ]
    result = copier.run(script, image())
    assert result.op_ends.tolist() == [1, 6, 10, 14, 16, 18, 20, 22, 24, 31, 34]
    assert result.reads.tolist() == [0x89ABCDEF, 0x76543210, 5, 0xDEADBEEF]
    assert result.responses.tolist() == [0] * 9
    assert result.starts.tolist() == [30, 33]
    assert result.irq_cycles.tolist() == [-1, -1]
    assert result.cycles == 35


def test_idle_payloads_are_noise(copier: BusSim) -> None:
    assert copier.run([Wait(1), Read(32), Wait(100), Read(32)], image()).reads.tolist() == [0, 3]
    before = image()
    # Fault 14 takes RDATA one cycle late.
    late = copier.run(copy(fault=14), before, MemoryModel(2, (1, 2))).memory[0]
    assert (late[HALF : HALF + 256] == before[:256]).mean() < 0.05
    assert (late != copied(before, 256))[HALF + 256 :].sum() == 0


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_random_gaps_give_the_same_data(copier: BusSim, mode: int) -> None:
    before = image()
    jobs = [
        BusJob(copy(mode=mode, bursts=7, beats=16, limit=20_000), before, MemoryModel(latency, seed=seed, gap=gap))
        for seed, gap, latency in product(range(10), (0, 0.3, 0.9), (1, 20))
    ]
    results = copier.run_many([*jobs, *jobs])
    for result in results:
        assert (result.memory[0] == copied(before, 7 * 16 * 8)).all()
        assert (result.ar_bursts, result.w_beats, result.outstanding) == (7, 112, 0)
    cycles = [int(result.irq_cycles[0]) for result in results]
    assert cycles[: len(jobs)] == cycles[len(jobs) :]
    assert len(set(cycles[4 : len(jobs) : 6])) > 8


def test_random_latencies_are_drawn_evenly(copier: BusSim) -> None:
    # One burst on each side, no gaps: the first R beat and B come as late as they were drawn to.
    jobs = [
        BusJob(copy(bursts=1), image(), MemoryModel(4, seed=seed, gap=0), keep=(), record=True) for seed in range(300)
    ]
    reads, writes = [], []
    for result in copier.run_many(jobs):
        rows = traced(result)
        reads.append(rows["r"][0][0] - rows["ar"][0][0])
        writes.append(rows["b"][0][0] - rows["w"][-1][0])
    for latencies in (reads, writes):
        counts = np.bincount(latencies, minlength=8)
        assert counts[0] == 0
        assert counts.size == 8
        assert counts[1:].min() > 20


def test_random_mode_rests_on_each_channel(copier: BusSim) -> None:
    # Cycles of the k-th handshake with gap and without: the address channels, which nothing else holds up, rest half
    # of the time, and so do R and W while there is work.
    calm, rough = copier.run_many(
        [
            BusJob(copy(bursts=100, beats=8), image(), MemoryModel(1, seed=1, gap=gap), keep=(), record=True)
            for gap in (0, 0.5)
        ]
    )
    for name in ("ar", "r", "aw", "w", "b"):
        few, many = (np.ptp([cycle for cycle, _ in traced(result)[name]]) for result in (calm, rough))
        assert 1.7 * few < many < 2.5 * few or name == "b", name
    # B follows W, so its own rests show only in its distance from the last W beat of its burst.
    w, b = traced(rough)["w"], traced(rough)["b"]
    waits = [after - before for (before, _), (after, _) in zip(w[7::8], b, strict=True)]
    assert 1.5 < float(np.mean(waits)) < 2.6


def test_strobes(copier: BusSim) -> None:
    before = image()
    wanted = copied(before, 256)
    wanted[HALF : HALF + 256 : 8] = before[HALF : HALF + 256 : 8]
    assert (copier.run(copy(fault=20), before).memory[0] == wanted).all()


START = [*setup(), Start(0, 1)]


@pytest.mark.parametrize(
    ("fault", "model", "options", "message"),
    [
        (8, {}, {}, "the read burst of cycle 13 (address 0x0, 8 beats) must be INCR (1), not burst type 0"),
        (9, {}, {}, "the read burst of cycle 13 (address 0x0, 8 beats) must have the size of the bus (3), not 2"),
        (0, {}, {"source": 4}, "the read burst of cycle 13 (address 0x4, 8 beats) must start at a multiple of 8 bytes"),
        (
            0,
            {},
            {"source": 3952, "bursts": 3},
            "the read burst of cycle 15 (address 0xff0, 8 beats) crosses a boundary of 4 KB",
        ),
        (
            0,
            {},
            {"target": HALF - 56},
            "the write burst of cycle 13 (address 0x3fc8, 8 beats) crosses a boundary of 4 KB",
        ),
        (13, {}, {}, "the read burst of cycle 13 (address 0x0, 8 beats) has id 4, more than 2 bits"),
        (
            10,
            {},
            {},
            "the W beat of cycle 16, number 2 of 8 of its burst, must not have WLAST",
        ),
        (11, {}, {}, "the W beat of cycle 22, number 8 of 8 of its burst, must have WLAST"),
        (11, {}, {"mode": 2}, "the W beat of cycle 22, number 8 of 8 of its burst, must have WLAST"),
        (12, {}, {"bursts": 40, "mode": 2}, "the W beat of cycle 271 is number 257 without WLAST, more than 256"),
        (1, {"seed": 0}, {}, "m_axi_arvalid fell in cycle # before m_axi_arready was high"),
        (2, {"seed": 0}, {}, "m_axi_araddr changed in cycle # while m_axi_arvalid waited for m_axi_arready"),
        (3, {"seed": 1}, {}, "m_axi_awvalid fell in cycle # before m_axi_awready was high"),
        (4, {"seed": 1}, {}, "m_axi_awlen changed in cycle # while m_axi_awvalid waited for m_axi_awready"),
        (5, {"beats": (1, 5)}, {}, "m_axi_wvalid fell in cycle # before m_axi_wready was high"),
        (6, {"beats": (1, 5)}, {}, "m_axi_wdata changed in cycle # while m_axi_wvalid waited for m_axi_wready"),
    ],
)
def test_a_broken_rule_fails_the_run(
    copier: BusSim, fault: int, model: dict[str, Any], options: dict[str, int], message: str
) -> None:
    memory = MemoryModel(1, gap=0.8)
    (result,) = copier.run_many(
        [BusJob(copy(fault=fault, **options), image(), replace(memory, **model))], raising=False
    )
    assert re.fullmatch(re.escape(message).replace("\\#", r"\d+"), result.failure), result.failure
    # A last beat of mode 2 is seen to be broken once its AW has come.
    if "#" not in message and (fault, options.get("mode")) != (11, 2):
        assert f"cycle {result.cycles}" in message
    # Without the fault the same run passes.
    if fault:
        copier.run(copy(**options), image(), replace(memory, **model))


@pytest.mark.parametrize(
    ("fault", "after", "message"),
    [
        (
            16,
            [Write(8, 0)],
            "operation 6, the write to register 0x8, was not answered within 1000 cycles, until cycle 1011",
        ),
        (17, [Wait(2)], "s_axi_bvalid is high in cycle 12 and answers no write"),
        (17, [Write(8, 0)], "s_axi_bvalid is high in cycle 12 before the write was accepted"),
        (18, [Wait(2)], "s_axi_rvalid is high in cycle 12 and answers no read"),
        (18, [Read(8)], "s_axi_rvalid is high in cycle 12 before the read was accepted"),
        (19, [Wait(3), Reset(2)], "m_axi_arvalid is high in cycle 16 although aresetn is low"),
    ],
)
def test_a_broken_rule_of_registers_and_reset_fails_the_run(
    copier: BusSim, fault: int, after: list[Op], message: str
) -> None:
    raises(lambda: copier.run([*setup(fault=fault), *after], image()), f"copier: {message}")
    copier.run([*setup(), *after], image())


def test_an_offer_in_the_first_reset_fails_the_run() -> None:
    sim = build_bus(verilog(64).replace("| fault == 19", "| 1"), "copier", ports(64))
    raises(lambda: sim.run([Wait(1)], image()), "copier: m_axi_arvalid is high in cycle -3 although aresetn is low")


def test_a_missing_irq_tells_how_far_things_got(copier: BusSim) -> None:
    raises(
        lambda: copier.run(copy(fault=15, limit=200), image()),
        "copier: operation 7 waited 200 cycles for irq, until cycle 213 (start in cycle 12; so far 4 read bursts, "
        "32 R beats, 4 write bursts, 32 W beats, 4 B responses; 0 bursts under way)",
    )
    # With 20 cycles from cycle 14 on, R beats came in 14 to 33, W beats from 15 on, and two B in 24 and 32.
    raises(
        lambda: copier.run(copy(limit=20), image()),
        "copier: operation 7 waited 20 cycles for irq, until cycle 33 (start in cycle 12; so far 4 read bursts, "
        "20 R beats, 4 write bursts, 19 W beats, 2 B responses; 4 bursts under way)",
    )
    raises(
        lambda: copier.run([WaitIrq(5)], image()),
        "copier: operation 0 waited 5 cycles for irq, until cycle 4 (no start; so far 0 read bursts, "
        "0 R beats, 0 write bursts, 0 W beats, 0 B responses; 0 bursts under way)",
    )


def test_outside_of_the_memory_is_a_decode_error(copier: BusSim) -> None:
    # Of four bursts the memory ends within the third.
    source, size = SIZE - 32 * 8, SIZE - 12 * 8
    before = image(size=size)
    result = copier.run([*copy(source=source, target=0), Read(STATUS)], before)
    after = result.memory[0]
    assert (after[: 20 * 8] == before[source:]).all()
    lost = after[20 * 8 : 32 * 8]
    assert (lost != before[20 * 8 : 32 * 8]).mean() > 0.95
    # Noise, not the beat before.
    assert (lost != after[19 * 8 : 31 * 8]).mean() > 0.95
    assert (after[32 * 8 :] == before[32 * 8 :]).all()
    assert (result.decode_errors, result.slave_errors) == (12, 0)
    assert result.reads.tolist() == [0b001101]
    result = copier.run([*copy(target=source), Read(STATUS)], before)
    assert (result.memory[0][source:] == before[: 20 * 8]).all()
    assert (result.memory[0][:source] == before[:source]).all()
    assert (result.decode_errors, result.slave_errors) == (2, 0)
    assert result.reads.tolist() == [0b110001]


def test_the_memory_begins_at_its_base(copier: BusSim) -> None:
    before = image()
    base = 0x8000_1000
    result = copier.run(
        copy(source=base, target=base + HALF), before, MemoryModel(base=base), keep=[(base + HALF, 300)]
    )
    assert [part.shape for part in result.memory] == [(300,)]
    assert (result.memory[0] == copied(before, 256)[HALF : HALF + 300]).all()
    assert result.decode_errors == 0
    below = copier.run(copy(source=base - 64, target=base + HALF), before, MemoryModel(base=base), keep=())
    assert below.memory == ()
    assert below.decode_errors == 8


def test_bad_ranges_are_slave_errors(copier: BusSim) -> None:
    before = image()
    # One byte spoils its beat: beat 9 on R; on W beats 16 and 17, in the third burst.
    model = MemoryModel(bad_reads=((79, 1), (SIZE, 8)), bad_writes=((HALF + 128, 9),))
    result = copier.run([*copy(), Read(STATUS)], before, model)
    after, wanted = result.memory[0], copied(before, 256)
    wanted[HALF + 128 : HALF + 144] = before[HALF + 128 : HALF + 144]
    assert (result.decode_errors, result.slave_errors) == (0, 2)
    assert result.reads.tolist() == [0b101001]
    spoilt = slice(HALF + 72, HALF + 80)
    assert (after[spoilt] != wanted[spoilt]).sum() > 4
    assert (after[spoilt] != wanted[HALF + 64 : HALF + 72]).sum() > 4
    after[spoilt] = wanted[spoilt]
    assert (after == wanted).all()


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_a_reset_in_mid_burst_leaves_nothing_under_way(copier: BusSim, mode: int, seed: int | None) -> None:
    before = image()
    model = MemoryModel(5, seed=seed)
    jobs = []
    for cycles in range(1, 40):
        script = [*setup(mode=mode), Start(0, 1), Wait(cycles), Reset(3), Read(STATUS), Wait(60)]
        script += [*copy(source=512, mode=mode), Read(STATUS)]
        jobs.append(BusJob(script, before, model, record=True))
    for result in copier.run_many(jobs):
        first, second = result.starts.tolist()
        silent, after = (int(result.op_ends[op]) + 1 for op in (7, 8))
        assert after == silent + 3
        assert all(not silent <= cycle < second for rows in traced(result).values() for cycle, _ in rows)
        assert result.reads.tolist() == [0, 1]
        assert result.irq_cycles[0] == -1
        assert (result.memory[0][HALF : HALF + 256] == before[512 : 512 + 256]).all()
        assert (result.memory[0][:HALF] == before[:HALF]).all()
        assert result.outstanding == 0
        if seed is None:
            again, irq = timeline(second, range(first, first + 1), model, 4, 8, mode, after)
            assert {name: [row for row in rows if row[0] >= second] for name, rows in traced(result).items()} == again
            assert result.irq_cycles[1] == irq - second


def test_what_is_under_way_at_the_end_is_counted(copier: BusSim) -> None:
    result = copier.run([*START, Wait(1)], image(), MemoryModel(50))
    # The start was accepted in cycle 12 and the script ends with cycle 14: two bursts on each address channel.
    assert (result.cycles, result.ar_bursts, result.aw_bursts, result.outstanding) == (15, 2, 2, 4)


def test_many_runs_are_apart(copier: BusSim) -> None:
    jobs = [BusJob(copy(fault=fault), image(seed), MemoryModel(2)) for seed, fault in enumerate((0, 8, 0))]
    raises(
        lambda: copier.run_many(jobs),
        "copier: run 1: the read burst of cycle 13 (address 0x0, 8 beats) must be INCR (1), not burst type 0",
    )
    good, bad, also_good = copier.run_many(jobs, raising=False)
    assert (good.failure, also_good.failure, bad.cycles, bad.outstanding) == ("", "", 13, 0)
    assert (bad.memory[0] == jobs[1].image).all()
    assert (good.memory[0] == copied(jobs[0].image, 256)).all()
    assert (also_good.memory[0] == copied(jobs[2].image, 256)).all()
    assert good.cycles == also_good.cycles
    assert good.trace is None


def changed(which: str, **options: Any) -> list[Port]:
    return [replace(port, **options) if port.name == which else port for port in ports(64)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            changed("m_axi_rdata", width=96),
            "copier: port m_axi_rdata must be 32, 64, 128, 256 or 512 bits wide, not 96",
        ),
        (changed("m_axi_arid", width=9), "copier: port m_axi_arid must be 1 to 8 bits wide, not 9"),
        (changed("m_axi_rid", width=3), "copier: port m_axi_rid must be an input of 4 bits, not an input of 3"),
        (changed("irq", direction="input"), "copier: port irq must be an output of 1 bits, not an input of 1"),
        (changed("irq", name="irqs"), "copier: port irqs is none of a bus master; did you mean 'irq'?"),
        (
            changed("m_axi_awid", name="m_axi_wid"),
            "copier: a bus master must have a port m_axi_awid; did you mean 'm_axi_wid'?",
        ),
        (
            [port for port in ports(64) if port.name != "s_axi_bresp"],
            "copier: a bus master must have a port s_axi_bresp; did you mean 's_axi_rresp'?",
        ),
        (
            [port for port in ports(64) if port.name != "m_axi_arlock"],
            "copier: ports must name every port of the Verilog, but m_axi_arlock is missing",
        ),
    ],
)
def test_ports_that_are_no_bus_master_are_told(given: Sequence[Port], message: str) -> None:
    raises(lambda: build_bus(verilog(64), "copier", given), message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"script": []}, "script must hold at least one operation, not none"),
        ({"script": [Read(2)]}, "operation 0: address must be a multiple of 4 below 0x1000, not 0x2"),
        (
            {"script": [Wait(1), Write(4096, 0)]},
            "operation 1: address must be a multiple of 4 below 0x1000, not 0x1000",
        ),
        ({"script": [Start(0, -1)]}, "operation 0: data must be 0 to 2 ** 32 - 1, not -1"),
        ({"script": [Write(0, 0, 16)]}, "operation 0: strobe must be 0 to 15, not 16"),
        ({"script": [WaitIrq(0)]}, "operation 0: limit must be at least 1 cycle, not 0"),
        ({"script": [Reset(0)]}, "operation 0: cycles must be at least 1, not 0"),
        (
            {"image": np.zeros(12, np.uint8)},
            "image must be a uint8 array [M] with M a multiple of 8, not uint8 [12]",
        ),
        (
            {"image": np.zeros(2, np.uint32)},
            "image must be a uint8 array [M] with M a multiple of 8, not uint32 [2]",
        ),
        (
            {"memory": MemoryModel(base=4)},
            "base must be a multiple of 8 from which the memory ends within the address space, not 0x4",
        ),
        ({"memory": MemoryModel(0)}, "latency must be at least 1 cycle, not 0"),
        ({"memory": MemoryModel(1, (3, 2))}, "beats must be (n, d) with 1 <= n <= d, not (3, 2)"),
        ({"memory": MemoryModel(1, gap=1)}, "gap must be at least 0 and below 1, not 1"),
        ({"memory": MemoryModel(seed=-1)}, "seed must be at least 0, not -1"),
        (
            {"memory": MemoryModel(bad_reads=((0, 0),))},
            "bad_reads must hold (address, bytes) in the address space, not (0, 0)",
        ),
        ({"keep": [(60, 5)]}, "keep must hold (address, bytes) within the memory, not (60, 5)"),
        ({"register_limit": 0}, "register_limit must be at least 1, not 0"),
    ],
)
def test_arguments_that_do_not_fit_are_told(copier: BusSim, options: dict[str, Any], message: str) -> None:
    arguments = {"script": [Wait(1)], "image": np.zeros(64, np.uint8), **options}
    raises(lambda: copier.run(**arguments), f"copier: {message}")


def test_no_runs_are_told(copier: BusSim) -> None:
    raises(lambda: copier.run_many([]), "copier: jobs must hold at least one run, not none")


def test_id_bits_that_no_port_has_are_told() -> None:
    raises(lambda: build_bus(verilog(64), "copier", ports(64), id_bits=9), "copier: id_bits must be 0 to 8, not 9")


def test_the_cache_answers_for_the_same_text(copier: BusSim, monkeypatch: pytest.MonkeyPatch) -> None:
    class BuiltError(Exception):
        pass

    def refuse(*_arguments: object, **_keywords: object) -> None:
        raise BuiltError

    monkeypatch.setattr(_program, "compile_model", refuse)
    assert build_bus(verilog(64), "copier", ports(64)).program == copier.program
    with pytest.raises(BuiltError):
        build_bus(verilog(64) + "\n", "copier", ports(64))


@pytest.fixture
def shown(tmp_path: Path) -> FilePart:
    """Bytes 64 to 64 + HALF of a file, beside the memory."""
    image(7, SIZE).tofile(tmp_path / "bytes.bin")
    return FilePart(SIZE, tmp_path / "bytes.bin", 64, HALF)


def test_a_file_is_read_in_place_and_never_written(copier: BusSim, shown: FilePart) -> None:
    before = image(1)
    here = copy(source=SIZE + 128, target=0, bursts=2, beats=8)
    there = copy(source=0, target=SIZE, bursts=2, beats=8)
    beyond = copy(source=SIZE + HALF - 64, target=0, bursts=2, beats=8)
    results = copier.run_many([BusJob(script, before, files=[shown]) for script in (here, there, beyond)])
    expected = before.copy()
    expected[:128] = image(7, SIZE)[64 + 128 : 64 + 256]
    assert np.array_equal(results[0].memory[0], expected)
    assert results[0].decode_errors == results[0].slave_errors == 0
    assert np.array_equal(results[1].memory[0], before)
    assert (results[1].slave_errors, results[1].decode_errors) == (2, 0)
    assert np.array_equal(np.fromfile(shown.file, np.uint8), image(7, SIZE))
    assert results[2].decode_errors == 8


def test_a_worker_does_what_a_process_a_call_does(copier: BusSim, shown: FilePart) -> None:
    jobs = [
        BusJob(copy(source=SIZE + 64 * index, target=0, bursts=1), image(index), files=[shown]) for index in range(3)
    ]
    expected = copier.run_many(jobs)
    with copier.worker() as worker:
        for wanted, job in zip(expected, jobs, strict=True):
            (got,) = worker.run_many([job])
            assert np.array_equal(got.memory[0], wanted.memory[0])
            assert got.cycles == wanted.cycles
        with pytest.raises(HwgenError, match="at least one run"):
            worker.run_many([])
        with pytest.raises(HwgenError, match="waited 3 cycles for irq"):
            worker.run_many([replace(jobs[0], script=copy(limit=3))])
        assert len(worker.run_many(jobs)) == 3


def test_a_worker_that_dies_is_told_in_a_sentence(copier: BusSim, shown: FilePart) -> None:
    with copier.worker() as worker:
        worker.server._child.kill()
        with pytest.raises(HwgenError, match="copier: the simulation stopped: no message"):
            worker.run_many([BusJob(copy(), image())])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"address": SIZE - 8}, "must lie beside the memory"),
        ({"address": SIZE + 4}, "must be whole beats of 8 bytes"),
        ({"size": 0}, "must be whole beats of 8 bytes"),
        ({"offset": SIZE}, "must be bytes of the file"),
        ({"file": Path("nowhere.bin")}, "must be bytes of the file"),
    ],
)
def test_parts_of_files_that_do_not_fit(copier: BusSim, shown: FilePart, change: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError, match=message):
        copier.run_many([BusJob(copy(), image(), files=[replace(shown, **change)])])
