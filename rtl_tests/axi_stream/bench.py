"""Runs inside the simulator: drives a tile behind AXI4-Stream with the sources and the sink of another project.

The environment names a folder with ``work.json``: ``acts``, ``weights`` and ``want``, hexadecimal words in order,
``last`` and ``user`` of each step, ``last_beat`` of each beat, and ``pauses``, the share of cycles in which sources and
sink hold back. ``counted.json`` is left beside it.
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
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

FOLDER_VARIABLE = "HWGEN_AXI_FOLDER"
SETTLE_CYCLES = 64
PREFIXES = ("s_axis_acts", "s_axis_weights", "m_axis_result")


def pauses(share: float, seed: int) -> Iterator[int]:
    """Whether to hold back in each cycle, in bursts now and then."""
    rng = random.Random(seed)
    while True:
        burst = rng.choice((1, 1, 2, 40))
        yield from itertools.repeat(int(rng.random() < share), burst)


class Watch:
    """Checks what the protocol asks of a sender, and notes the cycles of the handshakes."""

    def __init__(self, dut: Any, prefix: str) -> None:
        self.valid, self.ready = getattr(dut, f"{prefix}_tvalid"), getattr(dut, f"{prefix}_tready")
        self.data = [
            getattr(dut, f"{prefix}_{name}") for name in ("tdata", "tlast") if hasattr(dut, f"{prefix}_{name}")
        ]
        self.prefix = prefix
        self.waiting: list[str] | None = None
        self.handshakes: list[int] = []

    def sample(self, cycle: int) -> None:
        """Look at a cycle just before its rising edge."""
        offered, word = int(self.valid.value), [str(handle.value) for handle in self.data]
        if self.waiting is not None:
            assert offered, f"{self.prefix}: tvalid fell before tready in cycle {cycle}"
            assert word == self.waiting, f"{self.prefix}: a word changed before tready in cycle {cycle}"
        taken = offered and int(self.ready.value)
        self.waiting = word if offered and not taken else None
        if taken:
            self.handshakes.append(cycle)


@cocotb.test()
async def stream(dut: Any) -> None:
    """All steps in, all results out."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    work = json.loads((folder / "work.json").read_text())
    dut.aresetn.value = 0
    sources = {}
    for name in ("acts", "weights"):
        bus = AxiStreamBus.from_prefix(dut, f"s_axis_{name}")
        sources[name] = AxiStreamSource(bus, dut.aclk, dut.aresetn, reset_active_level=False)
    sink = AxiStreamSink(
        AxiStreamBus.from_prefix(dut, "m_axis_result"), dut.aclk, dut.aresetn, reset_active_level=False
    )
    if work["pauses"]:
        for seed, end in enumerate((*sources.values(), sink)):
            end.set_pause_generator(pauses(work["pauses"], seed))
    Clock(dut.aclk, 10, "ns").start()
    for _ in range(4):
        await RisingEdge(dut.aclk)
    await FallingEdge(dut.aclk)
    dut.aresetn.value = 1
    for name, source in sources.items():
        size = len(getattr(dut, f"s_axis_{name}_tdata")) // 8
        frame: list[bytes] = []
        users: list[int] = []
        for number, word in enumerate(work[name]):
            frame.append(int(word, 16).to_bytes(size, "little"))
            users += [work["user"][number]] * size
            # The weight stream has no tlast: a frame a word.
            if name == "weights" or work["last"][number]:
                more = {"tuser": users} if hasattr(dut, f"s_axis_{name}_tuser") else {}
                source.send_nowait(AxiStreamFrame(b"".join(frame), **more))
                frame, users = [], []
    watches = {prefix: Watch(dut, prefix) for prefix in PREFIXES}
    due = len(work["want"])
    quiet = 0
    for cycle in itertools.count():
        await FallingEdge(dut.aclk)
        for watch in watches.values():
            watch.sample(cycle)
        quiet = quiet + 1 if len(watches["m_axis_result"].handshakes) >= due else 0
        if quiet == SETTLE_CYCLES:
            break
        assert cycle < work["limit"], f"{len(watches['m_axis_result'].handshakes)} of {due} beats in {cycle} cycles"
    size = len(dut.m_axis_result_tdata) // 8
    beat = 0
    while not sink.empty():
        found = bytes(sink.recv_nowait().tdata)
        for offset in range(0, len(found), size):
            value = int.from_bytes(found[offset : offset + size], "little")
            assert beat < due, f"{due} beats are due, and one more came"
            want = int(work["want"][beat], 16)
            assert value == want, f"beat {beat} is {value:#x}, expected {want:#x}"
            ends = offset + size == len(found)
            assert ends == work["last_beat"][beat], f"beat {beat}: tlast is {ends}"
            beat += 1
    assert beat == due, f"{beat} of {due} beats came"
    accepted = watches["s_axis_acts"].handshakes
    assert len(accepted) == len(work["acts"])
    cycles = watches["m_axis_result"].handshakes[-1] - accepted[0] + 1
    (folder / "counted.json").write_text(json.dumps({"beats": beat, "steps": len(accepted), "cycles": cycles}))
