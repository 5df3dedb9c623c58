"""Bad input and bad ground: what every command does with them. Shared by `tests/ground` and the page.

Commands come from the command line's own group, options from their click types, so a new command or option is tried by
being there. What a command needs to be tried is its example, the last line of its help. Run
``python -m reports.ground`` for the page.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import itertools
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import click
import numpy as np

from hwgen.cli import group, main
from hwgen.cli._family import FamilyCommand
from hwgen.cli._values import InputFile, Number, OutputFile, OutputFolder
from hwgen.simulators.cache import cache_path

__all__ = [
    "Case",
    "Outcome",
    "commands",
    "example",
    "fuzz_cases",
    "ground_cases",
    "output_cases",
    "page",
    "stream_cases",
    "try_here",
    "try_there",
    "value_cases",
]

_EXAMPLE = "Example: hwgen "
_SPEAKS = ("model fetch", "realise")
"""Commands that tell on standard error how far they are."""
LATE_S = 3.0
"""A bad value that is not refused by then is refused late; a good one has been accepted."""


@dataclass(frozen=True)
class Case:
    """One call: ``arguments`` of ``hwgen``, by command and kind. ``refused``: None where a value may be legal.

    ``prepare`` makes, in the working folder, what the arguments name; ``environment`` is laid over the caller's;
    ``shell`` replaces the call by a line of bash in which ``$HWGEN`` is the call; ``limit``: bytes a file may have.
    ``mute``: nobody can read what it says. ``whole``: files may come, as it was the streams that failed.
    """

    command: str
    kind: str
    arguments: tuple[str, ...]
    refused: bool | None = None
    prepare: Callable[[Path], None] | None = None
    environment: Mapping[str, str | None] = field(default_factory=dict)
    shell: str = "$HWGEN"
    limit: int | None = None
    mute: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came: ``status`` (None: it was at work when stopped), both streams, and files made or changed."""

    status: int | None
    stdout: str
    stderr: str
    touched: tuple[str, ...]
    trace: str = ""

    @property
    def first_words(self) -> str:
        """What it said."""
        if self.status is None and not self.trace:
            return "at work"
        text = (self.trace.strip().splitlines() or self.stderr.strip().splitlines() or ["(nothing)"])[-1]
        return text if len(text) < 110 else text[:107] + "..."

    def complaint(self, case: Case) -> str | None:
        """What is wrong with it, or None: a refusal is one line, nothing on standard output, no file touched."""
        if self.trace or "Traceback" in self.stderr:
            return "traceback"
        if case.refused and self.status in (0, None):
            return "accepted, or refused late"
        if case.refused is False and self.status not in (0, None):
            return "refused"
        if self.status in (1, 2):
            lines = [line for line in self.stderr.splitlines() if line.strip()]
            if case.command in _SPEAKS:
                lines = lines[-1:]
            if not case.mute and (len(lines) != 1 or not lines[0].startswith("hwgen: ")):
                return f"{len(lines)} lines"
            if self.touched and not case.whole:
                return f"left {', '.join(self.touched)}"
        return None


def commands(of: click.Group = group, before: str = "") -> dict[str, click.Command]:
    """Every command by its name as typed, those of groups too."""
    found: dict[str, click.Command] = {}
    with click.Context(of) as context:
        for name in of.list_commands(context):
            command = of.get_command(context, name)
            assert command is not None
            if isinstance(command, click.Group):
                found |= commands(command, f"{before}{name} ")
            else:
                found[before + name] = command
    return found


def example(name: str, command: click.Command) -> list[str]:
    """Arguments of the example that ends a command's help. Raises ``LookupError`` saying what to add."""
    text = command.epilog or ""
    if not text.startswith(_EXAMPLE + name):
        raise LookupError(f"hwgen {name}: add epilog='{_EXAMPLE}{name} ...', one call that runs in a few seconds")
    return shlex.split(text.removeprefix(_EXAMPLE))


def _options(command: click.Command, arguments: Sequence[str]) -> list[click.Option]:
    context = click.Context(command)
    if isinstance(command, FamilyCommand):
        from hwgen.pe import family

        at = arguments.index("--pe") if "--pe" in arguments else 0
        context.meta["hwgen.family"] = family(arguments[at + 1])
    return [p for p in command.get_params(context) if isinstance(p, click.Option) and not p.is_flag]


def fuzz_cases(count: int, seed: int) -> Iterator[Case]:
    """Calls with one to three options of a command set to random texts, made of pieces that values are made of."""
    random = np.random.default_rng(seed)
    pieces = (
        *"0123456789.,:x*=-+/ ",
        "e",
        "nan",
        "int8",
        "fp16",
        "mxfp4",
        "µ",
        "\u202e",
        "\udcff",
        "\t",
        HUGE,
        LONG,
        "=",
    )
    own = {name: example(name, command) for name, command in commands().items()}
    options = {name: _options(command, own[name]) for name, command in commands().items()}
    names = [name for name in own if options[name]]
    for _ in range(count):
        name = names[random.integers(len(names))]
        arguments: tuple[str, ...] = tuple(own[name])
        chosen = random.choice(
            len(options[name]), size=min(len(options[name]), int(random.integers(1, 4))), replace=False
        )
        for index in chosen:
            option = options[name][index]
            pool = [*pieces, *_mutants(own[name], option)]
            value = "".join(pool[at] for at in random.integers(len(pool), size=int(random.integers(0, 5))))
            arguments = _with(arguments, option, value)
        yield Case(name, "fuzz", arguments)


def _with(arguments: Sequence[str], option: click.Option, *values: str) -> tuple[str, ...]:
    """The arguments with an option's values in place of what they say of it."""
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in option.opts:
            next(words, None)
        else:
            kept.append(word)
    flag = max(option.opts, key=len)
    if flag == "--pe" and kept[1:2] != ["--pe"] and len(kept) > 1 and not kept[1].startswith("-"):
        del kept[1]
    return (*kept, *(f"{flag}={value}" for value in values))


HUGE = str(2**70)
LONG = "x" * 5000
NUMBERS = ("-1", "0", "nan", "inf", "-inf", "1e400", "", "two", HUGE, "9" * 5000, "½", "0x10", "1,5")
TEXTS = ("", "-1", "nan", LONG, "µ±×", "a\nb", "no_such_thing", HUGE, "9" * 5000, "1.5", "../..", "a,b", "[red]x[/]")
_NEVER = {"nan", "inf", "-inf", "1e400", "", "two", "½", "0x10", "1,5", "-1", "9" * 5000}


def _mutants(arguments: Sequence[str], option: click.Option) -> Iterator[str]:
    """What the example says of an option with one of its numbers, or all, turned into something odd."""
    for flag, text in itertools.pairwise(arguments):
        if flag in option.opts:
            for odd in ("0", "-1", str(2**31), str(2**63), HUGE, "9" * 5000, "nan", "1.5", ""):
                if re.search(r"\d", text):
                    yield re.sub(r"\d+", odd, text, count=1)
                    yield re.sub(r"\d+", odd, text)
            yield from (f"{text},{text}", f"{text}*{HUGE}", f"x:{text}", f"{text}:{text}:0", f"{text}x", f" {text}")


def _junk(folder: Path) -> None:
    (folder / "empty").write_bytes(b"")
    (folder / "junk.bin").write_bytes(bytes(range(256)) * 8)
    (folder / "strings.toml").write_text('name = 3\nnode_nm = "x"\nmodels = "none"\ncalibration = []\n')
    (folder / "sections.toml").write_text('name = "x"\n')
    (folder / "broken.toml").write_text("name = [\n")
    (folder / "liberty.lib").write_text('library (x) { cell (a) { area : "b"; } }\n')
    (folder / "a folder").mkdir()
    (folder / "locked").write_text("x")
    (folder / "locked").chmod(0)


JUNK = ("empty", "junk.bin", "strings.toml", "sections.toml", "broken.toml", "liberty.lib", "a folder", "locked")
INPUTS = ("", ".", "no_such_file", LONG, "/dev/null", "/", "µ.x", *JUNK)


@functools.cache
def _sweep() -> bytes:
    """A small sweep as `hwgen sweep` stores it."""
    from dse.space import Space
    from dse.sweep import run_sweep
    from hwgen.schedule import Layer

    with tempfile.TemporaryDirectory(prefix="ground-") as folder:
        file = Path(folder) / "points.parquet"
        run_sweep([Space.of("int", {"n": (4, 8)})], [Layer("layer", 8, 64, 128)], output=file)
        return file.read_bytes()


_READS: Mapping[str, Mapping[str, Callable[[], bytes]]] = {
    name: {"points.parquet": _sweep} for name in ("pareto", "query", "report", "sensitivity")
}
"""Files that the example of a command reads, made where it is called."""

_SHOWS = "show"
"""The command that stands for all that take a family, where it is the family's parameters that are odd."""


def value_cases(full: bool = True) -> Iterator[Case]:
    """Every option of every command with bad and odd values of its type; not ``full``: parameters of a family once."""
    for name, command in commands().items():
        arguments = example(name, command)
        for option in _options(command, arguments):
            if not full and name != _SHOWS and option not in command.params:
                continue
            kind = option.type
            prepare: Callable[[Path], None] | None = None
            values: tuple[str, ...]
            never: set[str]
            if isinstance(kind, Number | click.IntRange):
                values, never = NUMBERS, set(_NEVER)
            elif isinstance(kind, InputFile) or option.name == "tech":
                values, never, prepare = INPUTS, set(INPUTS) - {"/dev/null"}, _junk
                if option.name == "text_file":
                    never -= {"liberty.lib", "strings.toml", "sections.toml", "broken.toml", "locked", "empty"}
                never -= {"locked"}  # whoever is root may read it
            elif isinstance(kind, OutputFile | OutputFolder):
                continue
            elif isinstance(kind, click.Choice):
                values, never = TEXTS, set(TEXTS)
            else:
                values, never = (*TEXTS, *_mutants(arguments, option)), {""}
            for value in values:
                refused = True if value in never else None
                shown = value if len(value) < 30 else f"{value[:3]}… ({len(value)} characters)"
                label = f"{max(option.opts, key=len)} {shown!r}"
                yield Case(name, label, _with(arguments, option, value), refused, prepare)


def _outputs(folder: Path) -> None:
    (folder / "folder").mkdir()
    (folder / "protected").write_text("keep")
    (folder / "protected").chmod(0o444)
    (folder / "loop").symlink_to("loop")
    (folder / "file").write_text("keep")
    os.mkfifo(folder / "pipe")


def output_cases() -> Iterator[Case]:
    """Every output of every command with places where nothing can be written, and two outputs in one place."""
    for name, command in commands().items():
        arguments = example(name, command)
        outputs = [o for o in _options(command, arguments) if isinstance(o.type, OutputFile | OutputFolder)]
        for option in outputs:
            flag = max(option.opts, key=len)
            end = _suffix(option)
            places = [("folder", "folder"), ("no/such/folder/x" + end, "missing folder"), ("", "empty"), ("-", "-")]
            places += [("protected", "read-only file"), ("loop", "link to itself"), (LONG + end, "long name")]
            places += [("file/x" + end, "below a file"), ("/proc/x" + end, "/proc")]
            if isinstance(option.type, OutputFile):
                places += [("x.gguf", "suffix of something else")]
                if getattr(option.type, "folders", False):
                    places = [(place, kind) for place, kind in places if kind != "folder"]
            else:
                places = [(place, kind) for place, kind in places if kind not in ("folder", "-", "read-only file")]
                places += [("file", "a file"), ("/dev/null", "/dev/null"), ("pipe", "pipe")]
                if isinstance(option.type, OutputFolder) and option.type.make_parents:
                    places = [(place, kind) for place, kind in places if kind != "missing folder"]
            for place, kind in places:
                yield Case(name, f"{flag}: {kind}", _with(arguments, option, place), True, _outputs)
            for other in outputs:
                if other is not option:
                    same = _with(_with(arguments, option, "same" + end), other, "./same" + end)
                    yield Case(name, f"{flag} and {max(other.opts, key=len)}: one path", same, True, _outputs)
            reads = [o for o in _options(command, arguments) if isinstance(o.type, InputFile)]
            for read in reads:
                same = _with(_with(arguments, option, "file" + end), read, "file" + end)
                yield Case(name, f"{flag} and {max(read.opts, key=len)}: one path", same, True, _outputs)


def _suffix(option: click.Option) -> str:
    from hwgen.files import FORMATS

    formats = option.type.formats if isinstance(option.type, OutputFile) else ()
    return next((end for end, name in FORMATS.items() if name in formats), "")


QUICK = ("list", "show", "emit", "verify", "estimate", "sweep", "doctor", "cache", "model layers")
"""Commands whose examples end in about a second; the others are started on bad ground by the slow test only."""


def stream_cases() -> Iterator[Case]:
    """Every command with standard streams that fail, or lack letters."""
    for name, command in commands().items():
        arguments = tuple(example(name, command))
        quiet = name in ("emit",)
        yield Case(name, "standard output closed", arguments, not quiet, shell="$HWGEN >&-", whole=True)
        yield Case(name, "standard output full", arguments, not quiet, shell="$HWGEN >/dev/full", whole=True)
        yield Case(name, "reader gone", arguments, False, shell="set -o pipefail; $HWGEN | true")
        yield Case(
            name, "all streams closed", (*arguments, "--no-such-option"), None, shell="$HWGEN <&- >&- 2>&-", mute=True
        )
        yield Case(name, "standard error full", arguments, False, shell="$HWGEN 2>/dev/full")
        for encoding in ("ascii", "latin-1", "cp1252"):
            odd = {"PYTHONIOENCODING": encoding, "LC_ALL": "C"}
            yield Case(name, f"encoding {encoding}", arguments, False, environment=odd)


def _caches(folder: Path) -> None:
    (folder / "file").write_text("keep")


_GROUNDS: Mapping[str, Mapping[str, str | None]] = {
    "cache is a file": {"HWGEN_CACHE_DIR": "file"},
    "cache below a file": {"HWGEN_CACHE_DIR": "file/x"},
    "cache in /proc": {"HWGEN_CACHE_DIR": "/proc/x"},
    "no home": {"HOME": None, "HWGEN_CACHE_DIR": None, "XDG_CACHE_HOME": None},
    "home is a file": {"HOME": "file", "HWGEN_CACHE_DIR": None, "XDG_CACHE_HOME": None},
    "temporary folder missing": {"TMPDIR": "/no/such/folder"},
    "temporary folder is a file": {"TMPDIR": "file"},
}


def ground_cases() -> Iterator[Case]:
    """Every command with a home, a cache, a temporary folder and a disk that cannot be used."""
    for name, command in commands().items():
        arguments = tuple(example(name, command))
        for kind, odd in _GROUNDS.items():
            yield Case(name, kind, arguments, None, _caches, odd)
        # A limit on the size of files stands for the full disk: writing fails half-way, as there, without a mount.
        yield Case(name, "full disk", arguments, None, _caches, {"HWGEN_CACHE_DIR": "cache"}, limit=512)


_WORK = (
    ("hwgen.simulators._process", "_start"),
    ("sim.models.fetch", "_download"),
    ("torch", "inference_mode"),
    ("sim.calibrate.measure", "measure"),
    ("reports.demo", "perplexities"),
)
"""Where the long part of a command begins; a name that is gone costs this module time and nothing else."""


@functools.cache
def _warm() -> None:
    """Import what is slow to import: an alarm in the middle of it would leave it half imported."""
    for name in ("torch", "scipy.optimize", "dse.sweep", "reports.demo", "sim.calibrate", "sim.energy", "sim.run"):
        importlib.import_module(name)


class _Working(BaseException):
    """The command began what it is for: its values were accepted."""


class _Caught(contextlib.AbstractContextManager["_Caught"]):
    """How the block ended, whatever it raised: its exit status, or None and what no user should see."""

    status: int | None = None
    trace: str = ""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        if isinstance(error, SystemExit):
            self.status = error.code if isinstance(error.code, int) else 1
        elif error is not None and not isinstance(error, _Working):
            self.trace = "".join(traceback.format_exception(error))
        return True


def _look(folder: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for path in folder.rglob("*"):
        about = path.lstat()
        found[str(path.relative_to(folder))] = (about.st_mode, about.st_size, about.st_mtime_ns)
    return found


def _touched(before: Mapping[str, object], folder: Path) -> tuple[str, ...]:
    after = _look(folder)
    names = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    # A folder changes with what is made in it and gone again.
    return tuple(sorted(name for name in names if name not in before or not (folder / name).is_dir()))


@contextlib.contextmanager
def _place(case: Case) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ground-"))
    try:
        for name, made in _READS.get(case.command, {}).items():
            (folder / name).write_bytes(made())
        if case.prepare is not None:
            case.prepare(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def try_here(case: Case, late_s: float | None = None, *, children: bool = False) -> Outcome:
    """Call in this process. Starting a child counts as having accepted everything, unless ``children``."""
    if late_s is None:
        # Where a value may be legal nothing is late: there is nothing to wait for.
        late_s = LATE_S if case.refused else LATE_S / 4

    def working(*_: object, **__: object) -> None:
        raise _Working

    out, err = io.StringIO(), io.StringIO()
    with _place(case) as folder, contextlib.ExitStack() as stack:
        before = _look(folder)
        stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        _warm()
        for module, name in () if children else _WORK:
            if hasattr(importlib.import_module(module), name):
                stack.enter_context(mock.patch(f"{module}.{name}", working))
        caught = _Caught()
        previous = signal.signal(signal.SIGALRM, working)
        signal.setitimer(signal.ITIMER_REAL, late_s)
        try:
            with caught:
                main(list(case.arguments))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        touched = _touched(before, folder)
    # The alarm may come where Python can only tell and go on.
    late = _Working.__name__ in err.getvalue()
    status = None if late else caught.status
    return Outcome(status, out.getvalue(), "" if late else err.getvalue(), touched, caught.trace)


def try_there(case: Case, timeout_s: float = 300) -> Outcome:
    """Call in a process of its own."""
    with _place(case) as folder:
        before = _look(folder)
        environment = dict(os.environ)
        for name, value in case.environment.items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
        call = shlex.join([sys.executable, "-m", "hwgen", *case.arguments])

        def limited() -> None:
            if case.limit is not None:
                # Written beyond the limit: an error, not the signal that ends the process.
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (case.limit, resource.RLIM_INFINITY))

        done = subprocess.run(
            ["bash", "-c", case.shell.replace("$HWGEN", call)],
            cwd=folder,
            env=environment,
            capture_output=True,
            timeout=timeout_s,
            preexec_fn=limited,
        )
        touched = tuple(name for name in _touched(before, folder) if not name.startswith("cache"))
    out, err = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    return Outcome(done.returncode, out, err, touched)


def _values_table() -> list[list[str]]:
    rows = []
    groups = itertools.groupby(value_cases(full=False), lambda case: (case.command, case.kind.split()[0]))
    for (name, flag), cases in groups:
        tried = [(case, try_here(case)) for case in cases]
        refused = [outcome for _, outcome in tried if outcome.status == 2]
        ground = sum(outcome.status == 1 for _, outcome in tried)
        wrong = [f"{case.kind}: {text}" for case, outcome in tried if (text := outcome.complaint(case))]
        words = refused[0].first_words if refused else ""
        counts = [str(len(tried)), str(len(refused)), str(ground), str(len(tried) - len(refused) - ground)]
        rows.append([name, flag, *counts, "; ".join(wrong) or "none", words])
    return rows


def _calls_table(cases: Iterable[Case], run: Callable[[Case], Outcome]) -> list[list[str]]:
    rows = []
    for case in cases:
        outcome = run(case)
        status = "at work" if outcome.status is None else str(outcome.status)
        words = outcome.stderr.strip() or outcome.trace
        rows.append(
            [case.command, case.kind, status, outcome.complaint(case) or "none", outcome.first_words if words else ""]
        )
    return rows


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Iterable[str]) -> str:
        safe = (cell.replace("|", "\\|").replace("\n", " ").replace("`", "'") for cell in cells)
        return "| " + " | ".join(safe) + " |"

    return "\n".join([line(headings), "|" + "---|" * len(headings), *(line(row) for row in rows)])


def page() -> str:
    """What was tried and what came."""
    home = tempfile.gettempdir()
    values = _values_table()
    outputs = _calls_table(output_cases(), try_here)
    rough = [case for case in stream_cases() if case.command in QUICK]
    rough += [case for case in ground_cases() if case.command in (*QUICK, "synth", "model fetch")]
    streams = _calls_table(rough, try_there)
    random = [outcome for case in fuzz_cases(RANDOM, 1) if (outcome := try_here(case)).complaint(case)]
    tried = sum(int(row[2]) for row in values) + len(outputs) + len(streams) + RANDOM
    wrong = sum(row[6] != "none" for row in values) + sum(row[3] != "none" for row in outputs + streams) + len(random)
    parts = [
        f"{tried:,} calls of {len(commands())} commands; {wrong} were not as they should be. A refusal is one line on "
        "standard error, status 2 (1 where the machine is at fault), nothing on standard output and no file made or "
        "changed; a value that may be legal is accepted or refused; a traceback never comes.",
        "## Values",
        "Each option of each command with bad and odd values of its type. *Accepted*: the command ended well, or began "
        "its work and was stopped. Parameters of families, which all commands share, are tried with one of them.",
        _markdown(["command", "option", "tried", "refused", "ground", "accepted", "wrong", "first refusal"], values),
        f"{RANDOM:,} calls with random texts in one to three options: {len(random)} wrong.",
        "## Outputs",
        _markdown(["command", "what", "status", "wrong", "first words"], outputs),
        "## Streams, caches, temporary folders, disks",
        "The examples that the help of each command ends with, in a process of its own; of commands that work for long "
        "the slow tests do the same. A limit of 512 bytes a file stands for the full disk: it fails half-way.",
        _markdown(["command", "what", "status", "wrong", "first words"], streams),
    ]
    return "\n\n".join(parts).replace(str(cache_path()), "CACHE").replace(home, "TMP")


RANDOM = 500
RESULT = Path("reports/results/bad_ground.md")


def run() -> None:
    """Write the page."""
    from reports.provenance import provenance, write_result

    facts = provenance()
    write_result(RESULT, "Bad input, bad ground", "python -m reports.ground", page(), facts)


if __name__ == "__main__":
    run()
