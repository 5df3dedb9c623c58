"""What a phase asks of cores: nothing of a workload is lost, however attention and scales are done."""

from __future__ import annotations

from typing import Any

import pytest

from hwgen.errors import HwgenError
from sim.system import Array, OffChip, System
from sim.system.products import Part, parts_of
from sim.system.vector import vector_elements
from sim.workload import Decode, Generation, Pass, Prefill, Vision, load_workload

ARRAY = Array(rows=4, columns=4, group=128)
CASES = [
    ("llama-3-8b", Decode(100, batch=3)),
    ("llama-3-8b", Prefill(17)),
    ("llama-3-8b", Generation(tokens=9, steps=4, batch=2)),
    ("mixtral-8x7b", Decode(64, batch=2)),
    ("qwen3-30b-a3b", Prefill(5)),
    ("vit-b-16", Vision(2)),
    ("mobilenet-v2", Vision(1)),
    ("opt-1.3b", Decode(8)),
]


def system(**about: Any) -> System:
    return System(core=ARRAY, off_chip=OffChip("memory", 8.0), clk_period_ns=1.0, **about)


def macs(parts: list[Part], *, scales: bool = False) -> int:
    return sum(
        count * product.copies * product.m * product.n * product.k
        for part in parts
        for product, count in part.times.items()
        if scales or part.operand != "scales"
    )


@pytest.mark.parametrize(("name", "phase"), CASES, ids=str)
def test_nothing_is_lost(name: str, phase: Any) -> None:
    model = load_workload(name)
    parts = parts_of(model, phase, system())
    assert macs(parts) == sum(part.macs for part in parts) == model.macs(phase)
    assert {part.role for part in parts} == set(model.roles)


def test_copies_are_what_does_not_wait_for_each_other() -> None:
    by = {part.role: next(iter(part.times)) for part in parts_of(load_workload("llama-3-8b"), Decode(64, 3), system())}
    # Eight KV heads of three sequences; layers wait for each other.
    assert by["attn.qk"].copies == by["attn.pv"].copies == 8 * 3
    assert by["attn.q"].copies == by["ffn.up"].copies == 1
    experts = next(
        part for part in parts_of(load_workload("mixtral-8x7b"), Decode(64), system()) if part.role == "moe.expert.up"
    )
    assert [(product.copies, count) for product, count in experts.times.items()] == [(2, 32)]
    depthwise = parts_of(load_workload("mobilenet-v2"), Vision(1), system())
    assert any(product.copies > 16 for part in depthwise for product in part.times)


def test_heads_one_by_one_are_the_same_work() -> None:
    model = load_workload("llama-3-8b")
    for phase in (Decode(100, 2), Prefill(30), Generation(5, 3)):
        together, apart = (parts_of(model, phase, system(attention=rule)) for rule in ("kv_heads", "heads"))
        assert macs(together) == macs(apart)
        qk = next(part for part in apart if part.role == "attn.qk")
        assert {product.copies for product in qk.times} == {32 * phase.batch}


def test_a_single_product_for_all_heads() -> None:
    """As BitMoD counts them: Llama-3-8B has 32 heads of 128, 8 of them with keys."""
    parts = parts_of(load_workload("llama-3-8b"), Prefill(256), system(attention="single"))
    by = {part.role: part for part in parts}
    (qk,) = by["attn.qk"].times
    assert (qk.m, qk.n, qk.k, qk.row, by["attn.qk"].times[qk]) == (32 * 256, 256, 4096, 1024, 32)
    (pv,) = by["attn.pv"].times
    assert (pv.m, pv.n, pv.k, pv.row) == (256, 32 * 256, 256, 1024)


def test_logits_of_all_tokens() -> None:
    heads = [
        next(iter(parts_of(load_workload("opt-1.3b"), Prefill(50, 2), system(logits=which))[-1].times)).m
        for which in ("last", "all")
    ]
    assert heads == [2, 100]


def test_scales_as_products() -> None:
    model = load_workload("opt-1.3b")
    parts = {
        where: parts_of(model, Decode(1), system(dequant=where), group=128)
        for where in ("tile", "core_before", "core_after")
    }
    plain = sum(one.weights for one in model.operators)
    base = macs(parts["tile"])
    assert macs(parts["core_before"], scales=True) - base == plain // 8
    # An eighth of the inner dimension, an output for each group of 128 outputs.
    assert macs(parts["core_after"], scales=True) - base == pytest.approx(plain / 8 / 128, rel=0.01)
    assert macs(parts["core_after"]) == base


@pytest.mark.parametrize(
    ("name", "phase", "about", "message"),
    [
        ("vit-b-16", Vision(1), {"attention": "heads"}, "attention must be kv_heads for workload vit-b-16"),
        ("resnet-18", Vision(1), {"attention": "single"}, "attention must be kv_heads for workload resnet-18"),
        ("resnet-18", Decode(1), {}, "phase must be vision, not decode"),
        ("llama-2-7b", Decode(5000), {}, "context must be at most 4,096"),
        ("llama-2-7b", Pass(), {}, "phase must be prefill or decode or generation, not pass"),
    ],
)
def test_mistakes(name: str, phase: Any, about: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError, match=message):
        parts_of(load_workload(name), phase, system(**about))


def test_elements_of_the_vector_unit() -> None:
    """OPT-1.3B: 24 layers of 2048, 32 heads, no gate."""
    model = load_workload("opt-1.3b")
    found = vector_elements(model, parts_of(model, Prefill(10), system()))
    assert found == {
        ("prefill", "norm"): 2 * 24 * 10 * 2048 + 2048,
        ("prefill", "softmax"): 24 * 32 * 10 * 10,
        ("prefill", "residual"): 2 * 24 * 10 * 2048,
        ("prefill", "activation"): 24 * 10 * 8192,
    }
    assert vector_elements(load_workload("resnet-18"), parts_of(load_workload("resnet-18"), Vision(1), system())) == {}
