"""Download CIFAR-10, which is needed before the first stage of the pipeline if there is no copy yet."""

from __future__ import annotations

from pathlib import Path

from dynamical_loss.datasets.cifar10 import BINARY_SHA256
from dynamical_loss.datasets.download import Remote, fetch
from dynamical_loss.progress import report

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_BYTES = 170_052_171
_TIMEOUT_SECONDS = 60.0  # the server is sometimes slow


def run(output: Path, url: str | None) -> None:
    """Download the official binary archive.

    Args:
        output: file to write; an unfinished download is kept in the same folder, with the suffix ``.part``.
        url: address to download from; None uses the authors' server.

    Raises:
        UserError: if the archive cannot be downloaded; the message is one line with two remedies.
    """
    with report("downloading CIFAR-10") as progress:
        fetch(
            Remote(url or URL, _BYTES, BINARY_SHA256),
            output,
            advice="run the same command again, which resumes the download; or set datasets.<name>.source "
            "to a copy",
            progress=progress,
            timeout_seconds=_TIMEOUT_SECONDS,
        )
