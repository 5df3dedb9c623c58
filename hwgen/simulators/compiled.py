"""Compiled simulation of a streaming module: arrays in, arrays out, no Python in the cycle loop.

The module's protocol: ``rst`` is active high unless the protocol says otherwise; a *step* is taken in a cycle with
``i_valid`` and ``i_ready`` high, its data ports hold until then; a *beat* is a cycle with ``o_valid`` high, it cannot
be held back. Data ports carry noise whenever ``i_valid`` is low, so a design that looks at them then is found out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwgen.errors import HwgenError, suggest
from hwgen.simulators import _process
from hwgen.simulators._program import Port, build_program, check_build, check_names
from hwgen.simulators.words import pack_words

__all__ = ["CompiledSim", "ManyResult", "Port", "SimResult", "Slice", "StreamProtocol", "build"]

_DRIVER = Path(__file__).with_name("driver.cpp")
_RESET_CYCLES = 2
# Cycles after the last expected beat in which one more beat is an error.
_SETTLE_CYCLES = 32
_RESULT = np.dtype(
    [(name, "<u8") for name in ("status", "accepted", "beats", "cycles", "simulated", "first_bad")]
    + [("seconds", "<f8")]
)
_OK, _MISSING, _EXTRA = 0, 1, 2
_REASONS = ("", "missing", "extra", "value", "cycle")


@dataclass(frozen=True)
class Slice:
    """``width`` bits of the output ``port`` from bit ``lsb`` that are valid ``delay`` cycles after ``o_valid``."""

    port: str
    lsb: int
    width: int
    delay: int


@dataclass(frozen=True)
class StreamProtocol:
    """Names of the signals that carry the protocol, each one bit wide, and the skew of the outputs.

    ``i_ready`` is None for a module that takes a step in every cycle; ``rst_level`` is
    the value of ``rst`` that resets. Output bits that no slice of ``skew`` names are
    valid together with ``o_valid``.
    """

    clk: str = "clk"
    rst: str = "rst"
    rst_level: int = 1
    i_valid: str = "i_valid"
    i_ready: str | None = "i_ready"
    o_valid: str = "o_valid"
    skew: tuple[Slice, ...] = ()


@dataclass(frozen=True, eq=False)
class SimResult:
    """What one run gave; S steps, B beats. Cycle 0 is the first with ``i_valid`` high.

    Attributes:
        outputs: Per data output the words [B, words] of each beat, its skewed slices put back together.
        cycles: From the first cycle with ``i_valid`` high to the last with ``o_valid`` high, inclusive, counted by the
            program, not by the design.
        accept_cycles: Cycle in which each step was taken, uint64 [S].
        beat_cycles: Cycle in which ``o_valid`` announced each beat, uint64 [B].
        simulated_cycles: All cycles after the reset, with those before the first step and after the last beat.
        seconds: Wall time of the cycle loop.
    """

    outputs: dict[str, NDArray[np.uint32]]
    cycles: int
    accept_cycles: NDArray[np.uint64]
    beat_cycles: NDArray[np.uint64]
    simulated_cycles: int
    seconds: float


@dataclass(frozen=True, eq=False)
class ManyResult:
    """What R runs against one expectation gave.

    Attributes:
        caught: Whether run r differed from the expectation, bool [R].
        first_mismatch: Number of the beat at which it was caught, int64 [R]; -1 where it was not.
        reasons: Per run "" or what was wrong: "value" (data), "cycle" (right data so far, wrong cycle), "missing" (no
            beat came) or "extra" (a beat that nobody asked for).
        simulated_cycles: All cycles of all runs.
        seconds: Wall time of all cycle loops.
    """

    caught: NDArray[np.bool_]
    first_mismatch: NDArray[np.int64]
    reasons: tuple[str, ...]
    simulated_cycles: int
    seconds: float


def build(
    verilog: str,
    top: str,
    ports: Sequence[Port],
    protocol: StreamProtocol | None = None,
    *,
    opt: str = "-O1",
    threads: int = 1,
) -> CompiledSim:
    """Compile a module with Verilator, or take it from the cache.

    Args:
        verilog: Complete Verilog source.
        top: Name of the top module.
        ports: Every port of it.
        protocol: Its signals and skew; None for the names given in `StreamProtocol`.
        opt: Optimisation of the hot code. -O1 is the measured optimum: for tiles of 128 cells -O2 and -O3 build up to
            40 % longer and simulate no faster, -O0 builds 20 % faster and simulates three times slower or worse.
        threads: Threads of the simulation; pays only for very large modules.

    Returns:
        A program in the cache folder, ready to run.

    Raises:
        HwgenError: The ports do not describe the module or the protocol, a tool is missing, or the build failed.
    """
    protocol = protocol or StreamProtocol()
    check_build(opt, threads)
    _check_ports(top, ports, protocol)
    return CompiledSim(build_program(verilog, top, ports, _DRIVER, opt, threads), top, tuple(ports), protocol)


def _check_ports(top: str, ports: Sequence[Port], protocol: StreamProtocol) -> None:
    known = check_names(top, ports)
    for role, direction in (
        ("clk", "input"),
        ("rst", "input"),
        ("i_valid", "input"),
        ("i_ready", "output"),
        ("o_valid", "output"),
    ):
        name = getattr(protocol, role)
        if name is None and role == "i_ready":
            continue
        if name not in known:
            hint = suggest(name, known)
            raise HwgenError(f"{top}: the protocol's {role} must be one of its ports, not {name!r}{hint}")
        if known[name].direction != direction or known[name].width != 1:
            raise HwgenError(
                f"{top}: the protocol's {role} must be an {direction} of 1 bit, but {name} is an "
                f"{known[name].direction} of {known[name].width}"
            )
    taken: dict[str, int] = {}
    for part in protocol.skew:
        data = known.get(part.port)
        if data is None or data.direction != "output" or part.port in (protocol.i_ready, protocol.o_valid):
            raise HwgenError(f"{top}: a skewed slice must belong to a data output, not {part.port!r}")
        if part.lsb < 0 or part.width < 1 or part.lsb + part.width > data.width or part.delay < 0:
            raise HwgenError(
                f"{top}: a slice of {part.port} must lie within its {data.width} bits and have a delay of at least 0, "
                f"not lsb {part.lsb}, width {part.width}, delay {part.delay}"
            )
        bits = ((1 << part.width) - 1) << part.lsb
        if taken.get(part.port, 0) & bits:
            raise HwgenError(f"{top}: slices of {part.port} must not overlap, but two hold bits from {part.lsb} up")
        taken[part.port] = taken.get(part.port, 0) | bits


@dataclass(frozen=True)
class CompiledSim:
    """A compiled module; made by `build`. Runs do not share state, and may go on in several processes at once."""

    program: Path
    top: str
    ports: tuple[Port, ...]
    protocol: StreamProtocol

    @property
    def data_inputs(self) -> dict[str, Port]:
        """Inputs that belong to the stream or are constants of a run, by name."""
        return self._data("input")

    @property
    def data_outputs(self) -> dict[str, Port]:
        """Outputs that a beat carries, by name."""
        return self._data("output")

    def _data(self, direction: str) -> dict[str, Port]:
        names = self.protocol
        control = {names.clk, names.rst, names.i_valid, names.i_ready, names.o_valid}
        return {port.name: port for port in self.ports if port.direction == direction and port.name not in control}

    def run(
        self,
        inputs: Mapping[str, NDArray[np.uint32]],
        expected_beats: int,
        *,
        idle: ArrayLike | None = None,
        max_cycles: int = 100_000,
        constants: Mapping[str, int] | None = None,
    ) -> SimResult:
        """Stream S steps through the module and collect the beats.

        Args:
            inputs: Per data input the words [S, words] of each step (see `hwgen.simulators.pack_words`).
            expected_beats: Beats to wait for; one more within 32 cycles after the last is an error.
            idle: Cycles [S] to leave ``i_valid`` low before each step; None for none.
            max_cycles: Most cycles in a row, idle ones not counted, in which neither a step is taken nor a beat comes.
            constants: Values of the inputs that are not in ``inputs``, set once before the reset.

        Raises:
            HwgenError: The arrays do not fit the ports, or beats were missing or in excess.
        """
        constants = constants or {}
        steps = self._check_inputs(inputs, constants)
        if expected_beats < 1:
            raise HwgenError(f"{self.top}: expected_beats must be at least 1, not {expected_beats}")
        return self._record(inputs, steps, expected_beats, idle, max_cycles, constants)

    def run_parts(
        self,
        inputs: Mapping[str, NDArray[np.uint32]],
        parts: Sequence[tuple[int, int | None]],
        most_beats: int,
        *,
        drain: int,
        max_cycles: int = 100_000,
        constants: Mapping[str, int] | None = None,
    ) -> list[SimResult]:
        """Stream parts of the steps, all but the last cut off by a reset of one cycle, and collect each one's beats.

        Args:
            inputs: As for `run`, of all parts one after the other.
            parts: Of each its steps, and in which cycle of its own (0 is the first, with its first step on offer) the
                reset comes: a step on offer then is not taken, and none after it. The next part is on offer in the
                cycle after that. The last one has None.
            most_beats: Beats that there is room for; more are an error.
            drain: Cycles after the last step in which beats may come.
            max_cycles: As for `run`.
            constants: As for `run`.

        Returns:
            Per part the steps that were taken and the beats that came, that in the cycle of the reset included, cycles
            counted from its own first one. Slices that come later than a reset are 0.

        Raises:
            HwgenError: The arrays do not fit the ports, the parts not the steps, or beats were in excess.
        """
        constants = constants or {}
        steps = self._check_inputs(inputs, constants)
        cuts = [cut for _, cut in parts]
        if (
            not parts
            or cuts[-1] is not None
            or any(cut is None or cut < 0 for cut in cuts[:-1])
            or any(size < 1 for size, _ in parts)
            or sum(size for size, _ in parts) != steps
        ):
            raise HwgenError(
                f"{self.top}: parts must hold {steps} steps in all, each at least one, and a cycle of at least 0 for "
                f"all but the last, not {list(parts)}"
            )
        result = self._record(inputs, steps, most_beats, None, max_cycles, constants, parts, drain)
        starts = np.cumsum([0, *(cut + 1 for cut in cuts[:-1] if cut is not None)]).astype(np.uint64)
        last = np.append(starts[1:], ~np.uint64(0))
        # Of steps that were not taken the cycle is the largest number.
        taken = np.split(result.accept_cycles, np.cumsum([size for size, _ in parts])[:-1])
        found = []
        for begin, end, accepted in zip(starts, last, taken, strict=True):
            mine = (result.beat_cycles >= begin) & (result.beat_cycles < end)
            cycles = result.beat_cycles[mine] - begin
            found.append(
                SimResult(
                    outputs={name: words[mine] for name, words in result.outputs.items()},
                    cycles=int(cycles[-1]) + 1 if len(cycles) else 0,
                    accept_cycles=accepted[accepted != ~np.uint64(0)] - begin,
                    beat_cycles=cycles,
                    simulated_cycles=result.simulated_cycles,
                    seconds=result.seconds,
                )
            )
        return found

    def _record(
        self,
        inputs: Mapping[str, NDArray[np.uint32]],
        steps: int,
        beats: int,
        idle: ArrayLike | None,
        max_cycles: int,
        constants: Mapping[str, int],
        parts: Sequence[tuple[int, int | None]] = (),
        drain: int = 0,
    ) -> SimResult:
        """Run the program once; with ``parts`` fewer than ``beats`` may come."""
        with tempfile.TemporaryDirectory(prefix="hwgen-run-") as name:
            folder = Path(name)
            outputs = self.data_outputs
            job = [f"record 1\nbeats {beats}\nruns 1\n"]
            job += self._common(folder, inputs, steps, idle, max_cycles, [constants], outputs)
            for name, port in outputs.items():
                _reserve(folder / f"out{self._index(name)}.bin", 4 * port.words * beats)
            np.full(steps, -1, "<i8").tofile(folder / "accept.bin")
            _reserve(folder / "beat.bin", 8 * beats)
            if parts:
                job.append(f"cuts {len(parts)}\nsettle {drain}\n")
                np.array([(size, -1 if cut is None else cut) for size, cut in parts], "<i8").tofile(folder / "cuts.bin")
            result = self._launch(folder, job)[0]
            if result["status"] != _OK:
                raise self._failed(result, steps, beats, max_cycles)
            came = int(result["beats"])
            return SimResult(
                outputs={
                    name: np.fromfile(folder / f"out{self._index(name)}.bin", "<u4").reshape(-1, port.words)[:came]
                    for name, port in outputs.items()
                },
                cycles=int(result["cycles"]),
                accept_cycles=np.fromfile(folder / "accept.bin", "<u8"),
                beat_cycles=np.fromfile(folder / "beat.bin", "<u8")[:came],
                simulated_cycles=int(result["simulated"]),
                seconds=float(result["seconds"]),
            )

    def run_many(
        self,
        inputs: Mapping[str, NDArray[np.uint32]],
        expected: Mapping[str, NDArray[np.uint32]],
        constants: Sequence[Mapping[str, int]],
        *,
        beat_cycles: NDArray[np.uint64] | None = None,
        idle: ArrayLike | None = None,
        max_cycles: int = 1000,
    ) -> ManyResult:
        """Run the same steps once per set of constants, in one process, each until it first differs.

        Args:
            inputs: As for `run`.
            expected: Per data output that is to be compared the words [B, words] of each beat.
            constants: Per run the values of the inputs that are not in ``inputs``; the same names in all.
            beat_cycles: Cycle in which each beat must come, uint64 [B], as `run` returns it; None compares no cycles.
            idle: As for `run`.
            max_cycles: As for `run`; a run that stalls for so long is caught.

        Raises:
            HwgenError: The arrays do not fit the ports.
        """
        if not constants:
            raise HwgenError(f"{self.top}: constants must hold at least one set for run_many, not none")
        for number, values in enumerate(constants):
            if values.keys() != constants[0].keys():
                raise HwgenError(
                    f"{self.top}: all sets of constants must name the same ports, but set {number} names "
                    f"{_names(values)} and set 0 {_names(constants[0])}"
                )
        steps = self._check_inputs(inputs, constants[0])
        outputs = {}
        beats = 0
        for name, words in expected.items():
            if name not in self.data_outputs:
                raise HwgenError(f"{self.top}: {name!r} is no data output{suggest(name, self.data_outputs)}")
            outputs[name] = self.data_outputs[name]
            beats = self._check_words(outputs[name], words, beats)
        if not outputs:
            raise HwgenError(f"{self.top}: expected must hold at least one data output, not none")
        if beat_cycles is not None and beat_cycles.shape != (beats,):
            raise HwgenError(
                f"{self.top}: beat_cycles must have one entry for each of {beats} beats, not shape {beat_cycles.shape}"
            )
        with tempfile.TemporaryDirectory(prefix="hwgen-run-") as name:
            folder = Path(name)
            job = [f"record 0\nbeats {beats}\nruns {len(constants)}\n"]
            job += self._common(folder, inputs, steps, idle, max_cycles, constants, outputs)
            for name in outputs:
                expected[name].astype("<u4").tofile(folder / f"out{self._index(name)}.bin")
            if beat_cycles is not None:
                job.append("timed 1\n")
                beat_cycles.astype("<u8").tofile(folder / "beat.bin")
            results = self._launch(folder, job)
        caught = results["status"] != _OK
        return ManyResult(
            caught=caught,
            first_mismatch=np.where(caught, results["first_bad"].astype(np.int64), -1),
            reasons=tuple(_REASONS[status] for status in results["status"]),
            simulated_cycles=int(results["simulated"].sum()),
            seconds=float(results["seconds"].sum()),
        )

    def _index(self, name: str) -> int:
        return next(index for index, port in enumerate(self.ports) if port.name == name)

    def _check_inputs(self, inputs: Mapping[str, NDArray[np.uint32]], constants: Mapping[str, int]) -> int:
        """Return the number of steps."""
        known = self.data_inputs
        for name in [*inputs, *constants]:
            if name not in known:
                raise HwgenError(f"{self.top}: {name!r} is no data input{suggest(name, known)}")
        for name in known:
            if (name in inputs) == (name in constants):
                where = "both" if name in inputs else "neither"
                raise HwgenError(f"{self.top}: {name} must be given in inputs or in constants, not in {where}")
        steps = 0
        for name, words in inputs.items():
            steps = self._check_words(known[name], words, steps)
        if not steps:
            raise HwgenError(f"{self.top}: inputs must hold at least one step of at least one port, not none")
        return steps

    def _check_words(self, port: Port, words: NDArray[Any], rows: int) -> int:
        """Return the number of rows of ``words``, which must be ``rows`` unless that is 0."""
        if words.ndim != 2 or words.dtype != np.uint32 or words.shape[1] != port.words or rows not in (0, len(words)):
            raise HwgenError(
                f"{self.top}: {port.name} must be a uint32 array of shape [{rows or 'n'}, {port.words}], "
                f"not {words.dtype} {list(words.shape)}"
            )
        if len(words) == 0:
            raise HwgenError(f"{self.top}: {port.name} must have at least one row, not none")
        spare = 32 * port.words - port.width
        if spare and int(words[:, -1].max()) >> (32 - spare):
            raise HwgenError(f"{self.top}: {port.name} must fit into its {port.width} bits, but higher bits are set")
        return len(words)

    def _common(
        self,
        folder: Path,
        inputs: Mapping[str, NDArray[np.uint32]],
        steps: int,
        idle: ArrayLike | None,
        max_cycles: int,
        constants: Sequence[Mapping[str, int]],
        outputs: Mapping[str, Port],
    ) -> list[str]:
        """Write the files that both kinds of run read and return their lines of job.txt."""
        if max_cycles < 1:
            raise HwgenError(f"{self.top}: max_cycles must be at least 1, not {max_cycles}")
        names = self.protocol
        job = [
            f"steps {steps}\npatience {max_cycles}\nsettle {_SETTLE_CYCLES}\nreset_cycles {_RESET_CYCLES}\n",
            f"clk {self._index(names.clk)}\nrst {self._index(names.rst)}\nrst_level {names.rst_level}\n",
            f"i_valid {self._index(names.i_valid)}\no_valid {self._index(names.o_valid)}\n",
        ]
        if names.i_ready is not None:
            job.append(f"i_ready {self._index(names.i_ready)}\n")
        for name, words in inputs.items():
            job.append(f"input {self._index(name)}\n")
            words.astype("<u4", copy=False).tofile(folder / f"in{self._index(name)}.bin")
        columns = []
        for name in constants[0]:
            job.append(f"constant {self._index(name)}\n")
            column = np.array([[values[name]] for values in constants], object)
            width = self.data_inputs[name].width
            if int(column.min()) < 0 or int(column.max()) >> width:
                worst = column.min() if column.min() < 0 else column.max()
                raise HwgenError(f"{self.top}: the constant {name} must fit into its {width} bits, not {worst}")
            columns.append(pack_words(column, width))
        if columns:
            np.concatenate(columns, axis=1).astype("<u4").tofile(folder / "constants.bin")
        if idle is not None:
            gaps = np.asarray(idle)
            if gaps.shape != (steps,) or gaps.dtype.kind not in "iu" or int(gaps.min()) < 0:
                raise HwgenError(
                    f"{self.top}: idle must be {steps} whole numbers of cycles, one a step, each at least 0, "
                    f"not {gaps.dtype} {list(gaps.shape)}"
                )
            job.append("idle 1\n")
            gaps.astype("<u4").tofile(folder / "idle.bin")
        for name, port in outputs.items():
            job.append(f"output {self._index(name)}\n")
            job += self._samples(port)
        return job

    def _samples(self, port: Port) -> list[str]:
        """Return the lines that say which bits of ``port`` are looked at with which delay."""
        masks: dict[int, int] = {}
        for part in self.protocol.skew:
            if part.port == port.name:
                masks[part.delay] = masks.get(part.delay, 0) | ((1 << part.width) - 1) << part.lsb
        masks[0] = masks.get(0, 0) | ((1 << port.width) - 1) & ~sum(masks.values())
        lines = []
        for delay, mask in masks.items():
            words = pack_words(np.array([mask], object), max(port.width, 65)).tolist()
            used = [(word, bits) for word, bits in enumerate(words) if bits]
            whole = int(mask == (1 << port.width) - 1)
            listed = "".join(f" {word} {bits}" for word, bits in used)
            lines.append(f"sample {self._index(port.name)} {delay} {whole} {len(used)}{listed}\n")
        return lines

    def _launch(self, folder: Path, job: Sequence[str]) -> NDArray[Any]:
        (folder / "job.txt").write_text("".join(job))
        finished = _process.run([self.program], cwd=folder)
        if finished.returncode != 0:
            raise HwgenError(
                f"{self.top}: the simulation stopped with status {finished.returncode}: {finished.complaint}"
            )
        return np.fromfile(folder / "result.bin", _RESULT)

    def _failed(self, result: Any, steps: int, beats: int, max_cycles: int) -> HwgenError:
        if result["status"] == _MISSING:
            return HwgenError(
                f"{self.top}: {result['beats']} of {beats} beats came and {result['accepted']} of {steps} steps were "
                f"taken, then nothing for max_cycles ({max_cycles}); check expected_beats or raise max_cycles"
            )
        if result["beats"] < beats:
            return HwgenError(f"{self.top}: a beat came before the first step")
        return HwgenError(
            f"{self.top}: more than expected_beats ({beats}) beats came, the last after "
            f"{result['accepted']} of {steps} steps"
        )


def _names(values: Mapping[str, int]) -> str:
    return ", ".join(sorted(values)) or "none"


def _reserve(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)
