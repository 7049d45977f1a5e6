"""Download a large file over a connection that may break: resume it, and verify its checksum."""

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
_FAILURES = (OSError, http.client.HTTPException)  # URLError and time-outs are kinds of OSError


class Remote:
    """File on a server, whose size and checksum are known.

    Attributes:
        url: address of the file, http or https.
        size: size of the file, bytes.
        sha256: SHA-256 of the file, 64 hexadecimal digits.
    """

    def __init__(self, url: str, size: int, sha256: str) -> None:
        """Check the address.

        Raises:
            UserError: if the address begins with neither https:// nor http://.
        """
        if not url.startswith(("https://", "http://")):
            raise UserError(f"--url '{url}': it must begin with https:// or http://")
        self.url = url
        self.size = size
        self.sha256 = sha256


def part_of(path: Path) -> Path:
    """Return the file that keeps the bytes received so far, until `path` is complete."""
    return path.with_name(f"{path.name}.part")


def fetch(
    remote: Remote, path: Path, *, advice: str, progress: Callable[[float], None], timeout_seconds: float
) -> None:
    """Download to `path`, which appears only when the download is complete and its checksum is right.

    If the connection breaks, the bytes received so far stay in ``part_of(path)``, and the next call asks for
    the rest.  A server that does not support partial downloads sends the file from the start.

    Args:
        remote: file to download.
        path: file to write; an existing file with the right checksum is left as it is.
        advice: remedies, which end an error message about the connection.
        progress: called with the fraction of the file that has arrived, 0 to 1.
        timeout_seconds: longest time that connecting, or waiting for more bytes, may take, seconds.

    Raises:
        UserError: if the server cannot be reached, the connection breaks, the checksum is wrong, or `path` is
            another file.
    """
    if path.is_file():
        if sha256_of(path) != remote.sha256:
            raise UserError(f"{path} exists and is not the file at {remote.url}; move it away")
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
            f"{remote.url} is not the expected file: SHA-256 {remote.sha256} expected, {found} found; the "
            "download was removed; run the command again, or get a copy from elsewhere"
        )
    part.replace(path)


def _receive(
    remote: Remote, part: Path, advice: str, progress: Callable[[float], None], timeout_seconds: float
) -> None:
    """Append the missing bytes to `part`.

    Raises:
        UserError: if the connection ends before all bytes have arrived.
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
    """Ask the server for the bytes that `part` lacks.

    Returns:
        the response, and the position in the file at which it begins: the size of `part`, or 0.

    Raises:
        UserError: if the server does not respond, refuses, or offers a file of another size.
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
    """Yield the bytes of a response as they arrive.

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
