"""How far a family's arithmetic is from exact arithmetic: one module a family whose arithmetic truncates or rounds.

Each module's docstring says what is compared with what and in which unit; its ``error_table()`` measures it, one row a
case.
"""

from __future__ import annotations
