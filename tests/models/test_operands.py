from __future__ import annotations

import io
import json
from contextlib import suppress
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from click.testing import CliRunner

from hwgen.cli.run import command
from hwgen.errors import HwgenError
from hwgen.schedule import Layer
from sim.operands import DISTRIBUTIONS, is_operand_file, random_operands, read_matrix

VALUES = np.random.default_rng(4).normal(size=(6, 8))


def refused(place: str | Path) -> str:
    with pytest.raises(HwgenError) as caught:
        read_matrix(place, "weights")
    return str(caught.value)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_of_every_float_type_and_order(tmp_path: Path, dtype: str, order: str) -> None:
    path = tmp_path / "w.npy"
    stored = np.array(VALUES, dtype=dtype, order=order)  # type: ignore[call-overload]
    np.save(path, stored)
    found = read_matrix(path)
    assert found.dtype == (np.float64 if dtype.endswith("8") else np.float32)
    assert found.flags.c_contiguous
    assert np.array_equal(found, stored)


def test_names_in_archives(tmp_path: Path) -> None:
    one, two, tensors = tmp_path / "one.npz", tmp_path / "two.npz", tmp_path / "t.safetensors"
    np.savez(one, w=VALUES)
    np.savez_compressed(two, w=VALUES, acts=VALUES[:2])
    safetensors.numpy.save_file({"a.w": VALUES.astype(ml_dtypes.bfloat16), "b": VALUES.astype(np.float16)}, tensors)
    assert np.array_equal(read_matrix(one), VALUES)
    assert np.array_equal(read_matrix(f"{two}:acts"), VALUES[:2])
    assert np.array_equal(read_matrix(f"{tensors}:a.w"), VALUES.astype(ml_dtypes.bfloat16).astype(np.float32))
    assert refused(two) == f"weights {two}: holds 2 arrays; say which, as {two}:NAME (w, acts)"
    assert refused(f"{two}:act") == f"weights {two}: holds no 'act', but w, acts; did you mean 'acts'?"
    assert (
        refused(f"{tmp_path}/w.npy:x")
        == f"weights {tmp_path}/w.npy: a .npy file holds one array without a name, not 'x'"
    )


def test_what_is_no_matrix(tmp_path: Path) -> None:
    path = tmp_path / "w.npy"
    assert refused(path) == f"weights {path}: cannot be read: No such file or directory"
    assert refused(tmp_path / "w.txt") == (
        f"weights '{tmp_path}/w.txt': must be a file .npy, .npz, .safetensors, with :NAME for one of several"
    )
    rule = "must be a float matrix with at least one row and column"
    for values, given in (
        (np.zeros((2, 2), np.int8), "int8 of shape [2, 2]"),
        (np.zeros(3), "float64 of shape [3]"),
        (np.zeros((2, 0)), "float64 of shape [2, 0]"),
        (np.zeros((2, 2), complex), "complex128 of shape [2, 2]"),
    ):
        np.save(path, values)
        assert refused(path) == f"weights {path}: {rule}, not {given}"
    np.save(path, np.array([[1.0, np.nan]]))
    assert refused(path) == f"weights {path}: must be finite, not nan at [0, 1]"
    np.save(path, np.array([[{}]]), allow_pickle=True)
    assert refused(path) == (
        f"weights {path}: holds Python objects, which are not loaded; save a float matrix with numpy.save"
    )
    folder = tmp_path / "d.npy"
    folder.mkdir()
    assert refused(folder) == f"weights {folder}: must be a file, not a folder"


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_damaged_files_are_one_sentence(tmp_path: Path, suffix: str) -> None:
    buffer = io.BytesIO()
    {"npy": np.save, "npz": np.savez}[suffix](buffer, VALUES)
    whole = buffer.getvalue()
    path = tmp_path / f"w.{suffix}"
    rng = np.random.default_rng(5)
    cases = [whole[:size] for size in (0, 1, 7, 60, 130, len(whole) - 1)]
    for _ in range(200):
        flipped = bytearray(whole)
        flipped[int(rng.integers(0, min(140, len(whole))))] ^= 1 << int(rng.integers(8))
        cases.append(bytes(flipped))
    refusals = 0
    for raw in cases:
        path.write_bytes(raw)
        # A flipped bit of a name or of the order leaves a matrix; anything but a matrix or one sentence fails here.
        with suppress(HwgenError):
            assert read_matrix(path).ndim == 2
            continue
        refusals += 1
        assert "\n" not in refused(path)
    assert refusals >= 6
    huge = (
        b"\x93NUMPY\1\0v\0"
        + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 1000000), }".ljust(117)
        + b"\n"
    )
    (tmp_path / "h.npy").write_bytes(huge)
    assert "is truncated or no .npy file" in refused(tmp_path / "h.npy")


def test_random_operands_are_what_they_say() -> None:
    layer = Layer("x", 400, 300, 500)
    for name in DISTRIBUTIONS:
        weights, acts, words = random_operands(layer, name, 7)
        again = random_operands(layer, name, 7)
        other = random_operands(layer, name, 8)
        assert weights.shape == (300, 500)
        assert acts.shape == (400, 500)
        assert weights.dtype == acts.dtype == np.float32
        assert np.array_equal(weights, again[0])
        assert np.array_equal(acts, again[1])
        assert not np.array_equal(weights, other[0])
        assert words == f"random: {DISTRIBUTIONS[name][0]}; seed 7"
        spread = 1 / np.sqrt(3) if name == "uniform" else 1.0
        assert abs(weights.std() - spread) < 0.01
        assert abs(weights.mean()) < 0.01
        # The weights do not depend on the number of tokens.
        assert np.array_equal(weights, random_operands(Layer("x", 1, 300, 500), name, 7)[0])
    columns = np.sort(random_operands(layer, "outliers")[1].std(axis=0))
    assert columns[-6] < 1.3
    assert columns[-5] > 15
    kurtosis = {name: float((random_operands(layer, name)[0] ** 4).mean()) for name in ("normal", "laplace")}
    assert abs(kurtosis["normal"] - 3) < 0.2
    assert abs(kurtosis["laplace"] - 6) < 0.6


def test_random_operands_refused() -> None:
    with pytest.raises(HwgenError) as caught:
        random_operands(Layer("x", 1, 1, 1), "norml")
    assert str(caught.value) == (
        "random operands: the distribution must be normal, laplace, uniform, outliers, not 'norml'; "
        "did you mean 'normal'?"
    )
    with pytest.raises(HwgenError) as caught:
        random_operands(Layer("x", 1, 1, 1), "normal", -1)
    assert str(caught.value) == "random operands: seed must be a whole number from 0, not -1"
    with pytest.raises(HwgenError, match="weights must have at most 268435456 elements, not 1000000 x 1000000"):
        random_operands(Layer("x", 1, 10**6, 10**6))


def test_formats_are_no_files() -> None:
    assert is_operand_file("a/b.npz:x.y")
    assert is_operand_file("C.NPY")
    assert not any(is_operand_file(text) for text in ("int8", "mxfp4", "fp16", "model.gguf"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights", "w.npy"], "run: --weights from a file needs --acts from a file too"),
        (["--acts=a.npy"], "run: --acts from a file needs --weights from a file too"),
        (
            ["--weights", "w.npy", "--acts", "a.npy", "--random", "normal"],
            "run: operands must come from one source, not from --weights and --acts and from --random",
        ),
        (["--weights", "w.npy", "--weights", "v.npy"], "run: --weights must name one file, not 2"),
        (
            ["--random", "normal", "--layer", "1x1x4", "--tokens", "2"],
            "run: --tokens goes with a model; the tokens are in the shape of the operands",
        ),
        (["--layer", "x", "--seed", "2"], "run: --seed goes with --random"),
        (
            ["--weights", "w.npy", "--acts", "a.npy", "--save", "w.npy"],
            "run: --save and --weights-file must be different files, not both 'w.npy'",
        ),
    ],
)
def test_sources_that_do_not_fit(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(command, ["--pe", "int", *arguments], prog_name="run")
    assert isinstance(done.exception, HwgenError)
    assert str(done.exception) == message


def test_a_layer_from_files_runs(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    weights, acts = rng.normal(size=(8, 64)), rng.normal(size=(3, 64))
    np.save(tmp_path / "w.npy", weights)
    np.savez(tmp_path / "a.npz", x=acts.astype(np.float32), y=weights)
    tile = ["--pe", "int", "--group", "32", "--m", "2", "--n", "4", "--k", "4"]
    files = ["--weights", f"{tmp_path}/w.npy", "--acts", "int8", "--acts", f"{tmp_path}/a.npz:x"]
    done = CliRunner().invoke(command, [*tile, *files, "--save", f"{tmp_path}/y.npy", "--json"])
    document = json.loads(done.stdout)
    assert done.exit_code == 0
    assert document["ok"]
    assert document["operands"] == f"files: weights {tmp_path}/w.npy, activations {tmp_path}/a.npz:x"
    y, exact = np.load(tmp_path / "y.npy"), acts @ weights.T
    assert y.shape == (3, 8)
    assert 0 < np.linalg.norm(y - exact) / np.linalg.norm(exact) < 0.15
