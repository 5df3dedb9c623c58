"""Technology tables: area and energy of primitives, each number with unit, source and status."""

from __future__ import annotations

from sim.tech._table import DEFAULT, Entry, Rule, Tech, load, names

__all__ = ["DEFAULT", "Entry", "Rule", "Tech", "load", "names"]
