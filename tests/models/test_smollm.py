from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import safetensors.numpy
import torch

from hwgen.errors import HwgenError
from sim.models import smollm
from sim.models.cache import write_array
from sim.models.gguf_reader import GgufFile
from sim.models.llama import Llama
from sim.models.tokenizer import tokenizer_of
from sim.models.weights import open_model
from tests.models import tiny

TEXT = "In the 12th year, the end of the thing."
REAL_PERPLEXITY = 20.70
"""Of the default text, 256 tokens. With the other order of rotary pairs it is 142, with the usual rotary base 22.8."""


def oracle(path: Path, tokens: list[int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Logits and the input of every linear layer, in float64, a token, a head and a pair at a time.

    The rotary embedding is a product of complex numbers; the weights come from the gguf package.
    """
    weights = {
        tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
        for tensor in gguf.GGUFReader(path).tensors
    }
    size = tiny.WIDTH // tiny.HEADS
    inputs: dict[str, list[np.ndarray]] = {}

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        inputs.setdefault(name, []).append(x)
        return weights[f"{name}.weight"] @ x

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        return weights[f"{name}.weight"] * x / np.sqrt((x * x).sum() / len(x) + tiny.EPSILON)

    def rotate(x: np.ndarray, position: int) -> np.ndarray:
        out = x.copy()
        for head in range(len(x) // size):
            for i in range(size // 2):
                at = head * size + 2 * i
                turned = complex(x[at], x[at + 1]) * np.exp(1j * position * tiny.ROPE_BASE ** (-2 * i / size))
                out[at], out[at + 1] = turned.real, turned.imag
        return out

    hidden = [weights["token_embd.weight"][token] for token in tokens]
    for block in range(tiny.BLOCKS):
        keys: list[np.ndarray] = []
        values: list[np.ndarray] = []
        for position in range(len(tokens)):
            x = norm(f"blk.{block}.attn_norm", hidden[position])
            query = rotate(linear(f"blk.{block}.attn_q", x), position)
            keys.append(rotate(linear(f"blk.{block}.attn_k", x), position))
            values.append(linear(f"blk.{block}.attn_v", x))
            mixed = np.zeros(tiny.WIDTH)
            for head in range(tiny.HEADS):
                mine = slice(head * size, head * size + size)
                shared = head * tiny.KV_HEADS // tiny.HEADS
                theirs = slice(shared * size, shared * size + size)
                score = np.array([query[mine] @ key[theirs] / size**0.5 for key in keys])
                share = np.exp(score) / np.exp(score).sum()
                mixed[mine] = sum(part * value[theirs] for part, value in zip(share, values, strict=True))
            hidden[position] = hidden[position] + linear(f"blk.{block}.attn_output", mixed)
            x = norm(f"blk.{block}.ffn_norm", hidden[position])
            gate = linear(f"blk.{block}.ffn_gate", x)
            up = linear(f"blk.{block}.ffn_up", x)
            hidden[position] = hidden[position] + linear(f"blk.{block}.ffn_down", gate / (1 + np.exp(-gate)) * up)
    logits = []
    for x in hidden:
        inputs.setdefault("output", []).append(norm("output_norm", x))
        logits.append(weights["token_embd.weight"] @ inputs["output"][-1])
    return np.array(logits), {name: np.array(rows) for name, rows in inputs.items()}


def close(found: np.ndarray, wanted: np.ndarray) -> bool:
    """float32 against float64: within 2**-16 of the largest value."""
    return bool(abs(found - wanted).max() < 2.0**-16 * abs(wanted).max())


@pytest.fixture(scope="module")
def numbers(llama_path: Path) -> list[int]:
    return smollm.encode(open_model(llama_path), TEXT)


def test_forward_equals_float64_oracle(llama_path: Path, numbers: list[int]) -> None:
    model = Llama(open_model(llama_path))
    with torch.inference_mode():
        logits = model(torch.tensor(numbers)).numpy()
    expected, _ = oracle(llama_path, numbers)
    assert logits.shape == (len(numbers), len(tiny.TOKENS))
    assert close(logits, expected)
    # The oracle is sensitive: the order of two tokens, and so the rotary embedding and the causal mask, matter.
    swapped, _ = oracle(llama_path, [numbers[1], numbers[0], *numbers[2:]])
    assert not close(swapped[-1:], expected[-1:])


def test_generate_takes_the_likeliest_token_and_stops(llama_path: Path, numbers: list[int]) -> None:
    model = Llama(open_model(llama_path))
    expected = list(numbers)
    for _ in range(3):
        expected.append(int(oracle(llama_path, expected)[0][-1].argmax()))
    new = expected[len(numbers) :]
    assert model.generate(numbers, 3) == new
    assert model.generate(numbers, 3, stop=new[0]) == []


def test_an_untied_output_layer_is_used(tmp_path: Path, numbers: list[int]) -> None:
    other = np.random.default_rng(9).normal(size=(len(tiny.TOKENS), tiny.WIDTH)).astype(np.float32)
    model = Llama(open_model(tiny.write_llama(tmp_path / "x.gguf", extra={"output.weight": other})))
    assert not torch.equal(model.output.weight, model.token_embd.weight)
    assert abs(model.output.weight.numpy() - other).max() < 0.02


@pytest.mark.parametrize(
    "layer", ["blk.0.attn_q", "blk.0.ffn_up.weight", "blk.1.attn_output", "blk.1.ffn_down", "output"]
)
def test_capture_equals_float64_oracle(llama_path: Path, cache: Path, numbers: list[int], layer: str) -> None:
    _, inputs = oracle(llama_path, numbers[:9])
    values = smollm.capture(llama_path, layer, TEXT, 9)
    assert values.dtype == np.float32
    assert values.shape == (9, tiny.FFN if "ffn_down" in layer else tiny.WIDTH)
    assert close(values, inputs[layer.removesuffix(".weight")])


def test_capture_reads_no_block_that_it_does_not_need(
    llama_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = GgufFile._decode

    def spy(self: GgufFile, info, rows):  # type: ignore[no-untyped-def]
        read.append(info.name + (" whole" if rows is None else " rows"))
        return original(self, info, rows)

    monkeypatch.setattr(GgufFile, "_decode", spy)
    smollm.capture(llama_path, "blk.0.ffn_up", TEXT, 4)
    assert read[0] == "token_embd.weight rows"
    assert len(read) == 10
    assert all(name.startswith("blk.0.") for name in read[1:])


def test_capture_is_kept_and_the_key_holds_all_that_matters(
    llama_path: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = smollm.capture(llama_path, "blk.0.ffn_up", TEXT, 4)
    files = list((cache / "captures").iterdir())
    assert [path.suffix for path in files] == [".npy"]
    changed = np.full_like(first, 5)
    write_array(files[0], changed)
    assert np.array_equal(smollm.capture(llama_path, "blk.0.ffn_up.weight", TEXT, 4), changed)
    copy = tmp_path / "renamed.gguf"
    copy.write_bytes(llama_path.read_bytes())
    assert np.array_equal(smollm.capture(copy, "blk.0.ffn_up", TEXT, 4), changed)

    assert np.array_equal(smollm.capture(llama_path, "blk.0.ffn_gate", TEXT, 4), first)
    assert np.array_equal(smollm.capture(llama_path, "blk.0.ffn_up", TEXT + "!", 4), first)
    assert smollm.capture(llama_path, "blk.0.ffn_up", TEXT, 5).shape[0] == 5
    other = tiny.write_llama(tmp_path / "other.gguf", metadata={"llama.rope.freq_base": 500.0})
    assert not np.array_equal(smollm.capture(other, "blk.0.ffn_up", TEXT, 4), changed)
    assert len(list((cache / "captures").iterdir())) == 5


@pytest.mark.parametrize("place", [0, 60, 200, -40, -1])
def test_a_flipped_bit_of_a_capture_is_seen(llama_path: Path, cache: Path, place: int) -> None:
    """In the header, in the numbers and in the checksum itself."""
    first = smollm.capture(llama_path, "blk.0.ffn_up", TEXT, 4)
    (path,) = (cache / "captures").iterdir()
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[place] ^= 1
    path.write_bytes(damaged)
    assert np.array_equal(smollm.capture(llama_path, "blk.0.ffn_up", TEXT, 4), first)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"nonsense"])
def test_a_damaged_capture_is_made_again(llama_path: Path, cache: Path, damage: bytes) -> None:
    first = smollm.capture(llama_path, "blk.0.ffn_up", TEXT, 4)
    (path,) = (cache / "captures").iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage)
    assert np.array_equal(smollm.capture(llama_path, "blk.0.ffn_up", TEXT, 4), first)
    assert path.read_bytes() == whole


def test_capture_without_a_cache_folder_that_can_be_written(llama_path: Path, cache: Path) -> None:
    cache.write_bytes(b"a file where the folder should be")
    assert smollm.capture(llama_path, "blk.0.ffn_up", TEXT, 4).shape == (4, tiny.WIDTH)


def test_torch_is_imported_only_to_run_the_model(llama_path: Path, cache: Path) -> None:
    smollm.capture(llama_path, "blk.0.ffn_up", TEXT, 4)
    script = (
        "import sys; from sim.models.smollm import capture, linear_layers\n"
        "linear_layers(sys.argv[1]); capture(sys.argv[1], 'blk.0.ffn_up', sys.argv[2], 4)\n"
        "print('torch' in sys.modules)\n"
    )
    command = [sys.executable, "-c", script, str(llama_path), TEXT]
    env = {**os.environ, "PYTHONPATH": str(Path(smollm.__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert done.stdout == "False\n"


def test_linear_layers(llama_path: Path, tmp_path: Path) -> None:
    layers = smollm.linear_layers(llama_path)
    assert len(layers) == 15
    assert layers[:4] == [
        ("blk.0.attn_q", 64, 64),
        ("blk.0.attn_k", 32, 64),
        ("blk.0.attn_v", 32, 64),
        ("blk.0.attn_output", 64, 64),
    ]
    assert layers[12:] == [("blk.1.ffn_up", 96, 64), ("blk.1.ffn_down", 64, 96), ("output", len(tiny.TOKENS), 64)]
    path = tmp_path / "x.safetensors"
    arrays = {"b.weight": np.zeros((2, 3), np.float32), "a": np.zeros((4, 5), np.float16), "n": np.zeros(3, np.float32)}
    safetensors.numpy.save_file(arrays, path)
    assert smollm.linear_layers(path) == [("a", 4, 5), ("b", 2, 3)]


def test_tokenizer(llama_path: Path) -> None:
    model = open_model(llama_path)
    tokenizer = tokenizer_of(model)
    names = [tiny.TOKENS[number] for number in smollm.encode(model, "in the 12<|im_end|>")]
    # Digits stay apart although "12" is a token; control tokens are recognised.
    assert names == ["in", "Ġthe", "Ġ", "1", "2", "<|im_end|>"]
    for text in (TEXT, "café – naïve\n\n\ttab  12345", "日本"):
        assert tokenizer.decode(smollm.encode(model, text)) == text


@pytest.mark.parametrize(
    ("pre", "expected"),
    [
        ("smollm", ["1", "2", "Ġ", "1", "3"]),
        ("gpt-2", ["12", "Ġ", "1", "3"]),
        ("llama-bpe", ["12", "Ġ", "1", "3"]),
        ("qwen2", ["1", "2", "Ġ", "1", "3"]),
    ],
)
def test_kinds_of_byte_level_tokenizers(tmp_path: Path, pre: str, expected: list[str]) -> None:
    model = open_model(tiny.write_llama(tmp_path / "x.gguf", metadata={"tokenizer.ggml.pre": pre}))
    assert [tiny.TOKENS[number] for number in smollm.encode(model, "12 13")] == expected
    # Only Llama 3 and Qwen take a sign together with the letters behind it: "(th" is one word, "(" and "th" are two.
    words = [word for word, _ in tokenizer_of(model).pre_tokenizer.pre_tokenize_str("(the THE'S")]
    assert words[0] == ("(the" if pre in ("llama-bpe", "qwen2") else "(")
    for text in (TEXT, "café – naïve\n\n\ttab  12345", "日本"):
        assert tokenizer_of(model).decode(smollm.encode(model, text)) == text


def test_start_token(tmp_path: Path, llama_path: Path) -> None:
    path = tiny.write_llama(tmp_path / "x.gguf", metadata={"tokenizer.ggml.add_bos_token": True})
    assert smollm.encode(open_model(path), TEXT) == [1, *smollm.encode(open_model(llama_path), TEXT)]


@pytest.mark.parametrize(
    ("layer", "tokens", "expected"),
    [
        (
            "blk.1.ffn_upp",
            4,
            "layer 'blk.1.ffn_upp' of {}: must be output, or blk.0 to blk.1 followed by .attn_q, .attn_k, .attn_v, "
            ".attn_output, .ffn_gate, .ffn_up, .ffn_down; did you mean 'blk.1.ffn_up'?",
        ),
        ("output", 0, "capture: tokens must be from 1 to 32, which the model can read, not 0"),
        ("output", 33, "capture: tokens must be from 1 to 32, which the model can read, not 33"),
        ("output", 30, "capture: tokens must be at most 27, which the text has, not 30"),
    ],
)
def test_capture_refuses(llama_path: Path, cache: Path, layer: str, tokens: int, expected: str) -> None:
    with pytest.raises(HwgenError) as caught:
        smollm.capture(llama_path, layer, TEXT, tokens)
    assert str(caught.value) == expected.format(llama_path)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("metadata", "extra", "expected"),
    [
        ({"llama.block_count": 0}, {}, "model file {}: metadata llama.block_count must be a positive number, not 0"),
        (
            {"llama.block_count": None},
            {},
            "model file {}: metadata llama.block_count must be a positive number, not None",
        ),
        ({"llama.block_count": 2.5}, {}, "model file {}: metadata llama.block_count must be a whole number, not 2.5"),
        ({"llama.block_count": 99}, {}, "model file {}: 99 blocks cannot come of 20 tensors"),
        (
            {"llama.attention.head_count_kv": [1, 2]},
            {},
            "model file {}: metadata llama.attention.head_count_kv must be a positive number, not a list",
        ),
        (
            {"llama.attention.head_count": 6},
            {},
            "model file {}: embedding_length 64, head_count 6 and head_count_kv 2 must divide each other into heads of "
            "an even size",
        ),
        ({"llama.rope.dimension_count": 8}, {}, "model file {}: metadata llama.rope.dimension_count must be 16, not 8"),
        (
            {"llama.feed_forward_length": 64},
            {},
            "tensor 'blk.0.ffn_gate.weight' of {}: shape must be (64, 64), not (96, 64); "
            "the metadata and the tensors disagree",
        ),
        (
            {},
            {"blk.0.attn_sinks": np.zeros(64, np.float32)},
            "tensor 'blk.0.attn_sinks' of {}: is no part of the llama models that can be run",
        ),
        ({}, {"output.weight": np.zeros((3, 64), np.float32)}, "tensor 'output.weight' of {}: shape must be (264, 64)"),
    ],
)
def test_models_that_cannot_be_run(
    tmp_path: Path, metadata: dict[str, object], extra: dict[str, np.ndarray], expected: str
) -> None:
    path = tiny.write_llama(tmp_path / "x.gguf", metadata=metadata, extra=extra)
    with pytest.raises(HwgenError) as caught:
        smollm.linear_layers(path)
    assert str(caught.value) == expected.format(path)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (
            {"tokenizer.ggml.model": "bert"},
            "the tokenizer must be gpt2 (byte-level), llama or t5 (SentencePiece), not bert",
        ),
        ({"tokenizer.ggml.merges": None}, "metadata tokenizer.ggml.merges must be a list of strings"),
        ({"tokenizer.ggml.merges": ["q z"]}, "the merge 'q' + 'z' needs a token that is not there"),
        ({"tokenizer.ggml.token_type": [1]}, "metadata tokenizer.ggml.token_type must be 264 numbers, one a token"),
    ],
)
def test_tokenizers_that_cannot_be_built(tmp_path: Path, metadata: dict[str, object], expected: str) -> None:
    path = tiny.write_llama(tmp_path / "x.gguf", metadata=metadata)
    with pytest.raises(HwgenError) as caught:
        smollm.encode(open_model(path), TEXT)
    assert str(caught.value) == f"model file {path}: {expected}"


def test_only_some_architectures_can_be_run(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file({"w": np.zeros((2, 2), np.float32)}, path)
    other = tiny.write_gguf(tmp_path / "x.gguf", {"w": tiny.quantise(np.zeros((2, 2)), "F32")}, architecture="bloom")
    for file, found in ((path, "safetensors"), (other, "gguf of architecture 'bloom'")):
        with pytest.raises(HwgenError) as caught:
            smollm.capture(file, "w")
        wanted = "running it needs GGUF of architecture llama, qwen2, qwen3, gpt2"
        assert str(caught.value) == f"model file {file}: {wanted}, not {found}"
    assert smollm.linear_layers(other) == [("w", 2, 2)]


@pytest.mark.slow
@pytest.mark.model
def test_real_model_knows_the_capital_of_france(real_model: Path) -> None:
    file = open_model(real_model)
    model = Llama(file)
    prompt = (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    )
    answer = model.generate(smollm.encode(file, prompt), 12, stop=2)
    assert tokenizer_of(file).decode(answer) == "The capital of France is Paris."
    # Few tokens prove little: the perplexity of a text notices faults that leave this answer as it is.
    tokens = torch.tensor(smollm.encode(file, smollm.default_text())[:256])
    with torch.inference_mode():
        loss = torch.nn.functional.cross_entropy(model(tokens[:-1]), tokens[1:])
    assert float(loss.exp()) == pytest.approx(REAL_PERPLEXITY, rel=0.01)


@pytest.mark.model
def test_real_model_layers_and_text(real_model: Path) -> None:
    layers = smollm.linear_layers(real_model)
    assert len(layers) == 211
    assert layers[5] == ("blk.0.ffn_up", 1536, 576)
    assert layers[-1] == ("output", 49152, 576)
    assert sum(n * k for _, n, k in layers[:-1]) == 106_168_320
    file = open_model(real_model)
    assert {file.info(name).dtype for name, _, _ in layers[:-1]} == {"Q4_1"}
    tokens = smollm.encode(file, smollm.default_text())
    assert len(tokens) == 1104
    assert tokenizer_of(file).decode(tokens) == smollm.default_text()


@pytest.mark.model
def test_real_activations(real_model: Path, cache: Path) -> None:
    values = smollm.capture(real_model, "blk.0.ffn_up")
    assert values.shape == (8, 576)
    assert np.isfinite(values).all()
    assert len(np.unique(values, axis=0)) == 8
