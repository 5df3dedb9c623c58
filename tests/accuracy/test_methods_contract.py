"""What all methods have in common: errors, repeatability, types, and how they are written."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from hwgen.errors import HwgenError
from sim.accuracy.methods import Inputs, Layer, method, methods
from sim.accuracy.operand import operand_format

NAMES = ("rtn", "awq", "clip", "gptq", "hadamard", "lowrank", "powers", "scales", "smoothquant", "trits")
CALIBRATED = ("awq", "gptq", "lowrank", "smoothquant")


def group(name: str = "nvfp4", k: int = 48) -> list[Layer]:
    generator = torch.Generator().manual_seed(0)
    return [Layer(part, torch.randn(8, k, generator=generator) * 0.1, operand_format(name)) for part in ("q", "k")]


def inputs(k: int = 48) -> Inputs:
    return Inputs(torch.randn(64, k, generator=torch.Generator().manual_seed(1)))


def test_all_methods_are_here() -> None:
    assert tuple(sorted(methods())) == tuple(sorted(NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_results_are_of_the_contract_and_repeat(name: str) -> None:
    given = group()
    before = [layer.weights.clone() for layer in given]
    chosen = method(name)
    assert chosen.calibrated == (name in CALIBRATED)
    seen = inputs() if chosen.calibrated else None
    result, again = (chosen.quantise(given, None, seen) for _ in range(2))
    for layer, kept, found, repeated in zip(given, before, result.weights, again.weights, strict=True):
        assert found.dtype == torch.float32
        assert found.shape == layer.weights.shape
        assert torch.isfinite(found).all()
        assert torch.equal(found, repeated)
        assert torch.equal(layer.weights, kept)
    for own in (result.extra_bits, result.stored_bits, result.low_rank):
        assert len(own) in (0, 2)
    if result.before is not None:
        assert result.before(torch.randn(2, 3, 48)).shape == (2, 3, 48)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [4, 20])
def test_groups_may_be_longer_than_a_row(name: str, k: int) -> None:
    for form in ("nvfp4", "mxfp4") if name == "scales" else ("int4", "nvfp4", "int4.asymmetric"):
        given = group(form, k)
        result = method(name).quantise(given, None, inputs(k))
        assert all(torch.isfinite(found).all() for found in result.weights)


@pytest.mark.parametrize("name", [one for one in NAMES if one != "rtn"])
@pytest.mark.parametrize("worst", [float("nan"), float("inf")])
def test_weights_must_be_finite(name: str, worst: float) -> None:
    given = group()
    given[1].weights[3, 7] = worst
    with pytest.raises(HwgenError, match=rf"method {name}: layer k: weights must be finite, not {worst} at \[3, 7\]"):
        method(name).quantise(given, None, inputs())


@pytest.mark.parametrize("name", [one for one in NAMES if one != "rtn"])
def test_layers_must_have_one_input(name: str) -> None:
    given = [*group(), *group(k=32)]
    with pytest.raises(HwgenError, match=rf"method {name}: layer q: weights must be \[N, 48\], not of shape \[8, 32\]"):
        method(name).quantise(given, None, inputs())
    with pytest.raises(HwgenError, match="must have layers"):
        method(name).quantise([], None, inputs())


@pytest.mark.parametrize("name", [*CALIBRATED, "hadamard(by=gptq)"])
def test_calibrated_methods_need_inputs(name: str) -> None:
    chosen = method(name)
    assert chosen.calibrated
    with pytest.raises(HwgenError, match=r"method \w+: needs a calibration text"):
        chosen.quantise(group(), None, None)


@pytest.mark.parametrize("name", CALIBRATED)
def test_inputs_must_fit(name: str) -> None:
    with pytest.raises(HwgenError, match=rf"method {name}: inputs must be rows \[T, 48\], not of shape \[64, 20\]"):
        method(name).quantise(group(), None, inputs(20))
    with pytest.raises(HwgenError, match="inputs must be rows"):
        method(name).quantise(group(), None, Inputs(torch.zeros(0, 48)))
    broken = inputs()
    broken.rows[0, 0] = torch.inf
    with pytest.raises(HwgenError, match="inputs must be finite"):
        method(name).quantise(group(), None, broken)


@pytest.mark.parametrize(
    "text",
    [
        *("gptq(damping=0.02,order=True)", "hadamard(seed=3,by=gptq(damping=0.02,order=True))"),
        *("lowrank(rank=8,by=hadamard(block=16,by=clip(least=0.5,steps=5)))", "awq(steps=5,by=clip)", "scales"),
    ],
)
def test_methods_are_written_as_they_are_read(text: str) -> None:
    assert str(method(text)) == text
    assert method(str(method(text))) == method(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gptq(order=yes)", "order must be of type bool, not 'yes'"),
        ("gptq(damping=-1)", "damping must be from 0.0 to 10.0"),
        ("gptq(block=0)", "block must be from 1"),
        ("clip(least=2)", "least must be from 0.01 to 1.0"),
        ("hadamard(by=gqtp)", "method: must be one of .*'gqtp'.*did you mean 'gptq'"),
        ("awq(by=rtn", "must be NAME or NAME"),
        ("lowrank(rule=eoro)", "rule must be one of eora, error, weights, not 'eoro'.*did you mean 'eora'"),
        ("scales(rule=4/6)", "rule must be one of search, four_six, not '4/6'"),
        ("powers(planes=9)", "planes must be from 0 to 8"),
        ("trits(rank=1)", "option must be one of rounds, not 'rank'"),
    ],
)
def test_what_is_no_method_is_refused(text: str, said: str) -> None:
    with pytest.raises(HwgenError, match=said):
        method(text)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_says_what_it_does_and_every_method_its_source(name: str) -> None:
    found = methods()[name]
    assert found.__doc__ is not None
    assert len(found.__doc__.split("\n\n")) >= 2
    for item in dataclasses.fields(found):
        assert item.metadata["doc"]


@pytest.mark.parametrize("name", NAMES)
def test_the_class_says_whether_the_method_as_it_is_looks_at_inputs(name: str) -> None:
    assert methods()[name].calibrated == method(name).calibrated
    assert not method("lowrank(rule=error)").calibrated
    assert method("lowrank(rule=error,by=gptq)").calibrated
