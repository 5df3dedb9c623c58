"""Open a model file of any supported format."""

from __future__ import annotations

import os
from pathlib import Path

from hwgen.errors import HwgenError
from sim.models.gguf_reader import read_gguf
from sim.models.model_file import ModelFile, TensorInfo, map_file
from sim.models.safetensors_reader import looks_like_safetensors, read_safetensors
from sim.models.shards import INDEX, file_of_folder, read_index

__all__ = ["ModelFile", "TensorInfo", "open_model"]


def open_model(path: str | os.PathLike[str]) -> ModelFile:
    """Open a GGUF or safetensors file by its content, the index of several, or the one model in a folder.

    Raises:
        HwgenError: if the file is missing, empty, truncated, corrupt or no model.
    """
    path = Path(path)
    if path.is_dir():
        path = file_of_folder(path)
    data = map_file(path)
    if data[:4].tobytes() == b"GGUF":
        return read_gguf(path, data)
    if path.name.endswith(INDEX):
        return read_index(path, data)
    if looks_like_safetensors(data) or path.suffix == ".safetensors":
        return read_safetensors(path, data)
    raise HwgenError(f"model file {path}: is no model; it must be GGUF or safetensors")
