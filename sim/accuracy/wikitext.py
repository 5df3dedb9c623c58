"""Running text of a Wikipedia dump: MediaWiki's XML, with the markup of its articles taken away.

What is left are titles, headings, paragraphs and lists. Tables, templates, footnotes, formulas, files and the sections
behind the text (references, links) are no running text and go.
"""

from __future__ import annotations

import bz2
import html
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

__all__ = ["articles", "plain"]

_FLAGS = re.DOTALL | re.IGNORECASE
_GONE = (
    re.compile(r"<!--.*?-->", _FLAGS),
    re.compile(r"<(ref|math|gallery|timeline|imagemap|source|syntaxhighlight|pre|score)\b[^<>]*/>", _FLAGS),
    re.compile(
        r"<(ref|math|gallery|timeline|imagemap|source|syntaxhighlight|pre|score)\b[^<>]*>.*?</\1\s*>",
        _FLAGS,
    ),
)
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}|\{\{\{[^{}]*\}\}\}")
_TABLE = re.compile(r"^[:*]*\{\|(?:(?!^[:*]*\{\||^\s*\|\}).)*^\s*\|\}", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[\[([^\[\]]*)\]\]")
_NAMESPACE = re.compile(r"(file|image|category|media|[a-z]{2,3}(-[a-z-]+)?|simple):", re.IGNORECASE)
_URL = re.compile(r"\[(?:https?:|ftp:|mailto:|//)[^\s\]]*\s*([^\[\]]*)\]")
_TAG = re.compile(r"</?[a-z][^<>]*>|__[A-Z]+__", re.IGNORECASE)
_QUOTES = re.compile(r"'{2,}")
_HEADING = re.compile(r"^\s*=+\s*(.*?)\s*=+\s*$")
_BEHIND = {
    "see also",
    "references",
    "notes",
    "footnotes",
    "bibliography",
    "further reading",
    "external links",
    "sources",
}
"""Headings of what follows an article's text."""
_BULLET = re.compile(r"^[*#:;]+\s*")
_EMPTY = re.compile(r" ?\([\s,;]*\)")
_SPACES = re.compile(r"[ \t\u00a0]+")


def articles(dump: Path) -> Iterator[tuple[str, str]]:
    """Title and markup of the articles of a compressed dump, in its order; redirects and talk pages are left out."""
    with bz2.open(dump) as file:
        for _, element in ElementTree.iterparse(file):
            space, _, kind = element.tag.rpartition("}")
            if kind != "page":
                continue
            at = f"{space}}}" if space else ""
            if element.findtext(f"{at}ns") == "0" and element.find(f"{at}redirect") is None:
                title, text = element.findtext(f"{at}title"), element.findtext(f"{at}revision/{at}text")
                if title and text:
                    yield title, text
            element.clear()


def plain(markup: str) -> str:
    """The running text of an article, a line each paragraph, heading or item."""
    for pattern in _GONE:
        markup = pattern.sub("", markup)
    markup = _innermost_first(_TEMPLATE, "", markup)
    markup = _innermost_first(_TABLE, "", markup)
    while True:
        replaced = _LINK.sub(_label, markup)
        if replaced == markup:
            break
        markup = replaced
    markup = html.unescape(_QUOTES.sub("", _TAG.sub("", _URL.sub(r"\1", markup))))
    lines = []
    for line in markup.splitlines():
        heading = _HEADING.match(line)
        if heading and heading[1].lower() in _BEHIND:
            break
        text = heading[1] if heading else _BULLET.sub("", line)
        lines.append(_SPACES.sub(" ", _EMPTY.sub("", text)).strip())
    return "\n".join(line for line in lines if line)


def _innermost_first(pattern: re.Pattern[str], by: str, text: str) -> str:
    """Replace until nothing is left to: what encloses something matches once that is gone."""
    count = 1
    while count:
        text, count = pattern.subn(by, text)
    return text


def _label(link: re.Match[str]) -> str:
    """What a reader sees of a link."""
    target, _, label = link[1].partition("|")
    if _NAMESPACE.match(target.strip()):
        return ""
    return label.rpartition("|")[2] or target.lstrip(":")
