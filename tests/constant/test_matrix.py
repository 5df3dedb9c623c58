"""Matrices are read as they are, and what is none is told in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.constant import ConstantUnit, constant_matrix, read_constant
from hwgen.constant.layer import parse_range, quantised_block
from hwgen.errors import HwgenError

W = np.array([[1, -2, 0], [300, 4, -5]])


def test_every_kind_of_file(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", W.astype(np.float32))
    np.savez(tmp_path / "one.npz", W)
    np.savez(tmp_path / "two.npz", a=W, b=2 * W)
    (tmp_path / "w.csv").write_text("1,-2,0\n300,4,-5\n")
    for name, times in (("w.npy", 1), ("one.npz", 1), ("two.npz:b", 2), ("w.csv", 1)):
        np.testing.assert_array_equal(read_constant(f"{tmp_path}/{name}"), times * W)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.5, 2]], r"must hold whole numbers, not 1\.5 at \[0, 0\]; weights of a model are quantised with --layer"),
        ([[1, np.nan]], r"must hold whole numbers, not nan at \[0, 1\]"),
        ([[1, np.inf]], r"must hold whole numbers, not inf at \[0, 1\]"),
        ([["a"]], "must hold whole numbers, not <U1"),
        ([[1j]], "must hold whole numbers, not complex128"),
        ([1, 2], r"outputs as rows and inputs as columns, at least one of each, not shape \[2\]"),
        (np.zeros((0, 3)), r"not shape \[0, 3\]"),
        (np.ones((129, 128)), "at most 16384 elements, not 129 x 128; cut it into blocks"),
        ([[1, -65536]], r"weights must be from -65535 to 65535, not -65536 at \[0, 1\]"),
        (np.array([[2**63]], np.uint64), "weights must be from -65535 to 65535"),
        (np.zeros((2, 2), int), "must have a weight that is not zero, but all 4 are"),
    ],
)
def test_what_is_no_constant_matrix(values: Any, message: str) -> None:
    with pytest.raises(HwgenError, match=f"constant: .*{message}"):
        constant_matrix(values)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.txt", b"1", r"must be a file \.npy, \.npz, \.csv, or x\.npz:NAME"),
        ("w.npy:x", b"", r"must be a file \.npy, \.npz, \.csv, or x\.npz:NAME"),
        ("w.npy", b"no array", "must hold an array of numpy.save or numpy.savez, which it does not"),
        ("w.npz", b"no archive", "must hold an array"),
        ("w.csv", b"1,2\n3\n", "must hold comma-separated whole numbers"),
        ("w.csv", b"1,two\n", "must hold comma-separated whole numbers"),
        ("w.csv", b"\xff\xfe", "must hold comma-separated whole numbers"),
        ("w.csv", b"", "at least one of each"),
        ("w.csv", b"1,nan\n", r"must hold whole numbers, not nan at \[0, 1\]"),
        ("w.csv", b"1" * 600_000, "must have at most 16384 elements"),
    ],
)
def test_files_that_hold_none(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name.partition(":")[0]).write_bytes(content)
    with pytest.raises(HwgenError, match=message):
        read_constant(f"{tmp_path}/{name}")


def test_archives_say_which(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", first=W, second=W)
    with pytest.raises(HwgenError, match=r"holds 2 arrays; say which, as .*two\.npz:NAME \(first, second\)"):
        read_constant(tmp_path / "two.npz")
    with pytest.raises(HwgenError, match="holds no 'secnd', but first, second; did you mean 'second'"):
        read_constant(f"{tmp_path / 'two.npz'}:secnd")
    np.savez(tmp_path / "big.npz", np.zeros((1000, 1000)))
    with pytest.raises(HwgenError, match="must have at most 16384 elements, not 8000128 bytes"):
        read_constant(tmp_path / "big.npz")
    np.savez(tmp_path / "object.npz", np.array([{}]))
    with pytest.raises(HwgenError, match="must hold an array of numpy"):
        read_constant(tmp_path / "object.npz")


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(HwgenError, match=r"none\.npy: cannot be read: No such file"):
        read_constant(tmp_path / "none.npy")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(HwgenError, match="must be a file, not a folder"):
        read_constant(tmp_path / "folder.npy")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "cse"}, "method must be shared or csd, not 'cse'"),
        ({"acts": "fp16"}, "acts must be intN or uintN, N from 1 to 16, not 'fp16'"),
        ({"acts": "int17"}, "acts must be intN or uintN, N from 1 to 16, not 'int17'"),
        ({"levels": 0}, "levels must be a whole number from 1 to 1000, not 0"),
        ({"levels": True}, "levels must be a whole number from 1 to 1000, not True"),
        ({"extra_levels": -1}, "extra_levels must be a whole number from 0 to 1000, not -1"),
        ({"method": "csd", "extra_levels": 0}, "extra_levels is of method shared"),
    ],
)
def test_values_that_are_not_allowed(given: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError, match=f"constant: {message}"):
        ConstantUnit.of(W, **given)


def test_ranges() -> None:
    assert parse_range(None, 8, "x") == slice(0, 8)
    assert parse_range("2:", 8, "x") == slice(2, 8)
    assert parse_range(":3", 8, "x") == slice(0, 3)
    for text in ("3", "3:3", "5:9", "-1:3", "a:b", "1:2:3", "9" * 30 + ":"):
        with pytest.raises(HwgenError, match=r"x must be A:B with 0 <= A < B <= 8, not '"):
            parse_range(text, 8, "x")


@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric", "bipolar", "ternary"])
def test_block_of_a_layer_is_its_integers(scheme: str) -> None:
    weights = np.random.default_rng(6).standard_normal((6, 32)).astype(np.float32)
    bits = 2 if scheme == "ternary" else 3
    block = quantised_block(weights, slice(1, 5), slice(16, 28), bits, scheme, 16)
    assert block.shape == (4, 12)
    # Times the scale of row and group they are the weights, to half a step (a step at the ends).
    for row, whole in zip(weights[1:5, 16:28], block, strict=True):
        scale = float(row @ whole) / float(whole @ whole)
        assert np.abs(row - scale * whole).max() < (3 if scheme == "ternary" else 1.3) * scale
    with pytest.raises(HwgenError, match=r"inputs must be of one group of 16, .* not 10:20; make one unit a group"):
        quantised_block(weights, slice(0, 1), slice(10, 20), bits, scheme, 16)
