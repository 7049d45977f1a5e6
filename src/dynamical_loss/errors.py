"""The exceptions that stand for something else than a fault of the program."""

from pathlib import Path


class UserError(Exception):
    """A mistake that the user can mend; its message is one line that names the key or file and the remedy."""


class Interrupted(Exception):  # noqa: N818 - no error, like StopIteration
    """Work was asked to stop, and what was done is kept."""

    def __init__(self, signal: int, kept: Path) -> None:
        super().__init__(signal, kept)
        self.signal = signal
        self.kept = kept
