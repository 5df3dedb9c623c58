"""Yosys: passes over text, and nothing on stdout.

Yosys keeps the names of all designs that a process has seen, and some of its passes go through a design in the order
in which names came up. Every run is therefore a fork of one process that has Yosys loaded and has seen no design: the
same text gives the same result whatever went before.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["run_passes", "serve"]


class _Server:
    """The process that forks for every run; started when first needed, gone with this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._of_parent: list[subprocess.Popen[bytes]] = []

    def run(self, commands: list[str], said: Path) -> int:
        """Exit status of a run of ``commands``, whose words become file ``said``; one at a time."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = self._started()
            try:
                assert self._process.stdin is not None
                assert self._process.stdout is not None
                self._process.stdin.write(json.dumps([str(said), commands]).encode() + b"\n")
                self._process.stdin.flush()
                return int(self._process.stdout.readline() or 1)
            except BaseException:
                # An answer may be on its way to nobody: the next run takes a new process.
                self.stop()
                raise

    @staticmethod
    def _started() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Modules come from where this process has them, not from a folder in which somebody works.
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
                "PYTHONSAFEPATH": "1",
            },
        )

    def stop(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def forked(self) -> None:
        """In a fork of this process: the pipes belong to the parent."""
        if self._process is not None:
            self._of_parent.append(self._process)
        self._process, self._lock = None, threading.Lock()


_SERVER = _Server()
atexit.register(_SERVER.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_SERVER.forked)


def serve() -> None:
    """Answer each line on stdin, in JSON a file for what is said and commands, by the status of a fork's run."""
    from pyosys import libyosys as yosys

    # The one who asks decides when to stop. Stdout is for answers, and Yosys writes there what it does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if not child:
            _run_here(yosys, *json.loads(line))
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


def _run_here(yosys: Any, said: str, commands: list[str]) -> None:
    """Run commands and end the process."""
    status = 1
    try:
        words = os.open(said, os.O_WRONLY | os.O_CREAT)
        os.dup2(words, 1)
        os.dup2(words, 2)
        design = yosys.Design()
        for command in commands:
            yosys.run_pass(command, design)
        status = 0
    finally:
        if status:
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(status)


def run_passes(text: str, passes: Iterable[str], *, read: str = "read_rtlil", write: str) -> str:
    """What ``write`` makes of a design after passes over it.

    ``read`` and ``write`` are Yosys' commands for its formats, with their options.

    Raises:
        RuntimeError: Yosys refuses, in its words.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "design.in"), Path(folder, "design.out")
        source.write_text(text, encoding="utf-8")
        commands = [f"{read} {source}", *passes, f"{write} {result}"]
        said = Path(folder, "said")
        if status := _SERVER.run(commands, said):
            words = said.read_text(encoding="utf-8", errors="replace") if said.exists() else ""
            raise RuntimeError(f"Yosys ended with status {status} in one of {commands}: {words.strip()[-2000:]}")
        return result.read_text(encoding="utf-8")
