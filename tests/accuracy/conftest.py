from __future__ import annotations

from tests.models.conftest import cache, llama_path

__all__ = ["cache", "llama_path"]
