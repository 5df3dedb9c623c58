"""Workloads that come with the package: sizes as data in ``catalogue/``, each with its source."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError, suggest
from sim.workload.convnets import mobilenet_v2, resnet
from sim.workload.transformer import Sizes, language_model, vision_transformer
from sim.workload.workload import Workload

__all__ = ["builtin", "builtin_names", "is_rounded"]

FOLDER = Path(__file__).parent / "catalogue"


@functools.cache
def _entries() -> dict[str, dict[str, Any]]:
    """Every entry of the catalogue by name, as its file has it."""
    found: dict[str, dict[str, Any]] = {}
    for path in (FOLDER / "language.toml", FOLDER / "vision.toml"):
        found |= tomllib.loads(path.read_text(encoding="utf-8"))
    return found


def builtin_names() -> list[str]:
    """Names of the workloads in the order of the catalogue."""
    return list(_entries())


def is_rounded(name: str) -> bool:
    """Whether the published number of parameters is a rounded one."""
    return bool(_entries()[name].get("rounded", False))


def _plain(name: str) -> str:
    """A name without what people write in different ways: Llama-2-7B, llama2-7b."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def builtin(name: str) -> Workload:
    """A workload of the catalogue, however its name is hyphenated. Raises `HwgenError` for an unknown name, with the
    nearest one.
    """
    entries = _entries()
    key = {_plain(known): known for known in entries}.get(_plain(name), name.lower())
    if key not in entries:
        raise HwgenError(
            f"workload: no model {name!r}{suggest(key, entries)}; `hwgen workload list` has the names, and a file may "
            "be given (config.json, .gguf, .safetensors, .onnx)"
        )
    entry = {field: value for field, value in entries[key].items() if field != "rounded"}
    kind = entry.pop("kind", "decoder")
    about = {"source": entry.pop("source"), "published": entry.pop("parameters")}
    if kind == "resnet":
        return resnet(key, entry.pop("blocks"), **entry, **about)
    if kind == "mobilenet_v2":
        return mobilenet_v2(key, entry.pop("stages"), **entry, **about)
    make = vision_transformer if kind == "vit" else language_model
    return make(key, Sizes(**entry), **about)
