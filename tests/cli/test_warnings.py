"""A warning for users is one line on standard error."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from hwgen.cli import _plain_warnings
from hwgen.errors import HwgenWarning


def test_one_line_without_a_place(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    others: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", lambda *about: others.append(about[1]))
        with _plain_warnings():
            warnings.warn("accelerator: it is\n slower", HwgenWarning, stacklevel=1)
            warnings.warn("of another", UserWarning, stacklevel=1)
        warnings.warn("afterwards", HwgenWarning, stacklevel=1)
    assert capsys.readouterr().err == "hwgen: accelerator: it is slower\n"
    assert others == [UserWarning, HwgenWarning]
