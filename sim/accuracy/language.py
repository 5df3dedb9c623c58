"""A language model measured on a text: perplexity, and how far from the float model its predictions are.

Perplexity is exp of the mean negative log-likelihood of the tokens that are scored, each by what its window has before
it (`sim.accuracy.texts.windows`).

KL divergence is Σ p·ln(p / q) over the vocabulary, p of the float model, q of the measured one, mean over scored
tokens, in nats; agreement is the share of them where both have the same likeliest token.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwgen.errors import HwgenError
from hwgen.simulators.cache import cache_path, digest, read_kept, write_kept
from sim.accuracy.recipe import Recipe
from sim.accuracy.stored import LanguageModel, Product, ProductLinear, StoredSize, layer_names, store
from sim.accuracy.texts import Window
from sim.models.cache import placed, read_array, write_array

__all__ = ["Evaluation", "Measured", "calibration_digest", "measure", "measure_products"]

VERSION = 1
"""Part of the key of what is kept; raise it when numbers change that depend on nothing else in the key."""
REVISIONS = {"any4": 2}
"""Formats whose quantiser has changed: part of the key of what names them, so that only that is measured again."""
_CHUNK = 256
"""Tokens whose logits are in memory at a time."""

Watch = Callable[[str, int, int], None]
Sums = tuple[int, float, float, int]
"""Of a window: scored tokens, negative log-likelihood in nats, KL divergence in nats, tokens that agree."""


@dataclass(frozen=True)
class Measured:
    """What was measured over all windows; ``bits_per_weight`` is of the linear layers in the blocks.

    ``by_window``: sums of each window.
    """

    recipe: Mapping[str, Any]
    bits_per_weight: float
    by_window: tuple[Sums, ...]
    seconds: float

    @property
    def tokens(self) -> int:
        """Scored tokens."""
        return sum(window[0] for window in self.by_window)

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-likelihood; infinite where that is too large for a number."""
        return math.exp(self.loss_nats) if self.loss_nats < 700.0 else math.inf

    @property
    def loss_nats(self) -> float:
        """Mean negative log-likelihood."""
        return sum(window[1] for window in self.by_window) / self.tokens

    @property
    def kl_nats(self) -> float:
        """Mean KL divergence from the float model."""
        return sum(window[2] for window in self.by_window) / self.tokens

    @property
    def agreement(self) -> float:
        """Share of tokens where the float model's likeliest one is this one's too."""
        return sum(window[3] for window in self.by_window) / self.tokens

    def row(self) -> dict[str, Any]:
        """What a table shows."""
        formats = dict(self.recipe.get("formats", {}))
        return {
            **formats,
            "method": self.recipe.get("method", "rtn"),
            **{name: self.recipe[name] for name in ("pe", "arithmetic") if name in self.recipe},
            "bits_per_weight": self.bits_per_weight,
            "perplexity": self.perplexity,
            "kl_nats": self.kl_nats,
            "agreement": self.agreement,
            "tokens": self.tokens,
        }


class Evaluation:
    """A model and the windows that it is measured on; the float model is run once, and its last hidden states are kept.

    ``load`` gives a fresh float model: a recipe changes it in place.
    """

    def __init__(
        self, load: Callable[[], nn.Module], model_digest: str, windows: Sequence[Window], device: str = "cpu"
    ) -> None:
        self._load, self._windows, self.device = load, tuple(windows), device
        said = json.dumps([[window.tokens, window.first] for window in windows])
        self._key = [str(VERSION), model_digest, hashlib.sha256(said.encode()).hexdigest()]
        self._kept = cache_path("accuracy")
        self._float: tuple[Tensor, ...] | None = None
        self._head: nn.Module | None = None

    @property
    def windows(self) -> tuple[Window, ...]:
        """What is read."""
        return self._windows

    def model(self) -> LanguageModel:
        """A fresh float model on the device."""
        return self._load().to(self.device)

    def known(self, document: Mapping[str, Any], calibration: str = "") -> Measured | None:
        """What was measured of a recipe before; None if a window is missing."""
        kept = self._read(document, calibration)
        if kept is None or any(index not in kept["windows"] for index in self._indices()):
            return None
        rows = tuple(_row(kept["windows"][index]) for index in self._indices())
        return Measured(document, kept["bits_per_weight"], rows, kept["seconds"])

    @torch.inference_mode()
    def measure(
        self,
        document: Mapping[str, Any],
        change: Callable[[LanguageModel], StoredSize],
        watch: Watch,
        calibration: str = "",
        start: Callable[[], LanguageModel] | None = None,
    ) -> Measured:
        """Measure the model that ``change`` makes of the float one, window by window.

        ``document`` says all that ``change`` depends on, ``calibration`` is the digest of a text that it looks at: what
        is kept under both is not measured again, and what was interrupted goes on. ``start`` gives the float model
        where a fresh one would be wasted.
        """
        found = self.known(document, calibration)
        if found is not None:
            return found
        begin = time.monotonic()
        kept = self._read(document, calibration) or {"windows": {}, "seconds": 0.0}
        reference = self._reference(watch)
        model = self.model() if start is None else start()
        kept["bits_per_weight"] = change(model).bits_per_weight
        spent = kept["seconds"]
        for number, index in enumerate(self._indices()):
            watch("reading windows", number, len(self._windows))
            if index in kept["windows"]:
                continue
            kept["windows"][index] = self._scores(model, self._windows[number], reference[number])
            kept["seconds"] = spent + time.monotonic() - begin
            self._write(document, calibration, kept)
        watch("reading windows", len(self._windows), len(self._windows))
        rows = tuple(_row(kept["windows"][index]) for index in self._indices())
        return Measured(document, kept["bits_per_weight"], rows, kept["seconds"])

    def _indices(self) -> list[str]:
        return [str(index) for index in range(len(self._windows))]

    def _scores(self, model: LanguageModel, window: Window, reference: Tensor) -> Sums:
        """Sums over the scored tokens of a window; ``reference`` is the float model's hidden states [T, D]."""
        tokens = torch.tensor(window.tokens, device=self.device)
        hidden = model.hidden(tokens)
        loss = divergence = 0.0
        same = 0
        assert self._head is not None
        for start in range(window.first - 1, len(tokens) - 1, _CHUNK):
            part = slice(start, min(start + _CHUNK, len(tokens) - 1))
            want = functional.log_softmax(self._head(reference[part].to(self.device)).double(), dim=-1)
            mine = functional.log_softmax(model.output(hidden[part]).double(), dim=-1)
            loss -= float(mine.gather(1, tokens[part.start + 1 : part.stop + 1, None]).sum())
            divergence += float((want.exp() * (want - mine)).sum())
            same += int((want.argmax(dim=1) == mine.argmax(dim=1)).sum())
        return window.scored, loss, divergence, same

    def _reference(self, watch: Watch) -> tuple[Tensor, ...]:
        """Hidden states of the float model, [T, D] of each window."""
        if self._float is None:
            path = self._kept / f"{digest([*self._key, 'float'])[:32]}.npy"
            known = read_array(path)
            model = self.model()
            self._head = model.output
            if known is not None and len(known) == len(self._windows):
                self._float = tuple(torch.from_numpy(one) for one in known)
            else:
                states = []
                for number, window in enumerate(self._windows):
                    watch("reading windows as float", number, len(self._windows))
                    states.append(model.hidden(torch.tensor(window.tokens, device=self.device)).cpu())
                self._float = tuple(states)
                with suppress(HwgenError), placed(path) as folder:
                    write_array(folder / path.name, torch.stack(states).numpy())
        return self._float

    def _path(self, document: Mapping[str, Any], calibration: str) -> Path:
        said = json.dumps(document, sort_keys=True)
        revised = [f"{name} {revision}" for name, revision in REVISIONS.items() if name in said]
        return self._kept / f"{digest([*self._key, said, calibration, *revised])[:32]}.json"

    def _read(self, document: Mapping[str, Any], calibration: str) -> dict[str, Any] | None:
        kept = read_kept(self._path(document, calibration))
        try:
            # A foreign file is measured anew.
            rows = [_row(row) for row in kept["windows"].values()]
            return kept if kept["document"] == json.loads(json.dumps(document)) and rows else None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def _write(self, document: Mapping[str, Any], calibration: str, kept: dict[str, Any]) -> None:
        # A cache folder that cannot be written costs time on the next call and nothing else.
        with suppress(HwgenError):
            write_kept(self._path(document, calibration), {**kept, "document": dict(document)})


def _row(values: Sequence[float]) -> Sums:
    tokens, loss, divergence, same = values
    return int(tokens), float(loss), float(divergence), int(same)


def calibration_digest(recipe: Recipe, calibration: Sequence[Sequence[int]]) -> str:
    """What a recipe's measurement depends on of a calibration text; "" for methods that do not look at it."""
    used = recipe.method.calibrated and ("weights" in recipe.formats or bool(recipe.layers))
    return hashlib.sha256(json.dumps([list(one) for one in calibration]).encode()).hexdigest() if used else ""


def measure(evaluation: Evaluation, recipe: Recipe, calibration: Sequence[Sequence[int]], watch: Watch) -> Measured:
    """Measure a recipe; ``calibration`` is token lists, which methods look at that are calibrated.

    Raises `HwgenError` as `sim.accuracy.stored.store`.
    """
    said = calibration_digest(recipe, calibration)

    def change(model: LanguageModel) -> StoredSize:
        return store(model, recipe, [torch.tensor(list(one)) for one in calibration], watch)

    return evaluation.measure(recipe.document(), change, watch, said)


def measure_products(
    evaluation: Evaluation,
    label: Mapping[str, Any],
    product: Callable[[str, Tensor], tuple[Product, float]],
    watch: Watch,
) -> Measured:
    """Measure the model with its layers' products by someone else.

    ``product`` is given a layer's name and weights [N, K] and gives who multiplies, and bits an element.
    """

    def change(model: LanguageModel) -> StoredSize:
        names = layer_names(model)
        elements, bits = {}, {}
        for number, name in enumerate(names):
            watch("storing layers", number, len(names))
            linear = model.get_submodule(name)
            multiplies, bits[name] = product(name, linear.weight.detach().float().cpu())
            elements[name] = linear.weight.numel()
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, ProductLinear(linear, multiplies))
        watch("storing layers", len(names), len(names))
        return StoredSize(elements, bits)

    return evaluation.measure(label, change, watch)
