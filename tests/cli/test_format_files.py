"""--format in commands: the family follows, mistakes are one line, sweeps carry the format into other processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwgen.cli import main
from hwgen.formats import get
from hwgen.pe import family

BLOCK = 'name = "mine"\nelement = "e3m0"\nblock = 12\nscale = "ue4m3"\n'
CODES = "values = [-4, -1, 0, 3]\ngroup = 16\n"


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def block(tmp_path: Path) -> Path:
    (tmp_path / "block.toml").write_text(BLOCK)
    return tmp_path / "block.toml"


@pytest.fixture
def codes(tmp_path: Path) -> Path:
    (tmp_path / "codes.toml").write_text(CODES)
    return tmp_path / "codes.toml"


@pytest.mark.parametrize(
    ("name", "kind", "weights", "codes"),
    [
        ("nf4", "codebook", "nf4", None),
        ("fp4_special", "codebook", "special(fp4_e2m1,-5,5,-8,8)", "special(fp4_e2m1,-5,5,-8,8)"),
        ("block24", "mx", "block24:fp4_e2m1:ue5m3:nearest", "fp4_e2m1"),
    ],
)
def test_a_manifest_has_all_of_the_format(
    name: str, kind: str, weights: str, codes: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("show", "--format", name, "--m", 1, "--n", 2, "--clk-period-ns", "own", "--json") == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["family"] == kind
    assert manifest["parameters"]["weights"] == weights
    assert manifest["parameters"]["group"] == (24 if kind == "mx" else 64)
    used = manifest["formats"]["weights"]
    assert used == (codes or used)
    described = manifest["encodings"][used]
    form = get(used)
    values = described.get("values_by_side") or [described.get("values")]
    for side, table in enumerate(values if described["kind"] == "table" else []):
        assert table == form.decode(form.codes(), [side] * 16 if form.side_bits else None).tolist()


def test_a_file_gives_what_its_name_gives(block: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rest = ("--m", 1, "--n", 2, "--clk-period-ns", "own")
    name = "block12:e3m0:ue4m3:nearest"
    texts = []
    for words in (
        ("emit", "--format", block),
        ("emit", f"--format={block}", "--pe", "mx"),
        ("emit", "mx", "--weights", name),
    ):
        assert run(*words, *rest) == 0
        texts.append(capsys.readouterr().out)
    assert len(set(texts)) == 1
    assert "module mx_tile" in texts[0]
    # The file as a value of a parameter, and its name, once it was read.
    assert len({family("mx").from_values({"weights": one}) for one in (str(block), name, "mine")}) == 1


def test_mistakes_are_one_line(block: Path, codes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block.with_name("wrong.toml").write_text("values = [0,\n nan]")
    wide = block.with_name("wide.toml")
    wide.write_text(f"values = {[one - 32 for one in range(64)]}")
    for words, said in (
        (("emit", "--format", block, "--weights", "mxfp4"), "mx: --weights must not be given with --format, which "),
        (("emit", "--format", block, "--bits", 4), "mx: --bits must not be given with --format, which says it"),
        (("emit", "--format", block, "--format", codes), "emit: --format must be given once, not as "),
        (("emit", "--format", block, "--pe", "int"), f"int: no tile has weights in the format of {block}; those that "),
        (
            ("verify", "--format", block.with_name("wrong.toml")),
            f"{block.with_name('wrong.toml')}, line 2: values must ",
        ),
        (("emit", "--format", wide), f"PE family: no tile has weights in the format of {wide}"),
        (("emit", "--format", "nf5"), "format 'nf5': must be a .toml file, or one of those that come with hwgen: "),
        (("emit", "mx", "--weights", codes), f"{codes}: must be a block format, with element and block, to be taken"),
        (
            ("sweep", "--format", "cvs", "--layer", "8x8x8"),
            "sweep: --format must be text, csv, tsv, or a number format",
        ),
        (
            ("sweep", "--format", block, "--pe", "int", "--layer", "8x24x24"),
            f"sweep: --pe must be mx for the format of {block}, not int",
        ),
        (
            ("sweep", "--format", block, "--weights", "mxfp4", "--layer", "8x24x24"),
            f"sweep: weights must be no axis beside --format {block}, which says it",
        ),
        (("accuracy", "--format", "csv", "--format", "tsv"), "accuracy: --format must be one of text, csv, tsv, not "),
    ):
        assert run(*words) == 2, words
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"hwgen: {said}"), (words, err)
        assert err.count("\n") == 1


def test_sweeps_carry_formats_into_workers(block: Path, codes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two processes find what one finds, and need no file for it."""
    shared = (
        "--m",
        1,
        "--n",
        "2,4",
        "--k",
        4,
        "--layer",
        "4x8x48",
        "--clk-period-ns",
        "own",
        "--json",
        "--store",
        "all",
    )
    found = []
    for jobs in (1, 2):
        folder = block.with_name(f"sweep{jobs}")
        assert run("sweep", "--format", block, "--format", codes, *shared, "-o", folder, "--jobs", jobs) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["front"] == found[1]["front"]
    assert found[0]["points"] == 4
    # The same from the file of a space.
    space = block.with_name("space.toml")
    space.write_text(
        f'format = ["{block}", "{codes}"]\nlayers = ["4x8x48"]\nclk_period_ns = "own"\n[axes]\nm=1\nn=[2,4]\nk=4\n'
    )
    assert run("sweep", space, "--json") == 0
    assert json.loads(capsys.readouterr().out)["front"] == found[0]["front"]
    # A file among the values of an axis.
    axes = ("--pe", "codebook", "--weights", f"{codes},nf4", "--group", 16, *shared[:-2])
    assert run("sweep", *axes) == 0
    front = json.loads(capsys.readouterr().out)["front"]
    assert {one["weights"] for one in front} <= {"codebook(-4,-1,0,3)", "nf4"}
    # What a name means is in the sweep, whatever becomes of the file.
    block.write_text(BLOCK.replace("12", "24"))
    from dse.stored import open_sweep

    stored = open_sweep(block.with_name("sweep1"))
    assert set(stored.front["weights"]) <= {"block12:e3m0:ue4m3:nearest", "codebook(-4,-1,0,3)"}
