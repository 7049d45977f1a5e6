"""Exceptions that do not indicate a fault of the program."""

from pathlib import Path


class UserError(Exception):
    """A mistake that the user can correct; the message is one line with the key or file and the remedy."""


class ResultError(UserError):
    """A result that cannot be used; `remedies.in_words` adds to the message how to recompute the file.

    Attributes:
        path: the file.
    """

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


class UnreadableError(UserError):
    """A file that the system or a library failed to read, although the file itself may be intact.

    The message does not suggest recomputing the file, because that would overwrite an intact result.

    Attributes:
        path: the file.
    """

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


class UnknownOriginError(ResultError):
    """A file that was not made by a command of this package, or was made by an older version."""


class Interrupted(Exception):  # noqa: N818 - not an error, as with StopIteration
    """A computation that a signal stopped.

    Attributes:
        signal: number of the signal.
        kept: checkpoint from which the same command resumes; None if there is no checkpoint.
    """

    def __init__(self, signal: int, kept: Path | None) -> None:
        super().__init__(signal, kept)
        self.signal = signal
        self.kept = kept
