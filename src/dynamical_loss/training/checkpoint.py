"""Checkpoint files of unfinished training, from which a killed or preempted job resumes.

The file is hidden and lies in the folder of the output, for example ``.T200_A10_seeds0-9.checkpoint.nc``.
Like any other result, it is written completely or not at all.  Training resumes only with the same code,
settings, inputs, packages and C compiler, and on the same kind of device.  The results then equal those of an
uninterrupted run.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt

from dynamical_loss.errors import Interrupted, ResultError, UserError
from dynamical_loss.results import netcdf
from dynamical_loss.results.record import Provenance

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_IDENTITY = (
    "source",
    "code_digest",
    "settings",
    "inputs",
    "package_versions",
    "surroundings",
    "computed_by",
    "backend",
    "device",
    "precision",
)
_SHARE = 50  # least ratio of the time between two writes to the time that a write takes


class FileCheckpoint:
    """Store that saves unfinished work at intervals, and once more when the program is asked to stop."""

    def __init__(self, output: Path, record: Provenance, interval_seconds: float) -> None:
        """Define the file and the interval; nothing is read or written yet.

        Args:
            output: file of the finished result.
            record: provenance of the result; `restore` adds the time of earlier attempts to it.
            interval_seconds: least time between two writes, in seconds.  Even with a short interval, writing
                takes at most about 2 % of the time.
        """
        self.path = output.with_name(f".{output.stem}.checkpoint.nc")
        self._record = record
        self._interval = interval_seconds
        self._due = time.monotonic() + interval_seconds
        self._signal: int | None = None

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Context in which SIGINT and SIGTERM take effect only after the work has been saved or completed.

        Outside the main thread, the handling of signals does not change.
        """

        def note(number: int, _frame: FrameType | None) -> None:
            self._signal = number

        try:
            before = {number: signal.signal(number, note) for number in _SIGNALS}
        except ValueError:
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def restore(self) -> Mapping[str, npt.NDArray[Any]] | None:
        """Return the arrays that an earlier attempt at the same work saved, or None.

        A file that is damaged or belongs to other work is ignored, and a message says so: training from the
        start is always correct.  A file that cannot be read at the moment may be intact, so it is not
        ignored.

        Raises:
            UnreadableError: if the system or the library cannot read the file.
        """
        if not self.path.is_file():
            return None
        try:
            kept = netcdf.read(self.path)
        except ResultError as error:
            _say(f"starting from the beginning: {str(error).partition(';')[0]}")
            return None
        present = self._record.attributes(self.path.parent)
        for name in _IDENTITY:
            if kept.attrs.get(name) != present.get(name):
                _say(f"starting from the beginning: {self.path} belongs to work with another '{name}'")
                return None
        self._record.resume(kept.attrs)
        _say(f"resuming from {self.path}, after {kept.attrs['wall_seconds']:.0f} s of work")
        return {str(name): variable.values for name, variable in kept.variables.items()}

    def offer(self, unfinished: Callable[[], Mapping[str, npt.NDArray[Any]]]) -> None:
        """Save the arrays that `unfinished` returns, if a write is due or the program was asked to stop.

        Raises:
            Interrupted: after the write, if the program was asked to stop.
        """
        if self._signal is None and time.monotonic() < self._due:
            return
        started = time.monotonic()
        arrays = unfinished()
        try:
            self._record.write(_dataset(arrays), self.path)
        except (OSError, RuntimeError, UserError) as error:
            # Training can continue without the checkpoint: a full disk may have space again by the next
            # write.
            _say(f"a checkpoint could not be written and is skipped: {error}")
        now = time.monotonic()
        self._due = now + max(self._interval, _SHARE * (now - started))
        if self._signal is not None:
            raise Interrupted(self._signal, self.path if self.path.exists() else None)

    def remove(self) -> None:
        """Delete the checkpoint file, once the output has been written."""
        self.path.unlink(missing_ok=True)


def _dataset(arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    variables = netcdf.Variables()
    for name, array in arrays.items():
        dimensions = [f"{name}_{axis}" for axis in range(np.ndim(array))]
        variables.add(name, dimensions, array, "unfinished training", reference="none")
    return variables.dataset()


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
