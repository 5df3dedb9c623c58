"""Run combinational logic over arrays: Amaranth → RTLIL → Yosys' C++ backend → a shared library."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyosys
from amaranth.back import rtlil
from amaranth.hdl import Module, Shape, Signal, Value
from amaranth.sim import Simulator, SimulatorContext

Builder = Callable[[Module, dict[str, Signal]], Mapping[str, Value]]


@dataclass(frozen=True)
class Block:
    """Combinational logic: input name → shape (at most 64 bits), and a function from inputs to named outputs."""

    inputs: Mapping[str, Shape | int]
    build: Builder

    def module(self) -> tuple[Module, dict[str, Signal], dict[str, Signal]]:
        m = Module()
        inputs = {name: Signal(shape, name=f"i{index}") for index, (name, shape) in enumerate(self.inputs.items())}
        outputs = {}
        for index, (name, value) in enumerate(self.build(m, inputs).items()):
            outputs[name] = Signal(Value.cast(value).shape(), name=f"o{index}")
            m.d.comb += outputs[name].eq(value)
        return m, inputs, outputs


def simulate(block: Block, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    """The block's outputs from Amaranth's own simulator, vector by vector."""
    m, inputs, outputs = block.module()
    count = len(next(iter(arrays.values())))
    results: dict[str, list[int]] = {name: [] for name in outputs}

    async def bench(context: SimulatorContext) -> None:
        for index in range(count):
            for name, signal in inputs.items():
                context.set(signal, int(arrays[name][index]))
            await context.delay(1e-9)
            for name, signal in outputs.items():
                results[name].append(context.get(signal))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    return {name: np.array(values, dtype=np.int64) for name, values in results.items()}


@dataclass(frozen=True)
class Runner:
    """A compiled block: call it with one array per input."""

    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    function: Callable[..., None]

    def __call__(self, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name; signed ones sign-extended to int64."""
        assert arrays.keys() == self.inputs.keys()
        columns = []
        for name, shape in self.inputs.items():
            words = np.asarray(arrays[name]).astype(np.int64).astype(np.uint64).ravel()
            columns.append(np.ascontiguousarray(words & np.uint64((1 << shape.width) - 1)))
        count = len(columns[0])
        assert all(len(column) == count for column in columns)
        results = [np.zeros(count, np.uint64) for _ in self.outputs]
        pointers = [(ctypes.c_void_p * len(group))(*[a.ctypes.data for a in group]) for group in (columns, results)]
        self.function(*pointers, ctypes.c_size_t(count))
        pairs = zip(self.outputs.items(), results, strict=True)
        return {name: _signed(values, shape) for (name, shape), values in pairs}


def _assign(index: int, width: int) -> str:
    high = f" d.p_i{index}.data[1] = (uint32_t)(v >> 32);" if width > 32 else ""
    return f"{{ uint64_t v = in[{index}][n]; d.p_i{index}.data[0] = (uint32_t)v;{high} }}"


def _read(index: int, width: int) -> str:
    if not width:
        return ""
    high = f" | (uint64_t)d.p_o{index}.data[1] << 32" if width > 32 else ""
    return f"out[{index}][n] = d.p_o{index}.data[0]{high};"


def compile_blocks(blocks: Mapping[str, Block], folder: Path) -> dict[str, Runner]:
    """One runner per block, from one shared library."""
    shapes: dict[str, tuple[dict[str, Shape], dict[str, Shape]]] = {}
    main = ""
    for number, (name, block) in enumerate(blocks.items()):
        m, inputs, outputs = block.module()
        text = rtlil.convert(m, name="block", ports=[*inputs.values(), *outputs.values()], emit_src=False)
        (folder / f"b{number}.il").write_text(text)
        ins, outs = ({key: signal.shape() for key, signal in signals.items()} for signals in (inputs, outputs))
        shapes[name] = (ins, outs)
        sets = "\n".join(_assign(index, shape.width) for index, shape in enumerate(ins.values()))
        gets = "\n".join(_read(index, shape.width) for index, shape in enumerate(outs.values()))
        main += (
            f'#include "b{number}.cc"\n'
            f'extern "C" void run{number}(uint64_t **in, uint64_t **out, size_t count) {{ b{number}::p_block d;\n'
            f"for (size_t n = 0; n < count; n++) {{\n{sets}\nd.step();\n{gets}\n}} }}\n"
        )
    (folder / "main.cc").write_text(main)
    # Yosys ends its process on an error, hence a child.
    script = (
        "from pyosys import libyosys as ys\n"
        f"for n in range({len(blocks)}):\n"
        "    d = ys.Design()\n"
        "    for c in (f'read_rtlil b{n}.il', 'proc', 'flatten', 'opt_clean',\n"
        "              f'write_cxxrtl -noflatten -g0 -namespace b{n} b{n}.cc'): ys.run_pass(c, d)\n"
    )
    _run([sys.executable, "-c", script], folder)
    include = Path(pyosys.__file__).parent / "share/include/backends/cxxrtl/runtime"
    flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-w", f"-I{include}"]
    _run(["g++", *flags, "main.cc", "-o", "design.so"], folder)
    library = ctypes.CDLL(str(folder / "design.so"))
    return {
        name: Runner(ins, outs, library[f"run{number}"]) for number, (name, (ins, outs)) in enumerate(shapes.items())
    }


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def _signed(values: np.ndarray, shape: Shape) -> np.ndarray:
    integers = values.astype(np.int64)
    if not shape.signed or shape.width == 64:
        return integers
    return np.where(values >> np.uint64(shape.width - 1) == 1, integers - (1 << shape.width), integers)
