"""What a sweep's file says about itself, in the metadata of its Parquet footer, with a checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pyarrow as pa

__all__ = ["MARK", "SUM", "footer", "is_whole"]

MARK = b"hwgen.sweep"
"""Key of the document about the sweep."""
SUM = b"hwgen.sweep.sha256"
"""Key of its checksum."""


def footer(schema: pa.Schema, document: bytes) -> dict[bytes, bytes]:
    """Metadata of a file with the columns of ``schema``."""
    return {MARK: document, SUM: _sum(schema, document)}


def is_whole(schema: pa.Schema, marks: Mapping[bytes, bytes]) -> bool:
    """Whether a footer is one that `footer` made for these columns."""
    return MARK in marks and marks.get(SUM) == _sum(schema, marks[MARK])


def _sum(schema: pa.Schema, document: bytes) -> bytes:
    """SHA-256 of what of a footer a sweep is read by; pages have checksums of their own."""
    return hashlib.sha256(document + str(schema.remove_metadata()).encode()).hexdigest().encode()
