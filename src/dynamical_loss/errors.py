"""The exceptions that stand for something else than a fault of the program."""

from pathlib import Path


class UserError(Exception):
    """A mistake that the user can mend; its message is one line that names the key or file and the remedy."""


class ResultError(UserError):
    """A result that cannot be used as it is; whoever shows the message adds how to make the file anew.

    Attributes:
        path: the file.
    """

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


class UnreadableError(UserError):
    """A file that the system, or a library, would not let us read; the file itself may be good.

    Nothing is to be made anew for that: it would destroy a good result.

    Attributes:
        path: the file.
    """

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


class UnknownOriginError(ResultError):
    """A file that no command of this package made, or an older version of it did."""


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
