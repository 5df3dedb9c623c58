"""Several child processes at a time, all of which end with the first error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

__all__ = ["in_parallel"]

_T = TypeVar("_T")


def in_parallel(
    tasks: Sequence[Callable[[threading.Event], _T]], jobs: int, done: Callable[[], None] = lambda: None
) -> list[_T]:
    """Results of tasks in their order, ``jobs`` at a time; ``done`` is called here after each.

    A task waits for its child, and gives up when the event that it is given is set: after the first error, or when the
    caller is interrupted.
    """
    stop = threading.Event()
    pool = ThreadPoolExecutor(max_workers=max(jobs, 1))
    results: dict[int, _T] = {}
    try:
        running = {pool.submit(task, stop): index for index, task in enumerate(tasks)}
        for future in as_completed(running):
            results[running[future]] = future.result()
            done()
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return [results[index] for index in range(len(tasks))]
