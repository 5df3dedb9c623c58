"""A model with stored numbers, measured on windows, against arithmetic that shares no code with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwgen.errors import HwgenError
from sim.accuracy import language
from sim.accuracy.language import Evaluation, measure, measure_products
from sim.accuracy.methods import Inputs, Layer, Method, MethodResult
from sim.accuracy.operand import OperandFormat, operand_format
from sim.accuracy.recipe import Recipe, recipe
from sim.accuracy.run import plan, tile
from sim.accuracy.stored import groups_of, layer_names, store
from sim.accuracy.texts import Window, windows
from sim.accuracy.tile import formats_alone, tile_arithmetic, tile_label
from sim.models.llama import Llama
from sim.models.weights import open_model

TOKENS = [int(token) for token in np.random.default_rng(7).integers(0, 200, 48)]


def still(_what: str, _done: int, _of: int) -> None:
    """Say nothing."""


def loader(path: Path) -> Callable[[], nn.Module]:
    return lambda: Llama(open_model(path))


@pytest.fixture
def evaluation(llama_path: Path, cache: Path) -> Evaluation:
    return Evaluation(loader(llama_path), "tiny", windows(TOKENS, 16, 3))


def by_hand(model: nn.Module, reference: nn.Module, cut: list[Window]) -> tuple[float, float, float]:
    """Perplexity, KL divergence and agreement, a token at a time in numpy."""
    losses, divergences, same = [], [], []
    for window in cut:
        with torch.inference_mode():
            mine, want = (one(torch.tensor(window.tokens)).double().numpy() for one in (model, reference))
        for place in range(window.first - 1, len(window.tokens) - 1):
            p, q = (np.exp(x[place]) / np.exp(x[place]).sum() for x in (want, mine))
            losses.append(-np.log(q[window.tokens[place + 1]]))
            divergences.append((p * np.log(p / q)).sum())
            same.append(p.argmax() == q.argmax())
    return float(np.exp(np.mean(losses))), float(np.mean(divergences)), float(np.mean(same))


@pytest.mark.parametrize("stride", [None, 5])
def test_scores_are_those_of_the_definition(llama_path: Path, cache: Path, stride: int | None) -> None:
    cut = windows(TOKENS, 16, 3, stride)
    found = measure(Evaluation(loader(llama_path), "tiny", cut), recipe({"weights": "int4/32"}), [], still)
    changed = loader(llama_path)()
    for name in layer_names(changed):
        layer = changed.get_submodule(name)
        layer.weight = nn.Parameter(operand_format("int4/32").nearest(layer.weight), requires_grad=False)
    perplexity, divergence, agreement = by_hand(changed, loader(llama_path)(), cut)
    assert found.perplexity == pytest.approx(perplexity, rel=1e-6)
    assert found.kl_nats == pytest.approx(divergence, rel=1e-5)
    assert found.agreement == agreement
    assert found.tokens == 15 + 2 * (stride or 15)
    assert found.bits_per_weight == pytest.approx(4.5)


def test_the_float_model_is_its_own_measure(evaluation: Evaluation) -> None:
    found = measure(evaluation, recipe({}), [], still)
    assert (found.kl_nats, found.agreement, found.bits_per_weight) == (0.0, 1.0, 32.0)


@pytest.mark.parametrize("role", ["acts", "keys", "values", "queries", "shares", "head", "head_acts", "embedding"])
def test_every_role_is_stored(evaluation: Evaluation, role: str) -> None:
    coarse = measure(evaluation, recipe({role: "int2/row" if role != "shares" else "e2m1/row"}), [], still)
    fine = measure(evaluation, recipe({role: "int8/row" if role != "shares" else "e4m3/row"}), [], still)
    assert 0.0 < fine.kl_nats < coarse.kl_nats


def test_attention_is_the_same_where_its_parts_pass(llama_path: Path) -> None:
    """With shares of FP32 attention is computed step by step: the fused product must agree."""
    one, other = loader(llama_path)(), loader(llama_path)()
    store(other, recipe({"shares": "fp32"}), [], still)
    with torch.inference_mode():
        assert torch.allclose(one(torch.tensor(TOKENS)), other(torch.tensor(TOKENS)), atol=1e-4)


def test_layers_of_a_common_input_are_found_by_running(llama_path: Path) -> None:
    model = loader(llama_path)()
    with torch.inference_mode():
        found = groups_of(model.blk[0], torch.randn(3, 64))
    assert found == [["attn_q", "attn_k", "attn_v"], ["attn_output"], ["ffn_gate", "ffn_up"], ["ffn_down"]]


@dataclasses.dataclass(frozen=True)
class Halves(Method):
    """Scale the input by 2 and the weights by 1/2, and add a thin product: what is left must be the same layer."""

    name = "halves"
    calibrated = True

    def quantise(self, layers: list[Layer], acts: OperandFormat | None, inputs: Inputs | None) -> MethodResult:
        assert inputs is not None
        assert inputs.rows.shape == (32, layers[0].weights.shape[1])
        thin = [torch.randn(2, layer.weights.shape[1]) * 0.01 for layer in layers]
        back = [torch.randn(layer.weights.shape[0], 2) for layer in layers]
        weights = tuple(layer.weights / 2 - b @ a for layer, a, b in zip(layers, thin, back, strict=True))
        low_rank = tuple(zip(thin, back, strict=True))
        return MethodResult(weights, lambda x: 2 * x, low_rank, tuple(0.5 for _ in layers))


def test_what_a_method_changes_of_the_input_it_undoes_in_the_weights(llama_path: Path) -> None:
    one, other = loader(llama_path)(), loader(llama_path)()
    said = Recipe({"weights": operand_format("int8/32")}, Halves())
    size = store(other, said, [torch.tensor(TOKENS[:16]), torch.tensor(TOKENS[16:32])], still)
    with torch.inference_mode():
        assert torch.allclose(one(torch.tensor(TOKENS)), other(torch.tensor(TOKENS)), atol=1e-3)
    assert size.bits_per_weight == pytest.approx(9.0)


def test_single_layers_have_their_own_formats(evaluation: Evaluation) -> None:
    whole = measure(evaluation, recipe({"weights": "int4/32"}), [], still)
    mixed = measure(evaluation, recipe({"weights": "int4/32"}, layers={"blk.1.ffn_down": "int8/32"}), [], still)
    assert whole.bits_per_weight < mixed.bits_per_weight
    assert mixed.kl_nats != whole.kl_nats
    with pytest.raises(HwgenError, match=r"did you mean 'blk\.1\.ffn_down'"):
        measure(evaluation, recipe({"weights": "int4"}, layers={"blk.1.ffn_dwn": "int8"}), [], still)


def test_what_was_measured_is_kept_and_goes_on(llama_path: Path, cache: Path) -> None:
    cut = windows(TOKENS, 16, 3)
    said = recipe({"weights": "int4/32"})
    seen: list[str] = []

    def stops(what: str, done: int, of: int) -> None:
        seen.append(what)
        if what == "reading windows" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(Evaluation(loader(llama_path), "tiny", cut), said, [], stops)
    (kept,) = (cache / "accuracy").glob("*.json")
    assert set(json.loads(kept.read_text())["value"]["windows"]) == {"0", "1"}
    rest = measure(Evaluation(loader(llama_path), "tiny", cut), said, [], still)
    whole = measure(Evaluation(loader(llama_path), "other digest", cut), said, [], still)
    assert rest.by_window == whole.by_window

    def never() -> nn.Module:
        raise AssertionError("was kept")

    again = measure(Evaluation(never, "tiny", cut), said, [], still)
    assert again == rest


@pytest.mark.parametrize("damage", [b"", b"{", b'{"windows": {"0": [1, 2, 3, 4]}}'])
def test_what_is_kept_and_damaged_is_measured_again(evaluation: Evaluation, cache: Path, damage: bytes) -> None:
    said = recipe({"weights": "int4/32"})
    want = measure(evaluation, said, [], still)
    (kept,) = (path for path in (cache / "accuracy").glob("*.json"))
    kept.write_bytes(damage)
    assert measure(evaluation, said, [], still).by_window == want.by_window


def test_a_format_whose_quantiser_changed_is_measured_again_and_no_other(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, other = recipe({"weights": "int4/32"}), recipe({"weights": "int3/32"})
    for one in (changed, other):
        measure(evaluation, one, [], still)
    monkeypatch.setitem(language.REVISIONS, "int4/32", 2)
    assert evaluation.known(other.document()) is not None
    assert evaluation.known(changed.document()) is None


def test_a_changed_number_in_what_is_kept_is_seen(evaluation: Evaluation, cache: Path) -> None:
    said = recipe({"weights": "int4/32"})
    want = measure(evaluation, said, [], still)
    (kept,) = (cache / "accuracy").glob("*.json")
    document = json.loads(kept.read_text())
    document["value"]["windows"]["0"][1] *= 0.5
    kept.write_text(json.dumps(document))
    assert measure(evaluation, said, [], still).by_window == want.by_window


def test_another_calibration_is_another_measurement(evaluation: Evaluation) -> None:
    said = Recipe({"weights": operand_format("int8/32")}, Halves())
    texts = (TOKENS[:16], TOKENS[16:32]), (TOKENS[8:24], TOKENS[24:40])
    torch.manual_seed(1)
    first, second = (measure(evaluation, said, list(text), still) for text in texts)
    assert first.by_window != second.by_window


def test_a_calibrated_method_wants_a_text(evaluation: Evaluation) -> None:
    with pytest.raises(HwgenError, match="method halves: needs a calibration text"):
        measure(evaluation, Recipe({"weights": operand_format("int8/32")}, Halves()), [], still)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(llama_path: Path, bad: float) -> None:
    model = loader(llama_path)()
    model.blk[1].ffn_up.weight[3, 4] = bad
    with pytest.raises(HwgenError, match=r"layer blk\.1\.ffn_up: weights must be finite numbers"):
        store(model, recipe({"weights": "int4/32"}), [], still)


@pytest.mark.parametrize("name", ["int bits=4 acts=int8 group=32 depth=64", "bitmod bits=4 group=32", "mx"])
def test_a_tile_in_the_model_computes_its_golden_layers(llama_path: Path, name: str) -> None:
    from sim.golden import golden_layer

    spec = tile(name)
    weights = torch.randn(24, 64, generator=torch.Generator().manual_seed(2))
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(3))
    multiply, bits = tile_arithmetic(spec)("layer", weights)
    golden = golden_layer(spec.quantize_weights(weights.numpy()), spec.quantization())
    assert torch.equal(multiply(x), golden(x))
    alone, same_bits = formats_alone(spec)("layer", weights)
    assert torch.allclose(alone(x), golden(x, mode="fake"), rtol=1e-4, atol=1e-4)
    assert 4 <= bits == same_bits < 6


def test_a_tile_is_measured_beside_its_formats(evaluation: Evaluation) -> None:
    spec = tile("bitmod bits=3 group=32")
    found = [
        measure_products(evaluation, {"pe": tile_label(spec), "arithmetic": str(chosen)}, chosen(spec), still)
        for chosen in (formats_alone, tile_arithmetic)
    ]
    assert found[0].perplexity == pytest.approx(found[1].perplexity, rel=0.05)
    assert found[0].kl_nats != found[1].kl_nats


def test_a_plan_is_every_format_by_every_method_once() -> None:
    from hwgen.options import AccuracyOptions

    options = AccuracyOptions(weights=("int4", "int4/128", "int8"), acts="int8", methods=("rtn", "gptq"))
    assert [str(task.recipe) for task in plan(options)] == [
        "float32",
        *(f"weights={w}/128 acts=int8/row {by}" for w in ("int4", "int8") for by in ("rtn", "gptq")),
    ]
    tasks = plan(AccuracyOptions(tiles=("bitmod bits=3",)))
    assert [task.exact for task in tasks] == [False, False, True]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: recipe({"weight": "int4"}), "did you mean 'weights'?"),
        (lambda: recipe({"weights": "int4"}, "gtpq"), "did you mean 'gptq'?"),
        (lambda: recipe({"weights": "int4"}, "gptq(damp=1)"), "did you mean 'damping'?"),
        (lambda: recipe({"weights": "int4"}, "gptq(damping=x)"), "damping must be of type float, not 'x'"),
        (lambda: recipe({"weights": "int4"}, "gptq(damping=0.1"), "must be NAME or NAME(option=value"),
        (lambda: tile("intt"), "did you mean 'int'?"),
        (lambda: tile("int bits"), "parameter must be NAME=VALUE, not 'bits'"),
        (lambda: tile(""), "PE family"),
    ],
)
def test_mistakes_are_sentences(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(HwgenError) as caught:
        call()
    assert sentence in str(caught.value)


def test_products_get_rows_and_keep_the_shape(llama_path: Path, cache: Path) -> None:
    shapes: list[tuple[int, ...]] = []

    def product(_name: str, weights: Tensor) -> tuple[Callable[[Tensor], Tensor], float]:
        def multiply(x: Tensor) -> Tensor:
            shapes.append(tuple(x.shape))
            return x @ weights.T

        return multiply, 32.0

    evaluation = Evaluation(loader(llama_path), "tiny", windows(TOKENS, 16, 1))
    found = measure_products(evaluation, {"pe": "float"}, product, still)
    assert found.kl_nats == pytest.approx(0.0, abs=1e-9)
    assert shapes == [(16, 64)] * 4 + [(16, 64)] * 2 + [(16, 96)] + [(16, 64)] * 6 + [(16, 96)]
