"""Runs inside the simulator: an accelerator between streams, with another project's sources, sink and register master.

The environment names a folder with ``work.json``: ``streams``, the bytes of each in hexadecimal, ``writes``, offsets
and values of registers that describe the job, ``start``, the offset of CONTROL, ``jobs``, how often all of it is run,
``pauses``, the share of cycles in which everybody holds back, and ``limit``, cycles of a job. ``result.json`` is left
beside it.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

FOLDER_VARIABLE = "HWGEN_STREAM_FOLDER"


def pauses(share: float, seed: int) -> Iterator[int]:
    """Whether to hold back in each cycle, in bursts now and then."""
    rng = random.Random(seed)
    while True:
        yield from itertools.repeat(int(rng.random() < share), rng.choice((1, 1, 2, 20)))


async def watch(dut: Any) -> None:
    """What is offered must stay until it is taken."""
    waiting: str | None = None
    while True:
        await FallingEdge(dut.aclk)
        offered = int(dut.m_axis_result_tvalid.value)
        word = f"{dut.m_axis_result_tdata.value} {dut.m_axis_result_tlast.value}"
        assert waiting is None or (offered and word == waiting), "a result changed before it was taken"
        waiting = word if offered and not int(dut.m_axis_result_tready.value) else None


@cocotb.test()
async def stream(dut: Any) -> None:
    """All jobs, one after the other, each with all of its beats."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    work = json.loads((folder / "work.json").read_text())
    end = (dut.aclk, dut.aresetn)
    dut.aresetn.value = 0
    sources = {
        name: AxiStreamSource(AxiStreamBus.from_prefix(dut, f"s_axis_{name}"), *end, reset_active_level=False)
        for name in work["streams"]
    }
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis_result"), *end, reset_active_level=False)
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), *end, reset_active_level=False)
    if work["pauses"]:
        for seed, one in enumerate((*sources.values(), sink)):
            one.set_pause_generator(pauses(work["pauses"], seed))
    Clock(dut.aclk, 10, "ns").start()
    for _ in range(4):
        await RisingEdge(dut.aclk)
    await FallingEdge(dut.aclk)
    dut.aresetn.value = 1
    cocotb.start_soon(watch(dut))
    found = []
    for _ in range(work["jobs"]):
        # Beats that come before the job begins wait for it.
        for name, source in sources.items():
            source.send_nowait(AxiStreamFrame(bytes.fromhex(work["streams"][name])))
        for offset, value in work["writes"]:
            await master.write_dword(offset, value)
        await master.write_dword(work["start"], 0x101)
        for _ in range(work["limit"]):
            await RisingEdge(dut.aclk)
            if int(dut.irq.value):
                break
        else:
            raise AssertionError(f"no interrupt in {work['limit']} cycles")
        status = await master.read_dword(work["start"] + 4)
        assert status & 0x301 == 0x100, f"status is {status:#x}"
        # Results of a job end with tlast: one frame.
        frame = await sink.recv()
        found.append(bytes(frame.tdata).hex())
        await master.write_dword(work["start"] + 4, 0x300)
    assert sink.empty()
    assert all(source.empty() for source in sources.values())
    (folder / "result.json").write_text(json.dumps(found))
