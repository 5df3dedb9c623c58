"""``hwgen workload``, and models in ``estimate`` and ``sweep``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner

import hwgen
from hwgen.cli import group, main
from hwgen.schedule import Layer
from sim.estimate import estimate
from sim.workload import Decode, Generation, builtin, builtin_names

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def output(*arguments: str) -> str:
    done = CliRunner().invoke(group, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def document(*arguments: str) -> Any:
    return json.loads(output(*arguments, "--json"))


def test_list_has_every_model_with_its_source() -> None:
    entries = document("workload", "list")
    assert [entry["name"] for entry in entries] == builtin_names()
    assert all(entry["source"] for entry in entries)
    text = output("workload", "list")
    assert "llama-2-7b       6,738,415,616    4,096  Touvron et al." in text
    assert output("workload", "list", "--format", "csv").startswith(
        "model,parameters,context,source\nllama-2-7b,6738415616,"
    )


def test_show_is_the_model() -> None:
    found = document("workload", "show", "llama-2-7b", "--context", "100", "--batch", "2", "--weight-bits", "4")
    model = builtin("llama-2-7b")
    assert found["macs"] == model.macs(Decode(100, 2)) == sum(row["macs"] for row in found["operators"])
    assert found["weight_bytes"] == sum(one.weights for one in model.operators) / 2
    # Keys and values, 32 layers of width 4096, of 100 tokens of two sequences.
    assert found["kv_cache_elements"] == 2 * 32 * 4096 * 100 * 2
    assert found["phase"] == {"name": "decode", "context": 100, "batch": 2}
    roles = [row["role"] for row in found["operators"]]
    assert roles == [
        *(f"attn.{x}" for x in ("q", "k", "v", "qk", "pv", "o")),
        *(f"ffn.{x}" for x in ("gate", "up", "down")),
        "lm_head",
    ]


def test_show_prints_a_table_with_totals() -> None:
    text = output(
        "workload", "show", "phi-2", "--tokens", "16", "--steps", "4", "--set", "role=attn.* weights=int4 kv=int8"
    )
    lines = text.splitlines()
    assert lines[0] == "phi-2: generation: prefill of 16 tokens and 4 steps × 1"
    assert lines[1].split() == ["part", "role", "M", "N", "K", "count", "MACs", "operand", "weight", "bytes", "formats"]
    assert any(line.split()[:5] == ["decode", "attn.qk", "1", "17…20", "80"] for line in lines)
    assert "KV cache at the end: 3,276,800 elements" in lines
    assert f"total: {builtin('phi-2').macs(Generation(16, 4)):,} MACs; " in text


@pytest.mark.parametrize(
    ("sizes", "phase"),
    [
        ([], "decode"),
        (["--tokens", "9"], "prefill"),
        (["--tokens", "9", "--steps", "2"], "generation"),
        (["--steps", "2"], "generation"),
    ],
)
def test_sizes_imply_the_phase(sizes: list[str], phase: str) -> None:
    assert document("workload", "show", "phi-2", *sizes)["phase"]["name"] == phase


def test_defaults_give_way_to_a_short_context() -> None:
    assert document("workload", "show", "opt-1.3b", "--tokens", "2000", "--phase", "generation")["phase"]["steps"] == 48


def test_show_takes_a_graph() -> None:
    found = document("workload", "show", str(LIGHT / "light_resnet50.onnx"))
    assert found["macs"] == 4_089_184_256
    assert {"what": "Relu", "count": 49, "macs": None} in found["not_a_product_or_not_understood"]
    assert "no product, or not understood: " in output("workload", "show", str(LIGHT / "light_resnet50.onnx"))


def test_estimate_of_a_model_is_that_of_its_layers() -> None:
    arguments = ["--pe", "int", "--m", "2", "--n", "8", "--k", "4", "--clk-period-ns", "own"]
    found = document("estimate", *arguments, "--workload", "smollm2-135m", "--tokens", "5", "--steps", "3")
    tile = hwgen.tile("int", m=2, n=8, k=4).spec
    layers = builtin("smollm2-135m").layers(Generation(5, 3))
    single = [estimate(tile, Layer("x", layer.m, layer.n, layer.k, layer.count)) for layer in layers]
    assert found["cycles"] == sum(one.cycles for one in single)
    assert found["macs"] == builtin("smollm2-135m").macs(Generation(5, 3))
    assert sum(part["cycles"] for part in found["operators"]) == found["cycles"]
    text = output("estimate", *arguments, "--workload", "smollm2-135m", "--role", "ffn.*", "--role", "attn.qk")
    assert "ffn.gate+ffn.up" in text
    assert "evaluated with the second operand in the tile's weight format, though no weights: attn.qk" in text


def test_sweep_of_a_model() -> None:
    axes = ["--pe", "int", "--bits", "4", "--m", "1", "--n", "8,16", "--k", "4"]
    found = document("sweep", *axes, "--workload", "smollm2-135m", "--role", "ffn.*")
    assert [(layer["name"], layer["m"], layer["n"], layer["k"], layer["count"]) for layer in found["layers"]] == [
        ("ffn.gate+ffn.up", 1, 1536, 576, 60),
        ("ffn.down", 1, 576, 1536, 30),
    ]
    assert found["points"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "workload show lama-2-7b",
            "workload: no model 'lama-2-7b'; did you mean 'llama-2-7b'?; `hwgen workload list` has",
        ),
        (
            "workload show phi-2 --context 3000",
            "workload phi-2: context must be at most 2,048, which the model was made for, not 3,000",
        ),
        ("workload show phi-2 --batch 0", "workload show: Invalid value for '--batch': 0 is not in the range"),
        (
            "workload show phi-2 --tokens nan",
            "workload show: Invalid value for '--tokens': 'nan' is not a valid integer",
        ),
        (
            "workload show phi-2 --weight-bits nan",
            "workload show: Invalid value for '--weight-bits': must be a number above 0",
        ),
        (
            "workload show phi-2 --phase decode --steps 3",
            "workload phi-2: phase decode takes --context, --batch, not --steps",
        ),
        ("workload show resnet-18 --tokens 3", "workload resnet-18: phase vision takes --batch, not --tokens"),
        (
            "workload show phi-2 --phase vision",
            "workload phi-2: phase must be prefill or decode or generation, not vision",
        ),
        ("workload show phi-2 --role atn.q", "workload phi-2: no role matches 'atn.q'; did you mean 'attn.q'?; it has"),
        (
            "workload show phi-2 --dim batch=0",
            "--dim: must be NAME=VALUE with a whole number from 1 up, e.g. batch=1, not",
        ),
        ("workload show phi-2 --dim b=1 --dim b=2", "--dim: b must be given once, not as several values"),
        ("estimate --pe int", "estimate: must be given --layer or --workload, not neither"),
        ("estimate --pe int --layer 8x8x8 --workload phi-2", "estimate: must be given --layer or --workload, not both"),
        ("estimate --pe int --layer 8x8x8 --context 7", "estimate: --context is for --workload, not for --layer"),
        ("sweep --pe int --layer 8x8x8 --role attn.q", "sweep: --role is for --workload, not for --layer"),
        (
            "sweep --pe int --workload smollm2-135m --tokens 1000 --steps 2000",
            "sweep: smollm2-135m, generation: prefill of 1,000 tokens and 2,000 steps × 1, has 4,018 ",
        ),
    ],
)
def test_mistakes_are_one_line_and_2(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    told = capsys.readouterr()
    assert (ended.value.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert told.err.startswith(f"hwgen: {message}")
