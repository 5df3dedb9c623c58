"""In-simulator part of the benchmark: new operands every step, every beat read. Environment: HWGEN_BENCH_STEPS,
_BITS.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge


@cocotb.test()
async def drive(dut: Any) -> None:
    """Drive steps back to back and write the seconds and beats to the file that HWGEN_BENCH_RESULT names."""
    steps, group = int(os.environ["HWGEN_BENCH_STEPS"]), int(os.environ["HWGEN_BENCH_GROUP"])
    rng = random.Random(1)
    acts, weights = len(dut.i_acts), len(dut.i_weights)
    Clock(dut.clk, 2, unit="ns").start()
    dut.rst.value = 1
    dut.i_valid.value = 0
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    begin, beats, cycles = time.perf_counter(), 0, 0
    dut.i_valid.value = 1
    for step in range(steps):
        dut.i_acts.value = rng.getrandbits(acts)
        dut.i_weights.value = rng.getrandbits(weights)
        dut.i_first.value = int(step % group == 0)
        dut.i_last.value = int(step % group == group - 1)
        while True:
            await ReadOnly()
            accepted = bool(dut.i_ready.value)
            if dut.o_valid.value:
                beats += 1
                _ = int(dut.o_sums.value)
            await RisingEdge(dut.clk)
            cycles += 1
            if accepted:
                break
    seconds = time.perf_counter() - begin
    Path(os.environ["HWGEN_BENCH_RESULT"]).write_text(f"{seconds} {beats} {cycles}\n")
