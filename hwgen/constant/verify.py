"""The Verilog of a constant matrix beside numpy: values bit for bit, and the cycle of every result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwgen.constant.unit import ConstantEmission, ConstantUnit
from hwgen.simulators import Port, build, pack_words, unpack_words
from hwgen.simulators.compiled import StreamProtocol

__all__ = ["ConstantCheck", "stimuli", "verify_constant"]


@dataclass(frozen=True)
class ConstantCheck:
    """What a simulation said: vectors, wrong elements, results in a wrong cycle, and the first of what is wrong."""

    vectors: int
    wrong: int
    late: int
    first: str

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.wrong and not self.late


def stimuli(unit: ConstantUnit, vectors: int, seed: int) -> npt.NDArray[np.int64]:
    """Inputs [vectors, inputs]: for each output those that make it largest and least, all ends, each alone, random.

    Corners come first, as many as there is room for, at least a half of the vectors is random.
    """
    low, high = unit.act_range
    rng = np.random.default_rng(seed)
    most = np.where(unit.matrix > 0, high, low)
    alone = np.eye(unit.inputs, dtype=np.int64)
    ends = np.array([[low] * unit.inputs, [high] * unit.inputs, [0] * unit.inputs])
    corners = np.concatenate([ends, most, high + low - most, alone * high, alone * low])[: vectors // 2]
    return np.concatenate([corners, rng.integers(low, high + 1, (vectors - len(corners), unit.inputs))])


def verify_constant(emission: ConstantEmission, vectors: int = 1000, seed: int = 1) -> ConstantCheck:
    """Run vectors with gaps between some of them through the compiled Verilog, and compare with numpy.

    Raises `HwgenError` where the Verilog gives too few or too many results, or Verilator is missing.
    """
    unit, reset = emission.unit, emission.reset
    x = stimuli(unit, vectors, seed)
    ports = [Port("clk", 1, "input"), Port(reset.port, 1, "input")]
    ports += [Port(one.name, one.width, "input" if one.direction == "input" else "output") for one in unit.ports()]
    protocol = StreamProtocol(rst=reset.port, rst_level=reset.level, i_ready=None)
    simulator = build(emission.verilog, emission.top, ports, protocol)
    gaps = np.random.default_rng([seed, 1]).choice([0, 0, 0, 1, 3], len(x))
    result = simulator.run({"i_x": pack_words(x, unit.act_format.code_bits)}, len(x), idle=gaps)
    y = unpack_words(result.outputs["o_y"], unit.outputs, unit.y_bits, signed=True)
    expected = unit.reference(x)
    wrong = y != expected
    delays = result.beat_cycles.astype(np.int64) - result.accept_cycles.astype(np.int64)
    late = delays != unit.latency
    first = ""
    if wrong.any():
        vector, row = (int(index) for index in np.argwhere(wrong)[0])
        first = f"vector {vector}, output {row}: must be {expected[vector, row]}, not {y[vector, row]}"
    elif late.any():
        vector = int(np.argmax(late))
        first = f"vector {vector}: must come after {unit.latency} cycles, not {delays[vector]}"
    return ConstantCheck(len(x), int(wrong.sum()), int(late.sum()), first)
