"""Runs inside the simulator: an AXI4-Lite master of another project writes and reads registers, byte by byte too."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, Timer
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from tests.accelerator.register_model import EVERY_KIND, Registers, addresses, ports


def pauses(rng: random.Random) -> Iterator[int]:
    """Whether to hold back in each cycle."""
    while True:
        share = rng.choice((0.0, 0.4, 0.9))
        for _ in range(30):
            yield int(rng.random() < share)


def words(address: int, data: bytes) -> Iterator[tuple[int, int, int]]:
    """Address, data and strobes of each word that bytes from ``address`` on lie in."""
    place = address % 4
    padded = bytes(place) + data + bytes(-(place + len(data)) % 4)
    for start in range(0, len(padded), 4):
        strobes = sum(1 << lane for lane in range(4) if place <= start + lane < place + len(data))
        yield address - place + start, int.from_bytes(padded[start : start + 4], "little"), strobes


@cocotb.test()
async def accesses(dut: Any) -> None:
    """Whatever is written is read, with the responses due."""
    rng = random.Random(3)
    dut.rst.value = 1
    for name in ports(EVERY_KIND, "input"):
        getattr(dut, name).value = 0
    Clock(dut.clk, 10, "ns").start()
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst)
    for interface, channels in ((master.write_if, ("aw", "w", "b")), (master.read_if, ("ar", "r"))):
        for channel in channels:
            getattr(interface, f"{channel}_channel").set_pause_generator(pauses(rng))
    for _ in range(4):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    model = Registers(EVERY_KIND)
    still = dict.fromkeys(ports(EVERY_KIND, "input"), 0)
    for number in range(300):
        if rng.random() < 0.5:
            address = min(addresses(EVERY_KIND, rng) + rng.randrange(4), 0xFF7)
            data = rng.randbytes(rng.randrange(1, 9))
            done = await master.write(address, data)
            due = max(model.write(*word) for word in words(address, data))
            model.fall()
            assert int(done.resp) == due, f"access {number}: wrote {address:#x}, response {done.resp}, due {due}"
        else:
            address = addresses(EVERY_KIND, rng) & ~3
            got = await master.read(address, 4)
            word, due = model.read(address, still)
            seen = int.from_bytes(got.data, "little")
            assert (seen, int(got.resp)) == (word, due), (
                f"access {number}: read {address:#x} as {seen:#x}, due {word:#x}"
            )
    await FallingEdge(dut.clk)
    await Timer(1, "ns")
    assert {name: int(getattr(dut, name).value) for name in model.value} == model.value
