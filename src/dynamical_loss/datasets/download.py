"""Fetch a large file over a connection that may break: it goes on where it stopped, and is checked."""

from __future__ import annotations

import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dynamical_loss.datasets.reading import sha256_of
from dynamical_loss.errors import UserError

_CHUNK_BYTES = 2**18
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_FAILURES = (OSError, http.client.HTTPException)  # URLError and time-outs are among them


class Remote:
    """A file on a server, whose size and checksum are known.

    Attributes:
        url: where it is; http or https.
        size: bytes.
        sha256: its checksum.
    """

    def __init__(self, url: str, size: int, sha256: str) -> None:
        """Refuse an address of another kind.

        Raises:
            UserError: if it is one.
        """
        if not url.startswith(("https://", "http://")):
            raise UserError(f"--url '{url}': it must begin with https:// or http://")
        self.url = url
        self.size = size
        self.sha256 = sha256


def part_of(path: Path) -> Path:
    """Where the bytes that have arrived are kept until `path` is whole."""
    return path.with_name(f"{path.name}.part")


def fetch(
    remote: Remote, path: Path, *, advice: str, progress: Callable[[float], None], timeout_seconds: float
) -> None:
    """Download to `path`, which appears only when it is whole and its checksum agrees.

    What has arrived when the connection breaks stays in `part_of` it, and the next call asks for the rest.
    A server that cannot give a part gives all from the start.

    Args:
        remote: what to fetch.
        path: the file; left alone if it is there and whole.
        advice: the remedies, at the end of an error about the connection.
        progress: called with the fraction that has arrived.
        timeout_seconds: that connecting, or waiting for more bytes, may take.

    Raises:
        UserError: if the server cannot be reached, the connection breaks, or the checksum differs.
    """
    if path.is_file():
        if sha256_of(path) != remote.sha256:
            raise UserError(f"{path} is there and is not {remote.url}; move it away")
        return
    part = part_of(path)
    part.parent.mkdir(parents=True, exist_ok=True)
    if part.exists() and part.stat().st_size > remote.size:
        part.unlink()
    if not part.exists() or part.stat().st_size < remote.size:
        _receive(remote, part, advice, progress, timeout_seconds)
    found = sha256_of(part)
    if found != remote.sha256:
        part.unlink()
        raise UserError(
            f"{remote.url} is not the file that is wanted: SHA-256 {remote.sha256} expected, {found} found; "
            "what was downloaded is removed; run again, or take a copy from elsewhere"
        )
    part.replace(path)


def _receive(
    remote: Remote, part: Path, advice: str, progress: Callable[[float], None], timeout_seconds: float
) -> None:
    """Append to `part` what is missing of it.

    Raises:
        UserError: if not all of it arrives.
    """
    response, arrived = _ask(remote, part, advice, timeout_seconds)
    with response, open(part, "r+b" if arrived else "wb") as stream:
        stream.seek(arrived)
        for piece in _pieces(response, remote, advice):
            stream.write(piece)
            arrived += len(piece)
            progress(min(arrived / remote.size, 1))
            if arrived > remote.size:
                break
        stream.flush()
        os.fsync(stream.fileno())
    if arrived < remote.size:
        raise UserError(f"{remote.url} broke off after {arrived:,} of {remote.size:,} bytes; {advice}")


def _ask(remote: Remote, part: Path, advice: str, timeout_seconds: float) -> tuple[Any, int]:
    """The server's answer, and where in the file it begins: after what is in `part`, or at 0.

    Raises:
        UserError: if there is no answer, or one about another file.
    """
    present = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(remote.url, headers={"Range": f"bytes={present}-"} if present else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout_seconds)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and present:
                part.unlink()
                return _ask(remote, part, advice, timeout_seconds)
            raise UserError(f"{remote.url} was refused ({error.code} {error.reason}); {advice}") from None
    except _FAILURES as error:
        raise UserError(f"{remote.url} could not be reached ({_reason(error)}); {advice}") from None
    if response.status == http.HTTPStatus.PARTIAL_CONTENT and present:
        stated = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if stated and (int(stated[1]), int(stated[2])) == (present, remote.size):
            return response, present
        response.close()
        part.unlink()
        return _ask(remote, part, advice, timeout_seconds)
    length = response.headers.get("Content-Length", str(remote.size))
    if length != str(remote.size):
        response.close()
        raise UserError(f"{remote.url} has {length} bytes and not the expected {remote.size}; {advice}")
    return response, 0


def _pieces(response: Any, remote: Remote, advice: str) -> Iterator[bytes]:
    """What arrives, as it arrives.

    Raises:
        UserError: if the connection breaks.
    """
    try:
        while piece := response.read1(_CHUNK_BYTES):
            yield piece
    except _FAILURES as error:
        raise UserError(f"{remote.url} broke off ({_reason(error)}); {advice}") from None


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", error)
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__)
