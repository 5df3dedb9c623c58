"""What all tasks have in common, and how the layers of their models are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hwgen.errors import HwgenError
from sim.accuracy.fetchable import fetchable
from sim.accuracy.methods import Inputs, Layer, Method, MethodResult
from sim.accuracy.operand import OperandFormat, operand_format
from sim.accuracy.recipe import Recipe, recipe
from sim.accuracy.tasks import Task, register, task, tasks
from sim.accuracy.tasks.base import Watch
from sim.accuracy.tasks.layers import store_layers
from sim.accuracy.texts import TEXTS
from sim.models import fetch


def refused(call: object, *arguments: object) -> str:
    assert callable(call)
    with pytest.raises(HwgenError) as caught:
        call(*arguments)
    return str(caught.value)


def test_tasks_are_found_by_name() -> None:
    assert list(tasks()) == ["digits", "g2p", "sentences"]
    for name, kind in tasks().items():
        found = task(name)
        assert isinstance(found, kind)
        assert found.document() == {"task": name, "version": 1, "files": [member.sha256 for member in kind.members]}
        assert kind.__doc__
        assert kind.members or kind.package
    assert refused(task, "sentence") == (
        "task: must be one of digits, g2p, sentences, not 'sentence'; did you mean 'sentences'?"
    )


def test_a_name_is_given_once() -> None:
    class Again(Task):
        name = "g2p"

        def _measure(self, recipe: Recipe, watch: Watch) -> dict[str, float]:
            return {}

    with pytest.raises(ValueError, match="task g2p is registered twice"):
        register(Again)


def test_all_files_can_be_fetched_by_name() -> None:
    known = fetchable()
    assert list(known) == ["model", *(name for name in TEXTS if name != "origin"), "g2p", "sentences"]
    for name, kind in tasks().items():
        # The text that a task reads is fetched with it, and by its own name.
        assert {member.fetch for member in kind.members} <= {name, *TEXTS}
        for member in kind.members:
            assert member in known[member.fetch]


@pytest.mark.parametrize("name", ["g2p", "sentences"])
def test_nothing_is_downloaded_unasked(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object) -> None:
        raise AssertionError

    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "_download", download)
    message = refused(task(name).measure, recipe({}))
    assert message.startswith(f"no model file: {tmp_path}/cache/tasks/")
    assert f"does not exist or is not whole; run `hwgen model fetch {name}` (" in message
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["digits", "g2p", "sentences"])
def test_roles_that_a_task_lacks(name: str) -> None:
    """What would be ignored is refused, before anything is read."""
    found = refused(task(name).measure, recipe({"weights": "int4", "keys": "int8"}))
    assert found == f"task {name}: its model has weights and acts, not keys"


class Net(nn.Module):
    """Two layers of one input, one that runs twice, and one behind."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b, self.twice, self.last = (nn.Linear(16, 16) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.a(x) + self.b(x))
        for _ in range(2):
            y = torch.tanh(self.twice(y))
        return self.last(y)


@dataclass(frozen=True)
class Noting(Method):
    """Writes down what it is given; halves the input, and lets the weights and a thin product undo it."""

    name = "noting"
    calibrated = True
    seen: list[tuple[list[str], Tensor | None]] = field(default_factory=list)

    def quantise(self, layers: Sequence[Layer], acts: OperandFormat | None, inputs: Inputs | None) -> MethodResult:
        self.seen.append(([layer.name for layer in layers], None if inputs is None else inputs.rows))
        return MethodResult(
            tuple(layer.weights for layer in layers),
            before=lambda x: x / 2,
            low_rank=tuple((torch.eye(16), layer.weights) for layer in layers),
            extra_bits=tuple(0.5 for _ in layers),
        )


def test_methods_see_groups_and_inputs_of_the_float_model() -> None:
    model, x = Net(), torch.randn(5, 16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        y = torch.tanh(model.a(x) + model.b(x))
        z = torch.tanh(model.twice(y))
        want = model(x)
    method = Noting()
    size = store_layers(model, Recipe({"weights": operand_format("int4")}, method), x)
    assert [names for names, _ in method.seen] == [["a", "b"], ["twice"], ["last"]]
    rows = [found for _, found in method.seen]
    last = torch.tanh(Net().twice(z)).detach()
    for found, wanted in zip(rows, (x, torch.cat([y, z]), last), strict=True):
        assert found is not None
        assert torch.allclose(found, wanted, atol=1e-6)
    assert size.bits == dict.fromkeys(["a", "b", "twice", "last"], operand_format("int4").bits(16) + 0.5)
    # W·x / 2 and W·(x / 2) beside it are W·x.
    with torch.no_grad():
        assert torch.allclose(model(x), want, atol=1e-5)


def test_layers_of_their_own() -> None:
    model, x = Net(), torch.randn(5, 16)
    float_b, float_a = model.b.weight.detach().clone(), model.a.weight.detach().clone()
    form = operand_format("int3")
    size = store_layers(model, recipe({}, layers={"b": "int3"}), x)
    assert torch.equal(model.b.weight, form.nearest(float_b))
    assert torch.equal(model.a.weight, float_a)
    assert size.bits_per_weight == pytest.approx((3 * 32 + form.bits(16)) / 4)
    assert refused(store_layers, Net(), recipe({}, layers={"lost": "int3"}), x) == (
        "recipe: layer must be one of the model's, not 'lost'; did you mean 'last'?"
    )


def test_inputs_are_stored_too() -> None:
    model, x = Net(), torch.randn(5, 16)
    form = recipe({"acts": "int4"}).formats["acts"]
    float_model = Net()
    size = store_layers(model, recipe({"acts": "int4"}), x)
    assert size.bits_per_weight == 32.0
    with torch.no_grad():
        y = torch.tanh(float_model.a(form.nearest(x)) + float_model.b(form.nearest(x)))
        for _ in range(2):
            y = torch.tanh(float_model.twice(form.nearest(y)))
        want = float_model.last(form.nearest(y))
        assert torch.allclose(model(x), want, atol=1e-6)
