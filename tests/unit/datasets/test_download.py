"""Downloads from a local server that breaks connections, is slow, or does not support partial downloads."""

import hashlib
import http.server
import re
import socket
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from click.testing import CliRunner

from dynamical_loss import cli
from dynamical_loss.datasets.download import Remote, fetch, part_of
from dynamical_loss.errors import UserError

CONTENT = np.random.default_rng(0).bytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ADVICE = "run again; or take a copy"


class Server(http.server.ThreadingHTTPServer):
    """Server of one file.

    Attributes:
        content: bytes of the file.
        ranges: whether the server supports partial downloads.
        broken_after: number of bytes after which the server closes the connection; None: never.
        silent_after: number of bytes after which the server sends nothing more and keeps the connection
            open; None: never.
        status: status of the error that the server responds with; None: it sends the file.
        asked: header `Range` of each request, None for a request without it.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.ranges, self.status = CONTENT, True, None
        self.broken_after = self.silent_after = None
        self.asked = []
        self.released = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/cifar.tar.gz"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server, wanted = self.server, self.headers["Range"]
        server.asked.append(wanted)
        if server.status:
            self.send_error(server.status)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and server.ranges else 0
        size = len(server.content)
        if start >= size:
            self.send_error(416)
            return
        self.send_response(206 if wanted and server.ranges else 200)
        if wanted and server.ranges:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        stops = [stop for stop in (server.broken_after, server.silent_after) if stop is not None]
        self.wfile.write(server.content[start : min([start + stop for stop in stops], default=size)])
        if server.silent_after is not None:
            self.wfile.flush()
            server.released.wait(30)


@contextmanager
def serving():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "cifar.tar.gz"


def get(url, path, timeout=10.0):
    fractions = []
    remote = Remote(url, len(CONTENT), SHA256)
    fetch(remote, path, advice=ADVICE, progress=fractions.append, timeout_seconds=timeout)
    return fractions


def refusal(*arguments, **options):
    with pytest.raises(UserError) as caught:
        get(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_whole_file_arrives_with_its_progress(server, path):
    fractions = get(server.url, path)
    assert path.read_bytes() == CONTENT
    assert not part_of(path).exists()
    assert fractions == sorted(fractions) and fractions[-1] == 1 and len(fractions) > 2
    assert server.asked == [None]


def test_a_file_that_is_there_is_not_fetched_again(server, path):
    get(server.url, path)
    assert get(server.url, path) == []
    assert len(server.asked) == 1


def test_another_file_in_its_place_is_left_alone(server, path):
    path.parent.mkdir()
    path.write_bytes(b"mine")
    assert refusal(server.url, path) == f"{path} exists and is not the file at {server.url}; move it away"
    assert path.read_bytes() == b"mine"
    assert server.asked == []


def test_what_was_interrupted_halfway_goes_on_there(server, path):
    server.broken_after = 400_000
    message = refusal(server.url, path)
    assert message.startswith(f"{server.url} broke off") and message.endswith(ADVICE)
    assert not path.exists()
    assert part_of(path).read_bytes() == CONTENT[:400_000]
    server.broken_after = None
    assert get(server.url, path)[0] > 0.4
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=400000-"]


def test_each_interruption_brings_it_further(server, path):
    server.broken_after = 300_000
    for arrived in (300_000, 600_000, 900_000):
        refusal(server.url, path)
        assert part_of(path).stat().st_size == arrived
    get(server.url, path)
    assert path.read_bytes() == CONTENT


def test_a_server_without_parts_begins_anew(server, path):
    server.ranges, server.broken_after = False, 400_000
    refusal(server.url, path)
    server.broken_after = None
    get(server.url, path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=400000-"]


def test_a_part_that_the_server_cannot_continue_begins_anew(server, path):
    """The server's file is shorter than the part (status 416); it is the expected file at the second try."""
    path.parent.mkdir()
    part_of(path).write_bytes(CONTENT[:-10])
    server.content = CONTENT[:-20]
    message = refusal(server.url, path)
    assert message == f"{server.url} has 999980 bytes and not the expected 1000000; {ADVICE}"
    assert server.asked == ["bytes=999990-", None]
    assert not part_of(path).exists()
    server.content = CONTENT
    get(server.url, path)
    assert path.read_bytes() == CONTENT


def test_a_file_that_has_changed_its_size_is_not_appended(server, path):
    path.parent.mkdir()
    part_of(path).write_bytes(CONTENT[:1000])
    server.content = CONTENT + b"more"
    assert "has 1000004 bytes and not the expected 1000000" in refusal(server.url, path)
    assert server.asked == ["bytes=1000-", None]
    assert not part_of(path).exists()


@pytest.mark.parametrize("present", [len(CONTENT), len(CONTENT) + 1])
def test_a_part_of_full_length_needs_its_checksum_alone(server, path, present):
    path.parent.mkdir()
    part_of(path).write_bytes((CONTENT + b"x")[:present])
    get(server.url, path)
    assert path.read_bytes() == CONTENT
    assert server.asked == ([] if present == len(CONTENT) else [None])


def test_a_wrong_checksum_removes_what_was_downloaded(server, path):
    server.content = bytes(len(CONTENT))
    found = hashlib.sha256(server.content).hexdigest()
    message = refusal(server.url, path)
    assert f"SHA-256 {SHA256} expected, {found} found; the download was removed" in message
    assert not path.exists() and not part_of(path).exists()


def test_a_wrong_part_is_removed_too(server, path):
    path.parent.mkdir()
    part_of(path).write_bytes(bytes(1000))
    assert "expected" in refusal(server.url, path)
    get(server.url, path)
    assert path.read_bytes() == CONTENT


def test_a_server_that_falls_silent_is_given_up_and_what_came_is_kept(server, path):
    server.silent_after = 500_000
    message = refusal(server.url, path, timeout=0.2)
    assert message == f"{server.url} broke off (timed out); {ADVICE}"
    assert part_of(path).read_bytes() == CONTENT[:500_000]


def test_a_server_that_never_answers_is_given_up(path):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/"
        assert refusal(url, path, timeout=0.2) == f"{url} could not be reached (timed out); {ADVICE}"


def test_a_refused_connection_names_the_address_and_the_remedies(path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    assert refusal(url, path) == f"{url} could not be reached (Connection refused); {ADVICE}"


@pytest.mark.parametrize("status", [404, 503])
def test_an_error_of_the_server_is_told(server, path, status):
    server.status = status
    message = refusal(server.url, path)
    assert message.startswith(f"{server.url} was refused ({status} ") and message.endswith(ADVICE)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/file", "cifar.tar.gz"])
def test_only_the_web_is_asked(path, url):
    assert refusal(url, path) == f"--url '{url}': it must begin with https:// or http://"


def test_the_command_names_both_remedies(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    output = tmp_path / "a.tar.gz"
    done = CliRunner().invoke(
        cli.commands, ["download-dataset", "--output", str(output)], env={"DYNAMICAL_LOSS_CIFAR10_URL": url}
    )
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == (
        f"{url} could not be reached (Connection refused); run the same command again, which resumes "
        "the download; or set datasets.<name>.source to a copy"
    )


def test_the_command_wants_the_official_file(server, tmp_path):
    output = tmp_path / "a.tar.gz"
    done = CliRunner().invoke(
        cli.commands, ["download-dataset", "--output", str(output), "--url", server.url]
    )
    assert "has 1000000 bytes and not the expected 170052171" in str(done.exception)
    assert not list(tmp_path.iterdir())
