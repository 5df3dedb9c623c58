"""Every command, tried with bad values, bad outputs and bad ground: one line, status 2 or 1, nothing half-written."""

from __future__ import annotations

import errno
import gc
import io
import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import pytest

from hwgen.cli import main
from hwgen.cli._values import Number, OutputFile
from reports.ground import (
    QUICK,
    Case,
    Outcome,
    commands,
    example,
    fuzz_cases,
    ground_cases,
    output_cases,
    stream_cases,
    try_here,
    try_there,
    value_cases,
)

# An alarm ends a call wherever it is: what it leaves half-built is not used, of which Amaranth reminds, or has not even
# the attributes by which it would know.
pytestmark = [
    pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Throw it away here, and not in the middle of another test."""
    yield
    gc.collect()


def complaints(cases: Iterable[Case], here: bool = True) -> list[str]:
    found = []
    for case in cases:
        outcome = try_here(case) if here else try_there(case)
        wrong = outcome.complaint(case)
        if wrong is not None:
            found.append(f"{case.command}, {case.kind}: {wrong}: {outcome.status}, {outcome.first_words}")
    return found


@pytest.mark.parametrize("name", commands())
def test_every_command_declares_an_example(name: str) -> None:
    assert example(name, commands()[name])


# Their values take longer than those of all others together; the others are tried every time.
LONG = {"run", "demo", "energy", "calibrate"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in commands()]
)
def test_values(name: str) -> None:
    assert complaints(case for case in value_cases(full=False) if case.command == name) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", commands())
def test_values_and_parameters(name: str) -> None:
    assert complaints(case for case in value_cases() if case.command == name) == []


@pytest.mark.parametrize("name", commands())
def test_outputs(name: str) -> None:
    assert complaints(case for case in output_cases() if case.command == name) == []


def test_random_values() -> None:
    assert complaints(fuzz_cases(150, 1)) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
def test_more_random_values(seed: int) -> None:
    assert complaints(fuzz_cases(1000, seed)) == []


@pytest.mark.slow
def test_streams_in_a_process() -> None:
    """One command that prints and one that writes; the others below in this process, and all of them slowly."""
    cases = [case for case in stream_cases() if case.command in ("list", "emit")]
    assert complaints(cases, here=False) == []


@pytest.mark.slow
def test_ground_in_a_process() -> None:
    assert complaints((case for case in ground_cases() if case.command == "emit"), here=False) == []


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("name", commands())
def test_streams_and_ground_of_every_command(name: str, real_model: Path) -> None:
    cases = itertools.chain(stream_cases(), ground_cases())
    # A demo takes a minute; what it prints and writes goes the way of the others.
    wanted = (case for case in cases if case.command == name and name != "demo")
    assert complaints(wanted, here=False) == []


class Full(io.StringIO):
    """A standard output on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


class Gone(io.StringIO):
    """A standard output whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def call(arguments: list[str], stdout: object, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "stdout", stdout)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def prints(name: str) -> list[str]:
    """The example without its output: all of these print."""
    arguments = example(name, commands()[name])
    return arguments[: arguments.index("-o")] if "-o" in arguments else arguments


@pytest.mark.parametrize("name", [name for name in QUICK if name != "model layers"])
def test_streams(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(prints(name), Full(), monkeypatch) == 1
    assert capsys.readouterr().err == "hwgen: standard output: cannot be written: No space left on device\n"
    assert call(prints(name), Gone(), monkeypatch) == 0
    assert capsys.readouterr().err == ""
    for encoding in ("ascii", "latin-1"):
        raw = io.BytesIO()
        assert call(prints(name), io.TextIOWrapper(raw, encoding=encoding, write_through=True), monkeypatch) == 0
        assert raw.getvalue().decode(encoding)


def test_letters_that_a_terminal_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    arguments = ["estimate", "--pe", "int", "--layer", "8x64x128"]
    assert call(arguments, io.TextIOWrapper(raw, encoding="ascii", write_through=True), monkeypatch) == 0
    assert "area [um2]" in raw.getvalue().decode("ascii")
    assert " us at " in raw.getvalue().decode("ascii")


def test_the_harness_sees_a_traceback_a_late_refusal_and_what_is_left(tmp_path: Path) -> None:
    fine = Outcome(2, "", "hwgen: x\n", ())
    case = Case("x", "y", (), refused=True)
    assert fine.complaint(case) is None
    assert Outcome(2, "", "hwgen: x\n", (), "Traceback").complaint(case) == "traceback"
    assert Outcome(None, "", "", ()).complaint(case) == "accepted, or refused late"
    assert Outcome(0, "", "", ()).complaint(case) == "accepted, or refused late"
    assert Outcome(2, "", "hwgen: x\n", ("half.v",)).complaint(case) == "left half.v"
    assert Outcome(2, "", "a\nb\n", ()).complaint(case) == "2 lines"


def test_a_new_command_is_tried_by_being_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command with two faults: it falls over a zero, and it opens its output before it looks at anything."""

    @click.command(epilog="Example: hwgen toy --count 3 -o x.json")
    @click.option("--count", type=click.INT)
    @click.option("--factor", type=Number())
    @click.option("-o", "--output", type=str)
    @click.option("--second", type=OutputFile("JSON"))
    def toy(count: int, factor: float | None, output: str, second: Path | None) -> None:
        Path(output or "nothing").write_text("half")
        click.echo(str(1 / count))

    from hwgen.cli import group

    monkeypatch.setattr(group, "list_commands", lambda context: ["toy"])
    monkeypatch.setattr(group, "get_command", lambda context, name: toy)
    assert list(commands()) == ["toy"]
    kinds = {case.kind for case in value_cases()}
    assert {"--count '0'", "--factor 'nan'", "--output ''"} <= kinds
    found = "\n".join(complaints(case for case in value_cases() if "--count" in case.kind))
    assert "toy, --count '0': traceback: None, ZeroDivisionError: division by zero" in found
    assert complaints(case for case in value_cases() if "--factor" in case.kind) == []
    assert {case.kind for case in output_cases()} >= {"--second: folder", "--second: missing folder"}


def test_a_command_without_an_example_is_named() -> None:
    with pytest.raises(LookupError, match="hwgen toy: add epilog='Example: hwgen toy"):
        example("toy", click.Command("toy"))
