"""Damaged and contradictory checkpoints, and tiles that do not hold what is stored: one sentence each."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hwgen.errors import HwgenError
from hwgen.pe import family
from rtl_tests.checkpoints.cases import CASES, LAYER, Case, Made
from sim.hold import hold, tile_for
from sim.models.checkpoint import stored_weights
from sim.models.weights import open_model

BY_NAME = {case.name: case for case in CASES}
GPTQ = BY_NAME["GPTQ v1, 4 bit int"]
AWQ = BY_NAME["AWQ 4 bit int"]
PACKED = BY_NAME["compressed-tensors pack-quantized 3 bit, asymmetric int"]
NVFP4 = BY_NAME["compressed-tensors nvfp4-pack-quantized mx"]
BLOCKS = BY_NAME["safetensors FP8 in blocks minifloat"]

Edit = Callable[[dict[str, Any], dict[str, Any]], None]
"""Changes tensors (by the end of their name) and the quantization_config."""


def changed(case: Case, folder: Path, edit: Edit) -> Made:
    made = case.make(folder)
    tensors = {name.removeprefix(f"{LAYER}."): tensor.clone() for name, tensor in load_file(made.path).items()}
    place = folder / "config.json"
    config = json.loads(place.read_text())
    edit(tensors, config["quantization_config"])
    save_file({f"{LAYER}.{name}": tensor.contiguous() for name, tensor in tensors.items()}, made.path)
    place.write_text(json.dumps(config))
    return made


def put(name: str, value: Any) -> Edit:
    return lambda tensors, config: tensors.__setitem__(name, value)


def at(name: str, index: int, value: float) -> Edit:
    return lambda tensors, config: tensors[name].view(-1).__setitem__(index, value)


def drop(name: str) -> Edit:
    return lambda tensors, config: tensors.__delitem__(name)


def say(**values: Any) -> Edit:
    return lambda tensors, config: config.update(values)


def of_weights(**values: Any) -> Edit:
    return lambda tensors, config: config["config_groups"]["group_0"]["weights"].update(values)


DAMAGED: dict[str, tuple[Case, Edit, str]] = {
    "no scales": (GPTQ, drop("scales"), r"must have a tensor .*\.scales beside it, and has none"),
    "scales of another shape": (
        GPTQ,
        put("scales", torch.ones(3, 8).half()),
        r"scales must have shape \[2, 8\], not \[3, 8\]",
    ),
    "a scale that is no number": (
        GPTQ,
        at("scales", 3, float("nan")),
        r"scales must be finite, not nan at \[0, 3\]; the checkpoint is damaged",
    ),
    "an infinite scale": (AWQ, at("scales", 9, float("inf")), r"scales must be finite, not inf at \[1, 1\]"),
    "a group out of range": (GPTQ, at("g_idx", 5, 2), r"g_idx must be from 0 to 1, not 2"),
    "a negative group": (GPTQ, at("g_idx", 5, -1), r"g_idx must be from 0 to 1, not -1"),
    "groups of other sizes": (
        GPTQ,
        at("g_idx", 5, 1),
        r"g_idx must give group 0 32 inputs, as group_size says, not 31",
    ),
    "g_idx too short": (GPTQ, put("g_idx", torch.zeros(63, dtype=torch.int32)), r"g_idx must have shape \[64\]"),
    "zero points too few": (
        GPTQ,
        put("qzeros", torch.zeros(1, 1, dtype=torch.int32)),
        r"qzeros must have shape \[2, 1\], not \[1, 1\]",
    ),
    "zero point 16": (
        GPTQ,
        put("qzeros", torch.full((2, 1), -1, dtype=torch.int32)),
        r"zero points must be from 0 to 15, not 16: stored as z - 1 \(checkpoint_format gptq\)",
    ),
    "no group size": (GPTQ, say(group_size=None), r"group_size of .* must be a positive number or -1, not 'None'"),
    "another method": (
        GPTQ,
        say(quant_method="quip"),
        r"quant_method must be one of gptq, awq, compressed-tensors, fp8, not 'quip'",
    ),
    "no method": (GPTQ, say(quant_method=None), r"quant_method must be one of .*, not 'None'"),
    "another width": (GPTQ, say(bits=5), r"bits must be one of 2, 3, 4, 8, not '5'"),
    "a width that contradicts the tensors": (GPTQ, say(bits=8), r"qzeros must have shape \[1, 2\], not \[2, 1\]"),
    "a width that does not divide": (
        GPTQ,
        say(bits=3),
        r"qweight must have rows that hold whole codes of 3 bits, not 8",
    ),
    "marlin": (GPTQ, say(checkpoint_format="marlin"), r"checkpoint_format must be one of gptq, gptq_v2, not 'marlin'"),
    "another version of AWQ": (AWQ, say(version="gemv"), r"version must be gemm, not 'gemv'"),
    "AWQ without zero points": (AWQ, say(zero_point=False), r"zero_point must be true, not 'False'"),
    "codes of another type": (
        AWQ,
        put("qzeros", torch.zeros(2, 1)),
        r"qzeros must be of type I32, not F32",
    ),
    "a shape that is not that of the codes": (
        PACKED,
        put("weight_shape", torch.tensor([8, 96])),
        r"must have shape \[8, 9\], not \[8, 6\]",
    ),
    "a shape of three": (PACKED, put("weight_shape", torch.tensor([8, 8, 8])), r"weight_shape must have shape \[2\]"),
    "packed zero points of another shape": (
        PACKED,
        put("weight_zero_point", torch.zeros(2, 2, dtype=torch.int32)),
        r"weight_zero_point must have shape \[1, 2\], not \[2, 2\]",
    ),
    "groups that are not those of the scales": (
        PACKED,
        of_weights(group_size=16),
        r"scales of strategy group must have shape \[8, 4\], not \[8, 2\]",
    ),
    "a strategy": (PACKED, of_weights(strategy="token"), r"strategy must be one of group, channel, tensor, block"),
    "nine bits": (PACKED, of_weights(num_bits=9), r"num_bits must be one of 1, 2, .*, 8, not '9'"),
    "a format": (PACKED, say(format="marlin-24"), r"format must be one of pack-quantized, .*, not 'marlin-24'"),
    "groups that are none": (PACKED, say(config_groups=[]), r"config_groups must be an object of objects"),
    "no group for the layer": (
        PACKED,
        lambda tensors, config: config["config_groups"]["group_0"].update(targets=["re:.*down"]),
        r"belongs to no group of config_groups with weights and a format",
    ),
    "a pattern that is none": (
        PACKED,
        lambda tensors, config: config["config_groups"]["group_0"].update(targets=["re:("]),
        r"'re:\(' is no regular expression",
    ),
    "a layer that is not quantised": (PACKED, say(ignore=["re:.*up_proj"]), r"though config.json says .* \(ignore\)"),
    "a global scale of 0": (
        NVFP4,
        put("weight_global_scale", torch.zeros(1)),
        r"weight_global_scale must be a finite number other than 0, not 0.0",
    ),
    "an E4M3 scale that is no number": (
        NVFP4,
        put("weight_scale", torch.full((8, 4), float("nan")).to(torch.float8_e4m3fn)),
        r"scales must be finite, not nan at \[0, 0\]",
    ),
    "blocks of no size": (
        BLOCKS,
        say(weight_block_size=[0, 32]),
        r"blocks of .* must be two positive sizes, not \[0, 32\]",
    ),
    "a weight that is no number": (
        BLOCKS,
        put("weight", torch.full((8, 64), float("nan")).to(torch.float8_e4m3fn)),
        r"weights must be finite, and a code of fp8_e4m3 is not",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_checkpoints(name: str, tmp_path: Path) -> None:
    case, edit, pattern = DAMAGED[name]
    made = changed(case, tmp_path, edit)
    with pytest.raises(HwgenError, match=pattern) as caught:
        stored_weights(open_model(made.path), made.layer)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith((f"layer '{LAYER}' of ", "model file "))


def test_random_bytes_give_sentences(tmp_path: Path) -> None:
    """Each byte of a GGUF tensor and each number of a packed one may be anything."""
    rng = np.random.default_rng(1)
    for index, case in enumerate(CASES):
        folder = tmp_path / str(index)
        folder.mkdir()
        made = case.make(folder)
        for path in sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.gguf")):
            raw = np.fromfile(path, np.uint8)
            raw[rng.integers(len(raw) // 2, len(raw), 40)] = rng.integers(0, 256, 40)
            raw.tofile(path)
        try:
            found = stored_weights(open_model(made.path), made.layer)
        except HwgenError:
            continue
        assert np.isfinite(found.tensor.dequantize()).all()


JUNK: tuple[Any, ...] = (None, True, -1, 0, 4.0, 1 << 70, "4", "", [], ["Linear", 3, "re:("], {}, {"a": 1})


@pytest.mark.parametrize("case", [GPTQ, AWQ, PACKED, NVFP4, BLOCKS], ids=lambda case: case.name)
def test_any_configuration_gives_a_sentence(case: Case, tmp_path: Path) -> None:
    made = case.make(tmp_path)
    place = tmp_path / "config.json"
    config = json.loads(place.read_text())

    def places(holder: Any) -> list[tuple[Any, Any]]:
        keys = holder.keys() if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        return [(holder, key) for key in keys] + [one for key in keys for one in places(holder[key])]

    for holder, key in places(config):
        value = holder[key]
        for junk in JUNK:
            holder[key] = junk
            place.write_text(json.dumps(config))
            with contextlib.suppress(HwgenError):
                stored_weights(open_model(made.path), made.layer)
        holder[key] = value


def test_truncated(tmp_path: Path) -> None:
    for name in ("GGUF Q4_K int", "GPTQ v1, 4 bit int"):
        made = BY_NAME[name].make(tmp_path)
        made.path.write_bytes(made.path.read_bytes()[:-32])
        with pytest.raises(HwgenError, match="truncated or corrupt"):
            stored_weights(open_model(made.path), made.layer)


def test_what_is_not_quantised(tmp_path: Path) -> None:
    save_file({"a.weight": torch.ones(4, 8), "b.weight": torch.ones(8)}, tmp_path / "x.safetensors")
    model = open_model(tmp_path / "x.safetensors")
    with pytest.raises(HwgenError, match=r"is not quantised \(F32\); without --weights-as-stored it is quantised"):
        stored_weights(model, "a")
    with pytest.raises(HwgenError, match="needs rank 2"):
        stored_weights(model, "b")
    with pytest.raises(HwgenError, match="none of its 2 tensors is called 'c'"):
        stored_weights(model, "c")


REFUSED = {
    ("GGUF Q4_1 int", "int"): r"its scheme has no float minima; use --bits 4 --scheme minimum --group 32$",
    ("GGUF Q4_1 int", "lut"): r"lut tile: its scheme has no float minima; use --bits 4 --scheme minimum --group 32$",
    ("GGUF Q8_0 int", "int"): r"its groups of 64 inputs do not divide those of 32; use --group 32$",
    ("GGUF Q4_K int", "mixpe"): r"use --pe int --bits 4 --scheme minimum --group 32 --weight-scale fp32$",
    ("GGUF NVFP4 mx", "mx"): r"use --weights nvfp4 --acts nvfp4 --group 16 --depth 16 --post-lanes 8$",
    ("GGUF MXFP4 mx", "int"): r"its weights are integers \(int8\); use --pe mx --weights mxfp4$",
    ("GPTQ v1, 4 bit int", "bitmod"): r"its scheme bitmod .*; use --pe int --bits 4 --scheme asymmetric --group 32$",
    (
        "safetensors BF16 minifloat",
        "minifloat",
    ): r"which some of the stored values are not; use --weights bf16 --group 0$",
}


@pytest.mark.parametrize(("name", "kind"), REFUSED)
def test_the_nearest_tile(name: str, kind: str, tmp_path: Path) -> None:
    case = BY_NAME[name]
    made = case.make(tmp_path)
    stored = stored_weights(open_model(made.path), made.layer)
    with pytest.raises(HwgenError, match=REFUSED[name, kind]) as caught:
        hold(family(kind).from_values({}), stored)
    assert str(caught.value).startswith(f"layer {made.layer}: ")
    assert "\n" not in str(caught.value)


def test_too_narrow_scales_and_too_few_bits(tmp_path: Path) -> None:
    made = BY_NAME["GGUF Q6_K int"].make(tmp_path)
    stored = stored_weights(open_model(made.path), made.layer)
    values = {"bits": 6, "group": 16}
    with pytest.raises(HwgenError, match=r"its scales are fp16, which some of fp32 are not; use --weight-scale fp32$"):
        hold(family("int").from_values(values), stored)
    with pytest.raises(
        HwgenError, match=r"its weights are int5, which some of the stored values are not; use --bits 6$"
    ):
        hold(family("int").from_values({**values, "bits": 5, "weight_scale": "fp32"}), stored)
    # Wider codes and shorter groups hold the same numbers.
    wide = family("int").from_values({"bits": 8, "group": 8, "weight_scale": "fp32"})
    assert np.array_equal(hold(wide, stored).dequantize(), stored.tensor.dequantize())
    assert tile_for(family("int").from_values(values), stored.tensor) == "--weight-scale fp32"


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hwgen.cli import main

    def call(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as status:
            main(["run", "--pe", "int", *words])
        return int(status.value.code or 0), capsys.readouterr().err

    code, text = call("--random", "normal", "--layer", "2x8x64", "--weights-as-stored")
    assert (code, text) == (
        2,
        "hwgen: run: --weights-as-stored goes with a model, whose weights may be quantised already\n",
    )
    made = GPTQ.make(tmp_path)
    code, text = call("--model", str(made.path), "--layer", LAYER, "--tokens", "2", "--weights-as-stored")
    assert code == 2
    assert text.count("\n") == 1
    assert text.endswith("use --bits 4 --scheme asymmetric --group 32\n")
