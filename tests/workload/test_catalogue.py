"""Sizes of the catalogue against published parameter counts and multiply-accumulates."""

from __future__ import annotations

import pytest

from hwgen.errors import HwgenError
from sim.workload import Decode, Prefill, Vision, builtin, builtin_names
from sim.workload.builtin import is_rounded

# torchvision 0.29, ``_ops`` of each model's weights: GMACs at 224 x 224 to three digits, attention included; and the
# papers' own figures: ResNet table 1 (1.8 and 3.8 G, without shortcuts), MobileNetV2 table 4 (300 M).
GMACS = {"resnet-18": 1.814, "resnet-50": 4.089, "mobilenet-v2": 0.301, "vit-b-16": 17.564, "vit-h-14": 167.295}


@pytest.mark.parametrize("name", builtin_names())
def test_parameters_are_the_published_ones(name: str) -> None:
    model = builtin(name)
    assert model.source
    assert model.published is not None
    # Exact, norms, biases and tables of positions included, unless a paper rounds to three digits.
    tolerance = 0.005 if is_rounded(name) else 0.0
    assert abs(model.parameters - model.published) <= tolerance * model.published


@pytest.mark.parametrize(("name", "gmacs"), GMACS.items())
def test_macs_of_pictures_are_the_published_ones(name: str, gmacs: float) -> None:
    model = builtin(name)
    assert round(model.macs(Vision()) / 1e9, 3) == gmacs
    assert model.macs(Vision(7)) == 7 * model.macs(Vision())


@pytest.mark.parametrize("name", [name for name in builtin_names() if "decode" in builtin(name).phases])
def test_a_decoded_token_takes_a_mac_for_every_weight_that_works(name: str) -> None:
    """Kaplan et al., arXiv:2001.08361, table 1: weights of linears and of the output, and 2·layers·width a key."""
    model = builtin(name)
    weights = sum(one.weights * one.chosen // one.experts if one.experts else one.weights for one in model.operators)
    query = next(one for one in model.operators if one.role == "attn.q")
    keys = 2 * query.copies * query.n.times
    assert model.macs(Decode(1)) == weights + keys
    assert model.macs(Decode(500)) == weights + 500 * keys


def test_active_parameters_of_mixtures_are_the_published_ones() -> None:
    """Mixtral uses 13B (arXiv:2401.04088, section 1), Qwen3-30B-A3B 3B (arXiv:2505.09388, table 2: 3B activated)."""
    assert round(builtin("mixtral-8x7b").macs(Decode(1)) / 1e9) == 13
    assert round(builtin("qwen3-30b-a3b").macs(Decode(1)) / 1e9) == 3


def test_grouped_queries_share_their_keys() -> None:
    runs = {run.role: run for run in builtin("llama-3-8b").runs(Decode(1000, batch=3))}
    qk, pv = runs["attn.qk"], runs["attn.pv"]
    assert (qk.m, qk.n, qk.k, qk.count, qk.operand) == (4, 1000, 128, 32 * 8 * 3, "kv")
    assert (pv.m, pv.n, pv.k, pv.count) == (4, 128, 1000, 32 * 8 * 3)
    assert (runs["attn.k"].m, runs["attn.k"].n) == (3, 1024)
    assert runs["lm_head"].m == 3


def test_a_prefill_computes_the_logits_of_the_last_token() -> None:
    runs = {run.role: run for run in builtin("phi-2").runs(Prefill(100, batch=2))}
    assert (runs["lm_head"].m, runs["ffn.up"].m, runs["attn.qk"].m) == (2, 200, 100)


def test_layers_are_the_runs() -> None:
    model = builtin("smollm2-135m")
    layers = model.layers(Decode(64))
    assert sum(layer.macs for layer in layers) == model.macs(Decode(64))
    assert [layer.name for layer in layers][:2] == ["attn.q+attn.o", "attn.k+attn.v"]
    assert layers[0].count == 60


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lama-2-7b", "workload: no model 'lama-2-7b'; did you mean 'llama-2-7b'?; "),
        ("nothing-like-it", "workload: no model 'nothing-like-it'; `hwgen workload list` has the names"),
    ],
)
def test_unknown_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(HwgenError) as error:
        builtin(name)
    assert str(error.value).startswith(message)


def test_names_ignore_case() -> None:
    assert builtin("Llama-2-7B") == builtin("llama-2-7b")


def test_names_are_found_however_they_are_hyphenated() -> None:
    assert builtin("llama2-7b") == builtin("Llama_2_7B") == builtin("llama-2-7b")
    plain = {"".join(letter for letter in name if letter.isalnum()) for name in builtin_names()}
    assert len(plain) == len(builtin_names())
