"""The scoreboard: what is declared, what is committed, and that a wrong number does not stay unseen."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from hwgen.errors import GroundError, HwgenError
from reports.scoreboard import board as boards
from reports.scoreboard.bench import Bench, Tile
from reports.scoreboard.board import EMPTY, RESULTS, differences, document, load, read, rows, run, text
from reports.scoreboard.measures import AreaEnergyRatio, AreaRatio, LastWidth, PeakDensity, block_noise
from reports.scoreboard.number import BASES, OURS, SWITCHES, Measure, Number, Paper, Range, Source
from reports.scoreboard.page import body, figure
from reports.scoreboard.papers import papers
from reports.scoreboard.papers.ternary_lut import table_adders

PAPERS = papers()
NUMBERS = [(paper, one) for paper in PAPERS.values() for one in paper.numbers]
CHEAP = [pytest.param(paper, one, id=f"{paper.name} {one.key}") for paper, one in NUMBERS if one.measure.cheap]

# -------------------------------------------------------------------------------------------------------- declared


def test_there_are_enough_numbers() -> None:
    assert {"lut-tensor-core", "bitmod", "mixpe", "xr-npe", "ternary-lut", "int-or-fp", "minifloats"} <= set(PAPERS)
    assert min(len(paper.numbers) + len(paper.stated) for paper in PAPERS.values()) >= 1
    assert len(NUMBERS) >= 60
    assert sum(one.measure.basis in OURS for _, one in NUMBERS) >= 40


def test_a_paper_without_a_number_of_our_rtl_or_its_accuracy_says_why() -> None:
    ours = {paper.name for paper, one in NUMBERS if one.measure.basis in OURS}
    assert all(PAPERS[name].stated for name in set(PAPERS) - ours)
    assert len(ours) >= 7


def test_what_is_not_computed_has_a_source_and_a_reason() -> None:
    for paper in PAPERS.values():
        for one in paper.stated:
            assert one.source.paper, one.what
            assert one.published, one.what
            assert one.why.endswith("."), one.what


@pytest.mark.parametrize("paper", PAPERS.values(), ids=lambda paper: paper.name)
def test_every_number_says_where_it_stands_and_what_is_assumed(paper: Paper) -> None:
    for one in paper.numbers:
        assert one.source.paper, one.key
        assert one.source.where, one.key
        assert one.what, one.key
        assert one.why.endswith("."), one.key
        assert one.measure.basis in BASES, one.key
        switches = one.measure.switches()
        assert switches.keys() <= SWITCHES.keys(), one.key
        assert switches, one.key


def test_every_switch_is_in_use() -> None:
    used = {"library", *(name for _, one in NUMBERS for name in one.measure.switches())}
    assert used == set(SWITCHES)


def test_a_paper_has_no_two_numbers_of_a_name() -> None:
    with pytest.raises(HwgenError, match="must have one number 'a', not 2"):
        Paper("p", "P", "", (number(1.0), number(2.0)))


def test_numbers_of_one_measure_are_one() -> None:
    """Papers that compare the same things get the same number: nothing is a paper's own."""
    contents: dict[str, set[float]] = {}
    for (paper, key), known in load().found.items():
        measure = next(one.measure for one in PAPERS[paper].numbers if one.key == key)
        for library, one in known.items():
            contents.setdefault(f"{measure.content} {library}", set()).add(one.value)
    assert {len(values) for values in contents.values()} == {1}


# --------------------------------------------------------------------------------------------------------- verdicts


@dataclass(frozen=True)
class Fixed(Measure):
    """A number that is known; ``told`` counts how often it was asked for."""

    answer: float
    told: ClassVar[list[float]] = []
    basis: ClassVar[str] = "count"

    def value(self, bench: Bench) -> float:
        self.told.append(self.answer)
        return self.answer

    def switches(self) -> Mapping[str, str]:
        return {}


@dataclass(frozen=True)
class Refused(Measure):
    ground: bool = False
    basis: ClassVar[str] = "count"

    def value(self, bench: Bench) -> float:
        raise (GroundError if self.ground else HwgenError)("it must be otherwise, which it is not")

    def switches(self) -> Mapping[str, str]:
        return {}


def number(published: float | Range, unit: str = "×", measure: Measure | None = None, key: str = "a") -> Number:
    return Number(key, "what", unit, published, Source("P", "Table 1", "paper"), measure or Fixed(1.0), "So.")


@pytest.mark.parametrize(
    ("published", "unit", "ours", "ratio", "verdict"),
    [
        (2.0, "×", 2.1, 1.05, "as published"),
        (2.0, "×", 1.5, 0.75, "same way"),
        (2.0, "×", 4.0, 2.0, "same way"),
        (2.0, "×", 0.8, 0.4, "wrong way"),
        (0.5, "×", 1.3, 2.6, "wrong way"),
        (0.5, "×", 0.25, 0.5, "same way"),
        (2.0, "×", 1.05, 0.525, "no difference"),
        (2.0, "×", 0.95, 0.475, "no difference"),
        (100.0, "ms", 50.0, 0.5, "lower"),
        (100.0, "ms", 150.0, 1.5, "higher"),
        (Range(4, 6), "×", 5.0, 1.0, "as published"),
        (Range(4, 6), "×", 3.0, 0.75, "same way"),
        (Range(4, 6), "×", 12.0, 2.0, "same way"),
        (Range(4, 6), "×", 0.5, 0.125, "wrong way"),
        (Range(1, math.inf), "×", 900.0, 1.0, "as published"),
        (Range(1, math.inf), "×", 0.5, 0.5, "wrong way"),
        (Range(0, 1), "×", 1.5, 1.5, "wrong way"),
        (Range(0, 1), "×", 0.001, 1.0, "as published"),
        (Range(0.5, 2), "×", 4.0, 2.0, "higher"),
    ],
)
def test_ratio_and_verdict(published: float | Range, unit: str, ours: float, ratio: float, verdict: str) -> None:
    one = number(published, unit)
    assert one.ratio(ours) == pytest.approx(ratio)
    assert one.verdict(ours) == verdict


def test_a_source_says_how_it_was_read() -> None:
    with pytest.raises(HwgenError, match=r"read must be one of paper, abstract, .* not 'hearsay'"):
        Source("P", "Table 1", "hearsay")


# -------------------------------------------------------------------------------------------------------- committed


def test_the_committed_file_is_what_it_would_be_written_as() -> None:
    assert text(load()) == RESULTS.read_text(encoding="utf-8"), "run python -m reports.scoreboard --kept"


def test_the_page_is_of_the_committed_file() -> None:
    page = RESULTS.with_suffix(".md").read_text(encoding="utf-8")
    found = load()
    assert page.endswith(f"\n\n{body(found)}\n"), "run python -m reports.scoreboard --kept"
    head = page.partition("\n\n")[2].partition("\n\n")[0]
    assert f"Made by `{found.facts['command']}`." in head
    assert f"Commit: {found.facts['commit']}." in head
    assert f"Versions: {found.facts['versions']}." in head


def test_enough_is_measured() -> None:
    listed = rows(load(), PAPERS.values())
    got = [row for row in listed if row.shown is not None]
    assert len(got) >= 60
    assert sum(row.number.measure.basis in OURS for row in got) >= 40
    for name, paper in PAPERS.items():
        assert sum(row.paper.name == name for row in got) >= min(3, len(paper.numbers)), name


def test_the_plot_has_a_row_a_number() -> None:
    listed = rows(load(), PAPERS.values())
    axes = figure(listed).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [row.number.key for row in listed if row.shown is not None]
    assert axes.get_xscale() == "log"


@pytest.mark.parametrize(("paper", "one"), CHEAP)
def test_cheap_numbers_are_what_is_committed(paper: Paper, one: Number) -> None:
    committed = load().found[paper.name, one.key][""]
    assert one.measure.value(Bench()) == pytest.approx(committed.value, rel=1e-9, abs=0)


def tampered(tmp_path: Path, change: Any) -> Path:
    written = json.loads(RESULTS.read_text(encoding="utf-8"))
    entry = next(entry for entry in written["numbers"] if entry["number"] == "adders/4")
    change(entry)
    path = tmp_path / "board.json"
    path.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def test_a_wrong_number_of_ours_is_seen(tmp_path: Path) -> None:
    path = tampered(tmp_path, lambda entry: entry["ours"][""].update(value=37.0))
    wrong = read(path)
    # In the file: its ratio is another one's. Measured again: it is another number.
    assert text(wrong) != path.read_text(encoding="utf-8")
    again = run(wrong, (PAPERS["ternary-lut"],), Bench(), "now", bases=("count",))
    same, changed = differences(rows(again, PAPERS.values()))
    assert changed == ["ternary-lut adders/4 (now 36, committed 37)"]
    assert same == 3


def test_a_wrong_published_number_is_seen(tmp_path: Path) -> None:
    path = tampered(tmp_path, lambda entry: entry.update(published=[36.0, 36.0]))
    assert text(read(path)) != path.read_text(encoding="utf-8")


def test_a_number_of_another_measure_is_not_taken(tmp_path: Path) -> None:
    path = tampered(tmp_path, lambda entry: entry.update(measure="0" * 16))
    assert ("ternary-lut", "adders/4") not in read(path).found
    assert ("ternary-lut", "adders/5") in read(path).found


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"numbers": [{}]}', '{"numbers": 3}', "\udcff"])
def test_a_damaged_file_is_told(content: str, tmp_path: Path) -> None:
    path = tmp_path / "board.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(HwgenError, match=r"scoreboard: .*board\.json: "):
        read(path)


# ---------------------------------------------------------------------------------------------------------- running


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path / "cache"))
    Fixed.told.clear()


@pytest.mark.usefixtures("own_cache")
def test_what_cannot_be_got_is_said_and_the_rest_goes_on() -> None:
    paper = Paper("p", "P", "", (number(2.0, measure=Refused()), number(2.0, measure=Fixed(3.0), key="b")))
    found = run(EMPTY, (paper,), Bench(), "now")
    assert found.left == {("p", "a"): "it must be otherwise, which it is not"}
    refused, got = rows(found, (paper,))
    assert (refused.shown, refused.verdict, refused.ratio) == (None, "not run", None)
    assert (got.shown.value if got.shown else None, got.verdict) == (3.0, "same way")
    assert document(found, (paper,))["numbers"][0]["left"] == "it must be otherwise, which it is not"


@pytest.mark.usefixtures("own_cache")
def test_a_machine_that_gives_way_ends_the_run() -> None:
    with pytest.raises(GroundError):
        run(EMPTY, (Paper("p", "P", "", (number(2.0, measure=Refused(True)),)),), Bench(), "now")


@pytest.mark.usefixtures("own_cache")
def test_what_was_got_is_kept() -> None:
    paper = Paper("p", "P", "", (number(2.0, measure=Fixed(3.0)), number(2.0, measure=Fixed(5.0), key="b")))
    seen: list[tuple[int, int, str]] = []
    for _ in range(2):
        run(EMPTY, (paper,), Bench(), "now", progress=lambda done, of, what: seen.append((done, of, what)))
    assert Fixed.told == [3.0, 5.0]
    assert seen[:3] == [(0, 2, "p a"), (1, 2, "p b"), (2, 2, "")]


@pytest.mark.usefixtures("own_cache")
def test_no_number_is_begun_when_time_is_over() -> None:
    paper = Paper("p", "P", "", (number(2.0),))
    assert run(EMPTY, (paper,), Bench(), "now", minutes=-1).left == {("p", "a"): "time was over"}
    assert Fixed.told == []


def test_a_number_of_a_library_needs_one() -> None:
    with pytest.raises(HwgenError, match="needs a cell library; give one with --liberty"):
        AreaRatio(Tile.of("int", 64), Tile.of("lut", 64)).value(Bench())


def test_the_library_that_was_measured_now_is_shown() -> None:
    paper = Paper("p", "P", "", (number(2.0),))
    known = {
        "asap7": boards.Found(1.5, "asap7", "x"),
        "sky130hd": boards.Found(3.0, "sky130hd", "now", here=True, before=2.9),
    }
    (row,) = rows(dataclasses.replace(EMPTY, found={("p", "a"): known}), (paper,))
    assert row.shown is known["sky130hd"]
    (row,) = rows(dataclasses.replace(EMPTY, found={("p", "a"): {"asap7": known["asap7"]}}), (paper,))
    assert row.shown is known["asap7"]


# --------------------------------------------------------------------------------------------------------- measures


class Shelf:
    """A bench with sizes that are known: area, energy, period and multiply-accumulates a cycle by family."""

    def __init__(self, **sizes: tuple[float, float, float, int]) -> None:
        self.sizes = sizes

    def area(self, tile: Tile) -> Any:
        area, energy, period, macs = self.sizes[tile.family + str(tile.parameters.get("bits", ""))]
        return SimpleNamespace(area=area, energy=energy, period_ns=period, macs_per_cycle=macs)

    energy = area


def bench(**sizes: tuple[float, float, float, int]) -> Bench:
    shelf: Any = Shelf(**sizes)
    return shelf


INT, LUT = Tile.of("int", 64), Tile.of("lut", 64)


def test_areas_are_those_of_a_throughput() -> None:
    shelf = bench(int=(800.0, 1.0, 1.0, 64), lut=(400.0, 0.25, 2.0, 32))
    assert AreaRatio(INT, LUT).value(shelf) == 800 / 64 / (400 * 2 / 32)
    assert AreaRatio(INT, LUT, 1 / 8).value(shelf) == 8 * AreaRatio(INT, LUT).value(shelf)
    assert AreaEnergyRatio(INT, LUT).value(shelf) == AreaRatio(INT, LUT).value(shelf) * 4


def test_a_crossover_is_the_last_width_before_it() -> None:
    tiles = tuple((bits, Tile.of("lut", 64, bits=bits)) for bits in (1, 2, 4))
    sizes = {"lut1": (10.0, 0.0, 1.0, 1), "lut2": (30.0, 0.0, 1.0, 1), "lut4": (20.0, 0.0, 1.0, 1)}
    for base, expected in ((5.0, 0), (15.0, 1), (25.0, 1), (35.0, 4)):
        assert LastWidth(tiles, INT).value(bench(int=(base, 0.0, 1.0, 1), **sizes)) == expected
    assert PeakDensity(tiles).value(bench(**sizes)) == 1


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_a_table_needs_an_adder_for_each_entry_that_is_no_activation(size: int) -> None:
    assert table_adders(size) == (3**size - 1) // 2 - size


@pytest.mark.parametrize(("name", "bits"), [("int8", 8), ("int6", 6), ("int4", 4)])
def test_noise_of_integers_is_that_of_the_formula(name: str, bits: int) -> None:
    """4.78 + 6.02 b - 20 log10(rho kappa) dB, with rho² of scales that are log-uniform over an octave: 3 / (2 ln 2)."""
    for kappa in (1.6, 2.5, 3.5):
        scale = 10 * math.log10(3 / (2 * math.log(2)))
        expected = 4.78 + 6.02 * bits - scale - 20 * math.log10(kappa)
        # The largest code is 2**(b-1) - 1, not 2**(b-1), and the peak lies on no special place of a step.
        expected += 20 * math.log10(1 - 2.0 ** (1 - bits))
        assert -10 * math.log10(block_noise(name, 32, "ceil", kappa)) == pytest.approx(expected, abs=0.4)


# ---------------------------------------------------------------------------------------------------- command line


def hwgen(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hwgen", "reproduce", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.few(3)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mixp"], "paper must be one of abq-llm, ant, any4, "),
        (["--rerun", "--liberty", "nowhere.lib"], "nowhere.lib"),
        (["--only", "synthesys"], "basis must be one of synthesis, energy, "),
        (["--liberty", "nowhere.lib"], "reproduce: --liberty must come with --rerun, which measures again"),
        (["--rerun", "--tech", "asap"], "no technology table 'asap'; did you mean 'asap7'?"),
        (["--rerun", "--tech", "tpuv4i7"], "reproduce: --tech must be a technology with a default clock period, "),
        (["-o", "board.md"], "reproduce: --output must end in .json, not 'board.md'"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str) -> None:
    done = hwgen(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_an_installed_package_says_where_the_results_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "RESULTS", tmp_path / "scoreboard.json")
    with pytest.raises(HwgenError, match="in the repository, not in an installed package; measure again with --rerun"):
        load()
