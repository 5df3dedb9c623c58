"""What a task is: a small model, data that it is measured on, and numbers that say how well it does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from hwgen.errors import HwgenError, suggest
from sim.accuracy.recipe import Recipe
from sim.accuracy.stored import Watch
from sim.models.fetch import WheelMember, fetch_members

__all__ = ["Task", "Watch", "register", "silent", "task", "tasks"]


def silent(what: str, done: int, of: int) -> None:
    """Say nothing."""


class Task(ABC):
    """A task.

    Its docstring's first line says what is measured; the paragraphs below name the model, the data, the source and
    what the numbers can and cannot tell apart.
    """

    name: ClassVar[str]
    roles: ClassVar[tuple[str, ...]] = ("weights", "acts")
    """Roles of `sim.accuracy.recipe.ROLES` that the model has."""
    members: ClassVar[tuple[WheelMember, ...]] = ()
    """Files that it needs; they must have been fetched."""
    package: ClassVar[str | None] = None
    """Distribution that it needs beside hwgen's extra ``sim``; the extra ``tasks`` brings it."""
    version: ClassVar[int] = 1
    """To be raised when numbers change that depend on nothing else in `document`."""

    def document(self) -> dict[str, Any]:
        """All that its numbers depend on beside the recipe, as JSON has it: with the recipe's, the key of a result."""
        return {"task": self.name, "version": self.version, "files": [member.sha256 for member in self.members]}

    def measure(self, recipe: Recipe, watch: Watch = silent) -> dict[str, float]:
        """Measure the model with its numbers stored as the recipe says.

        Returns:
            figures by name, and ``bits_per_weight`` of the layers' weights. The same recipe gives the same figures.

        Raises:
            HwgenError: for a role or layer that the model has not, files or packages that are not there, and what
                methods and quantisers refuse.
        """
        for role in recipe.formats:
            if role not in self.roles:
                raise HwgenError(f"task {self.name}: its model has {' and '.join(self.roles)}, not {role}")
        fetch_members(self.members)
        return self._measure(recipe, watch)

    @abstractmethod
    def _measure(self, recipe: Recipe, watch: Watch) -> dict[str, float]:
        """See `measure`; the recipe's roles are those that the model has, and the files of ``members`` are there."""


_TASKS: dict[str, type[Task]] = {}


def register(cls: type[Task]) -> type[Task]:
    """Class decorator: make a task known by its name."""
    if cls.name in _TASKS:
        raise ValueError(f"task {cls.name} is registered twice")
    _TASKS[cls.name] = cls
    return cls


def tasks() -> Mapping[str, type[Task]]:
    """All tasks by name."""
    return _TASKS


def task(name: str) -> Task:
    """The task of a name. Raises `HwgenError` if there is none."""
    if name not in _TASKS:
        raise HwgenError(f"task: must be one of {', '.join(_TASKS)}, not {name!r}{suggest(name, _TASKS)}")
    return _TASKS[name]()
