"""How the configuration beside a safetensors model says that it is quantised."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from hwgen.errors import HwgenError, os_error
from sim.models.checkpoint.stored import Place
from sim.models.model_file import ModelFile

__all__ = ["METHODS", "QUANTIZE_CONFIG", "option", "quantisation_of", "scheme_of"]

METHODS = ("gptq", "awq", "compressed-tensors", "fp8")
"""Values of ``quant_method`` that are read."""

QUANTIZE_CONFIG = "quantize_config.json"
"""Where AutoGPTQ says what config.json does not."""


def quantisation_of(model: ModelFile) -> Mapping[str, Any] | None:
    """``quantization_config`` of config.json beside the model, or quantize_config.json of GPTQ; None without either.

    Raises `HwgenError` for files that are damaged, and for another ``quant_method``.
    """
    where = model.path.parent / "config.json"
    content = _read(where)
    found: Any = None
    for holder in (content, content.get("text_config") if content else None):
        if isinstance(holder, dict) and found is None:
            found = holder.get("quantization_config", holder.get("compression_config"))
    if found is None:
        where = model.path.parent / QUANTIZE_CONFIG
        found = _read(where)
        if found is None:
            return None
        found = {"quant_method": "gptq", **found}
    method = found.get("quant_method") if isinstance(found, dict) else None
    if method not in METHODS:
        raise HwgenError(
            f"model file {where}: quant_method must be one of {', '.join(METHODS)}, not {str(method)[:40]!r}"
        )
    return {**found, "where": str(where)}


def _read(path: Any) -> dict[str, Any] | None:
    """A JSON object, or None where there is no such file."""
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise os_error(f"model file {path}: cannot be read", error) from error
    except (ValueError, RecursionError) as error:
        raise HwgenError(f"model file {path}: is no JSON; fetch it again") from error
    if not isinstance(content, dict):
        raise HwgenError(f"model file {path}: must be a JSON object; fetch it again")
    return content


def option(config: Mapping[str, Any], names: tuple[str, ...], allowed: tuple[Any, ...], default: Any = None) -> Any:
    """The value of the first of ``names`` that is there. Raises `HwgenError` for one that is not allowed."""
    value = next((config[name] for name in names if config.get(name) is not None), default)
    # By type too: 4.0 and True are equal to whole numbers.
    if type(value) is not type(allowed[0]) or value not in allowed:
        where, words = config["where"], ", ".join(dict.fromkeys(str(one).lower() for one in allowed))
        one_of = "one of " if "," in words else ""
        raise HwgenError(f"model file {where}: {names[0]} must be {one_of}{words}, not {str(value)[:40]!r}")
    return value


def scheme_of(place: Place, config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The format and the ``weights`` of the group of compressed-tensors that a layer belongs to.

    A group that names the layer, or a pattern (``re:``) that fits it, comes before one that names its class. Raises
    `HwgenError` where there is none, or the layer is on the list ``ignore``.
    """
    where, groups = config["where"], config.get("config_groups")
    if not isinstance(groups, dict) or not all(isinstance(group, dict) for group in groups.values()):
        raise HwgenError(f"model file {where}: config_groups must be an object of objects; fetch it again")
    if _fits(place.name, config.get("ignore"), where):
        raise place.error("is packed, though config.json says that it is not quantised (ignore)")
    by_name = [group for group in groups.values() if _fits(place.name, group.get("targets"), where)]
    by_class = [group for group in groups.values() if _is_list_with("Linear", group.get("targets"))]
    for group in (*by_name, *by_class):
        weights = group.get("weights")
        form = group.get("format") or config.get("format")
        if isinstance(weights, dict) and isinstance(form, str):
            return form, {**weights, "where": where}
    raise place.error("belongs to no group of config_groups with weights and a format; see config.json")


def _is_list_with(word: str, targets: Any) -> bool:
    return isinstance(targets, list) and word in targets


def _fits(name: str, targets: Any, where: str) -> bool:
    """Whether a list of names and patterns names a layer."""
    for target in targets if isinstance(targets, list) else ():
        if not isinstance(target, str):
            continue
        if not target.startswith("re:"):
            if target == name or name.endswith(f".{target}"):
                return True
            continue
        try:
            if re.match(target[3:], name):
                return True
        except re.error as error:
            raise HwgenError(f"model file {where}: {target[:60]!r} is no regular expression: {error}") from error
    return False
