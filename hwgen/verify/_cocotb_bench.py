"""Self-checking cocotb bench of one tile: drives every step, compares every beat, its value and its cycle, in order.

Needs cocotb 2 and nothing else. ``NAME.json`` beside this file, ``test_NAME.py``, holds the manifest (ports, packing,
reset) and the vectors: a number in hexadecimal for each input port of a step and each output port of a beat, empty
cycles before each step, and the cycle of each beat. While no step is offered the data ports carry the complement of the
next one, so that a tile that looks at them then is found out.
"""

from __future__ import annotations

import itertools
import json
from collections import deque
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

CONTROL = ("i_valid", "i_ready", "o_valid")
# Cycles after the last beat in which one more is an error.
SETTLE_CYCLES = 32

Port = dict[str, Any]


def integers(words: list[str]) -> list[int]:
    """Numbers in hexadecimal."""
    return [int(word, 16) for word in words]


def delays(port: Port) -> dict[int, int]:
    """Bits of an output by the cycles that they come after ``o_valid``, as the manifest's ``delay_cycles`` says."""
    rule = port.get("delay_cycles", "0")
    if rule == "0":
        return {0: (1 << port["width"]) - 1}
    shape, bits = port["packing"]["shape"], port["packing"]["element_bits"]
    masks: dict[int, int] = {}
    for index, place in enumerate(itertools.product(*map(range, shape))):
        late = {"m": place[0], "m+n": sum(place[:2])}[rule]
        masks[late] = masks.get(late, 0) | ((1 << bits) - 1) << (index * bits)
    return masks


class Driver:
    """Offers steps and holds each until it is accepted; in idle cycles the ports carry the next step's complement."""

    def __init__(self, dut: Any, ports: list[Port], vectors: Any) -> None:
        self.valid, self.ready = dut.i_valid, dut.i_ready
        self.handles = [getattr(dut, port["name"]) for port in ports]
        self.masks = [(1 << port["width"]) - 1 for port in ports]
        self.steps = list(zip(*(integers(vectors["inputs"][port["name"]]) for port in ports), strict=True))
        self.idle: list[int] = vectors["idle"]
        self.number = 0
        # The first step comes in cycle 0, from which beats are counted.
        self.wait = 0
        self.offered = False
        self.fresh = True

    @property
    def done(self) -> bool:
        return self.number == len(self.steps)

    def drive(self) -> None:
        """Set the inputs of the coming rising edge."""
        self.offered = not self.done and self.wait == 0
        self.valid.value = int(self.offered)
        if self.fresh and not self.done:
            for handle, value, mask in zip(self.handles, self.steps[self.number], self.masks, strict=True):
                handle.value = value if self.offered else value ^ mask
        # What was inverted is set anew in the next cycle.
        self.fresh = not self.offered

    def sample(self) -> None:
        """Look at ``i_ready`` with the inputs of this cycle."""
        if self.wait:
            self.wait -= 1
        elif self.offered and int(self.ready.value):
            self.number += 1
            self.fresh = True
            self.wait = 0 if self.done else self.idle[self.number]


class Checker:
    """Expected beats in order."""

    def __init__(self, ports: list[Port], vectors: Any) -> None:
        self.want = {port["name"]: integers(vectors["outputs"][port["name"]]) for port in ports}
        self.cycles: list[int] = vectors["cycles"]
        self.beats = 0

    @property
    def done(self) -> bool:
        return self.beats == len(self.cycles)

    def announce(self, number: int, cycle: int) -> None:
        """A beat began: is it due?"""
        assert number < len(self.cycles), f"beat {number} in cycle {cycle}, but only {len(self.cycles)} are due"
        assert cycle == self.cycles[number], f"beat {number} came in cycle {cycle}, expected {self.cycles[number]}"

    def check(self, number: int, values: dict[str, int]) -> None:
        """All of a beat is there: is it right?"""
        for name, value in values.items():
            want = self.want[name][number]
            assert value == want, f"beat {number}: {name} is {value:#x}, expected {want:#x}"
        self.beats += 1


class Monitor:
    """Collects beats, putting together what comes in different cycles."""

    def __init__(self, dut: Any, ports: list[Port], checker: Checker) -> None:
        self.valid, self.checker = dut.o_valid, checker
        self.outputs = [(port["name"], getattr(dut, port["name"]), delays(port)) for port in ports]
        self.longest = max(max(masks) for _, _, masks in self.outputs)
        self.pending: deque[tuple[int, int, dict[str, int]]] = deque()
        self.announced = 0

    def sample(self, cycle: int) -> None:
        """Look at the outputs of this cycle."""
        if int(self.valid.value):
            self.checker.announce(self.announced, cycle)
            self.pending.append((self.announced, cycle, {name: 0 for name, _, _ in self.outputs}))
            self.announced += 1
        if not self.pending:
            return
        # Elements that are not due may still be unknown.
        bits = {name: str(handle.value) for name, handle, _ in self.outputs}
        for _, begin, parts in self.pending:
            for name, _, masks in self.outputs:
                mask = masks.get(cycle - begin, 0)
                if mask:
                    parts[name] |= known(bits[name], mask, name, cycle)
        if self.pending[0][1] + self.longest == cycle:
            number, _, parts = self.pending.popleft()
            self.checker.check(number, parts)


def known(bits: str, mask: int, name: str, cycle: int) -> int:
    """The bits of a mask, none of which may be unknown."""
    if set(bits) <= {"0", "1"}:
        return int(bits, 2) & mask
    unknown = int("".join("0" if bit in "01" else "1" for bit in bits), 2) & mask
    assert not unknown, f"{name} has unknown bits {unknown:#x} in cycle {cycle}"
    return int("".join("1" if bit == "1" else "0" for bit in bits), 2) & mask


@cocotb.test()
async def stream(dut: Any) -> None:
    """All steps in, all beats out; ``NAME.counted.json`` says how many of each, and in how many cycles."""
    here = Path(__file__)
    given = here.with_name(f"{here.stem.removeprefix('test_')}.json")
    vectors = json.loads(given.read_text())
    manifest = vectors["manifest"]
    data = [p for p in manifest["ports"] if p["name"] not in CONTROL and p["role"] not in ("clock", "reset")]
    reset, resetting = getattr(dut, manifest["reset"]["port"]), int(manifest["reset"]["active"] == "high")
    driver = Driver(dut, [port for port in data if port["direction"] == "input"], vectors)
    outputs = [port for port in data if port["direction"] == "output"]
    checker = Checker(outputs, vectors)
    monitor = Monitor(dut, outputs, checker)

    dut.i_valid.value = 0
    reset.value = resetting
    Clock(dut.clk, 10, "ns").start()
    for _ in range(3):
        await FallingEdge(dut.clk)
    reset.value = 1 - resetting
    last = checker.cycles[-1]
    for cycle in range(last + monitor.longest + SETTLE_CYCLES):
        if cycle:
            await FallingEdge(dut.clk)
        driver.drive()
        await ReadOnly()
        monitor.sample(cycle)
        driver.sample()
        if checker.done and driver.done and cycle == last + monitor.longest:
            counted = {"steps": driver.number, "beats": checker.beats, "cycles": last + 1}
            given.with_suffix(".counted.json").write_text(json.dumps(counted))
    assert driver.done, f"{driver.number} of {len(driver.steps)} steps were accepted"
    assert checker.done, f"{checker.beats} of {len(checker.cycles)} beats came"
