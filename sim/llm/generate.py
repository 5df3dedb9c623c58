"""Text from a model whose matrix products run on RTL, compared with the same model on golden layers, logit by logit."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hwgen.accelerator import Design, Memory
from hwgen.errors import HwgenError
from hwgen.pe import TileSpec
from sim.llm.cache import QuantiserCount, check_quantiser
from sim.llm.design import design_for
from sim.llm.forward import Decoder, linear_names
from sim.llm.golden import GoldenProducts
from sim.llm.operands import quantised_layers
from sim.llm.rtl import Count, RtlProducts
from sim.models.fetch import default_model
from sim.models.hf import llama_view, why_not
from sim.models.llama_config import LlamaConfig
from sim.models.model_file import ModelFile
from sim.models.smollm import encode
from sim.models.tokenizer import tokenizer_beside, tokenizer_of
from sim.models.weights import open_model

__all__ = ["KV_QUANTISERS", "Generation", "Options", "Step", "generate"]

Progress = Callable[[str], None]

KV_QUANTISERS = ("rtl", "software")
"""Who quantises keys and values."""


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """PyTorch on one thread: its matrices are small here, and the other processor simulates."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Options:
    """What to generate: ``tokens`` after ``prompt``; ``blocks`` of the model, the first ones, or None for all; the
    memory, and parameters of the design by name; ``kv_quantiser``: who quantises keys and values, `KV_QUANTISERS`, or
    None for the RTL where the design has a quantiser.
    """

    prompt: str
    tokens: int
    model: Path | None = None
    blocks: int | None = None
    memory: Memory = field(default_factory=Memory)
    design: dict[str, Any] = field(default_factory=dict)
    kv_quantiser: str | None = None


@dataclass(frozen=True)
class Step:
    """One pass of the model: over the prompt, or over the token before.

    ``read`` tokens were read and ``token`` came; ``count`` is what the accelerator did, ``seconds`` the wall time with
    the RTL, ``golden_seconds`` with golden layers, ``own_seconds`` of the former this process' processor time, without
    the simulation's; ``mismatches`` of the logits [vocabulary] differ in a bit. ``quantiser``: what the RTL that
    quantises keys and values did, nothing where it is software.
    """

    read: int
    token: int
    count: Count
    seconds: float
    own_seconds: float
    golden_seconds: float
    mismatches: int
    quantiser: QuantiserCount = field(default_factory=QuantiserCount)


@dataclass(frozen=True)
class Generation:
    """A generated text and how it came about. The first of ``steps`` read the prompt, the others decoded.

    ``kv_quantiser`` is who quantised keys and values, ``kv_reason`` why it was no RTL, where nobody asked for that.
    ``simulation_seconds`` are the processor time of the simulation in all steps, ``setup_seconds`` the wall time before
    the first.
    """

    family: str
    tile: dict[str, Any]
    design: dict[str, Any]
    memory: Memory
    blocks: int
    prompt: str
    text: str
    steps: tuple[Step, ...]
    setup_seconds: float
    simulation_seconds: float
    kv_quantiser: str = "software"
    kv_reason: str = ""

    @property
    def logits_equal(self) -> bool:
        """Whether all logits have the golden model's bits."""
        return not any(step.mismatches for step in self.steps)

    @property
    def ok(self) -> bool:
        """Whether logits are equal and every job took the predicted cycles."""
        return self.logits_equal and not any(step.count.different or step.quantiser.different for step in self.steps)

    @property
    def prefill(self) -> Count:
        """What the pass over the prompt took."""
        return self.steps[0].count

    @property
    def decode(self) -> Count:
        """What all other passes took."""
        return sum((step.count for step in self.steps[1:]), Count())

    @property
    def quantiser(self) -> QuantiserCount:
        """What the quantiser's RTL took in all passes."""
        return sum((step.quantiser for step in self.steps), QuantiserCount())

    @property
    def decode_seconds(self) -> float:
        """Wall time of a decode step with the RTL; of the prompt's where there is none."""
        own = self.steps[1:] or self.steps
        return sum(step.seconds for step in own) / len(own)

    @property
    def processor_seconds(self) -> float:
        """Processor time of a decode step with the RTL, simulation and what prepares its jobs."""
        own = self.steps[1:] or self.steps
        cycles = sum(step.count.cycles for step in own) / sum(step.count.cycles for step in self.steps)
        return (self.simulation_seconds * cycles + sum(step.own_seconds for step in own)) / len(own)

    def document(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        counts = {"prefill": dataclasses.asdict(self.prefill), "decode": dataclasses.asdict(self.decode)}
        counts["quantiser"] = dataclasses.asdict(self.quantiser)
        return {**dataclasses.asdict(self), **counts, "logits_equal": self.logits_equal, "ok": self.ok}


def generate(
    spec: TileSpec,
    options: Options,
    progress: Progress = lambda _: None,
    touch: Callable[[RtlProducts], None] | None = None,
) -> Generation:
    """Generate greedily on the RTL of an accelerator around ``spec``, and follow with golden layers.

    ``progress`` is told what happens; ``touch`` may change the packed weights before the first job, as a test does.
    Raises `HwgenError` for a model that cannot be run or does not fit the tile, and for a prompt without tokens or with
    more than the model can read, and for a quantiser's RTL that the design cannot have.
    """
    begin = time.perf_counter()
    model = _model(options.model)
    config = LlamaConfig.of(model)
    blocks = config.blocks if options.blocks is None else options.blocks
    if not 1 <= blocks <= config.blocks:
        raise HwgenError(f"generate: layers must be from 1 to {config.blocks}, the model's blocks, not {blocks}")
    numbers = _prompt(model, config, options)
    design = design_for(spec, config, options.design)
    # The last token is not read.
    room = len(numbers) + options.tokens - 1
    elements, reason = _quantiser(design, config.head_size, room, options.kv_quantiser)
    layers = quantised_layers(spec, model, linear_names(config, blocks), progress)
    progress("packing weights, building the simulation (cached by content)")
    with _one_thread(), RtlProducts.running(design, options.memory, layers, elements) as products:
        if touch is not None:
            touch(products)
        progress("making golden layers")
        golden = Decoder(model, blocks, GoldenProducts(design, layers, by_token=elements is not None), room)
        decoder = Decoder(model, blocks, products, room)
        setup = time.perf_counter() - begin
        before = _children_seconds()
        steps = _steps(decoder, golden, products, numbers, options.tokens, progress)
    tokens = [step.token for step in steps]
    return Generation(
        family=spec.family,
        tile=spec.p,
        design=design.p,
        memory=options.memory,
        blocks=blocks,
        prompt=options.prompt,
        text=_text(model, numbers, tokens),
        steps=tuple(steps),
        setup_seconds=setup,
        # They have ended with the context above.
        simulation_seconds=_children_seconds() - before,
        kv_quantiser=KV_QUANTISERS[elements is None],
        kv_reason=reason,
    )


def _quantiser(design: Design, size: int, room: int, wanted: str | None) -> tuple[int | None, str]:
    """Values of a row of the quantiser, None for software, and why it is that if nobody asked for it."""
    if wanted is not None and wanted not in KV_QUANTISERS:
        raise HwgenError(f"generate: kv_quantiser must be {' or '.join(KV_QUANTISERS)}, not {wanted!r}")
    if wanted == "software":
        return None, ""
    try:
        return check_quantiser(design, size, room), ""
    except HwgenError as error:
        if wanted is not None:
            raise
        return None, str(error)


def _children_seconds() -> float:
    """Processor time of the child processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _steps(
    decoder: Decoder, golden: Decoder, products: RtlProducts, prompt: list[int], count: int, progress: Progress
) -> list[Step]:
    steps: list[Step] = []
    read = prompt
    while len(steps) < count:
        what = f"token {len(steps) + 1} of {count}"
        done = steps[-1] if steps else None
        speed = (
            f"; the one before took {done.count.cycles:,} cycles, {done.count.macs / done.seconds / 1e6:.1f} M MAC/s"
            if done
            else ""
        )
        progress(f"{what}: {len(read)} read on the RTL{speed}")
        begin, own = time.perf_counter(), time.process_time()
        logits = decoder.read(read).numpy()
        middle, own = time.perf_counter(), time.process_time() - own
        progress(f"{what}: the same with golden layers")
        wanted = golden.read(read).numpy()
        end = time.perf_counter()
        token = int(logits.argmax())
        wrong = int((logits.view(np.uint32) != wanted.view(np.uint32)).sum())
        done_quantising = QuantiserCount() if products.quantiser is None else products.quantiser.take()
        steps.append(Step(len(read), token, products.take(), middle - begin, own, end - middle, wrong, done_quantising))
        read = [token]
    return steps


def _model(path: Path | None) -> ModelFile:
    file = open_model(default_model(download=False) if path is None else path)
    reason = why_not(file)
    if reason is not None:
        raise HwgenError(f"model file {file.path}: no text can be generated: {reason}")
    return file if file.format == "gguf" else llama_view(file)


def _prompt(model: ModelFile, config: LlamaConfig, options: Options) -> list[int]:
    """Token numbers of the prompt."""
    if options.tokens < 1:
        raise HwgenError(f"generate: must be at least 1 token, not {options.tokens}")
    numbers = encode(model, options.prompt)
    if not numbers:
        raise HwgenError("generate: prompt must have at least one token, not be empty")
    if len(numbers) + options.tokens > config.context:
        raise HwgenError(
            f"generate: prompt and new tokens must be at most {config.context}, which the model can read, "
            f"not {len(numbers)} and {options.tokens}"
        )
    if max(numbers) >= config.vocabulary:
        raise HwgenError(
            f"model file {model.path}: the tokenizer gives token {max(numbers)}, the embedding has {config.vocabulary}"
        )
    return numbers


def _text(model: ModelFile, prompt: list[int], tokens: list[int]) -> str:
    """What the tokens add to the prompt."""
    tokenizer = tokenizer_of(model) if model.format == "gguf" else tokenizer_beside(model)
    before, after = (str(tokenizer.decode(numbers)) for numbers in (prompt, prompt + tokens))
    return after.removeprefix(before)
