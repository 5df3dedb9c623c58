"""Technologies: what tiles and buffers cost, measured on synthesised blocks or put together from published figures."""

from __future__ import annotations

from sim.tables import Entry
from sim.tech._calibrated import CalibratedTech
from sim.tech._load import DEFAULT, calibrated_on, load, names, published
from sim.tech._structure import PJ_PER_UW_NS, Structure, Tech
from sim.tech._table import PrimitiveTech, Rule

__all__ = [
    "DEFAULT",
    "PJ_PER_UW_NS",
    "CalibratedTech",
    "Entry",
    "PrimitiveTech",
    "Rule",
    "Structure",
    "Tech",
    "calibrated_on",
    "load",
    "names",
    "published",
]
