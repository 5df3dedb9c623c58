"""The file around a model: markup, style, script and data in one, which asks no network for anything."""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reports.page.model import dumps

__all__ = ["MOST_BYTES", "page_html", "script"]

MOST_BYTES = 6_000_000
"""Largest page: what mail and chat still take."""

_ASSETS = Path(__file__).parent / "assets"
_MAIN = "main.js"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w.]+)";\n', re.M)
_EXPORT = re.compile(r"^export (?=(?:const|let|function|async function|class) )", re.M)
_SLOT = re.compile(r"\{\{(\w+)\}\}")


def page_html(model: Mapping[str, Any]) -> str:
    """The page of a model (`reports.page.model.page_model`)."""
    slots = {
        "title": html.escape(f"{model['title']} – hwgen"),
        "heading": html.escape(str(model["title"])),
        "style": _asset("page.css"),
        "script": script(),
        "model": dumps(model),
    }
    return _SLOT.sub(lambda match: slots[match[1]], _asset("page.html"))


@functools.cache
def script() -> str:
    """The modules of the script as one: each after those that it imports. Names are one scope's, so that two modules
    with the same name of something would not run at all.

    Raises `ValueError` for modules that import in a circle, and for what `import` or `export` is left: forms that are
    not used here.
    """
    done: dict[str, str] = {}

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"{name} imports itself by way of {', '.join(above)}")
        if name in done:
            return
        text = _asset(name)
        for other in _IMPORT.findall(text):
            add(other, (*above, name))
        body = _EXPORT.sub("", _IMPORT.sub("", text))
        left = re.search(r"^\s*(import|export)\b.*", body, re.M)
        if left:
            raise ValueError(f"{name}: {left[0].strip()!r} is a form that is not inlined")
        done[name] = f"// {name}\n{body.strip()}\n"

    add(_MAIN, ())
    return "\n".join(done.values())


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
