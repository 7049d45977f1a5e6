"""Download CIFAR-10: before the first step of the pipeline, for those who have no copy."""

from __future__ import annotations

from pathlib import Path

from dynamical_loss.datasets.cifar10 import BINARY_SHA256
from dynamical_loss.datasets.download import Remote, fetch
from dynamical_loss.progress import report

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_BYTES = 170_052_171
_TIMEOUT_SECONDS = 60.0  # the server is slow at times


def run(output: Path, url: str | None) -> None:
    """Fetch the official binary archive.

    Args:
        output: the file; what has arrived of it lies beside it, with the suffix ``.part``.
        url: where from; None: the authors' server.

    Raises:
        UserError: if it cannot be fetched, in one line with both remedies.
    """
    with report("downloading CIFAR-10") as progress:
        fetch(
            Remote(url or URL, _BYTES, BINARY_SHA256),
            output,
            advice="run the same command again, it goes on where it stopped; or set datasets.<name>.source "
            "to a copy",
            progress=progress,
            timeout_seconds=_TIMEOUT_SECONDS,
        )
