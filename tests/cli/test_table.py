"""Tables keep their words on narrow terminals and in pipes, and come as values."""

from __future__ import annotations

import csv
import io

import pytest

from hwgen.cli import main
from hwgen.cli._table import Column, Sheet, print_table
from hwgen.formats.file import example_names
from hwgen.pe import families

COLUMNS = [Column("pe", right=False), Column("energy_pj_per_mac"), Column("area_um2")]
ROWS = [("minifloat", "1.234", "123456"), ("int", "0.5", "9")]


def call(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0


def test_a_pipe_has_its_full_width(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    print_table(COLUMNS, ROWS)
    assert capsys.readouterr().out.splitlines() == [
        "pe         energy_pj_per_mac  area_um2",
        "minifloat              1.234    123456",
        "int                      0.5         9",
    ]


def test_headings_break_between_words(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwgen.cli._table.room", lambda: 30)
    print_table(COLUMNS, ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert sorted(" ".join(lines[:-2]).split()) == sorted(["pe", "energy_", "pj_per_", "mac", "area_", "um2"])
    assert [line.split() for line in lines[-2:]] == [list(row) for row in ROWS]
    assert max(map(len, lines)) <= 30


def test_nothing_is_cut_where_nothing_helps(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwgen.cli._table.room", lambda: 12)
    print_table(COLUMNS, ROWS)
    out = capsys.readouterr().out
    assert all(word in out for row in ROWS for word in row)
    assert "…" not in out


def test_long_cells_take_several_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwgen.cli._table.room", lambda: 24)
    print_table(
        [Column("flag", right=False), Column("meaning", right=False, fold=True)], [("--m", "one two three four five")]
    )
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 24
    assert " ".join(" ".join(lines[1:]).split()) == "--m one two three four five"


@pytest.mark.parametrize(("form", "mark"), [("csv", ","), ("tsv", "\t")])
def test_values_alone_on_standard_output(capsys: pytest.CaptureFixture[str], form: str, mark: str) -> None:
    sheet = Sheet(form)
    sheet.table([Column("a"), Column("b µm²")], [(1.25, "x,y"), (None, "z")], lambda name, value: "shown")
    sheet.say("words")
    out, err = capsys.readouterr()
    assert list(csv.reader(io.StringIO(out), delimiter=mark)) == [["a", "b µm²"], ["1.25", "x,y"], ["", "z"]]
    assert err == "words\n"


@pytest.mark.parametrize("command", [["list"], ["show", "lut"], ["show", "int", "--bits", "4"], ["show", "posit"]])
def test_list_and_show_fit_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setattr("hwgen.cli._table.room", lambda: 80)
    call(command)
    lines = capsys.readouterr().out.splitlines()
    if command == ["list"]:
        assert max(map(len, lines)) <= 80
        assert len([line for line in lines if line.startswith("bitmod")]) == 1
        assert len(lines) == len(families()) + 4 + len(example_names())
    else:
        table = lines[next(i for i, line in enumerate(lines) if line.startswith("parameter")) :]
        assert max(map(len, table[: table.index("")])) <= 80
        assert lines[0].startswith(f"{command[1]}: ")
        assert lines[1].startswith(("formats: ", "mode"))


def test_sweep_as_values(capsys: pytest.CaptureFixture[str]) -> None:
    call(["sweep", "--pe", "int", "--n", "4,8", "--layer", "8x64x128", "--format", "csv"])
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert {"chosen", "pe", "n", "area_um2", "latency_us", "energy_pj_per_mac", "power_mw"} <= rows[0].keys()
    assert [row["chosen"] for row in rows].count("*") == 1
    assert all(float(row["area_um2"]) > 0 for row in rows)
    assert "points are on the front" in err


def test_a_clock_that_is_not_met_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    call(["estimate", "--pe", "int", "--layer", "8x64x128", "--clk-period-ns", "1", "--stages", "1"])
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("the clock of 1 ns cannot be met: the tile needs ")
    assert any(" mW; area " in line for line in others)
