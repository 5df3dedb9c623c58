"""Kinds of Llama-type models in GGUF, against an oracle in plain torch that reads no configuration."""

from __future__ import annotations

import cmath
from pathlib import Path

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from sim.models import smollm
from sim.models.llama import Llama
from sim.models.weights import open_model
from tests.models import tiny

FREQUENCIES = np.array([1, 1, 1, 2, 4, 8, 8, 8], np.float32)


def tensors_of(architecture: str, head: int, biases: bool, factors: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    tensors = tiny.llama_tensors()
    for block in range(tiny.BLOCKS):
        at = f"blk.{block}."
        for name, heads in (("attn_q", tiny.HEADS), ("attn_k", tiny.KV_HEADS), ("attn_v", tiny.KV_HEADS)):
            tensors[f"{at}{name}.weight"] = rng.normal(size=(heads * head, tiny.WIDTH)) / 4
            if biases:
                tensors[f"{at}{name}.bias"] = rng.normal(size=heads * head)
        tensors[f"{at}attn_output.weight"] = rng.normal(size=(tiny.WIDTH, tiny.HEADS * head)) / 8
        if architecture == "qwen3":
            for name in ("attn_q_norm", "attn_k_norm"):
                tensors[f"{at}{name}.weight"] = rng.uniform(0.5, 2.0, head)
    if factors:
        tensors["rope_freqs.weight"] = FREQUENCIES
    return {name: np.asarray(values, np.float32) for name, values in tensors.items()}


def write(path: Path, architecture: str, tensors: dict[str, np.ndarray], head: int) -> Path:
    metadata = {
        key.replace("llama.", f"{architecture}.") if key.startswith("llama.") else key: value
        for key, value in tiny.llama_metadata().items()
        if key != "llama.rope.dimension_count"
    }
    if head != tiny.WIDTH // tiny.HEADS:
        metadata |= {f"{architecture}.attention.{part}_length": head for part in ("key", "value")}
    stored = {name: tiny.quantise(values, "F32") for name, values in tensors.items()}
    return tiny.write_gguf(path, stored, metadata, architecture)


def oracle(tensors: dict[str, np.ndarray], numbers: list[int], head: int, halves: bool) -> torch.Tensor:
    """Logits in float64, head by head and position by position, with complex rotations."""
    t = {name: torch.from_numpy(values).double() for name, values in tensors.items()}

    def norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x / (x.square().mean(-1, keepdim=True) + tiny.EPSILON).sqrt() * weight

    def turned(x: torch.Tensor, position: int) -> torch.Tensor:
        out = x.clone()
        for i in range(head // 2):
            a, b = (i, i + head // 2) if halves else (2 * i, 2 * i + 1)
            factor = float(FREQUENCIES[i]) if "rope_freqs.weight" in tensors else 1.0
            angle = position * tiny.ROPE_BASE ** (-2 * i / head) / factor
            value = complex(float(x[a]), float(x[b])) * cmath.exp(1j * angle)
            out[a], out[b] = value.real, value.imag
        return out

    x = t["token_embd.weight"][numbers]
    for block in range(tiny.BLOCKS):
        at = f"blk.{block}."
        h = norm(x, t[f"{at}attn_norm.weight"])
        q, k, v = (
            (h @ t[f"{at}attn_{name}.weight"].T + t.get(f"{at}attn_{name}.bias", torch.zeros(1))).unflatten(
                -1, (-1, head)
            )
            for name in "qkv"
        )
        if f"{at}attn_q_norm.weight" in t:
            q, k = norm(q, t[f"{at}attn_q_norm.weight"]), norm(k, t[f"{at}attn_k_norm.weight"])
        rows = []
        for p in range(len(numbers)):
            heads = []
            for one in range(tiny.HEADS):
                other = one * tiny.KV_HEADS // tiny.HEADS
                query = turned(q[p, one], p)
                scores = torch.stack([query @ turned(k[s, other], s) for s in range(p + 1)]) / head**0.5
                heads.append(scores.softmax(0) @ v[: p + 1, other])
            rows.append(torch.cat(heads))
        x = x + torch.stack(rows) @ t[f"{at}attn_output.weight"].T
        h = norm(x, t[f"{at}ffn_norm.weight"])
        gate = h @ t[f"{at}ffn_gate.weight"].T
        x = x + (gate * gate.sigmoid() * (h @ t[f"{at}ffn_up.weight"].T)) @ t[f"{at}ffn_down.weight"].T
    return norm(x, t["output_norm.weight"]) @ t["token_embd.weight"].T


@pytest.mark.parametrize(
    ("architecture", "head", "biases", "factors"),
    [
        ("llama", 16, False, True),
        ("llama", 16, True, False),
        ("llama", 24, False, False),
        ("qwen2", 16, True, False),
        ("qwen3", 24, False, False),
    ],
)
def test_kinds(tmp_path: Path, architecture: str, head: int, biases: bool, factors: bool) -> None:
    tensors = tensors_of(architecture, head, biases, factors)
    path = write(tmp_path / "x.gguf", architecture, tensors, head)
    numbers = [4, 90, 17, 33, 200, 8]
    with torch.inference_mode():
        got = Llama(open_model(path))(torch.tensor(numbers)).double()
    want = oracle(tensors, numbers, head, architecture != "llama")
    assert torch.allclose(got, want, rtol=1e-3, atol=1e-3)
    # What makes the kind matters: without it the oracle says something else.
    others = {name: v for name, v in tensors.items() if not name.endswith(("bias", "q_norm.weight", "freqs.weight"))}
    other = oracle(others, numbers, head, architecture == "llama")
    assert not torch.allclose(got, other, rtol=1e-2, atol=1e-2)
    assert smollm.linear_layers(path)[0] == ("blk.0.attn_q", tiny.HEADS * head, tiny.WIDTH)


def test_mixtures_are_listed_and_refused(tmp_path: Path) -> None:
    tensors = tensors_of("llama", 16, False, False)
    tensors["blk.0.ffn_up_exps.weight"] = np.zeros((4, tiny.FFN, tiny.WIDTH), np.float32)
    path = write(tmp_path / "x.gguf", "llama", tensors, 16)
    assert ("blk.0.ffn_up_exps", tiny.FFN, tiny.WIDTH) in smollm.linear_layers(path)
    with pytest.raises(HwgenError, match="is a mixture of experts of architecture 'llama', which cannot be run"):
        smollm.capture(path, "blk.0.attn_q")


def test_needs_the_biases_of_qwen2(tmp_path: Path) -> None:
    path = write(tmp_path / "x.gguf", "qwen2", tensors_of("qwen2", 16, False, False), 16)
    with pytest.raises(HwgenError, match=r"none of its .* is called 'blk.0.attn_q.bias'"):
        Llama(open_model(path))
