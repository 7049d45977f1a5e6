"""The exceptions that stand for something else than a fault of the program."""

from pathlib import Path


class UserError(Exception):
    """A mistake that the user can mend; its message is one line that names the key or file and the remedy."""


class Interrupted(Exception):  # noqa: N818 - no error, like StopIteration
    """Work was asked to stop.

    Attributes:
        signal: what asked.
        kept: the file from which it goes on, None if there is none.
    """

    def __init__(self, signal: int, kept: Path | None) -> None:
        super().__init__(signal, kept)
        self.signal = signal
        self.kept = kept
