"""`hwgen constant`: what it writes and says, and what it refuses."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hwgen.cli.constant import command
from hwgen.constant import ConstantCheck
from hwgen.errors import HwgenError


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    path = tmp_path / "w.csv"
    path.write_text("1,-2,3\n4,5,-6\n")
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words])


def test_writes_verilog_and_manifest(matrix: Path, tmp_path: Path) -> None:
    verilog, manifest = tmp_path / "core.v", tmp_path / "core.json"
    result = run(matrix, "-o", verilog, "--manifest", manifest, "--top", "core", "--method", "csd", "--acts", "uint4")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "core: 2 x 3 weights, uint4 inputs, 9 bit outputs"
    assert "latency: 1 cycle, a vector a cycle" in result.stdout
    text = verilog.read_text()
    assert "module core(" in text
    said = json.loads(manifest.read_text())
    assert said["kind"] == "constant"
    assert said["matrix"] == [[1, -2, 3], [4, 5, -6]]
    assert said["timing"] == {"latency": 1, "interval": 1}
    assert said["verilog_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    ports = {port["name"]: port for port in said["ports"]}
    assert list(ports) == ["clk", "rst", "i_valid", "i_x", "o_valid", "o_y"]
    assert ports["i_x"]["packing"] == {
        "shape": [3],
        "element_bits": 4,
        "signed": False,
        "order": "row-major, element 0 in the least significant bits",
    }
    assert ports["o_y"]["packing"]["signed"]


def test_json_has_costs_and_no_matrix(matrix: Path) -> None:
    said = json.loads(run(matrix, "--json", "--method", "csd").stdout)
    assert "matrix" not in said
    # 1, -2, 4 - 1; 4, 4 + 1, -8 + 2.
    assert said["costs"]["adders"] == 3 + 4
    assert said["source"] == str(matrix)
    assert "da4ml" not in said["versions"]
    assert json.loads(run(matrix, "--json").stdout)["versions"]["da4ml"]


def test_a_difference_is_exit_status_1(matrix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwgen.constant.verify_constant", lambda *given: ConstantCheck(9, 2, 1, "vector 3"))
    result = run(matrix, "--verify", "--method", "csd")
    assert result.exit_code == 1
    assert "verify: FAIL 2 elements wrong, 1 results late: vector 3" in result.stdout


def test_a_layer_of_a_model(real_model: Path) -> None:
    words = ("--layer", "blk.0.attn_k", "--outputs", "0:4", "--inputs", "32:40", "--group", "32", "--method", "csd")
    said = json.loads(run(*words, "--json").stdout)
    assert said["source"] == "blk.0.attn_k[0:4, 32:40], 4 bits, symmetric, group 32"
    assert said["ports"][3]["packing"]["shape"] == [8]
    with pytest.raises(HwgenError, match="at most 16384 elements, not 192 x 576"):
        command.main(["--layer", "blk.0.attn_k"], standalone_mode=False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "the matrix must be a file or a --layer, and neither is given; e.g. hwgen constant weights.npy -o core.v"),
        (("{}", "--layer", "x"), "the matrix must be a file or a --layer, not both"),
        (("{}", "--bits", "4"), "--bits is of layers and must come with --layer"),
        (("{}", "--liberty", "x.lib"), "--liberty must come with --synth"),
        (("{}", "--top", "module"), "top must be no reserved word of Verilog and no port, not 'module'"),
        (("{}", "--top", "i_x"), "top must be no reserved word of Verilog and no port, not 'i_x'"),
        (("{}", "--top", "a__b"), "top must be a letter, then letters, digits and single underscores"),
        (("{}", "--fpga", "virtx"), "fpga must be one of"),
    ],
)
def test_mistakes(words: tuple[str, ...], message: str, matrix: Path) -> None:
    with pytest.raises(HwgenError, match=message):
        command.main([word.format(matrix) for word in words] + ["--method", "csd"], standalone_mode=False)


def test_a_matrix_is_no_output(tmp_path: Path) -> None:
    path = tmp_path / "w"
    (tmp_path / "w.csv").write_text("1\n")
    path.symlink_to(tmp_path / "w.csv")
    with pytest.raises(HwgenError, match="must be different files"):
        command.main([str(tmp_path / "w.csv"), "-o", str(path)], standalone_mode=False)
