"""Child processes in their own process group, killed as a group whatever way the parent leaves."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwgen.errors import HwgenError, os_error

__all__ = ["Finished", "Server", "run", "run_all"]

_LOOK_S = 0.1
"""How often a child's wait looks whether it is to be stopped."""


@dataclass(frozen=True)
class Finished:
    """How a child ended; ``returncode`` is None when it was killed because its time was over."""

    returncode: int | None
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """Both streams, standard output first."""
        return self.stdout + self.stderr

    @property
    def complaint(self) -> str:
        """The line to quote when it failed: the first that speaks of an error, else the last."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()] or ["no message"]
        return next((line for line in lines if re.search(r"error|fatal|undefined reference", line, re.I)), lines[-1])


def _kill(child: subprocess.Popen[str]) -> None:
    # The group outlives its leader: a compiler driver that died may have left its children.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """The temporary folder of children: what one leaves behind that is killed (Yosys' ABC, a compiler) goes with it."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="hwgen-child-"))
    except OSError as error:
        raise os_error(f"temporary folder {tempfile.gettempdir()}: cannot be written", error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(
    argv: Sequence[str | Path], cwd: Path | None, env: Mapping[str, str] | None, scratch: Path
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(word) for word in argv],
        cwd=cwd,
        env={**(os.environ if env is None else env), "TMPDIR": str(scratch)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    stop: threading.Event | None = None,
) -> Finished:
    """Run one child to its end and return what it wrote.

    It is killed when its time is over, and soon after another thread sets ``stop``. Raises `HwgenError` for a time
    that is no number above 0.
    """
    if timeout_s is not None and not timeout_s > 0:
        raise HwgenError(f"timeout_s must be a number above 0, not {timeout_s:g}")
    if timeout_s is not None and (math.isinf(timeout_s) or timeout_s > threading.TIMEOUT_MAX / 4):
        timeout_s = None
    with _scratch() as scratch:
        return _watched(_start(argv, cwd, env, scratch), timeout_s, stop)


def _watched(child: subprocess.Popen[str], timeout_s: float | None, stop: threading.Event | None) -> Finished:
    end = None if timeout_s is None else time.monotonic() + timeout_s
    try:
        while True:
            left = None if end is None else max(end - time.monotonic(), 0.0)
            if stop is not None:
                left = _LOOK_S if left is None else min(left, _LOOK_S)
            try:
                stdout, stderr = child.communicate(timeout=left)
            except subprocess.TimeoutExpired:
                if stop is not None and not stop.is_set() and (end is None or time.monotonic() < end):
                    continue
                _kill(child)
                return Finished(None, "", "")
            return Finished(child.returncode, stdout, stderr)
    except BaseException:
        _kill(child)
        raise


def run_all(
    commands: Sequence[Sequence[str | Path]],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    jobs: int = 1,
) -> list[Finished]:
    """Run ``commands`` in order, at most ``jobs`` at a time; nothing new is started after a failure.

    Returns the results of those that were started, in the order of ``commands``.
    """
    done: list[Finished] = []
    running: list[subprocess.Popen[str]] = []
    waiting = list(commands)
    failed = False
    with _scratch() as scratch:
        try:
            while running or (waiting and not failed):
                while waiting and len(running) < jobs and not failed:
                    running.append(_start(waiting.pop(0), cwd, env, scratch))
                stdout, stderr = running[0].communicate()
                child = running.pop(0)
                done.append(Finished(child.returncode, stdout, stderr))
                failed = failed or child.returncode != 0
        except BaseException:
            for child in running:
                _kill(child)
            raise
    return done


class Server:
    """A child that answers each line with a line until it is closed; started by the thread that outlives it."""

    def __init__(self, argv: Sequence[str | Path], cwd: Path) -> None:
        self._errors = (cwd / "stderr.txt").open("w+", errors="replace")
        self._child = subprocess.Popen(
            [str(word) for word in argv],
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
        )

    def ask(self, line: str) -> str:
        """The child's answer to a line; empty once it has ended."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(f"{line}\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            return ""
        return self._child.stdout.readline().rstrip("\n")

    @property
    def complaint(self) -> str:
        """The line to quote when it has failed."""
        self._errors.seek(0)
        return Finished(self._child.poll(), "", self._errors.read()).complaint

    def close(self) -> None:
        """End it, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout, self._errors):
            with contextlib.suppress(BrokenPipeError):
                if stream is not None:
                    stream.close()
