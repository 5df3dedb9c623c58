"""Open a model file of any supported format."""

from __future__ import annotations

import os
from pathlib import Path

from hwgen.errors import HwgenError
from sim.models.gguf_reader import read_gguf
from sim.models.model_file import ModelFile, TensorInfo, map_file
from sim.models.safetensors_reader import looks_like_safetensors, read_safetensors

__all__ = ["ModelFile", "TensorInfo", "open_model"]


def open_model(path: str | os.PathLike[str]) -> ModelFile:
    """Open a GGUF or safetensors file; its content, not its name, decides which of the two it is.

    Raises:
        HwgenError: if the file is missing, empty, truncated, corrupt or no model.
    """
    path = Path(path)
    data = map_file(path)
    if data[:4].tobytes() == b"GGUF":
        return read_gguf(path, data)
    if looks_like_safetensors(data) or path.suffix == ".safetensors":
        return read_safetensors(path, data)
    if path.name.endswith(".safetensors.index.json"):
        raise HwgenError(
            f"model file {path}: is the index of a model in several safetensors files; pass one of those files"
        )
    raise HwgenError(f"model file {path}: is no model; it must be GGUF or safetensors")
