from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

import hwgen
from hwgen.cli._options import option_object
from hwgen.errors import HwgenError
from hwgen.options import MIX_BY, SENSITIVITIES, MixedOptions
from hwgen.schedule import Layer as Product
from sim.accuracy.language import Evaluation, Measured, calibration_digest, measure
from sim.accuracy.methods import Inputs, Layer, Method, MethodResult
from sim.accuracy.mixed import (
    Budget,
    Plan,
    Problem,
    bits_budget,
    compare,
    greedy,
    ilp,
    plan,
    proxies,
    sensitivities,
    step_costs,
    uniform,
    units_of,
)
from sim.accuracy.mixed import assign as assign_module
from sim.accuracy.mixed.plan import _verdict
from sim.accuracy.mixed.proxies import _fisher_traces
from sim.accuracy.operand import OperandFormat, operand_format
from sim.accuracy.recipe import Recipe, recipe
from sim.accuracy.texts import Window
from sim.estimate import estimate
from sim.models.llama import Llama
from sim.models.weights import open_model
from sim.workload import Decode, Generation, Prefill
from tests.models import tiny

FORMS = tuple(operand_format(name) for name in ("int2", "int3", "int4"))
TEXT = torch.randint(3, 200, (60,), generator=torch.Generator().manual_seed(3)).tolist()
LEARN = [Window(tuple(TEXT[:16]), 1), Window(tuple(TEXT[16:32]), 8)]
OPTIONS = MixedOptions(formats=("int2", "int3", "int4"), budget_bits=3.4)


BESIDE = 0.25
"""Bits a weight that `Learning` stores beside its codes."""


def quiet(_what: str, _done: int, _of: int) -> None:
    pass


def refused(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(HwgenError) as caught:
        call(*arguments, **named)
    return str(caught.value)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_llama(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
def learn(path: Path) -> Evaluation:
    return evaluation(path, LEARN)


def evaluation(path: Path, windows: Sequence[Window], digest: str = "tiny") -> Evaluation:
    return Evaluation(lambda: Llama(open_model(path)), digest, windows)


@dataclass(frozen=True)
class Learning(Method):
    """Rounds to nearest at scales that depend on the input of the layers."""

    name = "learning"
    calibrated = True

    def quantise(self, layers: Sequence[Layer], acts: OperandFormat | None, inputs: Inputs | None) -> MethodResult:
        assert inputs is not None
        scale = 1.0 + inputs.mean_magnitude / inputs.largest
        weights = tuple(layer.form.nearest(layer.weights * scale) / scale for layer in layers)
        return MethodResult(weights, extra_bits=(BESIDE,) * len(layers))


# Assignment


def least(problem: Problem) -> float:
    """The optimum, by trying everything."""
    units, formats = problem.cost.shape
    every = np.array(list(itertools.product(range(formats), repeat=units)))
    unit = np.arange(units)
    within = problem.cost[unit, every].sum(axis=1) <= problem.limit * (1 + 1e-9)
    return float(problem.sensitivity[unit, every].sum(axis=1)[within].min())


def random_problem(seed: int) -> Problem:
    """Sensitivities over many decades, whole or broken costs, a limit anywhere between the ends."""
    rng = np.random.default_rng(seed)
    units, formats = int(rng.integers(1, 7)), int(rng.integers(1, 5))
    sensitivity = rng.lognormal(0.0, 1.0 + 2.0 * (seed % 2), (units, formats)) * 10.0 ** rng.integers(-6, 3)
    if seed % 5 == 4:
        sensitivity -= sensitivity.mean()
    cost = rng.integers(1, 9, (units, formats)) * 1.0 if seed % 3 else rng.random((units, formats)) * 1e5
    low, high = cost.min(axis=1).sum(), cost.max(axis=1).sum()
    return Problem(sensitivity, cost, float(low + rng.random() * (high - low)))


@pytest.mark.parametrize("seed", range(24))
def test_the_program_finds_the_optimum(seed: int) -> None:
    problem = random_problem(seed)
    best, scale = least(problem), np.abs(problem.sensitivity).max()
    found = ilp(problem)
    assert found.predicted == pytest.approx(best, rel=1e-9, abs=1e-12 * scale)
    unit = np.arange(len(problem.cost))
    for one in (found, greedy(problem)):
        assert one.cost <= problem.limit * (1 + 1e-9)
        assert one.predicted >= best - 1e-9 * scale
        assert one.predicted == math.fsum(problem.sensitivity[unit, list(one.chosen)])
        assert one.cost == math.fsum(problem.cost[unit, list(one.chosen)])


def test_greedy_is_not_the_optimum_and_the_tests_tell_them_apart() -> None:
    """The first step has the best rate and leaves no room for the better one."""
    problem = Problem(np.array([[5.0, 0.0], [9.0, 0.0]]), np.array([[0.0, 5.0], [0.0, 10.0]]), 10.0)
    assert (greedy(problem).chosen, greedy(problem).predicted) == ((1, 0), 9.0)
    assert (ilp(problem).chosen, ilp(problem).predicted, least(problem)) == ((0, 1), 5.0, 5.0)


def test_a_program_without_its_budget_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    solve = assign_module._solve
    monkeypatch.setattr(assign_module, "_solve", lambda loss, cost, room: solve(loss, cost * 0.0, abs(room)))
    problem = Problem(np.array([[1.0, 0.0]]), np.array([[1.0, 2.0]]), 1.5)
    rooms: list[float] = []
    fsum = math.fsum

    def counted(values: Any) -> float:
        rooms.append(0.0)
        assert len(rooms) < 50, "never within the budget"
        return fsum(values)

    monkeypatch.setattr(assign_module.math, "fsum", counted)
    with pytest.raises(AssertionError, match="never within"):
        ilp(problem)


def test_no_order_of_sums_excludes_one_format() -> None:
    """A budget of what one format takes, whose sum rounds up."""
    cost = np.array([[0.1, 0.2, 0.3]] * 7) / 3
    problem = Problem(np.array([[4.0, 2.0, 1.0]] * 7), cost, 0.2 / 3 * 7)
    assert sum([0.2 / 3] * 7) != 0.2 / 3 * 7
    for assigner in (ilp, greedy, uniform):
        assert assigner(problem).predicted <= 14.0


def test_one_format_for_all() -> None:
    sensitivity = np.array([[8.0, 3.0, 4.0], [8.0, 3.0, 1.0]])
    cost = np.array([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]])
    assert uniform(Problem(sensitivity, cost, 6.0)).chosen == (2, 2)
    assert uniform(Problem(sensitivity, cost, 3.9)).chosen == (0, 0)
    crossed = Problem(np.ones((2, 2)), np.array([[1.0, 3.0], [3.0, 1.0]]), 2.0, "pJ")
    assert refused(uniform, crossed) == "mixed: budget must be at least 4 pJ for one format for all layers, not 2"
    assert ilp(crossed).chosen == (0, 1)


def test_problems_that_are_none() -> None:
    ones = np.ones((2, 3))
    assert refused(Problem, np.ones((2, 0)), np.ones((2, 0)), 1.0) == (
        "mixed: must be given at least one format and one layer to choose for"
    )
    assert refused(Problem, ones, np.ones((3, 2)), 1.0) == (
        "mixed: costs must be of 2 units in 3 formats, as the sensitivities are, not of shape (3, 2)"
    )
    assert refused(Problem, ones, ones * math.inf, 1.0) == "mixed: cost must be finite numbers"
    assert refused(Problem, ones * math.nan, ones, 1.0) == "mixed: sensitivity must be finite numbers"
    assert refused(Problem, ones, ones, 1.9, "cycles") == (
        "mixed: budget must be at least 2 cycles, which the cheapest formats take, not 1.9"
    )
    assert "not nan" in refused(Problem, ones, ones, math.nan)


# Units and costs


def test_units_hold_every_layer_once(path: Path) -> None:
    model = Llama(open_model(path))
    names = [unit.name for unit in units_of(model, "group")]
    assert names[:4] == [
        "blk.0.attn_q+attn_k+attn_v",
        "blk.0.attn_output",
        "blk.0.ffn_gate+ffn_up",
        "blk.0.ffn_down",
    ]
    layers = [f"blk.{block}.{name}" for block in range(tiny.BLOCKS) for name in model.config.linears()]
    for by, count in zip(MIX_BY, (14, 8, 2), strict=True):
        units = units_of(model, by)
        assert len(units) == count
        assert sorted(name for unit in units for name in unit.layers) == sorted(layers)
        for unit in units:
            assert unit.elements == sum(model.get_submodule(name).weight.numel() for name in unit.layers)
            assert {f"blk.{unit.block}"} == {name.rpartition(".")[0] for name in unit.layers}
    assert refused(units_of, model, "blocks") == (
        "mixed: by must be one of layer, group, block, not 'blocks'; did you mean 'block'?"
    )


def test_bits_are_what_storing_says(path: Path, learn: Evaluation) -> None:
    units = units_of(Llama(open_model(path)), "layer")
    costs = bits_budget(units, FORMS, 3.0).costs
    chosen = np.arange(len(units)) % len(FORMS)
    layers = {unit.layers[0]: FORMS[index] for unit, index in zip(units, chosen, strict=True)}
    found = measure(learn, Recipe(layers=layers), [], quiet)
    assert costs[np.arange(len(units)), chosen].sum() == pytest.approx(found.bits_per_weight, rel=1e-12)


@pytest.mark.parametrize(("phase", "m"), [(Decode(20, 3), 3), (Prefill(5, 2), 10)])
def test_costs_of_a_step_are_those_of_its_layers(path: Path, phase: Decode | Prefill, m: int) -> None:
    units = units_of(Llama(open_model(path)), "group")
    tiles = [hwgen.tile("int", bits=bits, m=4, n=4, k=4).spec for bits in (2, 8)]
    fields = {
        "cycles": lambda report: report.cycles,
        "latency": lambda report: report.latency_us,
        "energy": lambda report: report.total_energy_pj,
        "area_time": lambda report: report.latency_us * report.total_area_um2,
    }
    for what, read in fields.items():
        found = step_costs(units, tiles, phase, what, 1e9)
        for place, tile in enumerate(tiles):
            reports = [estimate(tile, Product("x", m, n, k)) for n, k in units[0].shapes]
            assert found.costs[0, place] == pytest.approx(sum(read(one) for one in reports), rel=1e-12)
    assert found.unit == f"um2·us in a {phase.name} step"
    assert (found.costs[:, 0] < found.costs[:, 1]).all()


def test_costs_that_are_none(path: Path) -> None:
    units = units_of(Llama(open_model(path)), "block")
    tiles = [hwgen.tile("int").spec]
    assert refused(step_costs, units, tiles, Generation(4, 2), "energy", 1.0) == (
        "mixed: phase must be a prefill or a step of decoding, not generation: prefill of 4 tokens and 2 steps × 1"
    )
    assert refused(step_costs, units, tiles, Decode(4), "energie", 1.0) == (
        "mixed: cost must be one of cycles, latency, energy, area_time, not 'energie'; did you mean 'energy'?"
    )


# Sensitivities


@pytest.mark.parametrize("by", MIX_BY)
@pytest.mark.parametrize("method", [Recipe().method, Learning()], ids=str)
def test_measured_alone_is_the_whole_model_measured(path: Path, by: str, method: Method, tmp_path: Path) -> None:
    """Against the plain way, under a key of its own: every block stored and run."""
    learned = [TEXT[32:44], TEXT[44:60]]
    units = units_of(Llama(open_model(path)), by)[::3]
    kl = sensitivities("kl", evaluation(path, LEARN), units, FORMS[:2], method, learned, quiet)
    loss = sensitivities("loss", evaluation(path, LEARN), units, FORMS[:2], method, learned, quiet)
    plain = evaluation(path, LEARN, "another")
    float_loss = measure(plain, Recipe(), [], quiet).loss_nats
    for row, unit in enumerate(units):
        for column, form in enumerate(FORMS[:2]):
            alone = Recipe(method=method, layers=dict.fromkeys(unit.layers, form))
            want = measure(plain, alone, learned, quiet)
            assert kl.values[row, column] == pytest.approx(want.kl_nats, rel=1e-6, abs=1e-12)
            assert loss.values[row, column] == pytest.approx(want.loss_nats - float_loss, rel=1e-5, abs=1e-9)
            # What is kept is what a plain measurement would have found, and serves it.
            kept = evaluation(path, LEARN).known(alone.document(), calibration_digest(alone, learned))
            assert kept is not None
            beside = BESIDE if method.calibrated else 0.0
            assert kept.bits_per_weight == pytest.approx(mean_bits(path, unit.layers, form.bits, beside), rel=1e-12)
    assert (kl.values > 0).all()
    assert len({*kl.values.ravel().tolist()}) == kl.values.size
    assert kl.rows()[0] == {
        "unit": units[0].name,
        "weights": units[0].elements,
        "int2/128": kl.values[0, 0],
        "int3/128": kl.values[0, 1],
    }


def mean_bits(path: Path, layers: Sequence[str], form: Callable[[int], float], beside: float) -> float:
    """Bits a weight where some layers have a format and the others 32 bits."""
    blocks = Llama(open_model(path)).blk
    found = {name: layer.weight for name, layer in blocks.named_modules(prefix="blk") if isinstance(layer, nn.Linear)}
    bits = [form(weight.shape[1]) + beside if name in layers else 32.0 for name, weight in found.items()]
    return float(np.average(bits, weights=[weight.numel() for weight in found.values()]))


def test_what_was_measured_is_not_measured_again(path: Path) -> None:
    """An interrupted run goes on; blocks before a unit are run once, and the model is loaded twice."""
    loads: list[nn.Module] = []
    passes: list[int] = []

    def load() -> nn.Module:
        model = Llama(open_model(path))
        for index, block in enumerate(model.blk):
            # Blocks are copied with their hooks.
            block.register_forward_hook(lambda *_, index=index: passes.append(index))
        loads.append(model)
        return model

    def stop(_what: str, done: int, _of: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    units = units_of(Llama(open_model(path)), "block")
    assert len(units) * len(FORMS) == 6
    with pytest.raises(KeyboardInterrupt):
        sensitivities("kl", Evaluation(load, "tiny", LEARN), units, FORMS, Recipe().method, [], stop)
    # Twice the float windows, then two windows of three formats; groups are found once by the model and by each format.
    assert (len(loads), passes.count(0)) == (2, 2 * 2 + 3 * 2 + 1 + 3)
    loads.clear(), passes.clear()
    found = sensitivities("kl", Evaluation(load, "tiny", LEARN), units, FORMS, Recipe().method, [], quiet)
    # Two formats of block 1 are left: block 0 is run for groups and states alone.
    assert (len(loads), passes.count(0), passes.count(1)) == (2, 1 + 2, 1 + 2 + 2 * (1 + 2))
    loads.clear()
    again = sensitivities("kl", Evaluation(load, "tiny", LEARN), units, FORMS, Recipe().method, [], quiet)
    assert not loads
    assert (again.values == found.values).all()


class Mixing(nn.Module):
    """Nine tokens; each sees the mean of those up to it, through two layers."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.embedding = torch.randn(9, 6, generator=generator)
        self.first, self.second = nn.Linear(6, 5, bias=False), nn.Linear(5, 9, bias=False)
        for layer in (self.first, self.second):
            layer.weight = nn.Parameter(torch.randn(layer.weight.shape, generator=generator), requires_grad=False)

    def forward(self, tokens: Tensor) -> Tensor:
        seen = self.embedding[tokens].cumsum(dim=0) / torch.arange(1, len(tokens) + 1)[:, None]
        logits: Tensor = self.second(self.first(seen).tanh())
        return logits


def test_traces_are_the_fisher_informations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the exact trace, from gradients of all logits: Σ p·|g|² - |Σ p·g|², mean over the scored tokens."""
    monkeypatch.setattr(proxies, "DRAWS", 600)
    windows = [Window((1, 5, 2, 8, 8), 2), Window((0, 3, 7), 1)]
    names = ["first", "second"]
    found = _fisher_traces(Mixing(), Evaluation(Mixing, "mixing", windows), names, quiet)
    model = Mixing()
    weights = [model.get_submodule(name).weight.requires_grad_(True) for name in names]
    exact, tokens = [0.0, 0.0], 0
    for window in windows:
        for row in model(torch.tensor(window.tokens))[window.first - 1 : -1]:
            tokens += 1
            share = row.detach().double().softmax(dim=0)
            gradients = [torch.autograd.grad(one, weights, retain_graph=True) for one in row]
            for place in range(2):
                stacked = torch.stack([one[place].flatten().double() for one in gradients])
                exact[place] += float(share @ stacked.square().sum(dim=1) - (share @ stacked).square().sum())
    assert tokens == 5
    assert [found[name] for name in names] == pytest.approx([one / tokens for one in exact], rel=0.1)


def test_proxies_are_their_formulas(path: Path, learn: Evaluation) -> None:
    """numpy's sums over what enters a layer; and both order formats as the model does."""
    model = Llama(open_model(path))
    units = units_of(model, "layer")[3:5]
    inputs: dict[str, list[Tensor]] = {name: [] for unit in units for name in unit.layers}
    for name, rows in inputs.items():
        model.get_submodule(name).register_forward_pre_hook(lambda _, given, rows=rows: rows.append(given[0]))
    for window in LEARN:
        model.hidden(torch.tensor(window.tokens))
    shares = sensitivities("inputs", learn, units, FORMS, Recipe().method, [], quiet)
    traces = sensitivities("trace", learn, units, FORMS, Recipe().method, [], quiet)
    names = [unit.layers[0] for unit in units]
    found = _fisher_traces(Llama(open_model(path)), learn, names, quiet)
    for row, name in enumerate(names):
        weights = model.get_submodule(name).weight.double().numpy()
        square = (torch.cat(inputs[name]).double().numpy() ** 2).mean(axis=0)
        for column, form in enumerate(FORMS):
            error = form.quantise(weights.astype(np.float32)).dequantize() - weights
            share = (error**2 * square).sum() / (weights**2 * square).sum()
            assert shares.values[row, column] == pytest.approx(share, rel=1e-5)
            second = 0.5 * found[name] * (error**2).mean()
            # Other weights ask for gradients too, and sums may round differently.
            assert traces.values[row, column] == pytest.approx(second, rel=1e-3)
    for values in (shares.values, traces.values):
        assert (np.diff(values, axis=1) < 0).all()
    assert traces.unit == "nats a token"


def test_sensitivities_that_are_none(path: Path, learn: Evaluation) -> None:
    units = units_of(Llama(open_model(path)), "block")
    assert refused(sensitivities, "kll", learn, units, FORMS, Recipe().method, [], quiet) == (
        "mixed: sensitivity must be one of kl, loss, trace, inputs, not 'kll'; did you mean 'kl'?"
    )
    assert refused(sensitivities, "kl", learn, units, FORMS, Learning(), [], quiet) == (
        "method learning: needs a calibration text"
    )


def broken(path: Path) -> Evaluation:
    def load() -> nn.Module:
        model = Llama(open_model(path))
        model.blk[1].ffn_up.weight[0, 0] = math.inf
        return model

    return Evaluation(load, "broken", LEARN)


@pytest.mark.parametrize("name", SENSITIVITIES)
def test_weights_that_are_not_finite(path: Path, name: str) -> None:
    units = units_of(Llama(open_model(path)), "block")[1:]
    assert refused(sensitivities, name, broken(path), units, FORMS, Recipe().method, [], quiet) == (
        "layer blk.1.ffn_up: weights must be finite numbers"
    )


# Plans


def test_predicted_is_the_sum_and_the_optimum(learn: Evaluation) -> None:
    """Of sensitivities that are measured again, plainly, on the recipe that comes out."""
    options = dataclasses.replace(OPTIONS, by="group")
    found = plan(learn, options, recipe({"acts": "int8"}), [], quiet)
    units = units_of(learn.model(), "group")
    total = 0.0
    for unit in units:
        (form,) = {found.recipe.layers[name] for name in unit.layers}
        total += measure(learn, Recipe(layers=dict.fromkeys(unit.layers, form)), [], quiet).kl_nats
    assert found.predicted == pytest.approx(total, rel=1e-12)
    assert found.recipe.formats["acts"].name == "int8/row"
    assert measure(learn, found.recipe, [], quiet).bits_per_weight == pytest.approx(found.cost, rel=1e-12)
    assert 3.0 < found.cost <= 3.4
    values = sensitivities("kl", learn, units, FORMS, Recipe().method, [], quiet).values
    assert found.predicted == pytest.approx(least(Problem(values, bits_budget(units, FORMS, 3.4).costs, 3.4)))
    assert sum(count for _, count in found.counts) == len(units)


def test_bits_are_those_that_are_stored(learn: Evaluation) -> None:
    """With what a method stores beside its codes, where that was measured; proxies do not see it, and it is said."""
    learned, base = [TEXT[32:44]], Recipe(method=Learning())
    found = plan(learn, OPTIONS, base, learned, quiet)
    stored = measure(learn, found.recipe, learned, quiet)
    assert stored.bits_per_weight == pytest.approx(found.cost, rel=1e-9)
    assert found.cost <= 3.4 < plan(learn, OPTIONS, Recipe(), [], quiet).cost + BESIDE
    said = compare(learn, learn, dataclasses.replace(OPTIONS, sensitivity="inputs"), base, learned, quiet)
    (words,) = [words for words in said.verdicts if words.startswith("ilp takes")]
    assert words.endswith("bits a weight with what its method stores beside the codes, more than the budget of 3.4")


def test_a_budget_of_other_costs(learn: Evaluation) -> None:
    units = units_of(learn.model(), "block")
    tiles = [hwgen.tile("int", bits=bits).spec for bits in (2, 3, 4)]
    costs = step_costs(units, tiles, Decode(8), "energy", 0.0).costs
    budget = Budget(costs, float(costs[0, 2] + costs[1, 0]), "pJ")
    options = MixedOptions(formats=OPTIONS.formats, sensitivity="inputs")
    found = plan(learn, options, Recipe(), [], quiet, budget)
    assert found.cost <= budget.limit
    assert (found.cost_unit, found.predicted_unit) == ("pJ", "share of noise, summed")
    assert refused(plan, learn, OPTIONS, Recipe(), [], quiet, budget) == (
        "mixed: must be given a budget of bits or of other costs, not both"
    )


@pytest.mark.parametrize(
    ("changed", "base", "message"),
    [
        ({"formats": ()}, {}, "mixed: formats must be at least one, e.g. --mix int3 --mix int4 --mix int8"),
        ({"formats": ("int4", "int4/128")}, {}, "mixed: formats must differ, and int4/128 is given twice"),
        ({"formats": ("int44",)}, {}, "int: bits must be 1 to 32, not 44"),
        ({"formats": ("inn4",)}, {}, "not 'inn4'; did you mean 'int4'?"),
        ({"budget_bits": None}, {}, "budget_bits must be above 0 and at most 32, none is given"),
        ({"budget_bits": math.nan}, {}, "budget_bits must be above 0 and at most 32, not nan"),
        ({"budget_bits": 2.0}, {}, "mixed: budget must be at least 2.23333 bits a weight, which the cheapest formats"),
        ({"by": "head"}, {}, "mixed: by must be one of layer, group, block, not 'head'"),
        ({"sensitivity": "hessian"}, {}, "mixed: sensitivity must be one of kl, loss, trace, inputs, not 'hessian'"),
        ({"assign": "ilq"}, {}, "mixed: assign must be one of ilp, greedy, uniform, not 'ilq'; did you mean 'ilp'?"),
        ({}, {"weights": "int4"}, "mixed: the recipe must have no format of weights, which is what is chosen"),
    ],
)
def test_plans_that_are_refused(
    learn: Evaluation, changed: dict[str, Any], base: dict[str, str], message: str, cache: Path
) -> None:
    """Before anything is measured."""
    assert message in refused(plan, learn, dataclasses.replace(OPTIONS, **changed), recipe(base), [], quiet)
    assert not cache.exists()


def test_comparing(path: Path, learn: Evaluation) -> None:
    other = evaluation(path, [Window(tuple(TEXT[at : at + 15]), 1) for at in (30, 45)])
    found = compare(other, learn, dataclasses.replace(OPTIONS, by="layer"), Recipe(), [], quiet)
    rows = found.rows()
    assert [row["assign"] for row in rows] == ["ilp", "greedy", "uniform"]
    assert rows[0]["predicted"] <= rows[1]["predicted"] <= rows[2]["predicted"]
    for one, row in zip(found.plans, rows, strict=True):
        want = measure(other, one.recipe, [], quiet)
        seen = measure(learn, one.recipe, [], quiet)
        assert (row["perplexity"], row["kl_nats"]) == (want.perplexity, want.kl_nats)
        assert (row["learned_kl_nats"], row["learned_loss_nats"]) == (seen.kl_nats, seen.loss_nats)
        assert seen.kl_nats != want.kl_nats
        assert row["bits_per_weight"] == pytest.approx(one.cost)
        assert one.cost <= 3.4
    assert rows[2]["formats"] == "int3/128×14"
    assert [words.split()[0] for words in found.verdicts] == ["ilp", "greedy"]
    assert all("uniform int3/128: perplexity" in words for words in found.verdicts)
    json.dumps(rows)


def test_comparing_without_one_format_that_fits(learn: Evaluation) -> None:
    budget = Budget(np.array([[1.0, 3.0], [3.0, 1.0]]), 2.0, "pJ")
    options = MixedOptions(formats=("int2", "int4"), sensitivity="inputs")
    found = compare(learn, learn, options, Recipe(), [], quiet, budget)
    assert [one.assign for one in found.plans] == ["ilp", "greedy"]
    assert found.verdicts == ("no format for all layers is within the budget: nothing to compare with",)


def made(name: str, form: str) -> Plan:
    layers = {"blk.0.ffn_up": operand_format(form)}
    counts = ((operand_format(form).name, 1),)
    return Plan(name, Recipe(layers=layers), "kl", 0.1, "nats a token", 3.0, 4.0, "bits a weight", counts)


def told(bits: float, *losses: float) -> Measured:
    return Measured({}, bits, tuple((100, loss, 0.0, 0) for loss in losses), 0.0)


@pytest.mark.parametrize(
    ("mine", "other", "words"),
    [
        (
            told(4.0, 200.0),
            told(4.0, 210.0),
            "ilp at equal bits beats uniform int4/128: perplexity 7.389 against 8.166",
        ),
        (told(4.0, 210.0), told(4.005, 200.0), "ilp at equal bits does not beat uniform int4/128"),
        (told(4.5, 200.0), told(4.0, 210.0), "ilp at more bits beats"),
        (told(3.5, 210.0), told(4.0, 200.0), "ilp at fewer bits does not beat"),
        (told(4.0, 200.0, 200.0), told(4.0, 210.0, 211.0), "ilp at equal bits beats"),
        (told(4.0, 200.0, 200.0), told(4.0, 230.0, 171.0), "ilp at equal bits is not told apart from uniform"),
        (
            told(4.0, 210.0, 211.0),
            told(4.0, 200.0, 200.0),
            "loss differs by +0.1050 nats a token, standard error 0.0050",
        ),
        (told(4.0, 200.0), told(4.0, 210.0), "; one window says nothing of the spread"),
    ],
)
def test_where_mixed_is_not_better_it_is_said(mine: Measured, other: Measured, words: str) -> None:
    assert words in _verdict(made("ilp", "int3"), mine, made("uniform", "int4"), other)


def test_the_same_assignment_is_no_comparison() -> None:
    found = _verdict(made("ilp", "int4"), told(4.0, 1.0), made("uniform", "int4"), told(4.0, 1.0))
    assert found == "ilp is uniform int4/128"


def test_options_are_flags() -> None:
    @click.command()
    @option_object(MixedOptions)
    def command(options: MixedOptions) -> None:
        click.echo(repr(options))

    found = CliRunner().invoke(command, ["--mix", "int3", "--mix", "int4", "--budget-bits", "3.5", "--mix-by", "group"])
    want = MixedOptions(formats=("int3", "int4"), budget_bits=3.5, by="group")
    assert found.output.strip() == repr(want)
    assert CliRunner().invoke(command, []).output.strip() == repr(MixedOptions())
    assert CliRunner().invoke(command, ["--budget-bits", "0"]).exit_code == 2
