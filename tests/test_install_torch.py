"""The choice of the torch build from pip's report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tools.install_torch import Verdict, judge, main, pinned

INDEX = "https://index.example/cpu"
CPU = [("torch", "2.13.0+cpu"), ("filelock", "4.2.11"), ("sympy", "1.14.0")]
MAC = [("torch", "2.13.0"), ("filelock", "4.2.11")]
CUDA = [("torch", "2.13.0"), ("nvidia-cublas", "13.1"), ("nvidia-cudnn-cu13", "9.2"), ("triton", "3.6.0")]


def report(packages: Sequence[tuple[str, str]], version: str = "1") -> dict[str, Any]:
    install = [{"metadata": {"name": name, "version": number}, "download_info": {}} for name, number in packages]
    return {"version": version, "pip_version": "26.3", "install": install, "environment": {}}


@pytest.mark.parametrize(
    ("packages", "verdict", "is_cpu"),
    [
        (CPU, Verdict("2.13.0+cpu", ()), True),
        (MAC, Verdict("2.13.0", ()), True),
        (CUDA, Verdict("2.13.0", ("nvidia-cublas", "nvidia-cudnn-cu13", "triton")), False),
        ([("torch", "2.13.0"), ("triton", "3.6.0")], Verdict("2.13.0", ("triton",)), False),
        ([("torch", "2.13.0"), ("cuda-bindings", "13.0")], Verdict("2.13.0", ("cuda-bindings",)), False),
        ([("torch", "2.13.0"), ("NVIDIA_cublas", "13")], Verdict("2.13.0", ("NVIDIA_cublas",)), False),
        ([("torch", "2.13.0+cu130")], Verdict("2.13.0+cu130", ()), False),
        ([("torch", "2.13.0+rocm7.1")], Verdict("2.13.0+rocm7.1", ()), False),
        ([("torch", "2.13.0"), ("pytorch-triton-rocm", "3")], Verdict("2.13.0", ("pytorch-triton-rocm",)), False),
        ([("torch", "2.13.0+cpu"), ("tritonclient", "2")], Verdict("2.13.0+cpu", ()), True),
        ([], Verdict(None, ()), True),
    ],
)
def test_judge(packages: list[tuple[str, str]], verdict: Verdict, is_cpu: bool) -> None:
    found = judge(report(packages))
    assert found == verdict
    assert found.is_cpu is is_cpu


def test_judge_refuses_another_format() -> None:
    with pytest.raises(ValueError, match=r"^pip report: version must be '1', not '2'$"):
        judge(report(CPU, "2"))


def test_pinned() -> None:
    assert pinned("numpy==2.4.6\ntorch==2.13.0 # CPU build\ntorchvision==1\n") == "torch==2.13.0"
    with pytest.raises(ValueError, match=r"^constraints: needs a line 'torch==\.\.\.'$"):
        pinned("pytorch==1\n# torch==2\n")


class FakePip:
    """Stands in for pip: answers the dry run with a report, or fails with the given status."""

    def __init__(self, packages: Sequence[tuple[str, str]], dry_status: int = 0, status: int = 0) -> None:
        self.packages, self.dry_status, self.status = packages, dry_status, status
        self.calls: list[list[str]] = []

    def __call__(self, arguments: Sequence[str]) -> int:
        if "--dry-run" not in arguments:
            self.calls.append(list(arguments))
            return self.status
        assert arguments[-1] == "torch==2.13.0"
        if self.dry_status == 0:
            Path(arguments[arguments.index("--report") + 1]).write_text(json.dumps(report(self.packages)))
        return self.dry_status


Run = Callable[[FakePip], int]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("torch==2.13.0\n")
    return lambda pip: main(["--constraints", str(constraints), "--index-url", INDEX], pip)


@pytest.mark.parametrize("packages", [CPU, MAC])
def test_a_cpu_build_comes_from_the_usual_place(
    run: Run, packages: list[tuple[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pip = FakePip(packages)
    assert run(pip) == 0
    assert pip.calls == [["install", "-c", str(tmp_path / "constraints.txt"), "torch==2.13.0"]]
    assert capsys.readouterr().out == f"install_torch: pip brings the CPU build torch {packages[0][1]}\n"


def test_a_cuda_build_is_replaced(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    pip = FakePip(CUDA)
    assert run(pip) == 0
    assert pip.calls == [["install", "--no-deps", "--index-url", INDEX, "torch==2.13.0"]]
    assert capsys.readouterr().out == (
        "install_torch: pip would bring a GPU build of torch 2.13.0 with 3 GPU packages (nvidia-cublas, "
        f"nvidia-cudnn-cu13, triton, ...); taking the CPU build from {INDEX} instead (make TORCH_CPU_INDEX=... for "
        "another index)\n"
    )


def test_an_installed_torch_is_left_alone(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    pip = FakePip([])
    assert run(pip) == 0
    assert pip.calls == []
    assert capsys.readouterr().out == "install_torch: torch==2.13.0 is installed already\n"


def test_failures_of_pip_are_passed_on(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    pip = FakePip(CPU, dry_status=3)
    assert run(pip) == 3
    assert pip.calls == []
    expected = "install_torch: pip cannot tell what torch==2.13.0 would bring; its message is above\n"
    assert capsys.readouterr().err == expected
    assert run(FakePip(CPU, status=4)) == 4
    assert run(FakePip(CUDA, status=5)) == 5
