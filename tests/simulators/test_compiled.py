from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.simulators import CompiledSim, Port, Slice, StreamProtocol, _program, build
from tests.simulators.design import PORTS, PROTOCOL, VERILOG, expected, stimulus

pytestmark = pytest.mark.rtl


@pytest.fixture(scope="module")
def accu() -> CompiledSim:
    return build(VERILOG, "accu", PORTS, PROTOCOL)


@pytest.mark.parametrize("group", [1, 3])
def test_beats_equal_the_definition_and_cycles_are_counted(accu: CompiledSim, group: int) -> None:
    inputs = stimulus(30, group)
    result = accu.run(inputs, 30 // group, constants={"fault": 0})
    wanted = expected(inputs)
    assert set(result.outputs) == {"o_sum", "o_late"}
    assert (result.outputs["o_sum"] == wanted["o_sum"]).all()
    assert (result.outputs["o_late"] == wanted["o_late"]).all()
    steps = np.arange(30)
    assert (result.accept_cycles == 2 * steps + 1).all()
    assert (result.beat_cycles == 2 * steps[group - 1 :: group] + 2).all()
    assert result.cycles == 61


def test_idle_cycles_are_inserted_and_noise_does_not_reach_the_sum(accu: CompiledSim) -> None:
    inputs = stimulus(12, 4)
    idle = np.random.default_rng(3).integers(0, 5, 12)
    idle[0] = 4
    result = accu.run(inputs, 3, idle=idle, constants={"fault": 0})
    assert (result.outputs["o_sum"] == expected(inputs)["o_sum"]).all()
    # The count starts with i_valid, after the idle cycles of step 0.
    assert (result.accept_cycles == np.cumsum(idle) - 4 + 2 * np.arange(12) + 1).all()
    assert result.cycles == idle[1:].sum() + 25


def test_a_fault_gives_other_beats(accu: CompiledSim) -> None:
    inputs = stimulus(6, 2)
    wrong = accu.run(inputs, 3, constants={"fault": 1})
    assert (wrong.outputs["o_sum"] != expected(inputs)["o_sum"]).any(axis=1).all()


def test_without_its_skew_a_late_slice_is_wrong(accu: CompiledSim) -> None:
    inputs = stimulus(8, 1)
    careless = replace(accu, protocol=StreamProtocol())
    result = careless.run(inputs, 8, constants={"fault": 0})
    late, wanted = result.outputs["o_late"], expected(inputs)["o_late"]
    assert (late & 15 == wanted & 15).all()
    assert (late != wanted).any()


def test_parts_are_cut_off_by_a_reset(accu: CompiledSim) -> None:
    """Parts of 8 steps, one group each 2 steps: of the first, cut in cycle c, c // 2 steps are taken before."""
    inputs = stimulus(24, 2)
    wanted = expected(inputs)["o_sum"].reshape(3, 4, -1)
    for cut, taken in ((0, 0), (1, 0), (5, 2), (12, 6)):
        parts = accu.run_parts(inputs, [(8, cut), (8, 7), (8, None)], 12, drain=8, constants={"fault": 0})
        for part, most, steps, want in zip(parts, (cut, 7, 99), (taken, 3, 8), wanted, strict=True):
            assert part.accept_cycles.tolist() == [2 * step + 1 for step in range(steps)]
            # A beat in the cycle of the reset is still there.
            beats = [4 * beat for beat in range(1, 5) if 4 * beat <= most]
            assert part.beat_cycles.tolist() == beats
            assert (part.outputs["o_sum"] == want[: len(beats)]).all()


@pytest.mark.parametrize("parts", [[], [(6, None), (6, None)], [(12, 3)], [(11, None)], [(0, 3), (12, None)]])
def test_parts_that_are_none(accu: CompiledSim, parts: list[tuple[int, int | None]]) -> None:
    with pytest.raises(HwgenError, match=r"^accu: parts must hold 12 steps in all"):
        accu.run_parts(stimulus(12, 2), parts, 6, drain=8, constants={"fault": 0})


def test_many_runs_tell_what_was_caught_and_where(accu: CompiledSim) -> None:
    inputs = stimulus(40, 4)
    idle = np.zeros(40, np.uint32)
    idle[18] = 1
    reference = accu.run(inputs, 10, idle=idle, constants={"fault": 0})
    result = accu.run_many(
        inputs,
        expected(inputs),
        [{"fault": fault} for fault in range(10)],
        idle=idle,
        beat_cycles=reference.beat_cycles,
    )
    assert dict(enumerate(zip(result.reasons, result.first_mismatch.tolist(), strict=True))) == {
        0: ("", -1),
        1: ("value", 0),
        2: ("missing", 0),
        3: ("value", 1),
        4: ("cycle", 0),
        5: ("value", 4),
        6: ("value", 0),
        7: ("missing", 0),
        8: ("", -1),  # it reads a one cycle early: data ports hold while a step waits
        9: ("extra", 0),
    }
    assert result.caught.tolist() == [reason != "" for reason in result.reasons]


def test_many_runs_compare_only_what_is_expected(accu: CompiledSim) -> None:
    inputs = stimulus(8, 2)
    wanted = expected(inputs)
    sums = accu.run_many(inputs, {"o_sum": wanted["o_sum"]}, [{"fault": fault} for fault in (4, 6)])
    assert sums.caught.tolist() == [False, False]
    late = accu.run_many(inputs, {"o_late": wanted["o_late"]}, [{"fault": fault} for fault in (4, 6)])
    assert late.caught.tolist() == [False, True]


def test_a_wrong_expectation_is_a_mismatch_at_its_beat(accu: CompiledSim) -> None:
    inputs = stimulus(20, 2)
    for name, word, bit in (("o_sum", 3, 3), ("o_sum", 0, 0), ("o_late", 0, 0), ("o_late", 0, 4), ("o_late", 0, 11)):
        wanted = expected(inputs)
        wanted[name][7, word] ^= np.uint32(1 << bit)
        result = accu.run_many(inputs, wanted, [{"fault": 0}])
        assert (result.reasons, result.first_mismatch.tolist()) == (("value",), [7])


def test_a_thousand_runs_start_from_the_same_state(accu: CompiledSim) -> None:
    inputs = stimulus(4, 2)
    faults = [{"fault": fault} for fault in (0, 5, 2, 7, 0)] * 200
    result = accu.run_many(inputs, expected(inputs), faults, idle=[0, 3, 0, 0])
    assert result.caught.tolist() == [False, True, True, True, False] * 200


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"threads": 2}, {"opt": "-O0"}, {"opt": "-O3"}])
def test_other_builds_answer_the_same(options: dict[str, Any]) -> None:
    inputs = stimulus(30, 3)
    result = build(VERILOG, "accu", PORTS, PROTOCOL, **options).run(inputs, 10, constants={"fault": 0})
    wanted = expected(inputs)
    assert all((result.outputs[name] == wanted[name]).all() for name in ("o_sum", "o_late"))
    assert result.cycles == 61


def raises(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        call()
    assert str(caught.value) == message


def test_missing_and_extra_beats_are_told(accu: CompiledSim) -> None:
    inputs = stimulus(6, 2)
    raises(
        lambda: accu.run(inputs, 4, constants={"fault": 0}, max_cycles=50),
        "accu: 3 of 4 beats came and 6 of 6 steps were taken, then nothing for max_cycles (50); "
        "check expected_beats or raise max_cycles",
    )
    raises(
        lambda: accu.run(inputs, 3, constants={"fault": 7}, max_cycles=50),
        "accu: 0 of 3 beats came and 0 of 6 steps were taken, then nothing for max_cycles (50); "
        "check expected_beats or raise max_cycles",
    )
    raises(
        lambda: accu.run(inputs, 2, constants={"fault": 0}),
        "accu: more than expected_beats (2) beats came, the last after 6 of 6 steps",
    )
    raises(lambda: accu.run(inputs, 3, constants={"fault": 9}), "accu: a beat came before the first step")


def test_long_idle_times_are_no_stall(accu: CompiledSim) -> None:
    inputs = stimulus(2, 2)
    assert accu.run(inputs, 1, idle=[0, 500], constants={"fault": 0}, max_cycles=10).cycles == 505


def test_a_design_that_stops_the_simulation_is_told(accu: CompiledSim) -> None:
    with pytest.raises(HwgenError, match=r"^accu: the simulation stopped with status -?\d+: \S"):
        accu.run(stimulus(2, 2), 1, constants={"fault": 10})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"i_aa": np.zeros((6, 1), np.uint32)}, "accu: 'i_aa' is no data input; did you mean 'i_a'?"),
        (
            {"i_b": np.zeros((5, 2), np.uint32)},
            "accu: i_b must be a uint32 array of shape [6, 2], not uint32 [5, 2]",
        ),
        (
            {"i_b": np.zeros((6, 1), np.uint32)},
            "accu: i_b must be a uint32 array of shape [6, 2], not uint32 [6, 1]",
        ),
        ({"i_b": np.zeros((6, 2), np.int64)}, "accu: i_b must be a uint32 array of shape [6, 2], not int64 [6, 2]"),
        ({"i_b": np.full((6, 2), 256, np.uint32)}, "accu: i_b must fit into its 40 bits, but higher bits are set"),
        (
            {"fault": np.zeros((6, 1), np.uint32)},
            "accu: fault must be given in inputs or in constants, not in both",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_told(accu: CompiledSim, change: dict[str, Any], message: str) -> None:
    raises(lambda: accu.run({**stimulus(6, 2), **change}, 3, constants={"fault": 0}), message)


def test_other_wrong_arguments_of_runs_are_told(accu: CompiledSim) -> None:
    inputs = stimulus(6, 2)
    raises(lambda: accu.run(inputs, 3), "accu: fault must be given in inputs or in constants, not in neither")
    raises(
        lambda: accu.run(inputs, 3, constants={"fault": 16}),
        "accu: the constant fault must fit into its 4 bits, not 16",
    )
    raises(lambda: accu.run(inputs, 0, constants={"fault": 0}), "accu: expected_beats must be at least 1, not 0")
    raises(
        lambda: accu.run(inputs, 3, constants={"fault": 0}, idle=[1, 2]),
        "accu: idle must be 6 whole numbers of cycles, one a step, each at least 0, not int64 [2]",
    )
    raises(
        lambda: accu.run_many(inputs, expected(inputs), [{"fault": 0}, {}]),
        "accu: all sets of constants must name the same ports, but set 1 names none and set 0 fault",
    )
    raises(
        lambda: accu.run_many(inputs, {"o_summ": inputs["i_a"]}, [{"fault": 0}]),
        "accu: 'o_summ' is no data output; did you mean 'o_sum'?",
    )


def swapped(old: str, /, **changes: Any) -> list[Port]:
    return [replace(port, **changes) if port.name == old else port for port in PORTS]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"opt": "-O4"}, "build: opt must be -O0, -O1, -O2 or -O3, not '-O4'"),
        ({"threads": 0}, "build: threads must be at least 1, not 0"),
        (
            {"protocol": StreamProtocol(i_valid="valid")},
            "accu: the protocol's i_valid must be one of its ports, not 'valid'; did you mean 'o_valid'?",
        ),
        (
            {"protocol": StreamProtocol(i_valid="o_valid")},
            "accu: the protocol's i_valid must be an input of 1 bit, but o_valid is an output of 1",
        ),
        (
            {"protocol": StreamProtocol(skew=(Slice("o_late", 10, 4, 1),))},
            "accu: a slice of o_late must lie within its 12 bits and have a delay of at least 0, "
            "not lsb 10, width 4, delay 1",
        ),
        (
            {"protocol": StreamProtocol(skew=(Slice("o_late", 0, 4, 1), Slice("o_late", 3, 4, 2)))},
            "accu: slices of o_late must not overlap, but two hold bits from 3 up",
        ),
        (
            {"protocol": StreamProtocol(skew=(Slice("i_a", 0, 4, 1),))},
            "accu: a skewed slice must belong to a data output, not 'i_a'",
        ),
        ({"ports": [*PORTS, PORTS[0]]}, "accu: port clk is given twice"),
        (
            {"ports": swapped("i_a", name="i__a")},
            "accu: port names must be letters, digits and single underscores, not 'i__a'",
        ),
    ],
)
def test_ports_that_do_not_fit_the_protocol_are_told(arguments: dict[str, Any], message: str) -> None:
    raises(
        lambda: build(**{"verilog": VERILOG, "top": "accu", "ports": PORTS, "protocol": PROTOCOL, **arguments}), message
    )


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        (swapped("i_a", width=71), "accu: port i_a is an input of 70 bits in the Verilog, not an input of 71"),
        (
            swapped("fault", direction="output"),
            "accu: port fault is an input of 4 bits in the Verilog, not an output of 4",
        ),
        (PORTS[:-1], "accu: ports must name every port of the Verilog, but o_late is missing"),
        ([*PORTS, Port("i_c", 1, "input")], "accu: the Verilog has no port i_c; did you mean 'i_b'?"),
    ],
)
def test_ports_that_do_not_fit_the_verilog_are_told(ports: list[Port], message: str) -> None:
    raises(lambda: build(VERILOG, "accu", ports, StreamProtocol()), message)


def test_refused_verilog_quotes_the_first_error_and_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path))
    with pytest.raises(HwgenError) as caught:
        build(VERILOG.replace("assign i_ready", "assing i_ready"), "accu", PORTS, PROTOCOL)
    found = re.fullmatch(
        r"accu: the simulator cannot be built: %Error: .*design\.v:\d+:\d+: .* \(whole log: (.*)\)", str(caught.value)
    )
    assert found
    log = Path(found.group(1))
    assert log.parent == tmp_path.resolve()
    assert "assing" in log.read_text()
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_the_cache_answers_only_for_the_same_text(accu: CompiledSim, monkeypatch: pytest.MonkeyPatch) -> None:
    class BuiltError(Exception):
        pass

    def refuse(*_arguments: object, **_keywords: object) -> None:
        raise BuiltError

    monkeypatch.setattr(_program, "compile_model", refuse)
    assert build(VERILOG, "accu", PORTS, PROTOCOL).program == accu.program
    # Skew is applied by the program at run time.
    assert build(VERILOG, "accu", PORTS, StreamProtocol()).program == accu.program
    for change in ({"verilog": VERILOG + "\n"}, {"opt": "-O2"}, {"threads": 3}, {"ports": PORTS[::-1]}):
        with pytest.raises(BuiltError):
            build(**{"verilog": VERILOG, "top": "accu", "ports": PORTS, "protocol": PROTOCOL, **change})


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux' /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_leaves_nothing_running(accu: CompiledSim, sent: signal.Signals) -> None:
    script = (
        "from tests.simulators.design import *\n"
        "from hwgen.simulators import build\n"
        "sim = build(VERILOG, 'accu', PORTS, PROTOCOL)\n"
        "sim.run(stimulus(2, 2), 2, constants={'fault': 0}, max_cycles=10**12)\n"
    )
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=root,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
        # Tests that run in the background of a shell inherit an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 60
        simulation: list[int] = []
        while not simulation and time.monotonic() < deadline:
            time.sleep(0.05)
            for pid in children(parent.pid):
                command = Path(f"/proc/{pid}/cmdline")
                if command.exists() and command.read_bytes().startswith(bytes(accu.program)):
                    simulation = [pid]
        assert simulation
        os.kill(parent.pid, sent)
        _, stderr = parent.communicate(timeout=30)
        assert parent.returncode == -sent, stderr.decode()
        deadline = time.monotonic() + 30
        while Path(f"/proc/{simulation[0]}/cmdline").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        # A zombie that waits for its reaper runs no more.
        status = Path(f"/proc/{simulation[0]}/status")
        assert not status.exists() or "State:\tZ" in status.read_text()
    finally:
        parent.kill()
        parent.wait()
