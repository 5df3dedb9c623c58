"""Whole layers of a real model through the emitted Verilog: every bit and every cycle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.pe import TileSpec, family
from reports.clocks import TILES as CLOCKED
from reports.whole_layer import LAYER, TOKENS, settings, tiles
from sim.inputs import layer_operands
from sim.run import run_layer

pytestmark = [pytest.mark.rtl]


@pytest.fixture(scope="module")
def operands(real_model: Path) -> tuple[np.ndarray, np.ndarray]:
    return layer_operands(real_model, LAYER, TOKENS)


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("spec", tiles(), ids=lambda spec: f"{spec.family} {settings(spec)}")
def test_every_output_of_the_layer(spec: TileSpec, operands: tuple[np.ndarray, np.ndarray]) -> None:
    weights, acts = operands
    assert weights.shape == (1536, 576)
    assert len(acts) == 8
    run = run_layer(spec, weights, acts, name=LAYER)
    assert run.golden_equal, run.detail
    assert run.reference_equal, run.detail
    assert run.cycles_counted == run.cycles_predicted
    assert run.pre_cycles_counted == run.pre_cycles_predicted
    # The comparison looked at something.
    assert np.isfinite(run.y).all()
    assert np.count_nonzero(run.y) > 0.99 * run.y.size


@pytest.mark.slow
@pytest.mark.model
def test_demo(real_model: Path, tmp_path: Path) -> None:
    from reports.demo import DemoOptions, run_demo

    said: list[str] = []
    run = run_demo(
        DemoOptions(folder=tmp_path / "out" / "demo", max_cells=32, measure=False), said.append, lambda *_: None
    )
    assert run.ok
    folder = tmp_path / "out" / "demo"
    for name in ("front.png", "front.svg", "front.md", "front.csv", "sweep.parquet", "run.json"):
        assert (folder / name).stat().st_size > 0, name
    assert json.loads((folder / "run.json").read_text())["ok"]
    assert any(line.startswith("[6/6]") for line in said)
    with pytest.raises(HwgenError, match=r"^demo: max_perplexity must leave a format, the best has 30\.\d\d, not 10$"):
        run_demo(DemoOptions(folder=tmp_path / "none", max_perplexity=10.0), said.append, lambda *_: None)


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("name", CLOCKED)
def test_every_output_of_the_layer_with_cuts(name: str, operands: tuple[np.ndarray, np.ndarray]) -> None:
    weights, acts = operands
    kind, values = CLOCKED[name]
    # A lane for two columns keeps them busy with several beats.
    run = run_layer(family(kind).from_values({"m": 2, "n": 2, **values}), weights[:192], acts)
    assert run.golden_equal, run.detail
    assert run.reference_equal, run.detail
    assert run.cycles_counted == run.cycles_predicted


@pytest.mark.parametrize(
    ("parameters", "k", "message"),
    [
        (
            {"group": 0},
            576,
            r"a group of 576 products must fit depth \(128\) of the int tile; the smallest depth that works is 576",
        ),
    ],
)
def test_a_layer_that_does_not_fit(parameters: dict[str, int], k: int, message: str) -> None:
    weights, acts = np.ones((4, k), np.float32), np.ones((2, k), np.float32)
    with pytest.raises(HwgenError, match=message):
        run_layer(family("int").from_values(parameters), weights, acts, name="blk")


@pytest.mark.parametrize(
    ("acts", "message"),
    [
        (None, r"^layer x: activations \[tokens, K\] must be a matrix of real numbers, not object of shape \[\]$"),
        ([1.0, 2.0], r"must be a matrix of real numbers, not float64 of shape \[2\]$"),
        ([[1.0], [1.0, 2.0]], r"must be a matrix of real numbers, not list$"),
        ([["a"] * 8], r"must be a matrix of real numbers, not <U1 of shape \[1, 8\]$"),
        (np.ones((1, 8), np.complex64), r"must be a matrix of real numbers, not complex64 of shape \[1, 8\]$"),
        (np.ones((0, 8)), r"must be a matrix of real numbers, not ndarray$"),
        ([[0.0] * 7 + [float("nan")]], r"must be finite, not nan at \[0, 7\]$"),
    ],
)
def test_operands_that_are_no_matrices(acts: object, message: str) -> None:
    with pytest.raises(HwgenError, match=message):
        run_layer(family("int")(), np.ones((4, 8), np.float32), acts, name="x")


@pytest.mark.rtl
def test_operands_of_any_kind() -> None:
    """Lists, tensors with a gradient and of bfloat16, integers and float64 give what arrays of their values give."""
    import torch

    spec = family("int")(m=1, n=2, k=4, group=0, depth=16)
    weights, acts = [[1, -2, 3, 4, 5, 6], [7, 8, -9, 1, 2, 3]], [[0.1, 0.2, 0.3, 0.4, 0.5, 0.7]]
    plain = run_layer(spec, np.array(weights, np.float32), np.array(acts, np.float64))
    assert plain.ok, plain.detail
    exact = torch.tensor(acts, dtype=torch.float64, requires_grad=True)
    for other in (run_layer(spec, weights, acts), run_layer(spec, torch.tensor(weights), exact)):
        assert other.ok, other.detail
        assert other.y.tolist() == plain.y.tolist()
    assert run_layer(spec, torch.tensor(weights).bfloat16(), torch.tensor(acts).half()).ok


def test_operands_must_agree() -> None:
    with pytest.raises(HwgenError, match=r"^layer x: weights \[N, K\] and activations \[tokens, K\] must agree in K"):
        run_layer(family("int")(), np.ones((4, 8), np.float32), np.ones((2, 12), np.float32), name="x")
