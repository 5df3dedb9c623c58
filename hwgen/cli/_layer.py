"""What ``estimate`` and ``sweep`` share: layer shapes as text, and a clear word about missing extras."""

from __future__ import annotations

import importlib.util
import re

from hwgen.errors import HwgenError
from hwgen.schedule import MOST, Layer

__all__ = ["LAYER_HELP", "needs", "parse_layer"]

LAYER_HELP = "tokens, outputs, inputs of a linear layer, as MxNxK, optionally NAME:MxNxK*COUNT"

_LAYER = re.compile(r"(?:(?P<name>[^:]+):)?(?P<m>\d+)[x,](?P<n>\d+)[x,](?P<k>\d+)(?:\*(?P<count>\d+))?")


def parse_layer(text: str) -> Layer:
    """Layer of ``8x1536x576``, ``8,1536,576`` or ``up:8x1536x576*30``.

    Raises `HwgenError` for any other text, for a zero, and for more than 64 bits hold.
    """
    match = _LAYER.fullmatch(text.replace(" ", ""))
    if match is None:
        raise HwgenError(
            f"--layer: must be MxNxK (tokens, outputs, inputs), e.g. 8x1536x576 or up:8x1536x576*30, not {text!r}"
        )
    texts = {key: match[key] or "1" for key in ("m", "n", "k", "count")}
    for key, digits in texts.items():
        if len(digits.lstrip("0")) > len(str(MOST)):
            raise HwgenError(
                f"--layer: {key} must be at most {MOST}, which 64 bits hold, not a number of {len(digits)} digits"
            )
    name = match["name"] or "x".join(match[key] for key in ("m", "n", "k"))
    return Layer(name, **{key: int(digits) for key, digits in texts.items()})


def needs(command: str, extra: str, *modules: str) -> None:
    """Raise `HwgenError` with the command that installs them when a module of an optional extra is missing."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise HwgenError(
                f"{command}: needs the package {module}, which is not installed; pip install 'hwgen[{extra}]'"
            )
