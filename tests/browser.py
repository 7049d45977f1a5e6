"""A real browser that opens pages from files, and notes its complaints and its requests to a network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright import sync_api

READY = "typeof Bokeh === 'undefined' || (Bokeh.documents.length > 0 && Bokeh.documents[0].is_idle)"
_LOCAL = ("file:", "data:", "blob:", "about:")
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[sync_api.Browser]:
    """Start the system's Chromium; the test is skipped if there is none."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("there is no Chromium; install it (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        # Chromium's sandbox does not run for root, and CI runs as root.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page that is open in the browser.

    Attributes:
        page: the page.
        complaints: warnings and errors of the console, uncaught errors, and requests to a network.
    """

    def __init__(self, browser: sync_api.Browser, path: Path, address: str, width: int, dark: bool) -> None:
        self.page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        self.complaints: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)
        self.page.goto(path.as_uri() + address)
        self.settle()

    def _said(self, message: sync_api.ConsoleMessage) -> None:
        if message.type in ("warning", "error"):
            self.complaints.append(message.text)

    def _asked(self, request: sync_api.Request) -> None:
        if not request.url.startswith(_LOCAL):
            self.complaints.append(f"request to {request.url}")

    def settle(self) -> None:
        """Wait until the plots are drawn and the page's script has reacted."""
        self.page.wait_for_function(READY)
        self.page.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(null))))"
        )

    def click(self, selector: str) -> None:
        """Click an element, and wait until the page has reacted."""
        self.page.click(selector)
        self.settle()

    def choose(self, name: str, label: str) -> None:
        """Choose the item with a text from a list, and wait until the page has reacted."""
        self.page.select_option(f"#{name}", label=label)
        self.settle()

    def state(self) -> str:
        """Return the line in which the page says what it shows."""
        return self.page.inner_text("#state")

    def plot(self, name: str) -> str:
        """Return the JavaScript expression for a plot, by its name in the page."""
        root = self.page.get_attribute(f"[data-plot={name}]", "data-root-id")
        return f"Bokeh.documents[0].get_model_by_id('{root}')"

    def lines(self, name: str, glyph: str = "Line") -> list[dict[str, Any]]:
        """Return the data of all glyphs of a type in a plot, as lists by column."""
        found: list[dict[str, Any]] = self.page.evaluate(
            f"{self.plot(name)}.renderers.filter((one) => one.glyph.type === '{glyph}').map((one) => "
            "Object.fromEntries(Object.entries(one.data_source.data).map(([key, value]) => "
            "[key, Array.from(value, (item) => item && item.length !== undefined && typeof item !== 'string' "
            "? Array.from(item) : item)])))"
        )
        return found


@contextmanager
def opened(
    browser: sync_api.Browser, path: Path, address: str = "", *, width: int = 1400, dark: bool = False
) -> Iterator[Opened]:
    """Open a page; on leaving, the test fails if the page complained or asked a network.

    Args:
        browser: the browser.
        path: HTML file.
        address: end of the address, such as ``#steps=0-10``.
        width: width of the window in pixels.
        dark: whether the reader prefers dark pages.
    """
    page = Opened(browser, path, address, width, dark)
    try:
        yield page
        assert page.complaints == []
    finally:
        page.page.close()
