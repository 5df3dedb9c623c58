"""What a command takes, as a user would type it."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Took", "timed"]


@dataclass(frozen=True)
class Took:
    """Seconds of a run, seconds of processor time of all its processes, and the memory of the largest in MiB."""

    seconds: float
    cpu_s: float
    most_mib: float


def timed(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Took:
    """Run a command in silence, with more in its environment. Memory is that of the largest child of this process yet.

    Raises `subprocess.CalledProcessError` where it fails.
    """
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    given = {**os.environ, **(environment or {})}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=given)
    seconds, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(seconds, spent, after.ru_maxrss / 1024)
