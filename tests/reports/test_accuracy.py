"""What the accuracy pages measure: formats by methods, those apart that a method has nothing to do for."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import BboxBase

from hwgen.errors import HwgenError
from hwgen.pe import families
from reports import accuracy_plot
from reports.accuracy import METHODS, refusal, tasks_of
from reports.accuracy_plot import _labelled
from sim.accuracy.recipe import recipe, try_weights


def test_formats_by_methods() -> None:
    """At least 20 formats, each with at least 6 methods, and none that would be refused when its turn comes."""
    recipes = [task.recipe for task in tasks_of("methods")[1:]]
    assert all(one is not None and refusal(one) is None for one in recipes)
    count = Counter(one.formats["weights"].name for one in recipes if one is not None)
    assert len(count) >= 20
    assert min(count.values()) >= 6
    assert {one.method.name for one in recipes if one is not None} == set(METHODS)


@pytest.mark.parametrize(
    ("weights", "by", "said"),
    [
        ("int4", "scales", "method scales: format must have block scales"),
        ("int4", "hadamard(block=512)", "method hadamard: block must divide the 576 inputs"),
        ("hif4", "rtn", None),
    ],
)
def test_what_a_method_refuses_is_known_before(weights: str, by: str, said: str | None) -> None:
    before = torch.get_rng_state()
    asked = recipe({"weights": weights}, by)
    if said is None:
        try_weights(asked, 576)
    else:
        with pytest.raises(HwgenError) as caught:
            try_weights(asked, 576)
        assert str(caught.value).startswith(said)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_format_is_named_where_its_own_codes_are() -> None:
    rows = [
        {"weights": "int3/128", "method": by, "bits_per_weight": bits, "perplexity": perplexity}
        for by, bits, perplexity in (
            ("rtn", 3.1, 90.0),
            ("clip", 3.1, 80.0),
            ("trits", 4.3, 40.0),
            ("powers(terms=2)", 4.4, 30.0),
        )
    ]
    assert [row["method"] for row in _labelled(rows, "bits_per_weight")] == ["clip"]


def test_points_of_all_families_differ_and_names_cover_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []
    boxes: list[BboxBase] = []
    points: list[tuple[float, float]] = []
    real_scatter, real_label = Axes.scatter, accuracy_plot._label

    def scatter(axes: Axes, xs: list[float], ys: list[float], **how: object) -> object:
        looks.append((how["color"], how["marker"]))
        points.extend(zip(xs, ys, strict=True))
        return real_scatter(axes, xs, ys, **how)  # type: ignore[arg-type]

    def label(
        figure: Figure, axes: Axes, names: list[tuple[float, float, str]], drawn: list[tuple[float, float]]
    ) -> None:
        real_label(figure, axes, names, drawn)
        for text in axes.texts:
            text.get_window_extent()
            boxes.append(Text.get_window_extent(text))
        assert not [one for one in axes.transData.transform(points) for box in boxes if box.contains(*one)]

    monkeypatch.setattr(Axes, "scatter", scatter)
    monkeypatch.setattr(accuracy_plot, "_label", label)
    whole = {"perplexity": 28.0, "tokens": 1023, "method": "rtn", "bits_per_weight": 32.0}
    rows = [
        {
            **whole,
            "method": name,
            "weights": f"of_{name}",
            "perplexity": 30.0 + 3 * (at % 4),
            "bits_per_weight": 4 + at / 8,
        }
        for at, name in enumerate(families())
    ]
    accuracy_plot.perplexity_picture([whole, *rows], ".png", "lee")
    assert len(set(looks)) == len(families()) == len(rows)
    assert len(boxes) == len(rows)
    assert not any(one.overlaps(other) for at, one in enumerate(boxes) for other in boxes[:at])
