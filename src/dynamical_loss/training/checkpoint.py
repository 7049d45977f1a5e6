"""Unfinished training, kept in a file, so that a killed or pre-empted job goes on where it was.

The file lies beside the output, hidden: ``.T200_A10_seeds0-9.checkpoint.nc``.  It is written like any other
result, whole or not at all, and taken up only by the same code with the same settings, inputs, packages
and C compiler on the same kind of device; then the numbers are those of an undisturbed run.
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
_SHARE = 50  # of the time is training for each part spent on keeping it


class FileCheckpoint:
    """Keeps unfinished work now and then, and once more when the program is asked to stop."""

    def __init__(self, output: Path, record: Provenance, interval_seconds: float) -> None:
        """Nothing is read or written yet.

        Args:
            output: the file that the work will end in.
            record: the provenance of that file; it learns of earlier attempts.
            interval_seconds: least time between two writes; writing never takes more than about 2 % of the
                time, however short this is.
        """
        self.path = output.with_name(f".{output.stem}.checkpoint.nc")
        self._record = record
        self._interval = interval_seconds
        self._due = time.monotonic() + interval_seconds
        self._signal: int | None = None

    @contextmanager
    def watch(self) -> Iterator[None]:
        """While this lasts, SIGINT and SIGTERM wait for the work to be kept, or written as a whole.

        Where another thread than the main one asks for it, signals stay as they are.
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
        """What was kept by an earlier attempt at the same work, or None.

        A file that is damaged or belongs to other work is not taken up, with a line that says so: starting
        anew is always right.  One that cannot be read now may be good, and is not thrown away.

        Raises:
            UnreadableError: if the system or the library cannot read it.
        """
        if not self.path.is_file():
            return None
        try:
            kept = netcdf.read(self.path)
        except ResultError as error:
            _say(f"starting anew: {str(error).partition(';')[0]}")
            return None
        present = self._record.attributes(self.path.parent)
        for name in _IDENTITY:
            if kept.attrs.get(name) != present.get(name):
                _say(f"starting anew: {self.path} was left by work with another '{name}'")
                return None
        self._record.resume(kept.attrs)
        _say(f"going on from {self.path}, after {kept.attrs['wall_seconds']:.0f} s of work")
        return {str(name): variable.values for name, variable in kept.variables.items()}

    def offer(self, unfinished: Callable[[], Mapping[str, npt.NDArray[Any]]]) -> None:
        """Keep what `unfinished` returns if it is time to, or if the program is asked to stop.

        Raises:
            Interrupted: after that, in the latter case.
        """
        if self._signal is None and time.monotonic() < self._due:
            return
        started = time.monotonic()
        arrays = unfinished()
        try:
            self._record.write(_dataset(arrays), self.path)
        except (OSError, RuntimeError, UserError) as error:
            # Training itself needs no disk yet; a full one may be mended before it does.
            _say(f"a checkpoint is left out: {error}")
        now = time.monotonic()
        self._due = now + max(self._interval, _SHARE * (now - started))
        if self._signal is not None:
            raise Interrupted(self._signal, self.path if self.path.exists() else None)

    def remove(self) -> None:
        """Forget the unfinished work, once the output is there."""
        self.path.unlink(missing_ok=True)


def _dataset(arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    variables = netcdf.Variables()
    for name, array in arrays.items():
        dimensions = [f"{name}_{axis}" for axis in range(np.ndim(array))]
        variables.add(name, dimensions, array, "unfinished training", reference="none")
    return variables.dataset()


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
