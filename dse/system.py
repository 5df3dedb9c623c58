"""Reports of systems as tables."""

from __future__ import annotations

import pandas as pd

from sim.system import Report

__all__ = ["report_frame"]


def report_frame(report: Report) -> pd.DataFrame:
    """Parts of a report as rows; parts of the model that a vector unit does have no operand of their own."""
    return pd.DataFrame(report.rows())
