"""Logger plugin of Snakemake: one live line for the whole study in a terminal, and plain lines elsewhere.

Snakemake finds the plugin by the name of this package: ``snakemake --logger dynamical-loss``.  The targets of
make use it.  Warnings and errors are printed above the live line and stay on the screen.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from snakemake.logging import ColorizingTextHandler
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from snakemake_logger_plugin_dynamical_loss.board import Board

if TYPE_CHECKING:
    from rich.text import Text

_REFRESHES_PER_SECOND = 2
_KEPT = (
    "Error",
    "Exiting because a job execution failed",
    "Complete log",
    "Nothing to be done",
    "Elapsed time",
)
"""First words of messages without a level above INFO that stay on the screen."""

_DROPPED = "Workflow defines that rule"
"""First words of a message that Snakemake repeats for every rule that may be cached."""


class LogHandlerSettings(LogHandlerSettingsBase):
    """Settings of the plugin; there are none."""


class LogHandler(LogHandlerBase):
    """Handler of Snakemake's messages."""

    def __post_init__(self) -> None:
        stream = sys.stdout if self.common_settings.stdout else sys.stderr
        self._plain = ColorizingTextHandler(nocolor=self.common_settings.nocolor, stream=stream)
        self._board, self._live, self._lock = Board(), None, threading.Lock()
        if stream.isatty() and os.environ.get("TERM") != "dumb" and not self.common_settings.dryrun:
            # Snakemake imports every plugin at each start, also in the jobs of a cluster.
            from rich.console import Console
            from rich.live import Live

            self._console = Console(file=stream)
            self._live = Live(
                get_renderable=self._line, console=self._console, refresh_per_second=_REFRESHES_PER_SECOND
            )

    def _line(self) -> Text:
        from rich.text import Text

        # Another thread redraws the line while messages arrive.
        with self._lock:
            text = self._board.line(time.monotonic(), self._console.width)
        return Text(text, no_wrap=True, overflow="ellipsis")

    def emit(self, record: logging.LogRecord) -> None:
        """Show a message that has passed Snakemake's own filter."""
        if self._live is None:
            self._plain.setFormatter(self.formatter)
            self._plain.emit(record)
            return
        event = getattr(record, "event", None)
        with self._lock:
            self._board.take(event, vars(record), time.monotonic())
        if event == LogEvent.RUN_INFO:
            self._live.start()
        text = self.format(record) if self._stays(record, event) else ""
        if text and text != "None":
            from rich.text import Text

            self._console.print(Text.from_ansi(text))

    @staticmethod
    def _stays(record: logging.LogRecord, event: str | None) -> bool:
        if str(record.msg).startswith(_DROPPED):
            return False
        if record.levelno >= logging.WARNING or event in (LogEvent.JOB_ERROR, LogEvent.ERROR):
            return True
        return event is None and str(record.msg).startswith(_KEPT)

    def close(self) -> None:
        """Leave the last line on the screen."""
        if self._live is not None and self._live.is_started:
            self._live.stop()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """The plugin replaces Snakemake's own output."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """The plugin writes no file."""
        return False

    @property
    def has_filter(self) -> bool:
        """Snakemake's own filter decides what is quiet."""
        return False

    @property
    def has_formatter(self) -> bool:
        """Snakemake's own formatter makes the text of messages."""
        return False

    @property
    def needs_rulegraph(self) -> bool:
        """The plugin does not look at the graph."""
        return False
