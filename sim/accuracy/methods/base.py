"""What a method of quantisation is: it turns the weights of layers with a common input into what multiplies instead.

A method sees a *group* of layers: those that multiply the same input, such as Q, K and V, and has to treat that input
alike for all of them. It may scale or rotate the input, as long as the weights undo it, and may leave a thin product
beside the quantised one. What it learns of the input is `Inputs`, of a calibration text.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from hwgen.errors import HwgenError, suggest
from sim.accuracy.operand import OperandFormat

__all__ = ["Inputs", "Layer", "Method", "MethodResult", "method", "methods", "register", "relative_error"]


@dataclass(frozen=True)
class Layer:
    """A linear layer: its name in the model, its weights float32 [N, K] and how these are to be stored."""

    name: str
    weights: Tensor
    form: OperandFormat


class Inputs:
    """What enters the layers of a group while the model, quantised up to there, reads a calibration text."""

    def __init__(self, rows: Tensor) -> None:
        """Of float32 ``rows`` [T, K]."""
        self.rows = rows

    @cached_property
    def hessian(self) -> Tensor:
        """H = 2 Xᵀ X / T, float64 [K, K]: of the mean squared error of a layer's outputs."""
        rows = self.rows.double()
        return 2.0 / len(rows) * rows.T @ rows

    @cached_property
    def mean_magnitude(self) -> Tensor:
        """Mean of abs(x) of each of the K inputs, float32."""
        return self.rows.abs().mean(dim=0)

    @cached_property
    def largest(self) -> Tensor:
        """Largest abs(x) of each of the K inputs, float32."""
        return self.rows.abs().amax(dim=0)


@dataclass(frozen=True)
class MethodResult:
    """What takes the place of a group's layers; lists are in the order of the group.

    Attributes
    ----------
    weights : float32 [N, K] each: what the stored codes stand for, in the basis of the input that ``before`` leaves.
    before : what the common input [..., K] passes before it is stored and multiplied; None: nothing.
    low_rank : per layer (A [r, K], B [N, r]), whose product B·A·x of the input, as it is before it is stored, is added;
        empty: none.
    extra_bits : per layer, bits an element beside those of its format (a correction's, a permutation's, say).
    stored_bits : per layer, bits an element if the codes are not those of the layer's format at all; empty: they are.
    """

    weights: tuple[Tensor, ...]
    before: Callable[[Tensor], Tensor] | None = None
    low_rank: tuple[tuple[Tensor, Tensor], ...] = ()
    extra_bits: tuple[float, ...] = ()
    stored_bits: tuple[float, ...] = ()


@dataclass(frozen=True)
class Method(ABC):
    """A method; what can be set are the fields of its dataclass, declared by `hwgen.options.option`.

    Its docstring's first line says what it does and the second paragraph the source; ``hwgen accuracy --list``
    prints both.
    """

    name: ClassVar[str]
    calibrated: ClassVar[bool]
    """Whether it looks at the inputs of a calibration text."""
    own_codes: ClassVar[bool] = False
    """Whether it stores codes of its own: of a format it takes the size of groups, and perhaps the bits."""

    @abstractmethod
    def quantise(self, layers: Sequence[Layer], acts: OperandFormat | None, inputs: Inputs | None) -> MethodResult:
        """Quantise the layers of a group.

        ``acts`` is how their input will be stored, None: as it is. ``inputs`` is None for a method that is not
        calibrated. Raises `HwgenError` for formats that the method does not know how to fill.
        """

    def __str__(self) -> str:
        """As `method` reads it: the options that are not the default ones."""
        changed = [
            f"{item.name}={getattr(self, item.name)}"
            for item in dataclasses.fields(self)
            if getattr(self, item.name) != item.default
        ]
        return f"{self.name}({','.join(changed)})" if changed else self.name


_METHODS: dict[str, type[Method]] = {}


def register(cls: type[Method]) -> type[Method]:
    """Class decorator: make a method known by its name."""
    if cls.name in _METHODS:
        raise ValueError(f"method {cls.name} is registered twice")
    _METHODS[cls.name] = cls
    return cls


def methods() -> Mapping[str, type[Method]]:
    """All methods by name."""
    return _METHODS


def method(text: str) -> Method:
    """Read ``NAME`` or ``NAME(option=value,…)``. Raises `HwgenError` for what is none, and values out of range."""
    name, bracket, rest = text.partition("(")
    if name not in _METHODS:
        raise HwgenError(
            f"method: must be one of {', '.join(_METHODS)}, not {name!r}{suggest(name, _METHODS)}; "
            "`hwgen accuracy --list` says what each does"
        )
    if bracket and not rest.endswith(")"):
        raise HwgenError(f"method {text!r}: must be NAME or NAME(option=value,…)")
    values = [word.partition("=") for word in _words(rest.removesuffix(")"))]
    return _METHODS[name](**{key.strip(): _value(_METHODS[name], key.strip(), value) for key, _, value in values})


def _words(text: str) -> list[str]:
    """Words between commas; a word may be a method with options of its own, whose commas are in brackets."""
    words = [""]
    for letter in text:
        if letter == "," and words[-1].count("(") <= words[-1].count(")"):
            words.append("")
        else:
            words[-1] += letter
    return [word for word in words if word]


def _value(cls: type[Method], key: str, text: str) -> Any:
    known = {item.name: item for item in dataclasses.fields(cls)}
    if key not in known:
        raise HwgenError(
            f"method {cls.name}: option must be one of {', '.join(known) or 'none'}, not {key!r}{suggest(key, known)}"
        )
    kind: Any = type(known[key].default)
    try:
        value = ("False", "True").index(text) == 1 if kind is bool else kind(text)
    except ValueError:
        raise HwgenError(f"method {cls.name}: {key} must be of type {kind.__name__}, not {text!r}") from None
    about = known[key].metadata
    least, most = about.get("least"), about.get("most")
    if kind in (int, float) and not ((least is None or value >= least) and (most is None or value <= most)):
        raise HwgenError(f"method {cls.name}: {key} must be from {least} to {most}, not {value}")
    return value


def relative_error(layer: Layer, stored: Tensor) -> float:
    """Frobenius norm of what storing changed, over that of the weights."""
    return float(torch.linalg.norm(stored - layer.weights) / torch.linalg.norm(layer.weights))
