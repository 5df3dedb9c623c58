"""A generation is the sum of its steps, exactly; experts share tokens exactly; merging loses nothing."""

from __future__ import annotations

import random
from collections import Counter

import pytest

import hwgen
from hwgen.errors import HwgenError
from hwgen.schedule import Layer
from sim.estimate import estimate
from sim.workload import Decode, Generation, Operator, Prefill, Run, Size, Vision, Workload, builtin, merged, to_layers
from sim.workload.cost import estimate_runs
from sim.workload.experts import active_experts, expert_shares
from sim.workload.phases import Phase
from sim.workload.transformer import Sizes, language_model

TINY = {"layers": 2, "width": 8, "heads": 4, "kv_heads": 2, "vocabulary": 11, "context": 64}


def tiny(**more: int) -> Workload:
    return language_model("tiny", Sizes(**{**TINY, "ffn": 12, **more}))  # type: ignore[arg-type]


MODELS = {
    "dense": tiny(),
    "window": tiny(window=9),
    "mixture": tiny(experts=6, active_experts=2, expert_ffn=5, dense_layers=1),
}


def products(workload: Workload, phase: Phase) -> Counter[tuple[int, int, int]]:
    """How often each size is run."""
    found: Counter[tuple[int, int, int]] = Counter()
    for run in workload.runs(phase):
        for layer in run.layers():
            found[layer.m, layer.n, layer.k] += layer.count
    return found


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(5))
def test_a_generation_is_the_sum_of_its_steps(name: str, seed: int) -> None:
    rng = random.Random(seed)
    tokens, steps, batch = rng.randint(1, 20), rng.randint(1, 20), rng.randint(1, 5)
    model, phase = MODELS[name], Generation(tokens, steps, batch)
    parts: list[Phase] = [Prefill(tokens, batch), *(Decode(tokens + i, batch) for i in range(1, steps + 1))]
    assert products(model, phase) == sum((products(model, part) for part in parts), Counter())
    assert model.macs(phase) == sum(model.macs(part) for part in parts)
    assert sum(layer.macs for layer in model.layers(phase)) == model.macs(phase)
    assert sum(run.macs for run in merged(model.runs(phase))) == model.macs(phase)


def test_a_million_steps_take_no_loop() -> None:
    model = language_model("long", Sizes(**{**TINY, "ffn": 12, "context": 0}))  # type: ignore[arg-type]
    runs = model.runs(Generation(1, 10**9))
    assert len(runs) == 2 * len(model.operators)
    # The i-th step sees i + 1 keys: Σ (i + 1) for i = 1 … 10⁹.
    keys = sum(run.macs for run in runs if run.role == "attn.qk" and run.grows) // (2 * 4 * 2)
    assert keys == 10**9 * (10**9 + 3) // 2


def test_a_window_bounds_the_keys() -> None:
    runs = [run for run in tiny(window=9).runs(Generation(4, 10)) if run.role == "attn.qk" and run.m == 2]
    assert [(run.n, run.grows, run.steps) for run in runs] == [(5, "n", 4), (9, "", 6)]


@pytest.mark.parametrize("phase", [Generation(5, 30, 2), Prefill(9), Decode(33, 3)])
@pytest.mark.parametrize("name", MODELS)
def test_cost_is_that_of_all_layers_one_by_one(name: str, phase: Phase) -> None:
    tile = hwgen.tile("int", m=2, n=8, k=4).spec
    model = MODELS[name]
    report = sum(
        (one for _, one in estimate_runs(tile, model.runs(phase))[1:]), estimate_runs(tile, model.runs(phase))[0][1]
    )
    single = [
        estimate(tile, Layer("x", layer.m, layer.n, layer.k, layer.count))
        for run in model.runs(phase)
        for layer in run.layers()
    ]
    assert report.cycles == sum(one.cycles for one in single)
    assert report.macs == sum(one.macs for one in single) == model.macs(phase)
    assert report.total_energy_pj == pytest.approx(sum(one.total_energy_pj for one in single), rel=1e-12)
    assert report.mac_slots == pytest.approx(sum(one.mac_slots for one in single), rel=1e-12)


@pytest.mark.parametrize(("experts", "chosen"), [(8, 2), (128, 8), (5, 5), (4, 1)])
def test_experts_share_tokens_exactly(experts: int, chosen: int) -> None:
    before = 0.0
    for tokens in (1, 2, 3, 7, 16, 100, 5000):
        shares = expert_shares(experts, chosen, tokens)
        assert sum(size * count for size, count in shares) == tokens * chosen
        active = sum(count for _, count in shares)
        assert chosen <= active <= min(experts, tokens * chosen)
        assert abs(active - active_experts(experts, chosen, tokens)) <= 0.5
        assert max(size for size, _ in shares) - min(size for size, _ in shares) <= 1
        assert before <= active_experts(experts, chosen, tokens) <= experts
        before = active_experts(experts, chosen, tokens)


def test_expected_experts_are_those_of_a_simulation() -> None:
    rng = random.Random(1)
    tries = [len({e for _ in range(6) for e in rng.sample(range(16), 3)}) for _ in range(4000)]
    assert sum(tries) / len(tries) == pytest.approx(active_experts(16, 3, 6), rel=0.01)
    assert active_experts(16, 3, 1) == pytest.approx(3)


def test_steps_that_equal_another_product_are_one_layer() -> None:
    runs = [
        Run("a", "a", "weights", 1, 4, 8, 2),
        Run("b", "b", "kv", 1, 3, 8, 1, "n", 3),
    ]
    layers = {(layer.m, layer.n, layer.k): (layer.name, layer.count) for layer in to_layers(runs)}
    assert layers == {(1, 4, 8): ("a+b", 3), (1, 3, 8): ("b", 1), (1, 5, 8): ("b", 1)}


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        (Decode(65), "workload tiny: context must be at most 64, which the model was made for, not 65"),
        (Generation(60, 5), "workload tiny: context must be at most 64, which the model was made for, not 65"),
        (Vision(), "workload tiny: phase must be prefill or decode or generation, not vision"),
        ("decode", "workload tiny: phase must be one of sim.workload's, not 'decode'"),
    ],
)
def test_phases_that_a_model_lacks_are_refused(phase: Phase, message: str) -> None:
    with pytest.raises(HwgenError) as error:
        tiny().runs(phase)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Decode(1, 0), "decode: batch must be a whole number from 1 to 2147483648, not 0"),
        (lambda: Prefill(float("nan")), "prefill: tokens must be a whole number from 1 to 2147483648, not nan"),  # type: ignore[arg-type]
        (
            lambda: Generation(1, 1 << 40),
            "generation: steps must be a whole number from 1 to 2147483648, not 1099511627776",
        ),
        (lambda: Size(0), "size: times must be at least 1, not 0"),
        (lambda: Size(1, "token"), "size: of must be one, batch, new, tokens, context, logits, not 'token'"),
        (
            lambda: Operator("o", "o", Size(1), Size(1), Size(1), operand="weight"),
            "operator o: operand must be weights, kv, acts, not 'weight'",
        ),
        (lambda: tiny(kv_heads=3), "sizes: kv_heads must divide heads (4), not 3"),
        (lambda: tiny(ffn=0), "sizes: ffn must be given for dense layers, at most 2 of them"),
        (lambda: tiny(experts=2), "sizes: of 2 experts, 1 to 2 must be active and have a size, not 0 of size 0"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(make: object, message: str) -> None:
    with pytest.raises(HwgenError) as error:
        make()  # type: ignore[operator]
    assert str(error.value) == message


def test_only_some_roles() -> None:
    model = builtin("phi-2").only(["attn.q*", "lm_head"])
    assert model.roles == ("attn.q", "attn.qk", "lm_head")
    with pytest.raises(HwgenError, match=r"no role matches 'fnn\.up'; did you mean 'ffn\.up'"):
        builtin("phi-2").only(["fnn.up"])
