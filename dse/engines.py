"""Who evaluates the parts of a sweep: this process, processes of this machine, or workers of a dask scheduler.

An engine gives the parts that it is asked for, in any order. Nothing of a result depends on the engine.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import itertools
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

from dse.part import Part, evaluate_part
from dse.plan import Plan
from hwgen.errors import HwgenError

__all__ = ["Dask", "Engine", "Here", "Processes", "cores"]

_AHEAD = 2
"""Parts that are given out for each worker: one in work, one waiting."""
_ATTEMPTS = 3
_CONNECT_S = 5.0


class Engine(Protocol):
    """Evaluates parts."""

    def evaluate(self, plan: Plan, parts: Iterable[int]) -> Iterator[Part]:
        """The parts of these numbers as they are done, in any order."""
        ...


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


class Here:
    """This process, one part after the other."""

    def evaluate(self, plan: Plan, parts: Iterable[int]) -> Iterator[Part]:
        """See `Engine`."""
        for part in parts:
            yield evaluate_part(plan, part)


_plan: Plan | None = None
"""The plan of a worker process."""


def _start(plan: Plan, parent: int) -> None:
    global _plan
    # Ctrl-C is the parent's to answer; a polite end is one at once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    _plan = plan


def _follow(parent: int) -> None:
    """End with the parent, however it ends: nobody would take the results."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _evaluate(part: int) -> Part:
    assert _plan is not None
    return evaluate_part(_plan, part)


class Processes:
    """Processes of this machine, forked once what prices need is read; one that is lost is started again, and its part
    done again.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def evaluate(self, plan: Plan, parts: Iterable[int]) -> Iterator[Part]:
        """See `Engine`. Raises `HwgenError` where processes are lost again and again."""
        plan.prepare()
        waiting = iter(parts)
        again: list[int] = []
        failures = 0
        while True:
            pool = concurrent.futures.ProcessPoolExecutor(
                self.jobs, multiprocessing.get_context("fork"), _start, (plan, os.getpid())
            )
            # What was given out stands here until its result is: the pool may break at any call.
            given: dict[int, concurrent.futures.Future[Part] | None] = {}
            try:
                for part in itertools.islice(_both(again, waiting), _AHEAD * self.jobs):
                    given[part] = None
                    given[part] = pool.submit(_evaluate, part)
                while given:
                    futures = [future for future in given.values() if future is not None]
                    done, _ = concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_COMPLETED)
                    for future in done:
                        result = future.result()
                        failures = 0
                        yield result
                        del given[result.index]
                        for part in itertools.islice(_both(again, waiting), 1):
                            given[part] = None
                            given[part] = pool.submit(_evaluate, part)
                return
            except BrokenProcessPool as error:
                failures += 1
                again += sorted(given)
                if failures >= _ATTEMPTS:
                    raise HwgenError(
                        f"sweep: processes were ended from outside {failures} times (out of memory?); fewer --jobs "
                        "need less memory, and what is done is kept"
                    ) from error
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def _both(again: list[int], waiting: Iterator[int]) -> Iterator[int]:
    """Parts that were lost, then those that were not given out yet."""
    while again:
        yield again.pop(0)
    yield from waiting


@functools.lru_cache(maxsize=2)
def _known_plan(raw: bytes, digest: str) -> Plan:
    plan: Plan = pickle.loads(raw)
    if plan.digest != digest:
        raise HwgenError(
            "sweep: a worker has another version of hwgen, or other technology files; install the same on all"
        )
    return plan


def _remote(raw: bytes, digest: str, part: int) -> Part:
    return evaluate_part(_known_plan(raw, digest), part)


class Dask:
    """Workers of a dask scheduler; without an address a scheduler and ``jobs`` workers of this machine."""

    def __init__(self, scheduler: str | None, jobs: int) -> None:
        self.scheduler, self.jobs = scheduler, jobs

    def evaluate(self, plan: Plan, parts: Iterable[int]) -> Iterator[Part]:
        """See `Engine`. Raises `HwgenError` for a scheduler that is not there, or is lost."""
        import distributed

        raw, digest = pickle.dumps(plan), plan.digest
        queue = iter(parts)
        where = "" if self.scheduler is None else f" at {self.scheduler}"
        with contextlib.ExitStack() as stack:
            client = stack.enter_context(_client(self.scheduler, self.jobs))
            try:
                ahead = _AHEAD * max(sum(client.nthreads().values()), 1)
                call = functools.partial(_remote, raw, digest)
                first = client.map(call, list(itertools.islice(queue, ahead)), pure=False, retries=_ATTEMPTS)
                running = distributed.as_completed(first, loop=client.loop)
                for future in running:
                    result: Part = future.result()
                    future.release()
                    for part in itertools.islice(queue, 1):
                        running.add(client.submit(call, part, pure=False, retries=_ATTEMPTS))
                    yield result
            except distributed.KilledWorker as error:
                raise HwgenError(
                    "sweep: a part was lost with its worker again and again (out of memory?); what is done is kept"
                ) from error
            except (
                OSError,
                TimeoutError,
                concurrent.futures.CancelledError,
                distributed.CancelledError,
            ) as error:
                raise HwgenError(
                    f"sweep: the scheduler{where} was lost; what is done is kept, the same command goes on from there"
                ) from error


@contextlib.contextmanager
def _client(address: str | None, jobs: int) -> Iterator[Any]:
    """A client of the scheduler at an address, or of one of this machine. Raises `HwgenError` where none answers."""
    import distributed

    with contextlib.ExitStack() as stack:
        target: Any = address
        if address is None:
            target = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=jobs, threads_per_worker=1, dashboard_address=":0", silence_logs="CRITICAL"
                )
            )
        try:
            client = distributed.Client(target, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise HwgenError(
                f"sweep: no dask scheduler answers at {address!r}; start one with `dask scheduler`, or leave "
                "--scheduler out for workers of this machine"
            ) from error
        stack.callback(_closed, client)
        yield client


def _closed(client: Any) -> None:
    """Close a client, whose scheduler may be gone."""
    with contextlib.suppress(OSError, TimeoutError):
        client.close(timeout=2)
