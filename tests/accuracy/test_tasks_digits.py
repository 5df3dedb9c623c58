from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from hwgen.errors import HwgenError
from sim.accuracy.recipe import recipe
from sim.accuracy.tasks import digits
from sim.accuracy.tasks.base import silent
from sim.accuracy.tasks.digits import Digits, DigitsNet


def test_a_convolution_is_one() -> None:
    layer = digits.Convolution(3, 5)
    x = torch.randn(2, 3, 6, 4, generator=torch.Generator().manual_seed(1))
    weight = layer.linear.weight.reshape(5, 3, 3, 3)
    assert torch.allclose(layer(x), functional.conv2d(x, weight, layer.linear.bias, padding=1), atol=1e-5)


def test_size() -> None:
    assert sum(parameter.numel() for parameter in DigitsNet().parameters()) == 121_994


def test_smoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs are enough to see; the second call reads what the first one trained."""
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path))
    task = Digits()
    task.epochs = 2
    state = torch.random.get_rng_state()
    found = task.measure(recipe({}))
    assert found["accuracy"] > 0.6
    assert torch.equal(torch.random.get_rng_state(), state)
    (kept,) = (tmp_path / "tasks").iterdir()
    monkeypatch.setattr(digits, "_train", None)
    assert task.measure(recipe({})) == found
    assert task.measure(recipe({"weights": "int8", "acts": "int8"}))["accuracy"] == pytest.approx(
        found["accuracy"], abs=0.02
    )
    # 2 bits are too few.
    assert task.measure(recipe({"weights": "int2"}))["accuracy"] < found["accuracy"] - 0.1
    # Another training is another file; a damaged one is made again.
    monkeypatch.undo()
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path))
    trained: list[int] = []
    monkeypatch.setattr(digits, "_train", lambda train, epochs, watch: trained.append(epochs) or real)
    train, _ = digits._pictures()
    real = torch.nn.utils.parameters_to_vector(DigitsNet().parameters()).detach().numpy()
    task.epochs = 1
    task.trained(train, silent)
    task.epochs = 2
    kept.write_bytes(kept.read_bytes()[:-1])
    task.trained(train, silent)
    assert trained == [1, 2]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(HwgenError) as caught:
        Digits().measure(recipe({}))
    assert str(caught.value) == (
        "task digits: needs the package scikit-learn, which is not installed; pip install 'hwgen[tasks]'"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("formats", "accuracy"),
    [({}, 0.9819), ({"weights": "int8"}, 0.9833), ({"weights": "int4"}, 0.9805)],
)
def test_figures_of_another_implementation(formats: dict[str, str], accuracy: float) -> None:
    """Another network of the same layers on other pictures of the set: three standard errors of each."""
    found = Digits().measure(recipe(formats))
    assert found["accuracy"] == pytest.approx(accuracy, abs=3 * (2 * 0.98 * 0.02 / 719) ** 0.5)
