"""Two small sweeps, their pages, and one browser for all tests of pages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from dse.accuracy import with_accuracy
from dse.designs import ACCELERATORS
from dse.space import Space
from dse.stored import StoredSweep, open_sweep
from dse.sweep import run_sweep
from dse.tiles import TILES
from hwgen.errors import HwgenError
from hwgen.schedule import Layer
from hwgen.simulators.toolchain import require
from reports.page.html import page_html
from reports.page.model import page_model
from sim.accuracy.table import known_of

LAYERS = [Layer("up", 8, 96, 576), Layer("8x64x192", 8, 64, 192, 3)]
SHAPES = {"m": (1, 2), "n": (4, 8), "k": (2, 4)}
DESIGNS = {"bus_bits": (64, 128), "weight_ring": (32, 128)}


@pytest.fixture(scope="session")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> StoredSweep:
    """Tiles of three families, with accuracies where they are known; one of them with registers by hand."""
    file = tmp_path_factory.mktemp("sweeps") / "tiles.parquet"
    spaces = [
        *Space.split("int", {**SHAPES, "bits": (1, 3, 4)}),
        *Space.split("lut", {**SHAPES, "bits": (2, 4)}),
        Space.of("int", {"m": (2,), "n": (8,), "cell_cuts": (0, 2)}),
        Space.of("mx", {"n": (4, 8), "weights": ("mxfp4", "mxfp8_e4m3")}),
    ]
    command = "hwgen sweep --pe int --pe lut --pe mx --objective area_um2 --objective latency_us -o tiles.parquet"
    run_sweep(spaces, LAYERS, output=file, command=command, level=with_accuracy(TILES, known_of))
    return open_sweep(file)


@pytest.fixture(scope="session")
def designs(tmp_path_factory: pytest.TempPathFactory) -> StoredSweep:
    """Accelerators around tiles of two families, for three objectives."""
    file = tmp_path_factory.mktemp("sweeps") / "designs.parquet"
    spaces = [Space.of(name, {"m": (4,), "n": (8, 16), "k": (4, 8)}) for name in ("int", "lut")]
    assert ACCELERATORS.around is not None
    spaces = [space.beside(ACCELERATORS.around, DESIGNS) for space in spaces]
    objectives = ("area_um2", "latency_us", "energy_pj")
    command = " ".join(["hwgen sweep", *(f"--objective {name}" for name in objectives)])
    run_sweep(spaces, LAYERS, objectives=objectives, output=file, command=command, level=ACCELERATORS)
    return open_sweep(file)


@pytest.fixture(scope="session")
def models(tiles: StoredSweep, designs: StoredSweep) -> dict[str, dict[str, Any]]:
    """Models of both."""
    return {one.path.stem: page_model(one, most=3000, command="hwgen report") for one in (tiles, designs)}


@pytest.fixture(scope="session")
def files(models: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of both."""
    folder = tmp_path_factory.mktemp("pages")
    found = {name: folder / f"{name}.html" for name in models}
    for name, file in found.items():
        file.write_text(page_html(models[name]), encoding="utf-8")
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; its absence is an error in CI and a skip elsewhere."""
    try:
        program = require("chromium")
    except HwgenError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    with sync_playwright() as driver:
        # No sandbox: it needs rights that containers do not give, and all that is opened is ours.
        started = driver.chromium.launch(executable_path=str(program), args=["--no-sandbox"])
        yield started
        started.close()


@dataclass
class Heard:
    """What a page asked for and complained of."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@dataclass
class Opened:
    """An open page, and what was heard of it."""

    page: Page
    heard: Heard


Opener = Callable[..., Opened]


@pytest.fixture
def opened(browser: Browser, files: dict[str, Path]) -> Iterator[Opener]:
    """Opens a page by name: ``opened("tiles", "x=...", width=390, scheme="dark")``."""
    contexts = []

    def open_page(
        name: str | Path, view: str = "", *, width: int = 1280, height: int = 900, scheme: Any = "light"
    ) -> Opened:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page, heard = context.new_page(), Heard()
        page.set_default_timeout(30_000)
        page.on("request", lambda request: heard.requests.append(request.url))
        page.on("console", lambda message: heard.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: heard.complaints.append(str(error)))
        file = files[name] if isinstance(name, str) else name
        page.goto(file.as_uri() + (f"#{view}" if view else ""))
        page.wait_for_selector("html[data-ready]")
        return Opened(page, heard)

    yield open_page
    for context in contexts:
        context.close()
