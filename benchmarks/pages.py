"""Measure how fast the explorer's pages open and move in a browser: wall time in headless Chromium."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from machine import Measurement, measurement

from dynamical_loss.explorer import phase, run
from dynamical_loss.pages.page import html

DRAWN = "Bokeh.documents.length > 0 && Bokeh.documents[0].is_idle"
MOVE = """async (steps) => {
  const range = Bokeh.documents[0].roots()[0].x_range, span = range.end - range.start;
  const begun = performance.now();
  range.setv({start: range.start + steps, end: range.start + steps + span});
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - begun;
}"""
"""Moves all plots of a run by some steps, and returns the milliseconds until the browser has drawn them."""


def long_run(steps: int) -> dict[str, list[xr.Dataset]]:
    """Make the files of a run with noise in all its records, which is the most that a page has to draw."""
    random = np.random.default_rng(0)
    at = np.arange(steps)
    probed = at[::25]
    settings = {"learning_rate": 1.0, "period": 5000, "amplitude": 70.0, "seed": 0, "model": {"kind": "mlp"}}
    trajectory = xr.Dataset(
        {
            "class_weight": (("step", "class_index"), random.random((steps, 3))),
            "weighted_loss": ("step", random.random(steps)),
            "train_accuracy": ("step", random.random(steps)),
            "validation_accuracy": ("step", random.random(steps)),
            "diverged": ((), 0),
        },
        coords={"step": at},
        attrs={"settings": json.dumps(settings)},
    )
    eigenvalues = (("snapshot_step", "mode"), 1 + random.random((probed.size, 3)))
    spectrum = xr.Dataset(
        {"hessian_eigenvalue": eigenvalues, "ntk_eigenvalue": eigenvalues},
        coords={"snapshot_step": probed},
        attrs={"settings": json.dumps(settings)},
    )
    return {"trajectory": [trajectory], "spectrum": [spectrum]}


def large_diagram(cells: int, seeds: int, records: int) -> dict[str, list[xr.Dataset]]:
    """Make a phase diagram of cells × cells with learning curves of noise."""
    random = np.random.default_rng(0)
    shape, dimensions = (cells, cells, seeds), ("period", "amplitude", "seed")
    names = ("train_accuracy", "validation_accuracy")
    curve = random.random((*shape, records), dtype=np.float32)
    found = xr.Dataset(
        {
            **{name: (dimensions, random.random(shape)) for name in names},
            **{f"{name}_curve": ((*dimensions, "step"), curve) for name in names},
            "diverged": (dimensions, np.zeros(shape, np.int8)),
        },
        coords={
            "period": 10 * np.arange(1, cells + 1),
            "amplitude": np.arange(1.0, cells + 1),
            "seed": range(seeds),
            "step": 500 * np.arange(records),
        },
        attrs={"settings": json.dumps({"learning_rate": 1.0, "model": {"kind": "mlp", "width": 100}})},
    )
    return {"phase": [found]}


@contextmanager
def chromium() -> Iterator[Any]:
    """Start the system's Chromium; yield None if it or Playwright is missing."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        yield None
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Any, path: Path) -> tuple[Any, float]:
    """Open a page; return it, and the seconds until it was drawn."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    begun = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_function(DRAWN)
    return page, time.perf_counter() - begun


def moves(page: Any, window: int, count: int) -> list[float]:
    """Show the first steps of a run, and return the milliseconds of moves by a fiftieth of them."""
    page.evaluate(f"location.hash = 'steps=0-{window}'")
    page.wait_for_timeout(500)
    return [page.evaluate(MOVE, max(1, window // 50)) for _ in range(count)]


def measure(repetitions: int, steps: int, cells: int, seeds: int, records: int) -> list[Measurement]:
    """Measure the opening of both pages, and the moves of a run's whole and zoomed view.

    Args:
        repetitions: number of times that each page is opened, and ten times as many moves.
        steps: length of the run.
        cells: number of periods and of amplitudes of the diagram.
        seeds: number of runs in each cell.
        records: number of records of each learning curve.

    Returns:
        the measurements; none if there is no Chromium.
    """
    long, large = f"a run of {steps} steps", f"a diagram of {cells} × {cells} cells, {seeds} seeds"
    made = {
        long: run.render(long_run(steps), "run", {}),
        large: phase.render(large_diagram(cells, seeds, records), "diagram", {}),
    }
    result = []
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        if browser is None:
            print("pages: there is no Chromium or no Playwright, so this part is left out")
            return []
        for name, page in made.items():
            path = Path(folder) / "page.html"
            path.write_text(html(page), encoding="utf-8")
            result.append(measurement("pages", "size", "MB", [path.stat().st_size / 1e6], page=name))
            seconds = []
            for _ in range(repetitions):
                shown, taken = opened(browser, path)
                seconds.append(taken)
                if name == long and len(seconds) == repetitions:
                    for view, window in (("whole", steps - 1), ("zoomed", min(3000, steps - 1))):
                        times = moves(shown, window, 10 * repetitions)
                        result.append(measurement("pages", f"a move, {view} view", "ms", times, page=name))
                shown.close()
            result.append(measurement("pages", "open until drawn", "s", seconds, page=name))
    return result
