"""Report the progress of long computations: with a bar on a terminal, and with lines in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

_LOG_INTERVAL_SECONDS = 10.0


@contextmanager
def report(
    label: str, stream: TextIO | None = None, interval_seconds: float = _LOG_INTERVAL_SECONDS
) -> Iterator[Callable[[float], None]]:
    """Provide a function that reports the fraction done, from 0 to 1.

    Args:
        label: name of the computation.
        stream: stream to write to; None uses standard error.
        interval_seconds: shortest time between two lines, in seconds, if the stream is not a terminal.
    """
    stream = stream or sys.stderr
    if stream.isatty():
        layout = "{l_bar}{bar}| {elapsed}<{remaining}"
        with tqdm(total=1.0, desc=label, file=stream, bar_format=layout) as bar:

            def move(fraction: float) -> None:
                bar.update(max(0.0, min(fraction, 1.0) - bar.n))

            yield move
        return
    started = last = time.monotonic()

    def line(fraction: float) -> None:
        nonlocal last
        now = time.monotonic()
        if fraction > 0 and (now - last >= interval_seconds or fraction >= 1):
            last = now
            elapsed = now - started
            left = elapsed * (1 - fraction) / fraction
            print(
                f"{label}: {fraction:4.0%}, {elapsed:.0f} s elapsed, {left:.0f} s left",
                file=stream,
                flush=True,
            )

    yield line
