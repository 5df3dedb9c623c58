"""The demo's formats: all measured, and a measurement that is not the table's is told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hwgen.errors import HwgenError
from hwgen.pe import family
from reports import demo
from sim.accuracy.table import known


def test_every_pair_of_formats_was_measured() -> None:
    forms = demo.perplexities()
    assert [form.label for form in forms if form.known is None] == []
    # Beside float, and not all alike: the table's rows are found by what a tile stores, not by a label.
    perplexity = {(form.pe, form.label): form.perplexity for form in forms}
    assert perplexity["lut", "uint4 × int8"] == perplexity["mixpe", "uint4 × int8"]
    assert perplexity["bitmod", "bitmod_fp4 × fp16"] < perplexity["bitmod", "bitmod_fp3 × fp16"]
    assert min(perplexity.values()) > min(one.perplexity for one in known().values()) - 1e-9


@pytest.mark.parametrize(("measured", "model", "ok"), [(41.0, None, True), (41.2, None, False), (80.0, "a.gguf", True)])
def test_a_measurement_is_held_against_the_table(
    measured: float, model: str | None, ok: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = SimpleNamespace(perplexity=measured, seconds=1.0)
    task = SimpleNamespace(measure=lambda found, watch: made, document=dict)
    evaluation = SimpleNamespace(known=lambda document, calibration: None)
    found = SimpleNamespace(text=SimpleNamespace(name="lee"), evaluation=evaluation)
    monkeypatch.setattr(demo, "as_the_table", lambda *_: (found, task))
    said: list[str] = []
    arguments: Any = (family("int")(), 41.0, None if model is None else Path(model), said.append, lambda *_: None)
    if ok:
        demo._measure(*arguments)
        assert ("of another model" in said[0]) == (model is not None)
    else:
        with pytest.raises(HwgenError, match=r"must be the table's, 41\.000, not 41\.200"):
            demo._measure(*arguments)
