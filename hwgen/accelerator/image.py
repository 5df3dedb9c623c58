"""Operands in memory: the words of a stream in the order in which the tile takes them, and results back.

Layout (version 2). A word holds the elements of a tile's port (`i_acts` or `i_weights`, or all `i_row_*` or `i_col_*`
ports one after the other), element 0 lowest, and is padded with zeros to `Stream.padded_bits`; of elements that are
wider than a layer's codes it holds the codes (`hwgen.accelerator.elements`; in version 1 it held the whole). The words
of a block (a block of rows or columns: its steps, or its groups) follow each other, lowest byte first, and each block
is padded to whole ring entries, which are whole bus beats. Blocks follow each other. Activations that a block before
the ring quantises (`Design.pre`) lie likewise, in words of their values and without side information. Results: the
tile's beats as `m_axis_result_tdata` holds them, padded likewise, in the order in which blocks are computed; the last
bus beat is filled up with zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hwgen.accelerator.design import Design
from hwgen.accelerator.job import Job
from hwgen.accelerator.stream import Stream, padded_bits
from hwgen.emit import Field, streams
from hwgen.errors import HwgenError
from hwgen.formats import QTensor
from hwgen.quantize import cast
from hwgen.schedule import Schedule
from hwgen.simulators.words import pack_words, unpack_words

__all__ = [
    "LAYOUT_VERSION",
    "entering_acts",
    "memory_acts",
    "pack_acts",
    "pack_channels",
    "pack_weights",
    "streamed_bytes",
    "unpack_results",
]

LAYOUT_VERSION = 2


def pack_weights(design: Design, schedule: Schedule, weights: QTensor) -> dict[str, np.ndarray]:
    """Images of weights [outputs, K], uint8, by stream."""
    codes, sides = schedule.weight_blocks(weights)
    tile = design.tile
    flat = tile.pack_weights(codes.reshape(-1, *codes.shape[2:]), tile.layer_mode)
    return _images(design, "weights", codes.shape[:2], flat, sides)


def memory_acts(design: Design, values: np.ndarray) -> QTensor:
    """Float activations [tokens, K], whole words along K, as they lie in memory: quantised as the tile takes them, or
    rounded to ``pre_source`` where a block before the ring quantises them. Raises `HwgenError` for inf and NaN.
    """
    if design.block_plan is None:
        return design.tile.quantize_acts(values)
    return cast(values, design.pre_source)


def entering_acts(design: Design, acts: QTensor) -> QTensor:
    """Activations [tokens, K] as they enter the tile, of those in memory (`memory_acts`)."""
    return acts if design.block_plan is None else design.tile.quantize_acts(acts.dequantize())


def pack_acts(design: Design, schedule: Schedule, acts: QTensor) -> dict[str, np.ndarray]:
    """Images of activations [tokens, K] as `memory_acts` has them, uint8, by stream.

    Raises `HwgenError` for another format than ``pre_source`` where a block before the ring quantises them.
    """
    tile = design.tile
    if design.block_plan is not None:
        if acts.format.name != design.pre_source:
            raise HwgenError(
                f"layer {schedule.layer.name}: activations must be {design.pre_source} in memory, of which the block "
                f"before the ring makes {tile.act_format.name}, not {acts.format.name}"
            )
        values = schedule.act_codes(acts)
        words = values.reshape(values.shape[0] * values.shape[1], -1)
        return {"acts": _image(design.streams["acts"], len(values), [(words, acts.format.code_bits)])}
    codes, sides = schedule.act_blocks(acts)
    flat = tile.pack_acts(codes.reshape(-1, *codes.shape[2:]), tile.layer_mode)
    return _images(design, "acts", codes.shape[:2], flat, sides)


def pack_channels(design: Design, schedule: Schedule, channels: Mapping[str, np.ndarray]) -> np.ndarray:
    """Image of what each channel has, values [outputs] by the names of `Design.channel_fields`; floats are FP32.

    Channels beyond the layer's edge have zeros.
    """
    count, per_block = schedule.layer.n, design.tile.n
    parts = []
    for name, bits in design.channel_fields:
        values = np.asarray(channels[name])
        if values.dtype.kind == "f":
            values = values.astype(np.float32).view(np.uint32)
        values = np.pad(values.astype(np.int64), (0, schedule.col_blocks * per_block - count))
        parts.append((values[:, None] >> np.arange(bits)) & 1)
    bits_of = np.concatenate(parts, axis=1).reshape(schedule.col_blocks, -1)
    return _image(design.streams["channels"], schedule.col_blocks, [(bits_of, 1)])


def _images(
    design: Design, name: str, shape: tuple[int, ...], codes: np.ndarray, sides: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    blocks, steps = shape
    fields = streams(design.tile)
    of_sides = [field for field in getattr(fields, name) if field.port.role != name]
    elements = design.elements(name)
    stored = elements.narrowed(codes).reshape(blocks * steps, -1)
    found = {name: _image(design.streams[name], blocks, [(stored, elements.bits)])}
    if of_sides:
        parts = []
        for field in of_sides:
            values = sides[field.port.name.split("_", 2)[2]]
            parts.append((values.reshape(-1, values.shape[2]), field.port.bits))
        found[f"{name[:-1]}_sides"] = _image(design.streams[f"{name[:-1]}_sides"], blocks, parts)
    return found


def _image(stream: Stream, blocks: int, parts: list[tuple[np.ndarray, int]]) -> np.ndarray:
    """Bytes of words whose fields are ``parts``, values [words, elements] and their bits, one after the other."""
    count = len(parts[0][0])
    if len({bits for _, bits in parts}) == 1:
        packed = pack_words(np.concatenate([values for values, _ in parts], axis=1), parts[0][1])
    else:
        # Fields of other widths: bit by bit, which only side information needs.
        bits = [((values[..., None] >> np.arange(width)) & 1).reshape(count, -1) for values, width in parts]
        packed = pack_words(np.concatenate(bits, axis=1), 1)
    word_bytes, block_bytes = stream.padded_bits // 8, stream.beats(count // blocks) * stream.bus_bits // 8
    raw = np.ascontiguousarray(packed.astype("<u4")).view(np.uint8)[:, :word_bytes]
    words = np.pad(raw, ((0, 0), (0, word_bytes - raw.shape[1]))).reshape(blocks, -1)
    return np.pad(words, ((0, 0), (0, block_bytes - words.shape[1]))).reshape(-1)


def streamed_bytes(design: Design, job: Job, name: str, image: np.ndarray) -> np.ndarray:
    """Bytes of stream ``name`` in the order in which an accelerator between streams takes them, from its image."""
    passage, stream = job.passage(name), design.streams[name]
    window = stream.beats(passage.words) * passage.blocks * design.bus_bytes
    windows = image[: window * passage.windows].reshape(passage.windows, window)
    return np.repeat(windows, passage.fetches, axis=0).reshape(-1)


def unpack_results(design: Design, schedule: Schedule, job: Job, image: np.ndarray) -> dict[str, np.ndarray]:
    """Results of a job from memory: by the name of the tile's port, beats as `Schedule.collect` takes them."""
    per_block = job.results(design)
    count = job.blocks * per_block
    word_bytes = padded_bits(design.result_bits, design.bus_bits) // 8
    words = np.ascontiguousarray(image[: count * word_bytes]).reshape(count, word_bytes)
    found: dict[str, np.ndarray] = {}
    for field in design.result_fields:
        values = _elements(words, field)
        if job.order == 0:
            # Columns' blocks came one after the other.
            values = values.reshape(job.n_blocks, job.m_blocks, per_block, -1).swapaxes(0, 1)
        found[field.port.name] = values.reshape(count, field.count)
    return found


def _elements(words: np.ndarray, field: Field) -> np.ndarray[Any, Any]:
    """Elements [beats, count] of a field."""
    own = words[:, field.offset // 8 : -(-field.end // 8)]
    padded = np.pad(own, ((0, 0), (0, -own.shape[1] % 4)))
    found = unpack_words(np.ascontiguousarray(padded).view("<u4"), field.count, field.stride, field.port.signed)
    return found
