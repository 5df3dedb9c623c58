"""Runs inside the simulator: an accelerator between the register master and the memory of another project.

The environment names a folder with ``work.json`` (a script of register accesses as `hwgen.simulators.bus` has them, the
ranges of memory that answer with errors, and how often every channel holds back) and ``memory.bin``, which holds the
memory afterwards. ``reads.json`` is left beside them.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiResp
from cocotbext.axi.axi_channels import AxiARSink, AxiRSource
from cocotbext.axi.axi_slave import AxiSlaveRead, AxiSlaveWrite

FOLDER_VARIABLE = "HWGEN_ACCELERATOR_FOLDER"
CHANNELS = ("ar", "aw", "w")


def pauses(share: float, seed: int) -> Iterator[int]:
    """Whether to hold back in each cycle, in bursts now and then."""
    rng = random.Random(seed)
    while True:
        burst = rng.choice((1, 1, 2, 12))
        yield from itertools.repeat(int(rng.random() < share), burst)


class Memory:
    """Bytes from ``base`` on, some of which answer with an error."""

    def __init__(self, work: dict[str, Any], data: bytearray) -> None:
        self.data, self.base = data, work["base"]
        self.bad_reads, self.bad_writes = work["bad_reads"], work["bad_writes"]

    def answer(self, address: int, size: int, bad: list[list[int]]) -> Any:
        """Response to an access."""
        if not self.base <= address <= self.base + len(self.data) - size:
            return AxiResp.DECERR
        hit = any(address < start + length and start < address + size for start, length in bad)
        return AxiResp.SLVERR if hit else AxiResp.OKAY

    def part(self, address: int, size: int) -> slice:
        """Place of bytes."""
        return slice(address - self.base, address - self.base + size)


class Refused(Exception):
    """An access that must be answered with an error."""


class Reads(AxiSlaveRead):
    """The read channels of a memory, in order."""

    def __init__(self, memory: Memory, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.memory, self.answer = memory, AxiResp.OKAY
        send = self.r_channel.send

        async def with_answer(beat: Any) -> None:
            beat.rresp = self.answer
            await send(beat)

        self.r_channel.send = with_answer

    async def _read(self, address: int, length: int) -> bytes:
        self.answer = self.memory.answer(address, length, self.memory.bad_reads)
        if self.answer != AxiResp.OKAY:
            return random.randbytes(length)
        return bytes(self.memory.data[self.memory.part(address, length)])


class Writes(AxiSlaveWrite):
    """The write channels of a memory, in order."""

    def __init__(self, memory: Memory, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.memory, self.answer = memory, AxiResp.OKAY
        send = self.b_channel.send

        async def with_answer(beat: Any) -> None:
            beat.bresp, self.answer = self.answer, AxiResp.OKAY
            await send(beat)

        self.b_channel.send = with_answer

    async def _write(self, address: int, data: bytes) -> None:
        answer = self.memory.answer(address, len(data), self.memory.bad_writes)
        if answer == AxiResp.OKAY:
            self.memory.data[self.memory.part(address, len(data))] = data
        else:
            self.answer = answer


class MixedReads:
    """Read channels that answer ids in any order, beats of several bursts mixed."""

    def __init__(self, memory: Memory, bus: Any, clock: Any, reset: Any, seed: int) -> None:
        self.memory, self.clock, self.reset = memory, clock, reset
        self.ar_channel = AxiARSink(bus.ar, clock, reset, False)
        self.r_channel = AxiRSource(bus.r, clock, reset, False)
        self.size = len(bus.r.rdata) // 8
        self.random = random.Random(seed)
        cocotb.start_soon(self.run())

    async def run(self) -> None:
        waiting: dict[int, deque[tuple[int, bool]]] = {}
        while True:
            await RisingEdge(self.clock)
            if not int(self.reset.value):
                waiting.clear()
                continue
            while not self.ar_channel.empty():
                burst = self.ar_channel.recv_nowait()
                beats = waiting.setdefault(int(burst.arid), deque())
                length = int(burst.arlen) + 1
                beats += [(int(burst.araddr) + at * self.size, at == length - 1) for at in range(length)]
            some = [name for name, beats in waiting.items() if beats]
            if some and self.r_channel.count() < 2:
                name = self.random.choice(some)
                address, last = waiting[name].popleft()
                answer = self.memory.answer(address, self.size, self.memory.bad_reads)
                data = random.randbytes(self.size)
                if answer == AxiResp.OKAY:
                    data = bytes(self.memory.data[self.memory.part(address, self.size)])
                value = int.from_bytes(data, "little")
                self.r_channel.send_nowait(
                    self.r_channel._transaction_obj(rid=name, rdata=value, rresp=answer, rlast=int(last))
                )


async def watch(dut: Any) -> None:
    """What is offered must stay until it is taken."""
    ports = {}
    for channel in CHANNELS:
        head = f"m_axi_{channel}"
        names = {"w": ("data", "strb", "last")}.get(channel, ("id", "addr", "len", "size", "burst"))
        payload = [getattr(dut, head + name) for name in names]
        ports[head] = (getattr(dut, f"{head}valid"), getattr(dut, f"{head}ready"), payload)
    held: dict[str, list[str]] = {}
    while True:
        await FallingEdge(dut.aclk)
        if not int(dut.aresetn.value):
            held.clear()
            continue
        for head, (valid, ready, payload) in ports.items():
            offered = int(valid.value)
            before = held.pop(head, None)
            assert before is None or offered, f"{head}valid fell before {head}ready"
            if not offered:
                continue
            now = [str(handle.value) for handle in payload]
            assert before in (None, now), f"{head} changed before {head}ready"
            if not int(ready.value):
                held[head] = now


async def hold_reset(dut: Any, cycles: int) -> None:
    """Reset for so many cycles."""
    await FallingEdge(dut.aclk)
    dut.aresetn.value = 0
    for _ in range(cycles):
        await FallingEdge(dut.aclk)
    dut.aresetn.value = 1
    await RisingEdge(dut.aclk)


@cocotb.test()
async def script(dut: Any) -> None:
    """The whole script."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    work = json.loads((folder / "work.json").read_text())
    data = bytearray((folder / "memory.bin").read_bytes())
    memory = Memory(work, data)
    dut.aresetn.value = 0
    Clock(dut.aclk, 10, "ns").start()
    bus, end = AxiBus.from_prefix(dut, "m_axi"), (dut.aclk, dut.aresetn)
    writes = Writes(memory, bus.write, *end, reset_active_level=False)
    if work["mixed"]:
        reads: Any = MixedReads(memory, bus.read, *end, work["seed"])
    else:
        reads = Reads(memory, bus.read, *end, reset_active_level=False)
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), *end, reset_active_level=False)
    channels = [writes.aw_channel, writes.w_channel, writes.b_channel, reads.ar_channel, reads.r_channel]
    if work["pauses"]:
        one, other = master.write_if, master.read_if
        channels += [one.aw_channel, one.w_channel, one.b_channel, other.ar_channel, other.r_channel]
        for number, channel in enumerate(channels):
            channel.set_pause_generator(pauses(work["pauses"], work["seed"] * 100 + number))
    await hold_reset(dut, 4)
    cocotb.start_soon(watch(dut))
    values: list[int] = []
    for number, (kind, *args) in enumerate(work["ops"]):
        if kind == "write":
            answer = await master.write(args[0], args[1].to_bytes(4, "little"))
            assert answer.resp == AxiResp.OKAY, f"operation {number} was answered {answer.resp}"
        elif kind == "read":
            answer = await master.read(args[0], 4)
            assert answer.resp == AxiResp.OKAY, f"operation {number} was answered {answer.resp}"
            values.append(int.from_bytes(answer.data, "little"))
        elif kind == "irq":
            for _ in range(args[0]):
                if int(dut.irq.value):
                    break
                await RisingEdge(dut.aclk)
            assert int(dut.irq.value), f"operation {number} waited {args[0]} cycles for irq"
        elif kind == "wait":
            for _ in range(args[0]):
                await RisingEdge(dut.aclk)
        else:
            await hold_reset(dut, args[0])
    (folder / "memory.bin").write_bytes(data)
    (folder / "reads.json").write_text(json.dumps(values))
