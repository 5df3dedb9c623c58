"""One thread of linear algebra: sums have another last bit with two, and processes have the cores already."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

from threadpoolctl import ThreadpoolController

__all__ = ["one_blas_thread"]


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within the block BLAS and LAPACK work in the calling thread alone."""
    with _controller().limit(limits=1, user_api="blas"):
        yield
