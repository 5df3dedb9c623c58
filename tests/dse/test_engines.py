"""Who evaluates: processes and workers that are killed, a scheduler that is lost or not there; the same bytes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import dse.engines
import dse.explore
from dse.engines import Dask, Processes
from dse.explore import explore
from dse.part import Part
from dse.plan import Plan
from hwgen.errors import HwgenError
from tests.dse.sweeps import content, plan

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A sweep that one process evaluated."""
    folder = tmp_path_factory.mktemp("whole") / "x"
    explore(plan(keep=True), folder)
    return content(folder)


def test_a_process_that_is_killed_is_started_again(tmp_path: Path, whole: dict[str, bytes]) -> None:
    killed: list[int] = []

    def kill(done: int, of: int) -> None:
        if len(killed) < 2:
            for child in multiprocessing.active_children()[:1]:
                os.kill(child.pid or 0, signal.SIGKILL)
                killed.append(child.pid or 0)

    explore(plan(keep=True), tmp_path / "x", engine=Processes(2), progress=kill)
    assert killed
    assert content(tmp_path / "x") == whole


def _end(plan: Plan, part: int) -> Part:
    os._exit(9)


def test_processes_that_are_killed_each_time_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dse.engines, "evaluate_part", _end)
    with pytest.raises(
        HwgenError, match=r"processes were ended from outside 3 times \(out of memory\?\); fewer --jobs"
    ):
        explore(plan(), tmp_path / "x", engine=Processes(2))


def test_a_mistake_in_a_process_is_the_caller_s(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(plan: Plan, part: int) -> Part:
        raise HwgenError("x: must be y")

    monkeypatch.setattr(dse.engines, "evaluate_part", wrong)
    with pytest.raises(HwgenError, match="x: must be y"):
        explore(plan(), engine=Processes(2))


def port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        number: int = one.getsockname()[1]
    return number


def test_a_scheduler_that_is_not_there_is_one_line() -> None:
    address = f"tcp://127.0.0.1:{port()}"
    for given in (address, "nonsense://x", "tcp://"):
        started = time.monotonic()
        with pytest.raises(
            HwgenError, match=r"sweep: no dask scheduler answers at '.*'; start one with `dask scheduler`"
        ):
            explore(plan(), engine=Dask(given, 2))
        assert time.monotonic() - started < 60


class Cluster:
    """A scheduler and workers on this machine, as a user starts them."""

    def __init__(self) -> None:
        self.address = f"tcp://127.0.0.1:{port()}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", self.address.rpartition(":")[2])
        self.workers = [self.start("worker", self.address, "--nthreads", "1", "--no-nanny") for _ in range(2)]

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        quiet = ["--no-dashboard"]
        found = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:], *quiet],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
        )
        self.processes.append(found)
        return found

    def ready(self) -> Cluster:
        """Wait until both workers are there."""
        import distributed

        for _ in range(60):
            with contextlib.suppress(OSError), distributed.Client(self.address, timeout=10) as client:
                client.wait_for_workers(2, timeout=120)
                return self
            time.sleep(1)
        raise TimeoutError(self.address)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    try:
        yield made.ready()
    finally:
        for process in made.processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing(cluster: Cluster, tmp_path: Path, whole: dict[str, bytes]) -> None:
    seen: list[int] = []

    def kill(done: int, of: int) -> None:
        seen.append(done)
        if len(seen) == 2:
            cluster.workers[0].kill()

    found = explore(plan(keep=True), tmp_path / "x", engine=Dask(cluster.address, 2), progress=kill)
    assert cluster.workers[0].wait(timeout=60)
    assert content(tmp_path / "x") == whole
    # Nothing twice: every part is counted once.
    assert seen == sorted(set(seen))
    assert seen[-1] == found.looked_at == plan().size


@pytest.mark.slow
def test_a_scheduler_that_is_lost_is_one_line_and_the_sweep_goes_on(
    cluster: Cluster, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    def kill(done: int, of: int) -> None:
        cluster.scheduler.kill()
        cluster.scheduler.wait()

    with pytest.raises(HwgenError) as caught:
        explore(plan(keep=True), tmp_path / "x", engine=Dask(cluster.address, 2), progress=kill)
    assert str(caught.value) == (
        f"sweep: the scheduler at {cluster.address} was lost; what is done is kept, the same command goes on from there"
    )
    other = Cluster()
    try:
        found = explore(plan(keep=True), tmp_path / "x", engine=Dask(other.ready().address, 2))
    finally:
        for process in other.processes:
            process.kill()
            process.wait()
    assert 0 < found.resumed < found.looked_at
    assert content(tmp_path / "x") == whole


@pytest.mark.slow
def test_a_cluster_of_this_machine(tmp_path: Path, whole: dict[str, bytes]) -> None:
    explore(plan(keep=True), tmp_path / "x", engine=Dask(None, 2))
    assert content(tmp_path / "x") == whole
