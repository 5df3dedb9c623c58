"""Numbers from a model's metadata, and whether its tensors are those that they promise."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hwgen.errors import HwgenError
from sim.models.model_file import ModelFile

__all__ = ["check_tensors", "number", "shown", "whole"]


def number(model: ModelFile, key: str, default: float | None = None) -> float:
    """A positive number, ``default`` if the metadata has none. Raises `HwgenError` for anything else."""
    value = model.metadata.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise HwgenError(f"model file {model.path}: metadata {key} must be a positive number, not {shown(value)}")
    return value


def whole(model: ModelFile, key: str, default: int | None = None) -> int:
    """A whole number from 1, ``default`` if the metadata has none. Raises `HwgenError` for anything else."""
    value = number(model, key, default)
    if not isinstance(value, int):
        raise HwgenError(f"model file {model.path}: metadata {key} must be a whole number, not {value!r}")
    return value


def check_tensors(
    model: ModelFile, expected: Mapping[str, tuple[int, ...]], optional: Mapping[str, tuple[int, ...]], kind: str
) -> None:
    """Check that a model has the tensors ``expected``, perhaps some that are ``optional``, and no others.

    Raises:
        HwgenError: if one is missing, has another shape, or would be ignored; ``kind`` says of what models it is not.
    """
    for name, shape in expected.items():
        if model.info(name).shape != shape:
            raise HwgenError(
                f"tensor {name!r} of {model.path}: shape must be {shape}, not {model.info(name).shape}; "
                "the metadata and the tensors disagree"
            )
    for name in sorted(model.tensors.keys() - expected.keys()):
        if name not in optional:
            raise HwgenError(f"tensor {name!r} of {model.path}: is no part of the {kind} models that can be run")
        if model.info(name).shape != optional[name]:
            raise HwgenError(f"tensor {name!r} of {model.path}: shape must be {optional[name]}")


def shown(value: object) -> str:
    """A metadata value in a message; lists may be long."""
    return repr(value) if value is None or isinstance(value, int | float | str) else "a list"
