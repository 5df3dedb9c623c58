"""A small model generates on the RTL what it generates on golden layers, and what differs is said."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from hwgen.accelerator import Design, Memory
from hwgen.accelerator.quantiser import Kind
from hwgen.cli.run import command
from hwgen.errors import HwgenError
from hwgen.pe import TileSpec, family
from sim.llm import Generation, Options, generate
from sim.llm.design import design_for, tile_values
from sim.llm.forward import Cache, Decoder, FloatCache, linear_names, weight_name
from sim.llm.generate import _quantiser
from sim.llm.rtl import RtlProducts
from sim.models.llama import Llama
from sim.models.llama_config import LlamaConfig
from sim.models.model_file import ModelFile
from sim.models.weights import open_model
from tests.models import tiny

SMALL: dict[str, Any] = {"m": 1, "n": 4, "k": 4, "group": 32, "depth": 32}
NARROW = {"bus_bits": 64}
FAMILIES: tuple[tuple[str, dict[str, int]], ...] = (
    ("int", {"bits": 8}),
    ("mixpe", {"bits": 4}),
    ("bitmod", {"bits": 4}),
    ("lut", {"bits": 4}),
    ("mx", {}),
)
PROMPT = "in the 12"


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_llama(tmp_path_factory.mktemp("models") / "tiny.gguf")


class FloatProducts:
    """Products in float32."""

    def __init__(self, model: ModelFile) -> None:
        self.model = model

    def linear(self, names: Sequence[str], x: Tensor) -> list[Tensor]:
        return [x @ torch.from_numpy(self.model.float32(weight_name(self.model, name))).T for name in names]

    def heads(self, acts: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
        return [a @ w.T for a, w in zip(acts, weights, strict=True)]

    def cache(self, heads: int, size: int, room: int) -> Cache:
        return FloatCache(self, heads, size)


@pytest.mark.parametrize("cuts", [(7,), (1, 1, 1, 1, 1, 1, 1), (3, 4), (5, 1, 1)])
def test_reading_in_pieces_is_the_model(tiny_llama: Path, cuts: tuple[int, ...]) -> None:
    model = open_model(tiny_llama)
    decoder = Decoder(model, tiny.BLOCKS, FloatProducts(model), 7)
    tokens = [5, 80, 3, 200, 17, 44, 9]
    at = 0
    for length in cuts:
        logits = decoder.read(tokens[at : at + length])
        at += length
    assert decoder.context == len(tokens)
    wanted = Llama(model)(torch.tensor(tokens))[-1]
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4)


def spoken(model: Path | None, spec: TileSpec, **options: Any) -> Generation:
    touch = options.pop("touch", None)
    return generate(spec, Options(PROMPT, 2, model, **options), touch=touch)


def check(found: Generation) -> None:
    assert found.logits_equal
    assert found.ok
    assert [step.read for step in found.steps] == [found.steps[0].read, 1]
    for step in found.steps:
        assert step.count.cycles == step.count.predicted > 0
        assert step.count.different == 0


@pytest.fixture(scope="module")
def found(tiny_llama: Path) -> Generation:
    return spoken(tiny_llama, family("int").from_values(SMALL), blocks=1, design=NARROW)


def test_a_small_model_on_the_rtl(tiny_llama: Path, found: Generation) -> None:
    check(found)
    # Seven layers and the output, and for each of two heads of keys and values QKᵀ and PV.
    config = LlamaConfig.of(open_model(tiny_llama))
    layers = sum(n * k for n, k in config.linears().values()) + config.vocabulary * config.width
    context = found.steps[0].read + 1
    assert found.decode.macs == layers + 2 * context * config.width
    assert json.loads(json.dumps(found.document()))["decode"]["cycles"] == found.decode.cycles
    assert found.processor_seconds > 0


def test_keys_and_values_are_written_by_the_quantiser(found: Generation) -> None:
    assert (found.kv_quantiser, found.kv_reason) == ("rtl", "")
    for step in found.steps:
        # Keys and values of two heads of one block, and as many rows each as tokens were read.
        assert step.quantiser.jobs == 4
        assert step.quantiser.rows == 4 * step.read
        assert step.quantiser.cycles == step.quantiser.predicted > 100
        assert step.quantiser.different == 0
        assert step.quantiser.written_bytes > 0
    document = json.loads(json.dumps(found.document()))
    assert document["quantiser"]["cycles"] == sum(step.quantiser.cycles for step in found.steps)
    step = found.steps[1]
    wrong = dataclasses.replace(step, quantiser=dataclasses.replace(step.quantiser, different=1))
    assert not dataclasses.replace(found, steps=(found.steps[0], wrong)).ok


@pytest.mark.few(1)
@pytest.mark.parametrize("kind", list(Kind)[::-1])
def test_a_wrong_bit_of_the_cache_is_seen(tiny_llama: Path, kind: Kind) -> None:
    def touch(products: RtlProducts) -> None:
        quantiser = products.quantiser
        assert quantiser is not None
        write = quantiser.write

        def wrong(rows: Any) -> None:
            write(rows)
            next(one for one in rows if one.kind == kind).codes[0] ^= 0x40

        quantiser.write = wrong  # type: ignore[method-assign]

    spoilt = spoken(tiny_llama, family("int").from_values(SMALL), blocks=1, design=NARROW, touch=touch)
    assert not spoilt.logits_equal
    assert all(step.quantiser.different == 0 for step in spoilt.steps)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({"bits": 4, "post_lanes": 2}, {}),
        ({"bits": 4, "weight_scale": "fp32"}, {"memory": Memory(7, (1, 3))}),
        ({}, {"kv_quantiser": "software"}),
    ],
)
def test_quantisers_of_other_tiles(tiny_llama: Path, given: dict[str, Any], options: dict[str, Any]) -> None:
    """Scales in words of their own, tokens that share bytes, a slow memory; and as it was without a quantiser."""
    spec = family("int").from_values({**SMALL, **given})
    found = generate(spec, Options(PROMPT, 4, tiny_llama, blocks=1, design=NARROW, **options))
    assert found.ok
    assert found.kv_quantiser == options.get("kv_quantiser", "rtl")
    assert (found.quantiser.cycles > 0) == (found.kv_quantiser == "rtl")


def test_a_tile_without_a_quantiser_says_why() -> None:
    design = Design(tile=family("mixpe").from_values({"bits": 4}))
    elements, reason = _quantiser(design, 16, 9, None)
    assert elements is None
    assert reason.startswith("quantiser: the weights of the mixpe tile must be symmetric integers")
    with pytest.raises(HwgenError, match="weights of the mixpe tile"):
        _quantiser(design, 16, 9, "rtl")
    assert _quantiser(design, 16, 9, "software") == (None, "")
    eight = Design(tile=family("int").from_values({**SMALL, "post_lanes": 1}))
    assert _quantiser(eight, 32, 9, None) == (256, "")
    assert "elements must fit the tile's group of 32" in _quantiser(eight, 33, 9, None)[1]


def flip(products: RtlProducts) -> None:
    """Change one bit of the packed weights: the highest of a code in the last layer."""
    place, _ = products._parts["output"][0].images["weights"]
    with products.file.open("r+b") as file:
        file.seek(place + 3)
        byte = file.read(1)[0]
        file.seek(place + 3)
        file.write(bytes([byte ^ 0x40]))


def test_a_wrong_weight_bit_is_seen(tiny_llama: Path) -> None:
    spec = family("int").from_values(SMALL)
    found = spoken(tiny_llama, spec, blocks=1, design=NARROW, touch=flip)
    assert not found.logits_equal
    assert not found.ok
    # One output of the last layer, and nothing before it.
    assert [step.mismatches for step in found.steps] == [1, 1]
    assert all(step.count.different == 0 for step in found.steps)


def test_other_cycles_than_predicted_are_no_success(found: Generation) -> None:
    step = found.steps[0]
    wrong = dataclasses.replace(step, count=dataclasses.replace(step.count, different=1))
    assert not dataclasses.replace(found, steps=(wrong, *found.steps[1:])).ok


@pytest.mark.slow
@pytest.mark.parametrize(("name", "given"), FAMILIES, ids=lambda case: case if isinstance(case, str) else None)
def test_every_family_on_a_small_model(tiny_llama: Path, name: str, given: dict[str, int]) -> None:
    kind = family(name)
    check(spoken(tiny_llama, kind.from_values(tile_values(kind, given))))


@pytest.mark.slow
def test_activations_that_become_blocks_on_their_way(tiny_llama: Path) -> None:
    kind = family("mx")
    spec = kind.from_values(tile_values(kind, {"weights": "mxfp8_e4m3", "acts": "mxfp8_e4m3"}, 128))
    check(spoken(tiny_llama, spec, blocks=1, design={"bus_bits": 128, "pre": "mx", "pre_source": "bf16"}))


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize(("name", "given"), FAMILIES, ids=lambda case: case if isinstance(case, str) else None)
def test_every_family_on_two_blocks_of_the_model(real_model: Path, name: str, given: dict[str, int]) -> None:
    kind = family(name)
    check(spoken(real_model, kind.from_values(tile_values(kind, given)), blocks=2))


@pytest.mark.parametrize(
    ("name", "given", "shape"),
    [
        ("int", {"bits": 8}, (4, 16)),
        ("int", {"bits": 4}, (8, 16)),
        ("mixpe", {"bits": 4}, (8, 16)),
        ("bitmod", {"bits": 4}, (16, 16)),
        ("lut", {"bits": 4}, (8, 4)),
        ("mx", {}, (8, 16)),
        ("int", {"bits": 8, "n": 2, "k": 8}, (2, 8)),
    ],
)
def test_tiles_use_weights_as_fast_as_the_bus_brings_them(
    name: str, given: dict[str, int], shape: tuple[int, int]
) -> None:
    kind = family(name)
    spec = kind.from_values(tile_values(kind, given))
    assert (spec.m, spec.n, spec.k) == (1, *shape)


def test_rings_hold_a_row_of_every_layer(tiny_llama: Path) -> None:
    config = LlamaConfig.of(open_model(tiny_llama))
    design = design_for(family("int").from_values(SMALL), config, {"act_ring": 8})
    assert (design.bus_bits, design.weight_ring, design.act_ring) == (512, 32, 8)
    assert len(linear_names(config, 2)) == 15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--generate", "1"], "--generate needs --prompt"),
        (["--generate", "1", "--prompt", ""], "--generate needs --prompt"),
        (["--prompt", "a", "--layer", "blk.0.attn_k"], "--prompt goes with --generate"),
        (["--layer", "blk.0.attn_k", "--bus-bits", "64"], "--bus-bits goes with --generate"),
        (["--generate", "1", "--prompt", "a", "--layer", "blk.0.attn_k"], "--layer goes without --generate"),
        (["--generate", "1", "--prompt", "a", "--tokens", "3"], "--tokens goes without --generate"),
        (["--generate", "1", "--prompt", "a", "--layers", "3"], "layers must be from 1 to 2"),
        (["--generate", "30", "--prompt", "in the 12"], "at most 32, which the model can read"),
        (["--generate", "1", "--prompt", "a", "--bus-bits", "63"], "bus_bits"),
        (
            ["--generate", "1", "--prompt", "a", "--kv-quantiser", "no"],
            "kv_quantiser must be rtl or software, not 'no'",
        ),
        (["--layer", "blk.0.attn_k", "--kv-quantiser", "rtl"], "--kv-quantiser goes with --generate"),
        (
            ["--generate", "1", "--prompt", "a", "--scheme", "asymmetric", "--kv-quantiser", "rtl"],
            "must be symmetric integers that it takes as they are",
        ),
        (["--generate", "1", "--prompt", "a", "--memory-latency", "5", "--burst", "200"], "burst must be at most"),
    ],
)
def test_mistakes_are_told_in_a_sentence(tiny_llama: Path, arguments: list[str], message: str) -> None:
    words = ["--pe", "int", "--bits", "8", "--model", str(tiny_llama), *arguments]
    done = CliRunner().invoke(command, words)
    assert isinstance(done.exception, HwgenError)
    assert message in str(done.exception)


def test_memory_beats_are_a_share(tiny_llama: Path) -> None:
    words = ["--pe", "int", "--model", str(tiny_llama), "--generate", "1", "--prompt", "a", "--memory-beats", "2/1"]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 2
    assert "beats/cycles such as 1/2" in done.output


@pytest.mark.slow
def test_the_command(tiny_llama: Path) -> None:
    small = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    words = ["--pe", "int", *small, "--bus-bits", "64", "--clk-period-ns", "own", "--model", str(tiny_llama)]
    words += ["--generate", "2", "--prompt", PROMPT, "--layers", "1", "--memory-latency", "3", "--memory-beats", "1/2"]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    assert done.output.startswith(PROMPT)
    assert "logits and golden PyTorch model, bit for bit: equal" in done.output
    assert "cycles: predicted for every one of" in done.output
    assert "rows written by the quantiser's RTL in" in done.output
    assert "cycles, as predicted for every one of" in done.output


def test_weights_of_a_tied_layer_are_the_embedding(tiny_llama: Path) -> None:
    model = open_model(tiny_llama)
    assert weight_name(model, "output") == "token_embd.weight"
    assert weight_name(model, "blk.0.attn_q") == "blk.0.attn_q.weight"
    assert np.isfinite(model.float32(weight_name(model, "output"))).all()
