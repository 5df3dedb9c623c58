"""Progress of long work."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

__all__ = ["bars"]


def bars(*columns: str | ProgressColumn) -> Progress:
    """Bars on a terminal, gone when the work is done; nothing where standard error is none. Default: rich's columns."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
