"""The registers as hardware, in Amaranth's simulator, against the model and the contract's sentences one by one."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from hwgen.accelerator.registers import (
    BUS_PORTS,
    MAGIC,
    VERSION,
    Field,
    Register,
    RegisterFile,
    RegisterMap,
    accelerator_map,
    pair,
)
from tests.accelerator.register_model import EVERY_KIND, OKAY, SLVERR, Ports, addresses, ports, trace

pytestmark = pytest.mark.rtl

MAPS = {"every kind": EVERY_KIND, "accelerator": accelerator_map(40, 16), "accelerator, 32": accelerator_map(32, 32)}


def simulate(
    map: RegisterMap, bench: Callable[[Any, Any], Any], make: Callable[[RegisterMap], Any] = RegisterFile
) -> None:
    file = make(map)
    simulator = Simulator(file)
    simulator.add_clock(1e-8)

    async def run(ctx: Any) -> None:
        await bench(ctx, file)

    simulator.add_testbench(run)
    simulator.run()


def play(map: RegisterMap, cycles: Iterable[tuple[Ports, Ports]]) -> str:
    """What first differs from the outputs that are due, or ""."""
    found: list[str] = []

    async def bench(ctx: Any, file: RegisterFile) -> None:
        for cycle, (inputs, due) in enumerate(cycles):
            for name, value in inputs.items():
                if hasattr(file, name):
                    ctx.set(getattr(file, name), value)
            for name, value in due.items():
                seen = ctx.get(getattr(file, name)) if hasattr(file, name) else None
                if seen != value:
                    found.append(f"cycle {cycle}: {name} is {seen}, due {value}")
                    return
            await ctx.tick()

    simulate(map, bench)
    return found[0] if found else ""


@pytest.mark.parametrize("label", MAPS)
def test_every_output_in_every_cycle(label: str) -> None:
    assert play(MAPS[label], trace(MAPS[label], 1, 2500)) == ""


def changed(register: str, name: str = "", **values: Any) -> RegisterMap:
    """`EVERY_KIND` with a register or a field of it changed."""
    registers = []
    for item in EVERY_KIND.registers:
        if item.name == register and name:
            fields = tuple(dataclasses.replace(f, **values) if f.name == name else f for f in item.fields)
            item = dataclasses.replace(item, fields=fields)
        elif item.name == register:
            item = dataclasses.replace(item, **values)
        registers.append(item)
    return dataclasses.replace(EVERY_KIND, registers=tuple(registers))


@pytest.mark.parametrize(
    "wrong",
    [
        changed("MIXED", "signal", lsb=2),
        changed("MIXED", "signal", bits=10),
        changed("MIXED", "signal", reset=0x2A4),
        changed("MIXED", "go", access="rw"),
        changed("MIXED", "go", lsb=14),
        changed("MIXED", "seen", reset=0),
        changed("MIXED", "seen", access="rw"),
        changed("MIXED", "level", lsb=27),
        changed("MIXED", "run", access="rw"),
        changed("MODE", offset=0x00C),
        changed("COUNT_HI", latched_by=""),
        changed("COUNT_HI", latched_by="OTHER_LO"),
        changed("LAST", offset=0xFF8),
    ],
    ids=str,
)
def test_registers_of_another_map_are_found_out(wrong: RegisterMap) -> None:
    assert play(wrong, trace(EVERY_KIND, 1, 2500)) != ""


async def write(ctx: Any, file: RegisterFile, address: int, data: int, strobes: int = 15) -> int:
    """AW and W in this cycle, B as soon as it comes; leaves in the cycle after the acceptance with B taken next."""
    for name, value in (("awaddr", address), ("wdata", data), ("wstrb", strobes), ("awvalid", 1), ("wvalid", 1)):
        ctx.set(getattr(file, f"s_axi_{name}"), value)
    ctx.set(file.s_axi_bready, 1)
    assert ctx.get(file.s_axi_awready)
    assert ctx.get(file.s_axi_wready)
    await ctx.tick()
    ctx.set(file.s_axi_awvalid, 0)
    ctx.set(file.s_axi_wvalid, 0)
    assert ctx.get(file.s_axi_bvalid)
    return int(ctx.get(file.s_axi_bresp))


async def read(ctx: Any, file: RegisterFile, address: int) -> tuple[int, int]:
    ctx.set(file.s_axi_araddr, address)
    ctx.set(file.s_axi_arvalid, 1)
    ctx.set(file.s_axi_rready, 1)
    await ctx.tick()
    ctx.set(file.s_axi_arvalid, 0)
    assert ctx.get(file.s_axi_rvalid)
    word, response = ctx.get(file.s_axi_rdata), ctx.get(file.s_axi_rresp)
    await ctx.tick()
    return int(word), int(response)


def test_start_is_high_in_the_cycle_after_the_later_handshake_and_in_no_other() -> None:
    for aw, w in ((0, 0), (0, 3), (3, 0), (1, 2), (2, 1)):
        seen: list[int] = []

        async def bench(ctx: Any, file: RegisterFile, aw: int = aw, w: int = w, seen: list[int] = seen) -> None:
            ctx.set(file.s_axi_awaddr, 0x010)
            ctx.set(file.s_axi_wdata, 1)
            ctx.set(file.s_axi_wstrb, 1)
            for cycle in range(8):
                ctx.set(file.s_axi_awvalid, int(cycle == aw))
                ctx.set(file.s_axi_wvalid, int(cycle == w))
                seen.append(ctx.get(file.o_control_start))
                assert ctx.get(file.s_axi_bvalid) == (cycle > max(aw, w))  # B waits
                await ctx.tick()

        simulate(MAPS["accelerator"], bench)
        assert [cycle for cycle, high in enumerate(seen) if high] == [max(aw, w) + 1]


def test_a_strobe_in_the_cycle_of_the_clear_stays() -> None:
    for strobe_cycle, left in ((-1, 0), (0, 1), (1, 1)):

        async def bench(ctx: Any, file: RegisterFile, strobe_cycle: int = strobe_cycle, left: int = left) -> None:
            for name, value in (("awaddr", 0x014), ("wdata", 0x100), ("wstrb", 2)):
                ctx.set(getattr(file, f"s_axi_{name}"), value)
            for cycle in range(-3, 3):
                ctx.set(file.i_status_done_set, int(cycle in (-3, strobe_cycle)))
                ctx.set(file.s_axi_awvalid, int(cycle == 0))
                ctx.set(file.s_axi_wvalid, int(cycle == 0))
                await ctx.tick()
            assert ctx.get(file.o_status_done) == left

        simulate(MAPS["accelerator"], bench)


def test_a_clear_or_a_start_needs_its_byte() -> None:
    async def bench(ctx: Any, file: RegisterFile) -> None:
        ctx.set(file.i_status_done_set, 1)
        await ctx.tick()
        ctx.set(file.i_status_done_set, 0)
        assert await write(ctx, file, 0x014, 0x300, 0b1101) == OKAY
        assert ctx.get(file.o_status_done) == 1
        await ctx.tick()
        assert await write(ctx, file, 0x014, 0x300, 0b0010) == OKAY
        assert ctx.get(file.o_status_done) == 0
        await ctx.tick()
        assert await write(ctx, file, 0x010, 0xFFFF, 0b0010) == OKAY
        assert ctx.get(file.o_control_start) == 0
        assert ctx.get(file.o_control_irq_enable) == 1

    simulate(MAPS["accelerator"], bench)


def test_what_software_sees_of_an_accelerator() -> None:
    async def bench(ctx: Any, file: RegisterFile) -> None:
        version = VERSION[0] << 16 | VERSION[1] << 8 | VERSION[2]
        # What nothing drives holds its reset value: the constants are there.
        assert await read(ctx, file, 0x000) == (MAGIC, OKAY)
        assert await read(ctx, file, 0x004) == (version, OKAY)
        assert await write(ctx, file, 0x000, 0) == OKAY
        await ctx.tick()
        assert await read(ctx, file, 0x000) == (MAGIC, OKAY)
        for address in (0x00C, 0x07C, 0x0BC, 0xFFC):
            assert await read(ctx, file, address) == (0, SLVERR)
            assert await write(ctx, file, address, 0xFFFFFFFF) == SLVERR
            await ctx.tick()
        # 40 bits of an address.
        for address in (0x080, 0x084):
            assert await write(ctx, file, address, 0xFEDCBA98) == OKAY
            await ctx.tick()
        assert await read(ctx, file, 0x080) == (0xFEDCBA98, OKAY)
        assert await read(ctx, file, 0x084) == (0x98, OKAY)
        assert ctx.get(file.pair("WEIGHTS_ADDR")) == 0x98FEDCBA98

    simulate(MAPS["accelerator"], bench)


def test_the_high_half_of_an_address_of_32_bits_reads_as_0() -> None:
    async def bench(ctx: Any, file: RegisterFile) -> None:
        assert await write(ctx, file, 0x084, 0xFFFFFFFF) == OKAY
        await ctx.tick()
        assert await read(ctx, file, 0x084) == (0, OKAY)
        assert len(file.pair("WEIGHTS_ADDR")) == 32

    simulate(MAPS["accelerator, 32"], bench)


def test_both_halves_of_a_counter_are_of_one_cycle() -> None:
    async def bench(ctx: Any, file: RegisterFile) -> None:
        cycles = file.pair("CYCLES")
        ctx.set(cycles, 0x1_FFFFFFFF)
        assert (await read(ctx, file, 0x020))[0] == 0xFFFFFFFF
        ctx.set(cycles, 0x2_00000000)
        await read(ctx, file, 0x028)  # another counter's low half
        assert (await read(ctx, file, 0x024))[0] == 1
        assert (await read(ctx, file, 0x020))[0] == 0
        assert (await read(ctx, file, 0x024))[0] == 2

    simulate(MAPS["accelerator"], bench)


def test_a_transfer_every_second_cycle() -> None:
    taken: dict[str, list[int]] = {"aw": [], "w": [], "ar": []}

    async def bench(ctx: Any, file: RegisterFile) -> None:
        for name in ("awvalid", "wvalid", "arvalid", "bready", "rready"):
            ctx.set(getattr(file, f"s_axi_{name}"), 1)
        for cycle in range(9):
            for channel, cycles in taken.items():
                if ctx.get(getattr(file, f"s_axi_{channel}ready")):
                    cycles.append(cycle)
            await ctx.tick()

    simulate(MAPS["accelerator"], bench)
    assert set(map(tuple, taken.values())) == {(0, 2, 4, 6, 8)}


def _reaching(map: RegisterMap, make: Callable[[RegisterMap], Any]) -> tuple[set[str], set[str]]:
    """Outputs that inputs change within a cycle, and those that change at all."""
    rng = random.Random(1)
    inputs = {name: bits for name, (way, bits) in BUS_PORTS.items() if way == "input"} | ports(map, "input")
    outputs = [*(name for name, (way, _) in BUS_PORTS.items() if way == "output"), *ports(map, "output")]
    reached: set[str] = set()
    moved: set[str] = set()

    async def bench(ctx: Any, file: Any) -> None:
        before: Ports = {}
        for _ in range(60):
            seen = {name: ctx.get(getattr(file, name)) for name in outputs}
            moved.update(name for name in before if seen[name] != before[name])
            for _ in range(3):
                for name, bits in inputs.items():
                    value = addresses(map, rng) if name.endswith("addr") else rng.getrandbits(bits)
                    ctx.set(getattr(file, name), value)
                await ctx.delay(1e-10)
                reached.update(name for name in outputs if ctx.get(getattr(file, name)) != seen[name])
            before = seen
            await ctx.tick()

    simulate(map, bench, make)
    return reached, moved


@pytest.mark.parametrize("label", MAPS)
def test_no_input_reaches_an_output_within_a_cycle(label: str) -> None:
    reached, moved = _reaching(MAPS[label], RegisterFile)
    assert reached == set()
    assert moved >= {"s_axi_awready", "s_axi_wready", "s_axi_arready", "s_axi_bvalid", "s_axi_rvalid", "s_axi_rdata"}


class Hasty(RegisterFile):
    """Ready for the next write in the cycle in which the response of the last is taken: from ``bready``."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.inner = inner = RegisterFile(self.map)
        for path, member, value in self.signature.flatten(self):
            port = getattr(inner, path[0])
            m.d.comb += port.eq(value) if member.flow.name == "In" else value.eq(port)
        m.d.comb += self.s_axi_awready.eq(inner.s_axi_awready | inner.s_axi_bvalid & self.s_axi_bready)
        return m


def test_an_input_that_reaches_an_output_is_found() -> None:
    assert _reaching(EVERY_KIND, Hasty)[0] == {"s_axi_awready"}


def test_ports_are_those_that_vendors_tools_know() -> None:
    map = RegisterMap("m", (Register("A", 0, (Field("b", 0, 1, "w1c", 0, ""),), ""), *pair("C", 8, 40, "ro", "")), "")
    found: dict[str, tuple[str, int]] = {}

    async def bench(ctx: Any, file: RegisterFile) -> None:
        members = file.signature.members.items()
        found.update((name, (member.flow.name.lower(), member.shape)) for name, member in members)

    simulate(map, bench)
    bus = {name: ("in" if way == "input" else "out", bits) for name, (way, bits) in BUS_PORTS.items()}
    assert found == {
        **bus,
        "i_a_b_set": ("in", 1),
        "o_a_b": ("out", 1),
        "i_c_lo_value": ("in", 32),
        "i_c_hi_value": ("in", 8),
    }
    channels = {
        "aw": ("addr", "prot"),
        "w": ("data", "strb"),
        "b": ("resp",),
        "ar": ("addr", "prot"),
        "r": ("data", "resp"),
    }
    spelled = [f"s_axi_{channel}{name}" for channel, names in channels.items() for name in (*names, "valid", "ready")]
    assert list(BUS_PORTS) == spelled
