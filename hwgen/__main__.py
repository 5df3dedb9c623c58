"""``python -m hwgen``."""

from __future__ import annotations

from hwgen.cli import main

if __name__ == "__main__":
    main()
