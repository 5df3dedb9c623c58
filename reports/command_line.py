"""The command line of reports that have no options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

__all__ = ["without_options"]


def without_options(main: Callable[[], None], about: str | None) -> None:
    """Run ``main`` of the module that is the program, unless something was typed behind its name.

    ``--help`` prints ``about``, anything else ends with exit status 2: a word that is ignored would write a page that
    is not what was asked for.
    """
    spec = sys.modules["__main__"].__spec__
    assert spec is not None, "reports are run by python -m"
    name = spec.name.removesuffix(".__main__")
    argparse.ArgumentParser(
        prog=f"python -m {name}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    main()
