"""One way in: the stored weights of a layer of any file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError, suggest
from hwgen.formats import QTensor, get
from sim.models.catalogue import CONV1D, PLAIN, Matrix, matrices, matrix_at
from sim.models.checkpoint.compressed import compressed_weights, fp8_weights
from sim.models.checkpoint.config import QUANTIZE_CONFIG, quantisation_of
from sim.models.checkpoint.gguf_weights import gguf_weights
from sim.models.checkpoint.int_packed import awq_weights, gptq_weights
from sim.models.checkpoint.stored import Place, StoredWeights
from sim.models.model_file import ModelFile, TensorInfo

__all__ = ["layer_weights", "stored_kind", "stored_weights", "unpacked_view"]

READERS = {
    "gptq": gptq_weights,
    "awq": awq_weights,
    "compressed-tensors": compressed_weights,
    "fp8": fp8_weights,
}
"""Reader of a packed layer by ``quant_method``."""

_HALVES = {"F16": "fp16", "BF16": "bf16"}


def stored_weights(model: ModelFile, name: str) -> StoredWeights:
    """The weights of a layer as the file stores them: codes, scales and zero points, nothing rounded.

    ``name`` as `hwgen model layers` has it, with or without ``.weight``. Matrices of F16 and BF16 are their own codes
    with a scale of 1. Raises `HwgenError` for an unknown layer, one that is not quantised (F32), a method that is not
    read, and checkpoints that are damaged or contradict themselves.
    """
    stem = name.removesuffix(".weight")
    place = Place(model, stem)
    if model.format == "gguf":
        info = model.matrix(name)
        return _halves(place, info) if info.dtype in PLAIN else gguf_weights(place, info)
    known = {matrix.name: matrix for matrix in matrices(model)}
    if stem not in known:
        info = model.matrix(name)
        if info.dtype in PLAIN:
            return _halves(place, info)
        raise place.error(f"must be one of the layers that hwgen model layers lists{suggest(stem, known)}")
    if known[stem].experts:
        raise place.error("is a mixture of experts; give one of them with its number in the name")
    if known[stem].stored in PLAIN:
        return _halves(place, model.matrix(name))
    return _packed(place, known[stem])


def stored_kind(model: ModelFile, name: str) -> str:
    """How a layer is stored, in a few words: a type, or method, bits and group. Raises `HwgenError` for no layer."""
    if model.format != "gguf":
        known = {matrix.name: matrix.stored for matrix in matrices(model)}
        if name in known:
            return known[name]
    return model.matrix(name).dtype


def _packed(place: Place, matrix: Matrix) -> StoredWeights:
    """A packed layer by what the configuration says of it."""
    config = quantisation_of(place.model)
    if config is None:
        raise place.error(
            f"is quantised already ({matrix.stored}), and neither config.json with a quantization_config nor "
            "quantize_config.json lies beside the file to say how"
        )
    return READERS[config["quant_method"]](place, config)


def _halves(place: Place, info: TensorInfo) -> StoredWeights:
    """A matrix of 16-bit numbers as codes with a scale of 1."""
    if info.dtype not in _HALVES:
        raise place.error(f"is not quantised ({info.dtype}); without --weights-as-stored it is quantised for the tile")
    form = get(_HALVES[info.dtype])
    codes = np.frombuffer(place.model.raw(info, 2 * info.elements), "<u2").reshape(info.shape)
    if not np.isfinite(form.decode(codes.astype(np.uint32))).all():
        raise place.error("holds values that are not finite; the file is corrupt")
    if CONV1D.search(place.name):
        codes = codes.T
    one = np.full((len(codes), 1), form.encode(np.ones(1))[0], np.uint32)
    tensor = QTensor.build(codes.astype(np.uint32), form, scale_codes=one, scale_format=form)
    return StoredWeights(place.name, info.dtype, tensor)


def layer_weights(model: ModelFile, name: str) -> NDArray[np.float32]:
    """Return the weights [N, K] of a layer of a safetensors model, packed ones dequantised, Conv1D the right way round.

    Raises:
        HwgenError: if there is no such matrix, or it is quantised in a way that is not read.
    """
    for end in ("", ".weight", ".qweight", ".weight_packed", "_blocks"):
        info = model.tensors.get(name + end)
        found = matrix_at(model, info) if info is not None else None
        if found is None or found.name != name:
            continue
        if found.experts:
            raise HwgenError(
                f"layer {name!r} of {model.path}: holds {found.experts} experts; save the matrix of one of them as "
                ".npy and give it with --weights and --acts"
            )
        if found.stored not in PLAIN:
            return stored_weights(model, name).float32()
    plain = model.float32(model.matrix(name).name)
    return np.ascontiguousarray(plain.T) if CONV1D.search(name) else plain


@dataclass(frozen=True)
class _Unpacked(ModelFile):
    """A safetensors model whose packed layers are matrices of their dequantised weights, under ``name.weight``."""

    source: ModelFile = dataclasses.field(default=None, repr=False)  # type: ignore[assignment]
    packed: frozenset[str] = frozenset()

    def _decode(self, info: TensorInfo, rows: slice | NDArray[np.integer[Any]] | None) -> NDArray[np.float32]:
        if info.name not in self.packed:
            return self.source._decode(info, rows)
        values = stored_weights(self.source, info.name).float32()
        return values if rows is None else values[rows]

    def raw(self, info: TensorInfo, size: int) -> bytes:
        return self.source.raw(info, size)


def unpacked_view(model: ModelFile) -> ModelFile:
    """A safetensors model with float weights in place of packed ones; itself where nothing is packed."""
    found = [matrix for matrix in matrices(model) if matrix.stored not in PLAIN and not matrix.experts and matrix.n]
    if not found:
        return model
    virtual = {f"{m.name}.weight": TensorInfo(f"{m.name}.weight", (m.n, m.k), m.stored, 0) for m in found}
    stems = {matrix.name for matrix in found}
    others = {
        name: info
        for name, info in model.tensors.items()
        if name.rpartition(".")[0] not in stems or name.endswith(".bias")
    }
    return _Unpacked(
        model.path,
        model.format,
        {**others, **virtual},
        model.metadata,
        model.data,
        model.beside + tuple(path for path in [model.path.parent / QUANTIZE_CONFIG] if path.is_file()),
        source=model,
        packed=frozenset(virtual),
    )
