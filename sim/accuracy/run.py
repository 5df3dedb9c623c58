"""All that `AccuracyOptions` asks for, one measurement after the other."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hwgen.errors import HwgenError
from hwgen.options import AccuracyOptions, MixedOptions
from hwgen.pe import TileSpec, family
from hwgen.simulators.cache import cache_path, digest, read_kept, write_kept
from sim.accuracy.language import Evaluation, Measured, calibration_digest, measure, measure_products
from sim.accuracy.methods import method
from sim.accuracy.mixed import Comparison, compare
from sim.accuracy.recipe import ROLES, Recipe, recipe, try_weights
from sim.accuracy.table import Known, known_of, provenance_of
from sim.accuracy.tasks import task
from sim.accuracy.texts import Text, Window, text, windows
from sim.accuracy.tile import formats_alone, tile_arithmetic, tile_label
from sim.models.fetch import default_model, file_sha256
from sim.models.gpt_config import GptConfig
from sim.models.language import config_of, language_model, text_view
from sim.models.llama_config import LlamaConfig
from sim.models.model_file import ModelFile
from sim.models.smollm import encode
from sim.models.weights import open_model

__all__ = ["Subject", "Task", "measured", "measured_as_the_table", "mixed", "other_tasks", "plan", "subject", "tile"]

Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Subject:
    """What is measured: the model, how it is read, and what methods learn from."""

    model: Path
    evaluation: Evaluation
    calibration: tuple[tuple[int, ...], ...]
    text: Text
    learned_from: Text | None
    learn: Evaluation | None = None
    """On a window of the calibration text, for choices that must not see the text that is read."""


@dataclass(frozen=True)
class Task:
    """One measurement: a recipe, or a tile with its formats alone or its arithmetic too."""

    recipe: Recipe | None = None
    tile: TileSpec | None = None
    exact: bool = False

    def document(self) -> dict[str, Any]:
        """All that it says, as JSON has it."""
        if self.recipe is not None:
            return self.recipe.document()
        assert self.tile is not None
        return {"pe": tile_label(self.tile), "arithmetic": "tile" if self.exact else "exact products"}

    def calibration(self, found: Subject) -> str:
        """Digest of what it looks at of the calibration text."""
        return "" if self.recipe is None else calibration_digest(self.recipe, found.calibration)

    def measure(self, found: Subject, watch: Watch) -> Measured:
        """Measure it, or take what was kept."""
        if self.recipe is not None:
            return measure(found.evaluation, self.recipe, found.calibration, watch)
        assert self.tile is not None
        chosen = tile_arithmetic(self.tile) if self.exact else formats_alone(self.tile)
        return measure_products(found.evaluation, self.document(), chosen, watch)


def tile(text: str) -> TileSpec:
    """Read ``FAMILY [PARAMETER=VALUE]...``. Raises `HwgenError`."""
    name, *words = text.split() or [""]
    spec = family(name)
    known = spec.parameters()
    values: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise HwgenError(f"{spec.family}: parameter must be NAME=VALUE, not {word!r}")
        values[key] = known[key].parse(value) if key in known else (int(value) if value.isdecimal() else value)
    return spec.from_values(values)


def plan(options: AccuracyOptions) -> list[Task]:
    """Measurements in order: the float model, every format of weights by every method, every tile.

    Raises `HwgenError` for names that are none.
    """
    others = {role: name for role in ROLES if role != "weights" and (name := getattr(options, role))}
    by = list(options.methods) or ["rtn"]
    for name in by:
        method(name)
    recipes = [recipe({"weights": weights, **others}, one) for weights in options.weights for one in by]
    if others and not options.weights:
        recipes.append(recipe(others))
    tiles = [tile(one) for one in options.tiles]
    tasks = [Task(recipe({})), *(Task(one) for one in recipes)]
    tasks += [Task(tile=one, exact=exact) for one in tiles for exact in (False, True)]
    return list({json.dumps(one.document(), sort_keys=True): one for one in tasks}.values())


def subject(
    options: AccuracyOptions, model: Path | None, tasks: Sequence[Task], chooses: MixedOptions | None = None
) -> Subject:
    """Open the model and the texts; ``chooses``: how formats will be chosen by what they do to the calibration text.

    Raises `HwgenError` for a model that cannot be run or does not fit memory, texts that are not there or too short,
    and a device that is not there.
    """
    path = model if model is not None else default_model()
    view = text_view(open_model(path))
    config = config_of(view)
    if options.window > config.context:
        raise HwgenError(
            f"accuracy: window must be at most {config.context} tokens, which the model can read, not {options.window}"
        )
    _fits(view)
    for one in tasks:
        if one.recipe is not None:
            try_weights(one.recipe, config.width)
    said = text(options.text)
    cut = windows(_tokens(view, said, config), options.window, options.windows, options.stride, f"text {said.name}")
    learned, calibration = None, tuple[tuple[int, ...], ...]()
    if chooses is not None or any(one.recipe is not None and one.recipe.method.calibrated for one in tasks):
        learned = text(options.calibration)
        if learned.sha256 == said.sha256:
            raise HwgenError(f"accuracy: calibration must be another text than the one that is read, {said.name}")
        size = min(options.window, options.calibration_tokens)
        count = max(1, options.calibration_tokens // size)
        found = windows(_tokens(view, learned, config), size, count, None, f"text {learned.name}")
        calibration = tuple(window.tokens for window in found)
    sums = [file_sha256(file) for file in (view.path, *view.beside)]
    model_digest = hashlib.sha256(" ".join(sums).encode()).hexdigest()

    def load() -> nn.Module:
        return language_model(view)

    device = _device(options.device)
    learn = None
    if chooses is not None:
        first = [Window(calibration[0][: chooses.learn_tokens], 1)]
        learn = Evaluation(load, model_digest, first, device)
    return Subject(path, Evaluation(load, model_digest, cut, device), calibration, said, learned, learn)


def measured(found: Subject, tasks: Sequence[Task], watch: Watch) -> Iterator[tuple[Task, Measured]]:
    """Measure one after the other; what was kept comes at once."""
    for one in tasks:
        yield one, one.measure(found, watch)


def mixed(found: Subject, options: AccuracyOptions, chosen: MixedOptions, watch: Watch) -> Comparison:
    """Formats for single layers under a budget, by every way to assign them, each measured on the text.

    Raises `HwgenError` as `sim.accuracy.mixed.compare`.
    """
    others = {role: name for role in ROLES if role != "weights" and (name := getattr(options, role))}
    if len(options.methods) > 1:
        raise HwgenError(f"accuracy: --mix goes with one --method, not with {' and '.join(options.methods)}")
    base = recipe(others, options.methods[0] if options.methods else "rtn")
    assert found.learn is not None
    return compare(found.evaluation, found.learn, chosen, base, found.calibration, watch)


def other_tasks(options: AccuracyOptions, watch: Watch) -> Iterator[dict[str, Any]]:
    """Rows of tasks that read no text: every format of weights by every method, the float model first.

    Raises `HwgenError` for tasks that are none, roles that they have not, and files that are not there.
    """
    recipes = [one.recipe for one in plan(dataclasses.replace(options, tiles=())) if one.recipe is not None]
    for name in options.tasks:
        chosen = task(name)
        for one in recipes:
            key = digest([json.dumps(chosen.document(), sort_keys=True), one.digest_text()])
            path = cache_path("accuracy") / "tasks" / f"{key[:32]}.json"
            figures = read_kept(path)
            if not isinstance(figures, dict):
                figures = chosen.measure(one, watch)
                with suppress(HwgenError):
                    write_kept(path, figures)
            formats = one.document()["formats"]
            yield {"task": name, **formats, "method": str(one.method), **figures}


def as_the_table(asked: Recipe, model: Path | None = None) -> tuple[Subject, Task]:
    """A measurement on the text and windows of the table that comes with hwgen, of its model unless another is given.

    Raises `HwgenError` where the model or the text is not there.
    """
    about = provenance_of()
    options = AccuracyOptions(text=about["text"], window=about["window_tokens"], windows=about["windows"])
    one = Task(asked)
    return subject(options, model, [one]), one


def measured_as_the_table(say: Callable[[str], None]) -> Callable[[Recipe], Known]:
    """A lookup that measures what `sim.accuracy.table` does not have, on the same text and windows.

    Raises `HwgenError` where the model or the text is not there.
    """
    found: list[Subject] = []

    def look(asked: Recipe) -> Known:
        known = known_of(asked)
        if known is not None:
            return known
        one = Task(asked)
        if not found:
            found.append(as_the_table(asked)[0])
        before = found[0].evaluation.known(one.document(), "")
        if before is None:
            say(f"measuring {asked}")
        made = before or one.measure(found[0], lambda what, done, of: None)
        return Known(made.bits_per_weight, made.perplexity, made.kl_nats, made.agreement, made.tokens)

    return look


def _tokens(model: ModelFile, said: Text, config: LlamaConfig | GptConfig) -> list[int]:
    """Tokens of a text without a start token, as perplexities are given."""
    numbers = encode(model, said.content)
    start = model.metadata.get("tokenizer.ggml.bos_token_id")
    if numbers and numbers[0] == start and not said.content.startswith("<"):
        numbers = numbers[1:]
    if numbers and max(numbers) >= config.vocabulary:
        raise HwgenError(
            f"model file {model.path}: the tokenizer gives token {max(numbers)}, the embedding has {config.vocabulary}"
        )
    return numbers


def _fits(model: ModelFile) -> None:
    """The float model and a changed copy, in float32."""
    needed = 8 * sum(info.elements for info in model.tensors.values())
    there = _memory_bytes()
    if there is not None and needed > there:
        raise HwgenError(
            f"model file {model.path}: two copies in float32 need {needed / 1e9:.1f} GB of memory, and "
            f"{there / 1e9:.1f} GB are free"
        )


def _memory_bytes() -> int | None:
    """Memory that is free for use; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable:")))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _device(name: str) -> str:
    if name not in ("auto", "cpu", "cuda"):
        raise HwgenError(f"accuracy: device must be auto, cpu or cuda, not {name!r}")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise HwgenError("accuracy: device cuda is not there; this torch has none, or no card is found")
    return "cuda" if there and name != "cpu" else "cpu"
