"""Check the block before the activation buffer in Amaranth's simulator: values and cycles."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from hwgen.formats import QTensor, get
from hwgen.frame.place import place_submodule
from hwgen.frame.pre import PreBlock, PreSpec
from hwgen.verify._pysim import pack_port, unpack_port, wide_payloads

__all__ = ["activation_codes", "expected_beats", "simulate_pre"]


def activation_codes(pre: PreSpec, seed: int, tokens: int, k: int) -> QTensor:
    """Random activations [tokens, K] of the block's source format, half of them corners, infinities and NaN
    included.
    """
    rng = np.random.default_rng(seed)
    form = get(pre.source)
    codes = rng.integers(0, 1 << form.code_bits, size=(tokens, k)).astype(np.uint32)
    corners = np.array(form.corners, np.uint32)
    codes = np.where(rng.random(codes.shape) < 0.5, rng.choice(corners, size=codes.shape), codes)
    # Whole tokens of small numbers, or the largest corner would decide every exponent.
    codes[1::2] &= np.uint32((1 << (form.code_bits - 1)) | ((1 << (form.code_bits - 3)) - 1))
    scale = get("e8m0")
    return QTensor(
        codes=codes,
        format=form,
        group_size=k,
        granularity="channel",
        scale_codes=np.full((tokens, 1), 127, np.uint32),
        scale_format=scale,
    )


def expected_beats(pre: PreSpec, acts: QTensor) -> tuple[np.ndarray, np.ndarray | None]:
    """Words [beats, M, elements] and E8M0 scales [beats, M] (None without alignment) of the block's output, by
    reference.
    """
    aligned = pre.reference(acts)
    beats = pre.lower(aligned.codes)
    chosen = ~beats["observe"]
    words = pre.pack(beats["acts"][chosen]).reshape(-1, pre.m, pre.elements)
    if not pre.align:
        return words, None
    scopes = pre.scopes(acts.shape[1])
    blocks = -(-len(acts.codes) // pre.m)
    # Rows beyond the last token hold zeros, whose exponent counts as 1.
    padded = np.full((blocks * pre.m, len(scopes)), pre.scale_code(1), np.int64)
    padded[: len(acts.codes)] = aligned.scale_codes
    per_scope = np.array([-(-(scope.stop - scope.start) // pre.k) for scope in scopes])
    scale = np.repeat(padded.reshape(blocks, pre.m, -1), per_scope, axis=2).transpose(0, 2, 1).reshape(-1, pre.m)
    return words, scale


def simulate_pre(
    pre: PreSpec, codes: np.ndarray, idle: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Run activation codes [tokens, K]: words [beats, M, elements], scales [beats, M], cycle of each beat [beats]."""
    from amaranth.sim import Simulator

    block: Any = PreBlock(pre, place_submodule)
    beats = pre.lower(codes)
    layout = block.i.payload.shape()
    source = get(pre.source).code_bits
    out = block.o.payload.shape()
    seen: list[tuple[int, int]] = []

    async def bench(ctx: Any) -> None:
        cycle = 0

        async def tick() -> None:
            nonlocal cycle
            if ctx.get(block.o.valid):
                seen.append((cycle, int(ctx.get(block.o.payload.as_value()))))
            await ctx.tick()
            cycle += 1

        for index in range(len(beats["first"])):
            for _ in range(0 if idle is None else int(idle[index])):
                ctx.set(block.i.valid, 0)
                ctx.set(
                    block.i.payload.as_value(),
                    (0x9E3779B97F4A7C15 * (index + 1)) % (1 << len(block.i.payload.as_value())),
                )
                await tick()
            word = pack_port(beats["acts"][index], source) << layout["acts"].offset
            if pre.align:
                word |= int(beats["observe"][index]) << layout["observe"].offset
                word |= int(beats["first"][index]) << layout["first"].offset
            ctx.set(block.i.valid, 1)
            ctx.set(block.i.payload.as_value(), word)
            await tick()
        ctx.set(block.i.valid, 0)
        for _ in range(pre.latency + 4):
            await tick()

    with warnings.catch_warnings(), wide_payloads():
        warnings.simplefilter("ignore")
        simulator = Simulator(block)
        simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        simulator.run()
    count = pre.m * pre.elements
    words = [unpack_port(value >> out["acts"].offset, pre.element_bits, count, False) for _, value in seen]
    scales = [
        unpack_port(value >> out["scale"].offset, 8, pre.m, False) if pre.align else [0] * pre.m for _, value in seen
    ]
    return (
        np.array(words).reshape(-1, pre.m, pre.elements),
        np.array(scales).reshape(-1, pre.m),
        np.array([cycle for cycle, _ in seen]),
    )
