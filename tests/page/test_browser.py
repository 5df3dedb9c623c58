"""The page in a browser: what it asks for, what it does, how it looks."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from hwgen.cli import main
from reports.page.html import MOST_BYTES
from reports.page.model import page_model

Opener = Any
PASSING = "#passing"


def passing(page: Page) -> int:
    return int(page.inner_text(PASSING).split(" of ")[0].replace(",", ""))


def settle(page: Page) -> None:
    """Two frames: what was asked for is drawn then."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def in_table(page: Page) -> int:
    return int(page.inner_text("#table-count").split()[0].replace(",", ""))


def first_paint_ms(page: Page, tries: int = 6) -> float:
    """The best of some: other work on the machine makes it longer, nothing shorter."""
    found = []
    for _ in range(tries):
        found.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        if found[-1] < 1000:
            break
        page.reload()
        page.wait_for_selector("html[data-ready]")
    return float(min(found))


def column(model: dict[str, Any], name: str) -> list[Any]:
    data = model["data"][name]
    if "same" in data:
        return [data["same"]] * model["counts"]["shown"]
    if "numbers" in data:
        return list(data["numbers"])
    return [None if place < 0 else data["texts"][place] for place in data["places"]]


@pytest.mark.parametrize(("name", "scheme"), [("tiles", "light"), ("designs", "dark")])
def test_asks_for_nothing_and_complains_of_nothing(
    opened: Opener, models: dict[str, Any], files: dict[str, Path], name: str, scheme: str
) -> None:
    one = opened(name, scheme=scheme)
    assert one.heard.requests == [files[name].as_uri()]
    assert one.heard.complaints == []
    assert passing(one.page) == models[name]["counts"]["shown"] == in_table(one.page)
    text = one.page.inner_text("body")
    for words in ("Area and energy", "Layers", "Make it real", "Where the numbers come from", "sky130hd", "measured"):
        assert words in text
    assert ("Roofline" in text) == (name == "designs")
    assert ("perplexity" in text) == (name == "tiles")
    assert first_paint_ms(one.page) < 1500
    assert files[name].stat().st_size < MOST_BYTES


def test_a_page_that_asks_for_something_is_seen(opened: Opener, files: dict[str, Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    text = files["tiles"].read_text(encoding="utf-8")
    bad.write_text(text.replace("</head>", '<script src="http://127.0.0.1:9/x.js"></script></head>'), encoding="utf-8")
    one = opened(bad)
    assert len(one.heard.complaints) + len(one.heard.requests) > 1


def test_limits_families_and_formats_filter_everything(opened: Opener, models: dict[str, Any]) -> None:
    model = models["tiles"]
    page = opened("tiles").page
    areas, families = np.array(column(model, "area_um2")), np.array(column(model, "pe"))
    page.fill("#limit-area_um2", "100")
    settle(page)
    assert 0 < passing(page) < len(areas)
    ((_, limit),) = re.findall(r"area_um2%3A(\S*?)\.\.([\d.]+)", page.evaluate("location.hash"))
    assert passing(page) == in_table(page) == int((areas <= float(limit) * (1 + 1e-5)).sum())
    page.uncheck("[data-key=families][data-item=lut]")
    settle(page)
    kept = (areas <= float(limit) * (1 + 1e-5)) & (families != "lut")
    assert passing(page) == int(kept.sum())
    page.uncheck("[data-key=formats] >> nth=0")
    settle(page)
    assert passing(page) <= int(kept.sum())
    page.click("#reset")
    settle(page)
    assert passing(page) == len(areas)
    assert page.evaluate("location.hash") in ("", "#point=" + str(model["chosen"]))


def test_brushing_an_axis_filters_table_and_scatter(opened: Opener, models: dict[str, Any]) -> None:
    page = opened("tiles", height=1200).page
    before = page.inner_text("#scatter-caption")
    grip = page.locator("#parallel svg g", has=page.locator("#end-low-area_um2")).locator(".grip")
    box = grip.bounding_box()
    assert box is not None
    x, top, height = box["x"] + box["width"] / 2, box["y"], box["height"]
    page.mouse.move(x, top + 0.25 * height)
    page.mouse.down()
    page.mouse.move(x, top + 0.45 * height, steps=3)
    page.mouse.move(x, top + 0.6 * height, steps=3)
    page.mouse.up()
    settle(page)
    areas = np.array(column(models["tiles"], "area_um2"))
    ((low, high),) = re.findall(r"area_um2%3A([\d.]+)\.\.([\d.]+)", page.evaluate("location.hash"))
    kept = int(((areas >= float(low) * (1 - 1e-5)) & (areas <= float(high) * (1 + 1e-5))).sum())
    assert 0 < kept < len(areas)
    assert passing(page) == in_table(page) == kept
    assert page.inner_text("#scatter-caption") != before
    # The same by keys, and a click takes it away.
    page.mouse.click(x, top + 0.9 * height)
    settle(page)
    assert passing(page) == len(areas)
    page.focus("#end-low-area_um2")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
        settle(page)
    assert 0 < passing(page) < len(areas)
    page.keyboard.press("Escape")
    settle(page)
    assert passing(page) == len(areas)


def at_point(page: Page, index: int) -> tuple[float, float]:
    """Where a point is drawn, by opening it and looking for its ring."""
    page.evaluate(f"location.hash = '#fit=all&point={index}'")
    settle(page)
    box = page.locator(".ring").first.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_click_takes_a_point_apart(opened: Opener, models: dict[str, Any], capsys: Any) -> None:
    """What is said of the point is what the command beside it prints."""
    model = models["designs"]
    page = opened("designs").page
    first, second = model["front"][0], model["front"][-1]
    x, y = at_point(page, first)
    page.evaluate(f"location.hash = '#fit=all&point={second}'")
    settle(page)
    before = page.inner_text("#detail")
    page.mouse.click(x, y)
    settle(page)
    assert page.inner_text("#detail") != before
    index = int(re.findall(r"point=(\d+)", page.evaluate("location.hash") + f"point={model['chosen']}")[0])
    assert column(model, "area_um2")[index] == column(model, "area_um2")[first]
    assert page.locator(".blocks tbody tr").count() >= 5
    assert page.locator(".layers tbody tr").count() == 2
    command = page.locator(".command code").first.inner_text()
    assert command.startswith("hwgen estimate --level accelerator --pe ")
    with pytest.raises(SystemExit) as ended:
        main([*shlex.split(command)[1:], "--json"])
    assert ended.value.code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["cost"]["area_um2"]["total"] == pytest.approx(column(model, "area_um2")[index], rel=1e-8)


def test_dragging_over_the_scatter_selects(opened: Opener, models: dict[str, Any]) -> None:
    page = opened("tiles", "fit=all").page
    box = page.locator("#scatter").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.7 * box["height"], steps=4)
    page.mouse.up()
    settle(page)
    assert 0 < passing(page) < models["tiles"]["counts"]["shown"]
    hash_ = page.evaluate("location.hash")
    assert "area_um2" in hash_
    assert "latency_us" in hash_
    page.focus("#scatter svg")
    page.keyboard.press("Escape")
    settle(page)
    assert passing(page) == models["tiles"]["counts"]["shown"]
    page.keyboard.press("End")
    settle(page)
    assert "on the front" in page.inner_text("#live")


def test_a_view_travels_in_its_address(opened: Opener) -> None:
    first = opened("tiles").page
    first.select_option("#axis-x", "power_mw")
    first.select_option("#axis-z", "m")
    first.uncheck("#axis-ylog")
    first.fill("#limit-latency_us", "150")
    first.uncheck("[data-key=families][data-item=mx]")
    first.check("#front-only")
    first.click("[data-sort=latency_us]")
    first.locator("#table tbody tr").nth(1).click()
    settle(first)
    view = first.evaluate("location.hash")[1:]
    assert view
    second = opened("tiles", view).page
    for where in ("#passing", "#table", "#detail", "#scatter-caption", "#subtitle"):
        assert second.inner_text(where) == first.inner_text(where), where
    assert second.input_value("#axis-x") == "power_mw"
    assert second.is_checked("#axis-xlog") == first.is_checked("#axis-xlog")
    assert not second.is_checked("#axis-ylog")
    assert second.evaluate("location.hash")[1:] == view
    # What an address names and the page has not is left out, and nothing breaks.
    odd = opened("tiles", "x=nope&ranges=nope:1..2,area_um2:x..y&families=a&point=-3&page=1e9&dims=q&sort=zz")
    assert odd.heard.complaints == []
    assert passing(odd.page) == 0
    assert "No point passes" in odd.page.inner_text("#scatter-caption")


def test_the_front_is_the_front(opened: Opener, models: dict[str, Any], tiles: Any) -> None:
    """Of any axes and filters, by another algorithm; and what is called whole is that of all points."""
    model, page = models["tiles"], opened("tiles").page
    views = [("area_um2", "latency_us", ""), ("power_mw", "tops_per_mm2", ""), ("area_um2", "perplexity", "power_mw")]
    for x, y, z in views:
        page.evaluate(f"location.hash = '#x={x}&y={y}&z={z}&frontOnly=1&families=int,lut&ranges=area_um2:..90000'")
        settle(page)
        names = [name for name in (x, y, z) if name]
        better = {one["name"]: one["better"] for one in model["columns"]}
        points = tiles.points[tiles.points["pe"].isin(["int", "lut"]) & (tiles.points["area_um2"] <= 90000)]
        rows = (points[names].dropna() * [-1.0 if better[name] > 0 else 1.0 for name in names]).to_numpy()
        best = {tuple(one) for one in rows if not any((other <= one).all() and (other < one).any() for other in rows)}
        assert in_table(page) == len(best), names
        # Limits on other columns may bring other points; of threes, fronts of families are not all here.
        sure = "area_um2" in names and len(names) == 2
        assert ("of this page" in page.inner_text("#scatter-caption")) != sure


def test_the_table_sorts_and_saves(opened: Opener, models: dict[str, Any], tmp_path: Path) -> None:
    model, page = models["tiles"], opened("tiles", "families=int").page
    page.click("[data-sort=power_mw]")
    settle(page)
    heading = page.locator("th", has=page.locator("[data-sort=power_mw]"))
    assert heading.get_attribute("aria-sort") == "ascending"
    page.click("[data-sort=power_mw]")
    settle(page)
    assert heading.get_attribute("aria-sort") == "descending"
    with page.expect_download() as waited:
        page.click("#csv")
    waited.value.save_as(tmp_path / "points.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "points.csv").read_text(encoding="utf-8"))))
    assert len(rows) == passing(page) == column(model, "pe").count("int")
    assert {one["pe"] for one in rows} == {"int"}
    powers = [float(one["power_mw"]) for one in rows]
    assert powers == sorted(powers, reverse=True)
    assert set(powers) <= set(column(model, "power_mw"))
    page.check("#front-only")
    settle(page)
    assert sum(one["on_front"] == "1" for one in rows) == in_table(page)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light"), (820, "light")])
def test_nothing_is_wider_than_the_screen(opened: Opener, width: int, scheme: str) -> None:
    page = opened("designs", width=width, scheme=scheme).page
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("#scatter", "#parallel", "#table", "#detail", "#provenance"):
        box = page.locator(name).bounding_box()
        assert box is not None
        assert box["width"] > 0.2 * width
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_keys_reach_everything(opened: Opener) -> None:
    """Whatever can be clicked comes up as Tab is pressed, in the order in which it stands, each with a name."""
    page = opened("tiles").page
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    settle(page)
    script = """() => {
      const kinds = ['a[href]', 'button:not(:disabled)', 'input:not(:disabled)', 'select', 'summary', '[tabindex="0"]'];
      const all = [...document.querySelectorAll(kinds.join())];
      all.forEach((one, place) => { one.dataset.place = place; });
      return all.length;
    }"""
    count = page.evaluate(script)
    assert count > 60
    name = """() => {
      const one = document.activeElement;
      const label = one.getAttribute('aria-label') ?? one.labels?.[0]?.textContent ?? one.textContent ?? '';
      const ring = getComputedStyle(one).outlineStyle;
      return [Number(one.dataset.place ?? -1), label.trim(), ring];
    }"""
    reached = []
    for _ in range(count):
        page.keyboard.press("Tab")
        place, label, ring = page.evaluate(name)
        assert label, place
        assert ring != "none", (place, label)
        reached.append(place)
    assert reached == list(range(count))


LUMINANCE = """() => {
  const colour = (text) => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const style = getComputedStyle(document.documentElement);
  const names = ['--ground', '--panel', '--ink', '--soft', '--dim', '--accent', '--on-accent', '--wash', '--good',
    '--bad', '--bar', ...Array.from({ length: 8 }, (_, n) => `--f${n}`)];
  return Object.fromEntries(names.map((name) => [name, colour(style.getPropertyValue(name))]));
}"""


def contrast(one: list[int], other: list[int]) -> float:
    """Of the WCAG."""

    def light(rgb: list[int]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb)]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
BLIND = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(rgb: list[int], kind: str) -> np.ndarray:
    """CIE L*a*b* of a colour as it is seen with a deficiency."""
    values = np.array(rgb) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(BLIND[kind]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    f = np.cbrt(xyz / np.array([0.9505, 1.0, 1.089]))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_read(opened: Opener, scheme: str) -> None:
    page = opened("tiles", scheme=scheme).page
    found = page.evaluate(LUMINANCE)
    for ground in ("--ground", "--panel", "--wash"):
        for text in ("--ink", "--soft", "--dim", "--accent"):
            assert contrast(found[text], found[ground]) >= 4.5, (text, ground)
    for text, ground in (("--good", "--panel"), ("--bad", "--panel"), ("--on-accent", "--accent"), ("--ink", "--bar")):
        assert contrast(found[text], found[ground]) >= 4.5, text
    families = [found[f"--f{place}"] for place in range(8)]
    for place, one in enumerate(families):
        assert contrast(one, found["--panel"]) >= 3, place
    # Shapes differ for all; the colours of the first five also do for every common deficiency.
    for kind in BLIND:
        for a, b in itertools.combinations(range(5), 2):
            assert np.linalg.norm(lab(families[a], kind) - lab(families[b], kind)) > 9, (kind, a, b)


def test_theme_can_be_chosen(opened: Opener) -> None:
    page = opened("tiles", scheme="light").page
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.click("#theme")
    page.click("#theme")
    assert page.get_attribute("#theme", "aria-label") == "Theme: dark"
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.evaluate(ground) == dark
    assert dark == opened("tiles", scheme="dark").page.evaluate(ground)


@pytest.mark.slow
def test_a_large_page_is_small_and_quick(opened: Opener, tmp_path: Path) -> None:
    """Eleven thousand accelerators, three thousand of them shown."""
    from dse.designs import ACCELERATORS
    from dse.space import Space
    from dse.stored import open_sweep
    from dse.sweep import run_sweep
    from hwgen.schedule import Layer
    from reports.page.html import page_html

    layers = [Layer(f"layer {n}", 1 + n, 576, 64 * (n + 1)) for n in range(8)]
    axes = {"m": (4, 8, 16), "n": (8, 16, 32), "k": (4, 8)}
    assert ACCELERATORS.around is not None
    around = dict.fromkeys(("bus_bits", "weight_ring", "act_ring"))
    spaces = [Space.of(name, axes).beside(ACCELERATORS.around, around) for name in ("int", "lut", "bitmod", "mx")]
    run_sweep(spaces, layers, output=tmp_path / "x.parquet", level=ACCELERATORS)
    sweep = open_sweep(tmp_path / "x.parquet")
    model = page_model(sweep, most=3000)
    file = tmp_path / "x.html"
    file.write_text(page_html(model), encoding="utf-8")
    assert model["counts"]["shown"] == min(3000, sweep.count)
    assert file.stat().st_size < MOST_BYTES
    one = opened(file)
    assert one.heard.complaints == []
    assert first_paint_ms(one.page) < 1500
